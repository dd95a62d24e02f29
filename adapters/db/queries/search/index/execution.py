"""Executes the plans of searches on the index of the process, instead of statements.

Each method returns None if the index cannot answer: it is not built, lacks recent changes, or does not store the column
of a filter (stock). Then the statement is executed, also in the middle of a walk: for the same products in the same
popularity tiers, the rows are the same.
"""

import logging
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar, cast

from attrs import frozen
from sqlalchemy import text

from adapters.db.core.bulk_statements import id_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.search.index.product_index import ProductIndex
from adapters.db.queries.search.index.query import (
    IndexFilters,
    IndexQuery,
    Phrase,
    TermQuery,
    UnsupportedTextQuery,
)
from adapters.db.queries.search.index.ranked_page import ranked_page
from adapters.db.queries.search.query_shape import BoundQuery, ParameterNames, QueryShape
from adapters.db.queries.search.text_queries import TextQueries
from adapters.db.queries.statement_cache import CachedStatement
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.queries import Facet

T = TypeVar("T")

logger = logging.getLogger(__name__)

_IN_STOCK: Final = CachedStatement.compile(
    text("SELECT product_id FROM stock WHERE product_id = ANY (CAST(:ids AS bigint[])) AND on_hand - reserved > 0")
)
_CATEGORY_NAMES: Final = CachedStatement.compile(
    text("SELECT id, name FROM categories WHERE id = ANY (CAST(:ids AS bigint[]))")
)
MAX_COUNTED: Final = 20_000
"""Facets of more matches are those of a sample of about this size, and are scaled up."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CurrentIndex(Protocol):
    """The index of the process, from the point of view of queries."""

    def current(self) -> ProductIndex | None:
        """The index, if it includes all changes that an answer must include now."""
        ...

    def choose_list_horizon(self) -> int | None:
        """The horizon with which lists that are read from now on are cached, if the index may answer, else None."""
        ...

    def use_list_horizon(self, horizon: int) -> None:
        """Record a horizon with which lists that are read from now on are cached: they include all earlier changes."""
        ...


@frozen
class RankedRows:
    """Rows (score, id), and the number of candidates."""

    rows: Sequence[tuple[int, int]]
    candidates: int


@frozen
class CountedFacets:
    """Rows (facet, id or bucket, text, count) over `size` of the matches."""

    rows: Sequence[tuple[Facet, int, str, int]]
    size: int
    matches: int


def _no_index() -> None:
    return None


class _Latest(threading.local):
    """The last query of a thread, which the steps of a search ask for one after the other, and its matches."""

    def __init__(self) -> None:
        self.shape: QueryShape | None = None
        self.values: Mapping[str, object] | None = None
        self.query: IndexQuery | None = None
        self.index: Callable[[], ProductIndex | None] = _no_index
        """A weak reference, so that an idle thread keeps no replaced index in memory."""
        self.count = 0


class IndexExecution:
    """`executor` reads from the server that answers the rest of the query; `texts` from any."""

    def __init__(self, index: CurrentIndex, executor: QueryExecutor, texts: TextQueries) -> None:
        self._index = index
        self._executor = executor
        self._texts = texts
        self._latest = _Latest()
        self._last_error = ""

    def count(self, shape: QueryShape, values: Mapping[str, object]) -> int | None:
        """The number of matches."""

        def execute(index: ProductIndex, query: IndexQuery) -> int:
            latest = self._latest
            if latest.index() is not index:
                latest.index, latest.count = weakref.ref(index), index.count(query)
            return latest.count

        return self._execute(shape, values, execute)

    def ranked_rows(
        self, bound: BoundQuery, tiers: tuple[int, int | None], cursor: Sequence[int], limit: int, *, backwards: bool
    ) -> RankedRows | None:
        """As the statement `ranked_slice`; `tiers` are the lowest tier and the most candidates.

        Without rows if there are more candidates.
        """
        min_tier, max_candidates = tiers

        ranking = self._execute(
            bound.shape, bound.values, lambda index, query: index.rank(query, min_tier, max_candidates)
        )
        if ranking is None:
            return None
        if not len(ranking.ids):
            return RankedRows((), ranking.count)
        rows = ranked_page(ranking, limit, _pair(cursor), self._find_in_stock, backwards=backwards)
        return RankedRows(rows, ranking.count)

    def unranked_rows(
        self, bound: BoundQuery, below_tier: int, cursor: Sequence[int], limit: int, *, backwards: bool
    ) -> Sequence[tuple[int, int]] | None:
        """Rows (popularity tier, id), as the statement `unranked_slice`."""
        return self._execute(
            bound.shape,
            bound.values,
            lambda index, query: index.unranked(query, below_tier, limit, _pair(cursor), backwards=backwards),
        )

    def facets(self, bound: BoundQuery, facets: Collection[Facet], currency: str) -> CountedFacets | None:
        """Count facets over at most `MAX_COUNTED` matches; prices in `currency`."""
        sample = self._execute(
            bound.shape, bound.values, lambda index, query: index.facets(query, currency, MAX_COUNTED)
        )
        if sample is None:
            return None
        rows: list[tuple[Facet, int, str, int]] = []
        if Facet.CATEGORY in facets and sample.categories:
            names = dict(map(tuple, self._executor.fetch(_CATEGORY_NAMES, {"ids": id_array(sample.categories)})))
            # A standby may not have a new category yet.
            rows += (
                (Facet.CATEGORY, id_, names[id_], count) for id_, count in sample.categories.items() if id_ in names
            )
        rows += ((Facet.BRAND, 0, brand, count) for brand, count in sample.brands)
        rows += ((Facet.PRICE, bucket, "", count) for bucket, count in sample.prices.items())
        return CountedFacets(rows, sample.size, sample.matches)

    def _execute(
        self, shape: QueryShape, values: Mapping[str, object], execute: Callable[[ProductIndex, IndexQuery], T]
    ) -> T | None:
        query = self._to_query(shape, values)
        if query is None:
            return None
        # After the texts, which may take a round trip.
        index = self._index.current()
        if index is None:
            return None
        try:
            return execute(index, query)
        except MarketError:
            # The database does not respond, so a statement would fail, too.
            raise
        except Exception as error:
            # Such as files that another program has changed. The statement answers.
            if str(error) != self._last_error:
                logger.exception("the search index failed; searches run in PostgreSQL")
            self._last_error = str(error)
            return None

    def _to_query(self, shape: QueryShape, values: Mapping[str, object]) -> IndexQuery | None:
        """The query in the terms of the index; None if it has other conditions."""
        latest = self._latest
        if latest.shape is not shape or latest.values is not values:
            latest.query = self._parse_query(shape, values)
            latest.shape, latest.values, latest.index = shape, values, _no_index
        return latest.query

    def _parse_query(self, shape: QueryShape, values: Mapping[str, object]) -> IndexQuery | None:
        if not shape.required or shape.in_stock is not None:
            return None
        excluded, forms = shape.excluded or (), shape.phrase_forms or ()
        names = {name for term in (*shape.required, *excluded) for name in term}
        queries = self._texts.read({str(values[name]) for name in names})
        try:
            parsed = {name: Phrase.parse(queries[str(values[name])]) for name in names}
        except UnsupportedTextQuery:
            return None

        def terms(given: ParameterNames) -> list[tuple[Phrase, ...]]:
            return [tuple(parsed[name] for name in term) for term in given]

        required = zip(terms(shape.required), terms(forms), strict=True)
        return IndexQuery(
            tuple(TermQuery(texts, phrases) for texts, phrases in required),
            tuple(map(TermQuery, terms(excluded))),
            _filters(shape, values),
        )

    def _find_in_stock(self, ids: list[int]) -> Collection[int]:
        return {id_ for (id_,) in self._executor.fetch(_IN_STOCK, {"ids": id_array(ids)})}


def _filters(shape: QueryShape, values: Mapping[str, object]) -> IndexFilters:
    given: dict[str, Any] = {name: values[name] for name in shape.filters}
    return IndexFilters(
        given.get("price_min"),
        given.get("price_max"),
        given.get("price_currency"),
        given.get("categories"),
        given.get("brands"),
        given.get("seller"),
        _microseconds(given.get("created_after")),
        _microseconds(given.get("created_before")),
    )


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def _pair(cursor: Sequence[int]) -> tuple[int, int] | None:
    return cast("tuple[int, int]", tuple(cursor)) if cursor else None
