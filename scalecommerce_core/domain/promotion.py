"""Promotions: announced sales of a seller, with a start and an end.

Prior price: Directive 98/6/EC, article 6a, and the Commission's guidance on it (2021/C 526/02). It is the lowest price
of the 30 days before the announced start, and stays the same until the end, also if the price is lowered further
meanwhile (progressive reductions without interruption, article 6a(5)).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen
from attrs.setters import frozen as unchangeable

from scalecommerce_core.domain.date_times import DATE_TIME_FORM
from scalecommerce_core.domain.edits import apply_edit
from scalecommerce_core.domain.errors import Conflict, Invalid
from scalecommerce_core.domain.events import Event, PromotionEnded, PromotionStarted
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.price_history import lowest_price_before
from scalecommerce_core.domain.product import PriceCause, PriceChange, Product
from scalecommerce_core.domain.text import NAME_LENGTH, normal_line, text_errors

MAX_DURATION: Final = timedelta(days=60)
"""Longest promotion. A price that is in force for longer is no temporary reduction."""
MAX_AHEAD: Final = timedelta(days=3_650)
"""Longest time between the announcement of a promotion and its start."""
MIN_PERCENT: Final = 1
MAX_PERCENT: Final = 90
"""Percent off."""
MAX_NAMED: Final = 20
"""Products that an error names."""


class PromotionStatus(StrEnum):
    """The states of a promotion and of each of its products.

    A promotion that is cancelled before its start never runs; one that is cancelled later ends.
    """

    SCHEDULED = "scheduled"
    RUNNING = "running"
    ENDED = "ended"
    CANCELLED = "cancelled"


OPEN: Final = frozenset({PromotionStatus.SCHEDULED, PromotionStatus.RUNNING})


class PromotionNote(StrEnum):
    """Why no promotional price was put in force at the start."""

    NOT_LOWER = "not_lower"
    """The promotional price was not below the price in force."""
    BELOW_MIN_PRICE = "below_min_price"
    """The promotional price was below the seller's lowest price (`min_price`)."""
    CURRENCY = "currency"
    """The product was priced in another currency."""
    WITHDRAWN = "withdrawn"
    """The product was withdrawn from the catalog."""
    MISSED = "missed"
    """The promotion was over before it could be started, because no worker ran."""


class PromotionOver(Conflict):
    """The promotion has ended or was cancelled, and cannot be changed any more."""

    code = "promotion_over"

    def __init__(self, promotion_id: PromotionId) -> None:
        super().__init__(f"Promotion {promotion_id} is over and cannot be changed: create another one.")


class PromotionsOverlap(Conflict):
    """A product would be in two promotions at once."""

    code = "promotions_overlap"

    def __init__(self, product_ids: Sequence[ProductId], promotion_id: PromotionId) -> None:
        shown = ", ".join(map(str, product_ids))
        super().__init__(
            f"At this time, promotion {promotion_id} contains product {shown} already. Choose another time or other"
            " products, or end that promotion earlier."
        )


