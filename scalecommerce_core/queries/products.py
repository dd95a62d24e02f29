"""Views and queries of products: search, facets, details, price history."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from attrs import evolve, field, frozen

from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.money import Money, decimal_text
from scalecommerce_core.domain.price_history import Reduction, RunningPromotion
from scalecommerce_core.domain.product import PriceCause, PriceWithdrawal
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class SellerRef:
    id: AccountId
    first_name: str
    last_name: str
    email: str
    public_name: str


@frozen
class CategoryRef:
    id: CategoryId
    name: str


@frozen
class ProductView:
    """`stock` is the number of unreserved units. Only the owner may see `sku`, `cost`, `min_price`, `max_price`,
    `stock_until` and the price of a competitor.
    """

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
    max_per_buyer: int | None
    version: int
    stock_until: datetime | None = None
    competitor_price: Money | None = None
    competitor_price_at: datetime | None = None
    promotion: RunningPromotion | None = None


class SaleState(StrEnum):
    """Whether a product is on sale, or why it is not."""

    ON_SALE = "on_sale"
    PAUSED = "paused"
    """Its seller or staff took it off sale; it may be put back on sale."""
    SELLER_DEACTIVATED = "seller_deactivated"
    WITHDRAWN = "withdrawn"
    """It was removed from the catalog for good."""

    @classmethod
    def of(cls, *, is_active: bool, is_withdrawn: bool, is_seller_active: bool) -> "SaleState":
        if is_withdrawn:
            return cls.WITHDRAWN
        if not is_active:
            return cls.PAUSED
        return cls.ON_SALE if is_seller_active else cls.SELLER_DEACTIVATED


@frozen
class StaffProductView:
    """A product as staff see it, on sale or not."""

    product: ProductView
    state: SaleState
    withdrawn_at: datetime | None


@frozen
class AllProductsFilter:
    """Conditions on the list of all products; None: any."""

    is_on_sale: bool | None = None
    seller: AccountId | None = None


ALL_PRODUCTS: Final = AllProductsFilter()

LOW_STOCK: Final = 5
"""Available units up to which the stock of a product is low."""


class StockLevel(StrEnum):
    """A selection of products by their available units."""

    OUT = "out"
    """None."""
    LOW = "low"
    """1 to `LOW_STOCK`."""
    IN = "in"
    """At least one, low stock included."""

    def includes(self, available: int) -> bool:
        match self:
            case StockLevel.OUT:
                return available < 1
            case StockLevel.LOW:
                return 1 <= available <= LOW_STOCK
            case StockLevel.IN:
                return available >= 1


@frozen
class OwnProductsFilter:
    """Conditions on the list of a seller's products; None: any.

    `search` are words that the name has, all of them, or the SKU of one product. `policy` selects the products that
    are assigned to the policy, not those that it covers as a part of a category or of the whole catalog.
    """

    is_active: bool | None = None
    stock: StockLevel | None = None
    category: CategoryId | None = None
    policy: PolicyId | None = None
    search: str | None = None


OWN_PRODUCTS: Final = OwnProductsFilter()


class SortOrder(StrEnum):
    """The sort order of a product list; a minus sign means descending. Ties are broken by id, in the same direction.

    Relevance is descending, newest first among equals; without a required word the list is newest first. If a very
    large number of products match, only those of the highest popularity tiers may be ranked; the others follow in the
    descending order of (popularity tier, id).
    """

    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESC = "-price"
    CREATED = "created_at"
    CREATED_DESC = "-created_at"
    VIEWED_DESC = "-count_viewed"


class Facet(StrEnum):
    """The values of categories and brands are sorted by count, at most `MAX_FACET_VALUES` of them; prices by amount."""

    CATEGORY = "category"
    BRAND = "brand"
    PRICE = "price"


PRICE_BUCKETS: Final = (0, 10_00, 25_00, 50_00, 100_00, 250_00, 500_00, 1_000_00, 2_500_00)
"""Lower bounds of the buckets of the price facet, in minor units of the market's currency.

