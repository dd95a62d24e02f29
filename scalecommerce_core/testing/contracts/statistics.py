"""Tests of statistics: rollups count each fact once, whenever they are folded or rebuilt."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

import pytest

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, OrderId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE
from scalecommerce_core.domain.order import MAX_QUANTITY, OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.product_views import DEDUP_RETENTION, ViewBatch
from scalecommerce_core.domain.rollups import Rollups, hour_of
from scalecommerce_core.domain.stock import MAX_STOCK
from scalecommerce_core.ports import PendingFacts, PendingOrderFacts, ProductCounters, Store
from scalecommerce_core.queries import (
    Interval,
    PageRequest,
    Queries,
    SalesFigures,
    SellerStats,
    SeriesPoint,
    TopProduct,
)
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.statistics import FoldResult, Statistics
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, lock_with_stock, new_order, usd
from scalecommerce_core.testing.failpoints import Crash, FailPoints, Seams, crash
from scalecommerce_core.testing.fakes import SettableClock

HOUR = timedelta(hours=1)


def statistics(store: Store) -> Statistics:
    return Statistics(store, SettableClock(NOW))


def fold(store: Store) -> FoldResult:
    """Number all events and fold them."""
    with store.begin() as tx:
        tx.events.assign_sequence(10_000)
    return statistics(store).fold(10_000)


def counters(store: Store, product: ProductId, now: datetime = NOW) -> ProductCounters:
    with store.begin() as tx:
        (found,) = tx.statistics.counters(product, product, now)
    return found


def adjust_stock(store: Store, product: ProductId, delta: int, at: datetime) -> None:
    """Adjust the stock by `delta` units and record its events."""
    with store.begin() as tx:
        stock = tx.stock.lock([product])[product]
        stock.adjust(delta, at)
        tx.stock.save([stock], at)


class RollupsContract:
    # --- folding

    def test_a_folded_event_is_not_folded_again(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=3_00)
        stage.order(stage.account(), {product: 2}, OrderStatus.PAID)
        assert fold(store).events == 4
        assert fold(store) == FoldResult()
        assert counters(store, product) == ProductCounters(product, 0, 1, 2, 6_00, 0, 0, timedelta(), 0)

    def test_a_rolled_back_fold_is_repeated_by_the_next(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=3_00)
        stage.order(stage.account(), {product: 2}, OrderStatus.PAID)
        with store.begin() as tx:
            tx.events.assign_sequence(100)
        dying = Seams(FailPoints(lambda seam: seam == "commit:before", crash))
        with pytest.raises(Crash):
            statistics(dying.store(store)).fold()
        assert counters(store, product).units == 0
        fold(store)
        assert counters(store, product).units == 2

    def test_a_fold_can_be_limited_to_few_events(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=3_00)
        orders = [stage.order(stage.account(), {product: 2}, OrderStatus.PAID) for _ in range(3)]
        stage.refund(orders[0], [RefundLine(product, 1)])
        with store.begin() as tx:
            tx.events.assign_sequence(100)
        batches = 0
        while statistics(store).fold(1).is_full(1):
            batches += 1
        assert batches == 1 + 3 * 3 + 1
        assert counters(store, product) == ProductCounters(product, 0, 3, 6, 18_00, 1, 3_00, timedelta(), 0)

    def test_a_new_consumer_may_begin_at_any_place(self, store: Store) -> None:
        Stage(store).product()
        with store.begin() as tx:
            tx.events.assign_sequence(100)
            assert tx.events.claim("from the start", begin=0) == 0
            assert tx.events.claim("from now on") == 1
            assert tx.events.claim("from now on", begin=0) == 1
            assert tx.events.claim("patient", begin=0, wait=True) == 0
        with store.begin() as tx:
            assert tx.events.claim("patient", wait=True) == 0

    def test_an_event_that_is_not_folded_is_not_purged(self, store: Store) -> None:
        stage = Stage(store)
        stage.product()
        fold(store)
        stage.product()
        with store.begin() as tx:
            tx.events.assign_sequence(100)
            assert tx.events.purge(NOW + DAY, 100) == 1

    # --- facts without events

    def test_past_sales_are_counted_and_ignored_by_pricing(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(price=3_00)
        fold(store)
        order_id = self._recorded(stage, product, 4, refunded=1)
        with store.begin() as tx:
            tx.products.add_views({(product, NOW): 9}, past=True)
        assert fold(store) == FoldResult(pending=1)
        assert fold(store) == FoldResult()
        stage.view({product: 5})
        assert counters(store, product) == ProductCounters(product, 5, 0, 0, 0, 0, 0, timedelta(), 5)
        stage.refund(order_id, [RefundLine(product, 2)])
        stage.order(stage.account(), {product: 1}, OrderStatus.PAID)
        fold(store)
        assert counters(store, product) == ProductCounters(product, 5, 1, 1, 3_00, 0, 0, timedelta(), 5)

    def _recorded(self, stage: Stage, product: ProductId, units: int, *, refunded: int) -> OrderId:
        buyer = stage.account()
        with stage.store.bulk() as tx:
            (id_,) = tx.orders.next_ids(1)
            order = new_order(tx, id_, buyer, {product: units}, origin=OrderOrigin.IMPORT)
            stock = tx.stock.lock([product])
            order.decide(stock, NOW, NOW + DAY)
            order.pay(stock, NOW)
            order.refund([RefundLine(product, refunded)], stock, NOW, restock=True)
            order.events.clear()
            tx.statistics.add_pending_facts(PendingFacts(orders=[PendingOrderFacts.of(order)]))
            tx.orders.add([order])
            tx.stock.save(list(stock.values()))
        return id_

    # --- stock

    def test_stock_records_when_it_runs_out_and_when_it_returns(self, store: Store) -> None:
        stage = Stage(store)
        product, other = stage.product(stock=2), stage.product(stock=2)
        adjust_stock(store, product, -1, NOW)
        adjust_stock(store, product, -1, NOW + HOUR)
        adjust_stock(store, other, -1, NOW + HOUR)
        adjust_stock(store, product, 3, NOW + 2 * HOUR)
        adjust_stock(store, product, 1, NOW + 3 * HOUR)
        with store.begin() as tx:
            seller = tx.products.lock([product])[product].seller_id
            tx.events.assign_sequence(100)
            events = [event for event in tx.events.read_after(0, 100) if event.topic.startswith("stock.")]
        assert [(event.topic, event.at) for event in events] == [
            ("stock.ran_out", NOW + HOUR),
            ("stock.returned", NOW + 2 * HOUR),
        ]
        assert {event.audience for event in events} == {(seller,)}
        assert events[0].payload == {"product_id": product, "seller_id": seller}

    def test_fully_reserved_stock_is_out_of_stock(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(stock=2)
        order_id = stage.order(stage.account(), {product: 2})
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, order_id)
            order.decide(stock, NOW, NOW + DAY)
            tx.stock.save(list(stock.values()), NOW)
            order.cancel(stock, NOW + HOUR)
            tx.stock.save(list(stock.values()), NOW + HOUR)
            tx.orders.save([order])
        fold(store)
        assert counters(store, product, NOW + DAY).out_of_stock == HOUR

    def test_time_out_of_stock_adds_up(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(stock=1)
        for day in range(2):
            adjust_stock(store, product, -1, NOW + day * DAY)
            adjust_stock(store, product, 1, NOW + day * DAY + 3 * HOUR)
            fold(store)
        assert counters(store, product, NOW + 9 * DAY).out_of_stock == 6 * HOUR
        adjust_stock(store, product, -1, NOW + 10 * DAY)
        fold(store)
        assert counters(store, product, NOW + 10 * DAY + 30 * SECOND).out_of_stock == 6 * HOUR + 30 * SECOND

    def test_differing_clocks_make_no_duration_negative(self, store: Store) -> None:
        product = Stage(store).product(stock=1)
        adjust_stock(store, product, -1, NOW + SECOND)
        adjust_stock(store, product, 1, NOW)
        fold(store)
        assert counters(store, product, NOW + DAY).out_of_stock == timedelta()

    def test_a_product_that_is_listed_empty_is_out_of_stock(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product(stock=1)
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
            stock.adjust(-1, NOW)
            # Imported stock has no events, so the product is a pending fact.
            tx.stock.save([stock])
            tx.statistics.add_pending_facts(PendingFacts(products=[product]))
        fold(store)
        assert counters(store, product, NOW + HOUR).out_of_stock == HOUR

    # --- counters

    def test_counters_are_read_for_a_range_of_products(self, store: Store) -> None:
        stage = Stage(store)
        ids = [stage.product() for _ in range(4)]
        stage.view({ids[1]: 7})
        with store.begin() as tx:
            found = tx.statistics.counters(ids[1], ids[2], NOW)
        assert [(each.product_id, each.views) for each in found] == [(ids[1], 7), (ids[2], 0)]

    # --- views

    def test_a_view_batch_is_marked_as_applied_once(self, store: Store) -> None:
        with store.begin() as tx:
            assert tx.products.mark_batch_applied("one", NOW)
            assert not tx.products.mark_batch_applied("one", NOW)
            assert tx.products.mark_batch_applied("two", NOW + HOUR)
        with store.begin() as tx:
            assert not tx.products.mark_batch_applied("one", NOW + DEDUP_RETENTION - SECOND)
            assert tx.products.mark_batch_applied("three", NOW + DEDUP_RETENTION)
            assert tx.products.mark_batch_applied("one", NOW + DEDUP_RETENTION), "notes are not kept for ever"
            assert not tx.products.mark_batch_applied("two", NOW + DEDUP_RETENTION)

    def test_a_rolled_back_view_batch_is_not_marked(self, store: Store) -> None:
        product = Stage(store).product()
        clock = SettableClock(NOW)
        batch = ViewBatch("one", {(product, NOW): 2})
        dying = Seams(FailPoints(lambda seam: seam == "commit:before", crash))
        with pytest.raises(Crash):
            Catalog(dying.store(store), clock).record_views(batch)
        assert Catalog(store, clock).record_views(batch)
        assert not Catalog(store, clock).record_views(batch)
        assert counters(store, product).views == 2

    def test_weights_of_views_are_counted_apart(self, store: Store) -> None:
        stage = Stage(store)
        plain, trusted = stage.product(), stage.product()
        catalog = Catalog(store, SettableClock(NOW))
        views = {(plain, NOW): 6, (trusted, NOW): 2, (trusted, NOW + HOUR): 3}
        assert catalog.record_views(ViewBatch("one", views, {(trusted, NOW): 6}))
        assert catalog.record_views(ViewBatch("two", {(trusted, NOW): 1}))
        for product, weighted in ((plain, 6), (trusted, 12)):
            counted = counters(store, product)
            assert (counted.views, counted.weighted_views) == (6, weighted)


class SalesContract:
    """Tests of statistics queries with the fixtures `store` and `queries`."""

    # --- a seller

    def test_a_sale_counts_when_it_is_paid_and_refunds_are_subtracted(self, store: Store, queries: Queries) -> None:
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
        fold(store)
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

    def test_the_largest_amounts_are_added_and_subtracted_exactly(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        yacht = stage.product(seller, price=MAX_PRICE, stock=MAX_STOCK)
        stage.order(buyer, {yacht: MAX_QUANTITY}, OrderStatus.REFUNDED)
        for _ in range(2):
            stage.order(buyer, {yacht: MAX_QUANTITY}, OrderStatus.PAID)
        fold(store)
        stats = queries.seller_stats(seller)
        assert (stats.units_sold, stats.revenue) == (2 * MAX_QUANTITY, 2 * MAX_QUANTITY * MAX_PRICE)
        assert stats.top_products == (TopProduct(yacht, "Tea pot", 2 * MAX_QUANTITY, stats.revenue),)

    def test_currencies_are_counted_separately(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        here = stage.product(seller, price=1_00)
        abroad = stage.product(seller, currency="GBP", price=90_00)
        stage.order(buyer, {abroad: 1}, OrderStatus.PAID)
        for _ in range(2):
            stage.order(buyer, {here: 1}, OrderStatus.PAID)
        fold(store)
        stats = queries.seller_stats(seller)
        assert (stats.currency, stats.revenue, stats.orders, stats.units_sold) == ("USD", 2_00, 2, 2)
        assert [top.id for top in stats.top_products] == [here]

    def test_own_purchases_of_sellers_are_not_sales(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        cup, pot = stage.product(seller, price=3_00), stage.product(seller, price=50_00, currency="USD")
        foreign = stage.product(stage.account(), price=7_00)
        stage.view({cup: 2, pot: 1})
        own = stage.order(seller, {cup: 8, pot: 2}, OrderStatus.PAID)
        mixed = stage.order(seller, {pot: 1, foreign: 1}, OrderStatus.PAID)
        stage.refund(own, [RefundLine(cup, 3)])
        stage.refund(mixed, [RefundLine(pot, 1)])
        fold(store)
        stats = queries.seller_stats(seller)
        assert (stats.orders, stats.units_sold, stats.revenue, stats.conversion_rate) == (0, 0, 0, 0.0)
        assert stats.top_products == ()
        for product, views in ((cup, 2), (pot, 1)):
            shown = queries.product_statistics(product, NOW)
            assert shown is not None
            assert shown.total == SalesFigures(views)
            assert [price.sales for price in shown.prices] == [SalesFigures(views)]
            assert counters(store, product) == ProductCounters(product, views, 0, 0, 0, 0, 0, timedelta(), views)
            assert [point.sales for point in queries.product_series(product, Interval.DAY, NOW - DAY, NOW + DAY)] == [
                SalesFigures(views)
            ]
        assert counters(store, foreign).units == 1
        assert queries.sales(seller, PageRequest(10)).rows == ()
        # Only the sale to another account counts.
        stage.order(buyer, {cup: 1}, OrderStatus.PAID)
        fold(store)
        stats = queries.seller_stats(seller)
        assert (stats.orders, stats.units_sold, stats.revenue, stats.conversion_rate) == (1, 1, 3_00, 1 / 3)
        assert queries.statistics_discrepancies() == []
        statistics(store).rebuild()
        assert queries.statistics_discrepancies() == []
        assert queries.seller_stats(seller) == stats

    def test_own_purchases_of_sellers_do_not_affect_popularity(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        products = [stage.product(seller) for _ in range(8)]
        stage.order(seller, {products[0]: 1}, OrderStatus.PAID)
        fold(store)
        with store.begin() as tx:
            before = tx.search.outdated_popularity(100)
        stage.order(stage.account(), {products[0]: 1}, OrderStatus.PAID)
        fold(store)
        with store.begin() as tx:
            after = tx.search.outdated_popularity(100)
        # Equally popular products are sorted by age, newest first.
        assert before.get(products[0], 0) == 0
        assert after[products[0]] > 0

    def test_popularity_depends_on_the_weights_of_views(self, store: Store) -> None:
        stage = Stage(store)
        products = [stage.product() for _ in range(8)]
        counts = {(product, NOW): 1 + number for number, product in enumerate(products[:4])}
        assert Catalog(store, SettableClock(NOW)).record_views(ViewBatch("one", counts, {(products[0], NOW): 4}))
        with store.begin() as tx:
            tiers = tx.search.outdated_popularity(100)
        # A quarter of the products has the first tier above 0.
        assert tiers == {products[0]: 1, products[3]: 1}

    def test_statistics_of_a_seller_without_products_are_zero(self, store: Store, queries: Queries) -> None:
        fold(store)
        stats = queries.seller_stats(Stage(store).account())
        assert stats == SellerStats(0, 0, 0, 0.0, 0, stats.currency, 0, 0, 0.0, ())
        assert queries.seller_stats(AccountId(987_654_321)).orders == 0

    def test_top_products_are_limited_to_ten(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = [stage.product(seller, price=100, category_id=CategoryId(3)) for _ in range(12)]
        stage.order(stage.account(), {id_: 1 + (id_ == ids[11]) for id_ in ids}, OrderStatus.PAID)
        fold(store)
        tops = queries.seller_stats(seller).top_products
        assert [top.id for top in tops] == [ids[11], *ids[:9]]

    # --- series

    def test_sales_count_in_the_hour_of_payment_and_refunds_in_their_own_hour(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        seller, start = stage.account(), hour_of(NOW)
        product, foreign = stage.product(seller, price=3_00, at=NOW - DAY), stage.product(at=NOW - DAY)
        order = stage.order(stage.account(), {product: 2, foreign: 1}, OrderStatus.PAID, at=start)
        stage.order(stage.account(), {product: 1}, OrderStatus.PAID, at=start + HOUR - SECOND)
        stage.refund(order, [RefundLine(product, 1)], start + 26 * HOUR)
        stage.view({product: 5, foreign: 7}, start + 2 * HOUR)
        fold(store)
        by_hour = [
            SeriesPoint(start, SalesFigures(0, 2, 3, 9_00)),
            SeriesPoint(start + 2 * HOUR, SalesFigures(5)),
            SeriesPoint(start + 26 * HOUR, SalesFigures(refunded_units=1, refunded_amount=3_00)),
        ]
        midnight = Interval.DAY.begin(start)
        by_day = [
            SeriesPoint(midnight, SalesFigures(5, 2, 3, 9_00)),
            SeriesPoint(midnight + DAY, SalesFigures(refunded_units=1, refunded_amount=3_00)),
        ]
        span = start, start + 27 * HOUR
        assert list(queries.seller_series(seller, "USD", Interval.HOUR, *span)) == by_hour
        assert list(queries.product_series(product, Interval.HOUR, *span)) == by_hour
        assert list(queries.seller_series(seller, "USD", Interval.DAY, midnight, midnight + 2 * DAY)) == by_day
        assert list(queries.product_series(product, Interval.DAY, midnight, midnight + DAY)) == by_day[:1]
        assert list(queries.product_series(product, Interval.HOUR, start + HOUR, start + 26 * HOUR)) == by_hour[1:2]
        assert list(queries.seller_series(seller, "GBP", Interval.HOUR, *span)) == []

    def test_points_of_a_series_do_not_count_earlier_facts(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, midnight = stage.account(), Interval.DAY.begin(NOW)
        product = stage.product(seller, price=1_00, at=midnight - DAY)
        times = [midnight + HOUR, midnight + 13 * HOUR, midnight + DAY, midnight + DAY + 13 * HOUR]
        for at in times:
            stage.order(stage.account(), {product: 1}, OrderStatus.PAID, at=at)
        stage.view({product: 1}, midnight + 13 * HOUR)
        fold(store)

        def starts(interval: Interval, since: datetime, until: datetime) -> list[tuple[datetime, int]]:
            of_product = queries.product_series(product, interval, since, until)
            assert list(queries.seller_series(seller, "USD", interval, since, until)) == list(of_product)
            return [(point.start, point.sales.orders) for point in of_product]

        noon, end = midnight + 12 * HOUR, midnight + 2 * DAY
        both = [(midnight, 2), (midnight + DAY, 2)]
        assert starts(Interval.DAY, midnight, end) == both
        # A first day that is partly before the beginning is left out.
        assert starts(Interval.DAY, midnight + SECOND, end) == both[1:]
        assert starts(Interval.DAY, noon, end) == both[1:]
        assert starts(Interval.DAY, noon.astimezone(timezone(timedelta(hours=5))), end) == both[1:]
        assert starts(Interval.HOUR, noon + HOUR, noon + 2 * HOUR) == [(noon + HOUR, 1)]
        assert starts(Interval.HOUR, noon + HOUR + SECOND, noon + 2 * HOUR) == []
        # A last day that is partly after the end is included; a day that begins at the end is not.
        assert starts(Interval.DAY, midnight, midnight + DAY + SECOND) == both
        assert starts(Interval.DAY, midnight, midnight + DAY) == both[:1]
        assert starts(Interval.DAY, noon, noon) == []

    # --- the report of a range

    def test_a_report_compares_a_range_with_the_range_before_it(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        cup, pot = stage.product(seller, price=3_00, name="Cup"), stage.product(seller, price=50_00, name="Pot")
        stage.product(stage.account(), price=1_00)
        today = NOW.replace(hour=0)
        for days, product, units in ((0, cup, 2), (1, cup, 1), (1, pot, 1), (2, cup, 5), (3, pot, 1), (5, pot, 1)):
            stage.order(buyer, {product: units}, OrderStatus.PAID, at=today - days * DAY)
            stage.view({product: 10}, at=today - days * DAY)
        back = stage.order(buyer, {pot: 1}, OrderStatus.PAID, at=today + HOUR)
        stage.refund(back, [RefundLine(pot, 1)], at=today + 2 * HOUR)
        fold(store)
        found = queries.sales_report(seller, Interval.DAY, today - DAY, NOW)
        assert (found.currency, found.interval) == ("USD", Interval.DAY)
        assert (found.previous_since, found.since, found.until) == (today - 3 * DAY, today - DAY, today + DAY)
        assert [(point.start, point.sales.units) for point in found.points] == [(today - DAY, 2), (today, 3)]
        assert found.total == SalesFigures(30, 4, 5, 109_00, 1, 50_00)
        assert found.previous == SalesFigures(20, 2, 6, 65_00)
        assert [(top.id, top.name, top.sales.net_revenue) for top in found.top_products] == [
            (pot, "Pot", 50_00),
            (cup, "Cup", 9_00),
        ]
        hours = queries.sales_report(seller, Interval.HOUR, today + HOUR, today + 2 * HOUR)
        assert [(point.start, point.sales.orders) for point in hours.points] == [(today + HOUR, 1)]
        assert (hours.previous_since, hours.previous.orders) == (today, 1)

    def test_a_report_counts_whole_hours_and_days_of_utc(self, store: Store, queries: Queries) -> None:
        seller = Stage(store).account()
        cet = timezone(timedelta(hours=1))
        for since, until, points in (
            (NOW - DAY, NOW, (NOW.replace(hour=0), NOW.replace(hour=0) + DAY)),
            (NOW.astimezone(cet), NOW.astimezone(cet), (NOW.replace(hour=0) + DAY,) * 2),
        ):
            found = queries.sales_report(seller, Interval.DAY, since, until)
            assert (found.since, found.until) == points
            assert found.since.utcoffset() == timedelta()
        with pytest.raises(Invalid):
            queries.sales_report(seller, Interval.DAY, NOW, NOW - SECOND)

    def test_a_report_without_sales_is_empty(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        assert queries.sales_report(seller, Interval.DAY, NOW - DAY, NOW).currency == "USD"
        abroad = stage.product(seller, currency="GBP", price=90_00)
        stage.view({abroad: 3})
        fold(store)
        found = queries.sales_report(seller, Interval.DAY, NOW - DAY, NOW)
        assert found.currency == "GBP"
        assert (found.total, found.previous, found.top_products) == (SalesFigures(3), SalesFigures(), ())

    # --- how long the stock lasts

    def test_products_whose_stock_runs_out_come_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        long_ago = NOW - 60 * DAY
        slow, fast, gone, idle = (
            stage.product(seller, stock=stock, at=long_ago, sku=sku)
            for stock, sku in ((56, "slow"), (50, "fast"), (2, "gone"), (9, "idle"))
        )
        paused = stage.product(seller, stock=9, at=long_ago)
        new = stage.product(seller, stock=13, at=NOW - 2 * DAY)
        stage.product(stage.account(), stock=0, at=long_ago)
        for product, units in ((slow, 28), (fast, 28), (gone, 2), (paused, 1), (new, 3)):
            stage.order(buyer, {product: units}, OrderStatus.PAID, at=NOW - DAY)
        stage.order(buyer, {idle: 1}, OrderStatus.PAID, at=NOW - 29 * DAY)
        stage.edit(paused, is_active=False)
        stage.decide([stage.order(buyer, {fast: 8})])
        fold(store)
        found = queries.stock_outlook(seller, NOW, PageRequest()).rows
        # 14 units left, one a day; 10 units left in two days, in which 3 were sold; 28 units left.
        assert [(each.id, each.sku, each.available, each.reserved, each.sold) for each in found] == [
            (gone, "gone", 0, 0, 2),
            (new, None, 10, 0, 3),
            (fast, "fast", 14, 8, 28),
            (slow, "slow", 28, 0, 28),
        ]
        assert [each.days_in_stock for each in found] == [28.0, 2.0, 28.0, 28.0]
        assert [each.minutes_left for each in found] == [0, 10 * 2 * 24 * 60 // 3, 14 * 24 * 60, 28 * 24 * 60]
        assert [each.id for each in queries.stock_outlook(seller, NOW, PageRequest(), within=14 * DAY).rows] == [
            gone,
            new,
            fast,
        ]

    def test_a_product_that_never_sold_runs_out_only_without_units(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        empty, viewed, former = (stage.product(seller, stock=stock, at=NOW - 60 * DAY) for stock in (0, 5, 1))
        paused = stage.product(seller, stock=0, at=NOW - 60 * DAY)
        stage.edit(paused, is_active=False)
        stage.order(buyer, {former: 1}, OrderStatus.PAID, at=NOW - 29 * DAY)
        stage.view({empty: 2, viewed: 3, former: 4}, NOW - DAY)
        fold(store)
        found = queries.stock_outlook(seller, NOW, PageRequest()).rows
        assert [(each.id, each.available, each.sold, each.minutes_left) for each in found] == [
            (empty, 0, 0, 0),
            (former, 0, 0, 0),
        ]

    def test_time_out_of_stock_does_not_count_for_the_rate_of_sales(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        product = stage.product(seller, stock=10, at=NOW - 90 * DAY)
        # Out of stock for 50 days, of which 20 are before the last 28, and for 2 days.
        adjust_stock(store, product, -10, NOW - 48 * DAY)
        adjust_stock(store, product, 17, NOW - 16 * DAY)
        adjust_stock(store, product, -17, NOW - 10 * DAY)
        adjust_stock(store, product, 17, NOW - 8 * DAY)
        stage.order(buyer, {product: 7}, OrderStatus.PAID, at=NOW)
        fold(store)
        (found,) = queries.stock_outlook(seller, NOW, PageRequest()).rows
        assert (found.available, found.sold, found.days_in_stock) == (10, 7, 14.0)
        assert (found.units_a_day, found.days_left) == (0.5, 20.0)

    def test_stock_outlook_has_pages(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        ids = [stage.product(seller, stock=stock, at=NOW - 60 * DAY) for stock in (9, 5, 5, 3, 6)]
        for product, units in zip(ids, (3, 1, 1, 1, 6), strict=True):
            stage.order(buyer, {product: units}, OrderStatus.PAID, at=NOW - DAY)
        fold(store)
        wanted = [ids[4], ids[0], ids[3], ids[1], ids[2]]
        first = queries.stock_outlook(seller, NOW, PageRequest(2))
        second = queries.stock_outlook(seller, NOW, PageRequest(2, after=first.next))
        third = queries.stock_outlook(seller, NOW, PageRequest(2, after=second.next))
        assert [each.id for page in (first, second, third) for each in page.rows] == wanted
        assert third.next is None
        back = queries.stock_outlook(seller, NOW, PageRequest(2, before=third.previous))
        assert back.rows == second.rows

    def test_a_series_that_ends_before_it_begins_is_refused(self, queries: Queries) -> None:
        for interval in Interval:
            with pytest.raises(Invalid, match="since: This is later than until"):
                queries.seller_series(AccountId(1), "USD", interval, NOW, NOW - SECOND)
            with pytest.raises(Invalid, match="since: This is later than until"):
                queries.product_series(ProductId(1), interval, NOW, NOW - SECOND)

    # --- prices

    def test_sales_belong_to_the_price_that_was_in_force_when_they_were_ordered(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        product = stage.product(price=10_00, at=NOW - DAY, cost=usd(4_00))
        early = stage.order(stage.account(), {product: 1}, at=NOW - 2 * HOUR)
        stage.view({product: 3}, NOW - 2 * HOUR)
        stage.reprice(product, 8_00, NOW - HOUR)
        stage.order(stage.account(), {product: 2}, OrderStatus.PAID)
        stage.view({product: 4})
        stage.decide([early])
        stage.pay(early)
        stage.refund(early, [RefundLine(product, 1)])
        fold(store)
        found = queries.product_statistics(product, NOW)
        assert found is not None
        assert (found.currency, found.total) == ("USD", SalesFigures(7, 2, 3, 26_00, 1, 10_00))
        new, old = found.prices
        assert (new.price, new.valid_from, new.valid_to, new.cause) == (usd(8_00), NOW - HOUR, None, PriceCause.MANUAL)
        assert (new.sales, new.profit) == (SalesFigures(4, 1, 2, 16_00), 8_00)
        assert (old.price, old.valid_to) == (usd(10_00), NOW - HOUR)
        assert (old.sales, old.profit) == (SalesFigures(3, 1, 1, 10_00, 1, 10_00), 0)
        assert new.sales.conversion_rate == 1 / 4

    def test_profit_is_unknown_without_a_cost(self, store: Store, queries: Queries) -> None:
        product = Stage(store).product()
        fold(store)
        found = queries.product_statistics(product, NOW)
        assert found is not None
        assert (found.total, found.prices[0].profit) == (SalesFigures(), None)
        assert (found.out_of_stock, found.out_of_stock_since) == (timedelta(), None)
        assert queries.product_statistics(ProductId(10**30), NOW) is None

    def test_a_product_shows_since_when_it_is_out_of_stock(self, store: Store, queries: Queries) -> None:
        product = Stage(store).product(stock=1)
        adjust_stock(store, product, -1, NOW)
        fold(store)
        found = queries.product_statistics(product, NOW + HOUR)
        assert found is not None
        assert (found.out_of_stock, found.out_of_stock_since) == (HOUR, NOW)

    # --- views

    def test_views_that_are_written_late_count_in_their_hour_and_at_their_price(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        seller, start = stage.account(), hour_of(NOW)
        product, other = (stage.product(seller, at=start - DAY) for _ in range(2))
        stage.reprice(product, 8_00, start - HOUR + 30 * SECOND)
        fold(store)
        late = {
            (product, start - 2 * HOUR): 1,
            (product, start - HOUR): 2,
            (product, start - HOUR + 40 * SECOND): 4,
            (product, start): 8,
            (other, start): 16,
            (ProductId(10**9), start): 1,
        }
        assert Catalog(store, SettableClock(start + 2 * HOUR)).record_views(ViewBatch("late", late))
        series = queries.product_series(product, Interval.HOUR, start - DAY, start + DAY)
        assert [(point.start, point.sales.views) for point in series] == [
            (start - 2 * HOUR, 1), (start - HOUR, 6), (start, 8),
        ]  # fmt: skip
        series = queries.seller_series(seller, "USD", Interval.HOUR, start - DAY, start + DAY)
        assert [(point.start, point.sales.views) for point in series] == [
            (start - 2 * HOUR, 1), (start - HOUR, 6), (start, 24),
        ]  # fmt: skip
        found = queries.product_statistics(product, NOW)
        assert found is not None
        assert [price.sales.views for price in found.prices] == [12, 3]
        assert (found.total.views, counters(store, product).views) == (15, 15)
        assert queries.products([product])[product].count_viewed == 15
        assert queries.seller_stats(seller).total_views == 31

    # --- rebuilding

    @pytest.mark.parametrize("seed", range(6))
    def test_rollups_equal_the_history_after_any_folds_and_rebuilds(
        self, store: Store, queries: Queries, seed: int
    ) -> None:
        history = History(store, seed)
        for _ in range(60):
            history.step()
            assert queries.statistics_discrepancies() == []
        fold(store)
        history.check(queries)
        statistics(store).rebuild()
        assert queries.statistics_discrepancies() == []
        history.check(queries)

    def test_a_wrong_rollup_is_found_and_rebuilt(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product, other = stage.product(price=3_00), stage.product(price=3_00)
        stage.order(stage.account(), {product: 2, other: 1}, OrderStatus.PAID)
        fold(store)
        with store.begin() as tx:
            # Counted a second time.
            sold = tx.statistics.sold_lines([order.id for order in queries.iter_orders()])
            twice = Rollups()
            for lines in sold.values():
                twice.add_sale(lines)
            tx.statistics.add(twice)
        found = queries.statistics_discrepancies()
        assert {(each.rollup, each.figure) for each in found} >= {
            (rollup, figure)
            for rollup in ("product_sales", "product_hours", "price_sales", "seller_sales", "seller_hours")
            for figure in ("orders", "units", "revenue")
        }
        assert len(queries.statistics_discrepancies(limit=2)) == 2
        with store.begin() as tx:
            seller = tx.products.lock([product])[product].seller_id
        statistics(store).rebuild(seller)
        left = queries.statistics_discrepancies()
        assert left
        assert len(left) < len(found)
        statistics(store).rebuild()
        assert queries.statistics_discrepancies() == []


class History:
    """Random actions of buyers and sellers, folds and rebuilds, and the expected figures, computed alongside."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self.stage = Stage(store)
        self.sellers = [self.stage.account() for _ in range(2)]
        self.buyer = self.stage.account()
        self.now = NOW
        self.products = [
            self.stage.product(self.sellers[number % 2], price=(number + 1) * 100, stock=10_000, at=NOW - DAY)
            for number in range(4)
        ]
        self.owners = {product: self.sellers[number % 2] for number, product in enumerate(self.products)}
        self.prices = {product: [(NOW - DAY, (n + 1) * 100)] for n, product in enumerate(self.products)}
        self.waiting: list[OrderId] = []
        self.buyers: dict[OrderId, AccountId] = defaultdict(lambda: self.buyer)
        self.batches = 0
        self.placed: dict[OrderId, tuple[datetime, dict[ProductId, tuple[int, int]]]] = {}
        self.paid: dict[OrderId, Counter[ProductId]] = {}
        self.withdrawn: set[ProductId] = set()
        # (product, hour) and (product, start of price): [views, orders, units, revenue, refunded units, refunded
        # amount]
        self.hours: dict[tuple[ProductId, datetime], list[int]] = defaultdict(lambda: [0] * 6)
        self.at_price: dict[tuple[ProductId, datetime], list[int]] = defaultdict(lambda: [0] * 6)
        self.of_seller: dict[tuple[AccountId, datetime], list[int]] = defaultdict(lambda: [0] * 6)

    def step(self) -> None:
        self.now += timedelta(minutes=self.random.randint(1, 50))
        acts = (
            self.order, self.order, self.pay, self.pay, self.give_up, self.refund, self.view, self.reprice, self.record,
            self.number, self.fold, self.rebuild, self.withdraw,
        )  # fmt: skip
        self.random.choice(acts)()

    def order(self) -> None:
        lines = {p: self.random.randint(1, 4) for p in self.random.sample(self.products, self.random.randint(1, 3))}
        # Sellers buy, too, from each other and from themselves.
        buyer = self.random.choice([self.buyer, self.buyer, *self.sellers])
        order_id = self.stage.order(buyer, lines, at=self.now)
        self.buyers[order_id] = buyer
        self.stage.decide([order_id], self.now)
        self.waiting.append(order_id)
        self.placed[order_id] = self.now, {p: (units, self.prices[p][-1][1]) for p, units in lines.items()}

    def pay(self) -> None:
        if self.waiting:
            order_id = self.waiting.pop(self.random.randrange(len(self.waiting)))
            self.stage.pay(order_id, self.now)
            self._paid(order_id, self.now)

    def _paid(self, order_id: OrderId, at: datetime) -> None:
        placed_at, lines = self.placed[order_id]
        self.paid[order_id] = Counter({product: units for product, (units, _) in lines.items()})
        sold = {p: line for p, line in lines.items() if self.owners[p] != self.buyers[order_id]}
        for product, (units, price) in sold.items():
            for row in (self.hours[product, hour_of(at)], self.at_price[product, self._began(product, placed_at)]):
                _add(row, orders=1, units=units, revenue=units * price)
            _add(self.of_seller[self.owners[product], hour_of(at)], orders=0, units=units, revenue=units * price)
        for seller in {self.owners[product] for product in sold}:
            _add(self.of_seller[seller, hour_of(at)], orders=1, units=0, revenue=0)

    def give_up(self) -> None:
        if self.waiting:
            with self.store.begin() as tx:
                order, stock = lock_with_stock(tx, self.waiting.pop())
                order.cancel(stock, self.now)
                tx.orders.save([order])
                tx.stock.save(list(stock.values()), self.now)

    def refund(self) -> None:
        left = [(o, p) for o, units in self.paid.items() for p in units if units[p]]
        if left:
            order_id, product = self.random.choice(left)
            units = self.random.randint(1, self.paid[order_id][product])
            self.stage.refund(order_id, [RefundLine(product, units)], self.now)
            self._refunded(order_id, product, units)

    def _refunded(self, order_id: OrderId, product: ProductId, units: int) -> None:
        placed_at, lines = self.placed[order_id]
        self.paid[order_id][product] -= units
        if self.owners[product] == self.buyers[order_id]:
            return
        for row in (
            self.hours[product, hour_of(self.now)],
            self.at_price[product, self._began(product, placed_at)],
            self.of_seller[self.owners[product], hour_of(self.now)],
        ):
            row[4] += units
            row[5] += units * lines[product][1]

    def view(self) -> None:
        """Add views, some of the past, and some in a batch that is applied twice."""
        counts = {
            (product, self.now - timedelta(minutes=self.random.choice([0, 0, 20, 200]))): self.random.randint(1, 9)
            for product in self.random.choices(self.products, k=3)
        }
        self.batches += 1
        for _ in range(self.random.randint(1, 2)):
            Catalog(self.store, SettableClock(self.now)).record_views(ViewBatch(str(self.batches), counts))
        for (product, at), count in counts.items():
            self.hours[product, hour_of(at)][0] += count
            self.at_price[product, self._began(product, at)][0] += count
            self.of_seller[self.owners[product], hour_of(at)][0] += count

    def reprice(self) -> None:
        product = self.random.choice(self.products)
        price = self.prices[product][-1][1] + self.random.randint(1, 50)
        self.stage.reprice(product, price, self.now)
        self.prices[product].append((self.now, price))

    def record(self) -> None:
        """Import a past order with a refund."""
        product = self.random.choice(self.products)
        price = self.prices[product][-1][1]
        with self.store.bulk() as tx:
            (id_,) = tx.orders.next_ids(1)
            order = new_order(tx, id_, self.buyer, {product: 3}, at=self.now, origin=OrderOrigin.IMPORT)
            stock = tx.stock.lock([product])
            order.decide(stock, self.now, self.now + DAY)
            order.pay(stock, self.now)
            order.refund([RefundLine(product, 1)], stock, self.now, restock=True)
            order.events.clear()
            tx.statistics.add_pending_facts(PendingFacts(orders=[PendingOrderFacts.of(order)]))
            tx.orders.add([order])
            tx.stock.save(list(stock.values()))
        self.placed[id_] = self.now, {product: (3, price)}
        self._paid(id_, self.now)
        self._refunded(id_, product, 1)

    def withdraw(self) -> None:
        if not self.withdrawn:
            self.withdrawn.add(self.products[-1])
            self.stage.withdraw(self.products[-1], self.now)

    def number(self) -> None:
        with self.store.begin() as tx:
            tx.events.assign_sequence(self.random.randint(1, 20))

    def fold(self) -> None:
        statistics(self.store).fold(self.random.randint(1, 10))

    def rebuild(self) -> None:
        statistics(self.store).rebuild(self.random.choice([None, *self.sellers]))

    def _began(self, product: ProductId, at: datetime) -> datetime:
        return max(began for began, _ in self.prices[product] if began <= at)

    def check(self, queries: Queries) -> None:
        """Compare all figures once everything is folded."""
        begin, end = NOW - 2 * DAY, self.now + 2 * DAY
        for product in self.products:
            expected = {hour: SalesFigures(*row) for (each, hour), row in self.hours.items() if each == product}
            found = queries.product_series(product, Interval.HOUR, begin, end)
            assert {point.start: point.sales for point in found} == expected
            if product not in self.withdrawn:
                shown = queries.product_statistics(product, self.now)
                assert shown is not None
                assert shown.total == _sum(expected.values())
                for price in shown.prices:
                    assert price.sales == SalesFigures(*self.at_price.get((product, price.valid_from), ()))
        for seller in self.sellers:
            series = queries.seller_series(seller, "USD", Interval.HOUR, begin, end)
            expected = {hour: SalesFigures(*row) for (each, hour), row in self.of_seller.items() if each == seller}
            assert {point.start: point.sales for point in series} == expected
            days = queries.seller_series(seller, "USD", Interval.DAY, begin - DAY, end)
            total = _sum(expected.values())
            assert _sum(point.sales for point in days) == total
            stats = queries.seller_stats(seller)
            assert (stats.orders, stats.units_sold) == (total.orders, total.units - total.refunded_units)
            assert stats.revenue == total.revenue - total.refunded_amount
            on_shelf = [p for p in self.products if self.owners[p] == seller and p not in self.withdrawn]
            assert (stats.total_products, stats.active_products) == (len(on_shelf), len(on_shelf))
            assert stats.total_views == sum(row[0] for (p, _), row in self.hours.items() if p in on_shelf)
            earned = {
                p: sum(row[3] - row[5] for (each, _), row in self.hours.items() if each == p)
                for p in self.products
                if self.owners[p] == seller and any(row[1] for (each, _), row in self.hours.items() if each == p)
            }
            ranked = sorted(earned, key=lambda p: (-earned[p], p))
            assert [(top.id, top.revenue) for top in stats.top_products] == [(p, earned[p]) for p in ranked]


def _add(row: list[int], *, orders: int, units: int, revenue: int) -> None:
    row[1] += orders
    row[2] += units
    row[3] += revenue


def _sum(several: Iterable[SalesFigures]) -> SalesFigures:
    rows = [(s.views, s.orders, s.units, s.revenue, s.refunded_units, s.refunded_amount) for s in several]
    return SalesFigures(*(sum(column) for column in zip(*rows, strict=True)))
