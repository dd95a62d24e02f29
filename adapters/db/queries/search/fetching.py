"""Third stage of a search: execution of its plan."""

from collections.abc import Sequence

from attrs import define, evolve, field, frozen

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import build_page, cursor_params, encode_key
from adapters.db.queries.search.counts import ProductCounts
from adapters.db.queries.search.planning import RANKED, UNRANKED, RankedPlan, SortedPlan
from adapters.db.queries.search.statements import ProductSelection, ranked_slice, unranked_slice
from scalecommerce_core.domain.popularity import TOP_TIER
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
    def __init__(self, executor: QueryExecutor, counts: ProductCounts) -> None:
        self._executor = executor
        self._counts = counts

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
        found = self._gather(plan)
        while plan.ranking.max_candidates is not None and (found.candidates or 0) > plan.ranking.max_candidates:
            plan = _rank_next_tier(plan)
            found = self._gather(plan)
        backwards, is_first = request.before is not None, request.before is None and request.after is None
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

    def _gather(self, plan: RankedPlan) -> _FoundRows:
        """Fetch the page's rows and one more from its section and, while they are too few, from the next section."""
        selection, limit, backwards = plan.ranking.selection, plan.request.size + 1, plan.request.before is not None
        found = _FoundRows()
        sections = (UNRANKED, RANKED) if backwards else (RANKED, UNRANKED)
        for section in sections[sections.index(plan.section) :]:
            cursor = plan.cursor if section == plan.section else ()
            plan_each_time = True
            if section == RANKED:
                statement = ranked_slice(plan.ranking, has_cursor=bool(cursor), backwards=backwards)
                plan_each_time = plan.ranking.plan_each_time
            elif plan.tier > 0:
                # A cursor is below the tier. With both as upper bounds, the index scan would start at the looser one.
                below = ProductSelection(selection.shape, below_tier=None if cursor and not backwards else plan.tier)
                statement = unranked_slice(below, has_cursor=bool(cursor), backwards=backwards)
            else:
                break
            parameters = {**plan.query.values, **cursor_params(cursor, limit - len(found.rows))}
            rows = self._executor.fetch(statement, parameters, plan_each_time=plan_each_time)
            if section == RANKED:
                found.candidates = rows[0][-1] if rows else None if cursor else 0
            found.rows += [(section, value, id_) for value, id_, *_ in rows]
            if len(found.rows) == limit:
                break
        return found


def _rank_next_tier(plan: RankedPlan) -> RankedPlan:
    """Return the plan that ranks the next higher tier, hence fewer candidates; the highest tier needs no bound."""
    tier = plan.tier + 1
    selection = evolve(plan.ranking.selection, min_tier=tier)
    max_candidates = None if tier == TOP_TIER else plan.ranking.max_candidates
    return evolve(plan, ranking=evolve(plan.ranking, selection=selection, max_candidates=max_candidates))
