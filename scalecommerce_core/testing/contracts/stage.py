"""Helpers that add accounts, products and orders to a store through its ports."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderLine, OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.product import PriceCause, Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import Store, Transaction
from scalecommerce_core.services.search_index import SearchIndex

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)
CATEGORY: Final = CategoryId(1)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


class Stage:
    def __init__(self, store: Store) -> None:
        self.store = store

    def account(self, email: str | None = None, **facts: Any) -> AccountId:
        with self.store.begin() as tx:
            (id_,) = tx.accounts.next_ids(1)
            tx.accounts.add([Account(id_, email or f"{uuid4().hex}@example.com", None, NOW, **facts)])
        return id_

    def product(
        self,
        seller: AccountId | None = None,
        *,
        price: int = 10_00,
        currency: str = "USD",
        stock: int = 100,
        at: datetime = NOW,
        **facts: Any,
    ) -> ProductId:
        seller = self.account() if seller is None else seller
        facts = {"category_id": CATEGORY, "name": "Tea pot", **facts}
        with self.store.begin() as tx:
            (id_,) = tx.products.next_ids(1)
            tx.products.add([Product.listed(id=id_, seller_id=seller, price=Money(price, currency), now=at, **facts)])
            tx.stock.add([Stock.opened(id_, stock, at)])
        return id_

    def reprice(self, product: ProductId, price: int, at: datetime, cause: PriceCause = PriceCause.MANUAL) -> None:
        with self.store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.reprice(usd(price), at, cause)
            tx.products.save([found])

    def withdraw(self, product: ProductId, at: datetime = NOW) -> None:
        with self.store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.withdraw(at)
            tx.products.save([found])

    def edit(self, product: ProductId, at: datetime = NOW, **facts: Any) -> None:
        with self.store.begin() as tx:
            found = tx.products.lock([product])[product]
            found.edit(at, **facts)
            tx.products.save([found])

    def update_search_index(self) -> None:
        """Update the search index; in a running engine, a task does this every few seconds."""
        SearchIndex(self.store).catch_up()

    def view(self, counts: Mapping[ProductId, int], at: datetime = NOW) -> None:
        with self.store.begin() as tx:
            tx.products.add_views({(product, at): count for product, count in counts.items()})

    def order(
        self,
        buyer: AccountId,
        lines: Mapping[ProductId, int],
        status: OrderStatus = OrderStatus.CREATED,
        *,
        at: datetime = NOW,
        origin: OrderOrigin = OrderOrigin.API,
    ) -> OrderId:
        """An order of these quantities that is brought to `status` by methods of the domain."""
        with self.store.begin() as tx:
            (id_,) = tx.orders.next_ids(1)
            tx.orders.add([new_order(tx, id_, buyer, lines, at=at, origin=origin)])
        if status is not OrderStatus.CREATED:
            self.decide([id_], at)
        if status in {OrderStatus.PAID, OrderStatus.REFUNDED}:
            self.pay(id_, at)
        if status is OrderStatus.REFUNDED:
            self.refund(id_, [RefundLine(product, quantity) for product, quantity in lines.items()], at)
        if status is OrderStatus.CANCELLED:
            with self.store.begin() as tx:
                order, stock = lock_with_stock(tx, id_)
                order.cancel(stock, at)
                tx.orders.save([order])
                tx.stock.save(list(stock.values()))
        return id_

    def decide(self, ids: Sequence[OrderId], at: datetime = NOW, lasting: timedelta = DAY) -> None:
        with self.store.begin() as tx:
            orders = tx.orders.lock(ids)
            stock = tx.stock.lock({product for order in orders.values() for product in order.quantities()})
            for order in orders.values():
                order.decide(stock, at, at + lasting)
            tx.orders.save(list(orders.values()))
            tx.stock.save(list(stock.values()))

    def pay(self, order_id: OrderId, at: datetime = NOW) -> None:
        with self.store.begin() as tx:
            order, stock = lock_with_stock(tx, order_id)
            order.pay(stock, at)
            tx.orders.save([order])
            tx.stock.save(list(stock.values()))

    def refund(
        self, order_id: OrderId, lines: Sequence[RefundLine], at: datetime = NOW, by: AccountId | None = None
    ) -> None:
        with self.store.begin() as tx:
            order, stock = lock_with_stock(tx, order_id)
            order.refund(lines, stock, at, restock=True, by=by)
            tx.orders.save([order])
            tx.stock.save(list(stock.values()))


def new_order(
    tx: Transaction,
    order_id: OrderId,
    buyer: AccountId,
    lines: Mapping[ProductId, int],
    *,
    at: datetime = NOW,
    origin: OrderOrigin = OrderOrigin.API,
) -> Order:
    """A new order at current prices, not yet added to the store."""
    offers = tx.products.offers(lines.keys())
    return Order.placed(
        id=order_id,
        command_id=CommandId(uuid4()),
        buyer_id=buyer,
        currency=next(offers[product].price.currency for product in lines),
        lines=[
            OrderLine(position, product, offers[product].seller_id, quantity, offers[product].price.minor)
            for position, (product, quantity) in enumerate(lines.items(), 1)
        ],
        now=at,
        origin=origin,
    )


def lock_with_stock(tx: Transaction, order_id: OrderId) -> tuple[Order, Mapping[ProductId, Stock]]:
    order = tx.orders.lock([order_id])[order_id]
    return order, tx.stock.lock(order.quantities())
