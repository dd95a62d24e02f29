"""The search index: vocabulary, price index, popularity tiers."""

from collections.abc import Mapping
from typing import Protocol

from scalecommerce_core.domain.identifiers import ProductId


class SearchRepository(Protocol):
    """Data that searches use beside the products themselves; one transaction at a time updates it."""

    def update_vocabulary(self, limit: int) -> int:
        """Apply up to `limit` pending word changes to the vocabulary; return how many."""
        ...

    def sync_price_index(self, limit: int) -> int:
        """Copy the pending prices of up to `limit` products into the price index; return how many products were
        checked.
        """
        ...

    def outdated_popularity(self, limit: int) -> Mapping[ProductId, int]:
        """The right tier of up to `limit` active products whose stored tier is outdated (`domain.popularity`).

        It reads the whole table of products.
        """
        ...

    def save_popularity(self, levels: Mapping[ProductId, int]) -> None:
        """Store popularity tiers of products."""
        ...
