"""The audit log."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Integer, bindparam, delete, select

from adapters.db.core.bulk_statements import Insert
from adapters.db.core.session import SqlSession
from adapters.db.schema import Moment, audit_log
from scalecommerce_core.domain.audit import AuditAction, AuditEntry, AuditRecord, reason_words
from scalecommerce_core.domain.identifiers import AuditId

_c = audit_log.c
_FIELDS: Final = ("actor_id", "network", "action", "target_id", "occurred_at", "before", "after", "reason")
_INSERT: Final = Insert(audit_log, *_FIELDS, "target_kind", "words")
AUDIT_RECORD: Final = select(_c.id, *(_c[name] for name in _FIELDS))
_OLD: Final = (
    select(_c.id)
    .where(_c.occurred_at < bindparam("moment", type_=Moment))
    .order_by(_c.occurred_at, _c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_PURGE: Final = delete(audit_log).where(_c.id.in_(_OLD))


class PostgresAuditRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def record(self, entries: Collection[AuditEntry]) -> None:
        self._sql.insert(_INSERT, [_row(entry) for entry in entries])

    def purge(self, before: datetime, limit: int) -> int:
        return self._sql.execute(_PURGE, {"moment": before, "limit": limit})


def _row(entry: AuditEntry) -> tuple[Any, ...]:
    return (
        entry.actor_id,
        entry.network,
        entry.action.value,
        entry.target_id,
        entry.occurred_at,
        entry.before,
        entry.after,
        entry.reason,
        entry.action.target_kind.value,
        sorted(reason_words(entry.reason)),
    )


def audit_record_of(row: Sequence[Any]) -> AuditRecord:
    """The record of a row of `AUDIT_RECORD`."""
    id_, actor_id, network, action, *rest = row
    return AuditRecord(AuditId(id_), AuditEntry(actor_id, network, AuditAction(action), *rest))
