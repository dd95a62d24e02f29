"""Notifications of changes of the catalog and of access: rows of `change_log` that every API process reads.

A transaction inserts one row with the ids that it changes, in the round trip of its COMMIT. A feed reads the log at
short intervals. Each read is one statement, which has one snapshot, and it returns the rows that are visible in this
snapshot and were not in that of the read before. So a read returns everything that was committed before it began, and
no row twice, whatever the order of the commits. No lock and no session state are involved: readers do not delay
commits, and a connection pooler may lie between.

The number of a change is made of the timeline of the server and the id of the transaction. A snapshot sees all changes
with numbers below that of its xmin, the id of the oldest transaction that was running when the snapshot was taken. So
staleness is decided without clocks. The timeline comes first, because a promoted standby may assign ids again that
the former primary has assigned.
"""

import json
import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, cast

import psycopg
from attrs import field, frozen
from psycopg import sql
from sqlalchemy import BigInteger, Engine, literal_column, select, text

from adapters.db.core.engine import has_transaction_pooler
from adapters.db.core.errors import translate_errors
from adapters.db.core.primary_monitor import INSTANCE, TIMELINE
from adapters.db.core.timed_results import await_results
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, SessionId
from scalecommerce_core.ports import AccessChange, CatalogChange, ChangeListener, ProductAspect, ProductScope

logger = logging.getLogger(__name__)

MAX_LISTED_IDS: Final = 20_000
"""A transaction that changes more products and sellers is logged as a change of everything."""
MAX_SCOPE_IDS: Final = 200
"""Scopes with more categories or more sellers are logged as any product."""
HEARTBEAT_SECONDS: Final = 0.08
"""Interval of the reads while the feed is in use. A change is reported half of it later on average."""
IDLE_AFTER_SECONDS: Final = 5.0
"""The feed is idle this long after the last call of `keep_alive`, and in use again with the next call."""
IDLE_SECONDS: Final = 1.0
"""Interval of the reads while the feed is idle."""
RECONNECT_SECONDS: Final = 0.5
"""Pause between attempts to reconnect."""
READ_TIMEOUT_SECONDS: Final = 5.0
"""A connection on which a read has not returned after this time counts as broken."""
PURGE_SECONDS: Final = 30.0
"""Interval at which a feed checks whether the log is to be purged."""
RETENTION_MINUTES: Final = 5
"""Rows stay in the log for one to two times this period. A feed that has not read for longer starts anew."""
PURGE_ROWS: Final = 2_000
"""Rows that one statement deletes at most. While old rows are left, such a statement follows each read."""

_XMAX: Final = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
_XMIN: Final = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"

INSERT_CHANGES: Final = f"""
    INSERT INTO change_log (xid, products, sellers, revoked_sessions, key_owners, lists, everything, events,
        aspects)
    VALUES (CAST(CAST(pg_current_xact_id() AS text) AS bigint), %(products)s::bigint[], %(sellers)s::bigint[],
        %(revoked_sessions)s::text[], %(key_owners)s::bigint[], %(lists)s::boolean, %(everything)s::boolean,
        %(events)s::boolean, %(aspects)s::jsonb)
    RETURNING {TIMELINE}, xid
"""  # noqa: S608 - constants
"""The columns of its row are the arguments of `change_number`."""
VISIBILITY_HORIZON: Final = select(
    literal_column(TIMELINE, BigInteger).label("timeline"), literal_column(_XMIN, BigInteger).label("horizon")
)
"""The columns are the arguments of `change_number`."""

# The parameters are in subqueries, so that PostgreSQL's estimates do not depend on them: otherwise PostgreSQL would
# plan each read, which costs more than the read. Visible rows with ids from `xmax` on are of another cluster, from
# which the database was restored.
_READ: Final = sql.SQL(f"""
    SELECT {TIMELINE}, {INSTANCE}, pg_current_snapshot(), (SELECT purged_below FROM {{state}}), (
        SELECT json_agg(found ORDER BY xid) FROM (
            SELECT * FROM {{log}} WHERE xid >= (SELECT $1::bigint) AND xid < {_XMAX}
            UNION ALL SELECT * FROM {{log}} WHERE xid = ANY ((SELECT $2::bigint[])::bigint[])
        ) AS found
    )
""")  # noqa: S608 - constants
_READ_NAME: Final = b"read_change_log"