@define
class Promotion:
    """An announced sale. Without `percent` and prices of its products it changes no price, and marks the time only.

    Its products are those of the seller that were chosen when it was created; `products` counts them. `category_id` and
    `is_all` say how they were chosen.
    """

    id: PromotionId = field(on_setattr=unchangeable)
    seller_id: AccountId = field(on_setattr=unchangeable)
    name: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime = field(on_setattr=unchangeable)
    percent: int | None = None
    """Percent off the prior price, for products without a price of their own."""
    category_id: CategoryId | None = None
    is_all: bool = False
    products: int = 0
    status: PromotionStatus = PromotionStatus.SCHEDULED
    version: int = 1
    """Counts edits by the seller or staff."""
    events: list[Event] = field(factory=list, eq=False, repr=False)

    @classmethod
    def announced(
        cls,
        *,
        id: PromotionId,  # noqa: A002 - the field's name
        seller_id: AccountId,
        name: str,
        starts_at: datetime | None,
        ends_at: datetime,
        now: datetime,
        percent: int | None = None,
        category_id: CategoryId | None = None,
        is_all: bool = False,
        products: int = 0,
    ) -> "Promotion":
        """A new promotion, which starts at once without `starts_at`; raise `Invalid`, which names the fields."""
        promotion = cls(
            id=id,
            seller_id=seller_id,
            name=normal_line(name),
            starts_at=now if starts_at is None else starts_at,
            ends_at=ends_at,
            created_at=now,
            percent=percent,
            category_id=category_id,
            is_all=is_all,
            products=products,
        )
        errors = promotion._errors()
        if starts_at is not None:
            promotion._check_start(errors, now)
        if "ends_at" not in errors and ends_at <= now:
            errors["ends_at"] = ["Must be in the future."]
        if percent is not None and not MIN_PERCENT <= percent <= MAX_PERCENT:
            errors["percent"] = [f"Must be between {MIN_PERCENT} and {MAX_PERCENT} percent."]
        if errors:
            raise Invalid(errors)
        return promotion

    @property
    def due_at(self) -> datetime | None:
        """When the promotion starts or ends next; None if it is over."""
        return _due_at(self)

    def edit(self, now: datetime, **changes: object) -> None:
        """Set any of name, starts_at and ends_at; equal values are no edit.

        The start can be changed until the promotion runs. An end that is not later than `now` ends it now. Raise
        `Invalid`, which names the fields, or `PromotionOver`; nothing is changed then.
        """
        if self.status not in OPEN or self.ends_at <= now:
            raise PromotionOver(self.id)
        if isinstance(changes.get("name"), str):
            changes["name"] = normal_line(str(changes["name"]))
        has_begun = self.status is PromotionStatus.RUNNING or self.starts_at <= now
        ends_at = changes.get("ends_at")
        if has_begun and isinstance(ends_at, datetime) and ends_at.tzinfo is not None and ends_at < now:
            changes["ends_at"] = now
        old = self.starts_at

        def check() -> None:
            errors = self._errors()
            if self.starts_at != old and has_begun:
                errors["starts_at"] = ["The promotion has started: only its name and its end can be changed."]
            elif self.starts_at != old:
                self._check_start(errors, now)
            if errors:
                raise Invalid(errors)

        apply_edit(self, changes, check)

    def cancel(self, now: datetime) -> None:
        """Cancel a promotion before its start, or end it now. No-op if it is over."""
        if self.status is PromotionStatus.SCHEDULED and now < self.starts_at:
            self.status = PromotionStatus.CANCELLED
            self.version += 1
        elif self.status in OPEN and now < self.ends_at:
            self.ends_at = max(now, self.starts_at)
            self.version += 1

    def advance(self, now: datetime) -> None:
        """Start or end the promotion if it is time."""
        if self.starts_at <= now:
            self.begin(now)
        if self.status is PromotionStatus.RUNNING and self.ends_at <= now:
            self.status = PromotionStatus.ENDED
            self._record(PromotionEnded, now)

    def begin(self, now: datetime) -> None:
        """Start the promotion if it is scheduled."""
        if self.status is PromotionStatus.SCHEDULED:
            self.status = PromotionStatus.RUNNING
            self._record(PromotionStarted, now)

    def _record(self, kind: type[PromotionStarted | PromotionEnded], now: datetime) -> None:
        self.events.append(
            kind(
                at=now,
                promotion_id=self.id,
                seller_id=self.seller_id,
                name=self.name,
                starts_at=self.starts_at.isoformat(),
                ends_at=self.ends_at.isoformat(),
            )
        )

    def _errors(self) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {}
        if said := text_errors(self.name, at_most=NAME_LENGTH, at_least=1):
            errors["name"] = said
        for name, moment in (("starts_at", self.starts_at), ("ends_at", self.ends_at)):
            if moment.tzinfo is None:
                errors[name] = [DATE_TIME_FORM]
        if not errors.keys() & {"starts_at", "ends_at"}:
            if self.ends_at < self.starts_at or (self.status is PromotionStatus.SCHEDULED and self._is_empty):
                errors["ends_at"] = ["Must be after starts_at."]
            elif self.ends_at - self.starts_at > MAX_DURATION:
                errors["ends_at"] = [f"A promotion lasts at most {MAX_DURATION.days} days."]
        return errors

    def _check_start(self, errors: dict[str, list[str]], now: datetime) -> None:
        """Add the error of a new start that is in the past or too far in the future."""
        # A time without a UTC offset, which is an error already, cannot be compared.
        if "starts_at" not in errors and not now <= self.starts_at <= now + MAX_AHEAD:
            errors["starts_at"] = [f"Must not be in the past, and at most {MAX_AHEAD.days} days from now."]

    @property
    def _is_empty(self) -> bool:
        return self.ends_at <= self.starts_at


