"""Outbox and event log."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.metadata import Moment, metadata

# Where events are written, with what they tell about. A relay moves committed ones into `events`, numbered.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("audience", ARRAY(BigInteger), nullable=False),
    Column("payload", JSONB, nullable=False),
    # A queue that is always about to be empty: it is cleaned by what went through it, not by what is in it.
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# The feed: only ever appended to, and cut off at the old end.
events: Final = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("audience", ARRAY(BigInteger), nullable=False),
    Column("payload", JSONB, nullable=False),
)

# The feed of one account is a range of this table's key, however far behind its reader is and however few its events.
# No foreign keys: rows come and go with those of `events`, in the same statements.
event_audience: Final = Table(
    "event_audience",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "seq"),
)

# One row: the last number that was given, and the last that was forgotten.
event_counter: Final = Table(
    "event_counter",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("forgotten BETWEEN 0 AND last", name="forgotten_range"),
)

# Whoever reads all events in order, and how far it is: what it has not read is not forgotten.
event_consumers: Final = Table(
    "event_consumers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, CheckConstraint("seq >= 0", name="seq_range"), nullable=False),
)
