"""Stop signals as exceptions."""

import signal
from contextlib import suppress

import pytest

from entrypoints.processes.shutdown_signals import StopRequested, raise_on_stop_signal


def test_a_stop_signal_whose_exception_was_ignored_is_raised_at_the_next_check() -> None:
    repeats: list[bool] = []
    with raise_on_stop_signal(lambda: repeats.append(True)) as raise_if_requested:
        raise_if_requested()
        with suppress(StopRequested):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert repeats == [True]
        with pytest.raises(StopRequested):
            raise_if_requested()
