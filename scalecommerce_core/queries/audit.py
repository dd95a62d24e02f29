"""Queries of the audit log."""

from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.audit import AuditAction, AuditRecord, TargetKind
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class AuditFilter:
    """Conditions on entries of the audit log; None: any.

    `by_operator`: whether an operator acted, not an account. `since` is included, `until` is not. `text`: all its words
    are in the reason, without case.
    """

    actor_id: AccountId | None = None
    by_operator: bool | None = None
    action: AuditAction | None = None
    target_kind: TargetKind | None = None
    target_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


ALL_ENTRIES: Final = AuditFilter()


class AuditQueries(Protocol):
    def audit_entries(self, page: PageRequest, criteria: AuditFilter = ALL_ENTRIES) -> Page[AuditRecord]:
        """Return entries of the audit log, the newest first."""
        ...
