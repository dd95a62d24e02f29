"""Notifications of changes of the catalog and of access, which transactions send with NOTIFY to the API processes.

NOTIFY is transactional: PostgreSQL delivers a message only after its transaction committed, and messages in commit
order, because a committing transaction holds the notification queue until its changes are visible.

The number of a change is made of the timeline of the server and the id of the transaction. A snapshot sees all changes
with numbers below that of its xmin, the id of the oldest transaction that was running when the snapshot was taken. So
staleness is decided without clocks. The timeline comes first, because a promoted standby may give ids anew that the
former primary has given.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final, cast

import psycopg
from sqlalchemy import BigInteger, Engine, literal_column, select

from adapters.db.core.errors import translate_errors
from adapters.db.core.primary_monitor import TIMELINE
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import AccountId, ProductId, SessionId
from scalecommerce_core.ports import AccessChange, CatalogChange, ChangeListener

logger = logging.getLogger(__name__)

CHANNEL: Final = "scalecommerce_catalog"
MAX_LISTED_IDS: Final = 20_000
"""A transaction that changes more products and sellers sends one message that invalidates everything."""
MAX_MESSAGE_BYTES: Final = 7_500
"""Size limit of one message in bytes; PostgreSQL allows less than 8,000."""
HEARTBEAT_SECONDS: Final = 0.2
IDLE_HEARTBEATS: Final = 25
"""Heartbeats stop after this many without a call of `keep_alive`, and start again with the next call."""
RECONNECT_SECONDS: Final = 0.5
"""Pause between attempts to reconnect."""
HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0
"""A connection that has not returned its heartbeat after this time is taken for broken."""

# Messages contain the transaction id alone: those of one connection are of one timeline.
NOTIFY: Final = f"""
    SELECT {TIMELINE},
           CAST(CAST(pg_current_xact_id() AS text) AS bigint),
           pg_notify('{CHANNEL}', pg_current_xact_id() || ' ' || part)
    FROM unnest(%(parts)s::text[]) AS part
