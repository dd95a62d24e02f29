"""The simulated marketplace: clients, processes, a broker, and faults.

The responses that clients received are recorded here, outside of the engine, so that invariants can compare them.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from attrs import define, evolve, field

from adapters.tasks.schedule import DECIDE, TASKS, ScheduledTask
from adapters.tasks.tasks import BackgroundTasks
from scalecommerce_core.domain.errors import GatewayUnavailable, MarketError, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, CommandId, OrderId, PaymentId, PolicyId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderStatus, RefundLine
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, RefundRequest
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.domain.webhook import DeliveryStatus, WebhookAnswer
from scalecommerce_core.ports import NumberedEvent, OutgoingWebhook, Store
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.archiving import Archiving
from scalecommerce_core.services.catalog import AdjustStock, CreateProduct, EditProduct, WithdrawPrice
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import CancelOrder, OrderRules, PlaceOrder, RefundOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.services.webhooks import CreateEndpoint
from scalecommerce_core.testing import (
    MemoryGateway,
    MemoryStore,
    MemoryViewCounter,
    SharedViews,
    in_memory_market,
    return_challenge,
)
from scalecommerce_core.testing.memory.payment_gateway import DECLINED
from scalecommerce_core.testing.simulation import Broker, Life, ProcessDied, Simulation

BATCH: Final = 4
LOST: Final = 0.1
"""Probability that a request to the gateway, or its answer, is lost."""
WAKEUP_LASTS: Final = timedelta(seconds=1)
LIMITS: Final = {6: 4}
"""Limits per buyer by opening stock."""
WINDOW: Final = timedelta(seconds=30)
"""Views of one product by one buyer within this time count once."""
LONGEST_BACKLOG: Final = 72
"""Hours after which all work must be finished."""
PAUSES: Final = (0.05, 0.05, 0.3, 1, 5, 70, 400, 1_000, -1)
"""Steps of the clock in seconds; some let reservations and promises end, one sets the clock back."""

RAILS: Final = {"least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0}

RULES: Final = OrderRules(
    PricePromise(units=4),
    quotas=OrderQuotas(open_orders=6, unpaid_units=3, buyer_limit_window=timedelta(days=2)),
    decide_at_intake=True,
)
"""Quotas that few buyers reach with few orders."""
CONTENDED: Final = 0.3
"""Probability that another transaction holds a lock that intake tries to take, so that a worker decides the orders."""

HOT_TIME: Final = timedelta(minutes=1)
"""Far shorter than in a shop, so that orders are archived and refunds restore them during a simulation."""

Tamper = Callable[[MemoryStore], Store]


@define
class Request:
    """An order request. With a key it is repeated until it is answered; without a key it is sent once.

    `commands` are the command ids of its copies, `answers` the responses that the sender received.
    """

    owner: AccountId
    lines: Sequence[OrderLineRequest]
    key: str | None
    commands: set[CommandId] = field(factory=set)
    answers: list[OrderId | MarketError] = field(factory=list)


@define
class GivingBack:
    """A refund request with a key, repeated until it is answered; `made`: whether it was granted."""

    order_id: OrderId
    owner: AccountId
    line: RefundLine
    key: str
    restock: bool
    made: bool | None = None


class Api:
    """The memory of an API process."""

    def __init__(self, life: Life, world: "World") -> None:
        self.market = world.market(life)
        self.notifier = life.seams.port("notifier", world.redis)
        self.views = MemoryViewCounter(life.clock, window=WINDOW, shared=world.redis.views)


class Worker:
    def __init__(self, life: Life, world: "World") -> None:
        views = life.seams.port("views", MemoryViewCounter(life.clock, shared=world.redis.views))
        self.tasks = BackgroundTasks(world.market(life), views, world.redis.acknowledge, sleep=lambda _seconds: None)


class Redis:
    """`ports.WorkNotifier` as the adapter implements it, and the views that API processes handed over."""

    def __init__(self, simulation: Simulation, messages: "Broker[str]", is_counted: Callable[[str], bool]) -> None:
        self._is_counted = is_counted
        self._clock = simulation.clock
        self._messages = messages
        self._woken_until = simulation.clock.now()
        self.views = SharedViews()
        self.views_lost = 0

    def orders_placed(self) -> None:
        if self._woken_until <= self._clock.now():
            self._woken_until = self._clock.now() + WAKEUP_LASTS
            self._messages.publish(DECIDE)

    def acknowledge(self) -> None:
        self._woken_until = self._clock.now()

    def flush(self) -> None:
        self._messages.flush()
        self.views_lost += self.views.open.total()
        if self.views.sealed is not None and not self._is_counted(self.views.sealed.id):
            self.views_lost += sum(self.views.sealed.counts.values())
        self.views.flush()
        self.acknowledge()


class LossyGateway:
    """`inner` behind a faulty network: requests are lost or delayed past their deadline, or answers are lost."""

    def __init__(self, simulation: Simulation, inner: MemoryGateway) -> None:
        self._simulation = simulation
        self._inner = inner
        self.late: list[ChargeRequest] = []

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        self._maybe_lost()
        if not self._simulation.is_calm and self._simulation.chance(LOST):
            self.late.append(request)
            raise GatewayUnavailable("There was no answer in time.")
        answer = self._inner.charge(request)
        self._maybe_lost()
        return answer

    def find(self, key: PaymentId) -> Charged | Declined | None:
        self._maybe_lost()
        return self._inner.find(key)

    def refund(self, request: RefundRequest) -> None:
        self._maybe_lost()
        self._inner.refund(request)
        self._maybe_lost()

    def arrive(self) -> None:
        """Deliver the delayed requests."""
        for request in self.late:
            self._inner.charge(request)
        self.late.clear()

    def _maybe_lost(self) -> None:
        if not self._simulation.is_calm and self._simulation.chance(LOST):
            raise GatewayUnavailable("The line is broken.")


class Receivers:
    """`ports.WebhookSender` and its receivers: messages and answers may be lost."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.heard: dict[tuple[str, str], list[bytes]] = {}
        """Received bodies by URL and message id."""

    def send(self, messages: Sequence[OutgoingWebhook]) -> Sequence[WebhookAnswer]:
        return [self._answer(message) for message in messages]

    def _answer(self, message: OutgoingWebhook) -> WebhookAnswer:
        if (verified := return_challenge(message)) is not None:
            return verified
        took = timedelta(milliseconds=5)
        fate = 1.0 if self._simulation.is_calm else self._simulation.random.random()
        if fate < LOST:
            return WebhookAnswer(took, error="There was no answer in time.")
        if fate < 2 * LOST:
            return WebhookAnswer(took, status=500)
        self.heard.setdefault((message.url, message.headers["webhook-id"]), []).append(message.body)
        return WebhookAnswer(took, error="The line is broken.") if fate < 3 * LOST else WebhookAnswer(took, status=204)


