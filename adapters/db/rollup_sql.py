"""SQL that computes rollups from their sources, the hot and archived orders and refunds.

An event is written in the transaction of the sale or refund that it reports. In one snapshot the sources therefore
equal the rollups plus the events that are not yet added to them: events after the consumer's position, events in the
outbox, and pending facts. The statements here subtract those events.
"""

from typing import Final

from sqlalchemy import BigInteger, TextClause, bindparam, text

from adapters.db.sales import is_sale_in
from adapters.db.schema import Moment, all_rows_of, order_lines, orders, refunds
from scalecommerce_core.domain.order import OrderOrigin
from scalecommerce_core.ports import STATISTICS_CONSUMER

PRICE_INTERVAL_START: Final = """
    coalesce(
        (SELECT max(valid_from) FROM price_history WHERE product_id = {product} AND valid_from <= {at}),
        (SELECT min(valid_from) FROM price_history WHERE product_id = {product})
    )"""
"""The beginning of the price interval that contains `at`.

A moment before the first interval, possible since clocks differ, belongs to the first.
"""

FACTS_CTES: Final = f"""
    waiting AS MATERIALIZED (
        SELECT topic, occurred_at, order_id, payload FROM events
        WHERE seq > coalesce((SELECT seq FROM event_consumers WHERE name = '{STATISTICS_CONSUMER}'), 0)
        UNION ALL SELECT topic, occurred_at, order_id, payload FROM outbox
    ), unfolded AS MATERIALIZED (
        -- Events of earlier releases have the number of the order in the payload.
        SELECT coalesce(order_id, CAST(payload ->> 'order_id' AS bigint)) AS order_id
        FROM waiting WHERE topic = 'order.paid'
        UNION SELECT order_id FROM statistics_pending WHERE order_id IS NOT NULL
    ), parts AS (
        SELECT orders.id AS order_id, product_id, seller_id, quantity AS units,
               CAST(quantity AS numeric) * price AS revenue,
               0 AS refunded_units, CAST(0 AS numeric) AS refunded_amount, paid_at AS occurred_at
        FROM {all_rows_of(orders)} JOIN {all_rows_of(order_lines)} ON order_lines.order_id = orders.id
        WHERE status IN ('PAID', 'REFUNDED') AND NOT EXISTS (SELECT FROM unfolded WHERE unfolded.order_id = orders.id)
        UNION ALL
        SELECT refunds.order_id, product_id, seller_id, 0, 0, refunds.quantity, refunds.amount, refunds.occurred_at
        FROM {all_rows_of(refunds)} JOIN {all_rows_of(order_lines)} USING (order_id, position)
        UNION ALL
        SELECT CAST(payload ->> 'order_id' AS bigint), product_id, seller_id, 0, 0, -quantity, -amount, occurred_at
        FROM waiting, jsonb_to_recordset(payload -> 'refunds')
            AS part(product_id bigint, seller_id bigint, quantity integer, amount numeric)
        WHERE topic = 'order.refunded'
        UNION ALL
        SELECT order_id, CAST(part ->> 0 AS bigint), CAST(part ->> 1 AS bigint), 0, 0, -CAST(part ->> 2 AS integer),
               -CAST(part ->> 3 AS numeric), CAST(part ->> 4 AS timestamptz)
        FROM statistics_pending, jsonb_array_elements(refunds) AS part
    ), facts AS (
        SELECT parts.*, orders.currency, orders.currency = products.currency AS is_own,
               orders.origin <> '{OrderOrigin.API}' AS is_past, date_trunc('hour', occurred_at, 'UTC') AS hour,
               {PRICE_INTERVAL_START.format(product="parts.product_id", at="orders.created_at")} AS valid_from
        FROM parts JOIN {all_rows_of(orders)} ON orders.id = parts.order_id
        JOIN products ON products.id = parts.product_id
        WHERE {is_sale_in("parts")}
          AND (parts.seller_id = CAST(:seller AS bigint) OR CAST(:seller AS bigint) IS NULL)
    )
"""  # noqa: S608 - no values are inserted
"""Common table expressions for `WITH`. A row of `facts` is a sold line (`units` > 0) or a refund (`units` = 0)."""

