"""`audit/api/v1/`: what staff and operators did with things that are not their own."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.search import Moment
from scalecommerce_core.domain.audit import MAX_TARGET_ID, AuditAction, AuditRecord, TargetKind
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.text import REASON_LENGTH
from scalecommerce_core.queries import AuditFilter

ROOT: Final = "/audit/api/v1/"


class AuditQuery(PageQuery, frozen=True, rename={"since": "from", "until": "to"}):
    actor: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None,
        msgspec.Meta(description="Only actions of this account.", examples=[10]),
    ] = None
    operator: Annotated[
        bool | None,
        msgspec.Meta(description="true: only actions of operators on the command line; false: only of accounts."),
    ] = None
    action: Annotated[AuditAction | None, msgspec.Meta(description="Only this action.")] = None
    kind: Annotated[TargetKind | None, msgspec.Meta(description="Only actions on this kind of thing.")] = None
    target: Annotated[
        Annotated[str, msgspec.Meta(max_length=MAX_TARGET_ID)] | None,
        msgspec.Meta(description="Only actions on the thing with this id; give its `kind` too.", examples=["7"]),
    ] = None
    since: Annotated[
        Moment | None,
        msgspec.Meta(description="Only actions at or after this time.", examples=["2026-11-01T00:00:00Z"]),
    ] = None
    until: Annotated[
        Moment | None, msgspec.Meta(description="Only actions before this time.", examples=["2026-12-01T00:00:00Z"])
    ] = None
    search: Annotated[
        Annotated[str, msgspec.Meta(max_length=REASON_LENGTH)] | None,
        msgspec.Meta(
            description="Words that all are in the reason; upper and lower case are equal.",
            examples=["stolen telephone"],
        ),
    ] = None

    def __post_init__(self) -> None:
        check_ranges(("from", self.since, "to", self.until))


class AuditEntrySchema(msgspec.Struct):
    """`actor` is the account that acted; null for an operator on the command line. `network` is the shortened network
    of its client. `before` and `after` have the fields that the action changed.
    """

    id: int
    at: datetime
    actor: int | None
    network: Annotated[str, msgspec.Meta(examples=["192.0.2.0/24"])]
    action: AuditAction
    kind: TargetKind
    target: Annotated[str, msgspec.Meta(description="Id of the thing.", examples=["7"])]
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str


def to_audit_entry_schema(record: AuditRecord) -> AuditEntrySchema:
    entry = record.entry
    return AuditEntrySchema(
        id=record.id,
        at=entry.occurred_at,
        actor=entry.actor_id,
        network=entry.network,
        action=entry.action,
        kind=entry.action.target_kind,
        target=entry.target_id,
        before=dict(entry.before),
        after=dict(entry.after),
        reason=entry.reason,
    )


class AuditResource:
    """The audit log."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._queries = dependencies.market.queries

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="listAuditEntries",
        summary="List what staff and operators did with things of others",
        description="The newest first. Entries are kept for two years (`AUDIT_RETENTION_DAYS`).",
        responses={200: ResponseSpec(PageSchema[AuditEntrySchema], "Entries of the audit log.")},
        tag="Audit",
        access=Access.STAFF,
    )
    async def list_audit_entries(self, call: Call[None, AuditQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        query = call.query
        criteria = AuditFilter(
            actor_id=None if query.actor is None else AccountId(query.actor),
            by_operator=query.operator,
            action=query.action,
            target_kind=query.kind,
            target_id=query.target,
            since=query.since,
            until=query.until,
            text=query.search,
        )
        page = await self._dependencies.run_in_thread(self._queries.audit_entries, page_request, criteria)
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_audit_entry_schema)
        )
