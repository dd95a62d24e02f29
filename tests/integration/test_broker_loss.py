"""Redis goes away during a task: the message is lost, the worker survives."""

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from kombu.common import ignore_errors
from kombu.connection import Connection
from redis import Redis

from adapters.embedded.redis import EmbeddedRedis
from adapters.tasks.application import create_celery_app
from adapters.tasks.decide_notifier import request_decisions
from adapters.tasks.grow_only_autoscaler import MIN_PROCESSES
from tests.integration.deployment import Deployment, await_resource
from tests.integration.engine_process import eventually

logger = logging.getLogger(__name__)

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND application_name LIKE 'scalecommerce worker%'
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "broker") as server:
        yield server


@pytest.fixture
def connection(broker: EmbeddedRedis) -> Iterator[tuple[Connection, Any]]:
    """A connection that consumes like a worker's, and its unacknowledged message."""
    app = create_celery_app(broker.url, _no_tasks)
    messages: list[Any] = []
    connection = app.connection_for_read()
    consumer = app.amqp.TaskConsumer(connection.default_channel, on_message=messages.append)
    # A worker also listens to remote control, over a channel of its own.
    app.control.mailbox.Node("worker", channel=connection.channel()).listen()
    consumer.consume()
    request_decisions(app)
    connection.drain_events(timeout=10)
    # Shorter than BRPOP's timeout: the connection is lost before Redis has replied.
    with suppress(socket.timeout):
        connection.drain_events(timeout=0.1)
    (message,) = messages
    yield connection, message
    app.close()


def _no_tasks() -> NoReturn:
    raise AssertionError


def test_a_lost_connection_closes_with_an_unacknowledged_message(
    broker: EmbeddedRedis, connection: tuple[Connection, Any]
) -> None:
    """Celery's consumer reconnects only if these steps raise nothing but connection errors."""
    lost, message = connection
    broker.stop()
    with suppress(Exception):
        lost.collect(socket_timeout=1)  # type: ignore[no-untyped-call]
    ignore_errors(lost, lost.close)  # type: ignore[no-untyped-call]
    # The task ends after the connection has been lost.
    message.ack_log_error(logger, lost.connection_errors)
    assert not message.acknowledged


def test_a_worker_outlives_its_connection_while_it_works(tmp_path: Path, broker: EmbeddedRedis, database: str) -> None:
    with (
        # The worker has more processes at its maximum than tasks that wait for the lock, so it still consumes messages.
        Deployment(
            tmp_path / "deployment", database, broker.url, WORKER_CONCURRENCY="6", DECIDE_AT_INTAKE="false"
        ) as deployment,
        psycopg.connect(database.replace("+psycopg", "")) as other,
        psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as watching,
    ):
        buyer = deployment.person("buyer")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
        made = buyer.post("/products/api/v1/", json=product).json()["id"]
        worker = deployment.commands["worker"]
        # The sweep waits for this lock, with its message unacknowledged.
        other.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
        eventually(lambda: watching.execute(WAITING).fetchone() != (0,), "a waiting task")
        broker.stop()
        broker.start()
        worker.says(r"(?s)Connected to.+Connected to")
        other.rollback()
        wanted: Any = {"order_item": [{"product": made, "quantity": 1}]}
        order = buyer.post("/orders/api/v1/", json=wanted).json()["id"]
        await_resource(buyer, f"/orders/api/v1/{order}/", lambda shown: shown["status"] == "PENDING")
        assert worker.process.poll() is None


def test_a_worker_adds_processes_after_it_has_connected_again(
    tmp_path: Path, broker: EmbeddedRedis, database: str
) -> None:
    with (
        Deployment(tmp_path / "deployment", database, broker.url, WORKER_CONCURRENCY="6") as deployment,
        Redis.from_url(broker.url) as redis,
        psycopg.connect(database.replace("+psycopg", "")) as other,
        psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as watching,
    ):
        worker = deployment.commands["worker"]

        def has_connected_again() -> bool:
            # A connection that ends while the worker waits for messages on it is noticed.
            if any(client["cmd"] == "brpop" for client in redis.client_list()):
                redis.client_kill_filter(_type="normal", skipme=True)
            return worker.text().count("Connected to") > 1

        eventually(has_connected_again, "a second connection of the worker")
        other.execute("LOCK TABLE orders, payments, payment_refunds IN EXCLUSIVE MODE")

        def waiting() -> bool:
            ((tasks,),) = watching.execute(WAITING).fetchall()
            return bool(tasks > MIN_PROCESSES)

        eventually(waiting, "more tasks than the worker had processes at its start")
        other.rollback()


def test_a_worker_decides_orders_while_redis_is_away(tmp_path: Path, broker: EmbeddedRedis, database: str) -> None:
    with Deployment(tmp_path / "deployment", database, broker.url, DECIDE_AT_INTAKE="false") as deployment:
        buyer = deployment.person("buyer")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
        made = buyer.post("/products/api/v1/", json=product).json()["id"]
        worker = deployment.commands["worker"]
        broker.stop()
        wanted: Any = {"order_item": [{"product": made, "quantity": 1}]}
        for _ in range(2):
            order = buyer.post("/orders/api/v1/", json=wanted).json()["id"]
            await_resource(buyer, f"/orders/api/v1/{order}/", lambda shown: shown["status"] == "PENDING")
        worker.says("decides orders on its own timer")
        broker.start()
        worker.says("waits for messages from Redis again")
