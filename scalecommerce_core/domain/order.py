"""Orders: lines with their prices, and a state machine defined by the table `TRANSITIONS`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import define, evolve, field, frozen

from scalecommerce_core.domain.errors import Invalid, NothingToRetry, TransitionNotAllowed
from scalecommerce_core.domain.events import (
    Event,
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderReserved,
    RefundedUnits,
)
from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.stock import MAX_STOCK, Stock

MAX_LINES: Final = 100
"""Lines of a placed order; imported orders may have more."""
MAX_QUANTITY: Final = 900_000_000
"""Most units of a line: multiplied by the highest price it fits into 8 bytes, which refunds and statistics require."""
LINE_ID_SPAN: Final = 10_000
"""Line ids are `order_id * LINE_ID_SPAN + position`: unique, and computed without the database."""
DECIDE_ATTEMPTS: Final = 5
"""An order is parked when its decision has raised an exception this often; an operator has to look at it."""


class OrderStatus(StrEnum):
    """Status of an order; `TRANSITIONS` lists the allowed changes."""

    CREATED = "CREATED"
    PENDING = "PENDING"
    REJECTED = "REJECTED"
    PAID = "PAID"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


SETTLED: Final = frozenset({OrderStatus.REJECTED, OrderStatus.PAID, OrderStatus.CANCELLED, OrderStatus.REFUNDED})
"""Statuses of orders that hold no reservation and await no decision; only such orders are archived."""


class Action(StrEnum):
    """Actions on an order, worded for error messages."""

    RESERVE = "be reserved"
    REJECT = "be rejected"
    PAY = "be paid"
    CANCEL = "be cancelled"
    EXPIRE = "expire"
    REFUND = "be refunded"


TRANSITIONS: Final[Mapping[tuple[OrderStatus, Action], OrderStatus]] = {
    (OrderStatus.CREATED, Action.RESERVE): OrderStatus.PENDING,
    (OrderStatus.CREATED, Action.REJECT): OrderStatus.REJECTED,
    (OrderStatus.CREATED, Action.CANCEL): OrderStatus.CANCELLED,
    (OrderStatus.PENDING, Action.PAY): OrderStatus.PAID,
    (OrderStatus.PENDING, Action.CANCEL): OrderStatus.CANCELLED,
    (OrderStatus.PENDING, Action.EXPIRE): OrderStatus.CANCELLED,
    (OrderStatus.PAID, Action.REFUND): OrderStatus.REFUNDED,
}
"""The new status for each allowed action in each status; every other action is `TransitionNotAllowed`."""


class OrderOrigin(StrEnum):
    """Where an order came from. Imported and seeded orders publish no events."""

    API = "api"
    IMPORT = "import"
    SEED = "seed"


def is_sale(buyer_id: AccountId, seller_id: AccountId) -> bool:
    """Whether a line that `buyer_id` bought from `seller_id` is a sale, not a purchase of the seller's own product.

    A purchase of one's own product is processed like any other: it reserves stock, is paid, and is listed for its
    buyer. But it shows no demand and earns nothing, so lists of sales, statistics and pricing signals exclude it (ADR
    0034).
    """
    return buyer_id != seller_id


@frozen
class OrderLine:
    """`quantity` units of a product at the unit `price` of this order, in minor units."""

    position: int
    product_id: ProductId
    seller_id: AccountId
    quantity: int
    price: int
    refunded: int = 0

    @property
    def amount(self) -> int:
        """The line's total in minor units."""
        return self.quantity * self.price

    @property
    def refundable(self) -> int:
        """Units that are not refunded yet."""
        return self.quantity - self.refunded


class RejectionReason(StrEnum):
    """Why background validation rejected a line."""

    STOCK = "stock"
    """Fewer units are in stock."""
    BUYER_LIMIT = "buyer_limit"
    """The seller's limit per buyer (`Product.max_per_buyer`)."""
    UNPAID_SHARE = "unpaid_share"
    """The buyer's unpaid orders would reserve too much of the stock (`OrderQuotas.unpaid_share`)."""
    OPEN_ORDERS = "open_orders"
    """The buyer has the most unpaid orders that are allowed (`OrderQuotas.open_orders`)."""
    PRICE_WITHDRAWN = "price_withdrawn"
    """The seller withdrew the price of the line before the decision."""


