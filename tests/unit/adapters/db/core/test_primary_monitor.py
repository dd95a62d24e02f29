"""The monitor with servers that are simulated at the sockets; tests/integration/test_failover.py has real ones."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from adapters.db.core.engine import database_engine
from adapters.db.core.errors import translate_errors
from adapters.db.core.primary_monitor import Pauses, PrimaryMonitor, _Host, shared_monitor
from scalecommerce_core.domain.errors import ConnectionLost, Unavailable

PATIENCE = 30.0


class SimulatedConnection:
    """A connection with one end of a socket pair; its server has the other."""

    timeline = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket, self.server = socket.socketpair()
        self.closed = False

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.closed = True
        self.socket.close()


class Servers:
    """`timelines` maps the name of each host to its timeline; None: a standby; an exception: the host cannot be
    reached.
    """

    def __init__(self, timelines: dict[str, int | Exception | None]) -> None:
        self.timelines = timelines
        self.connected: list[SimulatedConnection] = []

    def connect(self, *, host: str, **_parameters: object) -> SimulatedConnection:
        found = self.timelines[host]
        if isinstance(found, Exception):
            raise found
        self.connected.append(SimulatedConnection(host))
        return self.connected[-1]

    def fetch_timeline(self, connection: SimulatedConnection) -> int | None:
        found = self.timelines[connection.name]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def servers() -> Iterator[Servers]:
    simulated = Servers({"db1": 1, "db2": None})
    yield simulated
    for connection in simulated.connected:
        connection.close()
        connection.server.close()


@pytest.fixture
def monitor(servers: Servers) -> PrimaryMonitor:
    """Its threads end soon after the test, which closes all connections."""
    hosts: list[dict[str, str]] = [{"host": name} for name in servers.timelines]
    pauses = Pauses(probe=0.01, urgent=0.01, idle=0.2)
    simulated: Any = servers
    return PrimaryMonitor(hosts, connect=simulated.connect, fetch_timeline=simulated.fetch_timeline, pauses=pauses)


def connect(monitor: PrimaryMonitor) -> SimulatedConnection:
    return monitor.connect({"host": "db1,db2"})  # type: ignore[return-value]


def test_the_primary_is_found_among_standbys(servers: Servers, monitor: PrimaryMonitor) -> None:
    servers.timelines |= {"db1": None, "db2": 4}
    assert connect(monitor).name == "db2"
    assert monitor.timeline == 4


def test_of_two_primaries_that_with_the_higher_timeline_is_used(servers: Servers, monitor: PrimaryMonitor) -> None:
    servers.timelines |= {"db1": 4, "db2": 5}
    assert {connect(monitor).name for _ in range(5)} == {"db2"}


def test_a_promotion_ends_waits_on_connections_to_the_former_primary(servers: Servers, monitor: PrimaryMonitor) -> None:
    former = connect(monitor)
    former.socket.settimeout(PATIENCE)
    servers.timelines["db2"] = 2
    assert former.socket.recv(1) == b""
    assert monitor.is_fenced(former)  # type: ignore[arg-type]
    assert connect(monitor).name == "db2"


def test_a_former_primary_is_never_used_again(servers: Servers, monitor: PrimaryMonitor) -> None:
    former = connect(monitor)
    former.socket.settimeout(PATIENCE)
    servers.timelines["db2"] = 2
    assert former.socket.recv(1) == b""
    servers.timelines["db2"] = psycopg.OperationalError("connection refused")
    for _ in range(20):
        with pytest.raises(psycopg.OperationalError):
            connect(monitor)
    servers.timelines |= {"db1": 3, "db2": None}
    while True:
        with suppress(psycopg.OperationalError):
            assert connect(monitor).name == "db1"
            break


def test_standbys_alone_are_unavailable(servers: Servers, monitor: PrimaryMonitor) -> None:
    servers.timelines |= {"db1": None, "db2": None}
    with pytest.raises(Unavailable, match="No host in DATABASE_URL is the primary") as caught, translate_errors():
        connect(monitor)
    # Nothing was sent, so nothing may have been committed.
    assert not isinstance(caught.value, ConnectionLost)


def test_a_wrong_password_is_named_though_no_primary_is_found(servers: Servers, monitor: PrimaryMonitor) -> None:
    refused = psycopg.OperationalError('FATAL:  password authentication failed for user "ada"')
    servers.timelines |= {"db1": refused, "db2": refused}
    with pytest.raises(Unavailable, match="refuses the user name or the password"), translate_errors():
        connect(monitor)


def test_the_monitor_survives_unexpected_errors(servers: Servers, monitor: PrimaryMonitor) -> None:
    servers.timelines["db2"] = RuntimeError("unexpected")
    assert connect(monitor).name == "db1"
    servers.timelines |= {"db1": None, "db2": 2}
    while True:
        with suppress(psycopg.OperationalError):
            assert connect(monitor).name == "db2"
            break


def test_a_probe_may_end_while_another_thread_looks_at_it() -> None:
    class Host(_Host):
        """Its probe ends after the first look."""

        @property
        def asked_at(self) -> float | None:
            return next(looks, None)

        @asked_at.setter
        def asked_at(self, value: float | None) -> None: ...

    looks = iter([0.5])
    assert Host({}).answers_in_time(1.0)


def test_threads_end_when_no_connection_is_open(servers: Servers, monitor: PrimaryMonitor) -> None:
    before = threading.enumerate()
    connection = connect(monitor)
    threads = [each for each in threading.enumerate() if each not in before]
    assert len(threads) == len(servers.timelines)
    connection.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert connect(monitor).name == "db1"


def test_a_forked_process_probes_on_its_own_and_leaves_the_connections_of_its_parent(
    servers: Servers, monitor: PrimaryMonitor
) -> None:
    inherited = connect(monitor)
    monitor.forget_threads()  # as in a forked process
    servers.timelines["db2"] = 2
    while connect(monitor).name != "db2":
        pass
    inherited.server.setblocking(False)
    with pytest.raises(BlockingIOError):
        inherited.server.recv(1)


def test_forks_forget_the_threads() -> None:
    shared = shared_monitor({"host": "db1,db2", "port": "5432"})
    shared._stop = threading.Event()  # as if threads ran
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(shared._stop).encode())
        os._exit(0)
    os.waitpid(child, 0)
    shared._stop = None
    assert os.read(reader, 100) == b"None"
    os.close(reader)
    os.close(writer)


def test_engines_of_a_process_share_the_monitor_of_their_hosts() -> None:
    first, second = (shared_monitor({"host": "db1,db2", "options": f"-c work_mem={size}MB"}) for size in (1, 2))
    assert first is second
    assert shared_monitor({"host": "db1,db3"}) is not first


@pytest.mark.parametrize(
    "url", ["postgresql://db1/shop", "postgresql:///shop", "postgresql://db1,db2/shop?target_session_attrs=any"]
)
def test_a_single_host_and_a_choice_of_standbys_need_no_monitor(url: str) -> None:
    engine = database_engine(url)
    assert not engine.dialect.dispatch.do_connect
    assert not engine.pool.dispatch.checkout
