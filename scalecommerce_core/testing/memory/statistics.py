"""Statistics in memory: the rollups that the fold maintains, and the same figures computed from orders as an oracle."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from scalecommerce_core.domain.events import OrderPaid, OrderRefunded
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import Order, OrderOrigin, OrderStatus
from scalecommerce_core.domain.product import TICK, PriceChange, Product
from scalecommerce_core.domain.product_views import ViewCounts
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.rollups import FIGURES, RefundedPart, Rollups, SoldLine, Stockout, hour_of
from scalecommerce_core.ports import STATISTICS_CONSUMER, PendingFacts, ProductCounters
from scalecommerce_core.queries import (
    LEAST_IN_STOCK,
    LONGEST_OUTLOOK,
    MAX_PRICES,
    SALES_WINDOW,
    TOP_CANDIDATES,
    TOP_PRODUCTS,
    Interval,
    Page,
    PageRequest,
    ProductSales,
    ProductStatistics,
    SalesAtPrice,
    SalesFigures,
    SeriesPoint,
    StatisticsDiscrepancy,
    StockOutlook,
)
from scalecommerce_core.testing.memory.pagination import paged

if TYPE_CHECKING:
    # The module of the tables imports this one.
    from scalecommerce_core.testing.memory.tables import Tables

CONSUMER: Final = "consumer "
ROLLUPS: Final = {
    "product_sales": "products",
    "product_past": "past",
    "product_hours": "product_hours",
    "price_sales": "intervals",
    "price_past": "past_intervals",
    "seller_sales": "sellers",
    "seller_hours": "seller_hours",
}
"""The name of each rollup in the tables, and of its attribute in `Rollups`."""
BY_PRICE: Final = frozenset({"price_sales", "price_past"})
"""Rollups with a row for each price interval."""
MINUTE: Final = timedelta(minutes=1)
PAID: Final = frozenset({OrderStatus.PAID, OrderStatus.REFUNDED})


class MemoryStatistics:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    # --- facts without events

    def add_pending_facts(self, facts: PendingFacts) -> None:
        singly = [PendingFacts(products=(product,)) for product in facts.products]
        singly += [PendingFacts(orders=(order,)) for order in facts.orders]
        for number, fact in zip(self._numbers("pending", len(singly)), singly, strict=True):
            self._tables.pending_facts.put(number, fact)

    def take_pending_facts(self, limit: int) -> PendingFacts:
        taken = sorted(self._tables.pending_facts.items())[:limit]
        for number, _ in taken:
            self._tables.pending_facts.delete(number)
        return PendingFacts(
            [product for _, fact in taken for product in fact.products],
            [order for _, fact in taken for order in fact.orders],
        )

    def needs_full_rebuild(self) -> bool:
        return False

    # --- rollups

    def sold_lines(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Sequence[SoldLine]]:
        return {order.id: sold_lines(self._tables, order) for order in self._tables.orders.get_many(order_ids).values()}

    def add(self, rollups: Rollups) -> None:
        for name, key, figures in _rows(rollups):
            before = self._tables.rollups.get((name, *key)) or (0,) * len(FIGURES)
            self._tables.rollups.put((name, *key), tuple(a + b for a, b in zip(before, figures, strict=True)))

    def recount_products(self, product_ids: Collection[ProductId]) -> None:
        for product in self._tables.products.get_many(product_ids).values():
            self._tables.listing_states.put(product.id, listing_state(product))

    def stockouts(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Stockout]:
        return self._tables.stockouts.get_many(product_ids)

    def save_stockouts(self, outages: Mapping[ProductId, Stockout]) -> None:
        for product_id, outage in outages.items():
            self._tables.stockouts.put(product_id, outage)

    def begin_stockouts(self, product_ids: Collection[ProductId], at: datetime) -> None:
        for product_id, stock in self._tables.stock.get_many(product_ids).items():
            if stock.available == 0 and self._tables.stockouts.get(product_id) is None:
                self._tables.stockouts.put(product_id, Stockout(since=at))

    def rebuild(self, seller_id: AccountId | None, now: datetime) -> None:
        sellers = {product.id: product.seller_id for product in self._tables.products.all()}
        for key in dict(self._tables.rollups.items()):
            owner = key[1] if key[0].startswith("seller") else sellers[key[1]]
            if seller_id in {None, owner}:
                self._tables.rollups.delete(key)
        self.add(expected(self._tables, seller_id))
        mine = [product for product, seller in sellers.items() if seller_id in {None, seller}]
        self.recount_products(mine)
        self.begin_stockouts(mine, now)

    def counters(self, first: ProductId, last: ProductId, now: datetime) -> Sequence[ProductCounters]:
        def counters(product_id: ProductId) -> ProductCounters:
            nothing = (0,) * len(FIGURES)
            total = self._tables.rollups.get(("product_sales", product_id)) or nothing
            past = self._tables.rollups.get(("product_past", product_id)) or nothing
            views = (self._tables.views.get(product_id) or 0) - (self._tables.viewed.get(("past", product_id)) or 0)
            outage = self._tables.stockouts.get(product_id) or Stockout()
            fresh = dict(zip(FIGURES, (a - b for a, b in zip(total, past, strict=True)), strict=True))
            weighted = views + (self._tables.extra_weights.get(product_id) or 0)
            return ProductCounters(
                product_id, views, **fresh, out_of_stock=outage.total_until(now), weighted_views=weighted
            )

        return [counters(id_) for id_ in sorted(p.id for p in self._tables.products.all()) if first <= id_ <= last]


def add_views(tables: Tables, counts: ViewCounts, extra_weights: ViewCounts, *, past: bool) -> None:
    products = tables.products.get_many({product_id for product_id, _ in counts})
    stock = tables.stock.get_many(products)
    for (product_id, at), count in counts.items():
        if (product := products.get(product_id)) is None:
            continue
        tables.views.put(product.id, (tables.views.get(product.id) or 0) + count)
        if extra := extra_weights.get((product_id, at)):
            tables.extra_weights.put(product.id, (tables.extra_weights.get(product.id) or 0) + extra)
        keys: list[tuple[Any, ...]] = [
            ("product_hours", product.id, hour_of(at)),
            ("seller_hours", product.seller_id, product.price.currency, hour_of(at)),
        ]
        if (valid_from := in_force(tables, product.id, at)) is not None:
            keys.append(("price_sales", product.id, valid_from))
            # The stock at the time of imported views is unknown.
            if past or ((units := stock.get(product.id)) is not None and units.available > 0):
                demand = ("demand", product.id, valid_from)
                weight = count + extra_weights.get((product_id, at), 0)
                tables.viewed.put(demand, (tables.viewed.get(demand) or 0) + weight)
        if past:
            keys.append(("past", product.id))
        for key in keys:
            tables.viewed.put(key, (tables.viewed.get(key) or 0) + count)


def listing_state(product: Product) -> int:
    """0: withdrawn; 1: not active; 2: active."""
    return 0 if product.withdrawn_at is not None else 1 + product.is_active


def prices_of(tables: Tables, product_id: ProductId) -> list[PriceChange]:
    changes = [change for change in tables.price_changes.all() if change.product_id == product_id]
    return sorted(changes, key=lambda change: change.valid_from)


def in_force(tables: Tables, product_id: ProductId, at: datetime) -> datetime | None:
    begun = [change.valid_from for change in prices_of(tables, product_id)]
    return max((moment for moment in begun if moment <= at), default=min(begun, default=None))


def sold_lines(tables: Tables, order: Order) -> list[SoldLine]:
    assert order.paid_at is not None
    products = tables.products.get_many({line.product_id for line in order.lines})
    return [
        SoldLine(
            order.id,
            line.product_id,
            line.seller_id,
            order.buyer_id,
            line.quantity,
            line.price,
            order.currency,
            order.paid_at,
            in_force(tables, line.product_id, order.created_at),
            order.origin is not OrderOrigin.API,
            products[line.product_id].price.currency == order.currency,
        )
        for line in order.lines
    ]


def expected(tables: Tables, seller_id: AccountId | None = None) -> Rollups:
    """The rollups computed from orders and refunds, without facts that are not folded yet."""
    done = tables.event_marks.get(CONSUMER + STATISTICS_CONSUMER) or 0
    waiting = list(tables.events.all())[done:]
    pending = [order for fact in tables.pending_facts.all() for order in fact.orders]
    unpaid = {event.order_id for event in waiting if isinstance(event, OrderPaid)} | {each.order_id for each in pending}
    parts: list[tuple[OrderId, RefundedPart]] = []
    for refund in tables.refunds.all():
        order = tables.orders.get(refund.order_id)
        assert order is not None
        (seller,) = {line.seller_id for line in order.lines if line.product_id == refund.product_id}
        parts.append(
            (refund.order_id, RefundedPart(refund.product_id, seller, refund.quantity, refund.amount, refund.at))
        )
    for event in waiting:
        if isinstance(event, OrderRefunded):
            parts += [
                (event.order_id, RefundedPart(p.product_id, p.seller_id, -p.quantity, -p.amount, event.at))
                for p in event.refunds
            ]
    for each in pending:
        parts += [
            (each.order_id, RefundedPart(p.product_id, p.seller_id, -p.quantity, -p.amount, p.at)) for p in each.refunds
        ]
    rollups = Rollups()
    for order in tables.orders.all():
        if order.status in PAID:
            lines = [line for line in sold_lines(tables, order) if seller_id in {None, line.seller_id}]
            if order.id not in unpaid:
                rollups.add_sale(lines)
            for order_id, part in parts:
                if order_id == order.id and seller_id in {None, part.seller_id}:
                    rollups.add_refund(next(line for line in lines if line.product_id == part.product_id), part)
    return rollups


def _rows(rollups: Rollups) -> Iterator[tuple[str, tuple[Any, ...], Sequence[int]]]:
    for name, attribute in ROLLUPS.items():
        for key, figures in getattr(rollups, attribute).items():
            yield name, key if isinstance(key, tuple) else (key,), figures


class MemoryStatisticsQueries:
    """Statistics computed from orders and refunds, as an oracle for rollups."""

    _tables: Tables

    def seller_series(
        self, seller_id: AccountId, currency: str, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        sold = {
            hour: figures
            for (seller, each, hour), figures in everything(self._tables).seller_hours.items()
            if (seller, each) == (seller_id, currency)
        }
        return self._series(("seller_hours", seller_id, currency), sold, interval, since, until)

    def top_products_between(
        self, seller_id: AccountId, currency: str, begin: datetime, end: datetime
    ) -> list[ProductSales]:
        mine = [p for p in self._tables.products.all() if p.seller_id == seller_id and p.price.currency == currency]
        ranks = everything(self._tables).products
        sold = [
            ProductSales(
                product.id,
                product.name,
                SalesFigures.sum(point.sales for point in self.product_series(product.id, Interval.HOUR, begin, end)),
            )
            for product in sorted(mine, key=lambda p: (ranks[p.id][4] - ranks[p.id][2], p.id))[:TOP_CANDIDATES]
        ]
        best = sorted((each for each in sold if each.sales.orders), key=lambda each: (-each.sales.net_revenue, each.id))
        return best[:TOP_PRODUCTS]

    def stock_outlook(
        self, seller_id: AccountId, now: datetime, page: PageRequest, *, within: timedelta = LONGEST_OUTLOOK
    ) -> Page[StockOutlook]:
        since = hour_of(now) - SALES_WINDOW
        shown = []
        for product in self._tables.products.all():
            if product.seller_id != seller_id or not product.is_active:
                continue
            stock = self._tables.stock.get(product.id)
            assert stock is not None
            sales = self.product_series(product.id, Interval.HOUR, since, now + Interval.HOUR.length)
            sold = sum(point.sales.units for point in sales)
            begun = max(since, product.created_at)
            outage = self._tables.stockouts.get(product.id) or Stockout()
            in_stock = max(now - begun - outage.total_between(begun, now), LEAST_IN_STOCK)
            if stock.available and not sold:
                continue
            left = stock.available and stock.available * (in_stock // TICK) // (sold * (MINUTE // TICK))
            if left <= within // MINUTE:
                shown.append(
                    StockOutlook(
                        product.id,
                        product.name,
                        product.sku,
                        stock.available,
                        stock.reserved,
                        sold,
                        in_stock / timedelta(days=1),
                        left,
                    )
                )
        return paged(shown, lambda each: (each.minutes_left, -each.sold, each.id), page)

    def product_series(
        self, product_id: ProductId, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        hours = everything(self._tables).product_hours.items()
        sold = {hour: figures for (product, hour), figures in hours if product == product_id}
        return self._series(("product_hours", product_id), sold, interval, since, until)

    def product_statistics(self, product_id: ProductId, now: datetime) -> ProductStatistics | None:
        product = self._tables.products.get(product_id)
        if product is None or product.withdrawn_at is not None:
            return None
        rollups = everything(self._tables)
        changes = prices_of(self._tables, product_id)
        ends = [*(change.valid_from for change in changes[1:]), None]
        prices = []
        for change, end in zip(changes, ends, strict=True):
            views = self._tables.viewed.get(("price_sales", product_id, change.valid_from)) or 0
            sold = SalesFigures(views, *rollups.intervals.get((product_id, change.valid_from), (0,) * len(FIGURES)))
            prices.append(
                SalesAtPrice(change.price, change.valid_from, end, change.cause, sold, profit_of(sold, product))
            )
        outage = self._tables.stockouts.get(product_id) or Stockout()
        return ProductStatistics(
            product_id=product_id,
            currency=product.price.currency,
            total=SalesFigures(
                self._tables.views.get(product_id) or 0, *rollups.products.get(product_id, (0,) * len(FIGURES))
            ),
            out_of_stock=outage.total_until(now),
            out_of_stock_since=outage.since,
            prices=tuple(reversed(prices))[:MAX_PRICES],
        )

    def statistics_discrepancies(self, limit: int = 100) -> Sequence[StatisticsDiscrepancy]:
        computed: dict[tuple[Any, ...], Sequence[int]] = {}
        for name, key, figures in _rows(expected(self._tables)):
            computed[name, *key] = figures
        stored = dict(self._tables.rollups.items())
        found = [
            StatisticsDiscrepancy(key[0], json.dumps(key[1:], default=str), figure, has, expects)
            for key in _comparable({*computed, *stored})
            for figure, has, expects in zip(FIGURES, _summed(stored, key), _summed(computed, key), strict=True)
            if has != expects
        ]
        return found[:limit]

    def _series(
        self,
        key: tuple[Any, ...],
        sold: Mapping[datetime, Sequence[int]],
        interval: Interval,
        since: datetime,
        until: datetime,
    ) -> Sequence[SeriesPoint]:
        check_ranges(("since", since, "until", until))
        points: dict[datetime, list[int]] = defaultdict(lambda: [0] * (1 + len(FIGURES)))
        for hour, figures in sold.items():
            for place, figure in enumerate(figures, 1):
                points[interval.begin(hour)][place] += figure
        for (*each, hour), views in self._tables.viewed.items():
            if tuple(each) == key:
                points[interval.begin(hour)][0] += views
        return [SeriesPoint(start, SalesFigures(*points[start])) for start in sorted(points) if since <= start < until]


def everything(tables: Tables) -> Rollups:
    """The rollups of all orders and refunds, folded or not."""
    rollups = Rollups()
    for order in tables.orders.all():
        if order.status in PAID:
            lines = sold_lines(tables, order)
            rollups.add_sale(lines)
            for refund in tables.refunds.all():
                if refund.order_id == order.id:
                    line = next(line for line in lines if line.product_id == refund.product_id)
                    part = RefundedPart(refund.product_id, line.seller_id, refund.quantity, refund.amount, refund.at)
                    rollups.add_refund(line, part)
    return rollups


def sales_at(tables: Tables, product_id: ProductId, valid_from: datetime) -> SalesFigures:
    """The sales at the price that began at `valid_from`."""
    views = tables.viewed.get(("price_sales", product_id, valid_from)) or 0
    sold = everything(tables).intervals.get((product_id, valid_from), (0,) * len(FIGURES))
    return SalesFigures(views, *sold)


def profit_of(sold: SalesFigures, product: Product) -> int | None:
    if product.cost is None:
        return None
    return sold.revenue - sold.refunded_amount - (sold.units - sold.refunded_units) * product.cost.minor


def _comparable(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Keys with all prices of a product as one: clocks differ, so a sale may count for an adjacent price."""
    return sorted({key[:2] if key[0] in BY_PRICE else key for key in keys}, key=str)


def _summed(rows: Mapping[tuple[Any, ...], Sequence[int]], key: tuple[Any, ...]) -> Sequence[int]:
    if key[0] in BY_PRICE:
        of_product = [figures for each, figures in rows.items() if each[:2] == key]
        return [sum(column) for column in zip(*of_product, strict=True)] or [0] * len(FIGURES)
    return rows.get(key, (0,) * len(FIGURES))
