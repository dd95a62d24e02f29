"""Whether work waits, on a real database, and the mark of an idle market in Redis."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.validation_backlog import Backlog
from adapters.db.waiting_work import read_waiting_work
from adapters.redis.view_counter import UNFLUSHED
from adapters.tasks import bounded_beat
from adapters.tasks.application import create_celery_app
from adapters.tasks.bounded_beat import COUNT_SECONDS, BoundedBeat
from adapters.tasks.broker import QUEUE
from adapters.tasks.idle import (
    IDLE_AFTER,
    IDLE_INTERVAL,
    IDLE_KEY,
    IDLE_TASKS,
    IdleMonitor,
    RedisIdleMark,
    send_idle_tasks,
    send_repricing,
)
from adapters.tasks.schedule import DECIDE, FLUSH_VIEWS, NUMBER_EVENTS, REPRICE, TASKS
from adapters.tasks.tasks import BackgroundTasks
from entrypoints.settings import load as load_settings
from entrypoints.wiring import WorkerMonitor
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.services.ordering import OrderRules
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import MemoryViewCounter
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions, line


def _no_tasks() -> NoReturn:
    raise AssertionError


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database, application_name="a test")
    yield engine
    engine.dispose()


def test_work_waits_until_the_tasks_have_run(database: str, engine: Engine) -> None:
    with real_market(database) as market:
        actions = MarketActions(market)
        tasks = BackgroundTasks(market, MemoryViewCounter(), lambda: None)

        def run_all() -> None:
            for task in TASKS:
                task.run(tasks)

        run_all()
        assert read_waiting_work(engine) == (0, False, False)
        seller, buyer = actions.person("seller"), actions.person("buyer")
        product = actions.list(seller, stock=5)
        assert read_waiting_work(engine).has_other_work
        run_all()
        run_all()
        last_event, waits, _ = read_waiting_work(engine)
        assert not waits
        actions.place(buyer, line(product))
        tasks.number_events()
        assert read_waiting_work(engine).has_other_work, "an undecided order"
        run_all()
        run_all()
        assert read_waiting_work(engine).last_event > last_event


def test_events_that_a_consumer_has_not_processed_count_as_work(database: str, engine: Engine) -> None:
    with real_market(database) as market:
        actions = MarketActions(market)
        tasks = BackgroundTasks(market, MemoryViewCounter(), lambda: None)
        for task in TASKS:
            task.run(tasks)
        actions.list(actions.person("seller"), stock=5)
        for run in (tasks.number_events, tasks.update_vocabulary, tasks.sync_price_index, tasks.send_emails):
            run()
        assert read_waiting_work(engine).has_other_work
        tasks.fold_statistics()
        assert read_waiting_work(engine).has_other_work, "webhooks"
        tasks.deliver_webhooks()
        assert not read_waiting_work(engine).has_other_work


def test_a_policy_that_can_begin_a_run_is_due(database: str, engine: Engine) -> None:
    with real_market(database) as market:
        seller = MarketActions(market).person("seller")
        policy = unwrap_single(market.pricing.create([CreatePolicy(seller.id, {"name": "Mine"})]))
        assert isinstance(policy, PricingPolicy)
        tasks = BackgroundTasks(market, MemoryViewCounter(), lambda: None)
        tasks.number_events()
        tasks.fold_statistics()
        assert list(market.repricing.due(1)) == [policy.id]
        assert read_waiting_work(engine).is_policy_due
        market.pricing.stop()
        assert not read_waiting_work(engine).is_policy_due
        market.pricing.resume()
        run = market.repricing.begin(policy.id)
        assert run.status is RunStatus.DECIDING
        assert not market.repricing.due(1)
        assert not read_waiting_work(engine).is_policy_due


def test_an_order_that_intake_decides_ends_the_idleness(database: str, redis_url: str, engine: Engine) -> None:
    """Its events have no number yet, and no worker was notified of it."""
    now = 1_000.0
    sent: list[bool] = []
    with (
        real_market(database, order_rules=OrderRules(decide_at_intake=True)) as market,
        Redis.from_url(redis_url) as client,
    ):
        client.flushall()
        actions = MarketActions(market)
        buyer, product = actions.person("buyer"), actions.list(actions.person("seller"), stock=5)
        tasks = BackgroundTasks(market, MemoryViewCounter(), lambda: None)
        for task in TASKS * 2:
            task.run(tasks)
        monitor = IdleMonitor(
            lambda: read_waiting_work(engine), RedisIdleMark(client), lambda: sent.append(True), _no_tasks, lambda: now
        )
        monitor.check()
        now += IDLE_AFTER
        monitor.check()
        assert (client.exists(IDLE_KEY), sent) == (1, [])
        actions.place(buyer, line(product))
        monitor.check()
        assert (client.exists(IDLE_KEY), sent) == (0, [True])


def test_a_worker_finds_out_that_the_market_is_idle(tmp_path: Path, database: str, redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.flushall()
        with Deployment(tmp_path / "deployment", database, redis_url):
            eventually(lambda: client.exists(IDLE_KEY), "the mark of an idle market")


def test_a_database_that_does_not_answer_is_reported() -> None:
    with pytest.raises(Unavailable):
        read_waiting_work(database_engine("postgresql://nobody@127.0.0.1:1/nothing"))


def test_the_mark_is_removed_by_one_process(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.flushall()
        here, there = RedisIdleMark(client), RedisIdleMark(client)
        here.set()
        there.set()
        assert [here.remove(), there.remove()] == [True, False]
    with Redis.from_url("redis://127.0.0.1:1") as away:
        mark = RedisIdleMark(away)
        for call in (mark.set, mark.remove, mark.is_set):
            with pytest.raises(Unavailable):
                call()
        assert not mark.responded_within(1.0)


def test_the_mark_shows_that_redis_responded_within(redis_url: str) -> None:
    now = 1_000.0
    with Redis.from_url(redis_url) as client:
        client.flushall()
        mark = RedisIdleMark(client, lambda: now)
        assert not mark.responded_within(1.0)
        assert not mark.is_set()
        mark.set()
        assert mark.is_set()
        assert mark.responded_within(0.0)
        now += 2.0
        assert (mark.responded_within(1.0), mark.responded_within(2.0)) == (False, True)


def test_the_watchdog_does_not_ask_the_database_in_an_idle_market(redis_url: str) -> None:
    away = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    chosen = load_settings({"DATABASE_URL": away, "REDIS_URL": redis_url, "JWT_SECRET": "*" * 32})
    with Redis.from_url(redis_url) as client:
        client.flushall()
        monitor = WorkerMonitor(chosen, "a host")
        with pytest.raises(Unavailable):
            monitor.read_backlog()
        RedisIdleMark(client).set()
        assert monitor.read_backlog() == Backlog(None)


def test_beat_sends_fewer_messages_while_the_market_is_idle(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(bounded_beat, "monotonic", lambda: now)
    every = {task.name: task.every for task in TASKS}
    with Redis.from_url(redis_url) as client, create_celery_app(redis_url, _no_tasks) as app:
        client.flushall()
        scheduler = BoundedBeat(app=app, view_keys=UNFLUSHED)

        def intervals() -> dict[str, object]:
            scheduler.tick()
            return {name: scheduler.schedule[name].schedule.run_every for name in every}

        assert intervals() == every
        # Without the expiry of `RedisIdleMark.set`, so that the test may be slow.
        client.set(IDLE_KEY, 1)
        now += COUNT_SECONDS
        assert intervals() == {name: IDLE_INTERVAL if name in IDLE_TASKS else every[name] for name in every}
        for key in UNFLUSHED:
            client.hset(key, "id", "1")
            now += COUNT_SECONDS
            assert (intervals()[FLUSH_VIEWS], intervals()[DECIDE]) == (every[FLUSH_VIEWS], IDLE_INTERVAL)
            client.delete(key)
        now += COUNT_SECONDS
        assert intervals()[FLUSH_VIEWS] == IDLE_INTERVAL
        RedisIdleMark(client).remove()
        now += COUNT_SECONDS
        assert intervals() == every


def test_all_slowed_tasks_are_sent_when_work_waits_again(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client, create_celery_app(redis_url, _no_tasks) as app:
        client.flushall()
        send_idle_tasks(app)
        assert client.llen(QUEUE) == len(IDLE_TASKS)
        # Each message is put at the left end, and workers take from the right one.
        first, second = (json.loads(client.lindex(QUEUE, at))["headers"]["task"] for at in (-1, -2))
        assert (first, second) == (DECIDE, NUMBER_EVENTS)
        client.flushall()
        send_repricing(app)
        assert [json.loads(each)["headers"]["task"] for each in client.lrange(QUEUE, 0, -1)] == [REPRICE]
    with create_celery_app("redis://127.0.0.1:1", _no_tasks) as away, pytest.raises(Unavailable):
        send_idle_tasks(away)
