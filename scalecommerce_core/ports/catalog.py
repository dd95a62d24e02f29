"""Categories, products and stock."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.product import Offer, PriceChange, Product
from scalecommerce_core.domain.product_views import ViewCounts
from scalecommerce_core.domain.stock import Stock


class CategoryRepository(Protocol):
    def add(self, names: Collection[tuple[str, str]]) -> Sequence[Category]:
        """Make categories of (name, slug); raise `Duplicate("name")`."""
        ...

    def existing(self, ids: Collection[CategoryId]) -> frozenset[CategoryId]: ...

    def all(self) -> Sequence[Category]: ...


class ProductRepository(Protocol):
    """`add` and `save` also append the price changes and the events that the products carry."""

    def next_ids(self, count: int) -> Sequence[ProductId]: ...

    def add(self, products: Collection[Product]) -> None:
        """Raise `Duplicate("sku")`."""
        ...

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Product]:
        """In id order. Withdrawn ones included."""
        ...

    def save(self, products: Collection[Product]) -> None:
        """Raise `Duplicate("sku")`."""
        ...

    def offers(self, ids: Collection[ProductId]) -> Mapping[ProductId, Offer]:
        """Read without a lock, for intake; withdrawn ones are inactive."""
        ...

    def prices_since(self, ids: Collection[ProductId], since: datetime) -> Mapping[ProductId, Sequence[PriceChange]]:
        """The price changes that were in force at `since` or later and still keep their promise, oldest first.

        A change that was rolled back, or replaced by a rollback, is left out.
        """
        ...

    def append_history(self, changes: Collection[PriceChange]) -> None:
        """Past prices of products that were just added (imports)."""
        ...

    def add_views(self, counts: ViewCounts, *, past: bool = False) -> None:
        """Into the totals, hours and price intervals of products and sellers. Ids that do not exist are skipped.

        `past`: these views are no news to pricing.
        """
        ...

    def mark_batch_applied(self, batch_id: str, at: datetime) -> bool:
        """Record for `DEDUP_RETENTION` that the batch was applied; return False if it was applied before.

        Waits while another transaction applies the same batch.
        """
        ...


class StockRepository(Protocol):
    """`add` and `save` also append the movements that the stocks carry.

    Given the moment, they also tell (`StockRanOut`, `StockReturned`) whose available units came to an end or came
    back: once per save, by its net effect. A stock that is added empty has run out. The past (imports) is no news.
    """

    def add(self, stocks: Collection[Stock], at: datetime | None = None) -> None: ...

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        """In id order."""
        ...

    def save(self, stocks: Collection[Stock], at: datetime | None = None) -> None: ...

    def ledger_differences(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        """How many units more are on hand than the ledger accounts for (or fewer, negative), of stock that exists.

        Read without locking any stock, however long the ledger is: every sale and every delivery changes both sides
        alike, so the difference stands until somebody corrects it, and one transaction at a time may ask.
        """
        ...

    def reserved_by_orders(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        """Units in the lines of PENDING orders, of stock that this transaction has locked; without those of none."""
        ...
