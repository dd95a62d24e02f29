"""Stop signals: `up` stops in order at the first one and at once at the second; API processes end their streams."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequested(BaseException):
    """A stop signal has arrived; raised once, in the main thread."""


def call_on_stop_signal(callback: Callable[[], None]) -> None:
    """Call `callback` at each stop signal, before the present handler. Outside the main thread, which gets no signals,
    nothing happens.

    `callback` runs in the signal handler, so it must be quick and must not wait for a lock.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        present = signal.getsignal(number)

        def handle(signal_number: int, frame: FrameType | None, present: Any = present) -> None:
            callback()
            if callable(present):
                present(signal_number, frame)

        signal.signal(number, handle)


@contextmanager
def raise_on_stop_signal(on_repeat: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Raise `StopRequested` at the first stop signal; call `on_repeat` at every later one.

    Yields a function that raises `StopRequested` if there was a signal: Python ignores exceptions of signal handlers in
    some places, such as destructors, so a loop must call it before each turn.
    """
    is_requested = False

    def raise_if_requested() -> None:
        if is_requested:
            raise StopRequested

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
        yield raise_if_requested
    finally:
        for number, handler in before:
            signal.signal(number, handler)
