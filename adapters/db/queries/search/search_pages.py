"""Pages of the catalogue: what was meant, in which way the matching products are best found, and where pages begin.

A page in the order of an index is walked to in that index. By relevance, all matches are ranked where they are few.
Where they are many, those of a level of prominence and above are, so that about as many are left; the others follow
in the order of an index, the more prominent and then the newer first. The level is chosen for the first page by what
the planner knows about the words, and goes into the keys: pages of one walk see the same candidates.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final

from attrs import define, evolve, field, frozen
from sqlalchemy import Select, Text, cast, func, select

from adapters.db.core.bulk_statements import equals_any, text_array
from adapters.db.queries.executor import Reader
from adapters.db.queries.keyset import Keyset, foreign_key, key_of, marks, page_of, three, values_of, which
from adapters.db.queries.search.filters import NARROW, Match, gathered, ids_of, sorted_by
from adapters.db.queries.search.query_shape import SENSIBLE, SHAPES, Asked, Shape
from adapters.db.queries.search.ranking import Ranking, not_ranked, ranked
from adapters.db.queries.search.row_estimates import Estimates
from adapters.db.queries.search.vocabulary import Words
from adapters.db.schema import categories
from scalecommerce_core.domain.popularity import TOP_TIER, tier_size
from scalecommerce_core.domain.search_text import (
    FEW_MATCHES,
    SearchText,
    corrected_search,
    more_frequent_search,
    parse_search,
    suggestion,
)
from scalecommerce_core.domain.text import checked
from scalecommerce_core.queries import FACET_CAP, Key, PageRequest, ProductFilter, SortOrder


@frozen
class Scale:
    """Bounds on the work for one answer; tests make them small."""

    rank_all: int = 500
    """So many products are all ranked."""
    candidates: int = 500
    """Of more, those of a level of prominence are: the lowest that does not leave more than about so many."""
    most_candidates: int = 2_000
    """The planner is sometimes wrong: with more than this, a higher level is taken."""
    sort_all: int = 5_000
    """So many products that have a word are all sorted by price or views. To find the next one of more is a short
    walk in the index of the order."""
    facet_cap: int = FACET_CAP
    count_bytes: int = 8 * 1024 * 1024
    """In a table of products that is not larger, matches are counted: to read all of it takes some milliseconds."""


@frozen
class Listed:
    ids: Sequence[int]
    next: Key | None = None
    previous: Key | None = None
    total: int = 0
    is_exact: bool = True
    did_you_mean: str | None = None


@frozen
class Sample:
    """At most `size` products of `match` speak for `total`; they are all of them if `is_whole` and fewer are found."""

    match: Match
    values: Mapping[str, object]
    size: int
    total: int
    is_whole: bool

    @property
    def of_all(self) -> "Sample":
        """Those that come first, where those that should have spoken for them are too few."""
        return evolve(self, match=Match(self.match.shape), is_whole=True)


FEW_TEXTS: Final = 3
MOST_POINTS: Final = 2**31
RANKED: Final = 1
NOT_RANKED: Final = 0


class Listing:
    def __init__(self, reader: Reader, scale: Scale) -> None:
        self._reader = reader
        self._words = Words(reader)
        self._estimates = Estimates(reader)
        self.scale = scale

    def page(self, wanted: ProductFilter, request: PageRequest) -> Listed:
        text = None if wanted.search is None else _read(wanted.search)
        chosen = self._chosen(wanted)
        begins = request.before if request.before is not None else request.after
        if text is None:
            return self._list(wanted, None, chosen, request, "")
        if begins is not None:
            if not begins or not isinstance(reading := begins[0], str):
                raise foreign_key()
            key = begins[1:]
            request = evolve(request, before=key) if request.before is not None else evolve(request, after=key)
            try:
                reread = text.with_corrections(reading)
            except ValueError:
                raise foreign_key() from None
            return self._list(wanted, reread, chosen, request, reading)
        if not text.terms:
            return Listed(())
        listed = self._list(wanted, text, chosen, request, "")
        if len(listed.ids) >= FEW_MATCHES or listed.next is not None:
            return listed
        if listed.ids:
            return evolve(listed, did_you_mean=self._more_frequent(text))
        meant, said = self._meant(text)
        if meant is None:
            return listed
        return evolve(self._list(wanted, meant, chosen, request, meant.corrections), did_you_mean=said)

    def sample(self, wanted: ProductFilter) -> Sample:
        """What facets are counted over, if the words are meant as they were typed."""
        return self._sample(wanted, None if wanted.search is None else _read(wanted.search))

    def probable_sample(self, wanted: ProductFilter) -> Sample | None:
        """The same for what was probably meant, where nothing was found."""
        meant, _ = (None, None) if wanted.search is None else self._meant(_read(wanted.search))
        return None if meant is None else self._sample(wanted, meant)

    def _sample(self, wanted: ProductFilter, text: SearchText | None) -> Sample:
        cap = self.scale.facet_cap
        # Facets do not come in an order; relevance is the one that needs nothing else.
        asked = Asked.by(wanted, text, self._chosen(wanted)).in_order(SortOrder.RELEVANCE)
        match = Match(asked.shape)
        total = self._estimates.expected(match, asked.values)
        if total > cap and asked.shape.has_words:
            match = Match(asked.shape, self._level(total, cap))
        return Sample(match, asked.values, cap + 1, total, match.level == 0)

    # --- what was meant

    def _meant(self, text: SearchText) -> tuple[SearchText | None, str | None]:
        """What stands for words that nothing is found for, and how to tell so."""
        unknown = self._words.unknown(text)
        meant = corrected_search(text, unknown, self._words.alike)
        return meant, None if meant is None else suggestion(meant, list(unknown.items()))

    def _more_frequent(self, text: SearchText) -> str | None:
        known = self._words.looked_up(text)
        rare = {place: (word, count) for place, (word, count) in known.items() if count < FEW_MATCHES}
        better = more_frequent_search(text, rare, self._words.alike)
        return None if better is None else str(better)

    def _chosen(self, wanted: ProductFilter) -> Sequence[int] | None:
        """Ids of the wanted categories: the planner knows much about a number, and nothing about a subquery."""
        if not wanted.categories:
            return None
        named = text_array({checked("category", str(category), at_most=SENSIBLE) for category in wanted.categories})
        return [id_ for (id_,) in self._reader.rows(_CATEGORY_IDS, {"given": named})] or [0]

    # --- pages

    def _list(
        self,
        wanted: ProductFilter,
        text: SearchText | None,
        chosen: Sequence[int] | None,
        request: PageRequest,
        reading: str,
    ) -> Listed:
        asked = Asked.by(wanted, text, chosen)
        shape, values = asked.shape, asked.values
        mark = () if text is None else (reading,)
        if shape.sort_order is SortOrder.RELEVANCE and shape.has_words:
            return self._ranked(asked, request, reading)
        few = shape.sort_order in NARROW and shape.has_words and self._expected(asked) <= self.scale.sort_all
        keyset, statements = _in_order(shape, gather=few)
        rows = self._reader.rows_planned(statements[which(request)], {**values, **keyset.parameters(request)})
        page = page_of(rows, request, lambda row: int(row[-1]), lambda row: key_of((*mark, *row)))
        if page.next is None and request.before is None and request.after is None:
            return Listed(page.rows, total=len(page.rows))
        # There is something before or behind what is seen.
        total, is_exact = self._total(asked, len(page.rows) + 1)
        return Listed(page.rows, page.next, page.previous, total, is_exact)

    def _total(self, asked: Asked, seen: int) -> tuple[int, bool]:
        """How many products match, and whether that is exact; as estimated no fewer than were seen."""
        if self._is_small:
            ((count,),) = self._reader.rows_planned(_count(asked.shape), asked.values)
            return count, True
        return max(self._expected(asked), seen), False

    @property
    def _is_small(self) -> bool:
        return self._estimates.catalogue().size <= self.scale.count_bytes

    def _expected(self, asked: Asked) -> int:
        return self._estimates.expected(Match(asked.shape), asked.values)

    # --- by relevance

    def _ranked(self, asked: Asked, request: PageRequest, reading: str) -> Listed:
        backwards = request.before is not None
        begins = request.before if request.before is not None else request.after
        if begins is None:
            found = self._first(asked, request.size + 1)
        else:
            level, section, *key = _place(begins)
            ranking = self._ranking(asked.shape, level, None)
            found = self._gathered(ranking, asked.values, section, key, request.size + 1, backwards=backwards)
        shown = found.rows[: request.size]
        more = len(found.rows) > request.size
        if backwards:
            shown.reverse()
        if begins is None and not more:
            total, is_exact = len(shown), True
        elif found.level == 0 and found.candidates is not None:
            total, is_exact = found.candidates, True
        else:
            total, is_exact = self._total(asked, len(shown) + more)

        def key_to(row: tuple[int, int, int]) -> Key:
            return (reading, found.level, *row)

        return Listed(
            [id_ for _, _, id_ in shown],
            key_to(shown[-1]) if shown and (more or backwards) else None,
            key_to(shown[0]) if shown and (more if backwards else begins is not None) else None,
            total,
            is_exact,
        )

    def _first(self, asked: Asked, limit: int) -> "_Found":
        """The first page, of all that match if they are few, else from the level that leaves enough of them."""
        level = 0
        if self._expected(asked) > self.scale.rank_all:
            level = self._level(self._expected(asked.text_alone), self.scale.candidates)
        while True:
            # There is no need to bound the highest level: it is small.
            cap = None if level == TOP_TIER else self.scale.most_candidates
            ranking = self._ranking(asked.shape, level, cap)
            found = self._gathered(ranking, asked.values, RANKED, [], limit, backwards=False)
            if cap is None or (found.candidates or 0) <= cap:
                return found
            level += 1

    def _ranking(self, shape: Shape, level: int, cap: int | None) -> Ranking:
        """Of a few words without filters one plan is as good as another: the index on words is the only way.

        Servers keep that plan. So only what recurs is worth one, and not while a catalogue is filled: what is best for
        a small one is bad for a large one.
        """
        is_planned = not shape.is_text_alone or shape.texts > FEW_TEXTS or self._is_small
        return Ranking(Match(shape, level), cap, is_planned)

    def _level(self, expected: int, at_most: int) -> int:
        """The lowest level that leaves about so many of so many expected products."""
        count = self._estimates.catalogue().products
        for level in range(TOP_TIER):
            if expected * tier_size(level, count) <= at_most * count:
                return level
        return TOP_TIER

    def _gathered(
        self,
        ranking: Ranking,
        values: Mapping[str, object],
        section: int,
        key: Sequence[int],
        limit: int,
        *,
        backwards: bool,
    ) -> "_Found":
        """Rows out of one section from the key on, and then out of the next, as long as they are too few."""
        match = ranking.match
        found = _Found(match.level)
        sections = (NOT_RANKED, RANKED) if backwards else (RANKED, NOT_RANKED)
        for each in sections[sections.index(section) :]:
            mark = key if each == section else ()
            is_planned = True
            if each == RANKED:
                statement = ranked(ranking, marked=bool(mark), backwards=backwards)
                is_planned = ranking.is_planned
            elif match.level > 0:
                # A mark is below the level. Both as upper bounds, and the scan would begin at the looser one.
                rest = Match(match.shape, below=None if mark and not backwards else match.level)
                statement = not_ranked(rest, marked=bool(mark), backwards=backwards)
            else:
                break
            given = {**values, **marks(mark, limit - len(found.rows))}
            rows = self._reader.rows_planned(statement, given) if is_planned else self._reader.rows(statement, given)
            if each == RANKED:
                found.candidates = rows[0][-1] if rows else None if mark else 0
            found.rows += [(each, value, id_) for value, id_, *_ in rows]
            if len(found.rows) == limit:
                break
        return found


@define
class _Found:
    """`rows` are of (section, sort value, id); `candidates`, if they were counted, those that were ranked."""

    level: int
    rows: list[tuple[int, int, int]] = field(factory=list)
    candidates: int | None = None


def _read(search: str) -> SearchText:
    return parse_search(checked("search", search, at_most=SENSIBLE))


def _place(begins: Key) -> tuple[int, int, int, int]:
    """Level, section, sort value and id out of a key of a ranked page."""
    level, section, value, id_ = values_of(begins, (int, int, int, int))
    ranked_or_below = {RANKED: MOST_POINTS, NOT_RANKED: level}
    if not 0 <= level <= TOP_TIER or section not in ranked_or_below or not 0 <= value < ranked_or_below[section]:
        raise foreign_key()
    return level, section, value, id_


@lru_cache(SHAPES)
def _in_order(shape: Shape, *, gather: bool) -> tuple[Keyset, Mapping[str, Select[*tuple[Any, ...]]]]:
    keyset = sorted_by(shape.sort_order)
    if gather:
        keyset, statement = gathered(shape)
    else:
        statement = Match(shape).select(*keyset.columns)
    return keyset, three(partial(keyset.page, statement))


@lru_cache(SHAPES)
def _count(shape: Shape) -> Select[int]:
    return select(func.count()).select_from(ids_of(Match(shape)).subquery())


_CATEGORY_IDS: Final = select(categories.c.id).where(
    equals_any(categories.c.slug, "given") | equals_any(cast(categories.c.id, Text), "given")
)
