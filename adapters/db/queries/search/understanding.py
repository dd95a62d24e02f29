"""First stage of a search: what its text means, and the query that is bound to its values.

A search goes through three stages: understanding (this module), planning and fetching. If nothing is found, words
that the vocabulary of the catalog lacks are replaced by similar ones, and the corrected query is planned and fetched.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from attrs import evolve
from sqlalchemy import Text, cast, select, text

from adapters.db.core.bulk_statements import equals_any, int_array, text_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import BIGINT, cursor_mismatch
from adapters.db.queries.search.fetching import PageFetcher, SearchPage
from adapters.db.queries.search.planning import SearchPlanner
from adapters.db.queries.search.query_shape import BoundQuery, ParameterNames, QueryShape
from adapters.db.queries.statement_cache import CachedStatement
from adapters.db.schema import categories
from scalecommerce_core.domain.search_text import (
    FEW_MATCHES,
    SearchText,
    Term,
    corrected_search,
    more_frequent_search,
    parse_search,
    suggestion,
)
from scalecommerce_core.domain.spelling import MAX_COMPLETIONS, TWO_TYPOS_LENGTH, KnownWord
from scalecommerce_core.domain.text import checked
from scalecommerce_core.queries import PageRequest, ProductFilter

MAX_TEXT_LENGTH: Final = 10_000
"""Characters of a search text, a brand or a category that are accepted; it bounds the work of PostgreSQL's parser."""
MAX_PENDING_CHANGES: Final = 1_000
"""Most pending changes of the vocabulary, newest first, that a search for similar words reads."""

_CATEGORY_IDS: Final = CachedStatement.compile(
    select(categories.c.id).where(
        equals_any(categories.c.slug, "given") | equals_any(cast(categories.c.id, Text), "given")
    )
)


class SearchInterpreter:
    """Binds filters to queries, corrects their texts, and passes the queries on to planning and fetching.

    `currency` is the market's, in which filters by price are.
    """

    def __init__(self, executor: QueryExecutor, planner: SearchPlanner, fetcher: PageFetcher, currency: str) -> None:
        self._executor = executor
        self._vocabulary = StoredVocabulary(executor)
        self._planner = planner
        self._fetcher = fetcher
        self._currency = currency

    def find_page(self, criteria: ProductFilter, request: PageRequest) -> SearchPage:
        """Return a page of ids; raise `Invalid` for a text that is too long and for a cursor of another list."""
        parsed = None if criteria.search is None else _parse(criteria.search)
        category_ids = self.find_category_ids(criteria)
        is_first = request.before is None and request.after is None
        if parsed is not None:
            if not is_first:
                parsed, request = _resume(parsed, request)
            elif not parsed.terms:
                return SearchPage(())
        query = self.bind(criteria, parsed, category_ids)
        page = self._find(query, request)
        if parsed is None or not is_first or len(page.ids) >= FEW_MATCHES or page.next is not None:
            return page
        if page.ids:
            return evolve(page, did_you_mean=self._suggest_frequent_words(parsed))
        # The search has no other conditions, so if it found no product, none has the word in any form.
        is_unsold = parsed.is_single_word and not query.shape.has_filters
        corrected, did_you_mean = self.correct(parsed, is_unsold=is_unsold)
        if corrected is None:
            return page
        return evolve(self._find(self.bind(criteria, corrected, category_ids), request), did_you_mean=did_you_mean)

    def binder(self, criteria: ProductFilter) -> "FilterBinder":
        """Return the binder for this filter and for those that leave some of its conditions out."""
        return FilterBinder(self, criteria)

    def bind(
        self, criteria: ProductFilter, parsed: SearchText | None, category_ids: Collection[int] | None
    ) -> BoundQuery:
        """Return the query of a filter; raise `Invalid` for values that are too long."""
        has_price = criteria.price_min is not None or criteria.price_max is not None
        conditions = {
            "price_min": _clamp(criteria.price_min),
            "price_max": _clamp(criteria.price_max),
            "price_currency": self._currency if has_price else None,
            "categories": None if category_ids is None else tuple(sorted(category_ids)),
            "brands": tuple(sorted({_check_length("brand", brand) for brand in criteria.brands})) or None,
            "seller": _clamp(criteria.seller),
            "created_after": criteria.created_after,
            "created_before": criteria.created_before,
        }
        values: dict[str, object] = {name: value for name, value in conditions.items() if value is not None}
        shape = QueryShape(criteria.sort_order, frozenset(values), criteria.in_stock)
        if parsed is None:
            return BoundQuery(shape, values)
        required, required_texts = _name_texts("required", parsed.required)
        excluded, excluded_texts = _name_texts("excluded", parsed.excluded)
        forms = tuple(names[: len(term.forms)] for names, term in zip(required, parsed.required, strict=True))
        shape = evolve(shape, required=required, excluded=excluded, phrase_forms=forms)
        return BoundQuery(shape, {**values, **required_texts, **excluded_texts}, parsed.corrections)

    def find_category_ids(self, criteria: ProductFilter) -> Sequence[int] | None:
        """Resolve ids and slugs: the planner has statistics about a category's id, and none about a subquery."""
        if not criteria.categories:
            return None
        given = text_array({_check_length("category", str(category)) for category in criteria.categories})
        return [id_ for (id_,) in self._executor.fetch(_CATEGORY_IDS, {"given": given})] or [0]

    def correct(self, parsed: SearchText, *, is_unsold: bool = False) -> tuple[SearchText | None, str | None]:
        """Return the text with its unknown words replaced, if all of them can be, and the text for `did_you_mean`.

        `is_unsold`: the caller knows that no active product has any of the words.
        """
        unknown = self._vocabulary.find_unknown(parsed, is_unsold=is_unsold)
        corrected = corrected_search(parsed, unknown, self._vocabulary.find_similar)
        return corrected, None if corrected is None else suggestion(corrected, list(unknown.items()))

    def _find(self, query: BoundQuery, request: PageRequest) -> SearchPage:
        plan = self._planner.plan(query, request)
        return self._fetcher.fetch_page(plan)

    def _suggest_frequent_words(self, parsed: SearchText) -> str | None:
        """Return the text with its rare words replaced by similar words that are much more frequent."""
        known = self._vocabulary.find_known(parsed)
        rare = {position: (word, count) for position, (word, count) in known.items() if count < FEW_MATCHES}
        suggested = more_frequent_search(parsed, rare, self._vocabulary.find_similar)
        return None if suggested is None else str(suggested)


