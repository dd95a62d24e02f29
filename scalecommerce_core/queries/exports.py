"""Streaming whole tables for exports."""

from collections.abc import Iterator
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries.orders import OrderView
from scalecommerce_core.queries.products import ProductView


class ExportQueries(Protocol):
    """All rows of a kind, by id, in constant memory. What is written meanwhile may be seen, or not."""

    def iter_products(self, seller: AccountId | None = None) -> Iterator[ProductView]:
        """Those that were not withdrawn, active or not; of one seller, if given."""
        ...

    def iter_orders(self) -> Iterator[OrderView]: ...