# A purge must not wait for a synchronous standby, because the feed would not read meanwhile.
_BEGIN_PURGE: Final = "BEGIN; SET LOCAL synchronous_commit = off; "
# `next_below` is the horizon at the time `next_at`: rows below it have been visible since then. Values above the
# transaction ids of this cluster were restored from a dump of another one.
_ADVANCE_PURGE: Final = sql.SQL(f"""{_BEGIN_PURGE}
    UPDATE {{state}} SET
        purged_below = CASE WHEN next_below <= {_XMAX} THEN next_below ELSE 0 END,
        next_below = {_XMIN},
        next_at = now()
    WHERE abs(extract(epoch FROM now() - next_at)) > {RETENTION_MINUTES * 60} OR next_below > {_XMAX};
    COMMIT""")  # noqa: S608 - constants
_PURGE: Final = sql.SQL(f"""{_BEGIN_PURGE}
    DELETE FROM {{log}} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {{log}}
        WHERE xid < (SELECT purged_below FROM {{state}}) OR xid >= {_XMAX}
        LIMIT {{rows}}
    ));
    COMMIT""")  # noqa: S608 - constants

_SCHEMA: Final = text(
    "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE pg_class.oid = CAST('change_log' AS regclass)"
)

_XID_BITS: Final = 64
ASPECTS: Final = frozenset(ProductAspect)


def change_number(timeline: int, xid: int) -> int:
    """The number of a change or of a horizon: numbers of a later timeline are larger."""
    return timeline << _XID_BITS | xid


class _ScopeOfChanges:
    """The categories and sellers of the changed products so far."""

    __slots__ = ("categories", "is_any", "sellers")

    def __init__(self) -> None:
        self.categories: set[CategoryId] = set()
        self.sellers: set[AccountId] = set()
        self.is_any = False

    @property
    def scope(self) -> ProductScope | None:
        """None: any product."""
        if self.is_any or max(len(self.categories), len(self.sellers)) > MAX_SCOPE_IDS:
            return None
        return ProductScope(frozenset(self.categories), frozenset(self.sellers))


class PendingChanges:
    """The changes of a transaction so far: products, sellers, `lists` such as categories, `everything` in the catalog,
    access, and `events` that got numbers.

    A repository that adds to `products` also calls `add_aspect` for each aspect that changed. For `created_products`,
    which are among the products, only the membership is recorded; it stands for all aspects.
    """

    def __init__(self) -> None:
        self.products: set[ProductId] = set()
        self.created_products: set[ProductId] = set()
        self._aspects: dict[ProductAspect, _ScopeOfChanges] = {}
        self.sellers: set[AccountId] = set()
        self.lists = False
        self.everything = False
        self.revoked_sessions: set[SessionId] = set()
        self.key_owners: set[AccountId] = set()
        self.events = False
        self.by_decision = False
        """Whether orders may have been decided. Decisions change stock often, so lists of the process that makes
        them are invalidated as late as those of other processes, not at once."""

    def __bool__(self) -> bool:
        return bool(self.changes_catalog or self.revoked_sessions or self.key_owners or self.events)

    def add_aspect(self, aspect: ProductAspect, categories: Iterable[CategoryId], seller: AccountId) -> None:
        """Record an aspect that changed of a product of the seller, which is and was in one of the categories."""
        found = self._aspects.get(aspect) or self._aspects.setdefault(aspect, _ScopeOfChanges())
        found.categories.update(categories)
        found.sellers.add(seller)

    def add_aspect_of_any(self, aspect: ProductAspect) -> None:
        """Record an aspect that changed of products whose categories and sellers are unknown."""
        self._aspects.setdefault(aspect, _ScopeOfChanges()).is_any = True

    @property
    def aspects(self) -> Mapping[ProductAspect, ProductScope | None] | None:
        """As in `CatalogChange`."""
        if self.sellers or self.lists or self.changes_everything:
            return None
        return {aspect: found.scope for aspect, found in self._aspects.items()}

    @property
    def changes_catalog(self) -> bool:
        return bool(self.products or self._aspects or self.sellers or self.lists or self.everything)

    @property
    def changes_everything(self) -> bool:
        return self.everything or len(self.products) + len(self.sellers) > MAX_LISTED_IDS

    def log_parameters(self) -> dict[str, str]:
        """The parameters of the statement `INSERT_CHANGES`."""
        everything = self.changes_everything
        return {
            "products": _array_literal(() if everything else self.products),
            "sellers": _array_literal(() if everything else self.sellers),
            "revoked_sessions": _array_literal(self.revoked_sessions),
            "key_owners": _array_literal(self.key_owners),
            "lists": str(self.lists),
            "everything": str(everything),
            "events": str(self.events),
            "aspects": _encode_aspects(self.aspects),
        }

    def to_change(self, number: int) -> CatalogChange | None:
        if self.changes_everything:
            return CatalogChange(number, everything=True)
        if not self.changes_catalog:
            return None
        return CatalogChange(number, frozenset(self.products), frozenset(self.sellers), aspects=self.aspects)

    def to_access_change(self) -> AccessChange | None:
        if not self.revoked_sessions and not self.key_owners:
            return None
        return AccessChange(frozenset(self.revoked_sessions), frozenset(self.key_owners))


