"""Promotions in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.price_history import RunningPromotion
from scalecommerce_core.domain.promotion import (
    OPEN,
    PromotedProduct,
    Promotion,
    PromotionCandidate,
    PromotionStatus,
)
from scalecommerce_core.testing.memory.tables import Tables

_MAX_OVERLAPPING: Final = 10


class MemoryPromotions:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[PromotionId]:
        return [PromotionId(number) for number in self._numbers("promotions", count)]

    def add(self, promotion: Promotion, products: Collection[PromotedProduct]) -> None:
        self.save([promotion])
        self.save_products(products)

    def get_many(self, ids: Collection[PromotionId]) -> Mapping[PromotionId, Promotion]:
        return self._tables.promotions.get_many(sorted(ids))

    lock = get_many

    def save(self, promotions: Collection[Promotion]) -> None:
        for promotion in promotions:
            self._tables.events.append(promotion.events)
            self._tables.promotions.put(promotion.id, promotion)

    def claim_due(self, now: datetime, limit: int) -> Sequence[Promotion]:
        due = [(each.due_at, each.id) for each in self._tables.promotions.all() if each.due_at is not None]
        ids = [id_ for due_at, id_ in sorted(due) if due_at <= now]
        return list(self._tables.promotions.get_many(ids[:limit]).values())

    def count_open(self, seller_id: AccountId) -> int:
        return sum(each.seller_id == seller_id and each.status in OPEN for each in self._tables.promotions.all())

    def candidates(
        self,
        seller_id: AccountId,
        limit: int,
        *,
        product_ids: Collection[ProductId] | None = None,
        category_id: CategoryId | None = None,
    ) -> Mapping[ProductId, PromotionCandidate]:
        found = (
            PromotionCandidate(product.id, product.seller_id, product.price, product.min_price)
            for product in sorted(self._tables.products.all(), key=lambda product: product.id)
            if product.withdrawn_at is None
            and (product.seller_id == seller_id if product_ids is None else product.id in product_ids)
            and category_id in {None, product.category_id}
        )
        return {each.product_id: each for each in islice(found, limit)}

    def overlapping(
        self, product_ids: Collection[ProductId], starts_at: datetime, ends_at: datetime, besides: PromotionId
    ) -> Sequence[tuple[ProductId, PromotionId]]:
        return sorted(
            (item.product_id, item.promotion_id)
            for item in self._tables.promoted.all()
            if item.product_id in product_ids
            and item.status in OPEN
            and item.promotion_id != besides
            and item.starts_at < ends_at
            and item.ends_at > starts_at
        )[:_MAX_OVERLAPPING]

    def lock_products(self, promotion_id: PromotionId) -> Sequence[PromotedProduct]:
        keys = sorted(key for key, _ in self._tables.promoted.items() if key[1] == promotion_id)
        return list(self._tables.promoted.get_many(keys).values())

    def claim_due_products(self, now: datetime, limit: int) -> Sequence[PromotedProduct]:
        due = [
            (item.due_at, key)
            for key, item in self._tables.promoted.items()
            if item.due_at is not None
            # A promotion of a product starts after the end of the one before was written.
            and (item.status is PromotionStatus.RUNNING or self._tables.running_promotions.get(key[0]) is None)
        ]
        keys = [key for due_at, key in sorted(due) if due_at <= now]
        return list(self._tables.promoted.get_many(keys[:limit]).values())

    def save_products(self, products: Collection[PromotedProduct]) -> None:
        for item in products:
            key = item.product_id, item.promotion_id
            self._tables.promoted.put(key, item)
            if item.status is PromotionStatus.RUNNING:
                self._tables.running_promotions.put(item.product_id, item.promotion_id)
            elif self._tables.running_promotions.get(item.product_id) == item.promotion_id:
                self._tables.running_promotions.delete(item.product_id)


def running_promotion(tables: Tables, product_id: ProductId) -> RunningPromotion | None:
    """The promotion of a product that is in force; None if there is none."""
    if (promotion_id := tables.running_promotions.get(product_id)) is None:
        return None
    item, promotion = tables.promoted.get((product_id, promotion_id)), tables.promotions.get(promotion_id)
    if item is None or promotion is None or item.prior_price is None:
        return None
    return RunningPromotion(promotion.name, item.starts_at, item.ends_at, item.prior_price)
