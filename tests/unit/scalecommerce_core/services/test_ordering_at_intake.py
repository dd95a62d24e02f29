"""Decisions in the transaction of intake: in the order of arrival, without waiting, and without losing an order."""

import logging
from collections.abc import Collection
from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import ConnectionLost, Unavailable
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import Order, OrderStatus, RejectionReason
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.ports import Transaction
from scalecommerce_core.services import ordering as module
from scalecommerce_core.services.ordering import DecisionSummary, Ordering, OrderRules
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import RecordedMeasurements
from tests.unit.support.shop import Shop, line
from tests.unit.support.tampering import TamperedStore, failing, with_repository

CREATED, PENDING, REJECTED = OrderStatus.CREATED, OrderStatus.PENDING, OrderStatus.REJECTED


@pytest.fixture
def shop() -> Shop:
    return Shop(OrderRules(decide_at_intake=True))


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


def place_undecided(shop: Shop, buyer: Account, product: ProductId, quantity: int = 1) -> Order:
    """Place an order while another transaction decides."""
    shop.store.is_contended = lambda: True
    order = shop.place(buyer, line(product, quantity))
    shop.store.is_contended = lambda: False
    assert order.status is CREATED
    return order


def events(shop: Shop) -> list[str]:
    return [event.topic for event in shop.tables.events.rows if event.topic.startswith(("order.", "stock."))]


def test_intake_decides_its_batch_in_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    commits = shop.store.commits
    placed = shop.ordering.place([shop.command(buyer, line(tea, quantity)) for quantity in (6, 5, 4, 1)])
    assert shop.store.commits == commits + 1
    assert placed == [shop.order(OrderId(number)) for number in (1, 2, 3, 4)]
    assert [unwrap_single([order]).status for order in placed] == [PENDING, REJECTED, PENDING, REJECTED]
    assert shop.stock(tea).available == 0
    assert shop.ordering.decide() == DecisionSummary()
    assert shop.queries.stock_discrepancies() == []
    reserved, rejected = ["order.placed", "order.reserved"], ["order.placed", "order.rejected"]
    assert events(shop) == [*reserved, *rejected, *reserved, *rejected, "stock.ran_out"]


def test_orders_that_wait_are_decided_first(shop: Shop, buyer: Account, tea: ProductId) -> None:
    waiting = place_undecided(shop, buyer, tea, 6)
    assert shop.place(buyer, line(tea, 5)).status is REJECTED
    assert shop.order(waiting.id).status is PENDING
    assert shop.place(buyer, line(tea, 4)).status is PENDING