class World:
    """The marketplace with its actors. `tamper` wraps the engine's store to break a rule on purpose."""

    def __init__(self, simulation: Simulation, tamper: Tamper = lambda store: store) -> None:
        self.simulation = simulation
        self.random = simulation.random
        self.memory = MemoryStore()
        self.memory.is_contended = lambda: not simulation.is_calm and simulation.chance(CONTENDED)
        self._tamper = tamper
        self.requests: list[Request] = []
        self.refunds: list[GivingBack] = []
        self.told_paid: set[OrderId] = set()
        self.told_cancelled: set[OrderId] = set()
        self.adjustments: int = 0
        """Requested changes of stock."""
        self.viewed: int = 0
        self.views_handed_over: int = 0
        self.feed: list[NumberedEvent] = []
        self.bank = MemoryGateway()
        self.gateway = LossyGateway(simulation, self.bank)
        self.receivers = Receivers(simulation)
        self.requests_under_way: Broker[Request] = Broker(simulation)
        self.messages: Broker[str] = Broker(simulation, lost=0.1, doubled=0.1)
        self.redis = Redis(
            simulation, self.messages, lambda batch: self.memory.tables.noted_views.get(batch) is not None
        )
        self._open()
        self._read = tamper(self.memory)
        self.apis = [simulation.process(f"api{number}", lambda life: Api(life, self)) for number in (1, 2)]
        self.workers = [simulation.process(f"worker{number}", lambda life: Worker(life, self)) for number in (1, 2)]
        for weight, act in (
            (8, self.buyer_orders), (3, self.buyer_asks_again), (12, self.api_takes_orders), (8, self.buyer_pays),
            (3, self.buyer_cancels), (3, self.seller_refunds), (2, self.seller_counts), (1, self.seller_prices),
            (0.5, self.seller_withdraws_a_price),
            (1, self.repricing), (3, self.buyer_looks), (2, self.api_hands_views_over), (12, self.worker_works),
            (8, self.beat_ticks), (6, self.time_passes), (3, self.reader_reads), (1, self.somebody_dies),
            (1, self.late_charges_arrive), (0.2, self.operator_makes_statistics_anew),
            (5, self.worker_folds),
            (0.3, self.redis_is_flushed),
        ):  # fmt: skip
            simulation.actor(act.__name__, act, weight)

    def market(self, life: Life) -> Market:
        store = life.seams.store(self._tamper(self.memory))
        market = in_memory_market(
            life.clock,
            memory=self.memory,
            store=store,
            ids=self.simulation.ids,
            gateway=life.seams.port("gateway", self.gateway),
            sender=life.seams.port("webhook_sender", self.receivers),
            order_rules=RULES,
        )
        # `MarketRules` allows no time as short.
        return evolve(market, archiving=Archiving(store, life.clock, HOT_TIME))

    def _open(self) -> None:
        """Create accounts and products with little stock, before faults begin."""
        market = in_memory_market(self.simulation.clock, memory=self.memory, ids=self.simulation.ids)
        names = ("sam", "sue", "bea", "bob", "ben")
        people = [
            unwrap_single([outcome]).id
            for outcome in market.accounts.sign_up([SignUp(f"{name}@example.com", "a long password") for name in names])
        ]
        self.sellers, self.buyers = people[:2], people[2:]
        market.pricing.create([CreatePolicy(seller, {"name": "Learn", "guardrails": RAILS}) for seller in self.sellers])
        self.opened = {
            unwrap_single([outcome]).product.id: stock
            for stock, outcome in zip(
                (3, 6, 12),
                market.catalog.create_products(
                    [
                        CreateProduct(
                            self.sellers[number % 2],
                            CategoryId(1),
                            "Tea pot",
                            Money(1000, "USD"),
                            stock,
                            max_per_buyer=LIMITS.get(stock),
                        )
                        for number, stock in enumerate((3, 6, 12))
                    ]
                ),
                strict=True,
            )
        }
        self.products = list(self.opened)
        self.owners = {product: self.sellers[number % 2] for number, product in enumerate(self.products)}
        # Webhooks begin with the events that come after these.
        market.relay.assign_sequence()
        self.addresses = {owner: f"https://{owner}.example/" for owner in (self.sellers[0], self.buyers[0])}
        market.webhooks.create([CreateEndpoint(owner, url) for owner, url in self.addresses.items()])
        market.webhooks.deliver()
        market.webhooks.fan_out()
        self.simulation.clock.advance(days=8)

    # --- buyers

    def buyer_orders(self) -> None:
        chosen = self.random.sample(self.products, self.random.randint(1, 2))
        lines = [
            OrderLineRequest(p, self.random.randint(1, 3), self.random.choice([None, None, 1000, 1010])) for p in chosen
        ]
        key = f"key {len(self.requests)}" if self.random.random() < 0.7 else None
        request = Request(self.random.choice(self.buyers), lines, key)
        self.requests.append(request)
        self.requests_under_way.publish(request)

    def buyer_asks_again(self) -> None:
        again = [request for request in self.requests if request.key is not None and not request.answers]
        # If all requests were answered, repeat an answered one: its answer must be the same.
        if again or self.requests:
            request = self.random.choice(again or self.requests)
            if request.key is not None:
                self.requests_under_way.publish(request)

    def api_takes_orders(self) -> None:
        """As the batcher: take the waiting requests, run them as one batch, record the answers."""
        batch: list[tuple[Request, PlaceOrder]] = []
        while len(batch) < BATCH and (request := self.requests_under_way.take()) is not None:
            batch.append((request, self._command(request)))
        if not batch:
            return

        def place(api: Api) -> list[Order | Replayed | MarketError]:
            outcomes = api.market.ordering.place([command for _, command in batch])
            if any(isinstance(each, Order) and each.status is OrderStatus.CREATED for each in outcomes):
                api.notifier.orders_placed()
            return outcomes

        try:
            outcomes = self.random.choice(self.apis).do(place)
        except (ProcessDied, Unavailable):
            return
        for (request, _), outcome in zip(batch, outcomes, strict=True):
            if self.random.random() < 0.9:
                self._answer(request, outcome)

    def _command(self, request: Request) -> PlaceOrder:
        command = self.simulation.ids.command()
        request.commands.add(command)
        key = request.key and IdempotencyKey(request.key, request.key.encode(), lambda order: b"%d" % order.id)
        return PlaceOrder(command, request.owner, request.lines, key or None)

    def _answer(self, request: Request, outcome: Order | Replayed | MarketError) -> None:
        match outcome:
            case Order():
                request.answers.append(outcome.id)
            case Replayed():
                request.answers.append(OrderId(int(outcome.body)))
            case _:
                request.answers.append(outcome)
        self.simulation.note(f"answer {request.answers[-1]!r}")

    def buyer_pays(self) -> None:
        for order_id, outcome in self._of_some_orders(
            lambda api, known: api.market.payments.pay(
                [PayOrder(o, owner, self.random.choice(["card", "card", "card", DECLINED])) for o, owner in known]
            )
        ):
            if isinstance(outcome, Order):
                self.told_paid.add(order_id)

    def buyer_cancels(self) -> None:
        for order_id, outcome in self._of_some_orders(
            lambda api, known: api.market.ordering.cancel([CancelOrder(o, owner) for o, owner in known])
        ):
            if isinstance(outcome, Order):
                self.told_cancelled.add(order_id)

    def _of_some_orders(
        self, act: Callable[[Api, Sequence[tuple[OrderId, AccountId]]], Sequence[Order | MarketError]]
    ) -> Iterable[tuple[OrderId, Order | MarketError]]:
        known = self.known_orders()
        if not known:
            return []
        # Prefer recent orders, which still allow actions.
        some = [known[-1 - min(int(self.random.expovariate(0.3)), len(known) - 1)] for _ in range(2)]
        try:
            outcomes = self.random.choice(self.apis).do(lambda api: act(api, some))
        except (ProcessDied, Unavailable):
            return []
        self.simulation.note(f"outcomes {[getattr(outcome, 'status', outcome) for outcome in outcomes]}")
        return list(zip((order_id for order_id, _ in some), outcomes, strict=True))

    def known_orders(self) -> list[tuple[OrderId, AccountId]]:
        """Acknowledged orders, in the order of the requests."""
        return [(answer, r.owner) for r in self.requests for answer in r.answers[:1] if isinstance(answer, int)]

    def buyer_looks(self) -> None:
        self.viewed += 1
        product, buyer = self.random.choice(self.products), self.random.choice(self.buyers)
        self.random.choice(self.apis).do(lambda api: api.views.record_view(product, str(buyer)))

    # --- sellers

    def seller_refunds(self) -> None:
        paid = sorted(self.told_paid)
        if not paid:
            return
        unanswered = [refund for refund in self.refunds if refund.made is None]
        if unanswered and self.random.random() < 0.7:
            refund = self.random.choice(unanswered)
        else:
            order = self.memory.tables.orders.get(self.random.choice(paid))
            assert order is not None
            line = self.random.choice(order.lines)
            part = RefundLine(line.product_id, self.random.randint(1, 2))
            refund = GivingBack(
                order.id, line.seller_id, part, f"refund {len(self.refunds)}", self.random.random() < 0.5
            )
            self.refunds.append(refund)
        key = IdempotencyKey(refund.key, refund.key.encode(), lambda order: b"%d" % order.id)
        command = RefundOrder(refund.order_id, refund.owner, [refund.line], restock=refund.restock, idempotency=key)
        try:
            (outcome,) = self.random.choice(self.apis).do(lambda api: api.market.ordering.refund([command]))
        except (ProcessDied, Unavailable):
            return
        # In one case of ten the answer is lost and the request repeated; a refund that was granted must not be rejected
        # then.
        if self.random.random() < 0.9:
            assert refund.made in {None, not isinstance(outcome, MarketError)}
            refund.made = not isinstance(outcome, MarketError)

    def seller_counts(self) -> None:
        product = self.random.choice(self.products)
        stock = self.memory.tables.stock.get(product)
        assert stock is not None
        command = self.random.choice(
            [
                AdjustStock(product, self.owners[product], delta=self.random.randint(-2, 4)),
                AdjustStock(product, self.owners[product], available=5),
                AdjustStock(product, self.owners[product], available=8, expected=stock.available),
            ]
        )
        self.adjustments += 1
        self._quietly(lambda api: api.market.catalog.adjust_stock([command]))

    def seller_prices(self) -> None:
        product = self.random.choice(self.products)
        price = Money(self.random.choice([900, 1000, 1010]), "USD")
        command = EditProduct(product, self.owners[product], {"price": price})
        self._quietly(lambda api: api.market.catalog.edit_products([command]))

    def seller_withdraws_a_price(self) -> None:
        product = self.random.choice(self.products)
        found = self.memory.tables.products.get(product)
        assert found is not None
        price = self.random.choice([found.price, Money(900, "USD"), Money(1010, "USD")])
        command = WithdrawPrice(product, self.owners[product], price, "A mistake")
        self._quietly(lambda api: api.market.catalog.withdraw_prices([command]))

    def repricing(self) -> None:
        for policy_id in (1, 2):
            self._quietly(partial(_reprice, PolicyId(policy_id)))

    def _quietly(self, work: Callable[[Api], object]) -> None:
        with suppress(ProcessDied, Unavailable):
            self.random.choice(self.apis).do(work)

    # --- what runs in the background

    def api_hands_views_over(self) -> None:
        before = self.redis.views.open.total()
        self.random.choice(self.apis).do(lambda api: api.views.push())
        self.views_handed_over += self.redis.views.open.total() - before

    def beat_ticks(self) -> None:
        """Send scheduled messages about as often as the schedule says; housekeeping is rare."""
        (task,) = self.random.choices(TASKS, [5 if task.every < timedelta(minutes=1) else 1 for task in TASKS])
        self.messages.publish(task.name)

    def worker_works(self) -> None:
        message = self.messages.take()
        if message is None:
            return
        self.simulation.note(message)
        (task,) = (task for task in TASKS if task.name == message)
        try:
            self.random.choice(self.workers).do(partial(_work, task))
        except (ProcessDied, Unavailable):
            # Messages are acknowledged late, so another process receives this one.
            self.messages.publish(message)

    def time_passes(self) -> None:
        self.simulation.clock.advance(seconds=self.random.choice(PAUSES))

    def reader_reads(self) -> None:
        """Read the feed as a client that would miss events before its position."""
        with self._read.begin() as tx:
            self.feed += tx.events.read_after(len(self.feed), 10)

    def somebody_dies(self) -> None:
        kill = self.random.choice([process.kill for process in self.apis] + [process.kill for process in self.workers])
        kill()

    def late_charges_arrive(self) -> None:
        self.gateway.arrive()

    def worker_folds(self) -> None:
        """Fold a few numbered events."""

        def fold(worker: Worker) -> None:
            worker.tasks.number_events()
            worker.tasks.market.statistics.fold(self.random.randint(1, 20))

        with suppress(ProcessDied, Unavailable):
            self.random.choice(self.workers).do(fold)

    def operator_makes_statistics_anew(self) -> None:
        seller = self.random.choice([None, *self.sellers])
        with suppress(ProcessDied, Unavailable):
            self.random.choice(self.workers).do(lambda worker: worker.tasks.market.statistics.rebuild(seller))

    def redis_is_flushed(self) -> None:
        self.redis.flush()

    # --- the end

    def settle(self) -> None:
        """Stop faults, deliver delayed messages, and run the background work until none is left."""
        self.simulation.calm()
        while self.requests_under_way.under_way:
            self.api_takes_orders()
        for request in self.requests:
            if request.key is not None and not any(isinstance(answer, int) for answer in request.answers):
                self.requests_under_way.under_way.append(request)
                self.api_takes_orders()
        hours = 0
        while hours < 12 or any(d.status is DeliveryStatus.PENDING for d in self.memory.tables.deliveries.all()):
            assert hours < LONGEST_BACKLOG, "webhooks are under way for ever"
            if hours == 3:
                # The orders of these charges have expired by now.
                self.gateway.arrive()
            for task in TASKS:
                self.workers[0].do(partial(_work, task))
            # Longer than most delays before a retry, and shorter than a day, after which idempotency keys are purged.
            self.simulation.clock.advance(hours=3)
            hours += 3
        self.reader_reads_all()

    def reader_reads_all(self) -> None:
        with self._read.begin() as tx:
            self.feed += tx.events.read_after(len(self.feed), 1_000_000)


def _work(task: ScheduledTask, worker: Worker) -> None:
    task.run(worker.tasks)


def _reprice(policy_id: PolicyId, api: Api) -> object:
    return api.market.repricing.run(policy_id)
