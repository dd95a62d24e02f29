"""The catalogue: search, facets, details, price history and a seller's figures."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, Select, Text, bindparam, cast, func, literal, select, true, union_all

from adapters.db.core.bulk_statements import equals_any, id_array, text_array
from adapters.db.core.change_notifications import VISIBILITY_HORIZON
from adapters.db.queries.executor import Reader, Rows
from adapters.db.queries.search.filters import Match
from adapters.db.queries.search.query_shape import SHAPES
from adapters.db.queries.search.search_pages import Listing, Sample, Scale
from adapters.db.queries.search.ttl_cache import TtlCache
from adapters.db.schema import accounts, categories, price_history, product_views, products, stock
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.price_history import lowest_price_30d, reduction_in_force
from scalecommerce_core.domain.product import PriceCause, PriceChange
from scalecommerce_core.queries import (
    MAX_FACET_VALUES,
    PRICE_BUCKETS,
    CategoryRef,
    Facet,
    FacetCounts,
    FacetValue,
    PageRequest,
    PriceHistory,
    PriceInterval,
    ProductFilter,
    ProductSearchPage,
    ProductView,
    SellerRef,
    bucket_label,
)

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
_BY_ID: Final = select(*_VIEW).select_from(_SHOWN).where(equals_any(products.c.id), products.c.withdrawn_at.is_(None))
_MOMENT, _FOUND = VISIBILITY_HORIZON.subquery("moment"), _BY_ID.subquery("found")
# One statement has one snapshot. The horizon is there even if no product is.
_SNAPSHOT: Final = select(_MOMENT.c.horizon, *_FOUND.c).select_from(_MOMENT.outerjoin(_FOUND, true()))
_CATEGORIES: Final = select(categories.c.id, categories.c.name, categories.c.slug).order_by(categories.c.id)
_HISTORY: Final = (
    select(price_history.c.price, price_history.c.currency, price_history.c.valid_from, price_history.c.cause)
    .join(products, products.c.id == price_history.c.product_id)
    .where(equals_any(price_history.c.product_id), products.c.withdrawn_at.is_(None))
    .order_by(price_history.c.valid_from)
)
_BY_SKU: Final = select(products.c.sku, products.c.id).where(
    products.c.seller_id == bindparam("seller", type_=BigInteger),
    equals_any(products.c.sku, "skus"),
    products.c.withdrawn_at.is_(None),
)


ESTIMATED: Final = 500
"""Facets that are kept, of some 30 KB each."""


class ProductQueries:
    def __init__(self, reader: Reader, scale: Scale | None = None, currency: str = "USD") -> None:
        self._reader = reader
        self._market_currency = currency
        self._listing = Listing(reader, scale or Scale())
        # They are estimates anyhow, and the dearest of all answers.
        self._estimated: TtlCache[FacetCounts] = TtlCache(ESTIMATED)

    def search(self, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        listed = self._listing.page(criteria, page)
        views = self.products([ProductId(id_) for id_ in listed.ids])
        return ProductSearchPage(
            # One that was taken off the shelf a moment ago is missing.
            tuple(view for id_ in listed.ids if (view := views.get(ProductId(id_))) is not None and view.is_active),
            listed.next,
            listed.previous,
            listed.total,
            listed.is_exact,
            listed.did_you_mean,
        )

    def facets(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        if not facets:
            return FacetCounts({})
        chosen = tuple(dict.fromkeys(facets))
        sample = self._listing.sample(criteria)
        key = sample.match, tuple(sample.values.items()), chosen
        found = self._estimated.get(key)
        if found is None:
            found = self._found(criteria, sample, chosen)
            if not found.is_exact:
                self._estimated.put(key, found)
        return found

    def _found(self, wanted: ProductFilter, sample: Sample, facets: Sequence[Facet]) -> FacetCounts:
        sample, counted, size = self._counted(sample, facets)
        if size == 0 and (probable := self._listing.probable_sample(wanted)) is not None:
            sample, counted, size = self._counted(probable, facets)
        is_exact = sample.is_whole and size <= self._listing.scale.facet_cap
        factor = 1.0 if is_exact else max(1.0, sample.total / max(size, 1))
        rows = [(*row[:-1], round(row[-1] * factor)) for row in counted]
        values = {
            facet: _FACETS[facet][1]((row[1:] for row in rows if row[0] == facet), self._market_currency)
            for facet in facets
        }
        return FacetCounts(values, is_exact=is_exact)

    def _counted(self, sample: Sample, facets: Sequence[Facet]) -> tuple[Sample, Rows, int]:
        """The sample that was taken, rows of the facets, and of how many products."""
        statement = _facets(sample.match, facets, sample.size)
        counted = self._reader.rows_planned(statement, sample.values)
        (size,) = [row[-1] for row in counted if row[0] == _SIZE]
        if not sample.is_whole and size < sample.size * SPEAKING:
            # What is new, or one seller's, or sold out may all be without prominence.
            return self._counted(sample.of_all, facets)
        return sample, counted, size

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        views = map(_view, self._reader.rows(_BY_ID, {"ids": id_array(ids)}))
        return {view.id: view for view in views}

    def categories(self) -> Sequence[Category]:
        return [Category(*row) for row in self._reader.rows(_CATEGORIES)]

    def visibility_horizon(self) -> int:
        ((number,),) = self._reader.rows(VISIBILITY_HORIZON)
        return int(number)

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        rows = self._reader.rows(_SNAPSHOT, {"ids": id_array(ids)})
        views = (_view(row[1:]) for row in rows if row[1] is not None)
        return rows[0][0], {view.id: view for view in views}

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
        return PriceHistory(tuple(reversed(intervals)), lowest_price_30d(changes, now), reduction_in_force(changes))

    def ids_by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
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


_SIZE: Final = "size"
SPEAKING: Final = 0.1
"""A smaller share of a sample than this does not speak for everything."""


@lru_cache(SHAPES)
def _facets(match: Match, facets: Sequence[Facet], size: int) -> Select[Any]:
    matching = match.select(products.c.category_id, products.c.brand, products.c.price).limit(size)
    counted = matching.cte("matching").prefix_with("MATERIALIZED", dialect="postgresql")
    parts = [_FACETS[facet][0](counted) for facet in facets]
    whole = select(
        literal(_SIZE, Text).label("facet"),
        cast(literal(0), BigInteger).label("number"),
        literal("", Text).label("label"),
        func.count().label("count"),
    ).select_from(counted)
    return select(union_all(whole, *parts).subquery())


def _count_categories(matching: Any) -> Select[Any]:
    counts = select(matching.c.category_id, func.count().label("count")).group_by(matching.c.category_id).subquery()
    return select(
        literal(Facet.CATEGORY.value, Text).label("facet"),
        cast(categories.c.id, BigInteger).label("number"),
        categories.c.name.label("label"),
        counts.c.count,
    ).select_from(counts.join(categories, categories.c.id == counts.c.category_id))


def _count_brands(matching: Any) -> Select[Any]:
    return (
        select(literal(Facet.BRAND.value, Text), cast(literal(0), BigInteger), matching.c.brand, func.count())
        .where(matching.c.brand != "")
        .group_by(matching.c.brand)
        .order_by(func.count().desc(), matching.c.brand)
        .limit(MAX_FACET_VALUES)
    )


def _count_prices(matching: Any) -> Select[Any]:
    bounds = cast(literal(list(PRICE_BUCKETS), ARRAY(BigInteger)), ARRAY(BigInteger))
    bucket = func.width_bucket(matching.c.price, bounds, type_=Integer).label("bucket")
    inner = select(bucket, func.count().label("count")).select_from(matching).group_by(bucket).subquery()
    return select(literal(Facet.PRICE.value, Text), cast(inner.c.bucket, BigInteger), literal("", Text), inner.c.count)


def _categories(rows: Iterable[Sequence[Any]], _currency: str) -> Sequence[FacetValue]:
    found = [FacetValue(CategoryId(id_), name, count) for id_, name, count in sorted(rows, key=lambda r: (-r[2], r[0]))]
    return found[:MAX_FACET_VALUES]


def _brands(rows: Iterable[Sequence[Any]], _currency: str) -> Sequence[FacetValue]:
    return [FacetValue(brand, brand, count) for _, brand, count in sorted(rows, key=lambda row: (-row[2], row[1]))]


def _prices(rows: Iterable[Sequence[Any]], currency: str) -> Sequence[FacetValue]:
    bounds: list[int | None] = [*PRICE_BUCKETS, None]
    found = []
    for bucket, _, count in sorted(rows, key=lambda row: row[0]):
        lower, upper = PRICE_BUCKETS[bucket - 1], bounds[bucket]
        found.append(FacetValue(lower, bucket_label(lower, upper, currency), count, upper))
    return found


_FACETS: Final[
    Mapping[Facet, tuple[Callable[[Any], Select[Any]], Callable[[Iterable[Sequence[Any]], str], Sequence[FacetValue]]]]
] = {
    Facet.CATEGORY: (_count_categories, _categories),
    Facet.BRAND: (_count_brands, _brands),
    Facet.PRICE: (_count_prices, _prices),
}
