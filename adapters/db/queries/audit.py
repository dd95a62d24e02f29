"""Queries of the audit log."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, bindparam
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import BIGINT, Keyset, build_page
from adapters.db.repositories.audit import AUDIT_RECORD, audit_record_of
from adapters.db.schema import Moment, audit_log
from scalecommerce_core.domain.audit import AuditRecord, reason_words
from scalecommerce_core.queries import ALL_ENTRIES, AuditFilter, Page, PageRequest

_c = audit_log.c
_NEWEST: Final = Keyset((_c.occurred_at, _c.id), descending=True)
_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "actor_id": _c.actor_id == bindparam("actor_id", type_=BigInteger),
    "action": _c.action == bindparam("action"),
    "target_kind": _c.target_kind == bindparam("target_kind"),
    "target_id": _c.target_id == bindparam("target_id"),
    "since": _c.occurred_at >= bindparam("since", type_=Moment),
    "until": _c.occurred_at < bindparam("until", type_=Moment),
    "words": _c.words.contains(bindparam("words", type_=JSONB)),
}


class AuditQueries:
    _executor: QueryExecutor

    def audit_entries(self, page: PageRequest, criteria: AuditFilter = ALL_ENTRIES) -> Page[AuditRecord]:
        if criteria.actor_id is not None and criteria.actor_id not in BIGINT:
            return Page(())
        given = _given(criteria)
        statement = AUDIT_RECORD.where(*(_CONDITIONS[name] for name in given))
        if criteria.by_operator is not None:
            statement = statement.where(_c.actor_id.is_(None) if criteria.by_operator else _c.actor_id.is_not(None))
        # The best index depends on the values: most entries may be of one actor, or about another kind of target.
        fetched = self._executor.fetch(
            _NEWEST.page_statement(statement, page), {**_NEWEST.page_params(page), **given}, plan_each_time=True
        )
        return build_page(fetched, page, audit_record_of, lambda row: (row.occurred_at.isoformat(), row.id))


def _given(criteria: AuditFilter) -> dict[str, Any]:
    values = {
        "actor_id": criteria.actor_id,
        "action": None if criteria.action is None else criteria.action.value,
        "target_kind": None if criteria.target_kind is None else criteria.target_kind.value,
        "target_id": criteria.target_id,
        "since": criteria.since,
        "until": criteria.until,
        "words": None if criteria.text is None else sorted(reason_words(criteria.text)),
    }
    return {name: value for name, value in values.items() if value is not None}
