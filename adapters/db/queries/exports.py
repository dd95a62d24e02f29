"""Export queries: read ids page by page, then the views of each page, so that no transaction stays open."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Select, bindparam, or_, select

from adapters.db.queries.orders import OrderQueries
from adapters.db.queries.products import ProductQueries
from adapters.db.schema import all_orders, products
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import OrderView, ProductView

PAGE_SIZE: Final = 2_000
_AFTER: Final = bindparam("after", type_=BigInteger)
_SELLER: Final = bindparam("seller", type_=BigInteger)
_PRODUCT_IDS: Final = (
    select(products.c.id)
    .where(
        products.c.id > _AFTER,
        products.c.withdrawn_at.is_(None),
        or_(_SELLER.is_(None), products.c.seller_id == _SELLER),
    )
    .order_by(products.c.id)
    .limit(PAGE_SIZE)
)
_ORDER_IDS: Final = select(all_orders.c.id).where(all_orders.c.id > _AFTER).order_by(all_orders.c.id).limit(PAGE_SIZE)


class ExportQueries(ProductQueries, OrderQueries):
    def iter_products(self, seller: AccountId | None = None) -> Iterator[ProductView]:
        for ids in self._pages(_PRODUCT_IDS, {"seller": seller}):
            found = self.products(ids)
            # Products that were withdrawn since their ids were read are left out.
            yield from (found[id_] for id_ in ids if id_ in found)

    def iter_orders(self) -> Iterator[OrderView]:
        for ids in self._pages(_ORDER_IDS, {}):
            found = self.orders(ids)
            yield from (found[id_] for id_ in ids if id_ in found)

    def _pages(self, statement: Select[Any], parameters: Mapping[str, object]) -> Iterator[list[Any]]:
        after = 0
        while ids := [id_ for (id_,) in self._executor.fetch(statement, {**parameters, "after": after})]:
            yield ids
            after = ids[-1]
