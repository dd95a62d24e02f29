"""How many products there may be, as far as statistics tell."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen
from sqlalchemy import text

from adapters.db.queries.executor import Reader
from adapters.db.queries.search.filters import Match, ids_of
from adapters.db.queries.search.ttl_cache import TtlCache

MOST_KEPT: Final = 5_000

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
    """They are kept: statistics are not made anew more often, and planning takes as long as a page."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._expected: TtlCache[int] = TtlCache(MOST_KEPT)
        self._catalogue: TtlCache[Catalogue] = TtlCache(1)

    def expected(self, match: Match, values: Mapping[str, object]) -> int:
        """How many products the planner expects of a search, which is not run."""
        key = match, tuple(values.items())
        found = self._expected.get(key)
        if found is None:
            found = self._reader.estimate(ids_of(match), values)
            self._expected.put(key, found)
        return found

    def catalogue(self) -> Catalogue:
        found = self._catalogue.get("")
        if found is None:
            ((count, size),) = self._reader.rows(_CATALOGUE)
            found = Catalogue(int(count), size)
            self._catalogue.put("", found)
        return found
