"""Payments on real PostgreSQL, with threads that act on the same orders at the same time."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from attrs import evolve, frozen
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.payments.sandbox import SandboxGateway, SandboxRefundRejected
from adapters.system import RandomIds
from scalecommerce_core.domain.errors import GatewayUnavailable, MarketError, PaymentInProgress
from scalecommerce_core.domain.identifiers import AccountId, OrderId, PaymentId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderStatus, RefundLine
from scalecommerce_core.domain.payment import Charged, Declined, Payment
from scalecommerce_core.services.ordering import CancelOrder, Ordering, RefundOrder
from scalecommerce_core.services.payments import PaymentResult, Payments, PayOrder
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.gateways import charge_request, refund_request
from scalecommerce_core.testing.contracts.stage import NOW, Stage


@frozen
class PaymentFixture:
    """A product at 10.00 with many orders; the time is constant unless a test advances it."""

    engine: Engine
    store: PostgresStore
    clock: SettableClock
    gateway: SandboxGateway
    payments: Payments
    ordering: Ordering
    stage: Stage
    buyer: AccountId
    product: ProductId

    def order(self, quantity: int = 2) -> OrderId:
        order_id = self.stage.order(self.buyer, {self.product: quantity})
        self.stage.decide([order_id], lasting=timedelta(minutes=15))
        return order_id

    def start(self, order_id: OrderId, method: str = "sandbox-ok") -> Payment:
        (payment,) = self.payments.open([PayOrder(order_id, self.buyer, method)])
        assert isinstance(payment, Payment)
        return payment

    def pay(self, order_id: OrderId, method: str = "sandbox-ok") -> Order | MarketError:
        (outcome,) = self.payments.pay([PayOrder(order_id, self.buyer, method)])
        return outcome

    def status(self, order_id: OrderId) -> OrderStatus:
        with self.store.begin() as tx:
            return tx.orders.lock([order_id])[order_id].status

    def settle(self) -> None:
        """Run sweeps until no attempt and no refund is open."""
        for _ in range(30):
            self.clock.advance(hours=1)
            while self.payments.reconcile() + self.payments.send_refunds():
                pass
            self.ordering.expire()

    def sums(self) -> tuple[int, int, int, int]:
        """The gateway's balance; the totals of orders less refunds; the number of open attempts; the number of open
        refunds."""
        with self.engine.connect() as connection:
            row = connection.execute(
                text(
                    """
                    SELECT (SELECT coalesce(sum(amount), 0) FROM sandbox_charges WHERE declined_because IS NULL)
                        - (SELECT coalesce(sum(amount), 0) FROM sandbox_refunds),
                        (SELECT coalesce(sum((quantity - refunded) * price), 0)
                            FROM orders JOIN order_lines ON order_id = orders.id
                            WHERE status IN ('PAID', 'REFUNDED')),
                        (SELECT count(*) FROM payments WHERE status = 'OPEN' OR check_at IS NOT NULL),
                        (SELECT count(*) FROM payment_refunds WHERE status = 'OPEN')
                    """
                )
            ).one()
            return int(row[0]), int(row[1]), row[2], row[3]


@pytest.fixture
def paying(database: str) -> Iterator[PaymentFixture]:
    engine = database_engine(database)
    store, clock = PostgresStore(engine), SettableClock(NOW)
    gateway, stage = SandboxGateway(engine, wait=lambda _seconds: None), Stage(store)
    yield PaymentFixture(
        engine=engine,
        store=store,
        clock=clock,
        gateway=gateway,
        payments=Payments(store, clock, ids=RandomIds(), gateway=gateway),
        ordering=Ordering(store, clock),
        stage=stage,
        buyer=stage.account(),
        product=stage.product(stock=10_000),
    )
    engine.dispose()


@pytest.fixture(autouse=True)
def everything_settles(paying: PaymentFixture) -> Iterator[None]:
    """After each test, the figures of money and stock are consistent."""
    yield
    paying.settle()
    kept, earned, watched, unsent = paying.sums()
    assert (kept, watched, unsent) == (earned, 0, 0)
    assert PostgresQueries(paying.engine).stock_discrepancies() == []


def run_concurrently(*jobs: Callable[[], object]) -> list[object]:
    """Start the jobs at the same time; return their results."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> object:
        start.wait(20)
        return job()

    with ThreadPoolExecutor(len(jobs)) as threads:
        return [future.result(timeout=60) for future in [threads.submit(run, job) for job in jobs]]


# --- races


def test_one_of_many_concurrent_payments_charges(paying: PaymentFixture) -> None:
    for _ in range(5):
        order_id = paying.order()
        outcomes = run_concurrently(*[partial(paying.pay, order_id)] * 6)
        paid = [outcome for outcome in outcomes if isinstance(outcome, Order)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, PaymentInProgress)]
        assert paid
        assert len(paid) + len(refused) == 6
    assert paying.sums()[0] == 5 * 20_00


