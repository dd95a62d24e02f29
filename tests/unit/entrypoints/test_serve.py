import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from entrypoints.serve import _WakeUp


@pytest.fixture
def interrupted() -> Iterator[_WakeUp]:
    """Set by a signal handler many thousand times a second."""
    interrupt = _WakeUp()

    def hear(_number: int, _frame: FrameType | None) -> None:
        interrupt.set()

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.00002, 0.00002)
    yield interrupt
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_does_not_deadlock_at_any_moment(interrupted: _WakeUp) -> None:
    """This test hangs with a `threading.Event` instead."""
    for _ in range(5_000):
        interrupted.wait()
        interrupted.set()
        interrupted.clear()
