"""The audit log."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.audit import AuditEntry


class AuditRepository(Protocol):
    """Entries of the audit log, which nobody changes afterwards.

    A use case records the entry of an action in the transaction of the action.
    """

    def record(self, entries: Collection[AuditEntry]) -> None:
        """Append entries."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` entries of actions before this time, the oldest first; return how many."""
        ...