def _array_literal(ids: Collection[int | str]) -> str:
    """PostgreSQL's notation of an array; session ids consist of letters and digits, and need no quotes."""
    return "{" + ",".join(map(str, ids)) + "}"


def _encode_aspects(aspects: Mapping[ProductAspect, ProductScope | None] | None) -> str:
    """JSON for the column `aspects` of the log."""
    if aspects is None:
        return "null"
    scopes = {
        aspect: None if scope is None else {"categories": list(scope.categories), "sellers": list(scope.sellers)}
        for aspect, scope in aspects.items()
    }
    return json.dumps(scopes)


def _decode_aspects(found: Mapping[str, Any] | None) -> Mapping[ProductAspect, ProductScope | None] | None:
    """None, which means that any list may have changed, also for rows of an earlier release and of a later one that
    knows more aspects.
    """
    if found is None or not ASPECTS.issuperset(found):
        return None
    return {
        ProductAspect(name): None
        if scope is None
        else ProductScope(frozenset(map(CategoryId, scope["categories"])), frozenset(map(AccountId, scope["sellers"])))
        for name, scope in found.items()
    }


@frozen
class Snapshot:
    """A snapshot of PostgreSQL: the transactions below `xmax` are visible, except those that were `running`."""

    xmin: int
    xmax: int
    running: Sequence[bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: bytes) -> "Snapshot":
        """Read PostgreSQL's notation, such as `10:20:10,14,15`."""
        xmin, xmax, running = text.split(b":")
        return cls(int(xmin), int(xmax), running.split(b",") if running else ())

    @property
    def read_parameters(self) -> tuple[bytes, bytes]:
        """The parameters of a read of what this snapshot does not see."""
        return b"%d" % self.xmax, b"{" + b",".join(self.running) + b"}"


_END_OF_LOG: Final = Snapshot(0, 2**63 - 1, ())
"""A read after this snapshot returns no rows, only the present snapshot."""


@frozen
class _Read:
    """The result of one read; `changes` are rows of the log. Rows with ids below `purged_below` may be gone.

    `instance` differs after each start of the server. After a crash, the server assigns the ids of transactions again
    that had left no trace. A connection pooler can hide the crash from its clients.
    """

    timeline: int
    instance: bytes
    snapshot: Snapshot
    purged_below: int
    changes: Sequence[Mapping[str, Any]]

    def continues(self, before: "_Read") -> bool:
        """Whether this read returned everything that was not visible in the read before."""
        is_of_this_cluster = self.purged_below <= self.snapshot.xmax
        return (self.timeline, self.instance) == (before.timeline, before.instance) and not (
            is_of_this_cluster and before.snapshot.xmin < self.purged_below
        )


