"""Words as the catalogue knows them: which ones it does not, and which others may have been meant."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import TextClause, text

from adapters.db.core.bulk_statements import int_array, text_array
from adapters.db.queries.executor import Reader
from scalecommerce_core.domain.search_text import SearchText
from scalecommerce_core.domain.spelling import MAX_COMPLETIONS, TWO_TYPOS_LENGTH, KnownWord

MOST_NEWS: Final = 1_000
"""What came last is known at once; more than that comes from imports."""

# Words such as "the" are no words to a search: there is nothing about them to know.
_LOOKED_UP: Final = text(
    """
    SELECT place, folded(given.word), coalesce(vocabulary.products, 0)
    FROM unnest(CAST(:places AS int[]), CAST(:words AS text[])) AS given(place, word)
    LEFT JOIN vocabulary ON vocabulary.word = folded(given.word)
    WHERE numnode(phraseto_tsquery('market', search_terms(folded(given.word)))) > 0
    """
)
_UNKNOWN: Final = text(
    """
    SELECT place, folded(given.word)
    FROM unnest(CAST(:places AS int[]), CAST(:words AS text[])) AS given(place, word)
    LEFT JOIN vocabulary ON vocabulary.word = folded(given.word)
    WHERE coalesce(vocabulary.products, 0) <= 0
        AND numnode(phraseto_tsquery('market', search_terms(folded(given.word)))) > 0
        AND NOT is_sold_as(search_terms(folded(given.word)))
    """
)
_ALIKE: Final = text(
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
            WHERE length(:word) >= {TWO_TYPOS_LENGTH} AND word % :word AND products > 0
                AND length(word) BETWEEN length(:word) - 2 AND length(:word) + 2
        )
    ) AS alike
    UNION ALL
    SELECT word, CAST(sum(products) AS bigint)
    FROM (SELECT word, products FROM vocabulary_changes ORDER BY id DESC LIMIT {MOST_NEWS}) AS news GROUP BY word
    """.replace(":word", "CAST(:word AS text)")  # noqa: S608 - numbers of our own
)


class Words:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def looked_up(self, search: SearchText) -> Mapping[int, tuple[str, int]]:
        """Folded words by position, with the number of names and brands that have each in any form."""
        found: dict[int, tuple[str, int]] = {}
        for place, words in self._of(_LOOKED_UP, search).items():
            own = next((word for is_own, word, _ in words if is_own), None)
            if own is not None:
                found[place] = own, sum(count for _, _, count in words)
        return found

    def unknown(self, search: SearchText) -> Mapping[int, str]:
        """Folded words by position that no active product has in any form.

        What is in a description alone is not in the vocabulary: such words are looked for among the products.
        """
        return {
            place: next(word for is_own, word in words if is_own)
            for place, words in sorted(self._of(_UNKNOWN, search).items())
            if len(words) == len(search.terms[place].word_forms)
        }

    def _of(self, statement: TextClause, search: SearchText) -> Mapping[int, Sequence[tuple[Any, ...]]]:
        """Rows for the forms of the word at each position; the first column says if it is the word itself."""
        places: dict[str, list[tuple[int, bool]]] = {}
        for place, term in enumerate(search.terms):
            for number, form in enumerate(term.word_forms):
                places.setdefault(form, []).append((place, number == 0))
        if not places:
            return {}
        given = list(places)
        rows = self._reader.rows(statement, {"places": int_array(range(len(given))), "words": text_array(given)})
        found: dict[int, list[tuple[Any, ...]]] = {}
        for number, *row in rows:
            for place, is_own in places[given[number]]:
                found.setdefault(place, []).append((is_own, *row))
        return found

    def alike(self, word: str) -> Sequence[KnownWord]:
        """All that may be meant by it, with the words that were not brought into the vocabulary yet."""
        found: Counter[str] = Counter()
        for known, count in self._reader.rows_planned(_ALIKE, {"word": word}):
            found[known] += count
        return [KnownWord(known, count) for known, count in found.items()]
