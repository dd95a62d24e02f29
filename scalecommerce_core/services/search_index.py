"""Searching: keeps what a search needs beside the products: the vocabulary, the order by price, and prominence."""

from collections.abc import Mapping
from typing import Final

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import Store
from scalecommerce_core.services.retry import retried

WORDS: Final = 20_000
PRICES: Final = 5_000
PLACES: Final = 50_000
AT_ONCE: Final = 500
"""The rows of products are rewritten, and their sellers would wait: few in one transaction."""


class Searching:
    """Any number of processes may do this: one does at a time, the others find nothing to do."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @retried(TransactionAborted, ConnectionLost)
    def learn_words(self, limit: int = WORDS) -> int:
        """Typos and beginnings of words are compared with the words that this has learned."""
        with self._store.begin() as tx:
            return tx.search.learn_words(limit)

    @retried(TransactionAborted, ConnectionLost)
    def move_prices(self, limit: int = PRICES) -> int:
        """The order by price follows at once where few prices change, and by this where many do."""
        with self._store.begin() as tx:
            return tx.search.move_prices(limit)

    def place(self, limit: int = PLACES) -> int:
        """Give products their prominence."""
        moves = self._misplaced(limit)
        ids = sorted(moves)
        for begin in range(0, len(ids), AT_ONCE):
            self._place({product_id: moves[product_id] for product_id in ids[begin : begin + AT_ONCE]})
        return len(moves)

    @retried(TransactionAborted, ConnectionLost)
    def _misplaced(self, limit: int) -> Mapping[ProductId, int]:
        with self._store.begin() as tx:
            return tx.search.misplaced(limit)

    @retried(TransactionAborted, ConnectionLost)
    def _place(self, levels: Mapping[ProductId, int]) -> None:
        with self._store.begin() as tx:
            tx.search.place(levels)

    def catch_up(self) -> None:
        """Do all there is to do."""
        while self.learn_words() or self.move_prices() or self.place():
            pass
