"""`Shop`: an in-memory marketplace with short methods for frequent actions of tests."""

from typing import Any

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, OrderId, ProductId
from scalecommerce_core.domain.money import Money, minor_units
from scalecommerce_core.domain.order import Order, RefundLine
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import CreateProduct, EditProduct
from scalecommerce_core.services.ordering import OrderLineRequest, PlaceOrder, RefundOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import CountingIds, MemoryGateway, MemoryStore, SettableClock, in_memory_market
from scalecommerce_core.testing.memory.tables import Tables

PASSWORD = "a long password"
CATEGORY = CategoryId(1)


def usd(amount: str) -> Money:
    return Money.of(amount, "USD")


def line(product_id: ProductId, quantity: int = 1, price: str | None = None) -> OrderLineRequest:
    return OrderLineRequest(product_id, quantity, None if price is None else minor_units(price, "USD"))


class Shop:
    """An in-memory marketplace; `clock` moves only when a test moves it."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.ids = CountingIds()
        self.gateway = MemoryGateway()
        self.market = in_memory_market(self.clock, gateway=self.gateway)
        self.accounts = self.market.accounts
        self.catalog = self.market.catalog
        self.ordering = self.market.ordering
        self.payments = self.market.payments
        self.pricing = self.market.pricing
        self.queries = self.market.queries

    @property
    def store(self) -> MemoryStore:
        assert isinstance(self.market.store, MemoryStore)
        return self.market.store

    @property
    def tables(self) -> Tables:
        """The committed data, for tests that bypass the read side."""
        return self.store.tables

    # --- people and products

    def person(self, name: str) -> Account:
        return unwrap_single(self.accounts.sign_up([SignUp(f"{name}@example.com", PASSWORD, first_name=name)]))

    def list(self, seller: Account, price: str = "10.00", stock: int = 10, **more: Any) -> ProductId:
        command = CreateProduct(seller.id, CATEGORY, more.pop("name", "Tea pot"), usd(price), stock, **more)
        return unwrap_single(self.catalog.create_products([command])).product.id

    def edit(self, product_id: ProductId, **changes: Any) -> Product:
        """Edit a product as its seller."""
        seller = self.product(product_id).seller_id
        return unwrap_single(self.catalog.edit_products([EditProduct(product_id, seller, changes)])).product

    # --- orders

    def command(self, buyer: Account, *lines: OrderLineRequest) -> PlaceOrder:
        return PlaceOrder(self.ids.command(), buyer.id, lines)

    def place(self, buyer: Account, *lines: OrderLineRequest) -> Order:
        return unwrap_single(self.ordering.place([self.command(buyer, *lines)]))

    def reserve(self, buyer: Account, *lines: OrderLineRequest) -> Order:
        order = self.place(buyer, *lines)
        self.ordering.decide()
        return self.order(order.id)

    def buy(self, buyer: Account, *lines: OrderLineRequest) -> Order:
        return unwrap_single(self.payments.pay([PayOrder(self.reserve(buyer, *lines).id, buyer.id)]))

    def refund(self, order: Order, by: AccountId, *lines: RefundLine, **more: Any) -> Order:
        return unwrap_single(self.ordering.refund([RefundOrder(order.id, by, lines, **more)]))

    # --- what is stored

    def product(self, product_id: ProductId) -> Product:
        product = self.tables.products.get(product_id)
        assert product is not None
        return product

    def stock(self, product_id: ProductId) -> Stock:
        stock = self.tables.stock.get(product_id)
        assert stock is not None
        return stock

    def order(self, order_id: OrderId) -> Order:
        order = self.tables.orders.get(order_id)
        assert order is not None
        return order
