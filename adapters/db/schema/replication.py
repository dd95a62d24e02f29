"""Heartbeats that standbys receive with the write-ahead log."""

from typing import Final

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, String, Table

from adapters.db.schema.metadata import Moment, metadata

replication_heartbeats: Final = Table(
    "replication_heartbeats",
    metadata,
    # One row for each timeline on which API processes read from standbys.
    Column("timeline", BigInteger, nullable=False, autoincrement=False),
    Column("mark", String(36), nullable=False),
    Column("sent_at", Moment, nullable=False),
    PrimaryKeyConstraint("timeline"),
)
