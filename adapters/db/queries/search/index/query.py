"""Queries of the search index: terms of a text, and filters."""

import re
from collections.abc import Collection
from typing import Final

from attrs import frozen

_LEXEME: Final = re.compile(r"'((?:[^'\\]|''|\\.)*)'")
_OPERATOR: Final = re.compile(r" <(?:(-)|(\d+))> ")
_ESCAPED: Final = re.compile(r"''|\\(.)")


class UnsupportedTextQuery(ValueError):
    """A text query that is more than a phrase; a statement must be executed for it."""


@frozen
class Phrase:
    """Lexemes at fixed distances: `distances[n]` is that of lexeme n to the one before it; the first is 0.

    A single word is a phrase of one lexeme; a text of stop words is a phrase of none.
    """

    lexemes: tuple[str, ...]
    distances: tuple[int, ...]

    @classmethod
    def parse(cls, tsquery: str) -> "Phrase":
        """Parse the text of a query that `phraseto_tsquery` returned, such as `'blue' <-> 'tea'`.

        Raises `UnsupportedTextQuery` for other operators, weights and prefixes.
        """
        lexemes: list[str] = []
        distances: list[int] = []
        place = 0
        while place < len(tsquery):
            distance = 0
            if lexemes:
                operator = _OPERATOR.match(tsquery, place)
                if operator is None:
                    raise UnsupportedTextQuery(f"Not a phrase: {tsquery}")
                distance = 1 if operator[1] else int(operator[2])
                place = operator.end()
            lexeme = _LEXEME.match(tsquery, place)
            if lexeme is None:
                raise UnsupportedTextQuery(f"Not a phrase: {tsquery}")
            lexemes.append(unescaped(lexeme[1]))
            distances.append(distance)
            place = lexeme.end()
        return cls(tuple(lexemes), tuple(distances))


@frozen
class TermQuery:
    """A term of a search, which matches any of its `texts`.

    `forms` are the alternatives that take part in the phrase of all required terms.
    """

    texts: tuple[Phrase, ...]
    forms: tuple[Phrase, ...] = ()


@frozen
class IndexFilters:
    """Conditions on columns; None is no condition.

    Prices (minor units) are inclusive bounds, times (µs since 1970, UTC) exclusive ones.
    """

    price_min: int | None = None
    price_max: int | None = None
    currency: str | None = None
    categories: Collection[int] | None = None
    brands: Collection[str] | None = None
    seller: int | None = None
    created_after: int | None = None
    created_before: int | None = None


NO_FILTERS: Final = IndexFilters()


@frozen
class IndexQuery:
    """Products that match each of the required terms, at least one, no excluded term, and the filters."""

    required: tuple[TermQuery, ...]
    excluded: tuple[TermQuery, ...] = ()
    filters: IndexFilters = NO_FILTERS


def unescaped(lexeme: str) -> str:
    """Return a lexeme without the escapes of the text forms of tsquery and tsvector."""
    if "'" not in lexeme and "\\" not in lexeme:
        return lexeme
    return _ESCAPED.sub(lambda found: found[1] or "'", lexeme)
