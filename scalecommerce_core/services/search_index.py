"""Searching: keeps what a search needs beside the products: the vocabulary, the order by price, and prominence."""

from collections.abc import Mapping
from typing import Final

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import Store
from scalecommerce_core.services.retry import retry_on

VOCABULARY_BATCH: Final = 20_000
PRICE_BATCH: Final = 5_000
POPULARITY_BATCH: Final = 50_000
ROWS_PER_TRANSACTION: Final = 500
"""The rows of products are rewritten, and their sellers would wait: few in one transaction."""


class SearchIndex:
    """Any number of processes may do this: one does at a time, the others find nothing to do."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @retry_on(TransactionAborted, ConnectionLost)
    def update_vocabulary(self, limit: int = VOCABULARY_BATCH) -> int:
        """Typos and beginnings of words are compared with the words that this has learned."""
        with self._store.begin() as tx:
            return tx.search.update_vocabulary(limit)

    @retry_on(TransactionAborted, ConnectionLost)
    def sync_price_index(self, limit: int = PRICE_BATCH) -> int:
        """The order by price follows at once where few prices change, and by this where many do."""
        with self._store.begin() as tx:
            return tx.search.sync_price_index(limit)

    def refresh_popularity(self, limit: int = POPULARITY_BATCH) -> int:
        """Give products their prominence."""
        moves = self._misplaced(limit)
        ids = sorted(moves)
        for begin in range(0, len(ids), ROWS_PER_TRANSACTION):
            self._place({product_id: moves[product_id] for product_id in ids[begin : begin + ROWS_PER_TRANSACTION]})
        return len(moves)

    @retry_on(TransactionAborted, ConnectionLost)
    def _misplaced(self, limit: int) -> Mapping[ProductId, int]:
        with self._store.begin() as tx:
            return tx.search.outdated_popularity(limit)

    @retry_on(TransactionAborted, ConnectionLost)
    def _place(self, levels: Mapping[ProductId, int]) -> None:
        with self._store.begin() as tx:
            tx.search.save_popularity(levels)

    def catch_up(self) -> None:
        """Do all there is to do."""
        while self.update_vocabulary() or self.sync_price_index() or self.refresh_popularity():
            pass
