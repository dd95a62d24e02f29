"""Queries of promotions."""

from typing import Final

from sqlalchemy import BigInteger, bindparam

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.repositories.promotions import ITEM, PROMOTION, item_of, promotion_of
from adapters.db.schema import promoted_products, promotions
from scalecommerce_core.domain.identifiers import AccountId, PromotionId
from scalecommerce_core.domain.promotion import PromotedProduct, Promotion
from scalecommerce_core.queries import Page, PageRequest

_OWNER: Final = bindparam("owner", type_=BigInteger)
_NEWEST: Final = Keyset((promotions.c.id,), descending=True)
_PROMOTIONS: Final = {
    owned: page_statements(
        lambda request, owned=owned: _NEWEST.page_statement(  # type: ignore[misc]  # the default binds the loop variable
            PROMOTION.where(promotions.c.seller_id == _OWNER) if owned else PROMOTION, request
        )
    )
    for owned in (False, True)
}
_PROMOTION_ID: Final = bindparam("promotion", type_=BigInteger)
_ONE: Final = PROMOTION.where(promotions.c.id == _PROMOTION_ID)
_BY_PRODUCT: Final = Keyset((promoted_products.c.product_id,))
_ITEMS: Final = page_statements(
    lambda request: _BY_PRODUCT.page_statement(ITEM.where(promoted_products.c.promotion_id == _PROMOTION_ID), request)
)


class PromotionQueries:
    _executor: QueryExecutor

    def promotions(self, owner: AccountId | None, page: PageRequest) -> Page[Promotion]:
        given = {} if owner is None else {"owner": owner}
        statement = _PROMOTIONS[owner is not None][page_direction(page)]
        fetched = self._executor.fetch(statement, {**given, **_NEWEST.page_params(page)})
        return build_page(fetched, page, promotion_of, lambda row: (row[0],))

    def promotion(self, promotion_id: PromotionId) -> Promotion | None:
        found = self._executor.fetch(_ONE, {"promotion": promotion_id})
        return promotion_of(found[0]) if found else None

    def promoted_products(self, promotion_id: PromotionId, page: PageRequest) -> Page[PromotedProduct]:
        parameters = {"promotion": promotion_id, **_BY_PRODUCT.page_params(page)}
        fetched = self._executor.fetch(_ITEMS[page_direction(page)], parameters)
        return build_page(fetched, page, item_of, lambda row: (row[1],))
