"""The search index: vocabulary, popularity, price index."""

from collections.abc import Mapping
from typing import Protocol

from scalecommerce_core.domain.identifiers import ProductId


class SearchRepository(Protocol):
    """What searching needs beside the products themselves; kept up by a task, one at a time."""

    def update_vocabulary(self, limit: int) -> int:
        """Bring up to `limit` news of words into the vocabulary; return how many there were."""
        ...

    def sync_price_index(self, limit: int) -> int:
        """Bring the prices of up to `limit` products into the order by price; return how many were looked at."""
        ...

    def outdated_popularity(self, limit: int) -> Mapping[ProductId, int]:
        """Up to `limit` active products whose prominence should be another, and which (`domain.prominence`).

        This reads whole tables.
        """
        ...

    def save_popularity(self, levels: Mapping[ProductId, int]) -> None: ...
