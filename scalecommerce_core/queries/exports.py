"""Queries that stream whole tables for exports."""

from collections.abc import Iterator
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries.orders import OrderView
from scalecommerce_core.queries.products import ProductView


class ExportQueries(Protocol):
    """Iterators over all rows in the order of their ids, in constant memory.

    Rows that are written during the iteration may or may not be returned.
    """

    def iter_products(self, seller: AccountId | None = None) -> Iterator[ProductView]:
        """Iterate over products that are not withdrawn, active or not; only those of `seller`, if given."""
        ...

    def iter_orders(self) -> Iterator[OrderView]: ...
