"""The standbys of `DATABASE_READ_URL`: which of them may be read from, and how much of the log each has replayed.

A thread polls one standby, the first in the order of the URL that is usable, for its horizon (`standby_freshness`). It
stays with it until it fails. What is read from the standby afterwards includes every change below the horizon.

The horizon begins with a timeline, as every number of a change does. Without privileges, a user cannot read which
timeline a standby replays, so the primary writes it into a row, `replication_heartbeats`, with a mark that is renewed
every `HEARTBEAT_SECONDS`. A standby that shows a recent mark follows this primary closely. One that does not is not
used: it is far behind, follows a former primary, or belongs to another cluster.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import psycopg
from attrs import frozen
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidRequestError

from adapters.db.core.change_notifications import change_number
from adapters.db.core.connection_parameters import connection_parameters, database_url, separate_settings
from adapters.db.core.engine import database_engine
from adapters.db.core.errors import translate_errors
from adapters.db.core.open_sockets import OpenSockets
from adapters.db.core.primary_monitor import INSTANCE, TIMELINE
from adapters.db.core.timed_results import await_results
from scalecommerce_core.domain.errors import MarketError

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.05
"""Pause between two polls of the standby."""
MIN_POLL_SECONDS: Final = 0.005
"""The same after a read had to go to the primary because the horizon was too old."""
MAX_SILENCE: Final = 0.5
"""Seconds after the beginning of the last successful poll in which the standby is read from."""
POLL_TIMEOUT: Final = 2.0
"""Seconds for the answer to a poll. Then the reads that wait for this standby are repeated on the primary."""
IDLE_SECONDS: Final = 5.0
"""Polls and heartbeats stop after this time without a read."""
HEARTBEAT_SECONDS: Final = 2.0
"""Age at which the mark on the primary is renewed, by the first process that finds it that old."""
HEARTBEAT_CHECK_SECONDS: Final = 0.5
"""Pause between two reads of the mark on the primary."""
MAX_LAG_SECONDS: Final = 3.0
"""A standby must show a mark that was the newest one on the primary within this time. So its data are at most
`MAX_LAG_SECONDS + HEARTBEAT_SECONDS + HEARTBEAT_CHECK_SECONDS` old, also those whose changes are not notified."""
AWAY_SECONDS: Final = 5.0
"""Pause before a standby that could not be used is tried again."""
CONFLICT_SECONDS: Final = 1.0
"""The same after it has cancelled a statement."""

_POLL: Final = f"""
    SELECT pg_is_in_recovery(), {INSTANCE}, timeline, mark,
           CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
    FROM (VALUES (1)) AS one LEFT JOIN (
        SELECT timeline, mark FROM replication_heartbeats ORDER BY timeline DESC LIMIT 1
    ) AS heartbeat ON true
""".encode()  # noqa: S608 - constants
_SYSTEM: Final = "SELECT CAST(system_identifier AS text) FROM pg_control_system()"
_SEND_HEARTBEAT: Final = f"""
    INSERT INTO replication_heartbeats AS newest (timeline, mark, sent_at)
    VALUES ({TIMELINE}, CAST(gen_random_uuid() AS text), clock_timestamp())
    ON CONFLICT (timeline) DO UPDATE SET mark = excluded.mark, sent_at = excluded.sent_at
    WHERE excluded.sent_at - newest.sent_at > interval '{HEARTBEAT_SECONDS} s'
"""  # noqa: S608 - constants
_READ_HEARTBEAT: Final = f"""
    SELECT mark, {INSTANCE}, sent_at < clock_timestamp() - interval '{HEARTBEAT_SECONDS} s'
    FROM replication_heartbeats WHERE timeline = {TIMELINE}
