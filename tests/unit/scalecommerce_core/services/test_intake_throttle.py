"""When intake refuses orders because too many are undecided."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import IdempotencyKeyReused, OrderBacklogFull, Unavailable
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import Order, OrderStatus
from scalecommerce_core.queries import ValidationBacklog
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.intake_throttle import (
    RETRY_INTERVAL,
    SAMPLE_INTERVAL,
    STANDING_AFTER,
    BacklogRule,
    BacklogSample,
    IntakeThrottle,
)
from scalecommerce_core.services.ordering import Ordering, OrderRules, PlaceOrder
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.testing import RecordedMeasurements, in_memory_market
from tests.unit.support.shop import Shop, line

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = timedelta(seconds=30)


class Queue:
    """A queue of orders that are decided in the order of arrival.

    Each process of intake samples it four times a second, before some are decided.
    """

    def __init__(self, limit: timedelta = LIMIT, decided_by_intake: int = 0, processes: int = 1) -> None:
        self.rules = [BacklogRule(limit, decided_by_intake) for _ in range(processes)]
        self.now = START
        self.placed: list[datetime] = []
        """When each order was placed; its id is its position plus one."""
        self.decided = 0
        self._seen = [0] * processes

    @property
    def rule(self) -> BacklogRule:
        """The rule of the first process."""
        return self.rules[0]

    def sample(self, process: int = 0) -> None:
        backlog = ValidationBacklog()
        if self.undecided:
            remaining = max(0, self._seen[process] - self.decided)
            first, last = OrderId(self.decided + 1), OrderId(len(self.placed))
            backlog = ValidationBacklog(self.undecided, remaining, first, last, self.placed[self.decided])
        self._seen[process] = len(self.placed) if self.undecided else 0
        self.rules[process].observe(BacklogSample(self.now, backlog))

    def run(self, seconds: float, *, arriving: int, decided: int) -> Iterator[bool]:
        """Whether orders are refused after each sample; rates are per second, and refused orders do not arrive."""
        processes = len(self.rules)
        for _ in range(round(seconds * 4)):
            self.now += SAMPLE_INTERVAL
            for process, rule in enumerate(self.rules):
                if rule.retry_after is None:
                    self.placed += [self.now] * (arriving // 4 // processes)
                self.sample(process)
                self.decided = min(len(self.placed), self.decided + decided // 4 // processes)
            yield any(rule.retry_after is not None for rule in self.rules)

    @property
    def undecided(self) -> int:
        return len(self.placed) - self.decided


def test_orders_that_are_decided_in_time_are_accepted() -> None:
    assert not any(Queue().run(60, arriving=1000, decided=1200))


def test_a_burst_that_is_decided_within_the_limit_is_accepted() -> None:
    queue = Queue()
    assert not any(queue.run(2, arriving=10_000, decided=2_500))
    assert queue.undecided == 15_000
    assert not any(queue.run(9, arriving=1_000, decided=2_500))
    assert not any(queue.run(10, arriving=1_000, decided=2_500))


def test_a_burst_that_would_wait_beyond_the_limit_is_refused_at_once() -> None:
    queue = Queue()
    refused = list(queue.run(5, arriving=100_000, decided=2_500))
    assert any(refused[:6])
    # It takes a second to measure how many are decided.
    assert queue.undecided < 1.5 * 100_000
    assert queue.rule.retry_after is not None
    assert queue.rule.retry_after > LIMIT


def test_a_queue_that_does_not_go_away_is_kept_short() -> None:
    queue = Queue()
    before = list(queue.run(STANDING_AFTER.total_seconds(), arriving=3_400, decided=2_500))
    assert not any(before)
    list(queue.run(30, arriving=3_400, decided=2_500))
    # From now on, the wait is at most that of the target and one sample.
    decided = queue.decided
    waits = [queue.undecided / 2_500 for _ in queue.run(60, arriving=3_400, decided=2_500)]
    assert max(waits) < 1.5
    # The decider always has work, except for a moment before refusals end.
    assert queue.decided - decided > 0.9 * 60 * 2_500


def test_refusals_end_when_the_queue_is_nearly_empty_and_not_before() -> None:
    queue = Queue()
    list(queue.run(40, arriving=3_400, decided=2_500))
    states = [(refused, queue.undecided / 2_500) for refused in queue.run(60, arriving=3_400, decided=2_500)]
    ended = [after[1] for before, after in pairwise(states) if before[0] and not after[0]]
    assert ended
    assert max(ended) <= 0.1
    # The state does not change with each sample.
    changes = sum(before[0] != after[0] for before, after in pairwise(states))
    assert changes < len(states) / 4


def test_bursts_are_accepted_again_when_the_overload_is_above_limit() -> None:
    queue = Queue()
    list(queue.run(40, arriving=3_400, decided=2_500))
    list(queue.run(20, arriving=500, decided=2_500))
    assert not any(queue.run(1, arriving=10_000, decided=2_500))


@pytest.mark.parametrize(("arriving", "seen"), [(20, 4), (20, 20), (200, 200), (1_000, 1_000)])
def test_no_order_is_refused_while_a_worker_is_away_for_less_than_the_limit(arriving: int, seen: int) -> None:
    queue = Queue()
    # The others are placed and decided between two samples.
    assert not any(queue.run(10, arriving=seen, decided=2_500))
    assert not any(queue.run(LIMIT.total_seconds() - 1, arriving=arriving, decided=0))
    assert not any(queue.run(5, arriving=arriving, decided=2_500))


def test_a_worker_that_pauses_within_a_sample_does_not_count_as_slow() -> None:
    queue = Queue()
    assert not any(queue.run(10, arriving=1_000, decided=2_500))
    # It stops after four orders.
    assert not any(queue.run(0.25, arriving=1_000, decided=16))
    assert not any(queue.run(29, arriving=1_000, decided=0))


def test_an_order_that_was_decided_during_a_pause_of_orders_does_not_count_as_slow() -> None:
    queue = Queue()
    queue.placed.append(queue.now)
    queue.sample()
    queue.decided = 1
    queue.now += timedelta(seconds=60)
    queue.sample()
    assert not any(queue.run(1, arriving=12, decided=0))


def test_the_first_order_after_a_pause_is_accepted_although_orders_were_refused_before() -> None:
    queue = Queue()
    assert any(queue.run(40, arriving=3_400, decided=2_500))
    while queue.rule.retry_after is None:
        list(queue.run(0.25, arriving=3_400, decided=2_500))
    queue.decided = len(queue.placed)
    queue.now += timedelta(minutes=10)
    # A burst of more than a second of work is no standing queue.
    assert not any(queue.run(2, arriving=10_000, decided=2_500))
    assert not any(queue.run(5, arriving=0, decided=2_500))


def test_a_few_orders_that_the_next_intake_decides_cause_no_refusal() -> None:
    queue = Queue(decided_by_intake=100)
    queue.placed += [queue.now] * 99
    queue.sample()
    assert not any(queue.run(120, arriving=0, decided=0))
    queue.placed.append(queue.now)
    assert all(queue.run(1, arriving=0, decided=0))


def test_orders_are_refused_when_none_has_been_decided_for_the_limit_until_the_backlog_is_decided() -> None:
    queue = Queue()
    list(queue.run(31, arriving=10, decided=0))
    assert queue.undecided
    assert queue.rule.retry_after == LIMIT
    assert list(queue.run(1, arriving=10, decided=2_500))[-1] is False
    assert queue.undecided == 0


def test_a_requeued_order_of_yesterday_causes_no_refusal() -> None:
    queue = Queue()
    list(queue.run(2, arriving=100, decided=2_500))
    queue.placed.append(queue.now - timedelta(days=1))
    # Even if its decision takes as long as a restart of the worker.
    assert not any(queue.run(20, arriving=100, decided=0))
    assert queue.placed[queue.decided] == queue.now - timedelta(days=1, seconds=20)
    assert not any(queue.run(2, arriving=100, decided=2_500))


def test_the_rate_of_decisions_is_measured_only_in_samples_with_orders_left() -> None:
    queue = Queue()
    list(queue.run(10, arriving=40, decided=2_500))
    # The decider was idle most of the time, so its rate is unknown.
    assert queue.rule.decisions_per_second is None
    assert not any(queue.run(2, arriving=8_000, decided=2_500))
    assert queue.rule.decisions_per_second == pytest.approx(2_500, rel=0.3)


@pytest.mark.parametrize("decided", [40, 400, 4_000])
def test_two_processes_that_accept_more_than_is_decided_refuse_the_excess(decided: int) -> None:
    queue = Queue(processes=2)
    accepting = decided * 3 // 2
    list(queue.run(60, arriving=accepting, decided=decided))
    before, placed = queue.decided, len(queue.placed)
    refused = list(queue.run(60, arriving=accepting, decided=decided))
    assert any(refused)
    assert not all(refused)
    assert len(queue.placed) - placed < 1.05 * 60 * decided
    # The decider is idle for less time on a real server, which samples more often while it refuses.
    assert queue.decided - before > 0.85 * 60 * decided
    assert queue.undecided < 1.5 * decided


def test_retry_after_is_the_time_in_which_the_backlog_is_decided() -> None:
    queue = Queue(timedelta(seconds=4))
    assert any(queue.run(10, arriving=8_000, decided=1_000))
    refused = queue.rule.retry_after
    assert refused is not None
    assert refused.total_seconds() == pytest.approx(queue.undecided / 1_000, rel=0.1)


def test_the_error_says_when_to_order_again() -> None:
    error = OrderBacklogFull(timedelta(seconds=7.2))
    assert error.retry_after == timedelta(seconds=8)
    assert "in 8 s" in str(error)
    assert OrderBacklogFull(timedelta()).retry_after == timedelta(seconds=1)


# --- samples


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 1_000)


class Background:
    """Calls that wait until the test runs them."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def throttled(shop: Shop, background: Background, figures: RecordedMeasurements | None = None) -> Ordering:
    throttle = IntakeThrottle(shop.queries, shop.clock, LIMIT, background.calls.append)
    return Ordering(shop.store, shop.clock, throttle=throttle, measurements=figures or RecordedMeasurements())


