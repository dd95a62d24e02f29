"""Query parameters of the lists of orders and sales, and their conversion to the filters of the core."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from adapters.http.framework.money_fields import Amount, convert_amounts
from adapters.http.framework.pagination import PageQuery
from adapters.http.framework.text_fields import Words
from adapters.http.resources.search import Moment
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.queries import OrderFilter, SaleFilter

T = TypeVar("T")
IdNumber = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


def to_id(kind: Callable[[int], T], number: int | None) -> T | None:
    """The id of an optional parameter, such as `to_id(AccountId, query.seller)`."""
    return None if number is None else kind(number)


class AllOrdersQuery(PageQuery, kw_only=True, frozen=True):
    search: Annotated[
        Words | None,
        msgspec.Meta(
            description="The number of an order, or words that are all in the name of a product of the order.",
            examples=["blue cup"],
        ),
    ] = None
    status: Annotated[OrderStatus | None, msgspec.Meta(description="Only orders with this status.")] = None
    buyer: Annotated[IdNumber | None, msgspec.Meta(description="Id of an account.", examples=[9])] = None
    seller: Annotated[
        IdNumber | None, msgspec.Meta(description="Id of an account that sells a product of the order.", examples=[1])
    ] = None
    product: Annotated[IdNumber | None, msgspec.Meta(description="Id of a product of the order.", examples=[1])] = None
    created_after: Annotated[
        Moment | None, msgspec.Meta(description="Placed after this time.", examples=["2026-01-01T00:00:00Z"])
    ] = None
    created_before: Annotated[
        Moment | None, msgspec.Meta(description="Placed before this time.", examples=["2027-01-01T00:00:00Z"])
    ] = None
    total_min: Annotated[
        Amount | None,
        msgspec.Meta(
            description="The lowest total, inclusive, in the currency of the market; other orders are left out."
        ),
    ] = None
    total_max: Annotated[
        Amount | None,
        msgspec.Meta(description="The highest total, inclusive, in the currency of the market."),
    ] = None
    parked: Annotated[
        bool, msgspec.Meta(description="Only orders whose decision failed so often that it is not tried any more.")
    ] = False

    def __post_init__(self) -> None:
        check_ranges(
            ("total_min", self.total_min, "total_max", self.total_max),
            ("created_after", self.created_after, "created_before", self.created_before),
        )

    def criteria(self, currency: str) -> OrderFilter:
        """The filter of the list; totals are amounts of `currency`."""
        totals = convert_amounts(currency, {"total_min": self.total_min, "total_max": self.total_max})
        return OrderFilter(
            status=self.status,
            buyer=to_id(AccountId, self.buyer),
            seller=to_id(AccountId, self.seller),
            product=to_id(ProductId, self.product),
            created_after=self.created_after,
            created_before=self.created_before,
            total_min=totals["total_min"],
            total_max=totals["total_max"],
            is_parked=self.parked,
            search=self.search if self.search is not None and normal_line(self.search) else None,
        )


class SaleQuery(PageQuery, frozen=True, rename={"since": "from", "until": "to"}):
    status: Annotated[
        OrderStatus | None, msgspec.Meta(description="Only sales of orders with this status.", examples=["PAID"])
    ] = None
    product: Annotated[IdNumber | None, msgspec.Meta(description="Only sales of this product.", examples=[12])] = None
    since: Annotated[
        Moment | None,
        msgspec.Meta(description="Ordered at this time or later.", examples=["2026-11-01T00:00:00Z"]),
    ] = None
    until: Annotated[
        Moment | None,
        msgspec.Meta(description="Ordered before this time.", examples=["2026-12-01T00:00:00Z"]),
    ] = None

    def __post_init__(self) -> None:
        check_ranges(("from", self.since, "to", self.until))

    def criteria(self) -> SaleFilter:
        return SaleFilter(self.status, to_id(ProductId, self.product), self.since, self.until)
