"""Workers that run without deciding, and malformed messages in the queue."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key
from adapters.db.core.engine import database_engine
from adapters.db.store import PostgresStore
from adapters.db.validation_backlog import Backlog, read_backlog
from adapters.redis.restart_counter import RedisRestartCounter
from adapters.tasks.broker import QUEUE
from adapters.tasks.grow_only_autoscaler import MIN_PROCESSES
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.testing.contracts.stage import NOW, Stage
from tests.integration.deployment import Deployment, await_resource
from tests.integration.engine_process import EngineProcess, eventually
from tests.integration.test_serve import children, is_alive

ORDERS = "/orders/api/v1/"

TO_US = b'"properties": {"delivery_tag": "%s", "delivery_info": {"exchange": "", "routing_key": "x"}}'
MALFORMED_MESSAGES = [
    b"\xff\xfe",
    b"junk",
    b"null",
    b"[1]",
    b"{}",
    b'{"properties": {}}',
    b'{"properties": {"delivery_tag": "a"}}',
    b'{"properties": {"delivery_tag": [], "delivery_info": {"exchange": "", "routing_key": "x"}}}',
    b'{%s, "headers": {"task": "unknown", "id": "1"}, "body": "e30=", "content-type": "application/json"}'
    % TO_US
    % b"b",
    # Accepted before it fails: unacknowledged, it would stay reserved for an hour.
    b'{%s, "headers": {"task": "scalecommerce.decide_orders", "id": "1"}, "body": "%%%%"}' % TO_US % b"c",
]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    settings = {"WORKER_STALL_TIMEOUT_SECONDS": "2", "DECIDE_AT_INTAKE": "false", "WORKER_CONCURRENCY": "1"}
    engine = EngineProcess(tmp_path / "shop", **settings)
    try:
        assert engine.url
        yield engine
    finally:
        engine.end()


def log_in(engine: EngineProcess) -> str:
    account = {"email": "ann@example.com", "password": "correct horse battery"}
    engine.request("/users/api/v1/sign-up/", body=account)
    return str(engine.request("/users/api/v1/token/", body=account)[1]["access"])


def test_a_worker_that_stopped_consuming_is_restarted(engine: EngineProcess) -> None:
    token = log_in(engine)
    product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
    made = engine.request("/products/api/v1/", token=token, body=product)[1]["id"]
    worker = engine.child("worker")
    pool = set(children(worker))
    # One more process starts when tasks wait, up to `WORKER_CONCURRENCY` + 2.
    maximum = len(pool) + 3 - MIN_PROCESSES

    def has_stopped_all() -> bool:
        pool.update(children(worker))
        for child in pool:
            os.kill(child, signal.SIGSTOP)
        return len(pool) == maximum

    eventually(has_stopped_all, "the last process of the worker")
    status, order = engine.request(ORDERS, token=token, body={"order_item": [{"product": made, "quantity": 1}]})
    assert status == 202

    def decided() -> bool:
        return bool(engine.request(f"{ORDERS}{order['id']}/", token=token)[1]["status"] == "PENDING")

    eventually(decided, "a decision after the restart")
    assert not is_alive(worker)
    assert not any(map(is_alive, pool))
    assert "The worker has ended with status 75 and is being restarted" in engine.err
    log = (engine.data / "logs" / "worker.log").read_text()
    assert f"order {order['id']} has waited" in log


def test_a_killed_worker_leaves_no_child(tmp_path: Path, redis_url: str, database: str) -> None:
    deployment = Deployment(tmp_path, database, redis_url, DECIDE_AT_INTAKE="false")
    command = deployment.start("worker")
    try:
        command.says(r"ready\.")
        pool = children(command.process.pid)
        assert pool
        command.process.kill()
        command.process.wait()
        eventually(lambda: not any(map(is_alive, pool)), "the end of the worker's children")
    finally:
        deployment.end()


def test_a_malformed_message_does_not_stop_a_worker(tmp_path: Path, redis_url: str, database: str) -> None:
    with (
        Deployment(tmp_path, database, redis_url, DECIDE_AT_INTAKE="false") as deployment,
        redis.Redis.from_url(redis_url) as broker,
    ):
        person = deployment.person("ann")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
        made = person.post("/products/api/v1/", json=product).json()["id"]
        for junk in MALFORMED_MESSAGES:
            broker.lpush(QUEUE, junk)
        eventually(lambda: broker.llen(QUEUE) == 0, "an empty queue")
        wanted: Any = {"order_item": [{"product": made, "quantity": 1}]}
        order = person.post(ORDERS, json=wanted).json()["id"]
        await_resource(person, f"{ORDERS}{order}/", lambda shown: shown["status"] == "PENDING")
        assert deployment.commands["worker"].process.poll() is None
        log = (tmp_path / "worker.log").read_text()
        assert "dropped a queue entry that is not JSON" in log
        assert "dropped a queue entry that is not a Celery message" in log


def test_the_backlog_names_the_oldest_order_and_the_lock_holder(database: str) -> None:
    engine = database_engine(database, application_name="a test")
    stage = Stage(PostgresStore(engine))
    assert read_backlog(engine) == Backlog(None)
    buyer, product = stage.account(), stage.product()
    aside, first, _second = (stage.order(buyer, {product: 1}) for _ in range(3))
    with stage.store.begin() as tx:
        (order,) = tx.orders.lock([aside]).values()
        order.record_decision_failure(NOW, NOW, "KeyError: 7")
        tx.orders.save([order])
    seen = read_backlog(engine)
    assert (seen.oldest, seen.lock_holder) == (first, None)
    assert seen.age.days == (time.time() - NOW.timestamp()) // 86_400
    with psycopg.connect(database.replace("+psycopg", ""), application_name="somebody") as other:
        other.execute(f"SELECT pg_try_advisory_xact_lock({lock_key(AdvisoryLock.DECIDER)})".encode())
        turn = read_backlog(engine).lock_holder
        assert turn is not None
        assert (turn.pid, turn.application) == (other.info.backend_pid, "somebody")
        assert turn.age >= timedelta()


def test_the_restart_counter_is_stored_in_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        here, there = RedisRestartCounter(client, "here"), RedisRestartCounter(client, "there")
        here.increment()
        here.increment()
        assert (here.get(), there.get()) == (2, 0)
        here.reset()
        assert here.get() == 0
    with redis.Redis.from_url("redis://127.0.0.1:1") as away, pytest.raises(Unavailable):
        RedisRestartCounter(away, "here").get()
