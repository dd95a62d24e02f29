"""The read side: frozen views and the queries that produce them. They load no aggregates and take no locks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

from attrs import field, frozen

from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.errors import EventsForgotten, Invalid
from scalecommerce_core.domain.identifiers import (
    AccountId,
    CategoryId,
    DeliveryId,
    EndpointId,
    OrderId,
    PolicyId,
    ProductId,
    RunId,
)
from scalecommerce_core.domain.money import Money, decimal_text
from scalecommerce_core.domain.order import OrderStatus, Shortfall
from scalecommerce_core.domain.price_history import Reduction
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.rollups import hour_of
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.pricing.decisions import Decisions
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs
from scalecommerce_core.pricing.runs import Run, StoredDecision

Row_co = TypeVar("Row_co", covariant=True)

Key = tuple[str | int | float | None, ...]
"""The sort values of a row, JSON-able, its id last: where a keyset page begins."""


@frozen
class PageRequest:
    """`size` rows after the row at `after`, or before the row at `before`; from the start with neither."""

    size: int = 20
    after: Key | None = None
    before: Key | None = None


@frozen
class Page(Generic[Row_co]):
    """Rows in order; `next` and `previous` are None at the ends."""

    rows: tuple[Row_co, ...]
    next: Key | None = None
    previous: Key | None = None


# --- accounts


@frozen
class AccountView:
    id: AccountId
    first_name: str
    last_name: str
    email: str
    bio: str


class AccountQueries(Protocol):
    def accounts(self, page: PageRequest) -> Page[AccountView]:
        """All active accounts, by id."""
        ...

    def account(self, account_id: AccountId) -> AccountView | None: ...


# --- products


@frozen
class SellerRef:
    id: AccountId
    first_name: str
    last_name: str
    email: str


@frozen
class CategoryRef:
    id: CategoryId
    name: str


@frozen
class ProductView:
    """`stock` is what can be promised. `cost`, `min_price` and `max_price` are for the owner's eyes only."""

    id: ProductId
    name: str
    brand: str
    price: Money
    description: str
    category: CategoryRef
    seller: SellerRef
    stock: int
    is_active: bool
    created_at: datetime
    count_viewed: int
    sku: str | None
    cost: Money | None
    min_price: Money | None
    max_price: Money | None
    version: int


class Ordering(StrEnum):
    """Of a product list; a minus sign means descending. Ties are broken by id, in the same direction.

    Relevance is descending, the newest first among equals; without a wanted word it is the newest first. Of the very
    many products that have a common word, only the most prominent may be ranked; the others follow in the order of
    their prominence, the newest first.
    """

    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESC = "-price"
    CREATED = "created_at"
    CREATED_DESC = "-created_at"
    VIEWED_DESC = "-count_viewed"


class Facet(StrEnum):
    """Categories and brands come most frequent first, at most a hundred; prices in their order."""

    CATEGORY = "category"
    BRAND = "brand"
    PRICE = "price"


PRICE_BUCKETS: Final = (0, 10_00, 25_00, 50_00, 100_00, 250_00, 500_00, 1_000_00, 2_500_00)
"""Lower bounds of the price facet's buckets, in minor units of the market's currency; the last one has no
upper bound. Empty buckets are left out."""


def bucket_label(lower: int, upper: int | None, currency: str) -> str:
    """`"10.00 - 25.00"`, `"2500.00 +"`: how a price bucket is shown in the market's currency."""
    least = decimal_text(lower, currency)
    return f"{least} +" if upper is None else f"{least} - {decimal_text(upper, currency)}"


def _normal_lines(values: Collection[str]) -> Collection[str]:
    return tuple(map(normal_line, values))


def _normal_choices(values: Collection[int | str]) -> Collection[int | str]:
    return tuple(normal_line(value) if isinstance(value, str) else value for value in values)


