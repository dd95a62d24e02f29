"""Tests of price history and of the ledger audit."""

from datetime import timedelta
from random import Random

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.order import OrderStatus, RefundLine
from scalecommerce_core.domain.price_history import Reduction, lowest_price_30d, reduction_in_force
from scalecommerce_core.domain.product import PriceCause, PriceChange, PriceWithdrawal
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import MovementTotal, PriceInterval, Queries, StockDiscrepancy
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage, lock_with_stock, usd


class FiguresContract:
    # --- price history

    def test_price_intervals_are_adjacent_and_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=10, at=NOW - 3 * DAY)
        stage.reprice(product, 12, NOW - 2 * DAY, PriceCause.POLICY)
        stage.reprice(product, 10, NOW - DAY, PriceCause.ROLLBACK)
        history = queries.price_history(product, NOW)
        assert history is not None
        assert history.intervals == (
            PriceInterval(usd(10), NOW - DAY, None, PriceCause.ROLLBACK),
            PriceInterval(usd(12), NOW - 2 * DAY, NOW - DAY, PriceCause.POLICY, is_withdrawn=True),
            PriceInterval(usd(10), NOW - 3 * DAY, NOW - 2 * DAY, PriceCause.LISTED),
        )

    def test_the_price_history_shows_withdrawals(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=10, at=NOW - 3 * DAY)
        stage.reprice(product, 1, NOW - 2 * DAY)
        stage.reprice(product, 10, NOW - DAY, PriceCause.ROLLBACK)
        withdrawal = PriceWithdrawal(NOW - DAY, None, "typing error")
        with store.begin() as tx:
            tx.products.lock([product])
            tx.products.withdraw_prices({(product, NOW - 2 * DAY): withdrawal})
        history = queries.price_history(product, NOW)
        assert history is not None
        assert [(each.is_withdrawn, each.withdrawal) for each in history.intervals] == [
            (False, None), (True, withdrawal), (False, None),
        ]  # fmt: skip
        # A seller could otherwise withdraw low prices to announce a larger reduction.
        assert history.lowest_price_30d == usd(1)

    def test_the_prior_price_includes_the_price_in_force_when_its_window_opened(
        self, store: Store, queries: Queries
    ) -> None:
        # Directive 98/6/EC art. 6a, CJEU C-330/23: 9.99 ended 25 days ago, inside the window.
        stage = Stage(store)
        product = stage.product(price=9_99, at=NOW - 60 * DAY)
        stage.reprice(product, 15_00, NOW - 25 * DAY)
        stage.reprice(product, 12_00, NOW)
        history = queries.price_history(product, NOW)
        assert history is not None
        assert history.lowest_price_30d == usd(9_99)

    def test_a_reduced_price_is_not_its_own_prior_price(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=20_00, at=NOW - 60 * DAY)
        stage.reprice(product, 12_00, NOW - DAY)
        history, later = queries.price_history(product, NOW), queries.price_history(product, NOW + 40 * DAY)
        assert history is not None
        assert later is not None
        assert (history.lowest_price_30d, later.lowest_price_30d) == (usd(20_00), usd(12_00))

    def test_the_prior_price_of_a_reduction_does_not_change_while_it_lasts(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        product = stage.product(price=20_00, at=NOW - 200 * DAY)
        stage.reprice(product, 16_00, NOW - 90 * DAY)
        stage.reprice(product, 12_00, NOW - 80 * DAY)
        history = queries.price_history(product, NOW)
        assert history is not None
        assert history.lowest_price_30d == usd(12_00)
        assert history.reduction == Reduction(NOW - 80 * DAY, usd(16_00), NOW - 90 * DAY, usd(20_00))

    def test_reductions_follow_from_the_price_history(self, store: Store, queries: Queries) -> None:
        random = Random(5)  # noqa: S311 - it has to be repeatable
        stage = Stage(store)
        for _ in range(10):
            moments = sorted(NOW - timedelta(hours=random.randint(1, 2_000)) for _ in range(6))
            product = stage.product(price=1 + random.randint(1, 9), at=moments[0] - DAY)
            for moment in moments:
                stage.reprice(product, random.randint(1, 9), moment)
            history = queries.price_history(product, NOW)
            assert history is not None
            changes = [
                PriceChange(product, each.price, each.valid_from, each.cause) for each in reversed(history.intervals)
            ]
            assert history.reduction == reduction_in_force(changes)
            assert history.lowest_price_30d == lowest_price_30d(changes, NOW)

    def test_the_first_price_is_the_lowest_price(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=5, at=NOW)
        history = queries.price_history(product, NOW)
        assert history is not None
        assert (history.lowest_price_30d, history.reduction) == (usd(5), None)
        stage.withdraw(product)
        assert queries.price_history(product, NOW) is None
        assert queries.price_history(ProductId(10**30), NOW) is None

    # --- ledger audit

    def test_the_ledger_audit_finds_no_discrepancy_in_any_history(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer = stage.account()
        product, other = stage.product(stock=50), stage.product(stock=5)
        for status in OrderStatus:
            stage.order(buyer, {product: 2, other: 9 if status is OrderStatus.REJECTED else 1}, status)
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
            stock.adjust(-7, NOW)
            tx.stock.save([stock])
        assert queries.stock_discrepancies() == []
        assert list(queries.movement_totals()) == [
            MovementTotal(MovementKind.ADJUSTMENT, 1, -7),
            MovementTotal(MovementKind.OPENING, 2, 55),
            MovementTotal(MovementKind.RETURN, 2, 3),
            MovementTotal(MovementKind.SALE, 4, -6),
        ]

    def test_the_ledger_audit_finds_stock_without_a_source(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        unbooked, unpromised, right = stage.product(stock=4), stage.product(stock=4), stage.product()
        with store.begin() as tx:
            stock = tx.stock.lock([unbooked, unpromised, right])
            stock[unbooked].on_hand = 9
            stock[unpromised].reserved = 1
            tx.stock.save(list(stock.values()))
        assert queries.stock_discrepancies() == [
            StockDiscrepancy(unbooked, "on_hand", 9, 4),
            StockDiscrepancy(unpromised, "reserved", 1, 0),
        ]
        assert len(queries.stock_discrepancies(limit=1)) == 1
        assert len(queries.stock_discrepancies(limit=None)) == 2

    def test_the_ledger_audit_finds_an_order_without_movements(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product, other = stage.product(stock=9), stage.product(stock=9)
        order_id = stage.order(stage.account(), {product: 3, other: 2}, OrderStatus.PENDING)
        for change in ("pay", "refund"):
            with store.begin() as tx:
                order, stock = lock_with_stock(tx, order_id)
                if change == "pay":
                    order.pay(stock, NOW)
                else:
                    order.refund([RefundLine(product, 1)], stock, NOW, restock=True)
                tx.orders.save([order])
                # The stock of one product is not updated.
                tx.stock.save([stock[other]])
        assert queries.stock_discrepancies() == [
            StockDiscrepancy(product, "reserved", 3, 0),
            StockDiscrepancy(product, "returned", 0, 1, order_id),
            StockDiscrepancy(product, "sold", 0, 3, order_id),
        ]
