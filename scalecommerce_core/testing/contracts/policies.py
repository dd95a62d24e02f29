"""Pricing policies and what they see."""

from typing import Any

from scalecommerce_core.domain.identifiers import AccountId, CategoryId
from scalecommerce_core.domain.order import OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.ports import Store
from scalecommerce_core.pricing.stock_cover import PricingPolicy, Signals
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage, usd


class PoliciesContract:
    def test_active_policies_come_by_id(self, store: Store) -> None:
        seller = Stage(store).account()
        policies = [_policy(store, seller, name=name) for name in ("b", "a")]
        _policy(store, seller, name="asleep", is_active=False)
        special = _policy(
            store,
            seller,
            category_id=CategoryId(2),
            target_cover_days=10,
            window_days=14,
            max_step=0.125,
            least_units=2,
        )
        with store.begin() as tx:
            assert list(tx.policies.active()) == [*policies, special]

    def test_signals_show_a_product_as_it_sells(self, store: Store) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        product = stage.product(
            seller, price=9_00, stock=20, at=NOW - 60 * DAY, cost=usd(5_00), min_price=usd(6_00), max_price=usd(12_00)
        )
        stage.reprice(product, 10_00, NOW - 50 * DAY, PriceCause.POLICY)
        stage.order(buyer, {product: 7}, OrderStatus.PAID, at=NOW - 40 * DAY)
        sold = stage.order(buyer, {product: 4}, OrderStatus.PAID, at=NOW - 2 * DAY)
        stage.refund(sold, [RefundLine(product, 1)], NOW - DAY)
        stage.order(buyer, {product: 2}, OrderStatus.PENDING)
        stage.order(buyer, {product: 1}, OrderStatus.PAID, at=NOW - DAY, origin=OrderOrigin.IMPORT)
        stage.order(buyer, {product: 5})
        policy = _policy(store, seller)
        with store.begin() as tx:
            assert list(tx.policies.signals(policy, NOW, after=None, limit=10)) == [
                Signals(
                    product_id=product,
                    price=usd(10_00),
                    priced_at=NOW - 50 * DAY,
                    priced_manually=False,
                    units_sold=3,
                    available=20 - 7 - 4 + 1 - 1 - 2,
                    cost=usd(5_00),
                    min_price=usd(6_00),
                    max_price=usd(12_00),
                )
            ]

    def test_a_seller_s_own_price_is_told_from_a_policy_s(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        listed, manual, moved, imported = (stage.product(seller, at=NOW - 9 * DAY) for _ in range(4))
        stage.reprice(manual, 5, NOW, PriceCause.MANUAL)
        stage.reprice(moved, 5, NOW, PriceCause.POLICY)
        stage.reprice(imported, 5, NOW, PriceCause.IMPORT)
        policy = _policy(store, seller)
        with store.begin() as tx:
            seen = tx.policies.signals(policy, NOW, after=None, limit=10)
        assert {s.product_id: s.priced_manually for s in seen} == {
            listed: True,
            manual: True,
            moved: False,
            imported: False,
        }

    def test_signals_come_in_pages_of_the_policy_s_products(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        books = [stage.product(seller, category_id=CategoryId(16)) for _ in range(5)]
        toys = [stage.product(seller, category_id=CategoryId(11)) for _ in range(2)]
        inactive = stage.product(seller, category_id=CategoryId(16), is_active=False)
        stage.product(stage.account(), category_id=CategoryId(16))
        stage.withdraw(books[0])
        for_books, for_all = _policy(store, seller, category_id=CategoryId(16)), _policy(store, seller)
        with store.begin() as tx:

            def ids(policy: PricingPolicy, after: Any, limit: int) -> list[int]:
                return [s.product_id for s in tx.policies.signals(policy, NOW, after=after, limit=limit)]

            assert ids(for_books, None, 2) == books[1:3]
            assert ids(for_books, books[2], 9) == books[3:]
            assert ids(for_all, None, 9) == [*books[1:], *toys]
            assert inactive not in ids(for_all, None, 9)


def _policy(store: Store, seller: AccountId, name: str = "keep cover", **facts: Any) -> PricingPolicy:
    with store.begin() as tx:
        (id_,) = tx.policies.next_ids(1)
        policy = PricingPolicy(id_, seller, name, NOW, **facts)
        tx.policies.add([policy])
    return policy
