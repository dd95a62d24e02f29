"""A page of ranked candidates, whose stock is looked up for about as many as the page shows."""

from collections.abc import Callable, Collection
from math import ceil
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.relevance import IN_STOCK_FACTOR, SOLD_OUT_FACTOR

FindInStock = Callable[[list[int]], Collection[int]]
"""Returns those of the given products that have available units."""
FIRST_LOOK_UP: Final = 1.5
"""How many times as many products as the page shows are looked up first: a statement costs more than some products."""
LOOK_UP_GROWTH: Final = 4
"""How many times as many products each further look-up has, while the page is not full."""


@frozen(eq=False)
class RankedCandidates:
    """Candidates in the order of (points, id), highest first; `points` lacks the factor for stock.

    If `count`, the number of candidates, exceeds the maximum of the ranking, `points` and `ids` are empty.
    """

    count: int
    points: NDArray[np.int64]
    ids: NDArray[np.int64]


def ranked_page(
    ranking: RankedCandidates,
    limit: int,
    cursor: tuple[int, int] | None,
    find_in_stock: FindInStock,
    *,
    backwards: bool = False,
) -> list[tuple[int, int]]:
    """Return at most `limit` rows (score, id) below the cursor, highest first; with `backwards` those above it, lowest
    first.

    Candidates in stock have the higher factor, so they are walked in the order of their points until `limit` of them
    are found. Then only those candidates are looked up whose score, if they are sold out, reaches that of the last one.
    """
    points, ids = (ranking.points[::-1], ranking.ids[::-1]) if backwards else (ranking.points, ranking.ids)
    stock = _StockLookUp(find_in_stock)
    in_stock = _beyond(points * IN_STOCK_FACTOR, ids, cursor, backwards=backwards)
    rows: list[tuple[int, int]] = []
    start, size = 0, ceil(limit * FIRST_LOOK_UP)
    while len(rows) < limit and start < len(in_stock):
        places = in_stock[start : start + size]
        chunk = ids[places].tolist()
        stock.look_up(chunk)
        scores = (points[places] * IN_STOCK_FACTOR).tolist()
        rows += [row for row in zip(scores, chunk, strict=True) if row[1] in stock.available]
        start, size = start + size, size * LOOK_UP_GROWTH
    rows = rows[:limit]
    scores = points * SOLD_OUT_FACTOR
    sold_out = _beyond(scores, ids, cursor, backwards=backwards)
    if len(rows) == limit:
        last = rows[-1][0]
        sold_out = sold_out[scores[sold_out] <= last if backwards else scores[sold_out] >= last]
    start, size, missing = 0, limit, limit
    while missing > 0 and start < len(sold_out):
        places = sold_out[start : start + size]
        chunk = ids[places].tolist()
        stock.look_up(chunk)
        found = [row for row in zip(scores[places].tolist(), chunk, strict=True) if row[1] not in stock.available]
        rows += found
        start, size, missing = start + size, size * LOOK_UP_GROWTH, missing - len(found)
    rows.sort(reverse=not backwards)
    return rows[:limit]


def _beyond(
    scores: NDArray[np.int64], ids: NDArray[np.int64], cursor: tuple[int, int] | None, *, backwards: bool
) -> NDArray[np.intp]:
    """Return the places of the rows that follow the cursor."""
    if cursor is None:
        return np.arange(len(scores))
    score, id_ = cursor
    if backwards:
        return np.flatnonzero((scores > score) | ((scores == score) & (ids > id_)))
    return np.flatnonzero((scores < score) | ((scores == score) & (ids < id_)))


class _StockLookUp:
    """Products whose stock is known; each is looked up once."""

    def __init__(self, find_in_stock: FindInStock) -> None:
        self._find_in_stock = find_in_stock
        self._known: set[int] = set()
        self.available: set[int] = set()

    def look_up(self, ids: list[int]) -> None:
        unknown = [id_ for id_ in ids if id_ not in self._known]
        if unknown:
            self._known.update(unknown)
            self.available.update(self._find_in_stock(unknown))
