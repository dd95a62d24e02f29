"""Products and the history of their prices."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field, frozen, setters

from scalecommerce_core.domain.competitor_price import observation_errors
from scalecommerce_core.domain.edits import apply_edit
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.events import Event, PriceChanged, ProductEdited, ProductListed, ProductWithdrawn
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.stock import MAX_STOCK
from scalecommerce_core.domain.stock_horizon import stock_until_errors
from scalecommerce_core.domain.text import (
    BRAND_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    SKU_LENGTH,
    normal_line,
    normal_text,
    text_errors,
)

TICK: Final = timedelta(microseconds=1)
"""Resolution of stored times."""


class PriceCause(StrEnum):
    """Why a price changed."""

    LISTED = "listed"
    MANUAL = "manual"
    POLICY = "policy"
    IMPORT = "import"
    ROLLBACK = "rollback"
    WITHDRAWAL = "withdrawal"
    """The price that replaces one that the seller withdrew."""
    PROMOTION = "promotion"
    """The price of an announced promotion."""
    PROMOTION_END = "promotion_end"
    """The price from before a promotion, restored at its end."""


REVERSALS: Final = frozenset({PriceCause.ROLLBACK, PriceCause.WITHDRAWAL})
"""Causes that end the promise of the price before."""


@frozen
class PriceWithdrawal:
    """The seller withdrew a mistaken price; `by` is None if an operator did. `reason` is for the seller and staff."""

    at: datetime
    by: AccountId | None
    reason: str


@frozen
class PriceChange:
    """The product costs `price` from `valid_from` until the next change."""

    product_id: ProductId
    price: Money
    valid_from: datetime
    cause: PriceCause
    is_withdrawn: bool = False
    """Whether the seller withdrew the price or a rollback replaced it: it is not promised to buyers any more."""
    withdrawal: PriceWithdrawal | None = None


@define
class Product:
    """A product of a seller. Its stock is a separate aggregate, so that orders and edits do not wait for each other."""

    id: ProductId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    category_id: CategoryId
    name: str
    price: Money
    created_at: datetime = field(on_setattr=setters.frozen)
    updated_at: datetime
    priced_at: datetime
    """When the price in force began."""
    brand: str = ""
    description: str = ""
    sku: str | None = None
    """The seller's own code; unique among the seller's products that are not withdrawn."""
    cost: Money | None = None
    min_price: Money | None = None
    max_price: Money | None = None
    max_per_buyer: int | None = None
    """Units that one buyer may have in open orders and in paid ones of the last `BUYER_LIMIT_DAYS`; None: no limit."""
    stock_until: datetime | None = None
    """The stock must last until then: the end of the season or the next delivery; None or past: unknown."""
    competitor_price: Money | None = None
    """Lowest price of a competitor for the same product; None: unknown."""
    competitor_price_at: datetime | None = None
    """When `competitor_price` was observed; pricing strategies ignore it after some days."""
    is_active: bool = True
    withdrawn_at: datetime | None = None
    """When the product was removed from the catalog permanently; orders keep their lines."""
    version: int = 1
    """Counts the seller's edits; the ETag contains it."""
    price_changes: list[PriceChange] = field(factory=list, eq=False, repr=False)
    """Price changes since the product was loaded; saving appends them to the history."""
    events: list[Event] = field(factory=list, eq=False, repr=False)

    @classmethod
    def listed(
        cls,
        *,
        id: ProductId,  # noqa: A002 - the field's name
        seller_id: AccountId,
        category_id: CategoryId,
        name: str,
        price: Money,
        now: datetime,
        brand: str = "",
        description: str = "",
        sku: str | None = None,
        cost: Money | None = None,
        min_price: Money | None = None,
        max_price: Money | None = None,
        max_per_buyer: int | None = None,
        stock_until: datetime | None = None,
        competitor_price: Money | None = None,
        competitor_price_at: datetime | None = None,
        is_active: bool = True,
        cause: PriceCause = PriceCause.LISTED,
    ) -> "Product":
        """A new product with the first entry of its price history; raise `Invalid` naming the fields."""
        if competitor_price is not None and competitor_price_at is None:
            competitor_price_at = now
        product = cls(
            id=id, seller_id=seller_id, category_id=category_id, price=price, created_at=now, updated_at=now,
            priced_at=now, cost=cost, min_price=min_price, max_price=max_price, is_active=is_active,
            max_per_buyer=max_per_buyer, stock_until=stock_until, competitor_price=competitor_price,
            competitor_price_at=competitor_price_at,
            **_normal({"name": name, "brand": brand, "description": description, "sku": sku}),
        )  # fmt: skip
        observed = observation_errors(competitor_price, competitor_price_at, now)
        product._check(stock_until_errors(stock_until, now) | observed)
        product.price_changes.append(PriceChange(id, price, now, cause))
        product.events.append(ProductListed(at=now, product_id=id, seller_id=seller_id))
        return product

    def edit(self, now: datetime, **changes: object) -> None:
        """Set any of category_id, name, brand, description, sku, cost, min_price, max_price, max_per_buyer,
        stock_until, competitor_price, competitor_price_at, is_active and price.

        A competitor's price without a time was observed now, also if it is the same as before. A changed price writes
        the price history; equal values are not an edit. Raise `Invalid` naming the fields; nothing is changed then.
        """
        changes = _normal(changes)
        if "competitor_price" in changes:
            seen = None if changes["competitor_price"] is None else now
            changes = {**changes, "competitor_price_at": changes.get("competitor_price_at", seen)}
        old, horizon = self.price, self.stock_until
        if not isinstance(changes.get("price", old), Money):
            raise Invalid.field("price", "This must be a price.")

        def check() -> None:
            if self.price.currency != old.currency:
                raise Invalid.field("price", f"This product is priced in {old.currency}.")
            # A date that has passed since it was set stays valid.
            found = {} if self.stock_until == horizon else stock_until_errors(self.stock_until, now)
            self._check(found | observation_errors(self.competitor_price, self.competitor_price_at, now))

        changed = apply_edit(self, changes, check)
        if "price" in changed:
            self._record_price(old, now, PriceCause.MANUAL)
        if changed:
            self.updated_at = now
        # A change of the price alone is published as PriceChanged only.
        if changed - {"price"}:
            self.events.append(ProductEdited(at=now, product_id=self.id, seller_id=self.seller_id))

    def reprice(self, price: Money, now: datetime, cause: PriceCause) -> None:
        """Put `price` in force and into the history; no-op if it is in force already.

        Intervals of the history cannot overlap: the change begins at `now`, or one tick after the previous change if
        the clock has not moved past it.
        """
        old, self.price = self.price, price
        if price != old:
            self._record_price(old, now, cause)

    def _record_price(self, old: Money, now: datetime, cause: PriceCause) -> None:
        self.priced_at = max(now, self.priced_at + TICK)
        self.price_changes.append(PriceChange(self.id, self.price, self.priced_at, cause))
        self.events.append(
            PriceChanged(
                at=self.priced_at,
                product_id=self.id,
                seller_id=self.seller_id,
                old=old.minor,
                new=self.price.minor,
                currency=self.price.currency,
                cause=cause.value,
            )
        )

    def withdraw(self, now: datetime) -> None:
        """Remove the product from the catalog permanently; withdrawing it again changes nothing."""
        if self.withdrawn_at is None:
            self.withdrawn_at = now
            self.updated_at = now
            self.is_active = False
            self.version += 1
            self.events.append(ProductWithdrawn(at=now, product_id=self.id, seller_id=self.seller_id))

    def _check(self, found: Mapping[str, list[str]] = MappingProxyType({})) -> None:
        """Raise `Invalid` with the errors of the fields and those `found` before."""
        errors = {
            **found,
            "name": text_errors(self.name, at_most=NAME_LENGTH, at_least=1),
            "brand": text_errors(self.brand, at_most=BRAND_LENGTH),
            "description": text_errors(self.description, at_most=DESCRIPTION_LENGTH),
            "sku": [] if self.sku is None else text_errors(self.sku, at_most=SKU_LENGTH, at_least=1),
        }
        bounds = {
            "cost": self.cost, "min_price": self.min_price, "max_price": self.max_price,
            "competitor_price": self.competitor_price,
        }  # fmt: skip
        foreign = {n for n, bound in bounds.items() if bound is not None and bound.currency != self.price.currency}
        errors |= {name: [f"This product is priced in {self.price.currency}."] for name in foreign}
        low, high = self.min_price, self.max_price
        if not foreign and low is not None and high is not None and high < low:
            errors["max_price"] = ["The highest price must not be below the lowest."]
        if self.max_per_buyer is not None and not 1 <= self.max_per_buyer <= MAX_STOCK:
            errors["max_per_buyer"] = [f"A limit per buyer lies between 1 and {MAX_STOCK}."]
        if any(errors.values()):
            raise Invalid({name: said for name, said in errors.items() if said})


_NORMAL_FORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "name": normal_line,
    "brand": normal_line,
    "description": normal_text,
    "sku": normal_line,
}


def _normal(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with texts in their normal form."""
    return {
        name: _NORMAL_FORMS[name](value) if name in _NORMAL_FORMS and isinstance(value, str) else value
        for name, value in facts.items()
    }


@frozen
class Offer:
    """The fields of a product that intake needs, read without a lock."""

    product_id: ProductId
    seller_id: AccountId
    name: str
    price: Money
    is_active: bool
