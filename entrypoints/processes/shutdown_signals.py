"""Stops `up` on Ctrl-C, SIGTERM or a closed terminal: in order at the first signal, at once at the second."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """A stop signal has arrived; raised once, in the main thread."""


@contextmanager
def raise_on_stop_signal(on_repeat: Callable[[], None]) -> Iterator[None]:
    """Raise `StopRequested` at the first stop signal; call `on_repeat` at every later one."""
    is_requested = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_requested
        if is_requested:
            on_repeat()
        else:
            is_requested = True
            raise StopRequested

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup
        numbers.append(signal.SIGHUP)
    before = [(number, signal.signal(number, handle)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