"""  # noqa: S608 - constants


class NotUsable(Exception):
    """The standby is not used. The message says why, and what to do if it is a mistake in the settings."""

    def __init__(self, problem: str, level: int = logging.WARNING) -> None:
        super().__init__(problem)
        self.level = level


@frozen
class Poll:
    """The state of a server. `instance` differs after each start; `timeline` and `mark` are None without a
    heartbeat of the primary.
    """

    is_standby: bool
    instance: str
    timeline: int | None
    mark: str | None
    xmin: int

    @property
    def horizon(self) -> int:
        return change_number(self.timeline or 0, self.xmin)


@frozen
class Heartbeat:
    """The newest heartbeat of the primary, the instance of its server, and the identifier of its cluster."""

    mark: str
    instance: str
    system: str | None


@frozen(eq=False)
class PolledInstance:
    """An instance of a server, in successive polls that found no other one.

    If polls find another instance and then this one again, that is another object. So as long as a standby has one
    object, all its connections lead to one instance.
    """

    name: str
    """`Poll.instance`."""


@frozen
class Horizon:
    """The horizon of a standby at `polled_at`, in seconds of `time.monotonic`.

    It is valid for what was read while `instance` was that of the standby.
    """

    number: int
    instance: PolledInstance
    polled_at: float


class Standby:
    """One host of `DATABASE_READ_URL`: the engine for reads, and a connection for polls."""

    def __init__(self, url: str, *, pool_size: int = 10, application_name: str = "scalecommerce") -> None:
        self.engine = database_engine(url, pool_size=pool_size, application_name=application_name)
        parameters, self._set_settings = separate_settings(connection_parameters(database_url(url)))
        self._parameters = {**parameters, "application_name": "scalecommerce standby monitor"}
        host = self._parameters.get("host") or self._parameters.get("hostaddr", "")
        self.name = f"{host}:{self._parameters.get('port') or '5432'}"
        self.instance: PolledInstance | None = None
        """The instance of the last successful poll, to which all connections of the pool must lead."""
        self._connection: psycopg.Connection[Any] | None = None
        self._sockets: OpenSockets[psycopg.Connection[Any]] = OpenSockets()
        self._lock = threading.Lock()
        event.listen(self.engine, "connect", self._on_connect)
        event.listen(self.engine, "checkout", self._on_checkout)

    def poll(self) -> Poll:
        """Raise `psycopg.Error`."""
        is_standby, instance, timeline, mark, xmin = self._fetch_row(_POLL)
        return Poll(
            is_standby == b"t",
            str(instance and instance.decode()),
            None if timeline is None else int(timeline),
            None if mark is None else mark.decode(),
            int(xmin or 0),
        )

    def system(self) -> str | None:
        """The identifier of the cluster; None if the user may not read it. Raise `psycopg.Error`."""
        try:
            (system,) = self._fetch_row(_SYSTEM.encode())
        except psycopg.errors.InsufficientPrivilege:
            self._close_connection()
            return None
        return None if system is None else system.decode()

    def check(self) -> None:
        """Take a connection for reads from the pool; raise `Unavailable` or `InvalidRequestError`."""
        with translate_errors(), self.engine.connect():
            pass

    def disconnect(self) -> None:
        """Close all connections. Statements that wait for an answer end with `ConnectionLost`."""
        self._close_connection()
        with self._lock:
            self._sockets.shut_down()
        self.engine.dispose()

    def _fetch_row(self, query: bytes) -> list[bytes | None]:
        """The values of the only row. After an error the connection cannot be used any more."""
        if self._connection is None:
            self._connection = psycopg.connect(**cast(Any, self._parameters), autocommit=True)
            if self._set_settings:
                self._connection.pgconn.send_query(self._set_settings)
                await_results(self._connection.pgconn, POLL_TIMEOUT)
        pgconn = self._connection.pgconn
        pgconn.send_query(query)
        (result,) = await_results(pgconn, POLL_TIMEOUT)
        return [result.get_value(0, column) for column in range(result.nfields)]

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _on_connect(self, connection: "psycopg.Connection[Any]", record: Any) -> None:
        row = connection.execute(f"SELECT {INSTANCE}".encode()).fetchone()
        connection.rollback()
        record.info["instance"] = row and row[0]
        with self._lock:
            self._sockets.forget_closed()
            self._sockets.add(connection)

    def _on_checkout(self, _connection: object, record: Any, _proxy: object) -> None:
        # The horizon is that of one server. A name or a proxy may lead to several.
        polled = self.instance
        if polled is None or record.info["instance"] != polled.name:
            raise DisconnectionError(f"{self.name} leads to several servers, or has been restarted")


class Primary:
    """The heartbeats of the primary."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._system: str | None = None
        self._is_system_known = False

    def heartbeat(self) -> Heartbeat:
        """Renew the heartbeat if it is old, and return it; raise `Unavailable`."""
        with translate_errors(self._engine):
            if not self._is_system_known:
                self._system, self._is_system_known = self._read_system(), True
            with self._engine.begin() as connection:
                found = connection.exec_driver_sql(_READ_HEARTBEAT).one_or_none()
                if found is None or found[2]:
                    # The loss of a heartbeat in a crash is harmless: the next one replaces it.
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                    connection.exec_driver_sql(_SEND_HEARTBEAT)
                    found = connection.exec_driver_sql(_READ_HEARTBEAT).one()
        mark, instance, _ = found
        return Heartbeat(mark, instance, self._system)

    def _read_system(self) -> str | None:
        try:
            with self._engine.begin() as connection:
                return str(connection.exec_driver_sql(_SYSTEM).scalar_one())
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                return None
            raise


