"""Contract of the audit log: `ports.AuditRepository` and `queries.AuditQueries`."""

from collections.abc import Sequence

import pytest

from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction, AuditEntry, TargetKind
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import ALL_ENTRIES, AuditFilter, Queries
from scalecommerce_core.testing.contracts.lists import backwards, forwards, rows
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, usd

OMAR = Actor(AccountId(7), "192.0.2.77")
KARA = Actor(AccountId(8), "2001:db8:1:2::3")
ENTRIES: Sequence[AuditEntry] = (
    OPERATOR.entry(AuditAction.ACCOUNT_DELETED, 21, NOW, reason="Asked for it by letter."),
    OMAR.entry(
        AuditAction.PRODUCT_EDITED,
        21,
        NOW + SECOND,
        before={"price": usd(6_21), "stock_until": NOW, "is_active": True, "name": 'Tea "pot" \\ ☕'},
        after={"price": usd(5_00), "stock_until": None, "is_active": True, "name": ""},
    ),
    OMAR.entry(AuditAction.ORDER_REFUNDED, 22, NOW + SECOND, after={"lines": [{"product": 21, "quantity": 2}]}),
    KARA.entry(AuditAction.ACCOUNT_DEACTIVATED, 23, NOW + 2 * SECOND, reason="Продаёт подделки: counterfeits, again"),
    KARA.entry(AuditAction.ACCOUNT_DELETED, 23, NOW + 3 * SECOND, reason="Sells Counterfeits"),
)


def record(store: Store) -> None:
    """Record `ENTRIES`, the second and the third in one transaction."""
    for batch in (ENTRIES[:1], ENTRIES[1:3], ENTRIES[3:4], ENTRIES[4:]):
        with store.begin() as tx:
            tx.audit.record(batch)


class AuditContract:
    def test_entries_of_a_transaction_that_fails_are_not_recorded(self, store: Store, queries: Queries) -> None:
        def record_and_fail() -> None:
            with store.begin() as tx:
                tx.audit.record(ENTRIES)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            record_and_fail()
        assert rows(forwards(queries.audit_entries, 3)) == []
        with store.begin() as tx:
            tx.audit.record([])
        assert rows(forwards(queries.audit_entries, 3)) == []

    def test_entries_are_listed_newest_first_in_pages(self, store: Store, queries: Queries) -> None:
        record(store)
        pages = forwards(queries.audit_entries, 2)
        found = rows(pages)
        assert [each.entry for each in found] == list(ENTRIES[::-1])
        assert len({each.id for each in found}) == len(ENTRIES)
        assert rows(backwards(queries.audit_entries, pages[-1], 2)) == found[:4]

    @pytest.mark.parametrize(
        ("criteria", "expected"),
        [
            (AuditFilter(actor_id=OMAR.account_id), [2, 1]),
            (AuditFilter(actor_id=AccountId(10**30)), []),
            (AuditFilter(by_operator=True), [0]),
            (AuditFilter(by_operator=False), [4, 3, 2, 1]),
            (AuditFilter(action=AuditAction.ACCOUNT_DELETED), [4, 0]),
            (AuditFilter(target_kind=TargetKind.ACCOUNT), [4, 3, 0]),
            (AuditFilter(target_id="21"), [1, 0]),
            (AuditFilter(target_kind=TargetKind.PRODUCT, target_id="21"), [1]),
            (AuditFilter(target_kind=TargetKind.ACCOUNT, target_id="22"), []),
            (AuditFilter(since=NOW + SECOND, until=NOW + 3 * SECOND), [3, 2, 1]),
            (AuditFilter(text="counterfeits"), [4, 3]),
            (AuditFilter(text="AGAIN, Counterfeits!"), [3]),
            (AuditFilter(text="подделки"), [3]),
            (AuditFilter(text="counter"), []),
            (AuditFilter(text="counterfeits", actor_id=OMAR.account_id), []),
            (AuditFilter(action=AuditAction.ACCOUNT_DELETED, actor_id=KARA.account_id, until=NOW + 4 * SECOND), [4]),
        ],
    )
    def test_entries_are_filtered(
        self, store: Store, queries: Queries, criteria: AuditFilter, expected: list[int]
    ) -> None:
        record(store)
        found = rows(forwards(lambda page: queries.audit_entries(page, criteria), 1))
        assert [each.entry for each in found] == [ENTRIES[place] for place in expected]

    def test_old_entries_are_purged_oldest_first(self, store: Store, queries: Queries) -> None:
        record(store)
        purged = []
        for _ in range(3):
            with store.begin() as tx:
                purged.append(tx.audit.purge(NOW + 2 * SECOND, 2))
        assert purged == [2, 1, 0]
        left = rows(forwards(lambda page: queries.audit_entries(page, ALL_ENTRIES), 5))
        assert [each.entry for each in left] == [ENTRIES[4], ENTRIES[3]]