@define
class PromotedProduct:
    """A product of a promotion. `starts_at`, `ends_at` and `percent` are copies of the promotion's."""

    promotion_id: PromotionId = field(on_setattr=unchangeable)
    product_id: ProductId = field(on_setattr=unchangeable)
    starts_at: datetime
    ends_at: datetime
    currency: str
    """The currency of the product when the promotion was created."""
    price: Money | None = None
    """The promotional price that the seller chose; None: `percent` applies."""
    percent: int | None = None
    status: PromotionStatus = PromotionStatus.SCHEDULED
    prior_price: Money | None = None
    """The lowest price of the 30 days before the announced start; None before the start."""
    promoted_price: Money | None = None
    """The price that the start put in force; None: the start changed no price."""
    former_price: Money | None = None
    """The price that the start replaced and the end restores."""
    applied_at: datetime | None = None
    """When `promoted_price` began."""
    note: PromotionNote | None = None

    @property
    def due_at(self) -> datetime | None:
        """When the product is to be changed next; None if nothing is to be done any more."""
        return _due_at(self)

    @property
    def has_begun(self) -> bool:
        """Whether the product's start was processed."""
        return self.status in {PromotionStatus.RUNNING, PromotionStatus.ENDED}

    def copy_schedule(self, promotion: Promotion) -> None:
        """Copy the times of the promotion, and its cancellation, unless the product has ended or was cancelled."""
        if self.status in OPEN:
            self.starts_at, self.ends_at = promotion.starts_at, promotion.ends_at
            if promotion.status is PromotionStatus.CANCELLED:
                self.status = PromotionStatus.CANCELLED

    def advance(self, product: Product, history: Sequence[PriceChange], now: datetime) -> None:
        """Put the promotional price in force, or restore the price from before, if it is time.

        `history` holds the price changes of the product that were in force in the 30 days before the start. The price
        from before is restored unless the price was changed meanwhile.
        """
        if self.status is PromotionStatus.SCHEDULED and self.starts_at <= now:
            self._start(product, history, now)
        elif self.status is PromotionStatus.RUNNING and self.ends_at <= now:
            self.status = PromotionStatus.ENDED
            is_unchanged = product.price == self.promoted_price and product.priced_at == self.applied_at
            if self.former_price is not None and is_unchanged and product.withdrawn_at is None:
                product.reprice(self.former_price, now, PriceCause.PROMOTION_END)

    def _start(self, product: Product, history: Sequence[PriceChange], now: datetime) -> None:
        if self.ends_at <= now:
            self.status, self.note = PromotionStatus.ENDED, PromotionNote.MISSED
            return
        self.status = PromotionStatus.RUNNING
        self.prior_price = lowest_price_before(history, self.starts_at) or product.price
        price = self.promotional_price(self.prior_price)
        if product.withdrawn_at is not None:
            self.status, self.note = PromotionStatus.ENDED, PromotionNote.WITHDRAWN
        elif price is not None and (note := _obstacle(price, product)) is not None:
            self.note = note
        elif price is not None:
            self.former_price = product.price
            product.reprice(price, now, PriceCause.PROMOTION)
            self.promoted_price, self.applied_at = price, product.priced_at

    def promotional_price(self, prior_price: Money) -> Money | None:
        """The seller's price, or `percent` off the prior price, rounded down so that the percentage may be announced.

        None if the promotion changes no price. The percentage must refer to the prior price (CJEU C-330/23).
        """
        if self.price is not None or self.percent is None:
            return self.price
        return Money(prior_price.minor * (100 - self.percent) // 100, prior_price.currency)


@frozen
class PromotionCandidate:
    """The facts of a product that a new promotion is checked against."""

    product_id: ProductId
    seller_id: AccountId
    price: Money
    min_price: Money | None


def promote(
    promotion: Promotion, candidates: Mapping[ProductId, PromotionCandidate], prices: Mapping[ProductId, Money | None]
) -> list[PromotedProduct]:
    """The products of a new promotion, by id; `prices` holds the promotional price of each, None: `percent` or none.

    Raise `Invalid`, which names the products that do not fit and says why.
    """
    promoted, wrong = [], []
    for product_id, price in sorted(prices.items()):
        candidate = candidates.get(product_id)
        if candidate is None or candidate.seller_id != promotion.seller_id:
            wrong.append(f"Product {product_id}: You have no product with this id.")
            continue
        item = PromotedProduct(
            promotion.id,
            product_id,
            promotion.starts_at,
            promotion.ends_at,
            candidate.price.currency,
            price,
            promotion.percent,
        )
        if (reason := _candidate_error(item, candidate)) is not None:
            wrong.append(f"Product {product_id}: {reason}")
        promoted.append(item)
    if not prices:
        raise Invalid.field("products", "There are no products in this selection.")
    if wrong:
        more = [] if len(wrong) <= MAX_NAMED else [f"{len(wrong) - MAX_NAMED} more products have such errors."]
        raise Invalid({"products": wrong[:MAX_NAMED] + more})
    return promoted


def _candidate_error(item: PromotedProduct, candidate: PromotionCandidate) -> str | None:
    price = item.promotional_price(candidate.price)
    if price is None:
        return None
    if price.currency != candidate.price.currency:
        return f"This product is priced in {candidate.price.currency}."
    if not 0 < price.minor < candidate.price.minor:
        return f"The promotional price must be above 0 and below the present price of {candidate.price}."
    if candidate.min_price is not None and price.minor < candidate.min_price.minor:
        return f"The promotional price of {price} would be below the lowest price (min_price) of {candidate.min_price}."
    return None


def _obstacle(price: Money, product: Product) -> PromotionNote | None:
    if price.currency != product.price.currency:
        return PromotionNote.CURRENCY
    if not 0 < price.minor < product.price.minor:
        return PromotionNote.NOT_LOWER
    if product.min_price is not None and price.minor < product.min_price.minor:
        return PromotionNote.BELOW_MIN_PRICE
    return None


def _due_at(timed: Promotion | PromotedProduct) -> datetime | None:
    if timed.status is PromotionStatus.SCHEDULED:
        return timed.starts_at
    return timed.ends_at if timed.status is PromotionStatus.RUNNING else None
