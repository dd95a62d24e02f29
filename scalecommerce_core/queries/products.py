"""Reading, listing and searching products."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from attrs import field, frozen

from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money, decimal_text
from scalecommerce_core.domain.price_history import Reduction
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.queries.pagination import Page, PageRequest


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


class SortOrder(StrEnum):
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
    sort_order: SortOrder = SortOrder.CREATED_DESC

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
class ProductSearchPage(Page[ProductView]):
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
MAX_FACET_VALUES: Final = 100
"""The most frequent values of a facet, no more."""


class ProductQueries(Protocol):
    def search(self, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        """Pages are keyset pages: whatever is added, removed or changed between two of them, what stands still is
        shown once. A product that moves in the order meanwhile is shown where it is.
        """
        ...

    def facets(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        """Counts over the products that match all conditions."""
        ...

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        """Those that exist and were not withdrawn, active or not."""
        ...

    def categories(self) -> Sequence[Category]:
        """All, by id."""
        ...

    def visibility_horizon(self) -> int:
        """Every `CatalogChange` with a smaller number is seen by reads that begin after this one."""
        ...

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        """`products`, and the `horizon` of the very moment in which they were read."""
        ...

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None: ...

    def ids_by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        """Ids by SKU; `skus` must be in their normal form (`domain.text.normal_line`)."""
