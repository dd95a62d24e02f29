"""Third stage of a search: execution of its plan."""

from collections.abc import Sequence

from attrs import define, field, frozen

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import build_page, cursor_params, encode_key
from adapters.db.queries.search.counts import ProductCounts
from adapters.db.queries.search.index.execution import IndexExecution
from adapters.db.queries.search.planning import RANKED, UNRANKED, RankedPlan, SortedPlan
from adapters.db.queries.search.statements import ProductSelection, ranked_slice, unranked_slice
from scalecommerce_core.queries import Key


@frozen
class SearchPage:
    """Ids of a page and, as in `ProductSearchPage`, how many products match."""

    ids: Sequence[int]
    next: Key | None = None
    previous: Key | None = None
    total: int = 0
    is_exact: bool = True
    did_you_mean: str | None = None


@define
class _FoundRows:
    """Rows (section, sort value, id), and the number of ranked candidates, if it was counted."""

    rows: list[tuple[int, int, int]] = field(factory=list)
    candidates: int | None = None


class PageFetcher:
    """`index` executes plans by relevance if it can, and statements do it otherwise."""

    def __init__(self, executor: QueryExecutor, counts: ProductCounts, index: IndexExecution | None = None) -> None:
        self._executor = executor
        self._counts = counts
        self._index = index

    def fetch_page(self, plan: SortedPlan | RankedPlan) -> SearchPage:
        return self._fetch_sorted(plan) if isinstance(plan, SortedPlan) else self._fetch_ranked(plan)

    def _fetch_sorted(self, plan: SortedPlan) -> SearchPage:
        request, corrections = plan.request, plan.query.corrections
        prefix = () if corrections is None else (corrections,)
        rows = self._executor.fetch(plan.statement, plan.parameters, plan_each_time=True)
        page = build_page(rows, request, lambda row: int(row[-1]), lambda row: encode_key((*prefix, *row)))
        if page.next is None and request.before is None and request.after is None:
            return SearchPage(page.rows, total=len(page.rows))
        # More pages exist.
        total, is_exact = self._counts.total(plan.query, at_least=len(page.rows) + 1)
        return SearchPage(page.rows, page.next, page.previous, total, is_exact)

    def _fetch_ranked(self, plan: RankedPlan) -> SearchPage:
        request = plan.request
        backwards, is_first = request.before is not None, request.before is None and request.after is None
        if is_first:
            plan, found = self._rank_first_page(plan)
        else:
            found = _FoundRows()
        self._gather(plan, found)
        shown, more = found.rows[: request.size], len(found.rows) > request.size
        if backwards:
            shown.reverse()
        if is_first and not more:
            total, is_exact = len(shown), True
        elif plan.tier == 0 and found.candidates is not None:
            total, is_exact = found.candidates, True
        else:
            total, is_exact = self._counts.total(plan.query, at_least=len(shown) + more)
        prefix = plan.query.corrections, plan.tier
        return SearchPage(
            [id_ for _, _, id_ in shown],
            (*prefix, *shown[-1]) if shown and (more or backwards) else None,
            (*prefix, *shown[0]) if shown and (more if backwards else not is_first) else None,
            total,
            is_exact,
        )

    def _rank_first_page(self, plan: RankedPlan) -> tuple[RankedPlan, _FoundRows]:
        """Rank the tier of the plan; return the plan with the tier that was ranked, and the ranked rows.

        If the estimate was too low, the next higher tier is ranked. If it was so much too high that the tier does not
        fill the page, the lowest tier is ranked that has not too many candidates: since the matches are rare, the walk
        through those below the tier would be long.
        """
        plan, found = self._rank_bounded(plan)
        is_rare = found.candidates is not None and found.candidates < plan.min_candidates
        if plan.tier > 0 and is_rare and len(found.rows) <= plan.request.size:
            plan, found = self._rank_bounded(plan.with_tier(0))
        return plan, found

    def _rank_bounded(self, plan: RankedPlan) -> tuple[RankedPlan, _FoundRows]:
        while True:
            found = _FoundRows()
            self._fetch_section(plan, RANKED, found)
            bound = plan.ranking.max_candidates
            if bound is None or found.candidates is None or found.candidates <= bound:
                return plan, found
            plan = plan.with_tier(plan.tier + 1)

    def _gather(self, plan: RankedPlan, found: _FoundRows) -> None:
        """Fetch the page's rows and one more from its section and, while they are too few, from the next section.

        `found` has the rows of a section that was fetched before.
        """
        sections = (UNRANKED, RANKED) if plan.request.before is not None else (RANKED, UNRANKED)
        for section in sections[sections.index(plan.section) :]:
            if section == RANKED and found.candidates is not None:
                continue
            if len(found.rows) > plan.request.size or (section == UNRANKED and plan.tier == 0):
                return
            self._fetch_section(plan, section, found)

    def _fetch_section(self, plan: RankedPlan, section: int, found: _FoundRows) -> None:
        """Append rows of a section, until one more than the page holds."""
        selection, backwards = plan.ranking.selection, plan.request.before is not None
        cursor = plan.cursor if section == plan.section else ()
        limit = plan.request.size + 1 - len(found.rows)
        if self._fetch_from_index(plan, section, cursor, limit, found):
            return
        plan_each_time = True
        if section == RANKED:
            statement = ranked_slice(plan.ranking, has_cursor=bool(cursor), backwards=backwards)
            plan_each_time = plan.ranking.plan_each_time
        else:
            # A cursor is below the tier. With both as upper bounds, the index scan would start at the looser one.
            below = ProductSelection(selection.shape, below_tier=None if cursor and not backwards else plan.tier)
            statement = unranked_slice(below, has_cursor=bool(cursor), backwards=backwards)
        parameters = {**plan.query.values, **cursor_params(cursor, limit)}
        rows = self._executor.fetch(statement, parameters, plan_each_time=plan_each_time)
        if section == RANKED:
            found.candidates = rows[0][-1] if rows else None if cursor else 0
        found.rows += [(section, value, id_) for value, id_, *_ in rows]

    def _fetch_from_index(
        self, plan: RankedPlan, section: int, cursor: Sequence[int], limit: int, found: _FoundRows
    ) -> bool:
        """Append the rows that the index finds; return whether it could answer."""
        if self._index is None:
            return False
        backwards = plan.request.before is not None
        if section == UNRANKED:
            rows = self._index.unranked_rows(plan.query, plan.tier, cursor, limit, backwards=backwards)
        else:
            bound = plan.ranking.max_candidates
            ranked = self._index.ranked_rows(plan.query, (plan.tier, bound), cursor, limit, backwards=backwards)
            rows = None
            if ranked is not None:
                rows, found.candidates = ranked.rows, ranked.candidates
        if rows is None:
            return False
        found.rows += [(section, value, id_) for value, id_ in rows]
        return True
