"""The audit log in memory."""

from collections.abc import Callable, Collection
from datetime import datetime

from scalecommerce_core.domain.audit import AuditEntry, AuditRecord, reason_words
from scalecommerce_core.domain.identifiers import AuditId
from scalecommerce_core.queries import ALL_ENTRIES, AuditFilter, Page, PageRequest
from scalecommerce_core.testing.memory.pagination import paged
from scalecommerce_core.testing.memory.tables import Tables


class MemoryAuditLog:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._audit = tables.audit
        self._numbers = numbers

    def record(self, entries: Collection[AuditEntry]) -> None:
        for number, entry in zip(self._numbers("audit", len(entries)), entries, strict=True):
            self._audit.put(AuditId(number), AuditRecord(AuditId(number), entry))

    def purge(self, before: datetime, limit: int) -> int:
        old = [record for record in self._audit.all() if record.entry.occurred_at < before]
        old.sort(key=lambda record: (record.entry.occurred_at, record.id))
        for record in old[:limit]:
            self._audit.delete(record.id)
        return len(old[:limit])


class MemoryAuditQueries:
    _tables: Tables

    def audit_entries(self, page: PageRequest, criteria: AuditFilter = ALL_ENTRIES) -> Page[AuditRecord]:
        found = [record for record in self._tables.audit.all() if _matches(record.entry, criteria)]
        return paged(found, lambda record: (-record.entry.occurred_at.timestamp(), -record.id), page)


def _matches(entry: AuditEntry, criteria: AuditFilter) -> bool:
    return (
        criteria.actor_id in {None, entry.actor_id}
        and criteria.by_operator in {None, entry.actor_id is None}
        and criteria.action in {None, entry.action}
        and criteria.target_kind in {None, entry.action.target_kind}
        and criteria.target_id in {None, entry.target_id}
        and (criteria.since is None or entry.occurred_at >= criteria.since)
        and (criteria.until is None or entry.occurred_at < criteria.until)
        and (criteria.text is None or reason_words(criteria.text) <= reason_words(entry.reason))
    )
