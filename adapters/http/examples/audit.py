"""Examples of `audit/api/v1/`."""

from collections.abc import Mapping
from typing import Final

from adapters.http.examples.demo_market import BUYER_ID, CURSOR, NOW, ROOT, STAFF_ID
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.audit import AuditEntrySchema
from scalecommerce_core.domain.audit import AuditAction, TargetKind

EXAMPLES: Final[Mapping[str, Example]] = {
    "listAuditEntries": Example(
        responses={
            200: PageSchema(
                next=f"{ROOT}/audit/api/v1/?cursor={CURSOR}",
                previous=None,
                results=[
                    AuditEntrySchema(
                        id=7,
                        at=NOW,
                        actor=STAFF_ID,
                        network="127.0.0.0/24",
                        action=AuditAction.ACCOUNT_DEACTIVATED,
                        kind=TargetKind.ACCOUNT,
                        target=str(BUYER_ID),
                        before={"is_active": True},
                        after={"is_active": False},
                        reason="Asked for it by phone.",
                    )
                ],
            )
        },
    ),
}
