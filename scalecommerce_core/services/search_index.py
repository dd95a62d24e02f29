"""Maintains the search index beside the products: the vocabulary, the price index and the popularity tiers."""

from collections.abc import Mapping
from typing import Final

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import Store
from scalecommerce_core.services.retry import retry_on

VOCABULARY_BATCH: Final = 20_000
"""Word changes per transaction."""
PRICE_BATCH: Final = 5_000
"""Products per transaction of `sync_price_index`."""
POPULARITY_BATCH: Final = 50_000
"""Products per call of `refresh_popularity`."""
ROWS_PER_TRANSACTION: Final = 500
"""Product rows that one transaction of `refresh_popularity` rewrites: few, because it blocks edits of them."""


class SearchIndex:
    """Any number of processes may call these: one works at a time, the others return 0 at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @retry_on(TransactionAborted, ConnectionLost)
    def update_vocabulary(self, limit: int = VOCABULARY_BATCH) -> int:
        """Apply up to `limit` word changes to the vocabulary of corrections and completions; return how many."""
        with self._store.begin() as tx:
            return tx.search.update_vocabulary(limit)

    @retry_on(TransactionAborted, ConnectionLost)
    def sync_price_index(self, limit: int = PRICE_BATCH) -> int:
        """Copy pending prices of up to `limit` products into the price index; return how many were checked.

        A transaction that changes few prices updates the index itself; large batches leave theirs pending.
        """
        with self._store.begin() as tx:
            return tx.search.sync_price_index(limit)

    def refresh_popularity(self, limit: int = POPULARITY_BATCH) -> int:
        """Recompute popularity tiers and store up to `limit` that changed; return how many.

        Tiers are a part of the relevance of search results (`domain.popularity`).
        """
        changed = self._outdated_popularity(limit)
        ids = sorted(changed)
        for begin in range(0, len(ids), ROWS_PER_TRANSACTION):
            self._save_popularity({id_: changed[id_] for id_ in ids[begin : begin + ROWS_PER_TRANSACTION]})
        return len(changed)

    @retry_on(TransactionAborted, ConnectionLost)
    def _outdated_popularity(self, limit: int) -> Mapping[ProductId, int]:
        with self._store.begin() as tx:
            return tx.search.outdated_popularity(limit)

    @retry_on(TransactionAborted, ConnectionLost)
    def _save_popularity(self, tiers: Mapping[ProductId, int]) -> None:
        with self._store.begin() as tx:
            tx.search.save_popularity(tiers)

    def catch_up(self) -> None:
        """Repeat all three until nothing is pending."""
        while self.update_vocabulary() or self.sync_price_index() or self.refresh_popularity():
            pass
