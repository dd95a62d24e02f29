"""The bound on queued messages, and what beat logs while Redis is away."""

import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest
from celery import Celery
from celery.beat import SchedulingError
from redis import Redis

from adapters.tasks.application import create_celery_app
from adapters.tasks.bounded_beat import BoundedBeat
from adapters.tasks.broker import MAX_QUEUED_MESSAGES, QUEUE
from adapters.tasks.decide_notifier import CeleryWorkNotifier
from adapters.tasks.schedule import TASKS
from tests.integration.engine_process import eventually


def _no_tasks() -> NoReturn:
    raise AssertionError


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with create_celery_app(redis_url, _no_tasks) as app:
        yield app


def test_beat_stops_sending_while_the_queue_is_full(
    app: Celery, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = BoundedBeat(app=app)
    entries = [entry for entry in scheduler.schedule.values() if entry.task in {task.name for task in TASKS}]
    redis.lpush(QUEUE, *["{}"] * (MAX_QUEUED_MESSAGES - 2))
    for entry in entries:
        scheduler.apply_entry(entry)
    assert redis.llen(QUEUE) == MAX_QUEUED_MESSAGES
    assert len([record for record in caplog.records if "no worker takes messages" in record.message]) == 1
    redis.delete(QUEUE)
    for entry in entries:
        scheduler.apply_entry(entry)
    assert redis.llen(QUEUE) == len(TASKS)


def test_orders_send_no_message_while_the_queue_is_full(app: Celery, redis: Redis) -> None:
    redis.lpush(QUEUE, *["{}"] * MAX_QUEUED_MESSAGES)
    notifier = CeleryWorkNotifier(app, redis)
    try:
        notifier.orders_placed()
        eventually(lambda: redis.exists("scalecommerce:wakeup"), "a check of the queue")
    finally:
        notifier.close()
    assert redis.llen(QUEUE) == MAX_QUEUED_MESSAGES
    redis.flushall()
    notifier = CeleryWorkNotifier(app, redis)
    try:
        notifier.orders_placed()
        eventually(lambda: redis.llen(QUEUE) == 1, "the message")
    finally:
        notifier.close()


def test_beat_logs_one_line_per_outage_of_redis(
    app: Celery, redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "adapters.tasks.bounded_beat")
    scheduler = BoundedBeat(app=app)
    entries = [entry for entry in scheduler.schedule.values() if entry.task in {task.name for task in TASKS}]

    def refuse(*_: object, **__: object) -> None:
        raise SchedulingError("Couldn't apply scheduled task x") from OSError("Connection refused.")

    with monkeypatch.context() as away:
        away.setattr(scheduler, "apply_async", refuse)
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
