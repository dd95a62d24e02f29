"""How many products match: counted by the index or in a small catalog, else estimated by PostgreSQL's planner.

Estimates are cached.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen
from sqlalchemy import text

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.search.index.execution import IndexExecution
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.search.query_shape import BoundQuery, QueryShape
from adapters.db.queries.search.statements import ProductSelection, count_statement, ids_statement
from adapters.db.queries.search.text_queries import TextQueries
from adapters.db.queries.search.text_statistics import TextStatistics
from adapters.db.queries.search.ttl_cache import TtlCache, cache_key
from adapters.db.queries.statement_cache import CachedStatement
from scalecommerce_core.domain.popularity import TOP_TIER, tier_size

COUNT_STALENESS_SECONDS: Final = 30.0
"""The age up to which estimated totals, approximate facets and the size of the catalog are reused.

Planning a search takes as long as fetching a page, and autovacuum renews the statistics behind estimates less often.
Exact totals and facets are counted anew for every answer.
"""
MAX_CACHED_ESTIMATES: Final = 5_000

_CATALOG_SIZE: Final = CachedStatement.compile(
    text("SELECT greatest(reltuples, 1), pg_relation_size(oid) FROM pg_class WHERE oid = CAST('products' AS regclass)")
)


@frozen
class CatalogSize:
    """`products` comes from PostgreSQL's statistics, and is 1 until they exist; `size` is in bytes."""

    products: int
    size: int


class ProductCounts:
    def __init__(
        self, executor: QueryExecutor, limits: SearchLimits, texts: TextQueries, index: IndexExecution | None = None
    ) -> None:
        self._executor = executor
        self._exact_count_bytes = limits.exact_count_bytes
        self._texts = TextStatistics(executor, texts)
        self._index = index
        self._estimates: TtlCache[int] = TtlCache(MAX_CACHED_ESTIMATES, COUNT_STALENESS_SECONDS)
        self._catalog_size: TtlCache[CatalogSize] = TtlCache(1, COUNT_STALENESS_SECONDS)

    def estimate(self, query: BoundQuery) -> int:
        """Return the number of matches, counted by the index, or the one that the planner expects."""
        return self._estimate(query.shape, query.values)

    def estimate_without_filters(self, query: BoundQuery) -> int:
        """Return the estimate for the text alone."""
        if not query.shape.has_filters:
            return self.estimate(query)
        shape = evolve(query.shape, filters=frozenset(), in_stock=None)
        texts = {name: value for name, value in query.values.items() if name not in query.shape.filters}
        return self._estimate(shape, texts)

    def lowest_tier(self, expected: int, at_most: int) -> int:
        """Return the lowest popularity tier from which on about `at_most` of `expected` products match."""
        count = self.catalog_size().products
        for tier in range(TOP_TIER):
            if expected * tier_size(tier, count) <= at_most * count:
                return tier
        return TOP_TIER

    def total(self, query: BoundQuery, at_least: int) -> tuple[int, bool]:
        """Return how many products match, and whether the number is exact; an estimate is never below `at_least`."""
        counted = None if self._index is None else self._index.count(query.shape, query.values)
        if counted is not None:
            return counted, True
        if self.is_catalog_small:
            ((count,),) = self._executor.fetch(count_statement(query.shape), query.values, plan_each_time=True)
            return count, True
        return max(self.estimate(query), at_least), False

    @property
    def is_catalog_small(self) -> bool:
        return self.catalog_size().size <= self._exact_count_bytes

    def catalog_size(self) -> CatalogSize:
        found = self._catalog_size.get("")
        if found is None:
            ((count, size),) = self._executor.fetch(_CATALOG_SIZE)
            found = CatalogSize(int(count), size)
            self._catalog_size.put("", found)
        return found

    def _estimate(self, shape: QueryShape, values: Mapping[str, object]) -> int:
        counted = None if self._index is None else self._index.count(shape, values)
        if counted is not None:
            return counted
        if shape.has_required_terms and not shape.has_filters:
            by_statistics = self._texts.estimate(shape, values)
            if by_statistics is not None:
                return by_statistics
        selection = ProductSelection(shape)
        key = cache_key(selection, values)
        found = self._estimates.get(key)
        if found is None:
            found = self._executor.estimate_rows(ids_statement(selection), values)
            self._estimates.put(key, found)
        return found
