"""Retention of the audit log."""

from datetime import timedelta

from scalecommerce_core.domain.audit import OPERATOR, AuditAction
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.audit_log import RETENTION, AuditLog
from tests.unit.support.shop import Shop


def test_entries_are_purged_after_the_retention(shop: Shop) -> None:
    begin, day = shop.clock.now(), timedelta(days=1)
    for days in (0, 1, 2):
        with shop.store.begin() as tx:
            tx.audit.record([OPERATOR.entry(AuditAction.ACCOUNT_DELETED, days, begin + days * day)])
    log = AuditLog(shop.store, shop.clock)
    shop.clock.advance(seconds=RETENTION.total_seconds())
    assert log.purge() == 0
    shop.clock.advance(days=2)
    assert [log.purge(1) for _ in range(3)] == [1, 1, 0]
    assert [each.entry.target_id for each in shop.queries.audit_entries(PageRequest()).rows] == ["2"]
