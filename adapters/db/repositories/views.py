"""Adds product views to the totals of products and to the rollups by hour, price and seller."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Boolean, bindparam, text

from adapters.db.core.bulk_statements import int_array, timestamp_array
from adapters.db.core.session import SqlSession
from adapters.db.rollup_sql import PRICE_INTERVAL_START
from scalecommerce_core.domain.product_views import ViewCounts

# Facts of the viewed products as array literals, which the statements below take as parameters: converting 16,000 rows
# to Python objects would take longer than writing them.
_READ_VIEWED: Final = text(
    f"""
    SELECT CAST(array_agg(id) AS text) AS ids, CAST(array_agg(seller_id) AS text) AS sellers,
           CAST(array_agg(currency) AS text) AS currencies, CAST(array_agg(at) AS text) AS moments,
           CAST(array_agg(valid_from) AS text) AS prices, CAST(array_agg(views) AS text) AS counts,
           CAST(array_agg(weight) AS text) AS weights, CAST(array_agg(demand) AS text) AS demand
    FROM (
        SELECT products.id, seller_id, currency, given.at, given.views, given.weight,
               CASE WHEN given.at >= priced_at THEN priced_at
                    ELSE {PRICE_INTERVAL_START.format(product="products.id", at="given.at")} END AS valid_from,
               -- Without available units, views say nothing about demand. The stock at the time of imported ones is
               -- unknown.
               CASE WHEN :past OR on_hand > reserved THEN given.views + given.weight ELSE 0 END AS demand
        FROM unnest(CAST(:ids AS bigint[]), CAST(:moments AS timestamptz[]), CAST(:counts AS bigint[]),
                    CAST(:weights AS bigint[])) AS given(id, at, views, weight) JOIN products USING (id)
             LEFT JOIN stock ON stock.product_id = products.id
        ORDER BY products.id
    ) AS viewed
    """  # noqa: S608 - no values in it
).bindparams(bindparam("past", type_=Boolean))


_COLUMNS: Final = {
    "ids": ("id", "bigint"),
    "sellers": ("seller_id", "bigint"),
    "currencies": ("currency", "text"),
    "moments": ("at", "timestamptz"),
    "prices": ("valid_from", "timestamptz"),
    "counts": ("views", "bigint"),
    "weights": ("weight", "bigint"),
    "demand": ("demand", "bigint"),
}


def _viewed(*arrays: str) -> str:
    """An `unnest` of these array parameters as columns of `viewed`."""
    given = ", ".join(f"CAST(:{name} AS {_COLUMNS[name][1]}[])" for name in arrays)
    return f"unnest({given}) AS viewed({', '.join(_COLUMNS[name][0] for name in arrays)})"


# One statement for each table, with tables and rows in the order of the statistics fold. A statement for two tables
# would lock them in an order that the planner chooses.
_ADD_TO_PRODUCTS: Final = text(
    f"""
    WITH viewed AS MATERIALIZED (
        SELECT * FROM {_viewed("ids", "sellers", "moments", "counts", "weights")}
    ), counted AS (
        INSERT INTO product_views (product_id, views, past_views, viewed_at, extra_weight)
        SELECT id, sum(views), CASE WHEN :past THEN sum(views) ELSE 0 END, max(at), sum(weight)
        FROM viewed GROUP BY id ORDER BY id
        ON CONFLICT (product_id) DO UPDATE SET
            views = product_views.views + excluded.views,
            past_views = product_views.past_views + excluded.past_views,
            viewed_at = greatest(product_views.viewed_at, excluded.viewed_at),
            extra_weight = product_views.extra_weight + excluded.extra_weight
        RETURNING product_id, listing_state
    )
    SELECT CAST(array_agg(seller_id) AS text) AS sellers, CAST(array_agg(views) AS text) AS counts FROM (
        SELECT seller_id, sum(views) AS views FROM viewed JOIN counted ON product_id = id
        WHERE listing_state > 0 GROUP BY seller_id ORDER BY seller_id
    ) AS listed
    """  # noqa: S608 - no values in it
).bindparams(bindparam("past", type_=Boolean))
# Products that are not yet listed are skipped: their views are added when the fold lists them. The rows are locked.
_ADD_TO_SELLER_COUNTS: Final = text(
    f"""
    INSERT INTO seller_product_counts (seller_id, products, active_products, views)
    SELECT seller_id, 0, 0, views FROM {_viewed("sellers", "counts")}
    ON CONFLICT (seller_id) DO UPDATE SET views = seller_product_counts.views + excluded.views
    """  # noqa: S608 - no values in it
)
_ADD_TO_HOURS: Final = text(
    f"""
    INSERT INTO product_hours (product_id, hour, views)
    SELECT id, date_trunc('hour', at, 'UTC') AS hour, sum(views)
    FROM {_viewed("ids", "moments", "counts")}
    GROUP BY id, hour ORDER BY id, hour
    ON CONFLICT (product_id, hour) DO UPDATE SET views = product_hours.views + excluded.views
    """  # noqa: S608 - no values in it
)
_ADD_TO_PRICES: Final = text(
    f"""
    INSERT INTO price_sales (product_id, valid_from, views, demand_views)
    SELECT id, valid_from, sum(views), sum(demand)
    FROM {_viewed("ids", "prices", "counts", "demand")}
    WHERE valid_from IS NOT NULL GROUP BY id, valid_from ORDER BY id, valid_from
    ON CONFLICT (product_id, valid_from) DO UPDATE SET
        views = price_sales.views + excluded.views, demand_views = price_sales.demand_views + excluded.demand_views
    """  # noqa: S608 - no values in it
)
_ADD_TO_SELLER_HOURS: Final = text(
    f"""
    INSERT INTO seller_hours (seller_id, currency, hour, views)
    SELECT seller_id, currency, date_trunc('hour', at, 'UTC') AS hour, sum(views)
    FROM {_viewed("sellers", "currencies", "moments", "counts")}
    GROUP BY seller_id, currency, hour ORDER BY seller_id, currency, hour
    ON CONFLICT (seller_id, currency, hour) DO UPDATE SET views = seller_hours.views + excluded.views
    """  # noqa: S608 - no values in it
)


_TOTALS: Final = ("ids", "sellers", "moments", "counts", "weights")


def add_views(sql: SqlSession, counts: ViewCounts, extra_weights: ViewCounts, *, past: bool) -> None:
    """Add views; ids of products that do not exist are skipped."""
    (viewed,) = sql.fetch_all(
        _READ_VIEWED,
        {
            "ids": int_array(product_id for product_id, _ in counts),
            "moments": timestamp_array([at for _, at in counts]),
            "counts": int_array(counts.values()),
            "weights": int_array(extra_weights.get(key, 0) for key in counts),
            "past": past,
        },
    )
    if viewed.ids is None:
        return
    given = viewed._asdict()
    (listed,) = sql.fetch_all(_ADD_TO_PRODUCTS, _pick(given, *_TOTALS) | {"past": past})
    if listed.sellers is not None:
        sql.execute(_ADD_TO_SELLER_COUNTS, listed._asdict())
    sql.execute(_ADD_TO_HOURS, _pick(given, "ids", "moments", "counts"))
    sql.execute(_ADD_TO_PRICES, _pick(given, "ids", "prices", "counts", "demand"))
    sql.execute(_ADD_TO_SELLER_HOURS, _pick(given, "sellers", "currencies", "moments", "counts"))


def _pick(given: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: given[name] for name in names}
