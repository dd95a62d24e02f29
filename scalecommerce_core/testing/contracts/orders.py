"""Tests of orders, their lines and refunds, and of the queues of background work."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId
from scalecommerce_core.domain.order import (
    DECIDE_ATTEMPTS,
    OrderOrigin,
    OrderStatus,
    RefundLine,
    RejectionReason,
    Shortfall,
)
from scalecommerce_core.domain.order_quotas import WithdrawnPrice
from scalecommerce_core.domain.product import PriceWithdrawal
from scalecommerce_core.ports import Duplicate, Store
from scalecommerce_core.ports.orders import RECENT_ORDERS, QuotaFacts, RecentUnits
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, lock_with_stock, new_order
from scalecommerce_core.testing.contracts.transactions import run_in_threads


class OrdersContract:
    def test_orders_are_stored_with_all_fields(self, store: Store) -> None:
        stage = Stage(store)
        buyer, first, second = stage.account(), stage.product(price=7), stage.product(price=9)
        with store.begin() as tx:
            ids = tx.orders.next_ids(2)
            orders = {
                ids[0]: new_order(tx, ids[0], buyer, {second: 2, first: 1}),
                ids[1]: new_order(tx, ids[1], buyer, {first: 5}, at=NOW - DAY, origin=OrderOrigin.SEED),
            }
            tx.orders.add(list(orders.values()))
        with store.begin() as tx:
            assert tx.orders.lock([*ids[::-1], OrderId(10**30)]) == orders
            assert list(tx.orders.lock(ids[::-1])) == list(ids)
            assert tx.orders.lock([]) == {}

    def test_a_command_places_one_order(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        with store.begin() as tx:
            first, second = tx.orders.next_ids(2)
            order = new_order(tx, first, buyer, {product: 1})
            tx.orders.add([order])
        with pytest.raises(Duplicate) as refused, store.begin() as tx:
            tx.orders.add([evolve(order, id=second)])
        assert refused.value.field == "command_id"
        with store.begin() as tx:
            assert list(tx.orders.lock([first, second])) == [first]

    def test_every_order_state_is_saved(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=50)
        for status in (OrderStatus.PENDING, OrderStatus.PAID, OrderStatus.CANCELLED, OrderStatus.REFUNDED):
            order_id = stage.order(buyer, {product: 3}, status)
            with store.begin() as tx:
                order = tx.orders.lock([order_id])[order_id]
            assert order.status is status
            assert order.expires_at == (NOW + DAY if status is OrderStatus.PENDING else None)
            paid = status in {OrderStatus.PAID, OrderStatus.REFUNDED}
            assert order.paid_at == (NOW if paid else None)
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
        assert (stock.on_hand, stock.reserved) == (47, 3)

    def test_orders_of_a_batch_are_saved_with_different_changes(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=5)
        ids = [stage.order(buyer, {product: units}) for units in (2, 9, 1, 1)]
        with store.begin() as tx:
            orders, stock = tx.orders.lock(ids), tx.stock.lock([product])
            reserved, rejected, failed, unchanged = (orders[id_] for id_ in ids)
            for order in (reserved, rejected):
                order.decide(stock, NOW + SECOND, NOW + DAY)
            failed.record_decision_failure(NOW + SECOND, NOW + 2 * SECOND, "KeyError: 7")
            tx.orders.save([reserved, rejected, failed, unchanged])
            # A second change in the same transaction is saved, too.
            unchanged.record_decision_failure(NOW + SECOND, NOW + 3 * SECOND, "ValueError: 8")
            tx.orders.save([unchanged])
            tx.orders.save([])
        assert reserved.status is OrderStatus.PENDING
        assert rejected.status is OrderStatus.REJECTED
        with store.begin() as tx:
            assert tx.orders.lock(ids) == orders

    def test_an_account_has_bought_if_it_paid_for_a_product_of_another_seller(self, store: Store) -> None:
        stage = Stage(store)
        ann, ben, cem, dan = (stage.account() for _ in range(4))
        product, own = stage.product(ann), stage.product(ben)
        stage.order(ben, {product: 1}, OrderStatus.PAID)
        stage.order(ben, {own: 1}, OrderStatus.PAID, at=NOW - DAY)
        for status in (OrderStatus.PENDING, OrderStatus.CANCELLED, OrderStatus.REFUNDED):
            stage.order(cem, {product: 1}, status)
        stage.order(dan, {product: 1, own: 1}, OrderStatus.PAID, at=NOW - DAY)
        with store.begin() as tx:
            bought = [tx.orders.has_bought(account, NOW + SECOND) for account in (ann, ben, cem, dan)]
            earlier = [tx.orders.has_bought(account, NOW) for account in (ann, ben, cem, dan)]
        assert bought == [False, True, False, True]
        assert earlier == [False, False, False, True]

    def test_a_rejection_names_its_lines(self, store: Store) -> None:
        stage = Stage(store)
        buyer, plenty, few = stage.account(), stage.product(stock=9), stage.product(stock=1)
        order_id = stage.order(buyer, {plenty: 2, few: 3}, OrderStatus.REJECTED)
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, order_id)
        assert order.status is OrderStatus.REJECTED
        assert order.shortfalls == (Shortfall(few, 3, 1),)
        assert [s.reserved for s in stock.values()] == [0, 0]

    @pytest.mark.parametrize("reason", RejectionReason)
    def test_a_rejection_has_its_reason(self, store: Store, reason: RejectionReason) -> None:
        stage = Stage(store)
        product = stage.product(stock=9)
        order_id, shortfall = stage.order(stage.account(), {product: 2}), Shortfall(product, 2, 1, reason)
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, order_id)
            order.decide(stock, NOW, NOW, lambda _order, _stock: (shortfall,))
            tx.orders.save([order])
        with store.begin() as tx:
            assert tx.orders.lock([order_id])[order_id].shortfalls == (shortfall,)

    def test_refunds_are_stored_by_line(self, store: Store) -> None:
        stage = Stage(store)
        buyer, seller = stage.account(), stage.account()
        first, second = stage.product(seller, stock=9), stage.product(seller, stock=9)
        order_id = stage.order(buyer, {first: 3, second: 2}, OrderStatus.PAID)
        stage.refund(order_id, [RefundLine(first, 1)], by=seller)
        stage.refund(order_id, [RefundLine(first, 1), RefundLine(second, 2)])
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, order_id)
        assert [line.refunded for line in order.lines] == [2, 2]
        assert order.status is OrderStatus.PAID
        assert (stock[first].on_hand, stock[second].on_hand) == (8, 9)

    def test_orders_are_found_by_command(self, store: Store) -> None:
        stage = Stage(store)
        order_id = stage.order(stage.account(), {stage.product(): 1})
        with store.begin() as tx:
            order = tx.orders.lock([order_id])[order_id]
            found = tx.orders.by_command([order.command_id, CommandId(uuid4())])
            assert found == {order.command_id: order}
            assert tx.orders.by_command([]) == {}

    def test_bulk_adds_orders_with_their_refunds(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=5000)
        with store.bulk() as tx:
            stock = tx.stock.lock([product])
            orders = {}
            for order_id in tx.orders.next_ids(400):
                order = new_order(tx, order_id, buyer, {product: 2}, origin=OrderOrigin.IMPORT)
                order.decide(stock, NOW, NOW)
                order.pay(stock, NOW)
                order.refund([RefundLine(product, 1)], stock, NOW, restock=True)
                orders[order_id] = order
            tx.orders.add(list(orders.values()))
            tx.stock.save(list(stock.values()))
        with store.begin() as tx:
            assert tx.orders.lock(orders) == orders
            assert tx.stock.lock([product])[product].on_hand == 4600

    # --- quotas

    def test_intake_counts_open_orders_by_buyer(self, store: Store) -> None:
        stage = Stage(store)
        buyer, other, product = stage.account(), stage.account(), stage.product()
        for status in OrderStatus:
            stage.order(buyer, {product: 1 if status is not OrderStatus.REJECTED else 1_000}, status)
        stage.order(other, {product: 1})
        with store.begin() as tx:
            ids, counts = tx.orders.begin_intake(2, [buyer, AccountId(10**15)])
            assert len(set(ids)) == 2
            assert counts == {buyer: 2}

    def test_quota_facts_are_pending_orders_and_limits(self, store: Store) -> None:
        stage = Stage(store)
        buyer, other = stage.account(), stage.account()
        limited, free = stage.product(max_per_buyer=3), stage.product()
        for status in (OrderStatus.CREATED, OrderStatus.PENDING, OrderStatus.PENDING, OrderStatus.PAID):
            stage.order(buyer, {free: 1}, status)
        stage.order(other, {free: 1}, OrderStatus.PENDING)
        with store.begin() as tx:
            assert tx.orders.quota_facts([buyer], [limited, free], NOW) == QuotaFacts({buyer: 2}, {limited: 3})
            assert tx.orders.quota_facts([], [free], NOW) == QuotaFacts()

    def test_quota_facts_name_withdrawn_prices(self, store: Store) -> None:
        stage = Stage(store)
        product, again, other = (stage.product(price=5, at=NOW - DAY) for _ in range(3))
        stage.reprice(product, 1, NOW)
        for price in (1, 5, 1):
            stage.reprice(again, price, NOW + price * SECOND)
        stage.reprice(product, 5, NOW + SECOND)
        withdrawal = PriceWithdrawal(NOW + SECOND, None, "typing error")
        with store.begin() as tx:
            tx.products.lock([product, again])
            tx.products.withdraw_prices({(product, NOW): withdrawal, (again, NOW + SECOND): withdrawal})
        with store.begin() as tx:
            facts = tx.orders.quota_facts([], [product, again, other], NOW)
            assert facts == QuotaFacts(withdrawn={product: [WithdrawnPrice(1, NOW, NOW + SECOND)]})
            assert tx.orders.quota_facts([], [product], NOW + 2 * SECOND) == QuotaFacts()

    def test_quota_facts_after_a_claim_are_complete(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(price=5, at=NOW - DAY)
        stage.order(buyer, {product: 1}, OrderStatus.PENDING)
        stage.order(buyer, {product: 1}, at=NOW)
        with store.begin() as tx:
            tx.orders.claim_undecided(9, NOW)
            assert tx.orders.quota_facts([], [product], NOW) == QuotaFacts()
            assert tx.orders.quota_facts([buyer], [product], NOW) == QuotaFacts({buyer: 1})
        stage.reprice(product, 1, NOW)
        stage.reprice(product, 5, NOW + SECOND)
        with store.begin() as tx:
            tx.products.lock([product])
            tx.products.withdraw_prices({(product, NOW): PriceWithdrawal(NOW + SECOND, None, "typing error")})
        limited = stage.product(max_per_buyer=3)
        with store.begin() as tx:
            tx.orders.claim_undecided(9, NOW)
            withdrawn = {product: [WithdrawnPrice(1, NOW, NOW + SECOND)]}
            assert tx.orders.quota_facts([], [product, limited], NOW) == QuotaFacts({}, {limited: 3}, withdrawn)

    def test_units_are_counted_by_buyer_and_product(self, store: Store) -> None:
        stage = Stage(store)
        buyer, other, product, second = stage.account(), stage.account(), stage.product(), stage.product()
        stage.order(buyer, {product: 1, second: 50})
        stage.order(buyer, {product: 2, second: 5}, OrderStatus.PENDING)
        stage.order(buyer, {product: 3}, OrderStatus.PENDING, at=NOW - 9 * DAY)
        stage.order(buyer, {product: 30}, OrderStatus.PAID, at=NOW - 9 * DAY)
        paid = stage.order(buyer, {product: 7}, OrderStatus.PAID)
        stage.refund(paid, [RefundLine(product, 4)])
        stage.order(buyer, {product: 9}, OrderStatus.REFUNDED)
        stage.order(buyer, {product: 9}, OrderStatus.CANCELLED)
        stage.order(other, {product: 1}, OrderStatus.PENDING)
        with store.begin() as tx:
            assert tx.orders.unpaid_units([buyer], [product]) == {(buyer, product): 5}
            assert tx.orders.unpaid_units([buyer, other], [product, second]) == {
                (buyer, product): 5, (buyer, second): 5, (other, product): 1,
            }  # fmt: skip
            assert tx.orders.bought_units([buyer], [product], NOW - DAY) == {(buyer, product): 8}
            assert tx.orders.bought_units([other], [second], NOW - DAY) == {}

    def test_recent_units_are_counted_by_price(self, store: Store) -> None:
        stage = Stage(store)
        buyer, other, product = stage.account(), stage.account(), stage.product(price=5)
        stage.order(buyer, {product: 1}, at=NOW - DAY)
        stage.order(buyer, {product: 2})
        stage.order(buyer, {product: 3}, OrderStatus.PAID)
        stage.order(buyer, {product: 4}, OrderStatus.CANCELLED)
        stage.reprice(product, 6, NOW + SECOND)
        stage.order(buyer, {product: 7})
        stage.order(other, {product: 8})
        with store.begin() as tx:
            recent = tx.orders.recent_units([buyer], NOW)
            assert recent == RecentUnits({(buyer, product, 5): 5, (buyer, product, 6): 7}, frozenset())

    def test_recent_units_read_a_bounded_number_of_orders(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        with store.begin() as tx:
            tx.orders.add([new_order(tx, id_, buyer, {product: 1}) for id_ in tx.orders.next_ids(RECENT_ORDERS + 1)])
        with store.begin() as tx:
            recent = tx.orders.recent_units([buyer], NOW)
            assert recent.busy == {buyer}
            assert sum(recent.units.values()) == RECENT_ORDERS
            assert tx.orders.recent_units([buyer], NOW + SECOND) == RecentUnits({}, frozenset())

    # --- background validation

    def test_undecided_orders_are_claimed_in_id_order(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        first, decided, second, third = (stage.order(buyer, {product: 1}) for _ in range(4))
        stage.decide([decided])
        with store.begin() as tx:
            claimed = tx.orders.claim_undecided(2, NOW)
            assert [order.id for order in claimed] == [first, second]
            assert claimed[0].lines[0].product_id == product
        with store.begin() as tx:
            assert [order.id for order in tx.orders.claim_undecided(10, NOW)] == [first, second, third]

    def test_intake_claims_all_undecided_orders_or_none(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        with store.begin() as tx:
            nothing = tx.orders.try_claim_undecided(0, NOW)
            assert nothing is not None
            assert list(nothing) == []
        first, decided, bad, second = (stage.order(buyer, {product: 1}) for _ in range(4))
        stage.decide([decided])
        with store.begin() as tx:
            order = tx.orders.lock([bad])[bad]
            order.record_decision_failure(NOW, NOW + SECOND, "failure")
            tx.orders.save([order])
        with store.begin() as tx:
            assert tx.orders.try_claim_undecided(1, NOW) is None
        with store.begin() as tx:
            claimed = tx.orders.try_claim_undecided(2, NOW)
            assert claimed is not None
            assert [order.id for order in claimed] == [first, second]
            assert claimed[0].lines[0].product_id == product
        with store.begin() as tx:
            assert tx.orders.try_claim_undecided(2, NOW + SECOND) is None
            assert [order.id for order in tx.orders.claim_undecided(9, NOW + SECOND)] == [first, bad, second]

    def test_quota_facts_are_read_after_a_claim_of_intake(self, store: Store) -> None:
        stage = Stage(store)
        buyer, free = stage.account(), stage.product()
        stage.order(buyer, {free: 1}, OrderStatus.PENDING)
        with store.begin() as tx:
            assert tx.orders.try_claim_undecided(0, NOW) is not None
            assert tx.orders.quota_facts([], [free], NOW) == QuotaFacts()
        limited = stage.product(max_per_buyer=3)
        with store.begin() as tx:
            assert tx.orders.try_claim_undecided(0, NOW) is not None
            assert tx.orders.quota_facts([buyer], [limited, free], NOW) == QuotaFacts({buyer: 1}, {limited: 3})

    def test_an_order_may_be_added_decided(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=3)
        with store.begin() as tx:
            ids = tx.orders.next_ids(2)
            orders = [new_order(tx, id_, buyer, {product: 2}) for id_ in ids]
            stock = tx.stock.try_lock([product])
            for order in orders:
                order.decide(stock, NOW, NOW + DAY)
            tx.orders.add(orders)
            tx.stock.save(list(stock.values()), NOW)
        with store.begin() as tx:
            assert list(tx.orders.lock(ids).values()) == orders
            assert [order.status for order in orders] == [OrderStatus.PENDING, OrderStatus.REJECTED]
            assert tx.stock.lock([product])[product].reserved == 2

    def test_an_order_whose_decision_fails_is_postponed_and_finally_parked(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        bad, good = stage.order(buyer, {product: 1}), stage.order(buyer, {product: 1})

        def claimed(seconds: int) -> list[OrderId]:
            with store.begin() as tx:
                return [order.id for order in tx.orders.claim_undecided(10, NOW + seconds * SECOND)]

        for attempt in range(1, DECIDE_ATTEMPTS + 1):
            with store.begin() as tx:
                order = tx.orders.lock([bad])[bad]
                order.record_decision_failure(NOW, NOW + attempt * SECOND, f"failure {attempt}")
                tx.orders.save([order])
            assert claimed(attempt - 1) == [good]
            assert claimed(attempt) == ([bad, good] if attempt < DECIDE_ATTEMPTS else [good])
        with store.begin() as tx:
            order = tx.orders.lock([bad])[bad]
            assert (order.is_parked, order.decide_error) == (True, f"failure {DECIDE_ATTEMPTS}")
            order.requeue(NOW)
            tx.orders.save([order])
        assert claimed(0) == [bad, good]
        stage.decide([bad], NOW + SECOND)
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, bad)
            assert (order.decided_at, order.decide_error, order.has_expired) == (NOW + SECOND, None, False)
            order.expire(stock, NOW + DAY)
            tx.orders.save([order])
            tx.stock.save(list(stock.values()))
        with store.begin() as tx:
            assert tx.orders.lock([bad])[bad] == order
            assert order.has_expired
        by_staff = stage.order(buyer, {product: 1})
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, by_staff)
            order.cancel(stock, NOW, by_staff=True)
            tx.orders.save([order])
        with store.begin() as tx:
            assert tx.orders.lock([by_staff])[by_staff].is_cancelled_by_staff

    def test_there_is_one_decider_at_a_time(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=10)
        ids = [stage.order(buyer, {product: 1}) for _ in range(6)]
        claims: list[list[OrderId]] = []
        claimed = threading.Event()
        tried = threading.Event()

        def decide(*, first: bool) -> None:
            if not first:
                assert claimed.wait(10)
            with store.begin() as tx:
                orders = tx.orders.claim_undecided(3, NOW)
                if first:
                    claimed.set()
                    # If the store serializes transactions, the second one begins after this one.
                    tried.wait(0.5)
                else:
                    tried.set()
                claims.append([order.id for order in orders])
                stock = tx.stock.lock([product])
                for order in orders:
                    order.decide(stock, NOW, NOW + DAY)
                tx.orders.save(orders)
                tx.stock.save(list(stock.values()))

        run_in_threads(lambda: decide(first=True), lambda: decide(first=False))
        assert sorted(order_id for claim in claims for order_id in claim) in (ids[:3], ids)

    # --- expiry

    def test_expired_reservations_are_claimed(self, store: Store) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        undecided = stage.order(buyer, {product: 1})
        soon, paid, late = (stage.order(buyer, {product: 1}) for _ in range(3))
        stage.decide([soon, paid], lasting=timedelta(minutes=15))
        stage.decide([late], lasting=timedelta(minutes=30))
        stage.pay(paid)

        def claimed(minutes: int) -> list[OrderId]:
            with store.begin() as tx:
                return [order.id for order in tx.orders.claim_expired(10, NOW + timedelta(minutes=minutes))]

        assert claimed(14) == []
        assert claimed(15) == [soon]
        assert claimed(31) == [soon, late]
        assert undecided not in claimed(1000)
