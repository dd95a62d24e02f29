"""Statistics queries: figures from ranges of the rollups, and the comparison of the rollups with their sources."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Text, bindparam, text

from adapters.db.core.bulk_statements import id_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.rollup_sql import FACTS_CTES, LISTING_STATE, ROLLUPS, RollupSpec
from adapters.db.schema import Moment
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.rollups import FIGURES, Stockout
from scalecommerce_core.queries import (
    MAX_PRICES,
    Interval,
    ProductStatistics,
    SalesAtPrice,
    SalesFigures,
    SellerStats,
    SeriesPoint,
    StatisticsDiscrepancy,
    TopProduct,
)

TOP_PRODUCTS: Final = 10
_NO_TIMEOUT: Final = {"statement_timeout": "0"}
_MICROSECOND: Final = timedelta(microseconds=1)

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
