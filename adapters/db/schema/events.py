"""The outbox, the event log, and the log of changes that API processes read."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.metadata import Moment, metadata

# Events are inserted in the transaction of the change that they report. The relay numbers committed events and moves
# them to `events`. The `payload` is null if the facts of the event are `{"order_id": order_id}`, as for most events.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("audience", ARRAY(BigInteger), nullable=False),
    Column("payload", JSONB),
    Column("order_id", BigInteger),
    CheckConstraint("(payload IS NULL) = (order_id IS NOT NULL)", name="facts_stored"),
    # The queue is usually nearly empty, so vacuum must depend on the number of deleted rows, not on their share.
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

INDEXED_READERS: Final = 3
"""How many accounts of an event's audience are stored in columns with an index each; `event_audience` has the others.

Few orders have more than two sellers. For the first readers, an index entry alone is smaller than a row of
`event_audience` with its index entry.
"""


def feed_key(reader: str, seq: str) -> str:
    """Return the SQL expression of the key of an event in the index of a reader; `reader` and `seq` are expressions.

    One number instead of two makes entries shorter, and rises with `seq` for each reader. From 2**34 events or 2**28
    accounts on, the ranges of several readers can overlap, so queries must also compare the reader. The lowest 28 bits
    of the reader leave room for any number of events below 2**62.
    """
    return f"(({reader} & {2**28 - 1}) << 34) + {seq}"


def _reader_index(position: int) -> Index:
    reader = f"reader_{position}"
    return Index(
        f"events_feed_{position}_idx",
        text(f"({feed_key(reader, 'seq')})"),
        postgresql_where=None if position == 1 else text(f"{reader} IS NOT NULL"),
    )


# The event log: rows are appended with rising `seq` and purged from the old end. Columns of 8 bytes come first, so that
# rows have no padding between columns; with nine columns, the header of a row with nulls would take 8 bytes more.
events: Final = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("occurred_at", Moment, nullable=False),
    Column("order_id", BigInteger),
    Column("reader_1", BigInteger),
    Column("reader_2", BigInteger),
    Column("reader_3", BigInteger),
    Column("topic", Text, nullable=False),
    Column("payload", JSONB),
    # A relay of an earlier release, which does not know `order_id`, must fail instead of losing the facts of an event.
    CheckConstraint("(payload IS NULL) = (order_id IS NOT NULL)", name="facts_stored"),
    *map(_reader_index, range(1, INDEXED_READERS + 1)),
)

reader_columns: Final = tuple(events.c[f"reader_{position}"] for position in range(1, INDEXED_READERS + 1))

# The feed of an account is a range of each index, so reading it takes the same time however old its events are. No
# foreign keys: the statements that write and delete `events` also write and delete these rows.
event_audience: Final = Table(
    "event_audience",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "seq"),
    Index("event_audience_seq_idx", "seq"),
)

AUDIENCE: Final = """
    CASE WHEN events.reader_3 IS NULL THEN array_remove(ARRAY[events.reader_1, events.reader_2], NULL)
    ELSE ARRAY[events.reader_1, events.reader_2, events.reader_3]
        || ARRAY(SELECT account_id FROM event_audience WHERE event_audience.seq = events.seq ORDER BY account_id) END
"""
"""SQL expression for the array of all readers of a row of `events`; the table must not have an alias."""

# One row: `last` is the highest number in use, `forgotten` the highest number that was purged.
event_counter: Final = Table(
    "event_counter",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("forgotten BETWEEN 0 AND last", name="forgotten_range"),
)

# Consumers that process all events in order, and the last number that each has processed. Later events are not purged.
event_consumers: Final = Table(
    "event_consumers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, CheckConstraint("seq >= 0", name="seq_range"), nullable=False),
)

# What transactions changed for readers of the catalog, for access, and whether they numbered events. `xid` is the id of
# the transaction; it is not unique, since a dump may be restored to a cluster with lower ids. Rows live for minutes.
change_log: Final = Table(
    "change_log",
    metadata,
    Column("xid", BigInteger, nullable=False),
    Column("products", ARRAY(BigInteger), nullable=False),
    Column("sellers", ARRAY(BigInteger), nullable=False),
    Column("revoked_sessions", ARRAY(Text), nullable=False),
    Column("key_owners", ARRAY(BigInteger), nullable=False),
    Column("lists", Boolean, nullable=False),
    Column("everything", Boolean, nullable=False),
    Column("events", Boolean, nullable=False),
    Column("aspects", JSONB),
    Index("change_log_xid_idx", "xid"),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# One row. Rows of the log below `purged_below` may have been deleted; those below `next_below` may be after minutes.
change_log_state: Final = Table(
    "change_log_state",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True),
    Column("purged_below", BigInteger, nullable=False),
    Column("next_below", BigInteger, nullable=False),
    Column("next_at", Moment, nullable=False),
)
