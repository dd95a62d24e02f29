"""Changes of the catalogue: told by the transaction that makes them, heard by every process that keeps copies.

NOTIFY is part of the transaction: PostgreSQL delivers it if, and after, the transaction commits, and all messages in
the order of commits, since a committing transaction holds the queue from its first message until it is visible. The
number of a change is the transaction's id: a snapshot sees it if the id lies below the oldest transaction that was
still running when the snapshot was taken. Both are the database's own, so no clock is asked.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Final, cast

import psycopg
from sqlalchemy import BigInteger, Engine, literal_column, select

from adapters.db.core.errors import translate_errors
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange, ChangeListener

logger = logging.getLogger(__name__)

CHANNEL: Final = "scalecommerce_catalog"
MAX_LISTED_IDS: Final = 20_000
"""More products in one transaction are told as everything."""
MAX_MESSAGE_BYTES: Final = 7_500
"""Bytes of one message; PostgreSQL takes up to 8,000."""
HEARTBEAT_SECONDS: Final = 0.2
IDLE_HEARTBEATS: Final = 25
"""After so many beats that nobody wanted, no more are sent until somebody does."""
RECONNECT_SECONDS: Final = 0.5
"""Between attempts to reach a server that is away."""
HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0
"""A beat that has not come back by then was sent into a broken connection."""

NOTIFY: Final = f"""
    SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint),
           pg_notify('{CHANNEL}', pg_current_xact_id() || ' ' || part)
    FROM unnest(%(parts)s::text[]) AS part
"""  # noqa: S608 - a constant of ours
VISIBILITY_HORIZON: Final = select(
    literal_column("CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)", BigInteger).label("horizon")
)
_NEXT_XID: Final = "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
_HEARTBEAT: Final = f"SELECT pg_notify('{CHANNEL}', %s)"


class PendingChanges:
    """What a transaction has changed so far."""

    def __init__(self) -> None:
        self.products: set[ProductId] = set()
        self.sellers: set[AccountId] = set()
        self.lists = False

    def __bool__(self) -> bool:
        return bool(self.products or self.sellers or self.lists)

    @property
    def exceeds_limit(self) -> bool:
        return len(self.products) + len(self.sellers) > MAX_LISTED_IDS

    def notify_parameters(self) -> dict[str, str]:
        """Of `TELL`."""
        if self.exceeds_limit:
            parts = ["*"]
        else:
            parts = [*_split_messages("p", sorted(self.products)), *_split_messages("s", sorted(self.sellers))] or ["p"]
        return {"parts": "{" + ",".join(f'"{part}"' for part in parts) + "}"}

    def to_change(self, number: int) -> CatalogChange:
        if self.exceeds_limit:
            return CatalogChange(number, everything=True)
        return CatalogChange(number, frozenset(self.products), frozenset(self.sellers))


def _split_messages(kind: str, ids: Iterable[int]) -> Iterator[str]:
    """`p 1 2 3`, in messages that are short enough."""
    part = kind
    for id_ in ids:
        if len(part) > MAX_MESSAGE_BYTES - 20:
            yield part
            part = kind
        part += f" {id_}"
    if part != kind:
        yield part


def parse_change(payload: str) -> CatalogChange:
    number, kind, *ids = payload.split(" ")
    if kind == "*":
        return CatalogChange(int(number), everything=True)
    if kind == "s":
        return CatalogChange(int(number), sellers=frozenset(map(AccountId, map(int, ids))))
    return CatalogChange(int(number), frozenset(map(ProductId, map(int, ids))))


class PostgresCatalogFeed:
    """`ports.CatalogFeed`: one thread with one connection of its own.

    It sends itself a beat every so often. The beat waits its turn behind every message of transactions that committed
    before it, so when it is back, they all are: whatever was committed before the beat was sent has been told.
    """

    def __init__(self, engine: Engine, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._engine = engine
        self._heartbeat_seconds = heartbeat_seconds
        self._listener: ChangeListener | None = None
        self._keep_alive = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._heartbeat_prefix = f"beat:{secrets.token_hex(8)}"

    def follow(self, listener: ChangeListener) -> None:
        if self._thread is not None:
            raise RuntimeError("This feed is followed already.")
        self._listener = listener
        self._thread = threading.Thread(target=self._run, args=(listener,), name="catalogue", daemon=True)
        self._thread.start()

    def announce(self, change: CatalogChange) -> None:
        """For the store of this process, as soon as it has committed."""
        if self._listener is not None:
            self._listener.on_local_change(change)

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
                logger.warning("changes of the catalogue are not heard, so nothing is taken from the cache: %s", error)
            except Exception:
                # Nobody is above this thread to hear of it, and without it there is no cache.
                logger.exception("the feed of changes broke off and begins anew")
            self._stopping.wait(RECONNECT_SECONDS)

    def _connect(self) -> "psycopg.Connection[Any]":
        """A connection as all others, which the pool does not get back."""
        pooled = self._engine.raw_connection()
        connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
        pooled.detach()
        connection.rollback()
        connection.autocommit = True
        return connection

    def _listen(self, connection: "psycopg.Connection[Any]", listener: ChangeListener) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        # A snapshot after LISTEN: what it sees may have gone unheard, whatever comes later will be heard.
        (begins,) = connection.execute(_NEXT_XID).fetchone() or (0,)
        listener.on_start(begins)
        unwanted = 0
        while not self._stopping.is_set():
            if self._keep_alive.is_set():
                self._keep_alive.clear()
                unwanted = 0
            elif (unwanted := unwanted + 1) > IDLE_HEARTBEATS:
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
            is_back = False
            # To the end: a generator that is left early loses what came in the same packet.
            for heard in connection.notifies(timeout=HEARTBEAT_TIMEOUT_SECONDS, stop_after=1):
                is_back = is_back or heard.payload == beat
                self._dispatch(heard.payload, listener)
            if is_back:
                return
        raise psycopg.OperationalError("a message to ourselves did not come back")

    def _dispatch_for(self, connection: "psycopg.Connection[Any]", listener: ChangeListener, seconds: float) -> None:
        for heard in connection.notifies(timeout=seconds):
            self._dispatch(heard.payload, listener)

    def _wait_until_needed(self, connection: "psycopg.Connection[Any]", listener: ChangeListener) -> None:
        """Until somebody wants to read; changes are passed on meanwhile, so that the queue does not fill up."""
        while not self._keep_alive.is_set():
            self._dispatch_for(connection, listener, 0)
            self._keep_alive.wait(self._heartbeat_seconds)

    def _dispatch(self, payload: str, listener: ChangeListener) -> None:
        if not payload.startswith("beat:"):
            listener.on_change(parse_change(payload))
