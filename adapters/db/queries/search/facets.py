"""Facets: matches counted by category, brand and price bucket.

The index counts up to `MAX_COUNTED` matches, statements up to `SearchLimits.facet_cap` (`FACET_CAP`). Of more
matches, a sample of about that size is counted and scaled up to the total. Such counts of statements are cached for
`COUNT_STALENESS_SECONDS`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import ARRAY, BigInteger, Integer, Select, Text, cast, func, literal, select, union_all

from adapters.db.queries.executor import QueryExecutor, Rows
from adapters.db.queries.search.counts import COUNT_STALENESS_SECONDS
from adapters.db.queries.search.index.execution import IndexExecution
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.search.planning import SamplePlan, SearchPlanner
from adapters.db.queries.search.statements import ProductSelection
from adapters.db.queries.search.ttl_cache import TtlCache, cache_key
from adapters.db.queries.search.understanding import FilterBinder, SearchInterpreter
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
        *,
        currency: str,
        index: IndexExecution | None = None,
    ) -> None:
        self._executor = executor
        self._interpreter = interpreter
        self._planner = planner
        self._facet_cap = limits.facet_cap
        self._currency = currency
        self._index = index
        self._approximate: TtlCache[FacetCounts] = TtlCache(MAX_CACHED_FACETS, COUNT_STALENESS_SECONDS)

    def count(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        """Count facets of the matches; if there are none, of the matches of the corrected text.

        Facets whose property has no condition share a sample; each other one has a sample without its condition. One
        statement counts all samples.
        """
        if not facets:
            return FacetCounts({})
        binder = self._interpreter.binder(criteria)
        by_criteria: dict[int, tuple[ProductFilter, list[Facet]]] = {}
        for facet in dict.fromkeys(facets):
            without = criteria.without_filter_of(facet)
            number = 0 if without == criteria else len(by_criteria) + 1
            by_criteria.setdefault(number, (without, []))[1].append(facet)
        wanted = list(by_criteria.values())
        found = self._count_by_index(binder, wanted) or self._count_groups(
            binder,
            [_Group(each, tuple(of), self._planner.plan_sample(binder.bind(each))) for each, of in wanted],
        )
        return FacetCounts(
            {facet: each.values[facet] for facet in facets for each in found if facet in each.values},
            is_exact=all(each.is_exact for each in found),
        )

    def _count_by_index(
        self, binder: FilterBinder, wanted: Sequence[tuple[ProductFilter, Collection[Facet]]]
    ) -> list[FacetCounts] | None:
        """Count the facets of each filter; None if the index cannot answer."""
        if self._index is None:
            return None
        found = []
        for criteria, facets in wanted:
            counted = self._index.facets(binder.bind(criteria), facets, self._currency)
            if counted is not None and not counted.size and (query := binder.bind_corrected(criteria)) is not None:
                counted = self._index.facets(query, facets, self._currency)
            if counted is None:
                return None
            is_exact = counted.size == counted.matches
            factor = 1.0 if is_exact else counted.matches / counted.size
            found.append(FacetCounts(self._values(counted.rows, facets, factor), is_exact=is_exact))
        return found

    def _count_groups(self, binder: FilterBinder, groups: Sequence["_Group"]) -> list[FacetCounts]:
        keys = [cache_key(group.plan.selection, group.plan.values, group.facets) for group in groups]
        cached = [self._approximate.get(key) for key in keys]
        fresh = [(key, group) for key, group, known in zip(keys, groups, cached, strict=True) if known is None]
        counted = self._count(binder, [group for _, group in fresh])
        for (key, _), counts in zip(fresh, counted, strict=True):
            if not counts.is_exact:
                self._approximate.put(key, counts)
        return [known for known in cached if known is not None] + counted

    def _count(self, binder: FilterBinder, groups: Sequence["_Group"]) -> list[FacetCounts]:
        samples = self._fetch(groups)
        corrected = {
            position: evolve(sample.group, plan=self._planner.plan_sample(query))
            for position, sample in enumerate(samples)
            if sample.size == 0 and (query := binder.bind_corrected(sample.group.criteria)) is not None
        }
        samples = _replaced(samples, corrected, self._fetch)
        return [self._scale(sample) for sample in samples]

    def _scale(self, sample: "_Sample") -> FacetCounts:
        plan = sample.group.plan
        is_exact = plan.is_unrestricted and sample.size <= self._facet_cap
        factor = 1.0 if is_exact else max(1.0, plan.total / max(sample.size, 1))
        return FacetCounts(self._values(sample.rows, sample.group.facets, factor), is_exact=is_exact)

    def _values(
        self, rows: Sequence[Sequence[Any]], facets: Collection[Facet], factor: float
    ) -> Mapping[Facet, Sequence[FacetValue]]:
        """The values of the facets, whose counts are multiplied by a factor."""
        scaled = [(*row[:-1], round(row[-1] * factor)) for row in rows]
        return {
            facet: _FACETS[facet][1]((row[1:] for row in scaled if row[0] == facet), self._currency) for facet in facets
        }

    def _fetch(self, groups: Sequence["_Group"]) -> list["_Sample"]:
        """Return the sample of each group, in order."""
        if not groups:
            return []
        parts = tuple((group.plan.selection, group.facets) for group in groups)
        plan_each_time = any(group.plan.plan_each_time for group in groups)
        # All groups use the typed text, or all the same corrected text, so that no parameter has two values.
        values = {name: value for group in groups for name, value in group.plan.values.items()}
        statement = _facets_statement(parts, groups[0].plan.size, self._currency, plan_each_time=plan_each_time)
        rows = self._executor.fetch(statement, values, plan_each_time=plan_each_time)
        sizes = {row[1]: row[-1] for row in rows if row[0] == _SAMPLE_SIZE}
        samples = [_Sample(group, rows, sizes[number]) for number, group in enumerate(groups)]
        # New products, one seller's products or sold-out products may all be in the lowest tier.
        untiered = {
            position: evolve(sample.group, plan=sample.group.plan.without_tier())
            for position, sample in enumerate(samples)
            if not sample.group.plan.is_unrestricted and sample.size < sample.group.plan.size * MIN_SAMPLE_SHARE
        }
        return _replaced(samples, untiered, self._fetch)


@frozen
class _Group:
    """Facets that are counted over the same sample."""

    criteria: ProductFilter
    facets: tuple[Facet, ...]
    plan: SamplePlan


@frozen
class _Sample:
    """The sample that was taken for a group: its number of products, and the rows of all facets of the statement."""

    group: _Group
    rows: Rows
    size: int


def _replaced(
    samples: list[_Sample], groups: Mapping[int, _Group], fetch: Callable[[Sequence[_Group]], list[_Sample]]
) -> list[_Sample]:
    """The samples, those at the positions of `groups` taken anew."""
    taken = dict(zip(groups, fetch(list(groups.values())), strict=True)) if groups else {}
    return [taken.get(position, sample) for position, sample in enumerate(samples)]


# --- statements: rows of (facet, id or bucket or number of the group, text, count)


@compiled_once
def _facets_statement(
    groups: tuple[tuple[ProductSelection, tuple[Facet, ...]], ...], size: int, currency: str, *, plan_each_time: bool
) -> Select[*tuple[Any, ...]]:
    parts: list[Any] = []
    for number, (selection, facets) in enumerate(groups):
        product = products.c
        matching = selection.select(
            product.category_id, product.brand, product.price, product.currency, plan_each_time=plan_each_time
        ).limit(size)
        counted = matching.cte(f"matching_{number}").prefix_with("MATERIALIZED", dialect="postgresql")
        whole = select(
            literal(_SAMPLE_SIZE, Text).label("facet"),
            cast(literal(number), BigInteger).label("number"),
            literal("", Text).label("label"),
            func.count().label("count"),
        ).select_from(counted)
        parts += [whole, *(_FACETS[facet][0](counted, currency) for facet in facets)]
    return select(union_all(*parts).subquery())


def _count_categories(matching: Any, _currency: str) -> Select[Any]:
    counts = select(matching.c.category_id, func.count().label("count")).group_by(matching.c.category_id).subquery()
    return select(
        literal(Facet.CATEGORY.value, Text).label("facet"),
        cast(categories.c.id, BigInteger).label("number"),
        categories.c.name.label("label"),
        counts.c.count,
    ).select_from(counts.join(categories, categories.c.id == counts.c.category_id))


def _count_brands(matching: Any, _currency: str) -> Select[Any]:
    return (
        select(literal(Facet.BRAND.value, Text), cast(literal(0), BigInteger), matching.c.brand, func.count())
        .where(matching.c.brand != "")
        .group_by(matching.c.brand)
        .order_by(func.count().desc(), matching.c.brand)
        .limit(MAX_FACET_VALUES)
    )


def _count_prices(matching: Any, currency: str) -> Select[Any]:
    """The buckets are in `currency`; prices in other currencies are in none of them."""
    bounds = cast(literal(list(PRICE_BUCKETS), ARRAY(BigInteger)), ARRAY(BigInteger))
    bucket = func.width_bucket(matching.c.price, bounds, type_=Integer).label("bucket")
    inner = (
        select(bucket, func.count().label("count"))
        .select_from(matching)
        .where(matching.c.currency == currency)
        .group_by(bucket)
        .subquery()
    )
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
    Mapping[
        Facet, tuple[Callable[[Any, str], Select[Any]], Callable[[Iterable[Sequence[Any]], str], Sequence[FacetValue]]]
    ]
] = {
    Facet.CATEGORY: (_count_categories, _category_values),
    Facet.BRAND: (_count_brands, _brand_values),
    Facet.PRICE: (_count_prices, _price_values),
}
