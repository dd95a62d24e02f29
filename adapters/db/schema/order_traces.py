"""Trace contexts of undecided orders."""

from typing import Final

from sqlalchemy import BigInteger, Column, String, Table

from adapters.db.schema.metadata import Moment, metadata

order_traces: Final = Table(
    "order_traces",
    metadata,
    # Without a foreign key, which would cost a lookup and a lock: a row without an order is harmless.
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    # A `traceparent` of W3C Trace Context.
    Column("request", String(55), nullable=False),
    Column("taken_at", Moment, nullable=False),
    # A lost row is a lost link between two spans, so the table is not in the write-ahead log.
    prefixes=["UNLOGGED"],
)
