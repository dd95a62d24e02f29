"""Rollups, updated in bulk: one statement for each table, with tables and rows always in the same order."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, and_, bindparam, select, text

from adapters.db.core.bulk_statements import Increment, Insert, Row, Upsert, equals_any, id_array, int_array
from adapters.db.core.session import SqlSession
from adapters.db.rollup_sql import LISTING_STATE, PRICE_INTERVAL_START, REBUILD_STATEMENTS
from adapters.db.schema import (
    Moment,
    all_rows_of,
    order_lines,
    orders,
    price_sales,
    product_hours,
    product_sales,
    product_stockouts,
    seller_hours,
    seller_sales,
    statistics_pending,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import OrderOrigin
from scalecommerce_core.domain.rollups import FIGURES, Figures, RefundedPart, Rollups, SoldLine, Stockout
from scalecommerce_core.ports import PendingFacts, PendingOrderFacts, ProductCounters

MICROSECOND: Final = timedelta(microseconds=1)
_EARLY: Final = datetime(1970, 1, 1, tzinfo=UTC)

_PAST: Final = tuple(f"past_{figure}" for figure in FIGURES)
_ADD_PRODUCTS: Final = Increment(product_sales, ["product_id"], *FIGURES, *_PAST)
_ADD_PRODUCT_HOURS: Final = Increment(product_hours, ["product_id", "hour"], *FIGURES)
_ADD_PRICES: Final = Increment(price_sales, ["product_id", "valid_from"], *FIGURES, *_PAST)
_ADD_SELLERS: Final = Increment(seller_sales, ["seller_id", "currency"], *FIGURES)
_ADD_SELLER_HOURS: Final = Increment(seller_hours, ["seller_id", "currency", "hour"], *FIGURES)
_SAVE_STOCKOUTS: Final = Upsert(product_stockouts, ["product_id"], "microseconds", "since", "recent")
_INSERT_PENDING: Final = Insert(statistics_pending, "product_id", "order_id", "refunds")

_TAKE_PENDING: Final = text(
    """
    WITH taken AS (
        DELETE FROM statistics_pending
        WHERE id = ANY (ARRAY(SELECT id FROM statistics_pending ORDER BY id LIMIT :limit))
        RETURNING id, product_id, order_id, refunds
    )
    SELECT product_id, order_id, refunds FROM taken ORDER BY id
    """
).bindparams(bindparam("limit", type_=BigInteger))
# A migration that requests a rebuild inserts its row before all others, so the first row decides.
_NEEDS_FULL_REBUILD: Final = (
    select(and_(statistics_pending.c.product_id.is_(None), statistics_pending.c.order_id.is_(None)))
    .order_by(statistics_pending.c.id)
    .limit(1)
)
_SOLD_LINES: Final = text(
    """
    SELECT orders.id, order_lines.product_id, order_lines.seller_id, orders.buyer_id, order_lines.quantity,
           order_lines.price, orders.currency, orders.paid_at, {interval}, orders.origin <> '{api}',
           orders.currency = products.currency
    FROM {orders}
    JOIN {lines} ON order_lines.order_id = orders.id
    JOIN products ON products.id = order_lines.product_id
    WHERE orders.id = ANY (CAST(:ids AS bigint[]))
    ORDER BY orders.id, order_lines.position
    """.format(  # noqa: S608 - no values in it
        interval=PRICE_INTERVAL_START.format(product="products.id", at="orders.created_at"),
        api=OrderOrigin.API,
        # Imported orders may be archived before they are folded.
        orders=all_rows_of(orders),
        lines=all_rows_of(order_lines),
    )
)
_SAVE_RANKS: Final = text(
    """
    INSERT INTO product_ranks (product_id, seller_id, currency, revenue)
    SELECT product_id, seller_id, currency, product_sales.revenue - refunded_amount
    FROM product_sales JOIN products ON products.id = product_id
    WHERE product_id = ANY (CAST(:ids AS bigint[]))
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET revenue = excluded.revenue
    WHERE product_ranks.revenue <> excluded.revenue
    """
)
# Views of a product count for its seller while it is listed. Transactions that add views lock the same row.
_RECOUNT_PRODUCTS: Final = text(
    f"""
    WITH given AS MATERIALIZED (
        SELECT id, seller_id, {LISTING_STATE} AS listing_state
        FROM products WHERE id = ANY (CAST(:ids AS bigint[]))
    ), locked AS MATERIALIZED (
        SELECT product_id, views, listing_state FROM product_views WHERE product_id = ANY (CAST(:ids AS bigint[]))
        ORDER BY product_id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE product_views SET listing_state = given.listing_state
        FROM given JOIN locked ON locked.product_id = given.id
        WHERE product_views.product_id = given.id AND locked.listing_state <> given.listing_state
    )
    INSERT INTO seller_product_counts (seller_id, products, active_products, views)
    SELECT seller_id, sum((given.listing_state > 0)::int - (locked.listing_state > 0)::int),
           sum((given.listing_state = 2)::int - (locked.listing_state = 2)::int),
           sum(((given.listing_state > 0)::int - (locked.listing_state > 0)::int) * views)
    FROM given JOIN locked ON locked.product_id = given.id
    WHERE locked.listing_state <> given.listing_state
    GROUP BY seller_id ORDER BY seller_id
    ON CONFLICT (seller_id) DO UPDATE SET
        products = seller_product_counts.products + excluded.products,
        active_products = seller_product_counts.active_products + excluded.active_products,
        views = seller_product_counts.views + excluded.views
    """  # noqa: S608 - no values in it
)
# A separate first statement: it waits for rows that another transaction inserts, and the next snapshot includes them.
_INSERT_MISSING_VIEWS: Final = text(
    """
    INSERT INTO product_views (product_id, views)
    SELECT id, 0 FROM products WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id
    ON CONFLICT (product_id) DO NOTHING
    """
)
_STOCKOUTS: Final = select(product_stockouts).where(equals_any(product_stockouts.c.product_id))
_BEGIN_STOCKOUTS: Final = text(
    """
    INSERT INTO product_stockouts (product_id, microseconds, since)
    SELECT product_id, 0, :at FROM stock
    WHERE on_hand = reserved AND product_id = ANY (CAST(:ids AS bigint[]))
    ORDER BY product_id
    ON CONFLICT (product_id) DO NOTHING
    """
).bindparams(bindparam("at", type_=Moment))
COUNTERS: Final = text(
    """
    SELECT products.id,
           coalesce(product_views.views - past_views, 0),
           coalesce(orders - past_orders, 0), coalesce(units - past_units, 0), coalesce(revenue - past_revenue, 0),
           coalesce(refunded_units - past_refunded_units, 0), coalesce(refunded_amount - past_refunded_amount, 0),
           coalesce(microseconds, 0), since, coalesce(product_views.views - past_views + extra_weight, 0)
    FROM products
    LEFT JOIN product_views ON product_views.product_id = products.id
    LEFT JOIN product_sales ON product_sales.product_id = products.id
    LEFT JOIN product_stockouts ON product_stockouts.product_id = products.id
    WHERE products.id BETWEEN :first AND :last
    ORDER BY products.id
    """
).bindparams(bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger))


class PostgresStatisticsRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def add_pending_facts(self, facts: PendingFacts) -> None:
        rows: list[Row] = [(product_id, None, None) for product_id in facts.products]
        rows += [
            (None, order.order_id, [_part_to_json(part) for part in order.refunds] or None) for order in facts.orders
        ]
        self._sql.insert(_INSERT_PENDING, rows)

    def take_pending_facts(self, limit: int) -> PendingFacts:
        products, orders = [], []
        for product_id, order_id, refunds in self._sql.fetch_all(_TAKE_PENDING, {"limit": limit}):
            if product_id is not None:
                products.append(ProductId(product_id))
            elif order_id is not None:
                orders.append(
                    PendingOrderFacts(OrderId(order_id), tuple(_part_from_json(listed) for listed in refunds or ()))
                )
        return PendingFacts(products, orders)

    def needs_full_rebuild(self) -> bool:
        return any(everything for (everything,) in self._sql.fetch_all(_NEEDS_FULL_REBUILD))

    def sold_lines(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Sequence[SoldLine]]:
        found: dict[OrderId, list[SoldLine]] = {}
        if order_ids:
            for row in self._sql.fetch_all(_SOLD_LINES, {"ids": id_array(order_ids)}):
                found.setdefault(row[0], []).append(SoldLine(*row))
        return found

    def add(self, rollups: Rollups) -> None:
        nothing = (0,) * len(FIGURES)
        products: list[Row] = [
            (product, *figures, *rollups.past.get(product, nothing)) for product, figures in rollups.products.items()
        ]
        intervals: list[Row] = [
            (*key, *figures, *rollups.past_intervals.get(key, nothing)) for key, figures in rollups.intervals.items()
        ]
        self._sql.upsert(_ADD_PRODUCTS, products)
        if products:
            self._sql.execute(_SAVE_RANKS, {"ids": int_array(rollups.products)})
        self._sql.upsert(_ADD_PRODUCT_HOURS, _rows(rollups.product_hours))
        self._sql.upsert(_ADD_PRICES, intervals)
        self._sql.upsert(_ADD_SELLERS, _rows(rollups.sellers))
        self._sql.upsert(_ADD_SELLER_HOURS, _rows(rollups.seller_hours))

    def recount_products(self, product_ids: Collection[ProductId]) -> None:
        if product_ids:
            ids = {"ids": id_array(product_ids)}
            self._sql.execute(_INSERT_MISSING_VIEWS, ids)
            self._sql.execute(_RECOUNT_PRODUCTS, ids)

    def stockouts(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Stockout]:
        if not product_ids:
            return {}
        return {
            ProductId(id_): Stockout(microseconds * MICROSECOND, since, outages_of(recent))
            for id_, microseconds, since, recent in self._sql.fetch_all(_STOCKOUTS, {"ids": id_array(product_ids)})
        }

    def save_stockouts(self, outages: Mapping[ProductId, Stockout]) -> None:
        rows = [
            (id_, outage.duration // MICROSECOND, outage.since, _outages_to_json(outage.recent))
            for id_, outage in outages.items()
        ]
        self._sql.upsert(_SAVE_STOCKOUTS, rows)

    def begin_stockouts(self, product_ids: Collection[ProductId], at: datetime) -> None:
        if product_ids:
            self._sql.execute(_BEGIN_STOCKOUTS, {"ids": id_array(product_ids), "at": at})

    def rebuild(self, seller_id: AccountId | None, now: datetime) -> None:
        given: dict[str, object] = {"seller": seller_id, "now": now}
        for statement, names in REBUILD_STATEMENTS:
            self._sql.execute(statement, {name: given[name] for name in names})

    def counters(self, first: ProductId, last: ProductId, now: datetime) -> Sequence[ProductCounters]:
        return [
            ProductCounters(
                id_, views, sold, units, int(revenue), refunded_units, int(refunded_amount),
                Stockout(microseconds * MICROSECOND, since).total_until(now), weighted_views,
            )
            for (
                id_, views, sold, units, revenue, refunded_units, refunded_amount, microseconds, since,
                weighted_views,
            ) in self._sql.fetch_all(COUNTERS, {"first": first, "last": last})
        ]  # fmt: skip


def outages_of(listed: Sequence[Sequence[int]] | None) -> tuple[tuple[datetime, datetime], ...]:
    """`Stockout.recent` of the column `recent`."""
    return tuple((_EARLY + begun * MICROSECOND, _EARLY + end * MICROSECOND) for begun, end in listed or ())


def _outages_to_json(recent: Sequence[tuple[datetime, datetime]]) -> list[list[int]] | None:
    return [[(at - _EARLY) // MICROSECOND for at in outage] for outage in recent] or None


def _rows(figures: Mapping[tuple[Any, ...], Figures]) -> list[Row]:
    return [(*key, *row) for key, row in figures.items()]


def _part_to_json(part: RefundedPart) -> list[object]:
    return [part.product_id, part.seller_id, part.quantity, part.amount, part.at.isoformat()]


def _part_from_json(listed: Sequence[Any]) -> RefundedPart:
    product_id, seller_id, quantity, amount, at = listed
    return RefundedPart(ProductId(product_id), AccountId(seller_id), quantity, amount, datetime.fromisoformat(at))
