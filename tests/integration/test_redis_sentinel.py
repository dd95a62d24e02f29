"""A Redis that Sentinel names: the clients and Celery follow it to another server."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import define
from celery import Celery
from redis import Redis, RedisError

from adapters.embedded.redis import find_program
from adapters.redis.reachability import answers_ping, check_redis
from adapters.redis.servers import RedisServers
from adapters.tasks.application import create_celery_app
from adapters.tasks.broker import QUEUE, Broker
from adapters.tasks.decide_notifier import request_decisions
from scalecommerce_core.domain.errors import Unavailable
from tests.integration.engine_process import PATIENCE, eventually
from tests.integration.ports import free_port

PASSWORD = "p/w of a test"


@define
class Group:
    """A master and a replica under one Sentinel."""

    master: "subprocess.Popen[bytes]"
    master_port: int
    url: str


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    ports = [free_port() for _ in range(3)]
    master_port, replica_port, sentinel_port = ports
    common = f'bind 127.0.0.1\nrequirepass "{PASSWORD}"\nmasterauth "{PASSWORD}"\nsave ""\n'
    with ExitStack() as stack:

        def start(name: str, settings: str, *options: str) -> "subprocess.Popen[bytes]":
            home = tmp_path / name
            home.mkdir()
            (home / "server.conf").write_text(settings)
            log = stack.enter_context((home / "log").open("wb"))
            process = subprocess.Popen([find_program(), "server.conf", *options], cwd=home, stdout=log, stderr=log)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.kill)
            return process

        master = start("master", f"port {master_port}\n{common}")
        start("replica", f"port {replica_port}\n{common}replicaof 127.0.0.1 {master_port}\n")
        monitor = (
            f"sentinel monitor shop 127.0.0.1 {master_port} 1\n"
            f'sentinel auth-pass shop "{PASSWORD}"\n'
            "sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 3000\n"
        )
        start("sentinel", f"port {sentinel_port}\nbind 127.0.0.1\n{monitor}", "--sentinel")
        url = f"sentinel://:p%2Fw%20of%20a%20test@127.0.0.1:{free_port()},127.0.0.1:{sentinel_port}/shop/0"
        with Redis(port=master_port, password=PASSWORD) as direct, Redis(port=sentinel_port) as sentinel:
            eventually(lambda: is_replicated(direct), "a replica")
            eventually(lambda: knows_replica(sentinel), "a Sentinel that knows the replica")
        yield Group(master, master_port, url)


def is_replicated(master: Redis) -> bool:
    try:
        return bool(master.info("replication").get("slave0", {}).get("state") == "online")
    except RedisError:
        return False


def knows_replica(sentinel: Redis) -> bool:
    try:
        return bool(sentinel.sentinel_slaves("shop"))
    except RedisError:
        return False


def test_clients_and_celery_follow_sentinel_to_another_server(group: Group) -> None:
    servers = RedisServers.parse(group.url)
    with (
        servers.client(decode_responses=True, socket_timeout=2, socket_connect_timeout=1) as client,
        create_celery_app(
            Broker(servers.broker_url, servers.broker_options), lambda: pytest.fail("no task runs")
        ) as app,
    ):
        client.set("key", "before")
        request_decisions(app)
        assert client.llen(QUEUE) == 1
        # The key has reached the replica.
        assert client.wait(1, int(PATIENCE * 1000)) == 1
        group.master.kill()
        group.master.wait()

        eventually(lambda: check_redis(client)[0] == "ok", "another master")
        assert client.get("key") == "before"
        assert answers_ping(servers)
        eventually(lambda: is_sent(app), "a message to the other master")
        assert client.llen(QUEUE) >= 2
        with app.connection_for_read() as connection:
            assert connection.default_channel.client.llen(QUEUE) == client.llen(QUEUE)


def is_sent(app: Celery) -> bool:
    try:
        request_decisions(app)
    except Unavailable:
        return False
    return True


def test_a_sentinel_that_is_away_is_a_redis_that_is_away() -> None:
    servers = RedisServers.parse(f"sentinel://127.0.0.1:{free_port()}/shop")
    assert not answers_ping(servers)
    app = create_celery_app(Broker(servers.broker_url, servers.broker_options), lambda: pytest.fail("no task runs"))
    with app, pytest.raises(Unavailable):
        request_decisions(app)
