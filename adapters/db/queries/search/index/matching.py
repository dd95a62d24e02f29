"""Matches of a text query in one segment: documents, the best field of each term, and phrases.

Documents are ascending arrays of numbers. The rules are those of PostgreSQL for `tsvector @@ tsquery`.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from adapters.db.queries.search.index.arrays import NO_DOCUMENTS, Array, is_member, ranges, union
from adapters.db.queries.search.index.query import Phrase, TermQuery
from adapters.db.queries.search.index.segment import MAX_POSITION, POSITION_BITS, Segment
from scalecommerce_core.domain.relevance import BRAND_WEIGHT, DESCRIPTION_WEIGHT, NAME_WEIGHT, PHRASE_WEIGHT

POINTS: Final = np.array([DESCRIPTION_WEIGHT, DESCRIPTION_WEIGHT, BRAND_WEIGHT, NAME_WEIGHT], np.int64)
"""Points of a term by the highest weight at which it occurs."""


@frozen
class Scope:
    """The documents that may match: those below `limit`, and further ones (ascending)."""

    limit: int
    further: NDArray[np.uint32] = NO_DOCUMENTS


def matches(segment: Segment, required: Sequence[TermQuery], excluded: Sequence[TermQuery], scope: Scope) -> Array:
    """Return the documents within the scope that match all required terms and no excluded one.

    As in PostgreSQL, a term of stop words alone is no condition, and a query of such terms has no matches.
    """
    conditions = [phrases for term in required if (phrases := _phrases(term.texts))]
    exclusions = [phrases for term in excluded if (phrases := _phrases(term.texts))]
    if conditions:
        found = _intersection([_find_any(segment, phrases, scope) for phrases in conditions])
    elif exclusions:
        found = np.concatenate((np.arange(scope.limit, dtype=np.uint32), scope.further))
    else:
        return NO_DOCUMENTS
    for phrases in exclusions:
        if not len(found):
            break
        found = found[~is_member(found, _find_any(segment, phrases, scope))]
    return found


def points(segment: Segment, required: Sequence[TermQuery], documents: Array) -> NDArray[np.int64]:
    """Return the text points of documents that match the required terms, without the factors of tier and stock."""
    total = np.zeros(len(documents), np.int64)
    if len(documents):
        for term in required:
            total += POINTS[_best_weights(segment, _phrases(term.texts), documents)]
        if len(required) > 1:
            total += PHRASE_WEIGHT * _has_phrase_of_terms(segment, required, documents)
    return total


# --- documents


def _phrases(texts: Iterable[Phrase]) -> list[Phrase]:
    return [each for each in dict.fromkeys(texts) if each.lexemes]


def _find_any(segment: Segment, phrases: Sequence[Phrase], scope: Scope) -> Array:
    parts = [found for each in phrases if len(found := _find_phrase(segment, each, scope))]
    return union(parts, len(segment))


def _find_phrase(segment: Segment, phrase: Phrase, scope: Scope) -> Array:
    lexemes = [number for lexeme in phrase.lexemes if (number := segment.find_lexeme(lexeme)) is not None]
    if len(lexemes) < len(phrase.lexemes):
        return NO_DOCUMENTS
    found = _intersection([_posting_documents(segment, number, scope) for number in dict.fromkeys(lexemes)])
    if len(lexemes) > 1 and len(found):
        found = found[_phrase_weights(segment, phrase, found) >= 0]
    return found


def _posting_documents(segment: Segment, lexeme: int, scope: Scope) -> Array:
    """Return the documents within the scope that have a lexeme; a view if the scope has no further documents."""
    documents = _list_of(segment, lexeme)
    if scope.limit >= len(segment):
        return documents
    end = int(documents.searchsorted(np.uint32(scope.limit)))
    found = documents[:end]
    if len(scope.further) and end < len(documents):
        found = np.concatenate((found, scope.further[is_member(scope.further, documents[end:])]))
    return found


def _list_of(segment: Segment, lexeme: int) -> NDArray[np.uint32]:
    offsets = segment.postings.offsets
    return segment.postings.documents[offsets[lexeme] : offsets[lexeme + 1]]


def _intersection(parts: Sequence[Array]) -> Array:
    found, *others = sorted(parts, key=len)
    for other in others:
        if not len(found):
            break
        found = found[is_member(found, other)]
    return found


# --- weights: 3 (A) to 0 (D), -1 without a match


def _best_weights(segment: Segment, phrases: Sequence[Phrase], documents: Array) -> NDArray[np.int8]:
    """Return the highest weight at which any of the phrases occurs; that of a phrase is its lexemes' lowest."""
    best = np.zeros(len(documents), np.int8)
    for phrase in phrases:
        if len(phrase.lexemes) == 1:
            number = segment.find_lexeme(phrase.lexemes[0])
            if number is not None:
                np.maximum(best, _lexeme_weights(segment, number, documents), out=best)
        else:
            np.maximum(best, _phrase_weights(segment, phrase, documents), out=best)
    return best


def _lexeme_weights(segment: Segment, lexeme: int, documents: Array) -> NDArray[np.int8]:
    listed = _list_of(segment, lexeme)
    occurrences = segment.postings.occurrences[segment.postings.offsets[lexeme] :][: len(listed)]
    places = listed.searchsorted(documents)
    weights = (occurrences.take(places, mode="clip") >> POSITION_BITS).astype(np.int8)
    weights[listed.take(places, mode="clip") != documents] = -1
    return weights