@frozen
class Shortfall:
    """A line that was rejected: `wanted` units were ordered, and the buyer could have ordered `available` units."""

    product_id: ProductId
    wanted: int
    available: int
    reason: RejectionReason = field(default=RejectionReason.STOCK, converter=RejectionReason)
    limit: int = 0
    """For `BUYER_LIMIT`: the units that one buyer may have within `days`, of which this one had `held`. 0 if it is not
    stored, as in orders of earlier releases."""
    held: int = 0
    days: float = 0

    @property
    def detail(self) -> str:
        """A sentence for the buyer."""
        match self.reason:
            case RejectionReason.STOCK:
                return f"{self.wanted} units requested, {self.available} in stock."
            case RejectionReason.BUYER_LIMIT:
                if not self.limit:
                    return f"The seller limits the units per buyer; you may order at most {self.available} more."
                period = "a day" if self.days == 1 else f"{self.days:g} days"
                units = "1 unit" if self.limit == 1 else f"{self.limit:,} units"
                return f"At most {units} per buyer in {period}; you have {self.held:,}, paid or reserved."
            case RejectionReason.UNPAID_SHARE:
                return (
                    f"Your unpaid orders may reserve {self.available} more units of this product, not {self.wanted}:"
                    " order fewer units, or pay your other orders first."
                )
            case RejectionReason.OPEN_ORDERS:
                return "You have the most unpaid orders that an account may have: pay or cancel one, then order again."
            case RejectionReason.PRICE_WITHDRAWN:
                return "The seller withdrew this price, which was a mistake: order again at the current price."


@frozen
class RefundLine:
    """Refund `quantity` units of a product; `price` (minor units) selects among several lines of the product."""

    product_id: ProductId
    quantity: int
    price: int | None = None


@frozen
class Refund:
    """A row of the refund ledger: `quantity` units of the line at `position`; `amount` in minor units."""

    order_id: OrderId
    position: int
    product_id: ProductId
    quantity: int
    amount: int
    restocked: bool
    at: datetime
    by: AccountId | None


