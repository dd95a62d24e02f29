"""The products on sale as a list of segments, and the answers to queries over all of them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Any, Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from adapters.db.queries.search.index.arrays import NO_DOCUMENTS, Array, insertion_place, is_member, union, without
from adapters.db.queries.search.index.building import SegmentBuilder, merge_segments
from adapters.db.queries.search.index.matching import Scope, matches, points
from adapters.db.queries.search.index.query import NO_FILTERS, IndexFilters, IndexQuery
from adapters.db.queries.search.index.ranked_page import RankedCandidates
from adapters.db.queries.search.index.segment import Segment
from adapters.db.queries.search.index.string_table import MISSING, Numbering
from scalecommerce_core.domain.popularity import TOP_TIER
from scalecommerce_core.domain.relevance import TIER_PERCENT
from scalecommerce_core.queries import MAX_FACET_VALUES, PRICE_BUCKETS

DELETED: Final = -1
"""The tier of a document whose product was changed or is no longer on sale."""
TIER_FACTORS: Final = 100 + TIER_PERCENT * np.arange(TOP_TIER + 1)
"""Percent by which a tier multiplies the points of a text."""
MERGE_RATIO: Final = 8
"""Segments are merged while the older one has less than this many times the documents of the newer one."""


@frozen
class FacetSample:
    """Counts over `size` of all `matches`: by category, by brand (the most frequent ones), and by price bucket.

    Of equally frequent brands, those first by their code points are kept; statements use the collation of the database.
    Buckets are numbered as `width_bucket` does it, from 1, and hold products in one currency.
    """

    matches: int
    size: int
    categories: Mapping[int, int]
    brands: Sequence[tuple[str, int]]
    prices: Mapping[int, int]


@frozen(eq=False, slots=False)
class _LiveSegment:
    """A segment and the present tiers of its documents, `DELETED` for those that are not live.

    `deleted` has the documents that are not live, `moved` those whose tier has changed since the segment was built.
    """

    segment: Segment
    tiers: NDArray[np.int8]
    deleted: Array = NO_DOCUMENTS
    moved: Array = NO_DOCUMENTS

    @classmethod
    def of(cls, segment: Segment) -> "_LiveSegment":
        return cls(segment, segment.columns.tiers)

    def __len__(self) -> int:
        return len(self.segment) - len(self.deleted)

    def without(self, ids: NDArray[np.int64]) -> "_LiveSegment":
        """Mark the documents of these products as deleted."""
        documents = self._find(ids)
        if not len(documents):
            return self
        tiers = self.tiers.copy()
        tiers[documents] = DELETED
        deleted = union((self.deleted, np.sort(documents).astype(np.uint32)), len(self.segment))
        return evolve(self, tiers=tiers, deleted=deleted)

    def with_prices(self, ids: NDArray[np.int64], prices: NDArray[np.int64]) -> "_LiveSegment":
        """Change the prices of the documents of these products, whose ids ascend."""
        documents = self._find(ids)
        if not len(documents):
            return self
        found = prices[ids.searchsorted(self.segment.columns.ids[documents])]
        return evolve(self, segment=self.segment.with_prices(documents, found))

    def with_tiers(self, ids: NDArray[np.int64], new: NDArray[np.int8]) -> "_LiveSegment":
        """Change the tiers of the documents of these products, whose ids ascend, and of all others to 0."""
        documents = self._find(ids)
        tiers = np.where(self.tiers == DELETED, np.int8(DELETED), np.int8(0))
        if len(documents):
            tiers[documents] = new[ids.searchsorted(self.segment.columns.ids[documents])]
        if np.array_equal(tiers, self.tiers):
            return self
        is_moved = (tiers != self.segment.columns.tiers) & (tiers != DELETED)
        return evolve(self, tiers=tiers, moved=np.flatnonzero(is_moved).astype(np.uint32))

    def find(self, query: IndexQuery, min_tier: int, names: "_NumberedFilters") -> Array:
        """Return the live documents of a tier and above that match, ascending."""
        segment = self.segment
        scope = Scope(segment.tier_ends[min_tier], self._risen[min_tier])
        documents = matches(segment, query.required, query.excluded, scope)
        if not len(documents):
            return documents
        if min_tier > 0 and len(self.moved):
            documents = documents[self.tiers[documents] >= min_tier]
        else:
            documents = without(documents, self.deleted)
        return names.apply(segment, documents)

    def count(self, query: IndexQuery) -> int:
        """Return how many live documents match a query without filters."""
        segment = self.segment
        documents = matches(segment, query.required, query.excluded, Scope(len(segment)))
        return len(documents) - int(np.count_nonzero(is_member(self.deleted, documents)))

    def first_below(
        self, documents: Array, below: int, limit: int, cursor: tuple[int, int] | None, *, backwards: bool
    ) -> Array:
        """Return those of the live documents that may be among the first `limit` below a tier and beyond the cursor.

        Documents of one tier are in the order of their ids, except those that have moved.
        """
        moved = self.moved[is_member(self.moved, documents)]
        documents = without(documents, moved)
        parts, missing = [moved], limit
        tiers = range(min(below, TOP_TIER + 1))
        ends = (*self.segment.tier_ends, 0)
        for tier in tiers if backwards else reversed(tiers):
            start, end = ends[tier + 1], ends[tier]
            if cursor is not None and tier == cursor[0]:
                ids = self.segment.columns.ids[start:end]
                place = start + insertion_place(ids, cursor[1] + backwards)
                start, end = (place, end) if backwards else (start, place)
            elif cursor is not None and (tier < cursor[0]) == backwards:
                continue
            first, last = documents.searchsorted(np.array([start, end], np.uint32)).tolist()
            found = documents[first:last]
            found = found[:missing] if backwards else found[len(found) - min(len(found), missing) :]
            parts.append(found)
            missing -= len(found)
        return np.concatenate(parts)

    @cached_property
    def _risen(self) -> Sequence[Array]:
        """For each tier, the documents that are now in it or above and were below when the segment was built."""
        tiers, ends = self.tiers[self.moved], self.segment.tier_ends
        return [self.moved[(tiers >= tier) & (self.moved >= end)] for tier, end in enumerate(ends)]

    def _find(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        documents = self.segment.find_documents(ids)
        is_live: NDArray[np.bool_] = self.tiers[documents] != DELETED
        return documents[is_live]


@frozen(eq=False, slots=False)
class ProductIndex:
    """An immutable state of the index: changes return a new one, which shares the segments that did not change.

    Readers need no lock. Only one thread at a time may call `with_changes`: it adds new brands to a shared numbering.
    """

    _segments: tuple[_LiveSegment, ...] = field(alias="segments")

    @classmethod
    def of(cls, base: Segment) -> "ProductIndex":
        """Return an index of the products of a segment."""
        return cls((_LiveSegment.of(base),))

    # --- changes

    def with_changes(self, rows: Iterable[Sequence[Any]], removed: Iterable[int] = ()) -> "ProductIndex":
        """Return the index with these products as they are now, new ones included, and without the removed ones.

        The rows have the values of `ProductRow`, in its order.
        """
        current = {row[0]: row for row in rows}
        outdated = np.array(sorted({*current, *removed}), np.int64)
        base, *added = (each.without(outdated) for each in self._segments)
        if current:
            names = base.segment.brands, base.segment.currencies
            added.append(_LiveSegment.of(SegmentBuilder(names).add(current.values()).build()))
        return ProductIndex((base, *_merged(added)))

    def with_prices(self, ids: NDArray[np.int64], prices: NDArray[np.int64]) -> "ProductIndex":
        """Return the index with other prices of products, in their currencies; unknown ids are ignored."""
        order = ids.argsort()
        return self._replaced([each.with_prices(ids[order], prices[order]) for each in self._segments])

    def with_tiers(self, ids: NDArray[np.int64], tiers: NDArray[np.integer]) -> "ProductIndex":
        """Return the index with the popularity tiers of all products: those with other ids are in tier 0."""
        order = ids.argsort()
        new = tiers[order].astype(np.int8)
        return self._replaced([each.with_tiers(ids[order], new) for each in self._segments])

    def _replaced(self, segments: Sequence[_LiveSegment]) -> "ProductIndex":
        is_same = all(new is old for new, old in zip(segments, self._segments, strict=True))
        return self if is_same else ProductIndex(tuple(segments))

    # --- size

    @cached_property
    def documents(self) -> int:
        """The number of products."""
        return sum(map(len, self._segments))

    @cached_property
    def added(self) -> int:
        """The number of products in segments that were built in this process."""
        return sum(map(len, self._segments[1:]))

    @cached_property
    def deleted(self) -> int:
        """The number of documents that are marked as deleted."""
        return sum(len(each.deleted) for each in self._segments)

    @property
    def segments(self) -> int:
        """The number of segments, which each query searches one after the other."""
        return len(self._segments)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all arrays, mapped files included."""
        return sum(each.segment.nbytes + each.tiers.nbytes for each in self._segments)

    # --- queries

    def count(self, query: IndexQuery) -> int:
        """Return the number of matches."""
        if query.filters == NO_FILTERS:
            return sum(each.count(query) for each in self._segments)
        return sum(len(documents) for _, documents in self._find(query))

    def rank(self, query: IndexQuery, min_tier: int = 0, max_candidates: int | None = None) -> RankedCandidates:
        """Rank the matches of a tier and above, unless they are more than `max_candidates`."""
        found = self._find(query, min_tier)
        count = sum(len(documents) for _, documents in found)
        if not count or (max_candidates is not None and count > max_candidates):
            return RankedCandidates(count, np.empty(0, np.int64), np.empty(0, np.int64))
        total = _concatenated([
            points(part.segment, query.required, documents) * TIER_FACTORS[part.tiers[documents]]
            for part, documents in found
        ])  # fmt: skip
        ids = _concatenated([part.segment.columns.ids[documents].astype(np.int64) for part, documents in found])
        order = np.lexsort((ids, total))[::-1]
        return RankedCandidates(count, total[order], ids[order])

    def unranked(
        self,
        query: IndexQuery,
        below_tier: int | None,
        limit: int,
        cursor: tuple[int, int] | None = None,
        *,
        backwards: bool = False,
    ) -> list[tuple[int, int]]:
        """Return at most `limit` rows (tier, id) of matches below a tier and below the cursor, highest first.

        With `backwards`, those above the cursor, lowest first.
        """
        below = TOP_TIER + 1 if below_tier is None else below_tier
        found = [
            (part, part.first_below(documents, below, limit, cursor, backwards=backwards))
            for part, documents in self._find(query)
        ]
        if not found:
            return []
        tiers = _concatenated([part.tiers[documents] for part, documents in found]).astype(np.int64)
        ids = _concatenated([part.segment.columns.ids[documents].astype(np.int64) for part, documents in found])
        kept = tiers < below
        if cursor is not None:
            tier, id_ = cursor
            if backwards:
                kept &= (tiers > tier) | ((tiers == tier) & (ids > id_))
            else:
                kept &= (tiers < tier) | ((tiers == tier) & (ids < id_))
        tiers, ids = tiers[kept], ids[kept]
        order = np.lexsort((ids, tiers))
        order = order[:limit] if backwards else order[::-1][:limit]
        return list(zip(tiers[order].tolist(), ids[order].tolist(), strict=True))

    def facets(self, query: IndexQuery, currency: str, at_most: int | None = None) -> FacetSample:
        """Count the matches by category, brand and price; prices of one currency only.

        Of more than `at_most` matches, only each second one, or third one, and so on, is counted, in the order of tiers
        and ids.
        """
        found = self._find(query)
        matches = sum(len(documents) for _, documents in found)
        if at_most is not None and matches > at_most:
            found = [(part, documents[:: -(-matches // at_most)]) for part, documents in found]
        names = self._segments[0].segment
        wanted, currency_count = names.currencies.find(currency), len(names.currencies)
        categories, brands, buckets = _Counts(), _Counts(), _Counts()
        for part, documents in found:
            columns = part.segment.columns
            # In parts whose arrays fit into the processor's cache.
            for start in range(0, len(documents), COUNTED_AT_ONCE):
                places = documents[start : start + COUNTED_AT_ONCE].astype(np.intp)
                categories.add(columns.categories.take(places), part.segment.max_category + 1)
                brands.add(columns.brands.take(places), len(names.brands))
                if currency_count > 1:
                    places = places[columns.currencies.take(places) == wanted]
                if wanted != MISSING:
                    buckets.add(columns.price_buckets.take(places), len(PRICE_BUCKETS) + 1)
        return FacetSample(
            matches,
            sum(len(documents) for _, documents in found),
            categories.as_mapping(),
            _most_frequent(*brands.totals(), names.brands),
            buckets.as_mapping(),
        )

    def _find(self, query: IndexQuery, min_tier: int = 0) -> list[tuple[_LiveSegment, Array]]:
        """Return the matches by segment; segments without matches are left out."""
        names = _NumberedFilters.of(query.filters, self._segments[0].segment)
        found = ((each, each.find(query, min_tier, names)) for each in self._segments)
        return [(each, documents) for each, documents in found if len(documents)]


def _merged(added: Sequence[_LiveSegment]) -> list[_LiveSegment]:
    """Merge segments from the newest one on, and leave out those without live documents."""
    kept = [each for each in added if len(each)]
    while len(kept) > 1 and len(kept[-2]) < MERGE_RATIO * len(kept[-1]):
        older, newer = kept[-2:]
        merged = merge_segments([(older.segment, older.tiers), (newer.segment, newer.tiers)])
        kept[-2:] = [_LiveSegment.of(merged)]
    return kept


@frozen
class _NumberedFilters:
    """Filters whose strings are replaced by the numbers that all segments share."""

    filters: IndexFilters
    brands: Sequence[int] = ()
    currency: int = MISSING

    @classmethod
    def of(cls, filters: IndexFilters, segment: Segment) -> "_NumberedFilters":
        if filters == NO_FILTERS:
            return cls(filters)
        currency = MISSING if filters.currency is None else segment.currencies.find(filters.currency)
        return cls(filters, segment.brands.find_all(filters.brands or ()), currency)

    def apply(self, segment: Segment, documents: Array) -> Array:
        """Return the documents that meet the filters."""
        given, columns = self.filters, segment.columns
        if given == NO_FILTERS:
            return documents
        if given.categories is not None:
            documents = documents[_equals_any(columns.categories[documents], list(given.categories))]
        if given.brands is not None:
            documents = documents[_equals_any(columns.brands[documents], self.brands)]
        if given.seller is not None:
            documents = documents[_equals_any(columns.sellers[documents], [given.seller])]
        if given.currency is not None:
            documents = documents[_equals_any(columns.currencies[documents], [self.currency])]
        documents = _bounded(columns.prices, documents, given.price_min, given.price_max)
        after = None if given.created_after is None else given.created_after + 1
        before = None if given.created_before is None else given.created_before - 1
        return _bounded(columns.created_at, documents, after, before)


def _equals_any(values: Array, wanted: Sequence[int]) -> NDArray[np.bool_]:
    if len(wanted) <= MAX_COMPARISONS:
        return reduce(or_, (values == each for each in wanted), np.zeros(len(values), bool))
    return np.isin(values, np.array(wanted, np.int64))


def _bounded(column: Array, documents: Array, least: int | None, most: int | None) -> Array:
    if least is not None:
        documents = documents[column[documents] >= least]
    if most is not None:
        documents = documents[column[documents] <= most]
    return documents


class _Counts:
    """Counts numbers in several steps."""

    def __init__(self) -> None:
        self._dense = np.zeros(0, np.int64)
        self._sparse: list[Array] = []

    def add(self, numbers: Array, bound: int) -> None:
        """Count numbers below `bound`."""
        if bound <= MAX_SPARSENESS * len(numbers):
            counts = np.bincount(numbers, minlength=len(self._dense))
            counts[: len(self._dense)] += self._dense
            self._dense = counts
        else:
            self._sparse.append(numbers)

    def totals(self) -> tuple[Array, Array]:
        """Return the numbers that were counted, ascending, and how often."""
        (numbers,) = self._dense.nonzero()
        counts = self._dense[numbers]
        if not self._sparse:
            return numbers, counts
        sparse, sparse_counts = np.unique(np.concatenate(self._sparse), return_counts=True)
        if not len(numbers):
            return sparse, sparse_counts
        all_numbers, places = np.unique(np.concatenate((numbers, sparse)), return_inverse=True)
        return all_numbers, np.bincount(places, np.concatenate((counts, sparse_counts))).astype(np.int64)

    def as_mapping(self) -> dict[int, int]:
        """Return how often each number was counted."""
        numbers, counts = self.totals()
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _most_frequent(numbers: Array, counts: Array, names: Numbering) -> list[tuple[str, int]]:
    """Return the `MAX_FACET_VALUES` most frequent names; of equally frequent ones, the first in their order."""
    is_named = numbers != names.find("")
    numbers, counts = numbers[is_named], counts[is_named]
    if len(numbers) > MAX_FACET_VALUES:
        least = np.partition(counts, -MAX_FACET_VALUES)[-MAX_FACET_VALUES]
        (last,) = (counts == least).nonzero()
        # The numbers of the table are in the order of the names, those of added names are not.
        in_order = int(numbers[last].searchsorted(len(names.table)))
        last = np.concatenate((last[: min(in_order, MAX_FACET_VALUES)], last[in_order:]))
        chosen = np.concatenate(((counts > least).nonzero()[0], last))
        numbers, counts = numbers[chosen], counts[chosen]
    named = [(names[number], count) for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)]
    return sorted(named, key=lambda row: (-row[1], row[0]))[:MAX_FACET_VALUES]


def _concatenated(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


MAX_COMPARISONS: Final = 4
"""More values than this are compared by sorting them."""
MAX_SPARSENESS: Final = 64
"""Numbers are counted in an array if their bound is at most this many times their number."""
COUNTED_AT_ONCE: Final = 32_768
