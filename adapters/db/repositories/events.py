"""The event log: one relay at a time numbers events of the outbox and moves them here; old events are purged.

Numbers come from a counter row, not from a sequence: transactions that draw from a sequence commit in any order, so a
smaller number could appear after a reader has passed a larger one.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, func, literal_column, select, text

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key_column
from adapters.db.core.bulk_statements import text_array
from adapters.db.core.driver_statements import DriverStatement
from adapters.db.core.session import SqlSession
from adapters.db.schema import AUDIENCE, INDEXED_READERS, Moment, event_counter, events, reader_columns
from scalecommerce_core.ports import EventRange, NumberedEvent

_TRY_LOCK: Final = select(func.pg_try_advisory_xact_lock(lock_key_column(AdvisoryLock.OUTBOX_RELAY)))

# Rows are moved instead of updated: an update would write a second version of each row, and its index entries, to the
# table that keeps events for a month. The array fixes the plan, whatever size the planner's statistics give the outbox.
_MOVE_AND_NUMBER: Final = text(
    f"""
    WITH moved AS (
        DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM outbox ORDER BY id LIMIT :limit))
        RETURNING id, topic, occurred_at, audience, order_id, payload
    ), counted AS (
        SELECT count(*) AS events FROM moved
    ), counter AS (
        INSERT INTO event_counter (singleton, last) SELECT true, events FROM counted WHERE events > 0
        ON CONFLICT (singleton) DO UPDATE SET last = event_counter.last + excluded.last
        RETURNING last
    ), numbered AS MATERIALIZED (
        SELECT last - events + row_number() OVER (ORDER BY id) AS seq, topic, occurred_at, audience, order_id, payload
        FROM moved, counted, counter
    ), stored AS (
        INSERT INTO events (seq, occurred_at, order_id, {", ".join(column.name for column in reader_columns)},
            topic, payload)
        SELECT seq, occurred_at, order_id, {", ".join(f"audience[{n}]" for n in range(1, INDEXED_READERS + 1))},
            topic, payload
        FROM numbered
    ), shown AS (
        INSERT INTO event_audience (account_id, seq)
        SELECT DISTINCT account_id, seq
        FROM numbered, unnest(audience[{INDEXED_READERS + 1}:]) AS account_id
        ORDER BY account_id, seq
    )
    SELECT events FROM counted
    """  # noqa: S608 - names of columns
).bindparams(bindparam("limit", type_=BigInteger))
_LAST_SEQ: Final = select(func.coalesce(func.max(event_counter.c.last), 0))
_READ_AFTER: Final = (
    select(
        events.c.seq,
        events.c.topic,
        events.c.occurred_at,
        literal_column(AUDIENCE, ARRAY(BigInteger)),
        events.c.order_id,
        events.c.payload,
    )
    .where(events.c.seq > bindparam("after", type_=BigInteger))
    .order_by(events.c.seq)
    .limit(bindparam("limit"))
)

# Numbers have no gaps, and events that a consumer has not processed are not purged. So the range is computed, and
# events with other topics are neither sent nor parsed.
_READ_TOPICS_AFTER: Final = DriverStatement.compile(
    text(
        f"""
        WITH part AS MATERIALIZED (
            SELECT least(CAST(:after AS bigint) + :limit, coalesce(max(last), 0)) AS last FROM event_counter
        )
        SELECT part.last, found.* FROM part LEFT JOIN LATERAL (
            SELECT seq, topic, occurred_at, {AUDIENCE} AS audience, order_id, payload FROM events
            WHERE seq > CAST(:after AS bigint) AND seq <= part.last
              AND topic = ANY (CAST(:topics AS text[]))
            ORDER BY seq
        ) AS found ON true
        """  # noqa: S608 - an expression of columns
    ).bindparams(bindparam("limit", type_=BigInteger))
)

_CLAIM: Final = text("SELECT seq FROM event_consumers WHERE name = :name FOR NO KEY UPDATE SKIP LOCKED").bindparams(
    bindparam("name", type_=Text)
)
_CLAIM_WAITING: Final = text("SELECT seq FROM event_consumers WHERE name = :name FOR NO KEY UPDATE").bindparams(
    bindparam("name", type_=Text)
)
_INSERT_CONSUMER: Final = text(
    """
    INSERT INTO event_consumers (name, seq)
    SELECT :name, coalesce(:begin, max(last), 0) FROM event_counter
    ON CONFLICT (name) DO NOTHING
    RETURNING seq
    """
).bindparams(bindparam("name", type_=Text), bindparam("begin", type_=BigInteger))
_ADVANCE: Final = text("UPDATE event_consumers SET seq = :seq WHERE name = :name").bindparams(
    bindparam("name", type_=Text), bindparam("seq", type_=BigInteger)
)

# `occurred_at` comes from the clocks of several machines and does not rise strictly with `seq`, so the first event that
# must stay ends the range to delete.
_PURGE: Final = text(
    """
    WITH oldest AS MATERIALIZED (
        -- Begin where the last purge ended: dead rows before it may not be vacuumed yet.
        SELECT seq, occurred_at FROM events WHERE seq > (SELECT forgotten FROM event_counter) ORDER BY seq LIMIT :limit
    ), cut AS (
        SELECT max(seq) AS upto FROM oldest
        WHERE seq < coalesce((SELECT min(seq) FROM oldest WHERE occurred_at >= :before), seq + 1)
          AND seq <= coalesce((SELECT min(seq) FROM event_consumers), seq)
    ), gone AS (
        DELETE FROM events WHERE seq <= (SELECT upto FROM cut)
        RETURNING seq, reader_3
    ), unshown AS (
        -- Find each row by the index: for an overestimated number of rows, the planner would scan the table.
        DELETE FROM event_audience WHERE ctid = ANY (ARRAY(
            SELECT place
            FROM gone, LATERAL (
                SELECT ctid AS place FROM event_audience AS was WHERE was.seq = gone.seq OFFSET 0
            ) AS found
            WHERE reader_3 IS NOT NULL
        ))
    ), noted AS (
        UPDATE event_counter SET forgotten = greatest(forgotten, upto) FROM cut WHERE upto IS NOT NULL
    )
    SELECT count(*) FROM gone
    """
).bindparams(bindparam("limit", type_=BigInteger), bindparam("before", type_=Moment))


class PostgresEventRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def assign_sequence(self, limit: int) -> int:
        # A separate statement, so that the snapshot of the next one includes the commit of the previous relay.
        ((is_locked,),) = self._sql.fetch_all(_TRY_LOCK)
        if not is_locked:
            return 0
        ((numbered,),) = self._sql.fetch_all(_MOVE_AND_NUMBER, {"limit": limit})
        self._sql.pending_changes.events = numbered > 0
        return int(numbered)

    def last_seq(self) -> int:
        ((last,),) = self._sql.fetch_all(_LAST_SEQ)
        return int(last)

    def read_after(self, seq: int, limit: int) -> Sequence[NumberedEvent]:
        rows = self._sql.fetch_all(_READ_AFTER, {"after": seq, "limit": limit})
        return [_event(row) for row in rows]

    def read_topics_after(self, seq: int, limit: int, topics: Collection[str]) -> EventRange:
        rows = self._sql.fetch_fast(_READ_TOPICS_AFTER, {"after": seq, "limit": limit, "topics": text_array(topics)})
        return EventRange(max(seq, rows[0][0]), [_event(row) for _, *row in rows if row[0] is not None])

    def claim(self, consumer: str, *, begin: int | None = None, wait: bool = False) -> int | None:
        name: dict[str, object] = {"name": consumer}
        find, enter = (_CLAIM_WAITING if wait else _CLAIM, name), (_INSERT_CONSUMER, name | {"begin": begin})
        # If two transactions insert a new consumer at once, the INSERT of the second waits and inserts nothing. With
        # `wait`, it then selects the row of the first.
        for statement, given in (find, enter, find) if wait else (find, enter):
            for (seq,) in self._sql.fetch_all(statement, given):
                return int(seq)
        return None

    def advance(self, consumer: str, seq: int) -> None:
        self._sql.execute(_ADVANCE, {"name": consumer, "seq": seq})

    def purge(self, before: datetime, limit: int) -> int:
        ((purged,),) = self._sql.fetch_all(_PURGE, {"before": before, "limit": limit})
        return int(purged)


def _event(row: Sequence[Any]) -> NumberedEvent:
    seq, topic, at, audience, order_id, payload = row
    return NumberedEvent(seq, topic, at, tuple(audience), {"order_id": order_id} if payload is None else payload)
