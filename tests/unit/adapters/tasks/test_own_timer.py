"""The timer of workers, without processes."""

import logging
from typing import Any, cast

import pytest

from adapters.tasks.own_timer import SWEEPS, MessageClock, OwnTimer
from adapters.tasks.repeated_warnings import RepeatedWarnings
from adapters.tasks.tasks import BackgroundTasks


class Worker:
    """A worker whose tasks are counted, with a timer that is called every half second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.runs: list[str] = []
        self.is_broker_away = True
        self.pings = 0
        self.messages = MessageClock(lambda: self.now)
        self.timer = self.create_timer()

    def create_timer(self) -> OwnTimer:
        return OwnTimer(self.messages, lambda: cast("BackgroundTasks", None), self.ping, clock=lambda: self.now)

    def ping(self) -> bool:
        self.pings += 1
        return self.is_broker_away

    def pass_time(self, seconds: float, *, with_messages: bool) -> None:
        ends = self.now + seconds
        while self.now < ends:
            self.now += 0.5
            if with_messages:
                self.messages.touch()
            self.timer.tick()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    worker = Worker()

    def record(name: str) -> Any:
        def run(_tasks: BackgroundTasks) -> None:
            worker.runs.append(name)

        return run

    monkeypatch.setattr(
        "adapters.tasks.own_timer.SWEEPS", {record(run.__name__): every for run, every in SWEEPS.items()}
    )
    worker.timer = worker.create_timer()
    return worker


def test_the_timer_runs_nothing_while_messages_arrive(worker: Worker) -> None:
    worker.pass_time(60, with_messages=True)
    assert (worker.runs, worker.pings) == ([], 0)


def test_the_timer_leaves_messages_that_stop_while_redis_answers_to_the_watchdog(worker: Worker) -> None:
    worker.is_broker_away = False
    worker.pass_time(60, with_messages=False)
    assert worker.runs == []
    # The first after `SILENCE_SECONDS`.
    assert worker.pings == 59


def test_the_timer_goes_on_until_the_worker_has_connected_again(worker: Worker) -> None:
    worker.pass_time(10, with_messages=False)
    worker.is_broker_away = False
    worker.runs.clear()
    worker.pass_time(32, with_messages=False)
    assert worker.runs.count("sweep_orders") == 32
    worker.pass_time(20, with_messages=False)
    worker.runs.clear()
    worker.pass_time(20, with_messages=False)
    assert worker.runs == []


def test_orders_are_decided_every_second_while_redis_is_away(worker: Worker) -> None:
    worker.pass_time(2, with_messages=False)
    assert worker.runs.count("sweep_orders") == 1
    worker.pass_time(10, with_messages=False)
    assert worker.runs.count("sweep_orders") == 11
    assert worker.runs.count("expire_reservations") == 3
    worker.runs.clear()
    worker.pass_time(10, with_messages=True)
    assert worker.runs == []


def test_the_timer_survives_a_failing_task(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_tasks: BackgroundTasks) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("adapters.tasks.own_timer.SWEEPS", {fail: 1.0})
    worker = Worker()
    worker.pass_time(4, with_messages=False)
    assert [record.getMessage() for record in caplog.records] == [
        "no messages arrive from Redis: this worker decides orders on its own timer",
        *["fail failed"] * 3,
    ]


def test_the_beginning_and_the_end_are_logged_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        worker.pass_time(60, with_messages=False)
        worker.pass_time(60, with_messages=True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_a_repeated_warning_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    warnings = RepeatedWarnings(logging.getLogger("test"), lambda: now[0])
    for _ in range(120):
        warnings.warn("Redis is away.")
        warnings.warn("The database is away.")
        now[0] += 1
    assert [record.getMessage() for record in caplog.records] == ["Redis is away.", "The database is away."] * 2
