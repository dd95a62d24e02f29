"""Categories, products and stock."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import Offer, PriceChange, PriceWithdrawal, Product
from scalecommerce_core.domain.product_views import NO_VIEWS, ViewCounts
from scalecommerce_core.domain.stock import Stock


class CategoryRepository(Protocol):
    """Categories; only their name and minimum hold are ever changed, and none is deleted."""

    def add(self, names: Collection[tuple[str, str]]) -> Sequence[Category]:
        """Insert categories given as (name, slug); raise `Duplicate("name")`, also for a slug that exists."""
        ...

    def existing(self, ids: Collection[CategoryId]) -> frozenset[CategoryId]:
        """Return those of `ids` that exist."""
        ...

    def all(self) -> Sequence[Category]:
        """All categories."""
        ...

    def lock_all(self) -> Sequence[Category]:
        """Return all categories, after a wait for the end of earlier transactions that have called this.

        Names are compared by `domain.category.name_key`, so that two transactions that did not wait for each other
        could store names that differ only in case. Use cases that add or rename categories therefore call this first.
        """
        ...

    def rename(self, names: Mapping[CategoryId, str]) -> None:
        """Set the names of categories, and notify readers of a change of every product; unknown ones are skipped.

        Raise `Duplicate("name")` for a name that exists.
        """
        ...

    def set_min_holds(self, holds: Mapping[CategoryId, timedelta]) -> None:
        """Set the minimum hold of categories; unknown ones are skipped."""
        ...


class ProductRepository(Protocol):
    """Products. `add` and `save` also write the price changes and the events that the products carry."""

    def next_ids(self, count: int) -> Sequence[ProductId]:
        """Draw `count` new ids."""
        ...

    def add(self, products: Collection[Product]) -> None:
        """Insert products; raise `Duplicate("sku")`."""
        ...

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Product]:
        """Lock and read products, in id order, withdrawn ones included."""
        ...

    def save(self, products: Collection[Product]) -> None:
        """Update products that this transaction has locked; raise `Duplicate("sku")`."""
        ...

    def offers(self, ids: Collection[ProductId]) -> Mapping[ProductId, Offer]:
        """Read for intake, without a lock; withdrawn products are inactive."""
        ...

    def prices_since(self, ids: Collection[ProductId], since: datetime) -> Mapping[ProductId, Sequence[PriceChange]]:
        """The price changes in force at `since` or later, oldest first, withdrawn ones included.

        A price that a rollback replaced is withdrawn too (`PriceChange.is_withdrawn`).
        """
        ...

    def last_other_price(self, product_id: ProductId, price: Money) -> Money | None:
        """The last price of the product that differs from `price` and was not withdrawn; None if there is none."""
        ...

    def withdraw_prices(self, withdrawals: Mapping[tuple[ProductId, datetime], PriceWithdrawal]) -> None:
        """Mark price changes, by product and `valid_from`, of products that this transaction has locked."""
        ...

    def append_history(self, changes: Collection[PriceChange]) -> None:
        """Insert past prices of products that this transaction has added (imports)."""
        ...

    def add_views(self, counts: ViewCounts, *, extra_weights: ViewCounts = NO_VIEWS, past: bool = False) -> None:
        """Add views to the totals, hours and price intervals of products and sellers; unknown ids are skipped.

        `extra_weights` are those of `ViewBatch`. With `past`, pricing ignores these views (imports and seeding).
        """
        ...

    def mark_batch_applied(self, batch_id: str, at: datetime) -> bool:
        """Record for `DEDUP_RETENTION` that the batch was applied; return False if it was applied before.

        Waits while another transaction applies the same batch.
        """
        ...


class StockRepository(Protocol):
    """Stock, by product id. `add` and `save` also write the movements that the stocks carry.

    With `at`, `save` and `add` record a `StockRanOut` or `StockReturned` event for each product whose available units
    became zero or became positive, by the net change since the stock was loaded; a stock added with no units has run
    out. Without `at` (imports) they record no events.
    """

    def add(self, stocks: Collection[Stock], at: datetime | None = None) -> None:
        """Insert stocks of products that this transaction has added."""
        ...

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        """Lock and read stocks, in id order."""
        ...

    def try_lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        """As `lock`, without waiting: stocks that another transaction has locked are left out."""
        ...

    def save(self, stocks: Collection[Stock], at: datetime | None = None) -> None:
        """Update stocks that this transaction has locked."""
        ...

    def ledger_differences(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        """Units on hand minus the sum of the stock ledger, per product, of stock that exists.

        The ledger is read without locking stock, however long it is: every movement changes both sides, so a difference
        stays until it is corrected. One transaction at a time may call this.
        """
        ...

    def reserved_by_orders(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        """Units in the lines of PENDING orders, per product, of stock that this transaction has locked; zeros are left
        out.
        """
        ...