@frozen
class ProductFilter:
    """All conditions hold together; several values of one condition are alternatives.

    `search` holds words in English or Russian, all of which must occur in one of their forms (those that stemming and
    `domain.word_forms` know), "phrases", and -excluded ones. `brands` and slugs are compared in their normal form.
    A word that the catalogue does not know stands for what it may be the beginning of, if it is the last one, or else
    for the most frequent word that is spelt alike (`domain.spelling`). `categories` holds ids or slugs.
    Prices are minor units, both ends included. `created_after` is exclusive, `created_before` too. Only active
    products of the catalogue are found. Raises `Invalid` for a range that ends before it begins.
    """

    search: str | None = None
    categories: Collection[int | str] = field(default=(), converter=_normal_choices)
    brands: Collection[str] = field(default=(), converter=_normal_lines)
    seller: AccountId | None = None
    price_min: int | None = None
    price_max: int | None = None
    in_stock: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    ordering: Ordering = Ordering.CREATED_DESC

    def __attrs_post_init__(self) -> None:
        check_ranges(
            ("price_min", self.price_min, "price_max", self.price_max),
            ("created_after", self.created_after, "created_before", self.created_before),
        )


@frozen
class FacetValue:
    """`value` is a category id, a brand, or a price bucket's lower bound (minor units, with `upper` exclusive)."""

    value: int | str
    label: str
    count: int
    upper: int | None = None


@frozen
class PriceInterval:
    price: Money
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause


@frozen
class PriceHistory:
    """Newest first, with the prior prices of `domain.price_history`."""

    intervals: tuple[PriceInterval, ...]
    lowest_price_30d: Money
    reduction: Reduction | None


@frozen
class TopProduct:
    id: ProductId
    name: str
    units_sold: int
    revenue: int


@frozen
class SellerStats:
    """A sale counts when PAID; refunds are taken off. `revenue` in minor units; conversion is orders per view.

    Sales are those in `currency`, in which the seller has the most paid orders: currencies do not add up.
    """

    total_products: int
    active_products: int
    total_views: int
    avg_views: float
    revenue: int
    currency: str
    units_sold: int
    orders: int
    conversion_rate: float
    top_products: tuple[TopProduct, ...]


@frozen
class FoundProducts(Page[ProductView]):
    """A page of what matches, and of how many: estimated from statistics unless `is_exact`.

    `did_you_mean` is a search of other words: the one that is answered here if the catalogue does not know the words
    as they were typed, else one that many more products would answer.
    """

    total: int = 0
    is_exact: bool = True
    did_you_mean: str | None = None


@frozen
class FacetCounts:
    """By facet. Not exact: counted over a sample of `FACET_CAP` products, and scaled up to the estimated total."""

    values: Mapping[Facet, Sequence[FacetValue]]
    is_exact: bool = True


FACET_CAP: Final = 5_000
"""Facets of so many matching products are exact."""
FACET_VALUES: Final = 100
"""The most frequent values of a facet, no more."""