def test_concurrent_payment_cancellation_and_expiry_have_one_winner(paying: PaymentFixture) -> None:
    for _ in range(10):
        order_id = paying.order()
        paying.clock.advance(minutes=15)
        run_concurrently(
            partial(paying.pay, order_id),
            partial(paying.ordering.cancel, [CancelOrder(order_id, paying.buyer)]),
            paying.ordering.expire,
        )
        with paying.store.begin() as tx:
            order, captured = tx.orders.lock([order_id])[order_id], tx.payments.lock_captured([order_id])
        assert order.status in {OrderStatus.PAID, OrderStatus.CANCELLED}
        assert (order.status is OrderStatus.PAID) == (order_id in captured)


def test_a_payment_opened_during_expiry_keeps_its_order(paying: PaymentFixture) -> None:
    """The claim skips an order that is locked, and an order whose attempt was committed just before."""
    order_id = paying.order()
    paying.clock.advance(minutes=15)
    with paying.store.begin() as tx:
        tx.orders.lock([order_id])
        assert run_concurrently(paying.ordering.expire) == [0]
    paying.start(order_id)
    assert paying.ordering.expire() == 0
    assert paying.status(order_id) is OrderStatus.PENDING


def test_a_result_that_is_recorded_concurrently_counts_once(paying: PaymentFixture) -> None:
    order_id = paying.order()
    result = paying.payments.charge(paying.start(order_id))
    paying.clock.advance(minutes=1)
    run_concurrently(*[partial(paying.payments.record, [result])] * 4, *[paying.payments.reconcile] * 2)
    assert paying.status(order_id) is OrderStatus.PAID
    with paying.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stock_movements WHERE kind = 'sale'")) == 1


def test_a_late_charge_is_recorded_during_a_cancellation(paying: PaymentFixture) -> None:
    for _ in range(8):
        order_id = paying.order()
        payment = paying.start(order_id)
        paying.clock.advance(minutes=1)
        paying.payments.reconcile()
        result = PaymentResult(payment.id, order_id, paying.gateway.charge(payment.request()))
        run_concurrently(
            partial(paying.payments.record, [result]),
            partial(paying.ordering.cancel, [CancelOrder(order_id, paying.buyer)]),
            partial(paying.pay, order_id),
        )


def test_concurrent_sweeps_send_each_refund_once(paying: PaymentFixture) -> None:
    orders = [paying.order() for _ in range(6)]
    for order_id in orders:
        paying.pay(order_id)
    wanted = [RefundOrder(each, paying.buyer, [RefundLine(paying.product, 1)], as_staff=True) for each in orders * 2]
    assert all(isinstance(outcome, Order) for outcome in paying.ordering.refund(wanted))
    taken = run_concurrently(*[partial(paying.payments.send_refunds, 4)] * 4)
    assert sum(count for count in taken if isinstance(count, int)) <= 12
    while paying.payments.send_refunds():
        pass
    assert paying.sums()[0] == 0