def _phrase_weights(segment: Segment, phrase: Phrase, documents: Array) -> NDArray[np.int8]:
    best = np.full(len(documents), -1, np.int8)
    found = _phrase_spans(segment, phrase, documents)
    np.maximum.at(best, found.keys >> _KEY_BITS, found.weights)
    return best


# --- spans: where phrases occur


_KEY_BITS: Final = 32


@frozen(eq=False)
class _Spans:
    """Occurrences of a phrase or of alternatives.

    `keys` ascends: the place of the document in an array of documents, and in the lowest 32 bits the position of the
    last word. `widths` is the distance to the first word.
    """

    keys: NDArray[np.int64]
    widths: NDArray[np.int64]
    weights: NDArray[np.int8]


_NO_SPANS: Final = _Spans(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int8))


def _has_phrase_of_terms(segment: Segment, terms: Sequence[TermQuery], documents: Array) -> NDArray[np.bool_]:
    """Return whether the terms occur next to each other, as `tsquery_phrase` of their forms decides it."""
    has_phrase = np.zeros(len(documents), bool)
    found: _Spans | None = None
    for phrases in filter(None, (_phrases(term.forms) for term in terms)):
        spans = reduce(_either, (_phrase_spans(segment, phrase, documents) for phrase in phrases))
        found = spans if found is None else _followed_by(found, 1, spans)
        if not len(found.keys):
            break
    if found is not None:
        has_phrase[found.keys >> _KEY_BITS] = True
    return has_phrase


def _phrase_spans(segment: Segment, phrase: Phrase, documents: Array) -> _Spans:
    found: _Spans | None = None
    for lexeme, distance in zip(phrase.lexemes, phrase.distances, strict=True):
        number = segment.find_lexeme(lexeme)
        spans = _NO_SPANS if number is None else _lexeme_spans(segment, number, documents)
        found = spans if found is None else _followed_by(found, distance, spans)
        if not len(found.keys):
            return _NO_SPANS
    return _NO_SPANS if found is None else found


def _lexeme_spans(segment: Segment, lexeme: int, documents: Array) -> _Spans:
    postings, listed = segment.postings, _list_of(segment, lexeme)
    places = listed.searchsorted(documents)
    (owners,) = (listed.take(places, mode="clip") == documents).nonzero()
    occurrences = postings.occurrences[postings.offsets[lexeme] :][places[owners]]
    start, end = postings.more_offsets[lexeme], postings.more_offsets[lexeme + 1]
    if end > start:
        more = postings.more_documents[start:end]
        firsts = more.searchsorted(documents)
        counts = more.searchsorted(documents, side="right") - firsts
        owners = np.concatenate((owners, np.repeat(np.arange(len(documents)), counts)))
        further = postings.more_occurrences[start:end][ranges(firsts, counts)]
        occurrences = np.concatenate((occurrences, further))
    positions = occurrences & MAX_POSITION
    if not positions.all():
        # A lexeme without positions is in no phrase.
        owners, occurrences, positions = owners[positions > 0], occurrences[positions > 0], positions[positions > 0]
    keys = (owners << _KEY_BITS) + positions
    weights = (occurrences >> POSITION_BITS).astype(np.int8)
    if end > start:
        order = keys.argsort()
        keys, weights = keys[order], weights[order]
    return _Spans(keys, np.zeros(len(keys), np.int64), weights)


def _followed_by(first: _Spans, distance: int, second: _Spans) -> _Spans:
    """Return the spans of `first <distance> second`: `second` begins at this distance from the end of `first`."""
    wanted = second.keys - second.widths - distance
    places = first.keys.searchsorted(wanted)
    (matching,) = (first.keys.take(places, mode="clip") == wanted).nonzero() if len(first.keys) else (_NO_SPANS.keys,)
    before = places[matching]
    return _Spans(
        second.keys[matching],
        first.widths[before] + second.widths[matching] + distance,
        np.minimum(first.weights[before], second.weights[matching]),
    )


def _either(first: _Spans, second: _Spans) -> _Spans:
    """Return the spans of `first | second`.

    PostgreSQL pads the shorter alternative at its end, in documents that have both.
    """
    first, second = _padded(first, second), _padded(second, first)
    keys, places = np.unique(np.concatenate((first.keys, second.keys)), return_index=True)
    widths = np.concatenate((first.widths, second.widths))[places]
    # Callers do not use these weights.
    return _Spans(keys, widths, np.concatenate((first.weights, second.weights))[places])


def _padded(spans: _Spans, other: _Spans) -> _Spans:
    if not len(other.keys) or not other.widths.any():
        return spans
    documents, theirs = spans.keys >> _KEY_BITS, other.keys >> _KEY_BITS
    places = theirs.searchsorted(documents)
    is_in_both = theirs.take(places, mode="clip") == documents
    widths = np.where(is_in_both, np.maximum(spans.widths, other.widths.take(places, mode="clip")), spans.widths)
    return _Spans(spans.keys + widths - spans.widths, widths, spans.weights)