def stop_deciding(shop: Shop, intake: Ordering, buyer: Account, tea: ProductId) -> Order:
    """Let an order wait beyond the limit."""
    placed = unwrap_single(intake.place([shop.command(buyer, line(tea))]))
    assert isinstance(placed, Order)
    for _ in range(2):
        shop.clock.advance(seconds=LIMIT.total_seconds() + 1)
        intake.refusal()
    return placed


def test_samples_are_taken_by_orders_in_the_background(shop: Shop, buyer: Account, tea: ProductId) -> None:
    background = Background()
    intake = throttled(shop, background)
    intake.place([shop.command(buyer, line(tea))])
    assert background.calls == []  # the first order has waited for the first sample
    shop.clock.advance(seconds=SAMPLE_INTERVAL.total_seconds())
    for _ in range(3):
        intake.place([shop.command(buyer, line(tea))])
    assert len(background.calls) == 1
    background.run()
    intake.place([shop.command(buyer, line(tea))])
    assert background.calls == []
    shop.clock.advance(seconds=5)
    intake.place([shop.command(buyer, line(tea))])
    assert background.calls == []


def test_orders_are_refused_while_none_is_decided(shop: Shop, buyer: Account, tea: ProductId) -> None:
    figures = RecordedMeasurements()
    intake = throttled(shop, Background(), figures)
    shop.clock.advance(seconds=5)
    stop_deciding(shop, intake, buyer, tea)
    commands = [shop.command(buyer, line(tea)) for _ in range(2)]
    refused = intake.place(commands)
    assert [type(each) for each in refused] == [OrderBacklogFull] * 2
    assert figures.answers == {"accepted": 1, "order_backlog_full": 2}
    shop.ordering.decide()
    shop.clock.advance(seconds=5)
    assert all(isinstance(each, Order) for each in intake.place(commands))


