"""Statistics queries: figures from ranges of the rollups, and the comparison of the rollups with their sources."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Text, bindparam, column, select, text

from adapters.db.core.bulk_statements import id_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.rollup_sql import FACTS_CTES, LISTING_STATE, ROLLUPS, RollupSpec
from adapters.db.schema import Moment
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.rollups import FIGURES, Stockout, hour_of
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
    SalesReport,
    SellerStats,
    SeriesPoint,
    StatisticsDiscrepancy,
    StockOutlook,
    TopProduct,
)

_NO_TIMEOUT: Final = {"statement_timeout": "0"}
_MICROSECOND: Final = timedelta(microseconds=1)
_MINUTE: Final = timedelta(minutes=1)
_EARLY: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS: Final = "CAST(extract(epoch FROM {}) * 1000000 AS bigint)"
"""Microseconds since 1970 of a column."""

# Sales of withdrawn products count; their views and the products themselves do not. Amounts in different currencies
# cannot be added: the currency with the most orders is reported.
_SELLER: Final = text(
    """
    WITH sold AS (
        SELECT currency, orders, units - refunded_units AS units, revenue - refunded_amount AS revenue
        FROM seller_sales WHERE seller_id = :seller AND orders > 0 ORDER BY orders DESC, currency LIMIT 1
    ), top AS (
        SELECT product_id, revenue FROM product_ranks
        WHERE seller_id = :seller AND currency = (SELECT currency FROM sold)
        ORDER BY revenue DESC, product_id LIMIT :top
    )
    SELECT coalesce(counts.products, 0), coalesce(active_products, 0), coalesce(counts.views, 0),
           coalesce(sold.revenue, 0),
           coalesce(sold.currency, (
               SELECT currency FROM products WHERE seller_id = :seller AND withdrawn_at IS NULL
               ORDER BY created_at DESC, id DESC LIMIT 1
           )),
           coalesce(sold.units, 0), coalesce(sold.orders, 0),
           top.product_id, products.name, product_sales.units - product_sales.refunded_units, top.revenue
    FROM (VALUES (1)) AS one
    LEFT JOIN seller_product_counts AS counts ON counts.seller_id = :seller
    LEFT JOIN sold ON true
    LEFT JOIN top ON true
    LEFT JOIN products ON products.id = top.product_id
    LEFT JOIN product_sales ON product_sales.product_id = top.product_id
    ORDER BY top.revenue DESC, top.product_id
    """
).bindparams(bindparam("seller", type_=BigInteger))

_FIGURE_SUMS: Final = ", ".join(f"sum({name})" for name in ("views", *FIGURES))


def _series(table: str, condition: str) -> Any:
    return text(
        f"""
        SELECT * FROM (
            SELECT date_trunc(:interval, hour, 'UTC') AS start, {_FIGURE_SUMS} FROM {table}
            WHERE {condition} AND hour >= :since AND hour < CAST(:until AS timestamptz) + interval '1 day'
            GROUP BY start
        ) AS points WHERE start >= :since AND start < :until ORDER BY start
        """  # noqa: S608 - no values are inserted
    ).bindparams(bindparam("interval", type_=Text), bindparam("since", type_=Moment), bindparam("until", type_=Moment))


_SELLER_SERIES: Final = _series("seller_hours", "seller_id = :seller AND currency = :currency").bindparams(
    bindparam("seller", type_=BigInteger), bindparam("currency", type_=Text)
)
_PRODUCT_SERIES: Final = _series("product_hours", "product_id = :product").bindparams(
    bindparam("product", type_=BigInteger)
)
# The points of a range and of the range before it; one row without a point if there are none, for the currency.
_REPORT: Final = text(
    f"""
    WITH main AS (
        SELECT coalesce(
            (SELECT currency FROM seller_sales WHERE seller_id = :seller AND orders > 0
             ORDER BY orders DESC, currency LIMIT 1),
            (SELECT currency FROM products WHERE seller_id = :seller AND withdrawn_at IS NULL
             ORDER BY created_at DESC, id DESC LIMIT 1),
            CAST(:currency AS char(3))
        ) AS currency
    )
    SELECT main.currency, points.* FROM main LEFT JOIN LATERAL (
        SELECT date_trunc(:interval, hour, 'UTC') AS start, {_FIGURE_SUMS} FROM seller_hours
        WHERE seller_id = :seller AND seller_hours.currency = main.currency AND hour >= :since AND hour < :until
        GROUP BY start
    ) AS points ON true
    ORDER BY points.start
    """  # noqa: S608 - no values are inserted
).bindparams(
    bindparam("seller", type_=BigInteger),
    bindparam("currency", type_=Text),
    bindparam("interval", type_=Text),
    bindparam("since", type_=Moment),
    bindparam("until", type_=Moment),
)
# The rollup by hours has no index by seller: only the sellers' best products are read, so that the time does not grow
# with the catalog.
_TOP_OF_RANGE: Final = text(
    f"""
    WITH candidates AS MATERIALIZED (
        SELECT product_id FROM product_ranks WHERE seller_id = :seller AND currency = :currency
        ORDER BY revenue DESC, product_id LIMIT {TOP_CANDIDATES}
    )
    SELECT products.id, products.name, sold.*
    FROM candidates JOIN products ON products.id = candidates.product_id
    JOIN LATERAL (
        SELECT {", ".join(f"sum({name}) AS {name}" for name in ("views", *FIGURES))} FROM product_hours
        WHERE product_hours.product_id = candidates.product_id AND hour >= :since AND hour < :until
        HAVING sum(orders) > 0
    ) AS sold ON true
    ORDER BY sold.revenue - sold.refunded_amount DESC, products.id LIMIT {TOP_PRODUCTS}
    """  # noqa: S608 - no values are inserted
).bindparams(
    bindparam("seller", type_=BigInteger),
    bindparam("currency", type_=Text),
    bindparam("since", type_=Moment),
    bindparam("until", type_=Moment),
)
# Minutes are whole numbers, so that the key of a page is exact. Products are read only if they sold in the window or
# have no available units. Those that never sold have no row of `product_ranks`, and `product_hours_sold_idx` leaves out
# hours without sales. The two parts of `candidates` are disjoint: the planner cannot estimate the number of rows of a
# GROUP BY over them, and then joins tens of thousands of products one by one. OFFSET 0 keeps a subquery from being
# evaluated once for each use of its column, for products with available units, or before the joins.
_OUTLOOK_ROWS: Final = (
    text(
        f"""
    WITH candidates AS MATERIALIZED (
        SELECT product_ranks.product_id, CAST(sold.units AS bigint) AS units
        FROM product_ranks CROSS JOIN LATERAL (
            SELECT sum(units) AS units FROM product_hours
            WHERE product_hours.product_id = product_ranks.product_id AND hour >= :since AND units > 0
            OFFSET 0
        ) AS sold
        WHERE product_ranks.seller_id = :seller AND sold.units > 0
        UNION ALL
        SELECT products.id, 0 FROM products JOIN stock ON stock.product_id = products.id
        WHERE products.seller_id = :seller AND on_hand = reserved AND NOT EXISTS (
            SELECT FROM product_hours
            WHERE product_hours.product_id = stock.product_id AND hour >= :since AND units > 0
            OFFSET 0
        )
    )
    SELECT id, name, sku, on_hand - reserved AS available, reserved, sold, in_stock.micros AS in_stock,
           CASE WHEN on_hand = reserved THEN 0
                ELSE CAST(floor(CAST(on_hand - reserved AS numeric) * in_stock.micros / (sold * 60000000.0))
                          AS bigint) END AS minutes_left,
           -sold AS fewest
    FROM (
        SELECT products.id, products.name, products.sku, on_hand, reserved, candidates.units AS sold,
               greatest(:since_micros, {_MICROS.format("products.created_at")}) AS begun, recent, since
        FROM candidates
        JOIN products ON products.id = candidates.product_id
        JOIN stock ON stock.product_id = candidates.product_id
        LEFT JOIN product_stockouts ON product_stockouts.product_id = candidates.product_id
        WHERE products.is_active AND (candidates.units > 0 OR on_hand = reserved)
        OFFSET 0
    ) AS listed
    CROSS JOIN LATERAL (
        SELECT greatest({LEAST_IN_STOCK // _MICROSECOND}, :now_micros - begun
            - CASE WHEN recent IS NULL AND since IS NULL THEN 0 ELSE coalesce((
            SELECT CAST(sum(greatest(0, least(ended, :now_micros) - greatest(opened, begun))) AS bigint)
            FROM (
                SELECT CAST(outage ->> 0 AS bigint) AS opened, CAST(outage ->> 1 AS bigint) AS ended
                FROM jsonb_array_elements(recent) AS outage
                UNION ALL
                SELECT {_MICROS.format("since")}, :now_micros
                WHERE since IS NOT NULL
            ) AS outages
        ), 0) END) AS micros
        OFFSET 0
    ) AS in_stock
    """  # noqa: S608 - no values are inserted
    )
    .bindparams(
        bindparam("seller", type_=BigInteger),
        bindparam("since", type_=Moment),
        bindparam("since_micros", type_=BigInteger),
        bindparam("now_micros", type_=BigInteger),
    )
    .columns(
        column("id", BigInteger),
        column("name", Text),
        column("sku", Text),
        column("available", BigInteger),
        column("reserved", BigInteger),
        column("sold", BigInteger),
        column("in_stock", BigInteger),
        column("minutes_left", BigInteger),
        column("fewest", BigInteger),
    )
    .subquery("outlook")
)
_FIRST_OUT: Final = Keyset((_OUTLOOK_ROWS.c.minutes_left, _OUTLOOK_ROWS.c.fewest, _OUTLOOK_ROWS.c.id))
_OUTLOOK: Final = page_statements(
    lambda request: _FIRST_OUT.page_statement(
        select(_OUTLOOK_ROWS).where(_OUTLOOK_ROWS.c.minutes_left <= bindparam("within", type_=BigInteger)), request
    )
)
_PRODUCT: Final = text(
    f"""
    SELECT products.currency, cost, coalesce(views, 0), {", ".join(f"coalesce({name}, 0)" for name in FIGURES)},
           coalesce(microseconds, 0), since
    FROM products
    LEFT JOIN product_views ON product_views.product_id = products.id
    LEFT JOIN product_sales ON product_sales.product_id = products.id
    LEFT JOIN product_stockouts ON product_stockouts.product_id = products.id
    WHERE products.id = ANY (CAST(:ids AS bigint[])) AND withdrawn_at IS NULL
    """  # noqa: S608 - no values are inserted
)
_PRICES: Final = text(
    f"""
    SELECT price, currency, valid_from, lead(valid_from) OVER (ORDER BY valid_from), cause, coalesce(views, 0),
           {", ".join(f"coalesce({name}, 0)" for name in FIGURES)}
    FROM (
        SELECT * FROM price_history WHERE product_id = :product ORDER BY valid_from DESC LIMIT {MAX_PRICES}
    ) AS latest LEFT JOIN price_sales USING (product_id, valid_from)
    ORDER BY valid_from DESC
    """  # noqa: S608 - no values are inserted
).bindparams(bindparam("product", type_=BigInteger))


# --- comparison with the sources


def _comparison(spec: RollupSpec) -> str:
    keys = "product_id" if spec.table == "price_sales" else spec.keys
    stored = ", ".join(f"sum({name}) AS {name}" for name in spec.counters)
    figures = ", ".join(
        f"('{name}', coalesce(stored.{name}, 0), coalesce(expected.{name}, 0))" for name in spec.counters
    )
    return f"""
        SELECT '{spec.table}' AS rollup, CAST(jsonb_build_array({keys}) AS text) AS key, figure.*
        FROM (SELECT {keys}, {stored} FROM {spec.table} GROUP BY {keys}) AS stored
        FULL JOIN (
            SELECT {keys}, {spec.sums} FROM facts WHERE {spec.condition} GROUP BY {keys}
        ) AS expected USING ({keys})
        CROSS JOIN LATERAL (VALUES {figures}) AS figure(name, stored, expected)
        WHERE figure.stored <> figure.expected
    """  # noqa: S608 - no values are inserted


_OTHER_COMPARISONS: Final = f"""
    SELECT 'seller_product_counts', CAST(jsonb_build_array(seller_id) AS text), figure.*
    FROM seller_product_counts FULL JOIN (
        SELECT seller_id, count(*) AS products, count(*) FILTER (WHERE listing_state = 2) AS active_products,
               sum(views) AS views
        FROM product_views JOIN products ON products.id = product_id WHERE listing_state > 0 GROUP BY seller_id
    ) AS expected USING (seller_id)
    CROSS JOIN LATERAL (VALUES
        ('products', coalesce(seller_product_counts.products, 0), coalesce(expected.products, 0)),
        ('active_products', coalesce(seller_product_counts.active_products, 0), coalesce(expected.active_products, 0)),
        ('views', coalesce(seller_product_counts.views, 0), coalesce(expected.views, 0))
    ) AS figure(name, stored, expected)
    WHERE figure.stored <> figure.expected
    UNION ALL
    SELECT 'product_views', CAST(jsonb_build_array(products.id) AS text), 'listing_state', coalesce(listing_state, 0),
           {LISTING_STATE}
    FROM products LEFT JOIN product_views ON product_id = products.id
    WHERE coalesce(listing_state, 0) <> {LISTING_STATE}
      AND NOT EXISTS (SELECT FROM statistics_pending WHERE statistics_pending.product_id = products.id)
      AND NOT EXISTS (
        SELECT FROM waiting WHERE topic LIKE 'product.%' AND CAST(payload ->> 'product_id' AS bigint) = products.id
      )
    UNION ALL
    SELECT 'product_ranks', CAST(jsonb_build_array(product_id) AS text), 'revenue', coalesce(product_ranks.revenue, 0),
           coalesce(product_sales.revenue - refunded_amount, 0)
    FROM product_ranks FULL JOIN product_sales USING (product_id)
    WHERE coalesce(product_ranks.revenue, 0) <> coalesce(product_sales.revenue - refunded_amount, 0)
"""  # noqa: S608 - no values are inserted
_COMPARISONS: Final = " UNION ALL ".join([*map(_comparison, ROLLUPS), _OTHER_COMPARISONS])
# One statement, hence one snapshot for rollups, facts and events that the rollups do not include yet.
_DISCREPANCIES: Final = text(
    f"WITH {FACTS_CTES} SELECT * FROM ({_COMPARISONS}) AS differing ORDER BY rollup, key, name LIMIT :limit"  # noqa: S608
).bindparams(bindparam("seller", None, type_=BigInteger), bindparam("limit", type_=BigInteger))


class StatisticsQueries:
    def __init__(self, executor: QueryExecutor, currency: str) -> None:
        self._executor = executor
        self._currency = currency

    def seller_stats(self, seller_id: AccountId) -> SellerStats:
        rows = self._executor.fetch(_SELLER, {"seller": seller_id, "top": TOP_PRODUCTS})
        listed, active, views, revenue, currency, units, orders, *_ = rows[0]
        return SellerStats(
            total_products=listed,
            active_products=active,
            total_views=views,
            avg_views=views / listed if listed else 0.0,
            revenue=int(revenue),
            currency=currency or self._currency,
            units_sold=units,
            orders=orders,
            conversion_rate=orders / views if views else 0.0,
            top_products=tuple(
                TopProduct(id_, name, sold, int(earned)) for *_, id_, name, sold, earned in rows if id_ is not None
            ),
        )

    def seller_series(
        self, seller_id: AccountId, currency: str, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        given = {"seller": seller_id, "currency": currency}
        return self._points(_SELLER_SERIES, given, interval, since, until)

    def sales_report(self, seller_id: AccountId, interval: Interval, since: datetime, until: datetime) -> SalesReport:
        begin, end = interval.whole_points(since, until)
        before = begin - (end - begin)
        given: dict[str, object] = {"seller": seller_id, "since": before, "until": end}
        rows = self._executor.fetch(_REPORT, {**given, "interval": interval.value, "currency": self._currency})
        points = [SeriesPoint(start, _sales_figures(figures)) for _, start, *figures in rows if start is not None]
        in_range = tuple(point for point in points if point.start >= begin)
        given |= {"currency": rows[0][0], "since": begin}
        return SalesReport(
            currency=rows[0][0],
            interval=interval,
            since=begin,
            until=end,
            previous_since=before,
            points=in_range,
            total=SalesFigures.sum(point.sales for point in in_range),
            previous=SalesFigures.sum(point.sales for point in points if point.start < begin),
            top_products=tuple(
                ProductSales(id_, name, _sales_figures(figures))
                for id_, name, *figures in self._executor.fetch(_TOP_OF_RANGE, given)
            ),
        )

    def stock_outlook(
        self, seller_id: AccountId, now: datetime, page: PageRequest, *, within: timedelta = LONGEST_OUTLOOK
    ) -> Page[StockOutlook]:
        since = hour_of(now) - SALES_WINDOW
        given = {
            "seller": seller_id,
            "since": since,
            "since_micros": (since - _EARLY) // _MICROSECOND,
            "now_micros": (now - _EARLY) // _MICROSECOND,
            "within": within // _MINUTE,
        }
        rows = self._executor.fetch(_OUTLOOK[page_direction(page)], {**given, **_FIRST_OUT.page_params(page)})
        return build_page(rows, page, _stock_outlook, lambda row: (row[7], row[8], row[0]))

    def product_series(
        self, product_id: ProductId, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        return self._points(_PRODUCT_SERIES, {"product": product_id}, interval, since, until)

    def _points(
        self, statement: Any, given: dict[str, object], interval: Interval, since: datetime, until: datetime
    ) -> list[SeriesPoint]:
        check_ranges(("since", since, "until", until))
        given |= {"interval": interval.value, "since": since, "until": until}
        return [
            SeriesPoint(start, _sales_figures(figures)) for start, *figures in self._executor.fetch(statement, given)
        ]

    def product_statistics(self, product_id: ProductId, now: datetime) -> ProductStatistics | None:
        found = self._executor.fetch(_PRODUCT, {"ids": id_array([product_id])})
        if not found:
            return None
        currency, cost, *figures, microseconds, since = found[0]
        prices = []
        for price, of_price, valid_from, valid_to, cause, *counted in self._executor.fetch(
            _PRICES, {"product": product_id}
        ):
            sold = _sales_figures(counted)
            units = sold.units - sold.refunded_units
            profit = None if cost is None else sold.revenue - sold.refunded_amount - units * cost
            prices.append(SalesAtPrice(Money(price, of_price), valid_from, valid_to, PriceCause(cause), sold, profit))
        return ProductStatistics(
            product_id=product_id,
            currency=currency,
            total=_sales_figures(figures),
            out_of_stock=Stockout(microseconds * _MICROSECOND, since).total_until(now),
            out_of_stock_since=since,
            prices=tuple(prices),
        )

    def statistics_discrepancies(self, limit: int = 100) -> Sequence[StatisticsDiscrepancy]:
        rows = self._executor.fetch_with_settings(_NO_TIMEOUT, _DISCREPANCIES, {"limit": limit})
        return [
            StatisticsDiscrepancy(rollup, json.dumps(json.loads(key)), figure, int(stored), int(expected))
            for rollup, key, figure, stored, expected in rows
        ]


def _sales_figures(figures: Sequence[Any]) -> SalesFigures:
    return SalesFigures(*map(int, figures))


def _stock_outlook(row: Sequence[Any]) -> StockOutlook:
    id_, name, sku, available, reserved, sold, in_stock, minutes_left, _ = row
    return StockOutlook(
        id_, name, sku, available, reserved, sold, in_stock * _MICROSECOND / timedelta(days=1), minutes_left
    )