The last bucket has no upper bound. Empty buckets are omitted. Prices in other currencies are in no bucket."""


def bucket_label(lower: int, upper: int | None, currency: str) -> str:
    """Return the label of a price bucket, such as `"10.00 - 25.00"` or `"2500.00 +"`; bounds are in minor units."""
    least = decimal_text(lower, currency)
    return f"{least} +" if upper is None else f"{least} - {decimal_text(upper, currency)}"


def _normal_lines(values: Collection[str]) -> Collection[str]:
    return tuple(map(normal_line, values))


def _normal_choices(values: Collection[int | str]) -> Collection[int | str]:
    return tuple(normal_line(value) if isinstance(value, str) else value for value in values)


@frozen
class ProductFilter:
    """Conditions on active products. All conditions must hold; the values of one condition are alternatives.

    `search` holds English or Russian words, "phrases", and both with a leading minus to exclude products. A product
    matches if it has each required word in any of its forms, by stemming or by `domain.word_forms`. If no product
    matches, a word that no product has is replaced: the last word by words that begin with it, any other word by the
    most frequent word with a similar spelling (`domain.spelling`).

    `categories` holds ids or slugs; slugs and `brands` are compared in their normal form. Prices are in minor units
    of the market's currency, both bounds included, and leave out products in other currencies; `created_after` and
    `created_before` are excluded bounds. Raises `Invalid` for a range whose upper bound is less than its lower bound.
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
    sort_order: SortOrder = SortOrder.CREATED_DESC

    def __attrs_post_init__(self) -> None:
        check_ranges(
            ("price_min", self.price_min, "price_max", self.price_max),
            ("created_after", self.created_after, "created_before", self.created_before),
        )

    def without_filter_of(self, facet: Facet) -> "ProductFilter":
        """The conditions without those on the property of the facet."""
        match facet:
            case Facet.CATEGORY:
                return evolve(self, categories=())
            case Facet.BRAND:
                return evolve(self, brands=())
            case Facet.PRICE:
                return evolve(self, price_min=None, price_max=None)


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
    is_withdrawn: bool = False
    """Whether the price was withdrawn by the seller or rolled back: orders cannot use it any more."""
    withdrawal: PriceWithdrawal | None = None


@frozen
class PriceHistory:
    """Price intervals, newest first, with the reference prices of `domain.price_history`."""

    intervals: tuple[PriceInterval, ...]
    lowest_price_30d: Money
    reduction: Reduction | None


@frozen
class ProductSearchPage(Page[ProductView]):
    """A page of matching products. `total` is estimated from the database's statistics unless `is_exact`.

    `did_you_mean` is another search text: the corrected text whose matches this page shows, if the typed text has
    none, or a text that many more products match.
    """

    total: int = 0
    is_exact: bool = True
    did_you_mean: str | None = None


@frozen
class FacetCounts:
    """Counts by facet. Unless `is_exact`, they were counted over `FACET_CAP` products and scaled up to the total."""

    values: Mapping[Facet, Sequence[FacetValue]]
    is_exact: bool = True


FACET_CAP: Final = 5_000
"""Facets are exact up to this many matching products, and approximate beyond."""
MAX_FACET_VALUES: Final = 100
"""At most this many values of a facet are returned, the most frequent ones."""


class ProductQueries(Protocol):
    def search(self, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        """Return a page of matching products.

        In a walk through all pages, each product whose sort values do not change appears exactly once, whatever is
        added, removed or changed meanwhile. A product that moves in the order may appear twice or not at all. Raise
        `Invalid` for texts that are too long and for a key of another list.
        """
        ...

    def facets(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        """Count the matching products by the values of each facet.

        Each facet leaves its own condition out, as `ProductFilter.without_filter_of` does: its counts are those of the
        lists with another value of it. All other conditions hold.
        """
        ...

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        """Return by id the products that exist and are not withdrawn, active or not."""
        ...

    def own_products(
        self, seller_id: AccountId, page: PageRequest, criteria: OwnProductsFilter = OWN_PRODUCTS
    ) -> Page[ProductView]:
        """The products of a seller that are not withdrawn, newest first, also paused ones."""
        ...

    def all_products(self, page: PageRequest, criteria: AllProductsFilter = ALL_PRODUCTS) -> Page[StaffProductView]:
        """The products of all sellers, also paused and withdrawn ones and those of deactivated sellers, newest
        first.
        """
        ...

    def categories(self) -> Sequence[Category]:
        """Return all categories in the order of their ids."""
        ...

    def visibility_horizon(self) -> int:
        """Return a number: reads that begin later see every `CatalogChange` with a smaller number."""
        ...

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        """Return the `visibility_horizon` and `products`, both of one snapshot."""
        ...

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None:
        """Return the prices of a product; None if it does not exist or is withdrawn."""
        ...

    def ids_by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        """Return ids of the seller's products by SKU; `skus` must be in normal form (`domain.text.normal_line`)."""
