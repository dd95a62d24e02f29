"""Promotions and their products."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.promotion import PromotedProduct, Promotion, PromotionCandidate


class PromotionRepository(Protocol):
    """Promotions. `add` and `save` also write the events that the promotions carry."""

    def next_ids(self, count: int) -> Sequence[PromotionId]:
        """Draw `count` new ids."""
        ...

    def add(self, promotion: Promotion, products: Collection[PromotedProduct]) -> None:
        """Insert a promotion with its products."""
        ...

    def get_many(self, ids: Collection[PromotionId]) -> Mapping[PromotionId, Promotion]:
        """Read promotions without a lock."""
        ...

    def lock(self, ids: Collection[PromotionId]) -> Mapping[PromotionId, Promotion]:
        """Lock and read promotions, in id order."""
        ...

    def save(self, promotions: Collection[Promotion]) -> None:
        """Update promotions that this transaction has locked."""
        ...

    def claim_due(self, now: datetime, limit: int) -> Sequence[Promotion]:
        """Lock and read promotions with `due_at` up to `now`, the oldest first; locked ones are skipped."""
        ...

    def count_open(self, seller_id: AccountId) -> int:
        """How many promotions of the seller are scheduled or running."""
        ...

    def candidates(
        self,
        seller_id: AccountId,
        limit: int,
        *,
        product_ids: Collection[ProductId] | None = None,
        category_id: CategoryId | None = None,
    ) -> Mapping[ProductId, PromotionCandidate]:
        """Up to `limit` products that were not withdrawn, read without a lock, by id.

        Those of `product_ids` of any seller, or the seller's, only of the category if one is given.
        """
        ...

    def overlapping(
        self, product_ids: Collection[ProductId], starts_at: datetime, ends_at: datetime, besides: PromotionId
    ) -> Sequence[tuple[ProductId, PromotionId]]:
        """Some of the products that are in another open promotion at this time, with that promotion, by id."""
        ...

    def lock_products(self, promotion_id: PromotionId) -> Sequence[PromotedProduct]:
        """Lock and read all products of a promotion, in id order."""
        ...

    def claim_due_products(self, now: datetime, limit: int) -> Sequence[PromotedProduct]:
        """Lock and read products with `due_at` up to `now`, the oldest first; locked ones are skipped."""
        ...

    def save_products(self, products: Collection[PromotedProduct]) -> None:
        """Update products that this transaction has locked, and invalidate what readers have cached of them."""
        ...
