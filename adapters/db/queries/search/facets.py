"""Facets: matches counted by category, brand and price bucket.

They are exact up to `SearchLimits.facet_cap` matches (`FACET_CAP`). Of more, a sample of that size is counted and
scaled up to the estimated total; such counts are cached for `COUNT_STALENESS_SECONDS`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, Select, Text, cast, func, literal, select, union_all

from adapters.db.queries.executor import QueryExecutor, Rows
from adapters.db.queries.search.counts import COUNT_STALENESS_SECONDS
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.search.planning import SamplePlan, SearchPlanner
from adapters.db.queries.search.statements import ProductSelection
from adapters.db.queries.search.ttl_cache import TtlCache, cache_key
from adapters.db.queries.search.understanding import SearchInterpreter
from adapters.db.queries.statement_cache import compiled_once
from adapters.db.schema import categories, products
from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.queries import (
    MAX_FACET_VALUES,
    PRICE_BUCKETS,
    Facet,
    FacetCounts,
    FacetValue,
    ProductFilter,
    bucket_label,
)

MAX_CACHED_FACETS: Final = 500
"""Approximate facets that are cached, of about 30 KB each."""
MIN_SAMPLE_SHARE: Final = 0.1
"""A sample of popular products that yields less than this share of its size is not representative."""
_SAMPLE_SIZE: Final = "size"


class FacetCounter:
    """Counts facets; `currency` is the market's, in which price buckets are labelled."""

    def __init__(
        self,
        executor: QueryExecutor,
        interpreter: SearchInterpreter,
        planner: SearchPlanner,
        limits: SearchLimits,
        currency: str,
    ) -> None:
        self._executor = executor
        self._interpreter = interpreter
        self._planner = planner
        self._facet_cap = limits.facet_cap
        self._currency = currency
        self._approximate: TtlCache[FacetCounts] = TtlCache(MAX_CACHED_FACETS, COUNT_STALENESS_SECONDS)

    def count(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        """Count facets of the matches; if there are none, of the matches of the corrected text."""
        if not facets:
            return FacetCounts({})
        chosen = tuple(dict.fromkeys(facets))
        plan = self._planner.plan_sample(self._interpreter.bind(criteria))
        key = cache_key(plan.selection, plan.values, chosen)
        found = self._approximate.get(key)
        if found is None:
            found = self._count(criteria, plan, chosen)
            if not found.is_exact:
                self._approximate.put(key, found)
        return found

    def _count(self, criteria: ProductFilter, plan: SamplePlan, facets: Sequence[Facet]) -> FacetCounts:
        plan, rows, size = self._fetch(plan, facets)
        if size == 0 and (corrected := self._interpreter.bind_corrected(criteria)) is not None:
            plan, rows, size = self._fetch(self._planner.plan_sample(corrected), facets)
        is_exact = plan.is_unrestricted and size <= self._facet_cap
        factor = 1.0 if is_exact else max(1.0, plan.total / max(size, 1))
        scaled = [(*row[:-1], round(row[-1] * factor)) for row in rows]
        values = {
            facet: _FACETS[facet][1]((row[1:] for row in scaled if row[0] == facet), self._currency) for facet in facets
        }
        return FacetCounts(values, is_exact=is_exact)

    def _fetch(self, plan: SamplePlan, facets: Sequence[Facet]) -> tuple[SamplePlan, Rows, int]:
        """Return the sample that was taken, the rows of the facets, and the number of products in the sample."""
        statement = _facets_statement(plan.selection, facets, plan.size)
        rows = self._executor.fetch(statement, plan.values, plan_each_time=True)
        (size,) = [row[-1] for row in rows if row[0] == _SAMPLE_SIZE]
        if not plan.is_unrestricted and size < plan.size * MIN_SAMPLE_SHARE:
            # New products, one seller's products or sold-out products may all be in the lowest tier.
            return self._fetch(plan.without_tier(), facets)
        return plan, rows, size


# --- statements: rows of (facet, id or bucket, text, count)


@compiled_once
def _facets_statement(selection: ProductSelection, facets: Sequence[Facet], size: int) -> Select[*tuple[Any, ...]]:
    matching = selection.select(products.c.category_id, products.c.brand, products.c.price).limit(size)
    counted = matching.cte("matching").prefix_with("MATERIALIZED", dialect="postgresql")
    parts = [_FACETS[facet][0](counted) for facet in facets]
    whole = select(
        literal(_SAMPLE_SIZE, Text).label("facet"),
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


# --- values of the facets


def _category_values(rows: Iterable[Sequence[Any]], _currency: str) -> Sequence[FacetValue]:
    most_frequent = sorted(rows, key=lambda row: (-row[2], row[0]))[:MAX_FACET_VALUES]
    return [FacetValue(CategoryId(id_), name, count) for id_, name, count in most_frequent]


def _brand_values(rows: Iterable[Sequence[Any]], _currency: str) -> Sequence[FacetValue]:
    return [FacetValue(brand, brand, count) for _, brand, count in sorted(rows, key=lambda row: (-row[2], row[1]))]


def _price_values(rows: Iterable[Sequence[Any]], currency: str) -> Sequence[FacetValue]:
    bounds: list[int | None] = [*PRICE_BUCKETS, None]
    values = []
    for bucket, _, count in sorted(rows, key=lambda row: row[0]):
        lower, upper = PRICE_BUCKETS[bucket - 1], bounds[bucket]
        values.append(FacetValue(lower, bucket_label(lower, upper, currency), count, upper))
    return values


_FACETS: Final[
    Mapping[Facet, tuple[Callable[[Any], Select[Any]], Callable[[Iterable[Sequence[Any]], str], Sequence[FacetValue]]]]
] = {
    Facet.CATEGORY: (_count_categories, _category_values),
    Facet.BRAND: (_count_brands, _brand_values),
    Facet.PRICE: (_count_prices, _price_values),
}