_SUMS: Final = """
    count(DISTINCT order_id) FILTER (WHERE units > 0{and_past}) AS {past}orders,
    coalesce(sum(units){past_only}, 0) AS {past}units,
    coalesce(sum(revenue){past_only}, 0) AS {past}revenue,
    coalesce(sum(refunded_units){past_only}, 0) AS {past}refunded_units,
    coalesce(sum(refunded_amount){past_only}, 0) AS {past}refunded_amount"""
SUMS: Final = _SUMS.format(past="", and_past="", past_only="")
PAST_SUMS: Final = _SUMS.format(past="past_", and_past=" AND is_past", past_only=" FILTER (WHERE is_past)")

_COUNTERS: Final = ("orders", "units", "revenue", "refunded_units", "refunded_amount")


class RollupSpec:
    """One rollup: the facts that meet `condition`, grouped by `keys`; `sums` computes the columns `counters`."""

    def __init__(self, table: str, keys: str, condition: str, sums: str, counters: tuple[str, ...]) -> None:
        self.table = table
        self.keys = keys
        self.condition = condition
        self.sums = sums
        self.counters = counters
        self.select = f"SELECT {keys}, {sums} FROM {{facts}} WHERE {condition} GROUP BY {keys}"  # noqa: S608 - no values are inserted


ROLLUPS: Final = (
    RollupSpec(
        "product_sales",
        "product_id",
        "is_own",
        f"{SUMS}, {PAST_SUMS}",
        (*_COUNTERS, *(f"past_{name}" for name in _COUNTERS)),
    ),
    RollupSpec("product_hours", "product_id, hour", "is_own", SUMS, _COUNTERS),
    RollupSpec(
        "price_sales",
        "product_id, valid_from",
        "is_own AND valid_from IS NOT NULL",
        f"{SUMS}, {PAST_SUMS}",
        (*_COUNTERS, *(f"past_{name}" for name in _COUNTERS)),
    ),
    RollupSpec("seller_sales", "seller_id, currency", "true", SUMS, _COUNTERS),
    RollupSpec("seller_hours", "seller_id, currency, hour", "true", SUMS, _COUNTERS),
)

_SELLER_CONDITIONS: Final = {
    "product_id": "(CAST(:seller AS bigint) IS NULL"
    " OR product_id IN (SELECT id FROM products WHERE seller_id = CAST(:seller AS bigint)))",
    "seller_id": "(CAST(:seller AS bigint) IS NULL OR seller_id = CAST(:seller AS bigint))",
}


def _zero_counters(spec: RollupSpec) -> str:
    assignments = ", ".join(f"{name} = 0" for name in spec.counters)
    used = " OR ".join(f"{name} <> 0" for name in spec.counters)
    return f"UPDATE {spec.table} SET {assignments} WHERE ({used}) AND {_seller_condition(spec)}"  # noqa: S608 - no values are inserted


def _fill_counters(spec: RollupSpec) -> str:
    assignments = ", ".join(f"{name} = excluded.{name}" for name in spec.counters)
    return (
        f"INSERT INTO {spec.table} ({spec.keys}, {', '.join(spec.counters)})"
        f" {spec.select.format(facts='rebuilt')} ON CONFLICT ({spec.keys}) DO UPDATE SET {assignments}"
    )


def _seller_condition(spec: RollupSpec) -> str:
    return _SELLER_CONDITIONS[spec.keys.partition(",")[0]]


