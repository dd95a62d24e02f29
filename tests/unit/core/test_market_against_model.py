"""The whole engine against a model that fits on a page: whatever happens in whatever order, both agree."""

from datetime import datetime, timedelta
from typing import Final

from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scalecommerce_core.domain.errors import Forbidden, Invalid, MarketError, NotFound, PriceMoved, TransitionNotAllowed
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderStatus, RefundLine
from scalecommerce_core.services.catalog import AdjustStock
from scalecommerce_core.services.ordering import CancelOrder, PlaceOrder, RefundOrder, WantedLine
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.pricing import AdoptPolicy
from tests.unit.core.shop import Shop

CREATED, PENDING, REJECTED, PAID, CANCELLED, REFUNDED = OrderStatus
PROMISE: Final = timedelta(minutes=10)
RESERVATION: Final = timedelta(minutes=15)
PICK: Final = st.integers(0, 11)
"""Picks one of however many there are by then."""


@define
class Shelf:
    seller: AccountId
    on_hand: int
    reserved: int
    prices: list[tuple[datetime, int]]
    """(valid from, price), oldest first."""

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @property
    def price(self) -> int:
        return self.prices[-1][1]

    def honoured(self, since: datetime) -> set[int]:
        ends = [*(begins for begins, _ in self.prices[1:]), None]
        return {price for (_, price), end in zip(self.prices, ends, strict=True) if end is None or end > since}


@define
class Line:
    quantity: int
    price: int
    refunded: int = 0


@define
class Purchase:
    command: PlaceOrder
    lines: dict[ProductId, Line]
    status: OrderStatus = CREATED
    deadline: datetime | None = None


class MarketMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.buyers = [self.shop.person(name).id for name in ("bea", "bob")]
        self.shelves: dict[ProductId, Shelf] = {}
        for name in ("sam", "sue"):
            seller = self.shop.person(name)
            self.shop.pricing.adopt([AdoptPolicy(seller.id, "Keep a month of stock")])
            for stock in (3, 12):
                product = self.shop.list(seller, "10.00", stock)
                self.shelves[product] = Shelf(seller.id, stock, 0, [(self.now, 1000)])
        self.products = list(self.shelves)
        self.orders: dict[OrderId, Purchase] = {}
        # From here on prices may move by themselves, and there is an order to begin with.
        self.shop.clock.advance(days=28)
        self.buy(0, 0, 1)

    @property
    def now(self) -> datetime:
        return self.shop.clock.now()

    def _pick(self, number: int) -> tuple[OrderId, Purchase]:
        return list(self.orders.items())[number % len(self.orders)]

    # --- what happens

    @rule(duration=st.sampled_from([{"seconds": 1}, {"minutes": 6}, {"minutes": 15}, {"days": 8}, {"days": 28}]))
    def time_passes(self, duration: dict[str, float]) -> None:
        self.shop.clock.advance(**duration)

    @rule(
        buyer=st.integers(0, 1),
        wanted=st.lists(st.tuples(PICK, st.integers(1, 5)), min_size=1, max_size=3),
        seen=st.sampled_from([None, None, "now", "before", "never"]),
    )
    def place(self, buyer: int, wanted: list[tuple[int, int]], seen: str | None) -> None:
        lines = [(self.products[number % len(self.products)], quantity) for number, quantity in wanted]
        shelf = self.shelves[lines[0][0]]
        promised = {"now": shelf.price, "before": shelf.prices[-2:][0][1], "never": 7}.get(seen or "")
        command = PlaceOrder(
            self.shop.ids.command(),
            self.buyers[buyer],
            [
                WantedLine(product, quantity, promised if promised and index == 0 else None)
                for index, (product, quantity) in enumerate(lines)
            ],
        )
        (outcome,) = self.shop.ordering.place([command])
        if promised and promised not in shelf.honoured(self.now - PROMISE):
            assert isinstance(outcome, PriceMoved)
            return
        assert isinstance(outcome, Order)
        model: dict[ProductId, Line] = {}
        for product, quantity in lines:
            line = model.setdefault(product, Line(0, self.shelves[product].price))
            line.quantity += quantity
        if promised:
            model[lines[0][0]].price = min(promised, shelf.price)
        self.orders[outcome.id] = Purchase(command, model)

    @rule(number=PICK)
    def place_again(self, number: int) -> None:
        order_id, purchase = self._pick(number)
        (outcome,) = self.shop.ordering.place([purchase.command])
        assert isinstance(outcome, Order)
        assert outcome.id == order_id

    @rule(buyer=st.integers(0, 1), number=PICK, quantity=st.integers(1, 6))
    def buy(self, buyer: int, number: int, quantity: int) -> None:
        """The usual way through, more often than chance would take it."""
        self.place(buyer, [(number, quantity)], seen=None)
        self.decide(limit=99)
        self.pay(len(self.orders) - 1, by="buyer")

    @rule(limit=st.integers(1, 4))
    def decide(self, limit: int) -> None:
        waiting = [purchase for purchase in self.orders.values() if purchase.status is CREATED][:limit]
        for purchase in waiting:
            if all(self.shelves[product].available >= line.quantity for product, line in purchase.lines.items()):
                purchase.status, purchase.deadline = PENDING, self.now + RESERVATION
                for product, line in purchase.lines.items():
                    self.shelves[product].reserved += line.quantity
            else:
                purchase.status = REJECTED
        decided = self.shop.ordering.decide(limit)
        reserved = sum(purchase.status is PENDING for purchase in waiting)
        assert (decided.reserved, decided.rejected, decided.put_aside) == (reserved, len(waiting) - reserved, 0)

    @rule(number=PICK, by=st.sampled_from(["buyer", "buyer", "stranger"]))
    def pay(self, number: int, by: str) -> None:
        order_id, purchase = self._pick(number)
        who = purchase.command.owner if by == "buyer" else AccountId(999)
        (outcome,) = self.shop.payments.pay([PayOrder(order_id, who)])
        if by != "buyer":
            assert isinstance(outcome, NotFound)
        elif purchase.status is PENDING:
            purchase.status, purchase.deadline = PAID, None
            for product, line in purchase.lines.items():
                self.shelves[product].reserved -= line.quantity
                self.shelves[product].on_hand -= line.quantity
        else:
            self._repeats(outcome, harmless=purchase.status is PAID)

    @rule(number=PICK)
    def cancel(self, number: int) -> None:
        order_id, purchase = self._pick(number)
        (outcome,) = self.shop.ordering.cancel([CancelOrder(order_id, purchase.command.owner)])
        if purchase.status in {CREATED, PENDING}:
            self._give_up(purchase)
        else:
            self._repeats(outcome, harmless=purchase.status is CANCELLED)

    @rule()
    def expire(self) -> None:
        late = [p for p in self.orders.values() if p.deadline is not None and p.deadline <= self.now]
        for purchase in late:
            self._give_up(purchase)
        assert self.shop.ordering.expire() == len(late)

    def _give_up(self, purchase: Purchase) -> None:
        if purchase.status is PENDING:
            for product, line in purchase.lines.items():
                self.shelves[product].reserved -= line.quantity
        purchase.status, purchase.deadline = CANCELLED, None

    def _repeats(self, outcome: Order | MarketError, *, harmless: bool) -> None:
        assert isinstance(outcome, Order if harmless else TransitionNotAllowed)

    @rule(
        number=PICK,
        line_number=PICK,
        quantity=st.integers(1, 4),
        restock=st.booleans(),
        by=st.sampled_from(["staff", "seller", "buyer"]),
    )
    def refund(self, number: int, line_number: int, quantity: int, restock: bool, by: str) -> None:
        order_id, purchase = self._pick(number)
        product, line = list(purchase.lines.items())[line_number % len(purchase.lines)]
        shelf = self.shelves[product]
        who = {"staff": AccountId(999), "seller": shelf.seller, "buyer": purchase.command.owner}[by]
        part = RefundLine(product, quantity)
        command = RefundOrder(order_id, who, [part], restock=restock, as_staff=by == "staff")
        (outcome,) = self.shop.ordering.refund([command])
        if by == "buyer":
            assert isinstance(outcome, Forbidden)
        elif purchase.status is not PAID:
            assert isinstance(outcome, TransitionNotAllowed)
        elif line.refunded + quantity > line.quantity:
            assert isinstance(outcome, Invalid)
        else:
            line.refunded += quantity
            shelf.on_hand += quantity * restock
            if all(each.refunded == each.quantity for each in purchase.lines.values()):
                purchase.status = REFUNDED

    @rule(number=PICK, delta=st.integers(-6, 9))
    def restock(self, number: int, delta: int) -> None:
        product = self.products[number % len(self.products)]
        shelf = self.shelves[product]
        (outcome,) = self.shop.catalog.adjust_stock([AdjustStock(product, shelf.seller, delta=delta)])
        if delta < -shelf.available:
            assert isinstance(outcome, Invalid)
        else:
            shelf.on_hand += delta

    @rule(number=PICK, price=st.sampled_from([500, 1000, 1100]))
    def edit_price(self, number: int, price: int) -> None:
        product = self.products[number % len(self.products)]
        self.shop.edit(product, price=Money(price, "USD"))
        self._reprice(self.shelves[product], price)

    @rule(dry_run=st.booleans())
    def reprice(self, dry_run: bool) -> None:
        run = self.shop.pricing.reprice(dry_run=dry_run)
        assert run.looked_at == len(self.products)
        for move in run.moves:
            shelf = self.shelves[move.product_id]
            assert move.old.minor == shelf.price
            assert abs(move.new.minor - move.old.minor) * 20 <= move.old.minor
            assert shelf.prices[-1][0] <= self.now - timedelta(days=7)
            if not dry_run:
                self._reprice(shelf, move.new.minor)

    def _reprice(self, shelf: Shelf, price: int) -> None:
        if price != shelf.price:
            begins, _ = shelf.prices[-1]
            shelf.prices.append((max(self.now, begins + timedelta(microseconds=1)), price))

    # --- what must hold after each step

    @invariant()
    def books_are_right(self) -> None:
        assert self.shop.queries.discrepancies() == []

    @invariant()
    def shelves_agree(self) -> None:
        views = self.shop.queries.products(self.products)
        for product, shelf in self.shelves.items():
            stock = self.shop.stock(product)
            assert (stock.on_hand, stock.reserved) == (shelf.on_hand, shelf.reserved)
            assert (views[product].stock, views[product].price.minor) == (shelf.available, shelf.price)
            assert 0 <= shelf.reserved <= shelf.on_hand

    @invariant()
    def orders_agree(self) -> None:
        views = self.shop.queries.orders(self.orders)
        assert len(views) == len(list(self.shop.tables.orders.all()))
        for order_id, purchase in self.orders.items():
            view = views[order_id]
            assert (view.status, view.expires_at) == (purchase.status, purchase.deadline)
            lines = {x.product: Line(x.quantity, x.price, x.refunded) for x in view.lines}
            assert lines == purchase.lines
            assert view.total == sum(line.quantity * line.price for line in purchase.lines.values())

    @invariant()
    def money_is_conserved(self) -> None:
        sold = [
            (line, self.shelves[product].seller)
            for purchase in self.orders.values()
            if purchase.status in {PAID, REFUNDED}
            for product, line in purchase.lines.items()
        ]
        given_back = sum(line.refunded * line.price for line, _ in sold)
        assert sum(refund.amount for refund in self.shop.tables.refunds.rows) == given_back
        for seller in {shelf.seller for shelf in self.shelves.values()}:
            kept = sum((line.quantity - line.refunded) * line.price for line, whose in sold if whose == seller)
            assert self.shop.queries.seller_stats(seller).revenue == kept

    def teardown(self) -> None:
        """The price history has every price, in order, each beginning after the one before."""
        for product, shelf in self.shelves.items():
            history = self.shop.queries.price_history(product, self.now)
            assert history is not None
            assert [(x.valid_from, x.price.minor) for x in reversed(history.intervals)] == shelf.prices


TestMarket = MarketMachine.TestCase
TestMarket.settings = settings()
