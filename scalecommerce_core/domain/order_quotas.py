"""Quotas of orders: what one account may hold without paying, and the seller's limit per buyer.

Background validation applies them to the orders of a batch one after another, so two orders of one batch count against
each other. The rules are here and not in the stores, so that each store decides in the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, frozen

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.order import Order, OrderLine, RejectionReason, Shortfall
from scalecommerce_core.domain.stock import Stock

INTAKE_TIME: Final = timedelta(seconds=5)
"""Intake reads prices without a lock, so an order at a withdrawn price may be stored this long after the withdrawal."""

UnitsByBuyer = dict[tuple[AccountId, ProductId], int]


@frozen
class OrderQuotas:
    """Quotas of one account; the servers set them from `OPEN_ORDERS_PER_ACCOUNT`, `UNPAID_SHARE_PERCENT` and others."""

    open_orders: int = 50
    """Open orders (CREATED or PENDING) that an account may have; 0: any number."""
    unpaid_share: int = 50
    """Percentage of the units on hand of a product that unpaid orders of an account may reserve; 0: all of them."""
    unpaid_units: int = 20
    """Units that unpaid orders of an account may reserve in any case, so that the last units can be bought."""
    buyer_limit_window: timedelta = timedelta(days=30)
    """Age of the paid orders that count against the seller's limit per buyer (`Product.max_per_buyer`)."""

    def unpaid_allowance(self, stock: Stock) -> int:
        """Units of a product that the unpaid orders of one account may reserve."""
        if not self.unpaid_share:
            return stock.on_hand
        return max(self.unpaid_units, stock.on_hand * self.unpaid_share // 100)

    def contested(self, orders: Iterable[Order], stock: Mapping[ProductId, Stock]) -> frozenset[ProductId]:
        """The products of which an account could exceed its allowance if all `orders` were reserved.

        For the others, the units that all accounts together reserve are within the allowance of one.
        """
        if not self.unpaid_share:
            return frozenset()
        wanted: dict[ProductId, int] = {}
        for order in orders:
            for line in order.lines:
                wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
        return frozenset(
            product_id
            for product_id, of_product in stock.items()
            if of_product.reserved + wanted.get(product_id, 0) > self.unpaid_allowance(of_product)
            and of_product.reserved < of_product.on_hand
        )


@frozen
class WithdrawnPrice:
    """A price, in minor units, that began at `valid_from` and that the seller withdrew at `withdrawn_at`."""

    price: int
    valid_from: datetime
    withdrawn_at: datetime

    def covers(self, line: OrderLine, placed_at: datetime) -> bool:
        """Whether a line has this price, and not the same one of an earlier or later time."""
        return line.price == self.price and self.valid_from <= placed_at <= self.withdrawn_at + INTAKE_TIME


@define
class BuyerHoldings:
    """What the buyers of a batch hold before it; `add` counts the orders that the batch reserves."""

    quotas: OrderQuotas
    limits: Mapping[ProductId, int] = field(factory=dict)
    """Sellers' limits per buyer, of the products that have one."""
    pending: dict[AccountId, int] = field(factory=dict)
    """PENDING orders, of buyers with several orders in the batch."""
    unpaid: UnitsByBuyer = field(factory=dict)
    """Units in PENDING orders, of contested products."""
    bought: UnitsByBuyer = field(factory=dict)
    """Units in PENDING orders and in recent PAID ones without refunds, of products with a limit."""
    contested: frozenset[ProductId] = frozenset()
    withdrawn: Mapping[ProductId, Sequence[WithdrawnPrice]] = field(factory=dict)
    """Prices that were withdrawn since the first of the orders was placed, and that are not in force again."""

    def objections(self, order: Order, stock: Mapping[ProductId, Stock]) -> tuple[Shortfall, ...]:
        """The lines that exceed a quota of the buyer, with the units that the buyer may still order."""
        if self.withdrawn and (void := self._void_lines(order)):
            return void
        quotas, buyer = self.quotas, order.buyer_id
        if quotas.open_orders and self.pending.get(buyer, 0) >= quotas.open_orders:
            return tuple(
                Shortfall(product_id, units, 0, RejectionReason.OPEN_ORDERS)
                for product_id, units in order.quantities().items()
            )
        if not self.limits and not self.contested:
            return ()
        found = []
        for product_id, wanted in order.quantities().items():
            key = buyer, product_id
            if product_id in self.limits:
                limit, held = self.limits[product_id], self.bought.get(key, 0)
                left = max(0, limit - held)
                if wanted > left:
                    days = quotas.buyer_limit_window / timedelta(days=1)
                    found.append(Shortfall(product_id, wanted, left, RejectionReason.BUYER_LIMIT, limit, held, days))
                    continue
            if product_id in self.contested:
                left = max(0, quotas.unpaid_allowance(stock[product_id]) - self.unpaid.get(key, 0))
                if wanted > left:
                    found.append(Shortfall(product_id, wanted, left, RejectionReason.UNPAID_SHARE))
        return tuple(found)

    def _void_lines(self, order: Order) -> tuple[Shortfall, ...]:
        return tuple(
            Shortfall(line.product_id, line.quantity, 0, RejectionReason.PRICE_WITHDRAWN)
            for line in order.lines
            if any(price.covers(line, order.created_at) for price in self.withdrawn.get(line.product_id, ()))
        )

    def add(self, order: Order) -> None:
        """Count an order that was reserved."""
        self.pending[order.buyer_id] = self.pending.get(order.buyer_id, 0) + 1
        if not self.limits and not self.contested:
            return
        for product_id, quantity in order.quantities().items():
            key = order.buyer_id, product_id
            for units, counted in ((self.unpaid, self.contested), (self.bought, self.limits)):
                if product_id in counted:
                    units[key] = units.get(key, 0) + quantity