def test_accepted_orders_are_answered_while_others_are_refused(shop: Shop, buyer: Account, tea: ProductId) -> None:
    intake = throttled(shop, Background())
    key = IdempotencyKey("k", b"f", lambda order: str(order.id).encode())
    keyed = PlaceOrder(shop.ids.command(), buyer.id, [line(tea)], key)
    placed = unwrap_single(intake.place([keyed]))
    assert isinstance(placed, Order)
    accepted = shop.command(buyer, line(tea))
    first = unwrap_single(intake.place([accepted]))
    stop_deciding(shop, intake, buyer, tea)
    repeated = evolve(keyed, id=shop.ids.command())
    other = evolve(keyed, id=shop.ids.command(), idempotency=evolve(key, fingerprint=b"g"))
    new = evolve(keyed, id=shop.ids.command(), idempotency=evolve(key, key="new"))
    replayed, again, reused, refused = intake.place([repeated, accepted, other, new])
    assert replayed == Replayed(str(placed.id).encode())
    assert again == first
    assert isinstance(reused, IdempotencyKeyReused)
    assert isinstance(refused, OrderBacklogFull)
    # The key of a refused order is free.
    shop.ordering.decide()
    shop.clock.advance(seconds=5)
    assert isinstance(unwrap_single(intake.place([new])), Order)