def test_nothing_is_decided_while_another_transaction_decides(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = place_undecided(shop, buyer, tea)
    assert shop.order(order.id) == order
    assert shop.ordering.decide() == DecisionSummary(reserved=1)


def test_nothing_is_decided_while_stock_is_locked(shop: Shop, buyer: Account, tea: ProductId) -> None:
    waiting = place_undecided(shop, buyer, tea)

    def without_stock(tx: Transaction) -> Transaction:
        return with_repository(tx, "stock", try_lock=lambda _: {})

    store = TamperedStore(shop.store, tamper=without_stock)
    intake = Ordering(store, shop.clock, OrderRules(decide_at_intake=True))
    order = unwrap_single(intake.place([shop.command(buyer, line(tea))]))
    assert [order.status, shop.order(order.id).status, shop.order(waiting.id).status] == [CREATED] * 3
    assert shop.ordering.decide() == DecisionSummary(reserved=2)


def test_a_long_backlog_is_left_to_the_worker(
    shop: Shop, buyer: Account, tea: ProductId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTAKE_DECISIONS", 3)
    for _ in range(3):
        place_undecided(shop, buyer, tea)
    assert shop.place(buyer, line(tea)).status is CREATED
    assert shop.ordering.decide() == DecisionSummary(reserved=4)
    assert shop.place(buyer, line(tea)).status is PENDING


def test_deferred_and_parked_orders_do_not_keep_intake_from_deciding(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    deferred = place_undecided(shop, buyer, tea)
    with shop.store.begin() as tx:
        bad = tx.orders.lock([deferred.id])[deferred.id]
        bad.record_decision_failure(shop.clock.now(), shop.clock.now() + timedelta(seconds=1), "bad data")
        tx.orders.save([bad])
    assert shop.place(buyer, line(tea)).status is PENDING
    assert shop.order(deferred.id).status is CREATED
    shop.clock.advance(seconds=1)
    shop.place(buyer, line(tea))
    assert shop.order(deferred.id).status is PENDING


def test_an_error_of_a_decision_loses_no_order(
    shop: Shop, buyer: Account, tea: ProductId, caplog: pytest.LogCaptureFixture
) -> None:
    """The orders are taken in undecided, and background validation defers the faulty one."""

    def tamper(tx: Transaction) -> Transaction:
        def add(orders: Collection[Order]) -> None:
            if any(order.status is not CREATED for order in orders):
                raise ArithmeticError("bad data")
            tx.orders.add(orders)

        return with_repository(tx, "orders", add=add)

    intake = Ordering(TamperedStore(shop.store, tamper=tamper), shop.clock, OrderRules(decide_at_intake=True))
    with caplog.at_level(logging.WARNING):
        placed = intake.place([shop.command(buyer, line(tea)), shop.command(buyer, line(tea, 99))])
    assert [unwrap_single([order]).status for order in placed] == [CREATED, CREATED]
    assert "2 orders are taken in without a decision after an error" in caplog.text
    assert events(shop) == ["order.placed", "order.placed"]
    assert shop.ordering.decide() == DecisionSummary(reserved=1, rejected=1)


def test_a_lost_commit_is_found_decided(shop: Shop, buyer: Account, tea: ProductId) -> None:
    store = TamperedStore(shop.store, after=failing(ConnectionLost("gone")))
    intake = Ordering(store, shop.clock, OrderRules(decide_at_intake=True))
    order = unwrap_single(intake.place([shop.command(buyer, line(tea))]))
    assert order.status is PENDING
    assert [each.id for each in shop.tables.orders.all()] == [order.id]
    assert shop.stock(tea).reserved == 1


def test_intake_without_a_database_decides_nothing(shop: Shop, buyer: Account, tea: ProductId) -> None:
    store = TamperedStore(shop.store, before=failing(Unavailable("away")))
    intake = Ordering(store, shop.clock, OrderRules(decide_at_intake=True))
    with pytest.raises(Unavailable):
        intake.place([shop.command(buyer, line(tea))])
    assert list(shop.tables.orders.all()) == []


def test_a_batch_without_valid_orders_takes_no_lock(shop: Shop, buyer: Account, tea: ProductId) -> None:
    waiting = place_undecided(shop, buyer, tea)
    assert isinstance(shop.ordering.place([shop.command(buyer, line(tea, 0))])[0], Exception)
    assert shop.order(waiting.id).status is CREATED


def test_background_validation_counts_reservations_that_intake_made_meanwhile(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    waiting = place_undecided(shop, buyer, tea)
    with shop.store.begin() as tx:
        order = tx.orders.lock([waiting.id])[waiting.id]
        order.record_decision_failure(shop.clock.now(), shop.clock.now() + timedelta(seconds=1), "bad data")
        tx.orders.save([order])
    assert shop.place(buyer, line(tea)).status is PENDING
    shop.clock.advance(seconds=1)
    Ordering(shop.store, shop.clock, OrderRules(quotas=OrderQuotas(open_orders=1))).decide()
    (short,) = shop.order(waiting.id).shortfalls
    assert short.reason is RejectionReason.OPEN_ORDERS


def test_decisions_of_intake_are_measured_after_the_commit(shop: Shop, buyer: Account, tea: ProductId) -> None:
    figures = RecordedMeasurements()
    intake = Ordering(shop.store, shop.clock, OrderRules(decide_at_intake=True), measurements=figures)
    place_undecided(shop, buyer, tea, 6)
    shop.clock.advance(seconds=2)
    intake.place([shop.command(buyer, line(tea, 5))])
    assert (figures.reserved, figures.rejected) == ([timedelta(seconds=2)], [timedelta()])
    assert figures.answers == {"accepted": 1}
    store = TamperedStore(shop.store, before=failing(Unavailable("away")))
    with pytest.raises(Unavailable):
        Ordering(store, shop.clock, OrderRules(decide_at_intake=True), measurements=figures).place(
            [shop.command(buyer, line(tea))]
        )
    assert (len(figures.reserved), len(figures.rejected)) == (1, 1)