class _State:
    """The state of one standby, for the thread of the monitor alone."""

    def __init__(self, standby: Standby) -> None:
        self.standby = standby
        self.paused_until = float("-inf")
        self.is_known = False
        """Whether its cluster has been compared with the primary's since it was connected."""
        self.is_checked = False
        """Whether a connection for reads has been opened since the standby was connected."""
        self.unconfirmed_since: float | None = None
        """The time since which the standby has shown no recent mark of the primary."""
        self.logged = ""


class StandbyMonitor:
    """Chooses a standby and polls its horizon. `choose` and `report_failure` may be called from any thread."""

    def __init__(
        self,
        standbys: Sequence[Standby],
        primary: Primary,
        on_horizon: Callable[[int], None] = lambda _: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_horizon` is called with each polled horizon."""
        self._states = [_State(standby) for standby in standbys]
        self._primary = primary
        self._on_horizon = on_horizon
        self._clock = clock
        self._chosen: tuple[Standby, Horizon] | None = None
        self._marks: dict[str, float] = {}
        """The time at which each recent mark was last seen as the primary's newest."""
        self._heartbeat: Heartbeat | None = None
        self._heartbeat_due = float("-inf")
        self._heartbeat_problem = ""
        self._failures: list[tuple[Standby, str, float]] = []
        self._used_at = float("-inf")
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    @property
    def standbys(self) -> Sequence[Standby]:
        return [state.standby for state in self._states]

    def choose(self) -> tuple[Standby, Horizon] | None:
        """The standby that may be read from now, with its horizon.

        The server may be restarted, or replaced by another one, before it is read from: what was read is valid if the
        `instance` of the standby is still that of the horizon.
        """
        now = self._clock()
        if now - self._used_at > IDLE_SECONDS:
            self._used_at = now
            self._start()
            self._wake.set()
        self._used_at = now
        # `_chosen` is read once, because the thread may replace it meanwhile.
        chosen = self._chosen
        if chosen is None or now - chosen[1].polled_at > MAX_SILENCE:
            return None
        return chosen

    def poll_soon(self) -> None:
        """Request a newer horizon."""
        self._wake.set()

    def report_failure(self, standby: Standby, problem: str, pause: float = AWAY_SECONDS) -> None:
        """Do not use the standby for `pause` seconds."""
        chosen = self._chosen
        if chosen is not None and chosen[0] is standby:
            self._chosen = None
        with self._lock:
            self._failures.append((standby, problem, pause))
        self._wake.set()

    def close(self) -> None:
        self._is_stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        for state in self._states:
            state.standby.disconnect()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_stopping:
                self._thread = threading.Thread(target=self._run, name="standby-monitor", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            try:
                self.step()
            except Exception as error:
                # Without this thread no standby would be used any more.
                self._chosen = None
                if str(error) != self._heartbeat_problem:
                    self._heartbeat_problem = str(error)
                    logger.exception("the monitor of standbys failed and continues")
            time.sleep(MIN_POLL_SECONDS)
            is_idle = self._clock() - self._used_at > IDLE_SECONDS
            self._wake.wait(None if is_idle else POLL_SECONDS)

    # --- on the thread

    def step(self) -> None:
        """Read the heartbeat of the primary if it is due, and poll a standby."""
        self._take_failures()
        self._read_heartbeat()
        self._chosen = self._poll_first_usable()

    def _take_failures(self) -> None:
        with self._lock:
            failures, self._failures = self._failures, []
        for standby, problem, pause in failures:
            state = next(each for each in self._states if each.standby is standby)
            if pause == AWAY_SECONDS:
                self._pause(state, NotUsable(problem))
            else:
                state.paused_until = self._clock() + pause

    def _read_heartbeat(self) -> None:
        now = self._clock()
        if now < self._heartbeat_due:
            return
        self._heartbeat_due = now + HEARTBEAT_CHECK_SECONDS
        try:
            heartbeat = self._primary.heartbeat()
        except MarketError as error:
            if str(error) != self._heartbeat_problem:
                self._heartbeat_problem = str(error)
                logger.warning("standbys are not read from: the primary did not take their heartbeat: %s", error)
            return
        if self._heartbeat_problem:
            self._heartbeat_problem = ""
            logger.info("the primary takes the heartbeat of standbys again")
        self._heartbeat = heartbeat
        self._marks = {mark: at for mark, at in self._marks.items() if now - at <= MAX_LAG_SECONDS}
        self._marks[heartbeat.mark] = now

    def _poll_first_usable(self) -> tuple[Standby, Horizon] | None:
        now = self._clock()
        if self._heartbeat is None or not self._marks:
            return None
        current = self._chosen[0] if self._chosen is not None else None
        # The standby in use comes first: others are tried when it fails.
        for state in sorted(self._states, key=lambda each: each.standby is not current):
            if state.paused_until > now:
                continue
            try:
                horizon = self._poll(state, self._heartbeat)
            except NotUsable as problem:
                self._pause(state, problem)
            except psycopg.Error as error:
                self._pause(state, NotUsable(str(error).partition("\n")[0]))
            else:
                if horizon is None:
                    return None
                self._on_horizon(horizon.number)
                return state.standby, horizon
        return None

    def _poll(self, state: _State, heartbeat: Heartbeat) -> Horizon | None:
        """The horizon; None if the standby has not confirmed yet that it follows the primary. Raise `NotUsable`."""
        standby = state.standby
        if not state.is_known:
            system = standby.system()
            if None not in {system, heartbeat.system} and system != heartbeat.system:
                raise NotUsable(
                    f"it belongs to another cluster (system identifier {system}) than the primary"
                    f" ({heartbeat.system}): correct DATABASE_READ_URL",
                    logging.ERROR,
                )
            state.is_known = True
        asked_at = self._clock()
        poll = standby.poll()
        if not poll.is_standby:
            if poll.instance != heartbeat.instance:
                raise NotUsable("it is no standby, or was promoted")
            if len(self._states) == 1:
                raise NotUsable(
                    "it is the primary, which answers all reads already: name standbys in DATABASE_READ_URL",
                    logging.ERROR,
                )
            raise NotUsable("it is the primary", logging.INFO)
        seen_at = self._marks.get(poll.mark or "")
        if seen_at is None or asked_at - seen_at > MAX_LAG_SECONDS:
            since = state.unconfirmed_since = state.unconfirmed_since or asked_at
            if asked_at - since > MAX_LAG_SECONDS:
                raise NotUsable(
                    f"it lacks what the primary wrote {MAX_LAG_SECONDS:.0f} seconds ago: it is behind, or does not"
                    " follow this primary"
                )
            return None
        state.unconfirmed_since = None
        if standby.instance is None or standby.instance.name != poll.instance:
            standby.instance = PolledInstance(poll.instance)
        instance = standby.instance
        if not state.is_checked:
            try:
                standby.check()
            except (MarketError, InvalidRequestError) as error:
                raise NotUsable(str(error.__cause__ or error).partition("\n")[0]) from error
            state.is_checked = True
        self._log(state, "", logging.INFO)
        return Horizon(poll.horizon, instance, asked_at)

    def _pause(self, state: _State, problem: NotUsable) -> None:
        state.paused_until = self._clock() + AWAY_SECONDS
        state.is_known = state.is_checked = False
        with suppress(psycopg.Error):
            state.standby.disconnect()
        self._log(state, str(problem), problem.level)

    def _log(self, state: _State, problem: str, level: int) -> None:
        """Log a change of the state; `problem` is empty for a standby that is used."""
        message = f"is not read from: {problem}" if problem else "answers reads of the catalog"
        if message != state.logged:
            state.logged = message
            logger.log(level, "standby %s %s", state.standby.name, message)
