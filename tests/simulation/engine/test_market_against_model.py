"""The whole engine against a small model: after any sequence of actions, both agree."""

from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scalecommerce_core.domain.errors import (
    Forbidden,
    GatewayUnavailable,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    Invalid,
    MarketError,
    NotFound,
    PaymentDeclined,
    PaymentInProgress,
    PriceMoved,
    StockMoved,
    TooManyOpenOrders,
    TransitionNotAllowed,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, PolicyId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderStatus, RefundLine
from scalecommerce_core.domain.order_quotas import INTAKE_TIME, OrderQuotas
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.pricing.runs import DecisionOutcome
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.catalog import WITHDRAWABLE, AdjustStock, EditProduct, ProductWithStock, WithdrawPrice
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import CancelOrder, OrderRules, PlaceOrder, RefundOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.testing.memory.payment_gateway import DECLINED, LOST_REPLY
from tests.unit.support.shop import Shop

CREATED, PENDING, REJECTED, PAID, CANCELLED, REFUNDED = OrderStatus
PROMISE: Final = timedelta(minutes=10)
IN_FORCE: Final = timedelta(seconds=5)
PROMISED_UNITS: Final = 4
OPEN_ORDERS: Final = 4
UNPAID_UNITS: Final = 5
LIMIT_LASTS: Final = timedelta(days=7)
RULES: Final = OrderRules(
    PricePromise(PROMISE, IN_FORCE, PROMISED_UNITS),
    quotas=OrderQuotas(OPEN_ORDERS, unpaid_share=50, unpaid_units=UNPAID_UNITS, buyer_limit_window=LIMIT_LASTS),
    decide_at_intake=True,
)
RESERVATION: Final = timedelta(minutes=15)
KEYS_LIVE: Final = timedelta(hours=24)
LOOKED_FOR: Final = timedelta(seconds=2)
"""A charge without an answer is looked up after this time."""
PICK: Final = st.integers(0, 11)
"""Selects one of the items that exist at that step."""


@define
class Shelf:
    seller: AccountId
    on_hand: int
    reserved: int
    limit: int | None
    prices: list[tuple[datetime, int]]
    """(valid from, price), oldest first."""
    withdrawn: dict[datetime, datetime] = field(factory=dict)
    """Times of withdrawals by the time when the price began."""

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @property
    def price(self) -> int:
        return self.prices[-1][1]

    def honoured(self, since: datetime) -> set[int]:
        ends = [*(begins for begins, _ in self.prices[1:]), None]
        return {
            price
            for (begins, price), end in zip(self.prices, ends, strict=True)
            if begins not in self.withdrawn and (end is None or (end > since and end - begins >= IN_FORCE))
        }

    def is_void(self, price: int, placed_at: datetime) -> bool:
        """Whether an undecided order at this price is rejected because the price was withdrawn."""
        return price != self.price and any(
            begins <= placed_at <= self.withdrawn[begins] + INTAKE_TIME
            for begins, each in self.prices
            if each == price and begins in self.withdrawn
        )


@define
class Line:
    quantity: int
    price: int
    refunded: int = 0

    @property
    def left(self) -> int:
        return self.quantity - self.refunded


@define
class Purchase:
    buyer: AccountId
    command: PlaceOrder
    lines: dict[ProductId, Line]
    placed_at: datetime
    status: OrderStatus = CREATED
    deadline: datetime | None = None
    charged_at: datetime | None = None
    """When an unanswered charge succeeded at the gateway."""

    @property
    def total(self) -> int:
        return sum(line.quantity * line.price for line in self.lines.values())


@frozen
class Wish:
    """An order request with lines of (product number, quantity); `seen` is the price that its first line states."""

    buyer: int
    wanted: list[tuple[int, int]]
    seen: str | None = None
    key: str | None = None


@define
class Batch:
    """Keys whose request failed in the present batch: (request, kind of error)."""

    refused: dict[tuple[AccountId, str], tuple[bytes, type[MarketError]]] = field(factory=dict)


WISHES: Final = st.lists(
    st.builds(
        Wish,
        buyer=st.integers(0, 1),
        wanted=st.lists(st.tuples(PICK, st.integers(1, 5)), min_size=1, max_size=3),
        seen=st.sampled_from([None, None, "now", "before", "never"]),
        key=st.sampled_from([None, None, "a", "b"]),
    ),
    min_size=1,
    max_size=3,
)
SOME: Final = st.lists(PICK, min_size=1, max_size=3)


RAILS: Final = {"least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0}


def usd_minor(minor: int) -> Money:
    return Money(minor, "USD")


class MarketMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(RULES)
        self.buyers = [self.shop.person(name).id for name in ("bea", "bob")]
        self.shelves: dict[ProductId, Shelf] = {}
        for name in ("sam", "sue"):
            seller = self.shop.person(name)
            self.shop.pricing.create([CreatePolicy(seller.id, {"name": "Learn", "guardrails": RAILS})])
            for stock, limit in ((3, None), (12, 4 if name == "sue" else None)):
                product = self.shop.list(seller, "10.00", stock, max_per_buyer=limit)
                self.shelves[product] = Shelf(seller.id, stock, 0, limit, [(self.now, 1000)])
        self.products = list(self.shelves)
        self.orders: dict[OrderId, Purchase] = {}
        self.keys: dict[tuple[AccountId, str], tuple[bytes, OrderId, datetime]] = {}
        # Products are old enough for repricing now, and one order exists.
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

    @rule(wishes=WISHES, contended=st.booleans())
    def place(self, wishes: list[Wish], contended: bool) -> None:
        """`contended`: intake gets no lock without waiting, so that the orders stay undecided."""
        self.shop.store.is_contended = lambda: contended
        commands = [self._command(wish) for wish in wishes]
        batch, before = Batch(), len(self.orders)
        outcomes = self.shop.ordering.place(commands)
        for wish, command, outcome in zip(wishes, commands, outcomes, strict=True):
            self._keyed(wish, command, outcome, batch)
        if len(self.orders) > before and not contended:
            self._decide([purchase for purchase in self.orders.values() if purchase.status is CREATED])
        for outcome in outcomes:
            assert not isinstance(outcome, Order) or outcome.status is self.orders[outcome.id].status

    def _command(self, wish: Wish) -> PlaceOrder:
        lines = [
            OrderLineRequest(product, quantity, self._promised(wish) if index == 0 else None)
            for index, (product, quantity) in enumerate(self._wanted(wish))
        ]
        key = wish.key and IdempotencyKey(wish.key, repr(lines).encode(), lambda order: b"%d" % order.id)
        return PlaceOrder(self.shop.ids.command(), self.buyers[wish.buyer], lines, key or None)

    def _wanted(self, wish: Wish) -> list[tuple[ProductId, int]]:
        return [(self.products[number % len(self.products)], quantity) for number, quantity in wish.wanted]

    def _promised(self, wish: Wish) -> int | None:
        shelf = self.shelves[self._wanted(wish)[0][0]]
        return {"now": shelf.price, "before": shelf.prices[-2:][0][1], "never": 7}.get(wish.seen or "")

    def _keyed(self, wish: Wish, command: PlaceOrder, outcome: Order | Replayed | MarketError, batch: Batch) -> None:
        if wish.key is None or command.idempotency is None:
            self._judged(wish, command, outcome)
            return
        key, request = (command.owner, wish.key), command.idempotency.fingerprint
        used_for, order_id, at = self.keys.get(key, (b"", OrderId(0), datetime.min.replace(tzinfo=self.now.tzinfo)))
        if key in batch.refused:
            refused, kind = batch.refused[key]
            assert isinstance(outcome, kind if refused == request else IdempotencyKeyInFlight)
        elif used_for and at > self.now - KEYS_LIVE:
            assert (
                outcome == Replayed(b"%d" % order_id)
                if used_for == request
                else isinstance(outcome, IdempotencyKeyReused)
            )
        elif isinstance(placed := self._judged(wish, command, outcome), Order):
            self.keys[key] = request, placed.id, self.now
        else:
            batch.refused[key] = request, type(placed)
            self.keys.pop(key, None)

    def _judged(self, wish: Wish, command: PlaceOrder, outcome: Order | Replayed | MarketError) -> Order | MarketError:
        lines, promised = self._wanted(wish), self._promised(wish)
        shelf = self.shelves[lines[0][0]]
        if promised and promised not in shelf.honoured(self.now - PROMISE):
            assert isinstance(outcome, PriceMoved)
            return outcome
        if promised and promised < shelf.price:
            units = sum(quantity for product, quantity in lines if product == lines[0][0])
            if units + self._units_at(command.owner, lines[0][0], promised) > PROMISED_UNITS:
                assert isinstance(outcome, PriceMoved)
                return outcome
        own = [each for each in self.orders.values() if each.buyer == command.owner]
        if sum(each.status in {CREATED, PENDING} for each in own) >= OPEN_ORDERS:
            assert isinstance(outcome, TooManyOpenOrders)
            return outcome
        assert isinstance(outcome, Order)
        model: dict[ProductId, Line] = {}
        for product, quantity in lines:
            line = model.setdefault(product, Line(0, self.shelves[product].price))
            line.quantity += quantity
        if promised:
            model[lines[0][0]].price = min(promised, shelf.price)
        self.orders[outcome.id] = Purchase(command.owner, command, model, self.now)
        return outcome

    def _units_at(self, buyer: AccountId, product: ProductId, price: int) -> int:
        """Units that the buyer has ordered at this price in the time of the promise."""
        return sum(
            purchase.lines[product].quantity
            for purchase in self.orders.values()
            if purchase.buyer == buyer
            and purchase.placed_at >= self.now - PROMISE
            and purchase.status not in {REJECTED, CANCELLED}
            and product in purchase.lines
            and purchase.lines[product].price == price
        )

    @rule()
    def purge_idempotency_keys(self) -> None:
        old = [key for key, (_, _, at) in self.keys.items() if at < self.now - KEYS_LIVE]
        for key in old:
            del self.keys[key]
        assert self.shop.ordering.purge_idempotency_keys() == len(old)

    @rule(number=PICK)
    def place_again(self, number: int) -> None:
        order_id, purchase = self._pick(number)
        again = PlaceOrder(purchase.command.id, purchase.buyer, purchase.command.lines)
        (outcome,) = self.shop.ordering.place([again])
        assert isinstance(outcome, Order)
        assert outcome.id == order_id

    @rule(buyer=st.integers(0, 1), number=PICK, quantity=st.integers(1, 6))
    def buy(self, buyer: int, number: int, quantity: int) -> None:
        """Place and pay in one step, because random steps rarely do."""
        before = len(self.orders)
        self.place([Wish(buyer, [(number, quantity)])], contended=False)
        if len(self.orders) > before:
            self.pay([before], by="buyer", method="card")

    @rule(limit=st.integers(1, 4))
    def decide(self, limit: int) -> None:
        waiting = [purchase for purchase in self.orders.values() if purchase.status is CREATED][:limit]
        self._decide(waiting)
        decided = self.shop.ordering.decide(limit)
        reserved = sum(purchase.status is PENDING for purchase in waiting)
        assert (decided.reserved, decided.rejected, decided.deferred) == (reserved, len(waiting) - reserved, 0)

    def _decide(self, waiting: list[Purchase]) -> None:
        for purchase in waiting:
            if self._may_reserve(purchase):
                purchase.status, purchase.deadline = PENDING, self.now + RESERVATION
                for product, line in purchase.lines.items():
                    self.shelves[product].reserved += line.quantity
            else:
                purchase.status = REJECTED

    def _may_reserve(self, purchase: Purchase) -> bool:
        own = [each for each in self.orders.values() if each.buyer == purchase.buyer]
        if sum(each.status is PENDING for each in own) >= OPEN_ORDERS:
            return False
        for product, line in purchase.lines.items():
            shelf = self.shelves[product]
            if shelf.is_void(line.price, purchase.placed_at):
                return False
            unpaid = sum(x.lines[product].quantity for x in own if product in x.lines and x.status is PENDING)
            paid = sum(
                x.lines[product].left
                for x in own
                if product in x.lines and x.status is PAID and x.placed_at >= self.now - LIMIT_LASTS
            )
            if line.quantity > shelf.available:
                return False
            if unpaid + line.quantity > max(UNPAID_UNITS, shelf.on_hand // 2):
                return False
            if shelf.limit is not None and unpaid + paid + line.quantity > shelf.limit:
                return False
        return True

    @rule(
        numbers=SOME,
        by=st.sampled_from(["buyer", "buyer", "stranger"]),
        method=st.sampled_from(["card", "card", DECLINED, LOST_REPLY]),
    )
    def pay(self, numbers: list[int], by: str, method: str) -> None:
        picked = [self._pick(number) for number in numbers]
        commands = [PayOrder(id_, each.buyer if by == "buyer" else AccountId(999), method) for id_, each in picked]
        # All attempts of a batch are stored before the first charge, so a second attempt of an order finds the first.
        before = [each.status for _, each in picked]
        tried: set[OrderId] = set()
        for (order_id, purchase), was, outcome in zip(picked, before, self.shop.payments.pay(commands), strict=True):
            if by != "buyer":
                assert isinstance(outcome, NotFound)
            elif was is not PENDING:
                self._repeats(outcome, harmless=was is PAID)
            elif order_id in tried or purchase.charged_at is not None:
                assert isinstance(outcome, PaymentInProgress)
            else:
                tried.add(order_id)
                self._asked(purchase, method, outcome)

    def _asked(self, purchase: Purchase, method: str, outcome: Order | MarketError) -> None:
        if method == DECLINED:
            assert isinstance(outcome, PaymentDeclined)
        elif method == LOST_REPLY:
            assert isinstance(outcome, GatewayUnavailable)
            purchase.charged_at = self.now
        else:
            assert isinstance(outcome, Order)
            self._paid(purchase)

    def _paid(self, purchase: Purchase) -> None:
        purchase.status, purchase.deadline, purchase.charged_at = PAID, None, None
        for product, line in purchase.lines.items():
            self.shelves[product].reserved -= line.quantity
            self.shelves[product].on_hand -= line.quantity

    @rule()
    def reconcile(self) -> None:
        waiting = [p for p in self.orders.values() if p.charged_at and p.charged_at + LOOKED_FOR <= self.now]
        for purchase in waiting:
            self._paid(purchase)
        assert self.shop.payments.reconcile() == len(waiting)

    @rule()
    def send_refunds(self) -> None:
        self.shop.payments.send_refunds()
        assert self.shop.gateway.sent_back == self._given_back()

    @rule(numbers=SOME)
    def cancel(self, numbers: list[int]) -> None:
        picked = [self._pick(number) for number in numbers]
        outcomes = self.shop.ordering.cancel([CancelOrder(order_id, each.buyer) for order_id, each in picked])
        for (_, purchase), outcome in zip(picked, outcomes, strict=True):
            if purchase.charged_at is not None:
                assert isinstance(outcome, PaymentInProgress)
            elif purchase.status in {CREATED, PENDING}:
                assert isinstance(outcome, Order)
                self._give_up(purchase)
            else:
                self._repeats(outcome, harmless=purchase.status is CANCELLED)

    @rule()
    def expire(self) -> None:
        late = [p for p in self.orders.values() if p.deadline and p.deadline <= self.now and p.charged_at is None]
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
        parts=st.lists(st.tuples(PICK, st.integers(1, 4)), min_size=1, max_size=2),
        restock=st.booleans(),
        by=st.sampled_from(["staff", "staff", "seller", "buyer"]),
        times=st.sampled_from([1, 1, 2]),
    )
    def refund(self, number: int, parts: list[tuple[int, int]], restock: bool, by: str, times: int) -> None:
        order_id, purchase = self._pick(number)
        products = list(purchase.lines)
        wanted = [(products[line % len(products)], quantity) for line, quantity in parts]
        owner = self.shelves[wanted[0][0]].seller
        who = {"staff": AccountId(999), "seller": owner, "buyer": purchase.buyer}[by]
        lines = [RefundLine(product, quantity) for product, quantity in wanted]
        command = RefundOrder(order_id, who, lines, restock=restock, as_staff=by == "staff")
        theirs = by == "staff" or all(self.shelves[product].seller == who for product, _ in wanted)
        for outcome in self.shop.ordering.refund([command] * times):
            units = {product: sum(q for p, q in wanted if p == product) for product, _ in wanted}
            if not theirs:
                assert isinstance(outcome, Forbidden)
            elif purchase.status is not PAID:
                assert isinstance(outcome, TransitionNotAllowed)
            elif any(purchase.lines[product].left < quantity for product, quantity in units.items()):
                assert isinstance(outcome, Invalid)
            else:
                assert isinstance(outcome, Order)
                for product, quantity in units.items():
                    purchase.lines[product].refunded += quantity
                    self.shelves[product].on_hand += quantity * restock
                if not any(line.left for line in purchase.lines.values()):
                    purchase.status = REFUNDED

    @rule(number=PICK, deltas=st.lists(st.integers(-6, 9), min_size=1, max_size=3))
    def restock(self, number: int, deltas: list[int]) -> None:
        product = self.products[number % len(self.products)]
        shelf = self.shelves[product]
        outcomes = self.shop.catalog.adjust_stock([AdjustStock(product, shelf.seller, delta=delta) for delta in deltas])
        for delta, outcome in zip(deltas, outcomes, strict=True):
            if delta < -shelf.available:
                assert isinstance(outcome, Invalid)
            else:
                assert isinstance(outcome, Stock)
                shelf.on_hand += delta

    @rule(number=PICK, available=st.integers(-1, 12), off_by=st.sampled_from([None, 0, 0, 1]))
    def set_stock(self, number: int, available: int, off_by: int | None) -> None:
        product = self.products[number % len(self.products)]
        shelf = self.shelves[product]
        expected = None if off_by is None else shelf.available + off_by
        command = AdjustStock(product, shelf.seller, available=available, expected=expected)
        (outcome,) = self.shop.catalog.adjust_stock([command])
        if off_by:
            assert isinstance(outcome, StockMoved)
        elif available < 0:
            assert isinstance(outcome, Invalid)
        else:
            assert isinstance(outcome, Stock)
            shelf.on_hand = shelf.reserved + available

    @rule(number=PICK, wanted=st.integers(0, 12), off_by=st.sampled_from([0, 0, 1, -1]))
    def send_form_back(self, number: int, wanted: int, off_by: int) -> None:
        product = self.products[number % len(self.products)]
        shelf = self.shelves[product]
        read = shelf.available + off_by
        command = EditProduct(product, shelf.seller, {}, stock=wanted, baseline={"stock": read})
        (outcome,) = self.shop.catalog.edit_products([command])
        if wanted in {read, shelf.available}:
            assert isinstance(outcome, ProductWithStock)
        elif off_by:
            assert isinstance(outcome, StockMoved)
        else:
            assert isinstance(outcome, ProductWithStock)
            shelf.on_hand = shelf.reserved + wanted

    @rule(number=PICK, price=st.sampled_from([500, 1000, 1100]))
    def edit_price(self, number: int, price: int) -> None:
        product = self.products[number % len(self.products)]
        self.shop.edit(product, price=Money(price, "USD"))
        self._reprice(self.shelves[product], price)

    @rule(number=PICK, which=st.integers(1, 3), new=st.sampled_from([None, 700]))
    def withdraw_price(self, number: int, which: int, new: int | None) -> None:
        product = self.products[number % len(self.products)]
        shelf = self.shelves[product]
        price = shelf.prices[-which:][0][1]
        (outcome,) = self.shop.catalog.withdraw_prices(
            [WithdrawPrice(product, shelf.seller, usd_minor(price), "mistake", None if new is None else usd_minor(new))]
        )
        ends = [*(begins for begins, _ in shelf.prices[1:]), None]
        found = [
            begins
            for (begins, each), end in zip(shelf.prices, ends, strict=True)
            if each == price and (end is None or end > self.now - WITHDRAWABLE)
        ]
        others = [each for begins, each in shelf.prices if begins not in shelf.withdrawn and each != price]
        if price == shelf.price:
            is_refused = (new or (others or [price])[-1]) == price
        else:
            is_refused = new not in {None, shelf.price}
        if not found or is_refused:
            assert isinstance(outcome, Invalid)
        else:
            assert isinstance(outcome, Product)
            if price == shelf.price:
                self._reprice(shelf, new or others[-1])
            for begins in found:
                shelf.withdrawn.setdefault(begins, self.now)

    @rule()
    def reprice(self) -> None:
        for policy_id in (PolicyId(1), PolicyId(2)):
            run = self.shop.market.repricing.run(policy_id)
            for stored in self.shop.queries.decisions(run.id, PageRequest(10), moves_only=True).rows:
                shelf = self.shelves[stored.decision.product_id]
                assert stored.outcome is DecisionOutcome.WRITTEN
                assert stored.decision.old == shelf.price
                assert abs(stored.decision.new - shelf.price) * 20 <= shelf.price
                shelf.prices.append((self.shop.product(stored.decision.product_id).priced_at, stored.decision.new))

    def _reprice(self, shelf: Shelf, price: int) -> None:
        if price != shelf.price:
            begins, _ = shelf.prices[-1]
            shelf.prices.append((max(self.now, begins + timedelta(microseconds=1)), price))

    # --- what must hold after each step

    @invariant()
    def books_are_right(self) -> None:
        assert self.shop.queries.stock_discrepancies() == []

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
            assert view.total == purchase.total

    @invariant()
    def money_is_conserved(self) -> None:
        sold = [
            (line, self.shelves[product].seller)
            for purchase in self.orders.values()
            if purchase.status in {PAID, REFUNDED}
            for product, line in purchase.lines.items()
        ]
        assert sum(refund.amount for refund in self.shop.tables.refunds.rows) == self._given_back()
        charged = [p for p in self.orders.values() if p.status in {PAID, REFUNDED} or p.charged_at is not None]
        assert self.shop.gateway.taken == sum(purchase.total for purchase in charged)
        assert self.shop.gateway.sent_back <= self._given_back()
        for seller in {shelf.seller for shelf in self.shelves.values()}:
            kept = sum((line.quantity - line.refunded) * line.price for line, whose in sold if whose == seller)
            assert self.shop.queries.seller_stats(seller).revenue == kept

    def _given_back(self) -> int:
        return sum(line.refunded * line.price for each in self.orders.values() for line in each.lines.values())

    def teardown(self) -> None:
        """The price history has every price in order, with increasing begin times."""
        for product, shelf in self.shelves.items():
            history = self.shop.queries.price_history(product, self.now)
            assert history is not None
            assert [(x.valid_from, x.price.minor) for x in reversed(history.intervals)] == shelf.prices
            withdrawn = {x.valid_from: x.withdrawal.at for x in history.intervals if x.withdrawal is not None}
            assert withdrawn == shelf.withdrawn


TestMarket = MarketMachine.TestCase
TestMarket.settings = settings()