@frozen
class LogPosition:
    """All changes with numbers below `number` had been committed, on the `instance` of the server (`INSTANCE`)."""

    number: int
    instance: bytes


class LogReader:
    """Reads of the change log on one connection, each of which returns what the read before did not see.

    Reads and purges are sent without psycopg's cursors, which would wait for the results without a limit.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", schema: str | None = None) -> None:
        """Take the first snapshot; what it does not see will be read. Raise `psycopg.Error`.

        `schema` is that of the log; None: the search path of the connection finds it.
        """
        self._pgconn = connection.pgconn
        self._read_statement = _in_schema(_READ, schema)
        self._advance_statement = _in_schema(_ADVANCE_PURGE, schema)
        self._purge_statement = _in_schema(_PURGE, schema)
        self._is_prepared = connection.prepare_threshold is not None
        if self._is_prepared:
            self._pgconn.send_prepare(_READ_NAME, self._read_statement)
            self._await()
        self._latest = self._execute(_END_OF_LOG)

    @property
    def start_number(self) -> int:
        """Changes with smaller numbers may have been committed before the first read."""
        return change_number(self._latest.timeline, self._latest.snapshot.xmax)

    @property
    def timeline(self) -> int:
        return self._latest.timeline

    @property
    def position(self) -> "LogPosition":
        """The position of the latest read."""
        return LogPosition(change_number(self._latest.timeline, self._latest.snapshot.xmin), self._latest.instance)

    def read_since(self, position: "LogPosition") -> Sequence[Mapping[str, Any]] | None:
        """The rows of the changes from a position on; None if some of them may be missing."""
        timeline, xid = position.number >> _XID_BITS, position.number & (1 << _XID_BITS) - 1
        found = self._execute(Snapshot(xid, xid, ()))
        begin = _Read(timeline, position.instance, Snapshot(xid, xid, ()), 0, ())
        return found.changes if found.continues(begin) else None

    def read(self) -> Sequence[Mapping[str, Any]]:
        """The rows of the changes that were committed since the read before.

        Raise `psycopg.OperationalError` if some of them may be missing.
        """
        found = self._execute(self._latest.snapshot)
        if not found.continues(self._latest):
            raise psycopg.OperationalError("changes may have been missed")
        self._latest = found
        return found.changes

    def advance_purge(self) -> bool:
        """Whether the caller is to call `purge`: no other feed has done so for `RETENTION_MINUTES`."""
        return self._affected_rows(self._advance_statement) > 0

    def purge(self) -> bool:
        """Delete up to `PURGE_ROWS` old rows; return whether more may be left."""
        return self._affected_rows(self._purge_statement) >= PURGE_ROWS

    def _execute(self, after: Snapshot) -> _Read:
        if self._is_prepared:
            self._pgconn.send_query_prepared(_READ_NAME, after.read_parameters)
        else:
            self._pgconn.send_query_params(self._read_statement, after.read_parameters)
        (result,) = self._await()
        timeline, instance, snapshot, purged_below, changes = (result.get_value(0, column) for column in range(5))
        return _Read(
            int(timeline or 0),
            instance or b"",
            Snapshot.parse(snapshot or b""),
            int(purged_below or 0),
            [] if changes is None else json.loads(changes),
        )

    def _affected_rows(self, statements: bytes) -> int:
        self._pgconn.send_query(statements)
        return sum(result.command_tuples or 0 for result in self._await())

    def _await(self) -> "list[psycopg.pq.abc.PGresult]":
        return await_results(self._pgconn, READ_TIMEOUT_SECONDS)


def _in_schema(statement: sql.SQL, schema: str | None) -> bytes:
    """The statement with the names of its tables, and the number of rows of a purge."""
    place = () if schema is None else (schema,)
    return statement.format(
        log=sql.Identifier(*place, "change_log"),
        state=sql.Identifier(*place, "change_log_state"),
        rows=sql.Literal(PURGE_ROWS),
    ).as_bytes()


def report_changes(rows: Iterable[Mapping[str, Any]], timeline: int, listener: ChangeListener) -> None:
    """Report rows of the log of a server of this timeline to a listener."""
    for row in rows:
        products = frozenset(map(ProductId, row["products"]))
        sellers = frozenset(map(AccountId, row["sellers"]))
        sessions = frozenset(map(SessionId, row["revoked_sessions"]))
        key_owners = frozenset(map(AccountId, row["key_owners"]))
        if sessions or key_owners:
            listener.on_access_change(AccessChange(sessions, key_owners))
        aspects = _decode_aspects(row["aspects"])
        # The column, because a change of aspects that only a later release knows is one, too.
        if products or sellers or row["aspects"] or row["lists"] or row["everything"]:
            number = change_number(timeline, row["xid"])
            listener.on_change(CatalogChange(number, products, sellers, everything=row["everything"], aspects=aspects))
        if row["events"]:
            listener.on_events()


class PostgresCatalogFeed:
    """`ports.CatalogFeed` in one thread with one connection, which reads the change log at intervals.

    Each read is a heartbeat: all changes that were committed before it began have been reported when it ends. Feeds
    also purge the log, one of them at a time.
    """

    def __init__(self, engine: Engine, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._engine = engine
        self._heartbeat_seconds = heartbeat_seconds
        self._listener: ChangeListener | None = None
        self._keep_alive = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_error = ""
        self.position: LogPosition | None = None
        """All changes below it have been reported, or preceded the last start of the feed. None: the feed is
        interrupted."""

    @property
    def reported_below(self) -> int | None:
        """The number below which all changes have been reported, as `position`."""
        position = self.position
        return None if position is None else position.number

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

    def report_since(self, position: LogPosition, listener: ChangeListener) -> bool:
        """Report the logged changes from a position on, once; return False if some of them may be missing.

        Raise `MarketError` or `psycopg.Error` if the database cannot be read.
        """
        with translate_errors(), closing(self._connect()) as connection:
            log = LogReader(connection, self._log_schema())
            rows = log.read_since(position)
            if rows is not None:
                report_changes(rows, log.timeline, listener)
            return rows is not None

    def close(self) -> None:
        self._stopping.set()
        self._keep_alive.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self, listener: ChangeListener) -> None:
        while not self._stopping.is_set():
            try:
                with translate_errors(), closing(self._connect()) as connection:
                    self._read_log(connection, listener)
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
            self.position = None
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

    def _log_schema(self) -> str | None:
        """The schema of the log in the search path of the engine, if it must be named.

        A pooler of transactions does not keep the path for statements outside of a transaction.
        """
        if not has_transaction_pooler(self._engine):
            return None
        with translate_errors(self._engine), self._engine.connect() as connection:
            return str(connection.scalar(_SCHEMA))

    def _read_log(self, connection: "psycopg.Connection[Any]", listener: ChangeListener) -> None:
        log = LogReader(connection, self._log_schema())
        listener.on_start(log.start_number)
        self.position = log.position
        self._last_error = ""
        used_at = time.monotonic()
        purge_at, is_purging = used_at + PURGE_SECONDS, False
        while not self._stopping.is_set():
            begun_at = time.monotonic()
            if self._keep_alive.is_set():
                self._keep_alive.clear()
                used_at = begun_at
            report_changes(log.read(), log.timeline, listener)
            self.position = log.position
            listener.on_heartbeat(begun_at)
            if begun_at >= purge_at:
                purge_at, is_purging = begun_at + PURGE_SECONDS, log.advance_purge()
            if is_purging:
                is_purging = log.purge()
            self._wait(begun_at, is_idle=begun_at - used_at > IDLE_AFTER_SECONDS and not is_purging)

    def _wait(self, begun_at: float, *, is_idle: bool) -> None:
        """Wait for the next read; while the feed is idle, also for `keep_alive`."""
        if is_idle:
            self._keep_alive.wait(begun_at + IDLE_SECONDS - time.monotonic())
        else:
            self._stopping.wait(begun_at + self._heartbeat_seconds - time.monotonic())
