"""Categories, products, stock and the search index in memory."""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from attrs import evolve

from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.events import StockRanOut, StockReturned
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderStatus, is_sale
from scalecommerce_core.domain.popularity import Popularity, popularity_tiers
from scalecommerce_core.domain.product import Offer, PriceChange, PriceWithdrawal, Product
from scalecommerce_core.domain.product_views import DEDUP_RETENTION, NO_VIEWS, ViewCounts
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.testing.memory.statistics import add_views
from scalecommerce_core.testing.memory.tables import Tables, is_offered


class MemorySearch:
    """Stores popularity tiers only: in-memory searches read words and prices from the products."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def update_vocabulary(self, limit: int) -> int:  # noqa: ARG002 - the port's
        return 0

    def sync_price_index(self, limit: int) -> int:  # noqa: ARG002 - the port's
        return 0

    def outdated_popularity(self, limit: int) -> Mapping[ProductId, int]:
        orders = Counter(
            line.product_id
            for order in self._tables.orders.all()
            if order.status in {OrderStatus.PAID, OrderStatus.REFUNDED}
            for line in order.lines
            if is_sale(order.buyer_id, line.seller_id)
        )
        tiers = popularity_tiers(
            Popularity(product.id, self._weighted_views(product.id), orders[product.id])
            for product in self._tables.products.all()
            if product.is_active
        )
        changed = {id_: level for id_, level in tiers.items() if level != (self._tables.prominence.get(id_) or 0)}
        return dict(itertools.islice(changed.items(), limit))

    def _weighted_views(self, product_id: ProductId) -> int:
        return (self._tables.views.get(product_id) or 0) + (self._tables.extra_weights.get(product_id) or 0)

    def save_popularity(self, levels: Mapping[ProductId, int]) -> None:
        for product_id, level in levels.items():
            self._tables.prominence.put(product_id, level)


class MemoryCategories:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._categories = tables.categories
        self._numbers = numbers

    def add(self, names: Collection[tuple[str, str]]) -> Sequence[Category]:
        taken = {category.slug for category in self._categories.all()}
        added = []
        for (name, slug), number in zip(names, self._numbers("categories", len(names)), strict=True):
            if slug in taken:
                raise Duplicate("name")
            taken.add(slug)
            added.append(Category(CategoryId(number), name, slug))
            self._categories.put(added[-1].id, added[-1])
        return added

    def existing(self, ids: Collection[CategoryId]) -> frozenset[CategoryId]:
        return frozenset(self._categories.get_many(ids))

    def all(self) -> Sequence[Category]:
        return sorted(self._categories.all(), key=lambda category: category.id)

    def lock_all(self) -> Sequence[Category]:
        return self.all()  # Transactions in memory run one after another.

    def rename(self, names: Mapping[CategoryId, str]) -> None:
        for category in self._categories.get_many(names).values():
            if any(each.name == names[category.id] and each.id != category.id for each in self._categories.all()):
                raise Duplicate("name")
            self._categories.put(category.id, evolve(category, name=names[category.id]))

    def set_min_holds(self, holds: Mapping[CategoryId, timedelta]) -> None:
        for category in self._categories.get_many(holds).values():
            self._categories.put(category.id, evolve(category, min_hold=holds[category.id]))


class MemoryProducts:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[ProductId]:
        return [ProductId(number) for number in self._numbers("products", count)]

    def add(self, products: Collection[Product]) -> None:
        self.save(products)

    def save(self, products: Collection[Product]) -> None:
        kept = (p for p in self._tables.products.all() if p.sku is not None and p.withdrawn_at is None)
        skus = {(p.seller_id, p.sku): p.id for p in kept}
        for product in products:
            in_catalogue = product.sku is not None and product.withdrawn_at is None
            if in_catalogue and skus.setdefault((product.seller_id, product.sku), product.id) != product.id:
                raise Duplicate("sku")
            self._tables.price_changes.append(product.price_changes)
            self._tables.events.append(product.events)
            self._tables.products.put(product.id, product)

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Product]:
        return self._tables.products.get_many(sorted(ids))

    def offers(self, ids: Collection[ProductId]) -> Mapping[ProductId, Offer]:
        return {
            product.id: Offer(
                product.id, product.seller_id, product.name, product.price, is_offered(self._tables, product)
            )
            for product in self._tables.products.get_many(ids).values()
        }

    def prices_since(self, ids: Collection[ProductId], since: datetime) -> Mapping[ProductId, Sequence[PriceChange]]:
        return {product_id: _in_force_since(self._tables.price_history(product_id), since) for product_id in ids}

    def last_other_price(self, product_id: ProductId, price: Money) -> Money | None:
        changes = self._tables.price_history(product_id)
        return next((c.price for c in reversed(changes) if not c.is_withdrawn and c.price != price), None)

    def withdraw_prices(self, withdrawals: Mapping[tuple[ProductId, datetime], PriceWithdrawal]) -> None:
        for key, withdrawal in withdrawals.items():
            self._tables.price_withdrawals.put(key, withdrawal)

    def append_history(self, changes: Collection[PriceChange]) -> None:
        self._tables.price_changes.append(changes)

    def add_views(self, counts: ViewCounts, *, extra_weights: ViewCounts = NO_VIEWS, past: bool = False) -> None:
        add_views(self._tables, counts, extra_weights, past=past)

    def mark_batch_applied(self, batch_id: str, at: datetime) -> bool:
        noted = self._tables.noted_views
        if noted.get(batch_id) is not None:
            return False
        noted.put(batch_id, at)
        for old in [each for each, since in noted.items() if since <= at - DEDUP_RETENTION]:
            noted.delete(old)
        return True


def _in_force_since(changes: Sequence[PriceChange], since: datetime) -> list[PriceChange]:
    """Changes in force at `since` or later."""
    return [
        change
        for change, following in pairwise([*changes, None])
        if change is not None and (following is None or following.valid_from > since)
    ]


class MemoryStock:
    def __init__(self, tables: Tables, is_contended: Callable[[], bool]) -> None:
        self._tables = tables
        self._is_contended = is_contended

    def add(self, stocks: Collection[Stock], at: datetime | None = None) -> None:
        for stock in stocks:
            before = self._tables.stock.get(stock.product_id)
            self._tables.movements.append(stock.movements)
            self._tables.stock.put(stock.product_id, stock)
            was_out, is_out = before is not None and before.available == 0, stock.available == 0
            if at is not None and was_out != is_out:
                product = self._tables.products.get(stock.product_id)
                kind = StockRanOut if is_out else StockReturned
                if product is not None:
                    event = kind(at=at, product_id=product.id, seller_id=product.seller_id)
                    self._tables.events.append([event])

    save = add

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        return self._tables.stock.get_many(sorted(ids))

    def try_lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        return {id_: stock for id_, stock in self.lock(ids).items() if not self._is_contended()}

    def ledger_differences(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        surplus = {stock.product_id: stock.on_hand for stock in self._tables.stock.get_many(sorted(ids)).values()}
        for movement in self._tables.movements.all():
            if movement.product_id in surplus:
                surplus[movement.product_id] -= movement.quantity
        return surplus

    def reserved_by_orders(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        promised: dict[ProductId, int] = {}
        for order in self._tables.orders.all():
            for line in order.lines if order.status is OrderStatus.PENDING else ():
                if line.product_id in ids:
                    promised[line.product_id] = promised.get(line.product_id, 0) + line.quantity
        return promised
