"""The outbox relay: numbers committed events, which puts them into the event log, and purges old ones."""

from datetime import timedelta
from typing import Final

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.ports import Clock, Store
from scalecommerce_core.services.retry import retry_on

RETENTION: Final = timedelta(days=30)
"""Default age at which events are purged."""


class OutboxRelay:
    """Any number of processes may call a relay: one of them numbers at a time, the others return 0 at once."""

    def __init__(self, store: Store, clock: Clock, retention: timedelta = RETENTION) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention

    @retry_on(TransactionAborted, ConnectionLost)
    def assign_sequence(self, limit: int = 2_000) -> int:
        """Number up to `limit` committed events; return how many. Fewer than `limit`: none is left for now."""
        with self._store.begin() as tx:
            return tx.events.assign_sequence(limit)

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 2_000) -> int:
        """Delete up to `limit` events that are older than the retention and were read by all consumers."""
        with self._store.begin() as tx:
            return tx.events.purge(self._clock.now() - self._retention, limit)
