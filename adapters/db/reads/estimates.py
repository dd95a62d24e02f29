"""How many products there may be, as far as statistics tell."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen
from sqlalchemy import text

from adapters.db.reads.matching import Match, ids_of
from adapters.db.reads.reader import Reader

KEPT_SECONDS: Final = 30.0
MOST_KEPT: Final = 10_000

_CATALOGUE: Final = text(
    """
    SELECT greatest(reltuples, 1), pg_relation_size(oid) FROM pg_class WHERE oid = CAST('products' AS regclass)
    """
)


@frozen
class Catalogue:
    """As PostgreSQL knows it. `products` comes from statistics, and is 1 before there are any; `size` is in bytes."""

    products: int
    size: int


class Estimates:
    """They are kept for a moment: statistics are not made anew more often, and planning takes as long as a page.

    What is kept is dropped by generations, so that forgetting is one assignment.
    """

    def __init__(self, reader: Reader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._begun = float("-inf")
        self._kept: dict[object, int] = {}
        self._catalogue: Catalogue | None = None

    def expected(self, match: Match, values: Mapping[str, object]) -> int:
        """How many products the planner expects of a search, which is not run."""
        kept = self._fresh()
        key = match, tuple(values.items())
        found = kept.get(key)
        if found is None:
            found = kept[key] = self._reader.estimate(ids_of(match), values)
        return found

    def catalogue(self) -> Catalogue:
        self._fresh()
        if (catalogue := self._catalogue) is None:
            ((count, size),) = self._reader.rows(_CATALOGUE)
            catalogue = self._catalogue = Catalogue(int(count), size)
        return catalogue

    def _fresh(self) -> dict[object, int]:
        now = self._clock()
        if now - self._begun >= KEPT_SECONDS or len(self._kept) >= MOST_KEPT:
            self._kept, self._catalogue, self._begun = {}, None, now
        return self._kept
