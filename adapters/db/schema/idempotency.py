"""Idempotency keys."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, PrimaryKeyConstraint, String, Table

from adapters.db.schema.accounts import accounts
from adapters.db.schema.metadata import Moment, metadata

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("owner", BigInteger, ForeignKey(accounts.c.id), nullable=False),
    Column("key", String(255), nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    # Null while the request that took the key is in flight.
    Column("body", LargeBinary),
    Column("taken_at", Moment, nullable=False, index=True),
    PrimaryKeyConstraint("owner", "key"),
)
