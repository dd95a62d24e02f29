"""The search index: vocabulary, popularity, price index."""

from collections.abc import Mapping
from typing import Protocol

from scalecommerce_core.domain.identifiers import ProductId


class SearchRepository(Protocol):
    """What searching needs beside the products themselves; kept up by a task, one at a time."""

    def learn_words(self, limit: int) -> int:
        """Bring up to `limit` news of words into the vocabulary; return how many there were."""
        ...

    def move_prices(self, limit: int) -> int:
        """Bring the prices of up to `limit` products into the order by price; return how many were looked at."""
        ...

    def misplaced(self, limit: int) -> Mapping[ProductId, int]:
        """Up to `limit` active products whose prominence should be another, and which (`domain.prominence`).

        This reads whole tables.
        """
        ...

    def place(self, levels: Mapping[ProductId, int]) -> None: ...