"""  # noqa: S608 - constants
"""The first two columns are the arguments of `change_number`."""
VISIBILITY_HORIZON: Final = select(
    literal_column(TIMELINE, BigInteger).label("timeline"),
    literal_column("CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)", BigInteger).label(
        "horizon"
    ),
)
"""The columns are the arguments of `change_number`."""
_NEXT_XID: Final = f"SELECT {TIMELINE}, CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
_HEARTBEAT: Final = f"SELECT pg_notify('{CHANNEL}', %s)"


_XID_BITS: Final = 64


def change_number(timeline: int, xid: int) -> int:
    """The number of a change or of a horizon: numbers of a later timeline are larger."""
    return timeline << _XID_BITS | xid


class PendingChanges:
    """The changes of a transaction so far: products, sellers, `lists` such as categories, `everything` in the catalog,
    access, and `events` that got numbers.
    """

    def __init__(self) -> None:
        self.products: set[ProductId] = set()
        self.sellers: set[AccountId] = set()
        self.lists = False
        self.everything = False
        self.revoked_sessions: set[SessionId] = set()
        self.key_owners: set[AccountId] = set()
        self.events = False

    def __bool__(self) -> bool:
        return bool(self.changes_catalog or self.revoked_sessions or self.key_owners or self.events)

    @property
    def changes_catalog(self) -> bool:
        return bool(self.products or self.sellers or self.lists or self.everything)

    @property
    def changes_everything(self) -> bool:
        return self.everything or len(self.products) + len(self.sellers) > MAX_LISTED_IDS

    def notify_parameters(self) -> dict[str, str]:
        """The parameters of the statement `NOTIFY`."""
        parts = [
            *_split_messages("r", sorted(self.revoked_sessions)),
            *_split_messages("k", sorted(self.key_owners)),
        ]
        if self.events:
            parts.append("e")
        if self.changes_everything:
            parts.append("*")
        elif self.products or self.sellers:
            parts += [*_split_messages("p", sorted(self.products)), *_split_messages("s", sorted(self.sellers))]
        elif self.lists:
            parts.append("p")
        return {"parts": "{" + ",".join(f'"{part}"' for part in parts) + "}"}

    def to_change(self, number: int) -> CatalogChange | None:
        if self.changes_everything:
            return CatalogChange(number, everything=True)
        return (
            CatalogChange(number, frozenset(self.products), frozenset(self.sellers)) if self.changes_catalog else None
        )

    def to_access_change(self) -> AccessChange | None:
        if not self.revoked_sessions and not self.key_owners:
            return None
        return AccessChange(frozenset(self.revoked_sessions), frozenset(self.key_owners))


def _split_messages(kind: str, ids: Sequence[int | str]) -> Iterator[str]:
    """Messages such as `p 1 2 3`, each within `MAX_MESSAGE_BYTES`."""
    words = [f" {id_}" for id_ in ids]
    # Every message has the same number of words, as many as fit if all of them are as long as the longest.
    count = (MAX_MESSAGE_BYTES - len(kind)) // max(map(len, words), default=1)
    for begin in range(0, len(words), count):
        yield kind + "".join(words[begin : begin + count])


def parse_change(payload: str, timeline: int) -> CatalogChange | AccessChange | None:
    """The change of a message from a server of this timeline.

    The message has the transaction id, then `*`, or a letter with ids: `p` products, `s` sellers, `r` revoked sessions,
    `k` owners of changed API keys. None for `e`: events got numbers.
    """
    xid, kind, *ids = payload.split(" ")
    number = change_number(timeline, int(xid))
    if kind == "*":
        return CatalogChange(number, everything=True)
    if kind == "e":
        return None
    if kind == "k":
        return AccessChange(key_owners=frozenset(map(AccountId, map(int, ids))))
    if kind == "r":
        return AccessChange(frozenset(map(SessionId, ids)))
    if kind == "s":
        return CatalogChange(number, sellers=frozenset(map(AccountId, map(int, ids))))
    return CatalogChange(number, frozenset(map(ProductId, map(int, ids))))


class PostgresCatalogFeed:
    """`ports.CatalogFeed` in one thread with one connection.

    The thread regularly sends itself a heartbeat message. Messages arrive in commit order, so when the heartbeat
    returns, all changes that were committed before it was sent have been received.
    """

    def __init__(self, engine: Engine, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._engine = engine
        self._heartbeat_seconds = heartbeat_seconds
        self._listener: ChangeListener | None = None
        self._keep_alive = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_error = ""
        self._timeline = 0
        self._heartbeat_prefix = f"beat:{secrets.token_hex(8)}"

    def follow(self, listener: ChangeListener) -> None:
        if self._thread is not None:
            raise RuntimeError("This feed already has a listener.")
        self._listener = listener
        self._thread = threading.Thread(target=self._run, args=(listener,), name="catalog-changes", daemon=True)
        self._thread.start()

    def announce(self, change: CatalogChange) -> None:
        """Report a change of the catalog that the store of this process has just committed."""
        if self._listener is not None:
            self._listener.on_local_change(change)

    def announce_access(self, change: AccessChange) -> None:
        """Report a change of access that the store of this process has just committed."""
        if self._listener is not None:
            self._listener.on_access_change(change)

    def keep_alive(self) -> None:
        if not self._keep_alive.is_set():
            self._keep_alive.set()

    def close(self) -> None:
        self._stopping.set()
        self._keep_alive.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self, listener: ChangeListener) -> None:
        while not self._stopping.is_set():
            try:
                with translate_errors(), closing(self._connect()) as connection:
                    self._listen(connection, listener)
            except (MarketError, psycopg.Error) as error:
                if self._is_new(error):
                    logger.warning(
                        "change notifications are interrupted: the cache is off, the database checks sessions: %s",
                        error,
                    )
            except Exception as error:
                # No caller could handle the error, and without this thread the cache stays off.
                if self._is_new(error):
                    logger.exception("the feed of changes failed and restarts")
            self._stopping.wait(RECONNECT_SECONDS)

    def _is_new(self, error: Exception) -> bool:
        """Whether the error differs from the one before: attempts to reconnect repeat the same error."""
        before, self._last_error = self._last_error, str(error)
        return before != self._last_error

    def _connect(self) -> "psycopg.Connection[Any]":
        """A connection with the settings of the pool, detached from it."""
        pooled = self._engine.raw_connection()
        connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
        pooled.detach()
        connection.rollback()
        connection.autocommit = True
        return connection

    def _listen(self, connection: "psycopg.Connection[Any]", listener: ChangeListener) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        # The snapshot is taken after LISTEN: changes that it does not see yet will be received.
        self._timeline, first_xid = connection.execute(_NEXT_XID).fetchone() or (0, 0)
        listener.on_start(change_number(self._timeline, first_xid))
        self._last_error = ""
        idle = 0
        while not self._stopping.is_set():
            if self._keep_alive.is_set():
                self._keep_alive.clear()
                idle = 0
            elif (idle := idle + 1) > IDLE_HEARTBEATS:
                self._wait_until_needed(connection, listener)
                continue
            sent_at = time.monotonic()
            beat = f"{self._heartbeat_prefix}:{sent_at}"
            connection.execute(_HEARTBEAT, (beat,))
            self._await_heartbeat(connection, listener, beat)
            listener.on_heartbeat(sent_at)
            self._dispatch_for(connection, listener, self._heartbeat_seconds)

    def _await_heartbeat(self, connection: "psycopg.Connection[Any]", listener: ChangeListener, beat: str) -> None:
        deadline = time.monotonic() + HEARTBEAT_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            is_received = False
            # Exhaust the generator: leaving it early loses messages of the same packet.
            for message in connection.notifies(timeout=HEARTBEAT_TIMEOUT_SECONDS, stop_after=1):
                is_received = is_received or message.payload == beat
                self._dispatch(message.payload, listener)
            if is_received:
                return
        raise psycopg.OperationalError("a heartbeat message did not return")

    def _dispatch_for(self, connection: "psycopg.Connection[Any]", listener: ChangeListener, seconds: float) -> None:
        for message in connection.notifies(timeout=seconds):
            self._dispatch(message.payload, listener)

    def _wait_until_needed(self, connection: "psycopg.Connection[Any]", listener: ChangeListener) -> None:
        """Wait for `keep_alive`. Messages are still received, because PostgreSQL keeps them for every listener."""
        while not self._keep_alive.is_set():
            self._dispatch_for(connection, listener, 0)
            self._keep_alive.wait(self._heartbeat_seconds)

    def _dispatch(self, payload: str, listener: ChangeListener) -> None:
        if payload.startswith("beat:"):
            return
        change = parse_change(payload, self._timeline)
        if change is None:
            listener.on_events()
        elif isinstance(change, AccessChange):
            listener.on_access_change(change)
        else:
            listener.on_change(change)
