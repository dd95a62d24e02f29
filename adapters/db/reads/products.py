"""The catalogue: search, facets, details, price history and a seller's figures."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, TypeVar

from sqlalchemy import ARRAY, BigInteger, Integer, Select, Text, bindparam, cast, func, literal, select, union_all

from adapters.db.batches import among, id_array, text_array
from adapters.db.reads.matching import ALIKE, Match, by_spelling, by_text, sorted_by, source_of
from adapters.db.reads.pages import key_of, page_of
from adapters.db.reads.reader import Reader, Rows
from adapters.db.tables import accounts, categories, price_history, product_views, products, stock
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.price_history import lowest_price_30d
from scalecommerce_core.domain.product import PriceCause, PriceChange
from scalecommerce_core.queries import (
    PRICE_BUCKETS,
    CategoryRef,
    Facet,
    FacetValue,
    Key,
    Page,
    PageRequest,
    PriceHistory,
    PriceInterval,
    ProductFilter,
    ProductView,
    SellerRef,
    bucket_label,
)

FACET_CAP: Final = 10_000
"""Facets count at most this many products: exact below, a sample above."""
SPELLED: Final = "~"
"""The first part of a key of a page that was found by spelling: the pages around it are found so too."""

T = TypeVar("T")

_VIEW: Final = (
    products.c.id,
    products.c.name,
    products.c.brand,
    products.c.price,
    products.c.currency,
    products.c.description,
    categories.c.id,
    categories.c.name,
    accounts.c.id,
    accounts.c.first_name,
    accounts.c.last_name,
    accounts.c.email,
    func.coalesce(stock.c.on_hand - stock.c.reserved, 0),
    products.c.is_active,
    products.c.created_at,
    func.coalesce(product_views.c.views, 0),
    products.c.sku,
    products.c.cost,
    products.c.min_price,
    products.c.max_price,
    products.c.version,
)
_SHOWN: Final = (
    products.join(categories, categories.c.id == products.c.category_id)
    .join(accounts, accounts.c.id == products.c.seller_id)
    .outerjoin(stock, stock.c.product_id == products.c.id)
    .outerjoin(product_views, product_views.c.product_id == products.c.id)
)
_BY_ID: Final = select(*_VIEW).select_from(_SHOWN).where(among(products.c.id), products.c.withdrawn_at.is_(None))
_CATEGORIES: Final = select(categories.c.id, categories.c.name, categories.c.slug).order_by(categories.c.id)
_HISTORY: Final = (
    select(price_history.c.price, price_history.c.currency, price_history.c.valid_from, price_history.c.cause)
    .join(products, products.c.id == price_history.c.product_id)
    .where(among(price_history.c.product_id), products.c.withdrawn_at.is_(None))
    .order_by(price_history.c.valid_from)
)
_BY_SKU: Final = select(products.c.sku, products.c.id).where(
    products.c.seller_id == bindparam("seller", type_=BigInteger),
    among(products.c.sku, "skus"),
    products.c.withdrawn_at.is_(None),
)


class ProductReads:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def search(self, wanted: ProductFilter, page: PageRequest) -> Page[ProductView]:
        begins = page.before if page.before is not None else page.after
        if not (begins and begins[0] == SPELLED):
            found = self._page(by_text(wanted), wanted, page, self._reader.rows)
            if found.rows or begins is not None:
                return found
        elif page.after is not None:
            page = PageRequest(page.size, after=page.after[1:])
        elif page.before is not None:
            page = PageRequest(page.size, before=page.before[1:])
        match = by_spelling(wanted)
        if match is None:
            return Page(())
        return self._page(match, wanted, page, self._reader_of_alike, SPELLED)

    def _page(
        self,
        match: Match,
        wanted: ProductFilter,
        request: PageRequest,
        run: Callable[[Select[*tuple[Any, ...]], Mapping[str, object]], Rows],
        *mark: str,
    ) -> Page[ProductView]:
        keyset = sorted_by(wanted.ordering, match, ranked=wanted.search is not None)
        sort, id_ = keyset.columns
        # First the ids of the page out of what the conditions need, then everything that is shown of these few.
        columns = sort.label("sort"), id_.label("chosen_id")
        chosen = keyset.page(match.select(*columns, source=source_of(wanted.ordering)), request)
        page = chosen.cte("page").prefix_with("MATERIALIZED", dialect="postgresql")
        forwards = keyset.descending is (request.before is not None)
        statement = (
            select(*_VIEW, page.c.sort)
            .select_from(_SHOWN.join(page, page.c.chosen_id == products.c.id))
            .order_by(*(c.asc() if forwards else c.desc() for c in (page.c.sort, page.c.chosen_id)))
        )
        fetched = run(statement, keyset.parameters(request))

        def key(row: Sequence[Any]) -> Key:
            return key_of((*mark, row[-1], row[0]))

        return page_of(fetched, request, lambda row: _view(row[:-1]), key)

    def _reader_of_alike(self, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, object]) -> Rows:
        return self._reader.rows_with(ALIKE, statement, parameters)

    def facets(self, wanted: ProductFilter, facets: Collection[Facet]) -> Mapping[Facet, Sequence[FacetValue]]:
        if not facets:
            return {}
        counted = self._reader.rows(_facets(by_text(wanted), facets))
        if not counted and (match := by_spelling(wanted)) is not None:
            counted = self._reader.rows_with(ALIKE, _facets(match, facets))
        return {facet: _FACETS[facet][1](row[1:] for row in counted if row[0] == facet) for facet in facets}

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        views = map(_view, self._reader.rows(_BY_ID, {"ids": id_array(ids)}))
        return {view.id: view for view in views}

    def categories(self) -> Sequence[Category]:
        return [Category(*row) for row in self._reader.rows(_CATEGORIES)]

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None:
        changes = [
            PriceChange(product_id, Money(price, currency), valid_from, PriceCause(cause))
            for price, currency, valid_from, cause in self._reader.rows(_HISTORY, {"ids": id_array([product_id])})
        ]
        if not changes:
            return None
        intervals = [
            PriceInterval(change.price, change.valid_from, following.valid_from if following else None, change.cause)
            for change, following in pairwise([*changes, None])
            if change is not None
        ]
        return PriceHistory(tuple(reversed(intervals)), lowest_price_30d(changes, now))

    def by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        rows = self._reader.rows(_BY_SKU, {"seller": seller_id, "skus": text_array(skus)})
        return {sku: ProductId(id_) for sku, id_ in rows}


def _view(row: Sequence[Any]) -> ProductView:
    (
        id_, name, brand, price, currency, description, category_id, category, seller_id, first_name, last_name, email,
        available, is_active, created_at, views, sku, cost, min_price, max_price, version,
    ) = row  # fmt: skip
    return ProductView(
        id=id_,
        name=name,
        brand=brand,
        price=Money(price, currency),
        description=description,
        category=CategoryRef(category_id, category),
        seller=SellerRef(seller_id, first_name, last_name, email),
        stock=available,
        is_active=is_active,
        created_at=created_at,
        count_viewed=views,
        sku=sku,
        cost=None if cost is None else Money(cost, currency),
        min_price=None if min_price is None else Money(min_price, currency),
        max_price=None if max_price is None else Money(max_price, currency),
        version=version,
    )


# --- facets: rows of (facet, id or bound, text, count)


def _facets(match: Match, facets: Collection[Facet]) -> Select[Any]:
    matching = match.select(products.c.category_id, products.c.brand, products.c.price).limit(FACET_CAP)
    counted = matching.cte("matching").prefix_with("MATERIALIZED", dialect="postgresql")
    parts = [_FACETS[facet][0](counted) for facet in dict.fromkeys(facets)]
    return select(union_all(*parts).subquery())


def _count_categories(matching: Any) -> Select[Any]:
    return (
        select(
            literal(Facet.CATEGORY.value, Text).label("facet"),
            cast(categories.c.id, BigInteger).label("number"),
            categories.c.name.label("label"),
            func.count().label("count"),
        )
        .select_from(matching.join(categories, categories.c.id == matching.c.category_id))
        .group_by(categories.c.id)
    )


def _count_brands(matching: Any) -> Select[Any]:
    return (
        select(literal(Facet.BRAND.value, Text), cast(literal(0), BigInteger), matching.c.brand, func.count())
        .where(matching.c.brand != "")
        .group_by(matching.c.brand)
    )


def _count_prices(matching: Any) -> Select[Any]:
    bounds = cast(literal(list(PRICE_BUCKETS), ARRAY(BigInteger)), ARRAY(BigInteger))
    bucket = func.width_bucket(matching.c.price, bounds, type_=Integer).label("bucket")
    inner = select(bucket, func.count().label("count")).select_from(matching).group_by(bucket).subquery()
    return select(literal(Facet.PRICE.value, Text), cast(inner.c.bucket, BigInteger), literal("", Text), inner.c.count)


def _categories(rows: Iterable[Sequence[Any]]) -> Sequence[FacetValue]:
    return [FacetValue(CategoryId(id_), name, count) for id_, name, count in sorted(rows, key=lambda r: (-r[2], r[0]))]


def _brands(rows: Iterable[Sequence[Any]]) -> Sequence[FacetValue]:
    return [FacetValue(brand, brand, count) for _, brand, count in sorted(rows, key=lambda row: (-row[2], row[1]))]


def _prices(rows: Iterable[Sequence[Any]]) -> Sequence[FacetValue]:
    bounds: list[int | None] = [*PRICE_BUCKETS, None]
    found = []
    for bucket, _, count in sorted(rows, key=lambda row: row[0]):
        lower, upper = PRICE_BUCKETS[bucket - 1], bounds[bucket]
        found.append(FacetValue(lower, bucket_label(lower, upper), count, upper))
    return found


_FACETS: Final[
    Mapping[Facet, tuple[Callable[[Any], Select[Any]], Callable[[Iterable[Sequence[Any]]], Sequence[FacetValue]]]]
] = {
    Facet.CATEGORY: (_count_categories, _categories),
    Facet.BRAND: (_count_brands, _brands),
    Facet.PRICE: (_count_prices, _prices),
}
