"""Building of segments: from products, and from the documents of other segments."""

import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, Self

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from adapters.db.queries.search.index.arrays import Array, narrow
from adapters.db.queries.search.index.product_row import ProductRow
from adapters.db.queries.search.index.query import unescaped
from adapters.db.queries.search.index.segment import (
    MAX_DOCUMENTS,
    POSITION_BITS,
    Columns,
    Postings,
    Segment,
    names_of,
    price_buckets,
)
from adapters.db.queries.search.index.string_table import Numbering, StringTable

_LEXEME: Final = re.compile(r"'((?:[^'\\]|''|\\.)*)'(?::([0-9A-D,]+))?")
_WEIGHTS: Final = {"A": 3, "B": 2, "C": 1}
_OCCURRENCE_BITS: Final = 16
_INVERTED: Final = 0b11 << POSITION_BITS
"""Inverts the weight of an occurrence, so that the highest weight sorts first."""


MAX_KEPT_OCCURRENCES: Final = 100_000
OCCURRENCES_AT_ONCE: Final = 1_000_000
"""Occurrences of which copies are made at once, so that they take little memory."""


class SegmentBuilder:
    """Collects products and builds a segment of them.

    Without `names`, brands and currencies get numbers of their own; otherwise those of the given numberings.
    """

    def __init__(self, names: tuple[Numbering, Numbering] | None = None) -> None:
        self._names = names
        self._columns = {name: array("q") for name in ProductRow._fields if name != "document"}
        self._brands, self._currencies = _NumberOf(), _NumberOf()
        self._lexemes, self._parsed = _NumberOf(), _OccurrencesOf()
        # For each lexeme of each document its number and its number of occurrences, and for each document its lexemes.
        self._lexeme_numbers, self._counts, self._lengths = array("I"), array("H"), array("I")
        self._occurrences = array("H")

    def add(self, rows: Iterable[Sequence[Any]]) -> Self:
        """Add products, of which no two may have the same id: the values of `ProductRow`, in its order."""
        columns, brands, currencies = [*self._columns.values()], self._brands, self._currencies
        for id_, category, brand, seller, price, currency, created_at, tier, document in rows:
            values = id_, category, brands[brand], seller, price, currencies[currency], created_at, tier
            for column, value in zip(columns, values, strict=True):
                column.append(value)
            self._add_document(document)
        return self

    def _add_document(self, document: str) -> None:
        found = _LEXEME.findall(document)
        self._lengths.append(len(found))
        if found:
            lexemes, positions = zip(*found, strict=True)
            occurrences = [self._parsed[each] for each in positions]
            self._lexeme_numbers.extend(map(self._lexemes.__getitem__, lexemes))
            self._counts.extend(map(len, occurrences))
            self._occurrences.extend(chain.from_iterable(occurrences))

    def build(self) -> Segment:
        """Return the segment of the products that were added; it may be empty."""
        columns = {name: np.array(values, np.int64) for name, values in self._columns.items()}
        lexicon, lexeme_numbers = StringTable.build([unescaped(lexeme) for lexeme in self._lexemes])
        if self._names is None:
            brand_table, brand_numbers = StringTable.build([*self._brands])
            currency_table, currency_numbers = StringTable.build([*self._currencies])
            names = Numbering(brand_table), Numbering(currency_table)
        else:
            names = self._names
            brand_numbers = _add_all(names[0], self._brands)
            currency_numbers = _add_all(names[1], self._currencies)
        brands = brand_numbers[columns["brand"]]
        currencies = currency_numbers[columns["currency"]]
        # Without copies: these arrays have an item for each lexeme of each document.
        counts, lexemes = np.frombuffer(self._counts, np.uint16), np.frombuffer(self._lexeme_numbers, np.uint32)
        documents = np.repeat(np.arange(len(columns["id"]), dtype=np.uint32), self._lengths)
        return _build_segment(
            _Documents(
                Columns(
                    columns["id"],
                    columns["category_id"],
                    brands,
                    columns["seller_id"],
                    columns["price"],
                    currencies,
                    columns["created_at"],
                    price_buckets(columns["price"]),
                    columns["tier"].astype(np.int8),
                ),
                np.repeat(documents, counts),
                np.repeat(lexeme_numbers[lexemes], counts),
                np.frombuffer(self._occurrences, np.uint16),
            ),
            lexicon,
            names,
        )


def merge_segments(segments: Sequence[tuple[Segment, NDArray[np.int8]]]) -> Segment:
    """Return one segment of the documents of several, which share their brands and currencies.

    Each segment is given with the present tiers of its documents, -1 for those that are deleted.
    """
    brands, currencies = segments[0][0].brands, segments[0][0].currencies
    parts = [_live_documents(segment, tiers) for segment, tiers in segments]
    texts = [[segment.lexicon[number] for number in np.unique(part.lexemes).tolist()]
             for (segment, _), part in zip(segments, parts, strict=True)]  # fmt: skip
    lexicon, numbers = StringTable.build(distinct := list(dict.fromkeys(chain.from_iterable(texts))))
    number_of = dict(zip(distinct, numbers.tolist(), strict=True))
    renumbered = []
    for part, strings in zip(parts, texts, strict=True):
        new_numbers = np.array([number_of[string] for string in strings], np.uint32)
        renumbered.append(new_numbers[np.unique(part.lexemes, return_inverse=True)[1]])
    starts = np.cumsum([0, *(len(part.columns.ids) for part in parts)])
    columns = (np.concatenate([getattr(part.columns, name) for part in parts]) for name in names_of(Columns))
    merged = _Documents(
        Columns(*columns),
        np.concatenate([part.documents + start for part, start in zip(parts, starts[:-1], strict=True)]),
        np.concatenate(renumbered),
        np.concatenate([part.occurrences for part in parts]),
    )
    return _build_segment(merged, lexicon, (brands, currencies))


