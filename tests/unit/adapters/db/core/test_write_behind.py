"""The write-behind queue keeps the order, is bounded, and loses no error."""

import threading
from functools import partial

import pytest

from adapters.db.core.write_behind import MAX_PENDING_WRITES, open_write_behind_queue


def test_writes_run_in_order_and_are_complete_at_the_exit() -> None:
    done: list[int] = []
    with open_write_behind_queue() as writes:
        for number in range(3 * MAX_PENDING_WRITES):
            writes.submit(partial(done.append, number))
    assert done == list(range(3 * MAX_PENDING_WRITES))


def test_flush_waits_for_pending_writes() -> None:
    done: list[bool] = []
    gate = threading.Event()
    with open_write_behind_queue() as writes:
        writes.submit(lambda: done.append(gate.wait(5)))
        gate.set()
        writes.flush()
        assert done == [True]


def refuse() -> None:
    raise LookupError("refused")


def test_an_error_is_raised_at_the_latest_at_the_exit() -> None:
    with pytest.raises(LookupError), open_write_behind_queue() as writes:
        writes.submit(refuse)


def test_an_error_is_raised_by_a_later_call() -> None:
    with open_write_behind_queue() as writes:
        writes.submit(refuse)
        with pytest.raises(LookupError):
            writes.flush()


def test_an_error_of_the_caller_drops_pending_writes_and_completes_the_running_one() -> None:
    begun, gate = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        begun.set()
        gate.wait(5)
        done.append("slow")

    def fail() -> None:
        with open_write_behind_queue() as writes:
            writes.submit(slow)
            writes.submit(lambda: done.append("dropped"))
            begun.wait(5)
            threading.Timer(0.02, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert done == ["slow"]
