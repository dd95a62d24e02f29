"""The rules of the index in plain Python, one product after the other, as the oracle of its tests."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from adapters.db.queries.search.index.product_index import FacetSample
from adapters.db.queries.search.index.product_row import ProductRow
from adapters.db.queries.search.index.query import IndexFilters, IndexQuery, Phrase, TermQuery
from scalecommerce_core.domain.relevance import (
    BRAND_WEIGHT,
    DESCRIPTION_WEIGHT,
    NAME_WEIGHT,
    PHRASE_WEIGHT,
    TIER_PERCENT,
    relevance,
)
from scalecommerce_core.queries import MAX_FACET_VALUES, PRICE_BUCKETS

Words = dict[str, set[tuple[int, str]]]
"""The occurrences of each lexeme: position and weight."""
_LEXEME: Final = re.compile(r"'((?:[^']|'')+)':([0-9A-D,]+)")


@define
class NaiveIndex:
    rows: dict[int, ProductRow] = field(factory=dict)

    def change(self, rows: Iterable[ProductRow], removed: Iterable[int]) -> None:
        for id_ in removed:
            self.rows.pop(id_, None)
        self.rows |= {row.id: row for row in rows}

    def find(self, query: IndexQuery, min_tier: int = 0) -> list[ProductRow]:
        return [row for row in self.rows.values() if row.tier >= min_tier and _matches(row, query)]

    def ranked(self, query: IndexQuery, min_tier: int) -> list[tuple[int, int]]:
        """(points, id), without the factor for stock."""
        found = ((text_points(row.document, query.required), row) for row in self.find(query, min_tier))
        return sorted(((text * (100 + TIER_PERCENT * row.tier), row.id) for text, row in found), reverse=True)

    def page(
        self, query: IndexQuery, min_tier: int, in_stock: Collection[int], cursor: tuple[int, int] | None, limit: int
    ) -> list[tuple[int, int]]:
        rows = [
            (relevance(text_points(row.document, query.required), row.tier, in_stock=row.id in in_stock), row.id)
            for row in self.find(query, min_tier)
        ]
        return sorted((row for row in rows if cursor is None or row < cursor), reverse=True)[:limit]

    def unranked(self, query: IndexQuery, below: int | None) -> list[tuple[int, int]]:
        found = self.find(query)
        return sorted(((row.tier, row.id) for row in found if below is None or row.tier < below), reverse=True)

    def facets(self, query: IndexQuery, currency: str) -> FacetSample:
        found = self.find(query)
        brands = Counter(row.brand for row in found if row.brand)
        prices = Counter(
            sum(row.price >= bound for bound in PRICE_BUCKETS) for row in found if row.currency == currency
        )
        return FacetSample(
            len(found),
            len(found),
            Counter(row.category_id for row in found),
            sorted(brands.items(), key=lambda each: (-each[1], each[0]))[:MAX_FACET_VALUES],
            prices,
        )


def text_points(document: str, required: Sequence[TermQuery]) -> int:
    words = _words(document)
    points = 0
    for term in required:
        if any(_has_phrase(_limited(words, "A"), phrase) for phrase in term.texts):
            points += NAME_WEIGHT
        elif any(_has_phrase(_limited(words, "AB"), phrase) for phrase in term.texts):
            points += BRAND_WEIGHT
        else:
            points += DESCRIPTION_WEIGHT
    queries = [[each for each in term.forms if each.lexemes] for term in required]
    spans: _Spans | None = None
    for forms in filter(None, queries):
        found = _either([_phrase_spans(words, form) for form in forms])
        spans = found if spans is None else _followed_by(spans, 1, found)
    return points + PHRASE_WEIGHT * (len(required) > 1 and spans is not None and bool(spans.ends))


def _matches(row: ProductRow, query: IndexQuery) -> bool:
    words = _words(row.document)
    required = [term for term in query.required if any(each.lexemes for each in term.texts)]
    excluded = [term for term in query.excluded if any(each.lexemes for each in term.texts)]
    if not required and not excluded:
        return False
    return (
        all(any(_has_phrase(words, phrase) for phrase in term.texts) for term in required)
        and not any(_has_phrase(words, phrase) for term in excluded for phrase in term.texts)
        and _meets(row, query.filters)
    )


def _meets(row: ProductRow, filters: IndexFilters) -> bool:
    return (
        (filters.price_min is None or row.price >= filters.price_min)
        and (filters.price_max is None or row.price <= filters.price_max)
        and (filters.currency is None or row.currency == filters.currency)
        and (filters.categories is None or row.category_id in filters.categories)
        and (filters.brands is None or row.brand in filters.brands)
        and (filters.seller is None or row.seller_id == filters.seller)
        and (filters.created_after is None or row.created_at > filters.created_after)
        and (filters.created_before is None or row.created_at < filters.created_before)
    )


def _words(document: str) -> Words:
    return {
        lexeme.replace("''", "'"): {(int(each.rstrip("ABCD")), each.lstrip("0123456789")) for each in where.split(",")}
        for lexeme, where in _LEXEME.findall(document)
    }


def _limited(words: Words, weights: str) -> Words:
    return {lexeme: {each for each in where if each[1] and each[1] in weights} for lexeme, where in words.items()}


def _has_phrase(words: Words, phrase: Phrase) -> bool:
    return bool(_phrase_spans(words, phrase).ends)


@frozen
class _Spans:
    """The positions of the last words of a match, and its width: PostgreSQL's `ExecPhraseData`."""

    ends: frozenset[int]
    width: int = 0


def _phrase_spans(words: Words, phrase: Phrase) -> _Spans:
    found = _Spans(frozenset())
    for number, (lexeme, distance) in enumerate(zip(phrase.lexemes, phrase.distances, strict=True)):
        spans = _Spans(frozenset(position for position, _ in words.get(lexeme, ())))
        found = spans if number == 0 else _followed_by(found, distance, spans)
    return found


def _followed_by(first: _Spans, distance: int, second: _Spans) -> _Spans:
    beginnings = {end + distance + second.width for end in first.ends}
    return _Spans(second.ends & beginnings, first.width + distance + second.width)


def _either(alternatives: Sequence[_Spans]) -> _Spans:
    matching = [each for each in alternatives if each.ends]
    width = max((each.width for each in matching), default=0)
    return _Spans(frozenset(end + width - each.width for each in matching for end in each.ends), width)