def test_no_order_is_refused_while_the_store_does_not_answer(shop: Shop, buyer: Account, tea: ProductId) -> None:
    class Away:
        def __getattr__(self, name: str) -> object:
            if name == "validation_backlog" and is_away:
                raise Unavailable("away")
            return getattr(shop.queries, name)

    is_away = False
    throttle = IntakeThrottle(Away(), shop.clock, LIMIT, lambda call: call())  # type: ignore[arg-type]
    intake = Ordering(shop.store, shop.clock, throttle=throttle)
    stop_deciding(shop, intake, buyer, tea)
    assert intake.refusal() is not None
    is_away = True
    shop.clock.advance(seconds=SAMPLE_INTERVAL.total_seconds())
    assert intake.refusal() is None


def test_an_unexpected_error_of_a_sample_causes_no_refusal_and_is_logged(
    shop: Shop, buyer: Account, tea: ProductId, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(upto: OrderId | None = None) -> ValidationBacklog:
        raise KeyError(upto)

    background = Background()
    intake = throttled(shop, background)
    stop_deciding(shop, intake, buyer, tea)
    assert intake.refusal() is not None
    monkeypatch.setattr(shop.queries, "validation_backlog", fail)
    shop.clock.advance(seconds=5)
    assert isinstance(unwrap_single(intake.place([shop.command(buyer, line(tea))])), Order)
    record = caplog.records[-1]
    assert record.message == "the undecided orders could not be counted"
    assert record.exc_info
    # The next attempts are rare and delay no order.
    shop.clock.advance(seconds=SAMPLE_INTERVAL.total_seconds())
    assert intake.refusal() is None
    assert not background.calls
    shop.clock.advance(seconds=RETRY_INTERVAL.total_seconds())
    assert intake.refusal() is None
    assert len(background.calls) == 1


def test_an_intake_that_decides_ends_a_backlog_without_a_worker(buyer: Account, shop: Shop, tea: ProductId) -> None:
    rules = OrderRules(max_decision_wait=LIMIT, decide_at_intake=True)
    market = in_memory_market(shop.clock, memory=shop.store, order_rules=rules)
    placed = shop.place(buyer, line(tea))
    for _ in range(2):
        shop.clock.advance(seconds=LIMIT.total_seconds() + 1)
        assert market.ordering.refusal() is None
    order = unwrap_single(market.ordering.place([shop.command(buyer, line(tea))]))
    assert isinstance(order, Order)
    assert shop.order(placed.id).status is order.status is OrderStatus.PENDING


def test_parked_and_deferred_orders_cause_no_refusal(shop: Shop, buyer: Account, tea: ProductId) -> None:
    intake = throttled(shop, Background())
    order = stop_deciding(shop, intake, buyer, tea)
    with shop.store.begin() as tx:
        locked = tx.orders.lock([order.id])[order.id]
        locked.record_decision_failure(shop.clock.now(), shop.clock.now(), "KeyError: 7")
        tx.orders.save([locked])
    shop.clock.advance(seconds=5)
    assert intake.refusal() is None
