"""The keys of all advisory locks.

PostgreSQL has one space of keys for each database. Installations in different schemas of one database must not exclude
each other, so each key contains the OID of a table of the installation, or that of its schema while it has no tables.

An advisory lock with one key of 64 bits and one with two keys of 32 bits never conflict, even if the numbers are equal:
`pg_locks.objsubid` is 1 for the former and 2 for the latter. Processes of different releases exclude each other only
while a key keeps its number, so numbers are never reused.
"""

from enum import IntEnum
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, literal_column


class AdvisoryLock(IntEnum):
    """One-key locks, and the first key of the only two-key lock (`IDEMPOTENCY_KEY`)."""

    MIGRATION = 7_265_001
    """Transaction lock of the process that runs migrations; others poll for it."""
    DECIDER = 7_265_002
    """Transaction lock of the worker or the intake that decides orders. Two deciders would break the order of arrival,
    so a transaction that does not get the lock decides nothing."""
    OUTBOX_RELAY = 7_265_003
    """Transaction lock of the worker that moves events from the outbox to the log and numbers them."""
    STOCK_REPAIR = 7_265_004
    """Transaction lock of `stock repair`: two repairs at once would correct the same difference twice."""
    IDEMPOTENCY_KEY = 7_265_005
    """Transaction lock of a request on its idempotency key; the second key is a hash of owner and key."""
    CATEGORY_NAMES = 7_265_006
    """Transaction lock of a transaction that adds or renames categories; see `CategoryRepository.lock_all`."""
    FIRST_MIGRATION = 7_265_007
    """Transaction lock of the process that creates the tables of an installation; one for all schemas of a database,
    because CREATE COLLATION locks `pg_collation` until the end of the transaction."""
    VOCABULARY_UPDATE = 7_265_011
    """Transaction lock of the worker that adds new words to the search vocabulary."""
    PRICE_INDEX_SYNC = 7_265_012
    """Transaction lock of the worker that brings bulk price changes into the price index."""


# PostgreSQL replaces the names by constants before it plans a statement.
KEY_SPACE: Final = "CAST(CAST(CAST('orders' AS regclass) AS oid) AS bigint)"
"""SQL of the number by which the keys of this installation differ from those of others, from 1 to 2**32 - 1."""
_SCHEMA_KEY_SPACE: Final = "(SELECT CAST(oid AS bigint) FROM pg_namespace WHERE nspname = current_schema())"


def lock_key(lock: AdvisoryLock) -> str:
    """SQL of the key of a one-key lock: `KEY_SPACE` is its upper half (`pg_locks.classid`), the lock its lower one."""
    # The lock of migrations is taken before there are tables.
    space = _SCHEMA_KEY_SPACE if lock is AdvisoryLock.MIGRATION else KEY_SPACE
    return f"(({space} << 32) | {lock.value})"


def first_lock_key(lock: AdvisoryLock) -> str:
    """SQL of the first key of a two-key lock (`pg_locks.classid`), whose second key depends on the row."""
    return f"CAST(CAST({KEY_SPACE} # {lock.value} AS bit(32)) AS integer)"


def lock_key_column(lock: AdvisoryLock) -> ColumnElement[int]:
    """The SQL of `lock_key` for statements of SQLAlchemy."""
    return literal_column(lock_key(lock), BigInteger)
