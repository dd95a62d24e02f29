"""Ending `up` on Ctrl-C, SIGTERM or a closed terminal: in order at the first, at once at the second."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """Somebody asked `up` to end; raised in the main thread, once."""


@contextmanager
def raise_on_stop_signal(on_repeat: Callable[[], None]) -> Iterator[None]:
    """Raise `Stopped` at the first signal; call `hurry` at every later one."""
    heard = False

    def hear(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if heard:
            on_repeat()
        else:
            heard = True
            raise StopRequested

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else nohup wants it to live on
        numbers.append(signal.SIGHUP)
    before = [(number, signal.signal(number, hear)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