class FilterBinder:
    """Binds filters of one text and one choice of categories, which are read once."""

    def __init__(self, interpreter: SearchInterpreter, criteria: ProductFilter) -> None:
        self._interpreter = interpreter
        self._criteria = criteria
        self._parsed = None if criteria.search is None else _parse(criteria.search)

    def bind(self, criteria: ProductFilter) -> BoundQuery:
        """Return the query of the words as they were typed."""
        return self._interpreter.bind(criteria, self._parsed, self._category_ids if criteria.categories else None)

    def bind_corrected(self, criteria: ProductFilter) -> BoundQuery | None:
        """Return the query of the corrected words; None if no unknown word can be corrected."""
        if self._corrected is None:
            return None
        return self._interpreter.bind(criteria, self._corrected, self._category_ids if criteria.categories else None)

    @cached_property
    def _category_ids(self) -> Sequence[int] | None:
        return self._interpreter.find_category_ids(self._criteria)

    @cached_property
    def _corrected(self) -> SearchText | None:
        return None if self._parsed is None else self._interpreter.correct(self._parsed)[0]


# --- text and values


def _parse(search: str) -> SearchText:
    return parse_search(_check_length("search", search))


def _resume(parsed: SearchText, request: PageRequest) -> tuple[SearchText, PageRequest]:
    """Split a cursor into the corrections of the first page and the key within the list."""
    key = request.before if request.before is not None else request.after
    if not key or not isinstance(corrections := key[0], str):
        raise cursor_mismatch()
    rest = key[1:]
    try:
        parsed = parsed.with_corrections(corrections)
    except ValueError:
        raise cursor_mismatch() from None
    return parsed, evolve(request, before=rest) if request.before is not None else evolve(request, after=rest)


def _name_texts(kind: str, terms: Iterable[Term]) -> tuple[ParameterNames, dict[str, str]]:
    """Return the parameter names of the alternative texts of each term, and the texts by name."""
    names: list[tuple[str, ...]] = []
    texts: dict[str, str] = {}
    for position, term in enumerate(terms):
        named = {f"{kind}_{position}_{number}": _check_length("search", t) for number, t in enumerate(term.texts)}
        names.append(tuple(named))
        texts |= named
    return tuple(names), texts


def _check_length(field: str, value: str) -> str:
    return checked(field, value, at_most=MAX_TEXT_LENGTH)


def _clamp(number: int | None) -> int | None:
    """Limit a number to PostgreSQL's bigint; no stored number lies beyond."""
    return None if number is None else max(BIGINT.start, min(number, BIGINT.stop - 1))


# --- the vocabulary of the catalog