def test_concurrent_use_cases_keep_the_money_balanced(paying: PaymentFixture) -> None:
    """Concurrent payments, cancellations, refunds, expiry, sweeps, lost replies, declined charges and crashes between
    the steps."""
    orders = [paying.order(quantity=3) for _ in range(60)]
    stop = threading.Event()

    def buy(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(60):
            order_id = choice.choice(orders)
            match choice.randrange(7):
                case 0 | 1:
                    paying.pay(order_id)
                case 2:
                    paying.pay(order_id, choice.choice(["sandbox-declined", "sandbox-lost-reply"]))
                case 3:
                    # The process dies before the charge, or before its answer is recorded.
                    (opened,) = paying.payments.open([PayOrder(order_id, paying.buyer)])
                    if isinstance(opened, Payment) and choice.random() < 0.7:
                        paying.payments.charge(opened)
                case 4:
                    paying.ordering.cancel([CancelOrder(order_id, paying.buyer)])
                case _:
                    part = RefundLine(paying.product, choice.randint(1, 2))
                    paying.ordering.refund([RefundOrder(order_id, paying.buyer, [part], as_staff=True)])

    def sweep(seed: int) -> None:
        choice = random.Random(seed)
        while not stop.is_set():
            paying.clock.advance(seconds=choice.randint(1, 30))
            paying.payments.reconcile(7)
            paying.payments.send_refunds(5)
            paying.ordering.expire(9)

    with ThreadPoolExecutor(6) as threads:
        sweeping = [threads.submit(sweep, seed) for seed in range(2)]
        try:
            for buying in [threads.submit(buy, seed) for seed in range(4)]:
                buying.result(timeout=120)
        finally:
            stop.set()
        for each in sweeping:
            each.result(timeout=60)
    with paying.engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()"))
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert connection.scalar(text(query)) == 0


# --- what the database itself refuses

IMPOSSIBLE = (
    "UPDATE payments SET refunded = amount + 1",
    "UPDATE payments SET refunded = -1",
    "UPDATE payments SET amount = 0",
    "UPDATE payments SET status = 'OPEN', reference = NULL, check_at = now()",
    "UPDATE payments SET status = 'OPEN', reference = NULL, refunded = 0, check_at = NULL",
    "UPDATE payments SET status = 'DECLINED', reference = NULL, refunded = 0",
    "UPDATE payments SET status = 'TOO_LATE'",
    "UPDATE payments SET reference = NULL",
    "UPDATE payments SET status = 'PAID'",
    "CREATE TEMP TABLE twin AS TABLE payments; UPDATE twin SET id = gen_random_uuid(); INSERT INTO payments TABLE twin",
    "UPDATE payment_refunds SET amount = 0",
    "UPDATE payment_refunds SET status = 'DONE'",
    "UPDATE payment_refunds SET status = 'LOST'",
    "DELETE FROM payments",
    "UPDATE sandbox_charges SET amount = 0",
    "DELETE FROM sandbox_charges",
)


def test_constraints_reject_inconsistent_payments(paying: PaymentFixture, subtests: pytest.Subtests) -> None:
    order_id = paying.order()
    paying.pay(order_id)
    paying.ordering.refund([RefundOrder(order_id, paying.buyer, [RefundLine(paying.product, 1)], as_staff=True)])
    with paying.engine.begin() as connection:
        connection.execute(text("INSERT INTO sandbox_refunds SELECT gen_random_uuid(), key, 1 FROM sandbox_charges"))
    for statement in IMPOSSIBLE:
        with subtests.test(statement), pytest.raises(IntegrityError), paying.engine.begin() as connection:
            connection.execute(text(statement))
    with paying.engine.begin() as connection:
        connection.execute(text("DELETE FROM sandbox_refunds"))


# --- the sandbox


def test_sandbox_methods_behave_as_named(paying: PaymentFixture) -> None:
    waits: list[float] = []
    sandbox = SandboxGateway(paying.engine, slow_seconds=7, wait=waits.append)

    def charge(method: str) -> Charged | Declined:
        return sandbox.charge(charge_request(1_00, method))

    assert isinstance(charge("default"), Charged)
    assert isinstance(charge("sandbox-ok"), Charged)
    assert charge("sandbox-declined") == Declined("card_declined")
    assert charge("tok_visa") == Declined("unknown_method")
    assert waits == []
    assert isinstance(charge("sandbox-slow"), Charged)
    assert waits == [7]
    lost = charge_request(1_00, "sandbox-lost-reply")
    with pytest.raises(GatewayUnavailable):
        sandbox.charge(lost)
    assert isinstance(sandbox.find(lost.key), Charged)
    with paying.engine.begin() as connection:
        connection.execute(text("DELETE FROM sandbox_charges"))


def test_a_slow_charge_is_stored_before_its_response(paying: PaymentFixture) -> None:
    """A process that is killed while it waits has therefore charged, and a sweep finds the charge."""
    charge = charge_request(1_00, "sandbox-slow")
    seen: list[Charged | Declined | None] = []
    SandboxGateway(paying.engine, wait=lambda _seconds: seen.append(paying.gateway.find(charge.key))).charge(charge)
    assert isinstance(seen[0], Charged)
    paying.gateway.refund(refund_request(charge, seen[0].reference, 1_00))


def test_a_refund_in_another_currency_is_refused(paying: PaymentFixture) -> None:
    charge = charge_request(1_00, "sandbox-ok")
    answer = paying.gateway.charge(charge)
    assert isinstance(answer, Charged)
    wrong = refund_request(charge, answer.reference, 1)
    with pytest.raises(SandboxRefundRejected):
        paying.gateway.refund(evolve(wrong, amount=Money(1, "EUR")))
    paying.gateway.refund(refund_request(charge, answer.reference, 1_00))


def test_a_sandbox_without_its_database_is_unavailable() -> None:
    nowhere = database_engine("postgresql://nobody@127.0.0.1:1/nowhere")
    sandbox, charge = SandboxGateway(nowhere), charge_request(1, "sandbox-ok")
    asked: list[Callable[[], object]] = [
        partial(sandbox.charge, charge),
        partial(sandbox.find, PaymentId(uuid4())),
        partial(sandbox.refund, refund_request(charge, "x", 1)),
    ]
    for ask in asked:
        with pytest.raises(GatewayUnavailable):
            ask()
    nowhere.dispose()