@define
class Order:
    """An order; all of its lines are reserved, or none. Only the methods below change `status`, along `TRANSITIONS`."""

    # mypy checks `Final`. With `attrs.setters.frozen`, each assignment of every field takes several times as long.
    id: Final[OrderId]
    command_id: Final[CommandId]
    buyer_id: Final[AccountId]
    currency: Final[str]
    lines: tuple[OrderLine, ...]
    created_at: Final[datetime]
    updated_at: datetime
    status: OrderStatus = OrderStatus.CREATED
    shortfalls: tuple[Shortfall, ...] = ()
    expires_at: datetime | None = None
    """When the unpaid order expires and its reservation is released."""
    paid_at: datetime | None = None
    origin: Final[OrderOrigin] = OrderOrigin.API
    decide_attempts: int = 0
    decide_after: datetime | None = None
    """After an exception, the decision is not repeated before this time; orders behind it are decided meanwhile."""
    decide_error: str | None = None
    """What the last exception in the decision said; None if the last decision raised none."""
    decided_at: datetime | None = None
    """When the order was reserved or rejected; None before, and for decisions of releases that did not store it."""
    has_expired: bool = False
    """Whether the order is CANCELLED because it was not paid in time."""
    is_cancelled_by_staff: bool = False
    """Whether the order is CANCELLED by staff or an operator instead of its buyer; the audit log has the reason."""
    refunds: list[Refund] = field(factory=list, eq=False, repr=False)
    """Refunds made since the order was loaded; saving appends them to the ledger."""
    events: list[Event] = field(factory=list, eq=False, repr=False)

    @classmethod
    def placed(
        cls,
        *,
        id: OrderId,  # noqa: A002 - the field's name
        command_id: CommandId,
        buyer_id: AccountId,
        currency: str,
        lines: Sequence[OrderLine],
        now: datetime,
        origin: OrderOrigin = OrderOrigin.API,
    ) -> "Order":
        """A new order in status CREATED; it reserves no stock yet."""
        order = cls(
            id=id, command_id=command_id, buyer_id=buyer_id, currency=currency, lines=tuple(lines),
            created_at=now, updated_at=now, origin=origin,
        )  # fmt: skip
        order._record(OrderPlaced, now)
        return order

    @property
    def total(self) -> Money:
        """The total of all lines."""
        return Money(sum(line.amount for line in self.lines), self.currency)

    @property
    def is_parked(self) -> bool:
        """Whether the decision failed `DECIDE_ATTEMPTS` times, so that background validation skips the order."""
        return self.status is OrderStatus.CREATED and self.decide_attempts >= DECIDE_ATTEMPTS

    def quantities(self) -> dict[ProductId, int]:
        """Units per product, added over lines."""
        summed: dict[ProductId, int] = {}
        for line in self.lines:
            summed[line.product_id] = summed.get(line.product_id, 0) + line.quantity
        return summed

    def decide(
        self,
        stock: Mapping[ProductId, Stock],
        now: datetime,
        expires_at: datetime,
        objections: Callable[["Order", Mapping[ProductId, Stock]], tuple[Shortfall, ...]] | None = None,
    ) -> None:
        """Reserve all lines until `expires_at`; or reject the order with its shortfalls and leave stock unchanged.

        `objections`, if given, returns further reasons to reject an order for which the stock suffices.
        """
        quantities = self.quantities()
        short: tuple[Shortfall, ...] = ()
        for product_id, quantity in quantities.items():
            available = stock[product_id].available if product_id in stock else 0
            if available < quantity:
                short += (Shortfall(product_id, quantity, available),)
        if not short and objections is not None:
            short = objections(self, stock)
        self._transition(Action.REJECT if short else Action.RESERVE, now)
        self.decided_at, self.decide_error = now, None
        if short:
            self.shortfalls = short
            self._record(OrderRejected, now)
            return
        for product_id, quantity in quantities.items():
            stock[product_id].reserve(quantity)
        self.expires_at = expires_at
        self._record(OrderReserved, now)

    def pay(self, stock: Mapping[ProductId, Stock], now: datetime) -> None:
        """Turn the reservation into a sale; paying a PAID order again changes nothing."""
        if self.status is OrderStatus.PAID:
            return
        self._transition(Action.PAY, now)
        for product_id, quantity in self.quantities().items():
            stock[product_id].sell(quantity, self.id, now)
        self.paid_at = now
        self.expires_at = None
        self._record(OrderPaid, now)

    def cancel(self, stock: Mapping[ProductId, Stock], now: datetime, *, by_staff: bool = False) -> None:
        """Cancel the order and release its reservation; cancelling a CANCELLED order again changes nothing."""
        if self.status is not OrderStatus.CANCELLED:
            self._release_stock(Action.CANCEL, stock, now)
            self.is_cancelled_by_staff = by_staff

    def expire(self, stock: Mapping[ProductId, Stock], now: datetime) -> None:
        """As `cancel`, for an order that was not paid in time."""
        self._release_stock(Action.EXPIRE, stock, now)

    def refund(
        self,
        requested: Sequence[RefundLine],
        stock: Mapping[ProductId, Stock],
        now: datetime,
        *,
        restock: bool,
        by: AccountId | None = None,
    ) -> list[Refund]:
        """Refund units at their lines' prices; the order becomes REFUNDED when no unit is left.

        Raise `TransitionNotAllowed`, or `Invalid` naming the refund line if fewer units are left to refund.
        """
        if (self.status, Action.REFUND) not in TRANSITIONS:
            raise TransitionNotAllowed(self.id, self.status, Action.REFUND)
        lines = {line.position: line for line in self.lines}
        made: list[Refund] = []
        for index, part in enumerate(requested):
            left = part.quantity
            if left < 1:
                raise Invalid.field(f"lines[{index}].quantity", "The quantity must be at least 1.")
            for line in _matching(lines.values(), part):
                units = min(left, line.refundable)
                if units:
                    left -= units
                    lines[line.position] = evolve(line, refunded=line.refunded + units)
                    made.append(
                        Refund(
                            self.id,
                            line.position,
                            line.product_id,
                            units,
                            units * line.price,
                            restock,
                            now,
                            by,
                        )
                    )
            if left:
                raise Invalid.field(
                    f"lines[{index}].quantity",
                    f"Only {part.quantity - left} units of product {part.product_id} can be refunded.",
                )
        if restock:
            _check_room(made, stock)
        self.lines = tuple(lines.values())
        self.refunds += made
        if restock:
            for refund in made:
                stock[refund.product_id].restock_units(refund.quantity, self.id, now)
        if all(line.refundable == 0 for line in self.lines):
            self._transition(Action.REFUND, now)
        self.updated_at = now
        self.events.append(
            OrderRefunded(
                at=now,
                order_id=self.id,
                buyer_id=self.buyer_id,
                seller_ids=tuple(sorted({lines[refund.position].seller_id for refund in made})),
                status=self.status.value,
                refunds=tuple(
                    RefundedUnits(
                        product_id=refund.product_id,
                        seller_id=lines[refund.position].seller_id,
                        quantity=refund.quantity,
                        amount=refund.amount,
                    )
                    for refund in made
                ),
            )
        )
        return made

    @property
    def seller_ids(self) -> tuple[AccountId, ...]:
        """The sellers of the lines, in order."""
        return tuple(sorted({line.seller_id for line in self.lines}))

    def record_decision_failure(self, now: datetime, try_after: datetime, cause: str) -> None:
        """Count an exception in the decision; the order is skipped until `try_after`, or until it is requeued if it is
        parked. `cause` is stored for people (`domain.text.cause_text`).
        """
        self.decide_attempts += 1
        self.decide_after = try_after
        self.decide_error = cause
        self.updated_at = now

    def requeue(self, now: datetime) -> None:
        """Let background validation decide a parked order again; raise `NothingToRetry` if it is not parked."""
        if not self.is_parked:
            raise NothingToRetry(f"Order {self.id} is not parked: it is {self.status}.")
        self.decide_attempts = 0
        self.decide_after = None
        self.updated_at = now

    def record_expiry_failure(self, now: datetime, try_after: datetime) -> None:
        """Postpone the expiry of a PENDING order to `try_after` after an exception."""
        if self.status is OrderStatus.PENDING:
            self.expires_at = try_after
            self.updated_at = now

    def _release_stock(self, action: Action, stock: Mapping[ProductId, Stock], now: datetime) -> None:
        reserved = self.status is OrderStatus.PENDING
        self._transition(action, now)
        if reserved:
            for product_id, quantity in self.quantities().items():
                stock[product_id].release(quantity)
        self.expires_at = None
        self.has_expired = action is Action.EXPIRE
        self._record(OrderExpired if action is Action.EXPIRE else OrderCancelled, now)

    def _transition(self, action: Action, now: datetime) -> None:
        try:
            self.status = TRANSITIONS[self.status, action]
        except KeyError:
            raise TransitionNotAllowed(self.id, self.status, action) from None
        self.updated_at = now

    def _record(self, kind: type[OrderEvent], now: datetime) -> None:
        self.events.append(
            kind(
                at=now,
                order_id=self.id,
                buyer_id=self.buyer_id,
                seller_ids=self.seller_ids,
                status=self.status.value,
            )
        )


def _matching(lines: Iterable[OrderLine], part: RefundLine) -> list[OrderLine]:
    return [
        line
        for line in lines
        if line.product_id == part.product_id and (part.price is None or line.price == part.price)
    ]


def _check_room(refunds: Iterable[Refund], stock: Mapping[ProductId, Stock]) -> None:
    units: dict[ProductId, int] = {}
    for refund in refunds:
        units[refund.product_id] = units.get(refund.product_id, 0) + refund.quantity
    for product_id, quantity in units.items():
        if quantity > stock[product_id].capacity_left:
            raise Invalid.field("restock", f"The stock of product {product_id} would exceed {MAX_STOCK}.")
