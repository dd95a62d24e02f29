"""Figures: price history, a seller's statistics, and the books."""

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE
from scalecommerce_core.domain.order import MAX_QUANTITY, OrderStatus, RefundLine
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.stock import MAX_STOCK, MovementKind
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import (
    MovementTotal,
    PriceInterval,
    Queries,
    SellerStats,
    StockDiscrepancy,
    TopProduct,
)
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage, locked, usd


class FiguresContract:
    # --- price history

    def test_intervals_meet_and_come_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=10, at=NOW - 3 * DAY)
        stage.reprice(product, 12, NOW - 2 * DAY, PriceCause.POLICY)
        stage.reprice(product, 10, NOW - DAY, PriceCause.ROLLBACK)
        history = queries.price_history(product, NOW)
        assert history is not None
        assert history.intervals == (
            PriceInterval(usd(10), NOW - DAY, None, PriceCause.ROLLBACK),
            PriceInterval(usd(12), NOW - 2 * DAY, NOW - DAY, PriceCause.POLICY),
            PriceInterval(usd(10), NOW - 3 * DAY, NOW - 2 * DAY, PriceCause.LISTED),
        )

    def test_the_prior_price_counts_the_one_in_force_when_its_window_opened(
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

    def test_a_first_price_is_the_lowest(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(price=5, at=NOW)
        history = queries.price_history(product, NOW)
        assert history is not None
        assert history.lowest_price_30d == usd(5)
        stage.withdraw(product)
        assert queries.price_history(product, NOW) is None
        assert queries.price_history(ProductId(10**30), NOW) is None

    # --- statistics

    def test_a_sale_counts_when_it_is_paid_and_refunds_are_taken_off(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        cup, pot = stage.product(seller, price=3_00, name="Cup"), stage.product(seller, price=50_00, name="Pot")
        asleep = stage.product(seller, is_active=False)
        gone = stage.product(seller, price=1_00, name="Gone")
        foreign = stage.product(stage.account())
        both = stage.order(buyer, {cup: 4, pot: 1, foreign: 9}, OrderStatus.PAID)
        stage.refund(both, [RefundLine(cup, 1)])
        stage.order(buyer, {cup: 2, gone: 1}, OrderStatus.PAID)
        stage.order(buyer, {pot: 1}, OrderStatus.PENDING)
        stage.order(buyer, {pot: 1}, OrderStatus.CANCELLED)
        stage.order(buyer, {pot: 1}, OrderStatus.CREATED)
        stage.withdraw(gone)
        stage.view({cup: 30, asleep: 10, foreign: 99})
        assert queries.seller_stats(seller) == SellerStats(
            total_products=3,
            active_products=2,
            total_views=40,
            avg_views=40 / 3,
            revenue=66_00,
            currency="USD",
            units_sold=7,
            orders=2,
            conversion_rate=2 / 40,
            top_products=(
                TopProduct(pot, "Pot", 1, 50_00),
                TopProduct(cup, "Cup", 5, 15_00),
                TopProduct(gone, "Gone", 1, 1_00),
            ),
        )

    def test_the_largest_sales_are_added_and_refunded(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        yacht = stage.product(seller, price=MAX_PRICE, stock=MAX_STOCK)
        stage.order(buyer, {yacht: MAX_QUANTITY}, OrderStatus.REFUNDED)
        for _ in range(2):
            stage.order(buyer, {yacht: MAX_QUANTITY}, OrderStatus.PAID)
        stats = queries.seller_stats(seller)
        assert (stats.units_sold, stats.revenue) == (2 * MAX_QUANTITY, 2 * MAX_QUANTITY * MAX_PRICE)
        assert stats.top_products == (TopProduct(yacht, "Tea pot", 2 * MAX_QUANTITY, stats.revenue),)

    def test_currencies_are_not_added_up(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        here = stage.product(seller, price=1_00)
        abroad = stage.product(seller, currency="GBP", price=90_00)
        stage.order(buyer, {abroad: 1}, OrderStatus.PAID)
        for _ in range(2):
            stage.order(buyer, {here: 1}, OrderStatus.PAID)
        stats = queries.seller_stats(seller)
        assert (stats.currency, stats.revenue, stats.orders, stats.units_sold) == ("USD", 2_00, 2, 2)
        assert [top.id for top in stats.top_products] == [here]

    def test_a_seller_with_nothing_has_zeros(self, store: Store, queries: Queries) -> None:
        stats = queries.seller_stats(Stage(store).account())
        assert stats == SellerStats(0, 0, 0, 0.0, 0, stats.currency, 0, 0, 0.0, ())
        assert queries.seller_stats(AccountId(987_654_321)).orders == 0

    def test_top_products_are_ten(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = [stage.product(seller, price=100, category_id=CategoryId(3)) for _ in range(12)]
        stage.order(stage.account(), {id_: 1 + (id_ == ids[11]) for id_ in ids}, OrderStatus.PAID)
        tops = queries.seller_stats(seller).top_products
        assert [top.id for top in tops] == [ids[11], *ids[:9]]

    # --- the books

    def test_the_books_agree_whatever_happened(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer = stage.account()
        product, other = stage.product(stock=50), stage.product(stock=5)
        for status in OrderStatus:
            stage.order(buyer, {product: 2, other: 9 if status is OrderStatus.REJECTED else 1}, status)
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
            stock.adjust(-7, NOW)
            tx.stock.save([stock])
        assert queries.discrepancies() == []
        assert list(queries.totals()) == [
            MovementTotal(MovementKind.ADJUSTMENT, 1, -7),
            MovementTotal(MovementKind.OPENING, 2, 55),
            MovementTotal(MovementKind.RETURN, 2, 3),
            MovementTotal(MovementKind.SALE, 4, -6),
        ]

    def test_a_figure_without_a_source_is_found(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        unbooked, unpromised, right = stage.product(stock=4), stage.product(stock=4), stage.product()
        with store.begin() as tx:
            stock = tx.stock.lock([unbooked, unpromised, right])
            stock[unbooked].on_hand = 9
            stock[unpromised].reserved = 1
            tx.stock.save(list(stock.values()))
        assert queries.discrepancies() == [
            StockDiscrepancy(unbooked, "on_hand", 9, 4),
            StockDiscrepancy(unpromised, "reserved", 1, 0),
        ]
        assert len(queries.discrepancies(limit=1)) == 1
        assert len(queries.discrepancies(limit=None)) == 2

    def test_an_order_without_its_entries_in_the_ledger_is_found(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product, other = stage.product(stock=9), stage.product(stock=9)
        order_id = stage.order(stage.account(), {product: 3, other: 2}, OrderStatus.PENDING)
        for change in ("pay", "refund"):
            with store.begin() as tx:
                order, stock = locked(tx, order_id)
                if change == "pay":
                    order.pay(stock, NOW)
                else:
                    order.refund([RefundLine(product, 1)], stock, NOW, restock=True)
                tx.orders.save([order])
                # Of one product the stock is forgotten.
                tx.stock.save([stock[other]])
        assert queries.discrepancies() == [
            StockDiscrepancy(product, "reserved", 3, 0),
            StockDiscrepancy(product, "returned", 0, 1, order_id),
            StockDiscrepancy(product, "sold", 0, 3, order_id),
        ]
