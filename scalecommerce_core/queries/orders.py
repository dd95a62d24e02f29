"""Views and queries of orders and sales."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import OrderStatus, Shortfall
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class OrderLineView:
    id: int
    product: ProductId
    seller: AccountId
    name: str
    quantity: int
    price: int
    refunded: int


@frozen
class OrderView:
    id: OrderId
    user: AccountId
    lines: tuple[OrderLineView, ...]
    total: int
    currency: str
    status: OrderStatus
    shortfalls: tuple[Shortfall, ...]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    is_cancelled_by_staff: bool = False


@frozen
class SaleView:
    """An order line with a product of the seller. The rest of the buyer's order is hidden from the seller."""

    id: int
    order: OrderId
    product: ProductId
    name: str
    quantity: int
    price: int
    refunded: int
    currency: str
    status: OrderStatus
    created_at: datetime


@frozen
class SaleFilter:
    """Conditions on sales; all must hold. The order was placed at `since` or later, and before `until`.

    Raise `Invalid`, which names `from`, if the range is reversed.
    """

    status: OrderStatus | None = None
    product: ProductId | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __attrs_post_init__(self) -> None:
        check_ranges(("from", self.since, "to", self.until))


ALL_SALES: Final = SaleFilter()


MAX_UNDECIDED: Final = 100_000
"""Orders that wait for their first decision are counted up to this number, so that counting takes a bounded time."""


@frozen
class ValidationBacklog:
    """Orders without any attempt at their decision. Orders that are parked or deferred after an error do not count."""

    undecided: int = 0
    """At most `MAX_UNDECIDED`, in the order of ids."""
    remaining: int = 0
    """Those of them with an id up to the requested one."""
    first: OrderId | None = None
    last: OrderId | None = None
    """The smallest and the largest id of those counted; None without any."""
    oldest: datetime | None = None
    """When the oldest of those counted was placed."""


class OrderQueries(Protocol):
    def orders_of_buyer(self, buyer_id: AccountId, page: PageRequest) -> Page[OrderView]:
        """Return the orders of a buyer, newest first."""
        ...

    def orders(self, ids: Collection[OrderId]) -> Mapping[OrderId, OrderView]:
        """Return the orders that exist, by id."""
        ...

    def sales(self, seller_id: AccountId, page: PageRequest, criteria: SaleFilter = ALL_SALES) -> Page[SaleView]:
        """Return lines of other accounts' orders with products of the seller, newest first."""
        ...

    def oldest_undecided(self) -> datetime | None:
        """Return when the oldest CREATED order that is not parked was placed; None if no order awaits its decision.

        The age of this order measures the liveness of background validation.
        """
        ...

    def validation_backlog(self, upto: OrderId | None = None) -> ValidationBacklog:
        """Return the orders that wait for their first decision; `remaining` counts those with an id up to `upto`."""
        ...
