"""The first pricing policy: keep as many days of stock as the seller wants to have.

Cover is what is available divided by daily sales. A product that sells out sooner than its target gets
dearer, one that would lie longer gets cheaper, by the constant-elasticity demand curve
`sales ~ price ** elasticity`: moving cover to its target takes a factor of `(cover / target) ** (1 / elasticity)`,
bounded by one step. It reacts to demand and makes no claim to maximise profit.
"""

import math
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen, setters

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, Money
from scalecommerce_core.domain.text import NAME_LENGTH, checked

ELASTICITY: Final = -2.62
"""Mean price elasticity of 1,851 published estimates (Bijmolt, van Heerde and Pieters 2005)."""
DEAD_BAND: Final = 0.02
"""Smaller moves are not worth a buyer's surprise."""


class Reason(StrEnum):
    """Why a price moves or stays; the last rule that acted."""

    COVER_SHORT = "cover_short"
    COVER_LONG = "cover_long"
    FEW_SALES = "few_sales"
    OUT_OF_STOCK = "out_of_stock"
    MANUAL_EDIT = "manual_edit"
    COOLDOWN = "cooldown"
    DEAD_BAND = "dead_band"
    FLOOR = "floor"
    CEILING = "ceiling"


@frozen
class Signals:
    """What a policy sees of a product. `units_sold` counts PAID orders of the policy's window; `available` units."""

    product_id: ProductId
    price: Money
    priced_at: datetime
    priced_manually: bool
    """Whether the seller put the price in force: automation steps back for a window then."""
    units_sold: int
    available: int
    cost: Money | None = None
    min_price: Money | None = None
    max_price: Money | None = None


@frozen
class Decision:
    """`new` equals `old` when the price stays; `sentence` tells the seller why."""

    product_id: ProductId
    old: Money
    new: Money
    reason: Reason
    sentence: str

    @property
    def moves(self) -> bool:
        return self.new != self.old


@define
class PricingPolicy:
    """A seller's choice for their products, or those of one category. Prices without a policy never move."""

    id: PolicyId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    name: str
    created_at: datetime = field(on_setattr=setters.frozen)
    category_id: CategoryId | None = None
    is_active: bool = True
    target_cover_days: int = 30
    window_days: int = 28
    max_step: float = 0.05
    least_units: int = 5
    """Fewer sales in the window say too little."""

    def __attrs_post_init__(self) -> None:
        checked("name", self.name, at_most=NAME_LENGTH, at_least=1)
        bounds = {
            "target_cover_days": (1, self.target_cover_days, 365),
            "window_days": (1, self.window_days, 365),
            "max_step": (0.0, self.max_step, 0.5),
            "least_units": (1, self.least_units, 1_000_000),
        }
        errors = {
            name: [f"This lies between {low} and {high}."]
            for name, (low, value, high) in bounds.items()
            if not low <= value <= high
        }
        if errors:
            raise Invalid(errors)

    @property
    def window(self) -> timedelta:
        return timedelta(days=self.window_days)

    def decide(self, seen: Signals, now: datetime) -> Decision:
        """The price that `seen` calls for: a pure function of its arguments."""

        def stay(reason: Reason, sentence: str) -> Decision:
            return Decision(seen.product_id, seen.price, seen.price, reason, sentence)

        since = now - seen.priced_at
        if seen.priced_manually and since < self.window:
            return stay(Reason.MANUAL_EDIT, f"You set this price {since.days} days ago: it stays for the window.")
        if since < min(self.window, timedelta(days=7)):
            return stay(Reason.COOLDOWN, "The price moved less than 7 days ago.")
        if seen.available <= 0:
            return stay(Reason.OUT_OF_STOCK, "Nothing is in stock: its sales say nothing about its price.")
        if seen.units_sold < self.least_units:
            return stay(Reason.FEW_SALES, f"Only {seen.units_sold} sold in {self.window_days} days.")
        cover = seen.available * self.window_days / seen.units_sold
        factor = (cover / self.target_cover_days) ** (1 / ELASTICITY)
        reason = Reason.COVER_SHORT if factor > 1 else Reason.COVER_LONG
        # Rounded inwards: a cent more on 11 cents would be a step of 9 %.
        lowest = math.ceil(seen.price.minor * (1 - self.max_step))
        highest = math.floor(seen.price.minor * (1 + self.max_step))
        wanted = min(max(round(seen.price.minor * factor), lowest), highest)
        floor, ceiling = self._bounds(seen)
        if wanted < floor:
            wanted, reason = min(floor, highest), Reason.FLOOR
        elif wanted > ceiling:
            wanted, reason = max(ceiling, lowest), Reason.CEILING
        wanted = min(max(wanted, MIN_PRICE), MAX_PRICE)
        if abs(wanted - seen.price.minor) < DEAD_BAND * seen.price.minor:
            return stay(Reason.DEAD_BAND, "The move would be smaller than 2 %.")
        new = Money(wanted, seen.price.currency)
        sentence = (
            f"{seen.units_sold} sold in {self.window_days} days: the stock lasts {cover:.0f} days,"
            f" {self.target_cover_days} are wanted."
        )
        return Decision(seen.product_id, seen.price, new, reason, sentence)

    @staticmethod
    def _bounds(seen: Signals) -> tuple[int, int]:
        """The seller's bounds in minor units; the floor (never below cost) beats the ceiling."""
        floors = [MIN_PRICE, *(bound.minor for bound in (seen.min_price, seen.cost) if bound is not None)]
        floor = max(floors)
        ceiling = seen.max_price.minor if seen.max_price is not None else MAX_PRICE
        return floor, max(floor, ceiling)
