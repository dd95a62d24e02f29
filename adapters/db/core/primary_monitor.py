"""Finds the primary among several hosts, and fences connections to a former one.

A promoted standby begins a new timeline with a higher number. A former primary that was frozen or cut off is not
notified: it still answers, with data that are out of date, and takes writes that will be lost. So the primary with the
highest timeline that this process has seen is used, and no older one ever again: new connections to it are refused, and
the sockets of open ones are shut down, which ends statements that wait for an answer. ADR 64 has the reasons.

Each host is probed once a second, in a thread of its own, as a host that is cut off must not delay the others.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg
from attrs import define, field, frozen
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

from adapters.db.core.connection_parameters import single_hosts
from adapters.db.core.open_sockets import OpenSockets
from adapters.db.core.timed_results import await_results

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_SECONDS: Final = 2.0
"""Time for the answer to a probe."""

# A standby has no timeline of its own to write to. Any user may call these functions. pg_control_checkpoint() would be
# too late: it shows a new timeline only after the first checkpoint.
TIMELINE: Final = "('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint"
"""SQL of the timeline to which a primary writes, a number that grows with each promotion. An error on a standby."""
INSTANCE: Final = (
    "concat(extract(epoch FROM pg_postmaster_start_time()), ' ',"
    " extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()))"
)
"""SQL of a text that differs after each start of a server, also after the restart that follows the crash of one of its
processes: `pg_postmaster_start_time()` does not change then, but PostgreSQL resets its statistics after every crash.
"""
_PROBE: Final = f"SELECT CASE WHEN NOT pg_is_in_recovery() THEN {TIMELINE} END".encode()


class NoPrimary(psycopg.OperationalError):
    """No host is a primary that this process may use; nothing was sent to any."""


class PrimaryConnection(psycopg.Connection[Any]):
    """A connection to a primary; `timeline` is that of its server at the time of connecting."""

    timeline = 0


@frozen
class Pauses:
    """Times in seconds. `probe`: between two probes of a host; `urgent`: the same while the primary does not answer.

    The threads end when no connection has been open or requested for `idle` seconds.
    """

    probe: float = 1.0
    urgent: float = 0.25
    idle: float = 10.0


DEFAULT_PAUSES: Final = Pauses()


@define(eq=False)
class _Host:
    """One host and what its latest probe found.

    `timeline` is None for a standby, and for a host with a `problem`. `asked_at` is the start of a probe that has not
    ended, in seconds of `time.monotonic`.
    """

    parameters: dict[str, str] = field(repr=False)
    timeline: int | None = None
    problem: str = ""
    is_silent: bool = False
    asked_at: float | None = None
    probes: int = 0
    logged: str = ""
    due: threading.Event = field(factory=threading.Event)

    @property
    def name(self) -> str:
        host = self.parameters.get("host") or self.parameters.get("hostaddr", "")
        return f"{host}:{self.parameters.get('port') or '5432'}"

    def answers_in_time(self, now: float) -> bool:
        """Whether a connection to this host can be expected to be established or refused soon."""
        # Read once: another thread may set it to None meanwhile.
        asked_at = self.asked_at
        return not self.is_silent and (asked_at is None or now - asked_at < PROBE_TIMEOUT_SECONDS)


def fetch_timeline(connection: PrimaryConnection) -> int | None:
    """The timeline of a primary, None for a standby; raise `ConnectionTimeout` if it does not answer in time."""
    connection.pgconn.send_query(_PROBE)
    (result,) = await_results(connection.pgconn, PROBE_TIMEOUT_SECONDS)
    value = result.get_value(0, 0)
    return None if value is None else int(value)


class PrimaryMonitor:
    """The primary among `hosts`, each given by parameters of libpq. All methods may be called from any thread.

    Threads run while connections are open. A forked process starts its own.
    """

    def __init__(
        self,
        hosts: Sequence[Mapping[str, str]],
        *,
        connect: Callable[..., PrimaryConnection] = PrimaryConnection.connect,
        fetch_timeline: Callable[[PrimaryConnection], int | None] = fetch_timeline,
        pauses: Pauses = DEFAULT_PAUSES,
    ) -> None:
        self._connect = connect
        self._fetch_timeline = fetch_timeline
        self._pauses = pauses
        self._hosts = [_Host(dict(parameters)) for parameters in hosts]
        self._primary: _Host | None = None
        self.timeline = 0
        """The highest timeline that this process has seen."""
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin anew in a forked process, where no thread of the parent runs. Sockets are shared with the parent, so
        its connections are neither shut down nor closed here.
        """
        self._changed = threading.Condition()
        self._stop: threading.Event | None = None
        self._used_at = float("-inf")
        self._connections: OpenSockets[PrimaryConnection] = OpenSockets()
        for host in self._hosts:
            host.asked_at, host.probes, host.due = None, 0, threading.Event()

    def connect(self, parameters: Mapping[str, Any]) -> PrimaryConnection:
        """A connection to the primary with these parameters of libpq and psycopg; their hosts are not used.

        Raise `NoPrimary`, or another error of psycopg if connecting to the primary fails.
        """
        host = self._await_primary()
        address = {name: host.parameters.get(name) for name in ("host", "hostaddr", "port")}
        try:
            connection = self._connect(**{**parameters, **address})
            try:
                self._register(connection, host, self._fetch_timeline(connection))
            except BaseException:
                connection.close()
                raise
        except psycopg.Error:
            self._probe_now()
            raise
        return connection

    def is_fenced(self, connection: PrimaryConnection) -> bool:
        """Whether the server of the connection is a former primary."""
        return connection.timeline < self.timeline

    # --- choosing the primary

    def _await_primary(self) -> _Host:
        """The primary, once every host has been probed or had the time for it; raise `NoPrimary`."""
        with self._changed:
            self._used_at = time.monotonic()
            self._start()
            deadline = self._used_at + PROBE_TIMEOUT_SECONDS
            while not all(host.probes for host in self._hosts):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            host = self._primary
            if host is not None and host.timeline == self.timeline and host.answers_in_time(time.monotonic()):
                return host
            if host is not None and host.problem and host.answers_in_time(time.monotonic()):
                # It refused the probe, for example during a restart: connecting raises the cause.
                return host
            raise NoPrimary("; ".join(map(_describe, self._hosts)))

    def _register(self, connection: PrimaryConnection, host: _Host, timeline: int | None) -> None:
        with self._changed:
            if timeline is not None:
                self._found(host, timeline)
            if timeline is None or timeline < self.timeline:
                raise NoPrimary(f"{host.name} is no longer the primary")
            connection.timeline = timeline
            self._connections.add(connection)

    def _found(self, host: _Host, timeline: int) -> None:
        """Note that `host` is a primary. The caller holds the lock."""
        if timeline < self.timeline:
            return
        if timeline == self.timeline:
            if self._primary is not host and (self._primary is None or self._primary.timeline is None):
                self._primary = host
            host.timeline = timeline
            return
        former, self.timeline, self._primary, host.timeline = self.timeline, timeline, host, timeline
        if former:
            closed = self._connections.shut_down(self.is_fenced)
            logger.warning(
                "the primary of the database is %s now (timeline %d after %d): %d connections to the former one were"
                " shut down",
                host.name,
                timeline,
                former,
                closed,
            )

    # --- probing

    def _start(self) -> None:
        """Start the threads unless they run. The caller holds the lock."""
        if self._stop is not None:
            return
        self._stop = threading.Event()
        for host in self._hosts:
            host.asked_at, host.probes = None, 0
            threading.Thread(
                target=self._watch, args=(host, self._stop), name=f"database-{host.name}", daemon=True
            ).start()

    def _probe_now(self) -> None:
        for host in self._hosts:
            host.due.set()

    def _watch(self, host: _Host, stop: threading.Event) -> None:
        connection: PrimaryConnection | None = None
        while not stop.is_set():
            timeline, error = None, None
            host.due.clear()
            host.asked_at = time.monotonic()
            try:
                connection = connection or self._connect(**host.parameters, autocommit=True)
                timeline = self._fetch_timeline(connection)
            except Exception as caught:  # noqa: BLE001 - logged; without this thread no failover would be noticed
                error = caught
                if connection is not None:
                    connection.close()
                    connection = None
            self._record(host, timeline, error, stop)
            host.due.wait(self._pause())
        if connection is not None:
            connection.close()

    def _record(self, host: _Host, timeline: int | None, error: Exception | None, stop: threading.Event) -> None:
        now = time.monotonic()
        with self._changed:
            if stop is not self._stop:
                return
            host.asked_at, host.probes, host.timeline = None, host.probes + 1, timeline
            host.problem = "" if error is None else str(error).partition("\n")[0]
            host.is_silent = isinstance(error, psycopg.errors.ConnectionTimeout)
            if timeline is not None:
                self._found(host, timeline)
            state = _describe(host)
            if timeline is not None and timeline < self.timeline:
                state += f", older than {self.timeline}: it is not used"
            if state != host.logged:
                host.logged = state
                is_well = not host.problem and timeline in {None, self.timeline}
                logger.log(logging.INFO if is_well else logging.WARNING, "database host %s", state)
            self._connections.forget_closed()
            if self._connections:
                self._used_at = now
            elif now - self._used_at > self._pauses.idle:
                stop.set()
                self._stop = None
                self._probe_now()
            self._changed.notify_all()

    def _pause(self) -> float:
        primary, now = self._primary, time.monotonic()
        is_well = primary is not None and primary.timeline == self.timeline and primary.answers_in_time(now)
        return self._pauses.probe if is_well else self._pauses.urgent