def _compiled(sql: str) -> CachedStatement:
    return CachedStatement.compile(text(sql))


# Stop words such as "the" are left out: full-text search ignores them.
_KNOWN: Final = _compiled(
    """
    SELECT place, folded(given.word), coalesce(vocabulary.products, 0)
    FROM unnest(CAST(:places AS int[]), CAST(:words AS text[])) AS given(place, word)
    LEFT JOIN vocabulary ON vocabulary.word = folded(given.word)
    WHERE numnode(phraseto_tsquery('market', search_terms(folded(given.word)))) > 0
    """
)
_UNKNOWN: Final = _compiled(
    """
    SELECT place, folded(given.word)
    FROM unnest(CAST(:places AS int[]), CAST(:words AS text[])) AS given(place, word)
    LEFT JOIN vocabulary ON vocabulary.word = folded(given.word)
    WHERE coalesce(vocabulary.products, 0) <= 0
        AND numnode(phraseto_tsquery('market', search_terms(folded(given.word)))) > 0
        AND (:is_unsold OR NOT is_sold_as(search_terms(folded(given.word))))
    """
)
_SIMILAR: Final = _compiled(
    f"""
    SELECT word, products FROM (
        (
            SELECT word, products FROM vocabulary
            WHERE word >= :word AND word < :word || chr(1114111) AND products > 0
            ORDER BY products DESC, word LIMIT {MAX_COMPLETIONS}
        ) UNION (
            SELECT word, products FROM vocabulary WHERE variants && word_variants(:word) AND products > 0
        ) UNION (
            SELECT word, products FROM vocabulary
            WHERE length(:word) >= {TWO_TYPOS_LENGTH} AND is_spelled_like(word, :word) AND products > 0
                AND length(word) BETWEEN length(:word) - 2 AND length(:word) + 2
        )
    ) AS alike
    UNION ALL
    SELECT word, CAST(sum(products) AS bigint)
    FROM (
        SELECT word, products FROM vocabulary_changes ORDER BY id DESC LIMIT {MAX_PENDING_CHANGES}
    ) AS news GROUP BY word
    """.replace(":word", "CAST(:word AS text)")  # noqa: S608 - only constants are inserted
)


class StoredVocabulary:
    """Words of the names and brands of active products, with the number of products that have each."""

    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def find_known(self, parsed: SearchText) -> Mapping[int, tuple[str, int]]:
        """Return folded words by position, with the number of names and brands that have each in any form."""
        found: dict[int, tuple[str, int]] = {}
        for position, rows in self._fetch_by_position(_KNOWN, parsed).items():
            typed = next((word for is_typed, word, _ in rows if is_typed), None)
            if typed is not None:
                found[position] = typed, sum(count for _, _, count in rows)
        return found

    def find_unknown(self, parsed: SearchText, *, is_unsold: bool = False) -> Mapping[int, str]:
        """Return folded words by position that no active product has in any form.

        The vocabulary has no words of descriptions, so words that it does not have are looked up in the products,
        unless the caller knows that no product has them (`is_unsold`).
        """
        found = self._fetch_by_position(_UNKNOWN, parsed, {"is_unsold": is_unsold})
        return {
            position: next(word for is_typed, word in rows if is_typed)
            for position, rows in sorted(found.items())
            if len(rows) == len(parsed.terms[position].word_forms)
        }

    def find_similar(self, word: str) -> Sequence[KnownWord]:
        """Return words that begin with `word` or differ from it by one or two typos, new words included."""
        counts: Counter[str] = Counter()
        for known, count in self._executor.fetch(_SIMILAR, {"word": word}):
            counts[known] += count
        return [KnownWord(known, count) for known, count in counts.items()]

    def _fetch_by_position(
        self, statement: CachedStatement, parsed: SearchText, more: Mapping[str, object] | None = None
    ) -> Mapping[int, Sequence[tuple[Any, ...]]]:
        """Return rows for the forms of the word at each position; the first column says if it is the typed form."""
        positions: dict[str, list[tuple[int, bool]]] = {}
        for position, term in enumerate(parsed.terms):
            for number, form in enumerate(term.word_forms):
                positions.setdefault(form, []).append((position, number == 0))
        if not positions:
            return {}
        forms = list(positions)
        given = {"places": int_array(range(len(forms))), "words": text_array(forms), **(more or {})}
        rows = self._executor.fetch(statement, given)
        found: dict[int, list[tuple[Any, ...]]] = {}
        for number, *row in rows:
            for position, is_typed in positions[forms[number]]:
                found.setdefault(position, []).append((is_typed, *row))
        return found
