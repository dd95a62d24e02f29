"""Queries of promotions."""

from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, PromotionId
from scalecommerce_core.domain.promotion import PromotedProduct, Promotion
from scalecommerce_core.queries.pagination import Page, PageRequest


class PromotionQueries(Protocol):
    """Promotions of a seller; with the `owner` None, those of all sellers."""

    def promotions(self, owner: AccountId | None, page: PageRequest) -> Page[Promotion]:
        """Return promotions, newest first, also those that are over."""
        ...

    def promotion(self, promotion_id: PromotionId) -> Promotion | None: ...

    def promoted_products(self, promotion_id: PromotionId, page: PageRequest) -> Page[PromotedProduct]:
        """Return the products of a promotion by id."""
        ...