def _describe(host: _Host) -> str:
    if host.problem:
        return f"{host.name}: {host.problem}"
    if host.timeline is None:
        return f"{host.name} is a standby" if host.probes else f"{host.name} has not answered"
    return f"{host.name} is a primary of timeline {host.timeline}"


_monitors: dict[tuple[tuple[str, str], ...], PrimaryMonitor] = {}
_monitors_lock = threading.Lock()


def shared_monitor(parameters: Mapping[str, str]) -> PrimaryMonitor:
    """The monitor of this process for the hosts in these parameters of libpq, which all its engines share."""
    common = {name: value for name, value in parameters.items() if name not in {"options", "target_session_attrs"}}
    common["application_name"] = "scalecommerce monitor"
    with _monitors_lock:
        key = tuple(sorted(common.items()))
        if key not in _monitors:
            _monitors[key] = PrimaryMonitor(single_hosts(common))
        return _monitors[key]


def _forget_threads() -> None:
    global _monitors_lock  # noqa: PLW0603 - the parent's lock may be held by one of its threads
    _monitors_lock = threading.Lock()
    for monitor in _monitors.values():
        monitor.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)


def connect_through(engine: Engine, monitor: PrimaryMonitor) -> None:
    """Open the connections of the engine with the monitor; replace fenced ones when they leave the pool."""

    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> PrimaryConnection:
        return monitor.connect(parameters)

    def check(connection: PrimaryConnection, _record: Any, _proxy: Any) -> None:
        if monitor.is_fenced(connection):
            raise InvalidatePoolError

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", check)