@frozen(eq=False)
class _Documents:
    """Documents in any order, and their occurrences in any order: document, number of the lexeme, and where."""

    columns: Columns
    documents: Array
    lexemes: Array
    occurrences: NDArray[np.uint16]


def _live_documents(segment: Segment, tiers: NDArray[np.int8]) -> _Documents:
    postings, is_live = segment.postings, tiers >= 0
    numbers = np.arange(len(segment.lexicon), dtype=np.uint32)
    lexemes = np.concatenate((
        np.repeat(numbers, np.diff(postings.offsets)),
        np.repeat(numbers, np.diff(postings.more_offsets)),
    ))  # fmt: skip
    documents = np.concatenate((postings.documents, postings.more_documents))
    kept = is_live[documents]
    columns = (getattr(segment.columns, name)[is_live] for name in names_of(Columns))
    return _Documents(
        evolve(Columns(*columns), tiers=tiers[is_live]),
        (np.cumsum(is_live) - 1)[documents[kept]],
        lexemes[kept],
        np.concatenate((postings.occurrences, postings.more_occurrences))[kept],
    )


def _build_segment(found: _Documents, lexicon: StringTable, names: tuple[Numbering, Numbering]) -> Segment:
    order = np.lexsort((found.columns.ids, -found.columns.tiers))
    if len(order) > MAX_DOCUMENTS:
        raise ValueError(f"{len(order)} products: a segment has at most {MAX_DOCUMENTS}.")
    numbers = np.empty(len(order), np.uint32)
    numbers[order] = np.arange(len(order), dtype=np.uint32)
    columns = _narrowed(Columns(*(getattr(found.columns, name)[order] for name in names_of(Columns))))
    keys = _sorted_keys(found, numbers, len(lexicon))
    # The keys have all that the postings need.
    del found
    return Segment(columns, _to_postings(keys, _document_bits(len(numbers)), len(lexicon)), lexicon, *names)


def _sorted_keys(found: _Documents, numbers: NDArray[np.uint32], lexeme_count: int) -> NDArray[np.uint64]:
    """Return one number for each occurrence: lexeme, document, and where it is, the highest weight first.

    `numbers` maps the documents. Sorting these numbers is many times faster than sorting by several arrays.
    """
    document_bits = _document_bits(len(numbers))
    if document_bits + max(lexeme_count - 1, 1).bit_length() + _OCCURRENCE_BITS > 64:
        raise ValueError(f"{len(numbers)} products with {lexeme_count} lexemes: the index does not support so many.")
    keys = np.empty(len(found.occurrences), np.uint64)
    for start in range(0, len(keys), OCCURRENCES_AT_ONCE):
        part = slice(start, start + OCCURRENCES_AT_ONCE)
        keys[part] = found.lexemes[part]
        keys[part] <<= np.uint64(document_bits)
        keys[part] |= numbers[found.documents[part]]
        keys[part] <<= np.uint64(_OCCURRENCE_BITS)
        keys[part] |= found.occurrences[part] ^ np.uint16(_INVERTED)
    keys.sort()
    return keys


def _document_bits(documents: int) -> int:
    return max(documents - 1, 1).bit_length()


def _to_postings(keys: NDArray[np.uint64], document_bits: int, lexeme_count: int) -> Postings:
    """Divide the keys, which are overwritten."""
    occurrences = keys.astype(np.uint16) ^ np.uint16(_INVERTED)
    keys >>= np.uint64(_OCCURRENCE_BITS)
    is_first = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    documents = keys.astype(np.uint32) & np.uint32(2**document_bits - 1)
    keys >>= np.uint64(document_bits)
    lists = keys.searchsorted(np.arange(lexeme_count + 1, dtype=np.uint64))
    (more,) = (~is_first).nonzero()
    # Of the occurrences before a list, those that are not the first ones of their document.
    more_offsets = more.searchsorted(lists)
    return Postings(
        narrow(lists - more_offsets),
        documents[is_first],
        occurrences[is_first],
        narrow(more_offsets),
        documents[more],
        occurrences[more],
    )


def _narrowed(columns: Columns) -> Columns:
    return Columns(
        narrow(columns.ids),
        narrow(columns.categories),
        narrow(columns.brands),
        narrow(columns.sellers),
        narrow(columns.prices),
        columns.currencies.astype(np.uint16),
        columns.created_at.astype(np.int64),
        columns.price_buckets,
        columns.tiers,
    )


class _NumberOf(dict[str, int]):
    """Numbers distinct strings in the order of their first look-up."""

    def __missing__(self, string: str) -> int:
        self[string] = number = len(self)
        return number


class _OccurrencesOf(dict[str, tuple[int, ...]]):
    """Occurrences by their text, such as `1A,5B,7`, which most documents share; other texts are not kept."""

    def __missing__(self, positions: str) -> tuple[int, ...]:
        found = []
        # A lexeme without positions has the position 0.
        for each in positions.split(",") if positions else ["0"]:
            weight = _WEIGHTS.get(each[-1], 0)
            found.append(weight << POSITION_BITS | int(each.rstrip("ABCD")))
        occurrences = tuple(found)
        if len(self) < MAX_KEPT_OCCURRENCES:
            self[positions] = occurrences
        return occurrences


def _add_all(names: Numbering, strings: Iterable[str]) -> NDArray[np.uint32]:
    return np.array([names.add(string) for string in strings], np.uint32)
