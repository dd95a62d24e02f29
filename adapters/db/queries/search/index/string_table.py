"""Strings and their numbers: lexemes, brands and currencies.

A hash table in arrays, which processes can share as files, unlike a dict.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final
from zlib import crc32

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

MISSING: Final = -1
"""The number of a string that a table does not have."""


@frozen(slots=False, eq=False)
class StringTable:
    """Distinct strings, numbered in their order.

    `text` holds their UTF-8, that of number n from `offsets[n]` to `offsets[n + 1]`. `slots` holds, from `buckets[b]`
    to `buckets[b + 1]`, the numbers of the strings whose hashes have the highest bits b.
    """

    text: NDArray[np.uint8]
    offsets: NDArray[np.uint32]
    slots: NDArray[np.uint32]
    buckets: NDArray[np.uint32]

    @classmethod
    def build(cls, strings: Sequence[str]) -> tuple["StringTable", NDArray[np.uint32]]:
        """Return a table of distinct strings, and the number of each of them."""
        encoded = [each.encode() for each in strings]
        order = sorted(range(len(encoded)), key=encoded.__getitem__)
        encoded = [encoded[place] for place in order]
        numbers = np.empty(len(encoded), np.uint32)
        numbers[order] = np.arange(len(encoded), dtype=np.uint32)
        hashes = np.fromiter(map(crc32, encoded), np.uint32, len(encoded))
        slots = np.argsort(hashes).astype(np.uint32)
        bucket_bits = max(len(encoded) - 1, 1).bit_length()
        buckets = np.searchsorted(hashes[slots] >> (32 - bucket_bits), np.arange(2**bucket_bits + 1))
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        text = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(text, _offsets(lengths), slots, buckets.astype(np.uint32)), numbers

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def find(self, string: str) -> int:
        """Return the number of a string, or `MISSING`."""
        encoded = string.encode()
        text, offsets, slots, buckets, shift = self._views
        bucket = crc32(encoded) >> shift
        for slot in range(buckets[bucket], buckets[bucket + 1]):
            number: int = slots[slot]
            if text[offsets[number] : offsets[number + 1]] == encoded:
                return number
        return MISSING

    def __getitem__(self, number: int) -> str:
        text, offsets, *_ = self._views
        return str(text[offsets[number] : offsets[number + 1]], "utf-8")

    @cached_property
    def _views(self) -> tuple[memoryview, memoryview, memoryview, memoryview, int]:
        # Reading one element of a memoryview takes a third of the time that an array takes.
        shift = 32 - (len(self.buckets) - 1).bit_length() + 1
        return self.text.data, self.offsets.data, self.slots.data, self.buckets.data, shift


class Numbering:
    """Numbers of strings: those of a table, in the order of the strings, and higher ones of strings that were added."""

    def __init__(self, table: StringTable) -> None:
        self.table = table
        self._added: list[str] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.table) + len(self._added)

    def find(self, string: str) -> int:
        """Return the number of a string, or `MISSING`."""
        found = self.table.find(string)
        return self._numbers.get(string, MISSING) if found == MISSING else found

    def find_all(self, strings: Iterable[str]) -> list[int]:
        """Return the numbers of the strings that are known."""
        return [number for number in map(self.find, strings) if number != MISSING]

    def add(self, string: str) -> int:
        """Return the number of a string, which is added if it is new. Only one thread at a time may add strings."""
        found = self.find(string)
        if found == MISSING:
            found = len(self)
            self._added.append(string)
            self._numbers[string] = found
        return found

    def __getitem__(self, number: int) -> str:
        beyond = number - len(self.table)
        return self.table[number] if beyond < 0 else self._added[beyond]


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    ends = np.cumsum(lengths)
    if len(ends) and ends[-1] >= 2**32:
        raise ValueError("The strings have more than 4 GiB: an index of this size is not supported.")
    return np.concatenate(([0], ends)).astype(np.uint32)
