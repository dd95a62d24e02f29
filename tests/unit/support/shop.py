"""Short methods for frequent actions of tests on a market: `MarketActions`, and `Shop` with a market in memory."""

from typing import Any

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, OrderId, ProductId
from scalecommerce_core.domain.money import Money, minor_units
from scalecommerce_core.domain.order import Order, RefundLine
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import Ids
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import CreateProduct, EditProduct
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import OrderRules, PlaceOrder, RefundOrder
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


class MarketActions:
    """Actions on any market. A product is a tea pot in `CATEGORY` at 10.00 USD with 10 units unless a test differs."""

    def __init__(self, market: Market, ids: Ids | None = None) -> None:
        """`ids` draws the command ids of orders."""
        self.market = market
        self.ids = CountingIds() if ids is None else ids

    # --- accounts and products

    def person(self, name: str, **more: Any) -> Account:
        """Sign up `<name>@example.com`."""
        command = SignUp(f"{name}@example.com", PASSWORD, **{"first_name": name, **more})
        return unwrap_single(self.market.accounts.sign_up([command]))

    def list(self, seller: Account, price: str = "10.00", stock: int = 10, **more: Any) -> ProductId:
        """List a product; `more` are further fields of `CreateProduct`."""
        fields = {"category_id": CATEGORY, "name": "Tea pot", "price": usd(price), "stock": stock, **more}
        return unwrap_single(self.market.catalog.create_products([CreateProduct(seller.id, **fields)])).product.id

    def edit(self, product_id: ProductId, **changes: Any) -> Product:
        """Edit a product as its seller."""
        command = EditProduct(product_id, self.product(product_id).seller_id, changes)
        return unwrap_single(self.market.catalog.edit_products([command])).product

    # --- orders

    def command(self, buyer: Account, *lines: OrderLineRequest) -> PlaceOrder:
        return PlaceOrder(self.ids.command(), buyer.id, lines)

    def place(self, buyer: Account, *lines: OrderLineRequest) -> Order:
        return unwrap_single(self.market.ordering.place([self.command(buyer, *lines)]))

    def reserve(self, buyer: Account, *lines: OrderLineRequest) -> Order:
        """Place an order and decide it."""
        order = self.place(buyer, *lines)
        self.market.ordering.decide()
        return self.order(order.id)

    def pay(self, order_id: OrderId, buyer: Account) -> Order:
        return unwrap_single(self.market.payments.pay([PayOrder(order_id, buyer.id)]))

    def buy(self, buyer: Account, *lines: OrderLineRequest) -> Order:
        """Place an order, decide it and pay for it."""
        return self.pay(self.reserve(buyer, *lines).id, buyer)

    def refund(self, order: Order, by: AccountId, *lines: RefundLine, **more: Any) -> Order:
        return unwrap_single(self.market.ordering.refund([RefundOrder(order.id, by, lines, **more)]))

    # --- stored state

    def product(self, product_id: ProductId) -> Product:
        with self.market.store.begin() as tx:
            return tx.products.lock([product_id])[product_id]

    def stock(self, product_id: ProductId) -> Stock:
        with self.market.store.begin() as tx:
            return tx.stock.lock([product_id])[product_id]

    def order(self, order_id: OrderId) -> Order:
        with self.market.store.begin() as tx:
            return tx.orders.lock([order_id])[order_id]


class Shop(MarketActions):
    """A market in memory; `clock` moves only when a test moves it."""

    def __init__(self, rules: OrderRules | None = None) -> None:
        self.clock = SettableClock()
        self.gateway = MemoryGateway()
        super().__init__(in_memory_market(self.clock, gateway=self.gateway, order_rules=rules))
        self.accounts = self.market.accounts
        self.sessions = self.market.sessions
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
