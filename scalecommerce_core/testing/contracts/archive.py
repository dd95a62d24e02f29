"""Tests of the archive of settled orders."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.order import Order, OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.payment import Charged, Payment
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import ArchivedMonth, OrderFilter, PageRequest, Queries, SaleFilter
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage
from scalecommerce_core.testing.contracts.transactions import run_in_threads


def archive(store: Store, limit: int = 100, before: Any = NOW + SECOND) -> int:
    with store.begin() as tx:
        return tx.orders.archive(limit, before)


def open_payment(store: Store, order_id: OrderId) -> PaymentId:
    with store.begin() as tx:
        order = tx.orders.lock([order_id])[order_id]
        payment = Payment.opened(
            id=PaymentId(uuid4()), order_id=order_id, amount=order.total, method="card", now=NOW, timeout=DAY
        )
        tx.payments.add([payment])
    return payment.id


def capture(store: Store, payment_id: PaymentId, order_id: OrderId) -> None:
    with store.begin() as tx:
        tx.orders.lock([order_id])
        payment = tx.payments.lock([payment_id])[payment_id]
        payment.capture(Charged(f"charge {payment_id}"), NOW)
        tx.payments.save([payment])


def refund_money(store: Store, order_id: OrderId) -> RefundId:
    """Add an open refund to the captured payment of the order."""
    with store.begin() as tx:
        tx.orders.lock([order_id])
        payment = tx.payments.lock_captured([order_id])[order_id]
        payment.add_refund(1_00, NOW)
        tx.payments.save([payment])
        return payment.refunds[0].id


def confirm_refund(store: Store, refund_id: RefundId) -> None:
    with store.begin() as tx:
        refund = tx.payments.lock_refunds([refund_id])[refund_id]
        refund.confirm(NOW)
        tx.payments.save_refunds([refund])


class ArchiveContract:
    def test_settled_orders_are_archived_oldest_first_in_batches(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        ages = {
            status: stage.order(buyer, {product: 1}, status, at=NOW - age * DAY)
            for age, status in enumerate(sorted(OrderStatus, reverse=True))
        }
        settled = [OrderStatus.CANCELLED, OrderStatus.PAID, OrderStatus.REFUNDED]
        assert archive(store, 2) == 2
        assert [view.id for view in queries.iter_archived_orders()] == [ages[status] for status in settled[:2]]
        assert archive(store, 2) == 1
        assert archive(store, 2) == 0
        assert [view.id for view in queries.iter_archived_orders()] == [ages[status] for status in settled]
        assert list(queries.archive_discrepancies()) == []

    def test_orders_that_changed_lately_stay_hot(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product()
        old = stage.order(stage.account(), {product: 2}, OrderStatus.PAID, at=NOW - 9 * DAY)
        stage.order(stage.account(), {product: 1}, OrderStatus.PAID)
        stage.refund(old, [RefundLine(product, 1)], NOW - DAY)
        assert archive(store, before=NOW - DAY) == 0
        assert archive(store, before=NOW - DAY + SECOND) == 1
        assert [view.id for view in queries.iter_archived_orders()] == [old]

    def test_orders_with_payments_in_progress_stay_hot(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=5_00)
        order_id = stage.order(stage.account(), {product: 1}, OrderStatus.PENDING)
        payment_id = open_payment(store, order_id)
        stage.pay(order_id)
        assert archive(store) == 0
        capture(store, payment_id, order_id)
        refund_id = refund_money(store, order_id)
        assert archive(store) == 0
        confirm_refund(store, refund_id)
        assert archive(store) == 1

    def test_reads_find_archived_orders_as_before(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, seller = stage.account(), stage.account()
        product, other = stage.product(seller, name="Copper kettle"), stage.product(seller)
        first = stage.order(buyer, {product: 2, other: 1}, OrderStatus.PAID, at=NOW - 2 * DAY)
        payment_id = open_payment(store, first)
        capture(store, payment_id, first)
        stage.refund(first, [RefundLine(product, 1)], NOW - DAY, by=seller)
        rejected = stage.order(buyer, {product: 999}, OrderStatus.REJECTED, at=NOW - DAY)
        hot = stage.order(buyer, {other: 3}, OrderStatus.PAID, at=NOW + DAY)
        later = stage.order(buyer, {product: 1}, OrderStatus.CANCELLED, at=NOW - DAY)

        def read() -> tuple[Any, ...]:
            def pages(read_page: Callable[[PageRequest], Any]) -> list[Any]:
                found, page = [], read_page(PageRequest(1))
                found += page.rows
                while page.next is not None:
                    page = read_page(PageRequest(1, after=page.next))
                    found += page.rows
                    before = read_page(PageRequest(1, before=page.previous)) if page.previous else None
                    assert before is None or len(before.rows) == 1
                return found

            filters = [
                OrderFilter(),
                OrderFilter(status=OrderStatus.PAID),
                OrderFilter(status=OrderStatus.REJECTED),
                OrderFilter(buyer=buyer),
                OrderFilter(seller=seller),
                OrderFilter(product=product),
                OrderFilter(search="kettle"),
                OrderFilter(created_before=NOW),
                OrderFilter(buyer=buyer, seller=seller, product=product, status=OrderStatus.PAID),
                OrderFilter(is_parked=True),
            ]
            with store.begin() as tx:
                has_bought = tx.orders.has_bought(buyer, NOW)
                stocks = tx.stock.ledger_differences([product, other])
            return (
                pages(lambda page: queries.orders_of_buyer(buyer, page)),
                queries.orders([first, rejected, hot, later]),
                pages(lambda page: queries.sales(seller, page)),
                pages(lambda page: queries.sales(seller, page, SaleFilter(product=product, since=NOW - 3 * DAY))),
                [pages(lambda page, each=each: queries.all_orders(page, each)) for each in filters],  # type: ignore[misc]
                [queries.order_details(order_id) for order_id in (first, rejected, hot, later)],
                list(queries.iter_orders()),
                queries.seller_stats(seller),
                queries.statistics_discrepancies(),
                queries.stock_discrepancies(),
                list(queries.movement_totals()),
                has_bought,
                stocks,
            )

        before = read()
        assert before[0]
        assert before[2]
        assert all(before[4][:-1])
        assert archive(store) == 3
        assert read() == before
        assert list(queries.archive_discrepancies()) == []

    def test_locking_restores_an_archived_order(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller, stock=10)
        order_id = stage.order(stage.account(), {product: 3}, OrderStatus.PAID, at=NOW - DAY)
        hot = stage.order(stage.account(), {product: 1}, OrderStatus.PAID, at=NOW + DAY)
        with store.begin() as tx:
            before = tx.orders.lock([order_id])
        details = queries.order_details(order_id)
        assert archive(store) == 1
        with store.begin() as tx:
            locked = tx.orders.lock([hot, order_id, OrderId(10**12)])
        assert list(locked) == sorted([order_id, hot])
        assert locked[order_id] == before[order_id]
        assert list(queries.iter_archived_orders()) == []
        assert list(queries.archived_months()) == []
        assert queries.order_details(order_id) == details
        stage.refund(order_id, [RefundLine(product, 2)], NOW, by=seller)
        assert list(queries.stock_discrepancies()) == []
        assert archive(store, before=NOW) == 0
        assert archive(store) == 1
        assert list(queries.archive_discrepancies()) == []
        assert list(queries.stock_discrepancies()) == []

    def test_locking_restores_only_the_accepted_orders(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product()
        first, second = (stage.order(stage.account(), {product: 2}, OrderStatus.PAID) for _ in range(2))
        hot = stage.order(stage.account(), {product: 1}, OrderStatus.PAID, at=NOW + DAY)
        with store.begin() as tx:
            before = tx.orders.lock([first, second, hot])
        assert archive(store) == 2
        asked: list[OrderId] = []

        def restores(order: Order) -> bool:
            asked.append(order.id)
            assert order == before[order.id]
            return order.id == second

        with store.begin() as tx:
            assert tx.orders.lock([hot, second, first, OrderId(10**12)], restores) == before
        assert asked == [first, second]
        assert [view.id for view in queries.iter_archived_orders()] == [first]
        assert list(queries.archive_discrepancies()) == []

    def test_payments_and_their_refunds_are_restored(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=5_00)
        order_id = stage.order(stage.account(), {product: 2}, OrderStatus.PENDING)
        payment_id = open_payment(store, order_id)
        stage.pay(order_id)
        capture(store, payment_id, order_id)
        refund_id = refund_money(store, order_id)
        confirm_refund(store, refund_id)
        details = queries.order_details(order_id)
        with store.begin() as tx:
            refund = tx.payments.lock_refunds([refund_id])[refund_id]
        for _ in range(2):
            assert archive(store) == 1
            assert queries.order_details(order_id) == details
            with store.begin() as tx:
                tx.orders.lock([order_id])
                assert tx.payments.lock_captured([order_id])[order_id].id == payment_id
                assert tx.payments.lock_refunds([refund_id]) == {refund_id: refund}
            assert list(queries.archive_discrepancies()) == []
            assert queries.order_details(order_id) == details
        assert archive(store) == 1
        assert list(queries.archive_discrepancies()) == []

    def test_a_rolled_back_archiving_changes_nothing(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        order_id = stage.order(stage.account(), {stage.product(): 3}, OrderStatus.PAID)

        def fail() -> None:
            with store.begin() as tx:
                assert tx.orders.archive(5, NOW + SECOND) == 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert list(queries.iter_archived_orders()) == []
        assert [view.id for view in queries.iter_orders()] == [order_id]

    def test_a_rolled_back_command_leaves_an_order_archived(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        order_id = stage.order(stage.account(), {stage.product(): 3}, OrderStatus.PAID)
        assert archive(store) == 1

        def fail() -> None:
            with store.begin() as tx:
                assert list(tx.orders.lock([order_id])) == [order_id]
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert [view.id for view in queries.iter_archived_orders()] == [order_id]
        assert list(queries.archive_discrepancies()) == []

    def test_the_ledger_of_a_product_ends_with_its_hot_movements(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(stock=10)
        stage.order(stage.account(), {product: 3}, OrderStatus.PAID, at=NOW - DAY)
        stage.order(stage.account(), {product: 1}, OrderStatus.PAID, at=NOW + DAY)
        assert archive(store) == 1
        newest = queries.stock_movements(product, PageRequest(1)).rows[0]
        assert (newest.quantity, newest.on_hand) == (-1, 6)
        assert [each.quantity for each in queries.stock_movements(product, PageRequest(9)).rows] == [-1, 10]
        assert sum(total.units for total in queries.movement_totals()) == 6
        assert list(queries.stock_discrepancies()) == []

    def test_months_have_the_sums_of_their_orders(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product, euro = stage.product(price=7_00), stage.product(price=5_00, currency="EUR")
        paid = stage.order(stage.account(), {product: 2}, OrderStatus.PAID, at=NOW - 31 * DAY)
        stage.refund(paid, [RefundLine(product, 1)], NOW - 30 * DAY)
        stage.order(stage.account(), {product: 4}, OrderStatus.CANCELLED, at=NOW - 31 * DAY)
        stage.order(stage.account(), {euro: 3}, OrderStatus.PAID)
        assert archive(store) == 3
        assert list(queries.archived_months()) == [
            ArchivedMonth(date(2026, 1, 1), "USD", 2, 2, 14_00, 1, 7_00),
            ArchivedMonth(date(2026, 3, 1), "EUR", 1, 3, 15_00, 0, 0),
        ]

    def test_archived_orders_are_exported_by_time(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product()
        ids = [stage.order(stage.account(), {product: 1}, OrderStatus.PAID, at=NOW - age * DAY) for age in (1, 3, 2)]
        assert archive(store) == 3
        assert [view.id for view in queries.iter_archived_orders()] == [ids[1], ids[2], ids[0]]
        since, until = NOW - 2 * DAY, NOW - DAY
        assert [view.id for view in queries.iter_archived_orders(since)] == [ids[2], ids[0]]
        assert [view.id for view in queries.iter_archived_orders(since, until)] == [ids[2]]
        assert list(queries.iter_archived_orders(until=NOW - timedelta(days=9))) == []

    def test_imported_orders_are_found_by_their_command_in_the_archive(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product()
        order_id = stage.order(stage.account(), {product: 1}, OrderStatus.PAID, origin=OrderOrigin.IMPORT)
        with store.begin() as tx:
            command = tx.orders.lock([order_id])[order_id].command_id
        assert archive(store) == 1
        with store.begin() as tx:
            assert [order.id for order in tx.orders.by_command([command]).values()] == [order_id]

    def test_concurrent_archiving_and_commands_lose_and_double_nothing(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(stock=100)
        ids = [stage.order(stage.account(), {product: 2}, OrderStatus.PAID) for _ in range(12)]

        def archive_often() -> None:
            for _ in ids:
                archive(store, 3)

        def lock_each() -> None:
            for order_id in ids:
                with store.begin() as tx:
                    assert list(tx.orders.lock([order_id])) == [order_id]

        run_in_threads(archive_often, lock_each, archive_often, lock_each)
        while archive(store, 5):
            pass
        assert [view.id for view in queries.iter_orders()] == ids
        assert sorted(view.id for view in queries.iter_archived_orders()) == ids
        assert list(queries.archive_discrepancies()) == []
        assert list(queries.stock_discrepancies()) == []
