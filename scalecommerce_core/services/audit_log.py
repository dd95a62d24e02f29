"""Retention of the audit log. Its entries are written by the use cases whose actions they record."""

from datetime import timedelta
from typing import Final

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.ports import Clock, Store
from scalecommerce_core.services.retry import retry_on

RETENTION: Final = timedelta(days=730)
"""Default age at which entries are purged."""


class AuditLog:
    """Use cases of the audit log."""

    def __init__(self, store: Store, clock: Clock, retention: timedelta = RETENTION) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 500) -> int:
        """Delete up to `limit` entries that are older than the retention; return how many."""
        with self._store.begin() as tx:
            return tx.audit.purge(self._clock.now() - self._retention, limit)
