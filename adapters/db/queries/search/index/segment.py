"""A segment: the columns and posting lists of some products, which never change and can be mapped from files."""

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import evolve, field, fields, frozen
from numpy.typing import NDArray

from adapters.db.queries.search.index.arrays import Array
from adapters.db.queries.search.index.string_table import MISSING, Numbering, StringTable
from scalecommerce_core.domain.popularity import TOP_TIER
from scalecommerce_core.queries import PRICE_BUCKETS

SEGMENT_FORMAT: Final = 1
"""Version of the files of a segment."""
MAX_DOCUMENTS: Final = 2**30
POSITION_BITS: Final = 14
"""An occurrence is its weight (A 3, B 2, C 1, D 0) in the two highest bits, and its position, as in PostgreSQL."""
MAX_POSITION: Final = 2**POSITION_BITS - 1


@frozen(eq=False)
class Columns:
    """Arrays of one value for each document.

    `ids` ascends within each tier. `brands` and `currencies` are numbers of strings.
    """

    ids: Array
    categories: Array
    brands: Array
    sellers: Array
    prices: Array
    currencies: Array
    created_at: Array
    price_buckets: NDArray[np.uint8]
    tiers: NDArray[np.int8]


@frozen(eq=False)
class Postings:
    """Posting lists, those of lexeme n from `offsets[n]` to `offsets[n + 1]`.

    `documents` ascends within a list, and `occurrences` has the first occurrence of the lexeme in the field of highest
    weight. The other occurrences, which most documents lack, are in the `more_…` arrays, in the order of documents.
    """

    offsets: Array
    documents: NDArray[np.uint32]
    occurrences: NDArray[np.uint16]
    more_offsets: Array
    more_documents: NDArray[np.uint32]
    more_occurrences: NDArray[np.uint16]


@frozen(eq=False, slots=False)
class Segment:
    """Products as numbered documents, in the order of their tiers (highest first) and ids (lowest first).

    So the documents of a tier and above come first in every posting list. `tier_ends[t]` is the number of documents
    of tier t and above when the segment was built; `tier_ends[0]` is the number of documents.
    """

    columns: Columns
    postings: Postings
    lexicon: StringTable
    brands: Numbering
    currencies: Numbering
    tier_ends: tuple[int, ...] = field()

    @tier_ends.default
    def _count_tiers(self) -> tuple[int, ...]:
        counts = np.bincount(self.columns.tiers, minlength=TOP_TIER + 1)
        return tuple(np.cumsum(counts[::-1])[::-1].tolist())

    def __len__(self) -> int:
        return len(self.columns.ids)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays().values())

    @cached_property
    def max_category(self) -> int:
        return int(self.columns.categories.max(initial=0))

    def find_lexeme(self, lexeme: str) -> int | None:
        """Return the number of a lexeme; None if no document has it."""
        number = self.lexicon.find(lexeme)
        return None if number == MISSING else number

    def find_documents(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the documents with these product ids; other ids are left out."""
        known = self.columns.ids
        limits = np.iinfo(known.dtype)
        # In the type of the column, which would otherwise be converted.
        wanted = ids[(ids >= limits.min) & (ids <= limits.max)].astype(known.dtype)
        found = [np.empty(0, np.int64)]
        for start, end in pairwise((0, *reversed(self.tier_ends))):
            ascending = known[start:end]
            if len(ascending):
                places = ascending.searchsorted(wanted)
                found.append(places[ascending.take(places, mode="clip") == wanted] + start)
        return np.concatenate(found)

    def with_prices(self, documents: Array, prices: NDArray[np.int64]) -> "Segment":
        """Return the segment with other prices of some documents."""
        columns = self.columns
        # In the present type if the prices fit: conversions of a million prices take many milliseconds.
        limits = np.iinfo(columns.prices.dtype)
        is_wide = len(prices) > 0 and (prices.min() < limits.min or prices.max() > limits.max)
        changed = columns.prices.astype(np.int64) if is_wide else columns.prices.copy()
        buckets = columns.price_buckets.copy()
        changed[documents], buckets[documents] = prices, price_buckets(prices)
        return evolve(self, columns=evolve(columns, prices=changed, price_buckets=buckets))

    # --- files

    def write(self, directory: Path) -> None:
        """Write the files of the segment into a new directory, which only its owner may enter."""
        directory.mkdir(mode=0o700)
        for name, array in self._arrays().items():
            np.save(directory / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def open(cls, directory: Path) -> "Segment":
        """Map the files of a segment into memory, which processes share.

        Raises `ValueError` if a file is missing or damaged.
        """
        arrays = {path.stem: _map(path) for path in directory.glob("*.npy")}
        if missing := _FILES - arrays.keys():
            raise ValueError(f"{directory} lacks {', '.join(sorted(missing))}; the index is rebuilt.")
        part = _part(arrays)
        return cls(
            Columns(**part("columns")),
            Postings(**part("postings")),
            StringTable(**part("lexicon")),
            Numbering(StringTable(**part("brands"))),
            Numbering(StringTable(**part("currencies"))),
        )

    def _arrays(self) -> Mapping[str, Array]:
        """The arrays by the names of their files."""
        parts = {
            "columns": self.columns,
            "postings": self.postings,
            "lexicon": self.lexicon,
            "brands": self.brands.table,
            "currencies": self.currencies.table,
        }
        return {
            f"{part}.{name}": getattr(value, name) for part, value in parts.items() for name in names_of(type(value))
        }


def names_of(cls: type[Any]) -> list[str]:
    """Return the names of the arrays of `Columns`, `Postings` or `StringTable`."""
    return [attribute.name for attribute in fields(cls)]


def price_buckets(prices: Array) -> NDArray[np.uint8]:
    """Return the number of bounds of `PRICE_BUCKETS` that are not above each price, as `width_bucket` does."""
    return np.searchsorted(PRICE_BUCKETS, prices, side="right").astype(np.uint8)


_FILES: Final = frozenset(
    f"{part}.{name}"
    for part, cls in (
        ("columns", Columns),
        ("postings", Postings),
        ("lexicon", StringTable),
        ("brands", StringTable),
        ("currencies", StringTable),
    )
    for name in names_of(cls)
)


def _part(arrays: Mapping[str, Array]) -> Callable[[str], dict[str, Any]]:
    def part(name: str) -> dict[str, Any]:
        prefix = f"{name}."
        return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}

    return part


def _map(path: Path) -> Array:
    try:
        # As a plain array: each slice of a memmap costs several times as much.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged; the index is rebuilt.") from error
