"""The keys of all advisory locks.

An advisory lock with one key of 64 bits and one with two keys of 32 bits never conflict, even if the numbers are equal:
`pg_locks.objsubid` is 1 for the former and 2 for the latter. Processes of different releases exclude each other only
while a key keeps its number, so numbers are never reused.
"""

from enum import IntEnum


class AdvisoryLock(IntEnum):
    """One-key locks, and the first key of the only two-key lock (`IDEMPOTENCY_KEY`)."""

    MIGRATION = 7_265_001
    """Transaction lock of the process that runs migrations; others poll for it."""
    DECIDER = 7_265_002
    """Transaction lock of the worker that decides orders. Two deciders would break the order of arrival, so a worker
    that does not get the lock decides nothing."""
    OUTBOX_RELAY = 7_265_003
    """Transaction lock of the worker that moves events from the outbox to the log and numbers them."""
    STOCK_REPAIR = 7_265_004
    """Transaction lock of `stock repair`: two repairs at once would correct the same difference twice."""
    IDEMPOTENCY_KEY = 7_265_005
    """Transaction lock of a request on its idempotency key; the second key is a hash of owner and key."""
    CATEGORY_NAMES = 7_265_006
    """Transaction lock of a transaction that adds or renames categories; see `CategoryRepository.lock_all`."""
    VOCABULARY_UPDATE = 7_265_011
    """Transaction lock of the worker that adds new words to the search vocabulary."""
    PRICE_INDEX_SYNC = 7_265_012
    """Transaction lock of the worker that brings bulk price changes into the price index."""