# Blocks writers of views, not readers. The lock on the consumer's row excludes other updates of the rollups.
_LOCK: Final = (
    "LOCK TABLE product_views, product_hours, price_sales, seller_product_counts, seller_hours"
    " IN SHARE ROW EXCLUSIVE MODE"
)
# One statement copies the facts of one snapshot; all rollups are computed from the copy.
_CREATE_FACTS: Final = "CREATE TEMPORARY TABLE rebuilt ({columns}) ON COMMIT DROP".format(
    columns="order_id bigint, product_id bigint, seller_id bigint, units integer, revenue numeric,"
    " refunded_units integer, refunded_amount numeric, occurred_at timestamptz, currency char(3), is_own boolean,"
    " is_past boolean, hour timestamptz, valid_from timestamptz"
)
_COPY_FACTS: Final = f"WITH {FACTS_CTES} INSERT INTO rebuilt SELECT * FROM facts"  # noqa: S608 - no values are inserted
_DELETE_RANKS: Final = f"DELETE FROM product_ranks WHERE {_SELLER_CONDITIONS['seller_id']}"  # noqa: S608 - no values are inserted
_INSERT_RANKS: Final = f"""
    INSERT INTO product_ranks (product_id, seller_id, currency, revenue)
    SELECT product_id, seller_id, currency, revenue - refunded_amount
    FROM product_sales JOIN products ON products.id = product_id
    WHERE (orders > 0 OR refunded_units > 0) AND {_SELLER_CONDITIONS["seller_id"]}
"""  # noqa: S608 - no values are inserted
_INSERT_VIEWS: Final = f"""
    INSERT INTO product_views (product_id, views)
    SELECT id, 0 FROM products WHERE {_SELLER_CONDITIONS["seller_id"]} ON CONFLICT (product_id) DO NOTHING
"""  # noqa: S608 - no values are inserted
LISTING_STATE: Final = "CASE WHEN withdrawn_at IS NOT NULL THEN 0 WHEN is_active THEN 2 ELSE 1 END"
_UPDATE_LISTING_STATES: Final = f"""
    UPDATE product_views SET listing_state = {LISTING_STATE} FROM products
    WHERE products.id = product_id AND listing_state <> {LISTING_STATE} AND {_SELLER_CONDITIONS["seller_id"]}
"""  # noqa: S608 - no values are inserted
_DELETE_PRODUCT_COUNTS: Final = f"DELETE FROM seller_product_counts WHERE {_SELLER_CONDITIONS['seller_id']}"  # noqa: S608 - no values are inserted
_INSERT_PRODUCT_COUNTS: Final = f"""
    INSERT INTO seller_product_counts (seller_id, products, active_products, views)
    SELECT seller_id, count(*), count(*) FILTER (WHERE listing_state = 2), sum(views)
    FROM product_views JOIN products ON products.id = product_id
    WHERE listing_state > 0 AND {_SELLER_CONDITIONS["seller_id"]}
    GROUP BY seller_id
"""  # noqa: S608 - no values are inserted
_INSERT_STOCKOUTS: Final = f"""
    INSERT INTO product_stockouts (product_id, microseconds, since)
    SELECT stock.product_id, 0, :now FROM stock JOIN products ON products.id = stock.product_id
    WHERE on_hand = reserved AND {_SELLER_CONDITIONS["seller_id"]}
    ON CONFLICT (product_id) DO NOTHING
"""  # noqa: S608 - no values are inserted
_DELETE_REBUILD_REQUEST: Final = (
    "DELETE FROM statistics_pending WHERE product_id IS NULL AND order_id IS NULL AND CAST(:seller AS bigint) IS NULL"
)


def _statement(sql: str) -> TextClause:
    statement = text(sql)
    if ":seller" in sql:
        statement = statement.bindparams(bindparam("seller", type_=BigInteger))
    return statement.bindparams(bindparam("now", type_=Moment)) if ":now" in sql else statement


REBUILD_STATEMENTS: Final = tuple(
    (_statement(sql), [name for name in ("seller", "now") if f":{name}" in sql])
    for sql in (
        _LOCK,
        _CREATE_FACTS,
        _COPY_FACTS,
        *(_zero_counters(spec) for spec in ROLLUPS),
        *(_fill_counters(spec) for spec in ROLLUPS),
        _DELETE_RANKS,
        _INSERT_RANKS,
        _INSERT_VIEWS,
        _UPDATE_LISTING_STATES,
        _DELETE_PRODUCT_COUNTS,
        _INSERT_PRODUCT_COUNTS,
        _INSERT_STOCKOUTS,
        _DELETE_REBUILD_REQUEST,
    )
)
"""The statements that compute all rollups anew, each with the names of its parameters."""
