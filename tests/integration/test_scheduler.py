"""The queue without a worker: it does not grow for ever."""

import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest
from celery import Celery
from celery.beat import SchedulingError
from redis import Redis

from adapters.tasks.application import application
from adapters.tasks.bounded_beat import PatientScheduler
from adapters.tasks.broker import MOST_WAITING, QUEUE
from adapters.tasks.decide_notifier import CeleryWorkNotifier
from adapters.tasks.schedule import TASKS
from tests.integration.engine_process import eventually


def _no_jobs() -> NoReturn:
    raise AssertionError


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with application(redis_url, _no_jobs) as app:
        yield app


def test_beat_stops_sending_when_nobody_takes_anything(
    app: Celery, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = PatientScheduler(app=app)
    entries = [entry for entry in scheduler.schedule.values() if entry.task in {task.name for task in TASKS}]
    redis.lpush(QUEUE, *["{}"] * (MOST_WAITING - 2))
    for entry in entries:
        scheduler.apply_entry(entry)
    assert redis.llen(QUEUE) == MOST_WAITING
    assert len([record for record in caplog.records if "no worker takes them" in record.message]) == 1
    redis.delete(QUEUE)
    for entry in entries:
        scheduler.apply_entry(entry)
    assert redis.llen(QUEUE) == len(TASKS)


def test_orders_wake_nobody_up_while_the_queue_is_full(app: Celery, redis: Redis) -> None:
    redis.lpush(QUEUE, *["{}"] * MOST_WAITING)
    wakeups = CeleryWorkNotifier(app, redis)
    try:
        wakeups.orders_placed()
        eventually(lambda: redis.exists("scalecommerce:wakeup"), "a look at the queue")
    finally:
        wakeups.close()
    assert redis.llen(QUEUE) == MOST_WAITING
    redis.flushall()
    wakeups = CeleryWorkNotifier(app, redis)
    try:
        wakeups.orders_placed()
        eventually(lambda: redis.llen(QUEUE) == 1, "the message")
    finally:
        wakeups.close()


def test_an_outage_of_redis_is_one_sentence(
    app: Celery, redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "adapters.tasks.bounded_beat")
    scheduler = PatientScheduler(app=app)
    entries = [entry for entry in scheduler.schedule.values() if entry.task in {task.name for task in TASKS}]

    def refused(*_: object, **__: object) -> None:
        raise SchedulingError("Couldn't apply scheduled task x") from OSError("Connection refused.")

    with monkeypatch.context() as away:
        away.setattr(scheduler, "apply_async", refused)
        for entry in entries[:3]:
            scheduler.apply_entry(entry)
    for entry in entries[:2]:
        scheduler.apply_entry(entry)
    assert [record.message for record in caplog.records] == [
        "the beat cannot send messages: Connection refused.",
        "the beat sends messages again",
    ]
    assert [record.exc_info for record in caplog.records] == [None, None]
    assert redis.llen(QUEUE) == 2