class ProductQueries(Protocol):
    def search(self, wanted: ProductFilter, page: PageRequest) -> FoundProducts:
        """Pages are keyset pages: whatever is added, removed or changed between two of them, what stands still is
        shown once. A product that moves in the order meanwhile is shown where it is.
        """
        ...

    def facets(self, wanted: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        """Counts over the products that match all conditions."""
        ...

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        """Those that exist and were not withdrawn, active or not."""
        ...

    def categories(self) -> Sequence[Category]:
        """All, by id."""
        ...

    def horizon(self) -> int:
        """Every `CatalogChange` with a smaller number is seen by reads that begin after this one."""
        ...

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        """`products`, and the `horizon` of the very moment in which they were read."""
        ...

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None: ...

    def by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        """Ids by SKU; `skus` must be in their normal form (`domain.text.normal_line`)."""


# --- orders


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


@frozen
class SaleView:
    """A line of somebody's order that is the seller's product, and nothing else of that order."""

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


class OrderQueries(Protocol):
    def of_buyer(self, buyer_id: AccountId, page: PageRequest) -> Page[OrderView]:
        """Newest first."""
        ...

    def orders(self, ids: Collection[OrderId]) -> Mapping[OrderId, OrderView]: ...

    def sales(self, seller_id: AccountId, page: PageRequest) -> Page[SaleView]:
        """Lines of others' orders, newest first."""
        ...

    def oldest_undecided(self) -> datetime | None:
        """When the oldest CREATED order that is not parked was placed: the liveness of background validation."""
        ...


# --- statistics


class Interval(StrEnum):
    """How long a point of a time series is; hours and days begin by UTC."""

    HOUR = "hour"
    DAY = "day"

    def begin(self, at: datetime) -> datetime:
        """Of the hour or day that `at` is in."""
        hour = hour_of(at)
        return hour if self is Interval.HOUR else hour.replace(hour=0)


@frozen
class Sold:
    """What was viewed and sold, amounts in minor units; `units` and `revenue` include what was refunded."""

    views: int = 0
    orders: int = 0
    units: int = 0
    revenue: int = 0
    refunded_units: int = 0
    refunded_amount: int = 0

    @property
    def conversion_rate(self) -> float:
        return self.orders / self.views if self.views else 0.0


@frozen
class SeriesPoint:
    """The hour or day that begins at `start`: sales by the time of payment, refunds by their own."""

    start: datetime
    sold: Sold


@frozen
class SoldAtPrice:
    """What one price brought, from `valid_from` until `valid_to` (None: it is in force).

    Sales belong to the price that was in force when they were ordered. `profit` is after refunds, at the product's
    present cost; None: the cost is not known.
    """

    price: Money
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    sold: Sold
    profit: int | None


@frozen
class ProductStatistics:
    """All-time figures of a product in its own currency."""

    product_id: ProductId
    currency: str
    total: Sold
    out_of_stock: timedelta
    out_of_stock_since: datetime | None
    prices: tuple[SoldAtPrice, ...]
    """Newest first, at most `PRICES_SHOWN`."""


PRICES_SHOWN: Final = 100


@frozen
class StatisticsDiscrepancy:
    """A figure of a rollup's row (its key as JSON) that differs from its source."""

    rollup: str
    key: str
    figure: str
    stored: int
    expected: int


class StatisticsQueries(Protocol):
    """From rollups: a few seconds behind, and as fast for a million orders as for one."""

    def seller_stats(self, seller_id: AccountId) -> SellerStats: ...

    def seller_series(
        self, seller_id: AccountId, currency: str, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        """Non-empty points that begin at `since` or later and before `until`, oldest first.

        No point counts what happened before `since`: the hour or day that `since` is in the middle of is left out. The
        last point counts its whole hour or day, also when `until` is in the middle of it. Raises `Invalid` when `until`
        is before `since`.
        """
        ...

    def product_statistics(self, product_id: ProductId, now: datetime) -> ProductStatistics | None: ...

    def product_series(
        self, product_id: ProductId, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        """As `seller_series`, of one product."""
        ...

    def statistics_discrepancies(self, limit: int = 100) -> Sequence[StatisticsDiscrepancy]:
        """Compare the rollups with orders, refunds and products, as of one moment. This reads whole tables.

        What is not folded yet is left out. Sales per price are compared per product: where an interval begins is as
        sharp as the clocks of all machines agree.
        """
        ...


# --- the books


@frozen
class StockDiscrepancy:
    """A figure that differs from its source.

    `on_hand` of a product from its ledger, `reserved` from the lines of PENDING orders; `sold` and `returned` in the
    ledger, for one order, from the line that was paid and the refunds that put units back.
    """

    product_id: ProductId
    figure: str
    stored: int
    expected: int
    order_id: OrderId | None = None


@frozen
class MovementTotal:
    kind: MovementKind
    entries: int
    units: int


class StockQueries(Protocol):
    def discrepancies(self, limit: int | None = 100) -> Sequence[StockDiscrepancy]:
        """The first of them (None: all), by product, all as of one moment."""
        ...

    def totals(self) -> Sequence[MovementTotal]: ...


# --- events


@frozen
class FeedEvent:
    """`data` is what its reader may see of it, as JSON types: see `domain.telling`."""

    seq: int
    topic: str
    at: datetime
    data: Mapping[str, Any]


@frozen
class FeedPage:
    """`next_after` is where the reader goes on; `last` is the number of the newest event, whoever may see it."""

    events: tuple[FeedEvent, ...]
    next_after: int
    last: int

    @classmethod
    def of(cls, events: Sequence[FeedEvent], limit: int, last: int) -> "FeedPage":
        """`last` is of the same moment as the events. A page that is not full says that nothing up to `last` is
        missing, so that who is seldom told anything does not fall behind.
        """
        return cls(tuple(events), events[-1].seq if len(events) == limit else last, last)


def check_place(after: int | None, forgotten: int, last: int) -> None:
    """Raise what `EventQueries.feed` raises for readers who cannot go on from `after`."""
    if after is not None and after < forgotten:
        raise EventsForgotten(after, forgotten)
    if after is not None and after > last:
        raise Invalid.field("after", f"The feed has {last} events so far: give a number from 0 to {last}.")


class EventQueries(Protocol):
    """Events that have a number; None as an account stands for staff, who see all of them.

    Numbers are dense for staff. For an account they rise, with gaps where others' events are.
    """

    def feed(self, after: int | None, limit: int, account: AccountId | None) -> FeedPage:
        """The first `limit` events behind `after`, or of all that are kept.

        Raise `EventsForgotten`, and `Invalid` for a place that the feed has not reached.
        """
        ...

    def told(self, numbers: Collection[int], account: AccountId | None) -> Mapping[int, FeedEvent]:
        """Those of these events that are kept and that the account may see."""
        ...


# --- webhooks


@frozen
class EndpointView:
    """An endpoint without its secrets. `failing_since` is None while it answers."""

    id: EndpointId
    owner: AccountId
    url: str
    topics: tuple[str, ...]
    description: str
    all_events: bool
    is_active: bool
    disabled_because: str | None
    failing_since: datetime | None
    paused_until: datetime | None
    created_at: datetime
    version: int


@frozen
class AttemptView:
    """`took` in milliseconds; `answer` is the first kilobyte of what was answered."""

    at: datetime
    took: int
    status: int | None
    error: str | None
    answer: str


SHOWN_ATTEMPTS: Final = 50
"""Five whole schedules: who has a message sent again and again must not make a page of any size."""


@frozen
class DeliveryView:
    """`seq` is the event's number in the feed, None for a ping.

    `log` holds the last `SHOWN_ATTEMPTS` attempts, oldest first.
    """

    id: DeliveryId
    endpoint: EndpointId
    seq: int | None
    message_id: str
    topic: str
    status: DeliveryStatus
    created_at: datetime
    try_at: datetime | None
    log: tuple[AttemptView, ...]


class WebhookQueries(Protocol):
    """Deleted endpoints and their deliveries are not shown."""

    def endpoints(self, owner: AccountId | None, page: PageRequest) -> Page[EndpointView]:
        """By id; of everybody without an owner."""
        ...

    def endpoint(self, endpoint_id: EndpointId) -> EndpointView | None: ...

    def deliveries(
        self, endpoint_id: EndpointId | None, page: PageRequest, *, status: DeliveryStatus | None = None
    ) -> Page[DeliveryView]:
        """Newest first; to every endpoint without an id."""
        ...

    def delivery(self, delivery_id: DeliveryId) -> DeliveryView | None: ...


# --- everything


class PricingQueries(Protocol):
    """What policies there are, and what they did. `owner` None: of everybody."""

    def policies(self, owner: AccountId | None, page: PageRequest) -> Page[PricingPolicy]:
        """By id, active or not."""
        ...

    def policy(self, policy_id: PolicyId) -> PricingPolicy | None: ...

    def runs(self, owner: AccountId | None, page: PageRequest, *, policy_id: PolicyId | None = None) -> Page[Run]:
        """Newest first."""
        ...

    def repricing_run(self, run_id: RunId) -> Run | None: ...

    def decisions(self, run_id: RunId, page: PageRequest, *, moves_only: bool = False) -> Page[StoredDecision]:
        """Of one run, by product."""
        ...

    def product_decisions(self, product_id: ProductId, page: PageRequest) -> Page[StoredDecision]:
        """About one product, of the newest run first."""
        ...

    def recorded(self, run_id: RunId) -> Iterator[tuple[Inputs, Decisions]]:
        """All decisions of a run, range by range, with what they were made of: `replay` makes them again."""
        ...


class ExportQueries(Protocol):
    """All rows of a kind, by id, in constant memory. What is written meanwhile may be seen, or not."""

    def every_product(self, seller: AccountId | None = None) -> Iterator[ProductView]:
        """Those that were not withdrawn, active or not; of one seller, if given."""
        ...

    def every_order(self) -> Iterator[OrderView]: ...


class Queries(
    AccountQueries,
    ProductQueries,
    OrderQueries,
    StatisticsQueries,
    StockQueries,
    EventQueries,
    WebhookQueries,
    PricingQueries,
    ExportQueries,
    Protocol,
):
    """All of the read side; an adapter usually implements it in one class."""
