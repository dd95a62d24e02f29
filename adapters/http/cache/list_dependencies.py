"""What a cached list depends on, and which of the known changes concern it.

A change concerns a list if the list shows one of the changed products, or if it depends on a changed aspect of products
that its filters may include. Filters that no scope describes (words, brands, prices) are taken to include any product.
ADR 0067 has the reasons, and names the tests.
"""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.ports import CatalogChange, ProductAspect
from scalecommerce_core.queries import Facet, ProductFilter, ProductSearchPage, SortOrder

MAX_TRACKED: Final = 50_000
"""Products, and sellers of one aspect, whose last change is tracked individually. Beyond this number the records are
replaced by their maximum, which concerns all lists or all sellers."""


class ListDependencies(msgspec.Struct, array_like=True, frozen=True):
    """`products` are shown. The list depends on the `aspects` of products of the `categories` and the `sellers` (None:
    of all). Every list depends on changes without aspects.
    """

    products: tuple[ProductId, ...]
    aspects: tuple[ProductAspect, ...]
    categories: tuple[CategoryId, ...] | None = None
    sellers: tuple[AccountId, ...] | None = None


ANY_CHANGE: Final = None
"""The dependencies of a list that every change concerns."""
NO_PRODUCTS: Final = ListDependencies((), ())
"""The dependencies of a list without products, such as that of the categories."""

_PRICE_ORDERS: Final = frozenset({SortOrder.PRICE, SortOrder.PRICE_DESC})


def search_dependencies(
    criteria: ProductFilter,
    category_ids: Mapping[str, CategoryId],
    page: ProductSearchPage,
    facets: Collection[Facet] = (),
    *,
    has_cursor: bool = False,
) -> ListDependencies:
    """The dependencies of a page of a search and of the facets beside it.

    `category_ids` has the ids of `criteria.categories`; `has_cursor`: the page is not the first one.
    """
    aspects = {ProductAspect.MEMBERSHIP}
    if criteria.search is not None or criteria.brands or Facet.BRAND in facets:
        aspects.add(ProductAspect.TEXT)
    # Without more pages, the order is that of the shown products. The order by price is read from a copy of the prices,
    # which may be behind.
    has_more = has_cursor or page.next is not None or page.previous is not None
    has_price_filter = criteria.price_min is not None or criteria.price_max is not None
    if has_price_filter or Facet.PRICE in facets or criteria.sort_order in _PRICE_ORDERS:
        aspects.add(ProductAspect.PRICE)
    if criteria.in_stock is not None:
        aspects |= {ProductAspect.RESTOCKED, ProductAspect.SOLD_OUT}
    elif criteria.sort_order is SortOrder.RELEVANCE and has_more:
        # Products that are sold out rank lower. One behind the first page stays there when it is sold out.
        aspects.add(ProductAspect.RESTOCKED)
        if has_cursor:
            aspects.add(ProductAspect.SOLD_OUT)
    categories, sellers = None, None
    # Corrections of words depend on the names of all products.
    if criteria.search is None:
        if criteria.categories and Facet.CATEGORY not in facets:
            categories = tuple({category_ids[str(choice)] for choice in criteria.categories})
        if criteria.seller is not None:
            sellers = (criteria.seller,)
    return ListDependencies(tuple(product.id for product in page.rows), tuple(sorted(aspects)), categories, sellers)


class ListChanges:
    """The numbers of the last changes that concern lists, by what lists depend on."""

    def __init__(self, number: int) -> None:
        """Changes up to `number` concern every list."""
        self._every_list_number = number
        self._latest_number = number
        self._product_numbers: dict[ProductId, int] = {}
        self._aspect_numbers = {aspect: _AspectNumbers() for aspect in ProductAspect}

    def record(self, change: CatalogChange) -> None:
        number = change.number
        self._latest_number = max(self._latest_number, number)
        if change.aspects is None:
            self._every_list_number = max(self._every_list_number, number)
            return
        numbers = self._product_numbers
        for product in change.products:
            numbers[product] = max(numbers.get(product, -1), number)
        if len(numbers) > MAX_TRACKED:
            self._every_list_number = max(self._every_list_number, *numbers.values())
            numbers.clear()
        for aspect, scope in change.aspects.items():
            if scope is None:
                self._aspect_numbers[aspect].record_any(number)
            else:
                self._aspect_numbers[aspect].record(number, scope.categories, scope.sellers)

    def includes_all(self, snapshot_number: int, dependencies: ListDependencies | None) -> bool:
        """Whether a snapshot includes every change that concerns a list with these dependencies."""
        if snapshot_number > self._latest_number:
            return True
        if dependencies is ANY_CHANGE or snapshot_number <= self._every_list_number:
            return False
        if numbers := self._product_numbers:
            for product in dependencies.products:
                if numbers.get(product, -1) >= snapshot_number:
                    return False
        categories, sellers = dependencies.categories, dependencies.sellers
        return all(
            snapshot_number > self._aspect_numbers[aspect].last_change(categories, sellers)
            for aspect in dependencies.aspects
        )


class _AspectNumbers:
    """The numbers of the last changes of one aspect, by category and by seller."""

    def __init__(self) -> None:
        self._latest = -1
        self._of_any = -1
        """The last change whose scope is any product."""
        self._categories: dict[CategoryId, int] = {}
        self._sellers: dict[AccountId, int] = {}

    def record_any(self, number: int) -> None:
        self._latest = max(self._latest, number)
        self._of_any = max(self._of_any, number)

    def record(self, number: int, categories: Collection[CategoryId], sellers: Collection[AccountId]) -> None:
        self._latest = max(self._latest, number)
        for category in categories:
            self._categories[category] = max(self._categories.get(category, -1), number)
        for seller in sellers:
            self._sellers[seller] = max(self._sellers.get(seller, -1), number)
        if len(self._sellers) > MAX_TRACKED:
            self._of_any = max(self._of_any, *self._sellers.values())
            self._sellers.clear()

    def last_change(self, categories: Collection[CategoryId] | None, sellers: Collection[AccountId] | None) -> int:
        """Return a number that is not less than that of any change of products of the categories and of the sellers.

        Each such change is recorded for one of the categories and for one of the sellers.
        """
        if categories is None and sellers is None:
            return self._latest
        last = self._latest
        if categories is not None:
            last = min(last, max(self._categories.get(category, -1) for category in categories))
        if sellers is not None:
            last = min(last, max(self._sellers.get(seller, -1) for seller in sellers))
        return max(last, self._of_any)
