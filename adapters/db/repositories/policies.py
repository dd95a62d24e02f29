"""Pricing policies, and what they see of their products."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, bindparam, select, text

from adapters.db.batches import Insert
from adapters.db.sql import Sql, numbers_of
from adapters.db.tables import Moment, policy_ids, pricing_policies
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.pricing.stock_cover import PricingPolicy, Signals

_COLUMNS: Final = (
    "id", "seller_id", "name", "created_at", "category_id", "is_active", "target_cover_days", "window_days",
    "max_step", "least_units",
)  # fmt: skip
_NUMBERS: Final = numbers_of(policy_ids)
_INSERT: Final = Insert(pricing_policies, *_COLUMNS)
_ACTIVE: Final = (
    select(*(pricing_policies.c[name] for name in _COLUMNS))
    .where(pricing_policies.c.is_active)
    .order_by(pricing_policies.c.id)
)
# Imported orders are the past of another shop: they say nothing about today's prices.
_SIGNALS: Final = text(
    """
    WITH seen AS MATERIALIZED (
        SELECT id, price, currency, priced_at, cost, min_price, max_price
        FROM products
        WHERE seller_id = :seller AND is_active AND id > :after
          AND (category_id = :category OR CAST(:category AS integer) IS NULL)
        ORDER BY id
        LIMIT :limit
    )
    SELECT seen.id, seen.price, seen.currency, seen.priced_at, seen.cost, seen.min_price, seen.max_price,
           newest.cause, coalesce(sold.units, 0), coalesce(stock.on_hand - stock.reserved, 0)
    FROM seen
    LEFT JOIN LATERAL (
        SELECT cause FROM price_history WHERE product_id = seen.id ORDER BY valid_from DESC LIMIT 1
    ) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT sum(order_lines.quantity - order_lines.refunded) AS units
        FROM order_lines JOIN orders ON orders.id = order_lines.order_id
        WHERE order_lines.product_id = seen.id AND orders.paid_at > :since AND orders.origin <> 'import'
    ) AS sold ON true
    LEFT JOIN stock ON stock.product_id = seen.id
    ORDER BY seen.id
    """
).bindparams(
    bindparam("since", type_=Moment),
    bindparam("seller", type_=BigInteger),
    bindparam("after", type_=BigInteger),
    bindparam("category", type_=Integer),
)
_MANUAL: Final = frozenset({PriceCause.MANUAL.value, PriceCause.LISTED.value})


class Policies:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[PolicyId]:
        return [PolicyId(number) for number in self._sql.numbers(_NUMBERS, count)]

    def add(self, new: Collection[PricingPolicy]) -> None:
        self._sql.insert(_INSERT, [tuple(getattr(policy, name) for name in _COLUMNS) for policy in new])

    def active(self) -> Sequence[PricingPolicy]:
        return [PricingPolicy(**dict(zip(_COLUMNS, row, strict=True))) for row in self._sql.rows(_ACTIVE)]

    def signals(
        self, policy: PricingPolicy, now: datetime, *, after: ProductId | None, limit: int
    ) -> Sequence[Signals]:
        parameters = {
            "seller": policy.seller_id,
            "category": policy.category_id,
            "after": after or 0,
            "limit": limit,
            "since": now - policy.window,
        }
        return [_signals(row) for row in self._sql.rows(_SIGNALS, parameters)]


def _signals(row: Sequence[Any]) -> Signals:
    id_, price, currency, priced_at, cost, min_price, max_price, cause, units_sold, available = row
    return Signals(
        product_id=ProductId(id_),
        price=Money(price, currency),
        priced_at=priced_at,
        priced_manually=cause in _MANUAL,
        units_sold=int(units_sold),
        available=available,
        cost=None if cost is None else Money(cost, currency),
        min_price=None if min_price is None else Money(min_price, currency),
        max_price=None if max_price is None else Money(max_price, currency),
    )
