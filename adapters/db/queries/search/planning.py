"""Second stage of a search: how its page is found.

In every sort order but relevance, a page is a range of an index, or the matches of a rare text are sorted. By
relevance, all matches are ranked if they are few. Of many, those in a popularity tier and above are ranked, chosen so
that about `SearchLimits.target_candidates` are left; the other matches follow unranked, in the order of (tier, id).
The tier is part of the cursor: all pages of a walk divide the matches in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from adapters.db.queries.keyset import cursor_mismatch, decode_key
from adapters.db.queries.search.counts import ProductCounts
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.search.query_shape import BoundQuery, QueryShape
from adapters.db.queries.search.statements import (
    NARROW_TABLE_ORDERS,
    ProductSelection,
    Ranking,
    index_keyset,
    sorted_slice,
)
from adapters.db.queries.statement_cache import CachedStatement
from scalecommerce_core.domain.popularity import TOP_TIER
from scalecommerce_core.queries import Key, PageRequest, SortOrder

RANKED: Final = 1
UNRANKED: Final = 0
"""Sections of a list by relevance, as cursors encode them."""
MAX_SCORE: Final = 2**31
"""Bound of relevance scores in cursors, which PostgreSQL compares as 32-bit integers."""
LARGE_OVERESTIMATE: Final = 4
"""The matches are rare if the expected candidates are more than this many times those that the tier has."""
MAX_TEXTS_OF_SHARED_PLAN: Final = 3
"""Rankings and samples of more alternative texts are planned for each execution."""


@frozen
class SortedPlan:
    """The statement of one page in a sort order."""

    query: BoundQuery
    request: PageRequest
    statement: CachedStatement
    parameters: Mapping[str, object]


@frozen
class RankedPlan:
    """A page by relevance. It begins in `section` after `cursor`, a (sort value, id), or at the start of the
    section.

    The tier of a first page changes if more than `max_candidates` are found, or fewer than `min_candidates` that do not
    fill the page. Later pages have the tier of the first one.
    """

    query: BoundQuery
    request: PageRequest
    ranking: Ranking
    section: int = RANKED
    cursor: Sequence[int] = ()
    min_candidates: int = 0
    max_candidates: int | None = None

    @property
    def tier(self) -> int:
        return self.ranking.selection.min_tier

    def with_tier(self, tier: int) -> "RankedPlan":
        selection = evolve(self.ranking.selection, min_tier=tier)
        # The highest tier is small: its candidates need no bound.
        bound = None if tier == TOP_TIER else self.max_candidates
        return evolve(self, ranking=evolve(self.ranking, selection=selection, max_candidates=bound))


@frozen
class SamplePlan:
    """Count facets over at most `size` products of `selection`, which represent `total` expected matches.

    The sample holds all matches if `is_unrestricted` and fewer than `size` are found.
    """

    selection: ProductSelection
    values: Mapping[str, object]
    size: int
    total: int
    is_unrestricted: bool
    plan_each_time: bool

    def without_tier(self) -> "SamplePlan":
        """Return the plan to count the first matches that are found, of any tier."""
        return evolve(self, selection=ProductSelection(self.selection.shape), is_unrestricted=True)


class SearchPlanner:
    def __init__(self, counts: ProductCounts, limits: SearchLimits) -> None:
        self._counts = counts
        self._limits = limits

    def plan(self, query: BoundQuery, request: PageRequest) -> SortedPlan | RankedPlan:
        """Choose the statement of a page; raise `Invalid` for a cursor of another list."""
        shape = query.shape
        if not shape.has_required_terms:
            return _plan_sorted(query, request, select_first=False)
        if shape.sort_order is SortOrder.RELEVANCE:
            return self._plan_ranked(query, request)
        is_narrow = shape.sort_order in NARROW_TABLE_ORDERS
        select_first = is_narrow and self._counts.estimate(query) <= self._limits.sort_all
        return _plan_sorted(query, request, select_first=select_first)

    def plan_sample(self, query: BoundQuery) -> SamplePlan:
        """Choose the products that facets are counted over: those of the highest popularity tiers, if too many match.

        Facets need no order; relevance is the order whose statement joins no other table.
        """
        limit = self._limits.facet_cap
        query = query.with_order(SortOrder.RELEVANCE)
        tier, total = 0, self._counts.estimate(query)
        if total > limit and query.shape.has_required_terms:
            tier = self._counts.lowest_tier(total, limit)
        selection = ProductSelection(query.shape, tier)
        return SamplePlan(
            selection, query.values, limit + 1, total, tier == 0, plan_each_time=not self._can_share_plan(query.shape)
        )

    def _plan_ranked(self, query: BoundQuery, request: PageRequest) -> RankedPlan:
        key = request.before if request.before is not None else request.after
        if key is not None:
            tier, section, *cursor = _decode_ranked_key(key)
            return RankedPlan(query, request, self._ranking(query, tier), section, cursor)
        counts, limits, tier = self._counts, self._limits, 0
        if counts.estimate(query) > limits.rank_all:
            tier = counts.lowest_tier(counts.estimate_without_filters(query), limits.target_candidates)
        plan = RankedPlan(
            query,
            request,
            self._ranking(query, tier),
            min_candidates=limits.target_candidates // LARGE_OVERESTIMATE,
            max_candidates=limits.max_candidates,
        )
        return plan.with_tier(tier)

    def _ranking(self, query: BoundQuery, tier: int) -> Ranking:
        return Ranking(ProductSelection(query.shape, tier), plan_each_time=not self._can_share_plan(query.shape))

    def _can_share_plan(self, shape: QueryShape) -> bool:
        """Whether the statements of all texts share one cached plan: those for few texts without filters.

        Every plan of such a statement uses the index on texts. Statements for longer texts are too rare to cache their
        plans. In a small catalog no plan is cached, since it may be wrong once the catalog has grown.
        """
        return (
            shape.has_required_terms
            and not shape.has_filters
            and shape.text_count <= MAX_TEXTS_OF_SHARED_PLAN
            and not self._counts.is_catalog_small
        )


def _plan_sorted(query: BoundQuery, request: PageRequest, *, select_first: bool) -> SortedPlan:
    backwards = request.before is not None
    has_cursor = backwards or request.after is not None
    statement = sorted_slice(query.shape, select_first=select_first, has_cursor=has_cursor, backwards=backwards)
    page_params = index_keyset(query.shape.sort_order).page_params(request)
    return SortedPlan(query, request, statement, {**query.values, **page_params})


def _decode_ranked_key(key: Key) -> tuple[int, int, int, int]:
    """Return tier, section, sort value and id; raise `Invalid` if no list by relevance has such a key."""
    tier, section, value, id_ = decode_key(key, (int, int, int, int))
    bounds = {RANKED: MAX_SCORE, UNRANKED: tier}
    if not 0 <= tier <= TOP_TIER or section not in bounds or not 0 <= value < bounds[section]:
        raise cursor_mismatch()
    return tier, section, value, id_
