from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, get_origin, get_type_hints
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.errors import Invalid, NothingToRetry, TransitionNotAllowed
from scalecommerce_core.domain.events import OrderPlaced, OrderRefunded, OrderRejected, OrderReserved
from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.order import (
    DECIDE_ATTEMPTS,
    TRANSITIONS,
    Action,
    Order,
    OrderLine,
    OrderStatus,
    RefundLine,
    Shortfall,
)
from scalecommerce_core.domain.stock import MAX_STOCK, MovementKind, Stock
from tests.unit.support.shop import usd

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE = NOW + timedelta(minutes=15)
TEA, CUP, MILK = ProductId(1), ProductId(2), ProductId(3)
SAM, SUE = AccountId(10), AccountId(11)

Shelves = dict[ProductId, Stock]


def shelves(tea: int = 10, cup: int = 10, milk: int = 10) -> Shelves:
    return {product: Stock(product, on_hand=units) for product, units in ((TEA, tea), (CUP, cup), (MILK, milk))}


def order(*lines: tuple[ProductId, int, int]) -> Order:
    """A new order with lines of (product, quantity, price)."""
    return Order.placed(
        id=OrderId(1),
        command_id=CommandId(UUID(int=1)),
        buyer_id=AccountId(5),
        currency="USD",
        lines=[
            OrderLine(position, product, SUE if product == MILK else SAM, quantity, price)
            for position, (product, quantity, price) in enumerate(lines or [(TEA, 2, 100)], 1)
        ],
        now=NOW,
    )


def pending(stock: Shelves, *lines: tuple[ProductId, int, int]) -> Order:
    made = order(*lines)
    made.decide(stock, NOW, DEADLINE)
    assert made.status is OrderStatus.PENDING
    return made


def paid(stock: Shelves, *lines: tuple[ProductId, int, int]) -> Order:
    made = pending(stock, *lines)
    made.pay(stock, NOW)
    return made


def in_status(wanted: OrderStatus, stock: Shelves) -> Order:
    """An order that was brought into the status `wanted` by its methods."""
    made = order()
    if wanted is OrderStatus.REJECTED:
        made.decide({}, NOW, DEADLINE)
    elif wanted is OrderStatus.CANCELLED:
        made.cancel(stock, NOW)
    elif wanted is not OrderStatus.CREATED:
        made.decide(stock, NOW, DEADLINE)
    if wanted in {OrderStatus.PAID, OrderStatus.REFUNDED}:
        made.pay(stock, NOW)
    if wanted is OrderStatus.REFUNDED:
        made.refund([RefundLine(TEA, 2)], stock, NOW, restock=True)
    assert made.status is wanted
    return made


def status(made: Order) -> OrderStatus:
    """A function, so that the type checker does not narrow the status across calls."""
    return made.status


# --- the state machine

PERFORM: dict[Action, Callable[[Order, Shelves], object]] = {
    Action.RESERVE: lambda made, stock: made.decide(stock, NOW, DEADLINE),
    Action.REJECT: lambda made, _: made.decide({}, NOW, DEADLINE),
    Action.PAY: lambda made, stock: made.pay(stock, NOW),
    Action.CANCEL: lambda made, stock: made.cancel(stock, NOW),
    Action.EXPIRE: lambda made, stock: made.expire(stock, NOW),
    Action.REFUND: lambda made, stock: made.refund([RefundLine(TEA, 2)], stock, NOW, restock=True),
}
HARMLESS = {(OrderStatus.PAID, Action.PAY), (OrderStatus.CANCELLED, Action.CANCEL)}
"""Actions that change nothing when they are repeated."""
FIGURES: dict[OrderStatus, tuple[int, int]] = {
    OrderStatus.CREATED: (10, 0),
    OrderStatus.PENDING: (10, 2),
    OrderStatus.REJECTED: (10, 0),
    OrderStatus.PAID: (8, 0),
    OrderStatus.CANCELLED: (10, 0),
    OrderStatus.REFUNDED: (10, 0),
}
"""By status of an order of 2 units: the units on hand, of 10, and the reserved units."""


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("before", OrderStatus)
def test_each_action_in_each_status(before: OrderStatus, action: Action) -> None:
    stock = shelves()
    made = in_status(before, stock)
    seen = len(made.events)
    if (before, action) in TRANSITIONS:
        PERFORM[action](made, stock)
        assert made.status is TRANSITIONS[before, action]
        assert len(made.events) == seen + 1
    else:
        shown = repr(made)
        if (before, action) in HARMLESS:
            PERFORM[action](made, stock)
        else:
            with pytest.raises(TransitionNotAllowed) as caught:
                PERFORM[action](made, stock)
            assert (caught.value.order_id, caught.value.status) == (made.id, before)
        assert repr(made) == shown
        assert len(made.events) == seen
    assert (stock[TEA].on_hand, stock[TEA].reserved) == FIGURES[made.status]
    assert (made.expires_at is not None) == (made.status is OrderStatus.PENDING)
    assert (made.paid_at is not None) == (made.status in {OrderStatus.PAID, OrderStatus.REFUNDED})
    assert bool(made.shortfalls) == (made.status is OrderStatus.REJECTED)


def test_every_status_is_reachable_from_created_and_some_are_final() -> None:
    left = {status for status, _ in TRANSITIONS}
    assert left == {OrderStatus.CREATED, OrderStatus.PENDING, OrderStatus.PAID}
    assert set(TRANSITIONS.values()) == set(OrderStatus) - {OrderStatus.CREATED}


# --- all or none


def test_all_lines_are_reserved_with_a_deadline() -> None:
    stock = shelves()
    made = pending(stock, (TEA, 2, 100), (CUP, 10, 50), (TEA, 3, 90))
    assert (stock[TEA].reserved, stock[CUP].reserved) == (5, 10)
    assert made.expires_at == DEADLINE
    assert made.total == usd("9.70")
    assert [type(event) for event in made.events] == [OrderPlaced, OrderReserved]


def test_an_order_with_a_short_line_is_rejected_and_names_each_short_line() -> None:
    stock = shelves(tea=4, cup=10)
    del stock[MILK]
    made = order((TEA, 2, 100), (CUP, 1, 50), (TEA, 3, 90), (MILK, 1, 10))
    made.decide(stock, NOW, DEADLINE)
    assert made.status is OrderStatus.REJECTED
    assert made.shortfalls == (Shortfall(TEA, 5, 4), Shortfall(MILK, 1, 0))
    assert all(shelf.reserved == 0 for shelf in stock.values())
    assert made.expires_at is None
    assert type(made.events[-1]) is OrderRejected


@given(st.lists(st.tuples(st.sampled_from([TEA, CUP, MILK]), st.integers(1, 6)), min_size=1, max_size=6))
def test_a_decision_reserves_all_lines_or_none(wanted: list[tuple[ProductId, int]]) -> None:
    stock = shelves(6, 6, 6)
    made = order(*((product, quantity, 100) for product, quantity in wanted))
    made.decide(stock, NOW, DEADLINE)
    reserved = {product: shelf.reserved for product, shelf in stock.items() if shelf.reserved}
    fits = all(quantity <= 6 for quantity in made.quantities().values())
    assert reserved == (made.quantities() if fits else {})
    assert (made.status is OrderStatus.PENDING) == fits


def test_paying_sells_the_units_and_records_an_event_for_buyer_and_sellers() -> None:
    stock = shelves()
    made = paid(stock, (TEA, 2, 100), (MILK, 1, 50))
    movement = stock[TEA].movements[-1]
    assert (movement.quantity, movement.kind, movement.order_id) == (-2, MovementKind.SALE, made.id)
    assert made.events[-1].audience == (AccountId(5), SAM, SUE)


@pytest.mark.parametrize("give_up", [Order.cancel, Order.expire])
def test_cancelling_and_expiring_release_every_line(give_up: Callable[[Order, Shelves, datetime], None]) -> None:
    stock = shelves()
    made = pending(stock, (TEA, 2, 100), (CUP, 1, 50), (TEA, 1, 90))
    give_up(made, stock, NOW)
    assert [(shelf.on_hand, shelf.reserved) for shelf in stock.values()] == [(10, 0)] * 3
    assert all(shelf.movements == [] for shelf in stock.values())


# --- refunds


def test_a_partial_refund_leaves_the_order_paid() -> None:
    stock = shelves()
    made = paid(stock, (TEA, 3, 100), (CUP, 1, 50))
    (refund,) = made.refund([RefundLine(TEA, 2)], stock, NOW, restock=True, by=SAM)
    assert (refund.position, refund.quantity, refund.amount, refund.restocked, refund.by) == (1, 2, 200, True, SAM)
    assert status(made) is OrderStatus.PAID
    assert [line.refundable for line in made.lines] == [1, 1]
    assert stock[TEA].available == 9
    assert stock[TEA].movements[-1].kind is MovementKind.RETURN
    made.refund([RefundLine(CUP, 1), RefundLine(TEA, 1)], stock, NOW, restock=False)
    assert status(made) is OrderStatus.REFUNDED
    amounts = [sum(part.amount for part in event.refunds) for event in made.events if isinstance(event, OrderRefunded)]
    assert amounts == [200, 150]
    assert sum(amounts) == made.total.minor


def test_a_refund_without_restock_leaves_stock_unchanged() -> None:
    stock = shelves()
    made = paid(stock)
    (refund,) = made.refund([RefundLine(TEA, 2)], stock, NOW, restock=False)
    assert not refund.restocked
    assert stock[TEA].on_hand == 8


def test_units_are_taken_from_the_lines_of_a_product_in_turn() -> None:
    stock = shelves()
    made = paid(stock, (TEA, 2, 100), (CUP, 1, 50), (TEA, 3, 90))
    refunds = made.refund([RefundLine(TEA, 4)], stock, NOW, restock=True)
    assert [(r.position, r.quantity, r.amount) for r in refunds] == [(1, 2, 200), (3, 2, 180)]
    (last,) = made.refund([RefundLine(TEA, 1)], stock, NOW, restock=True)
    assert (last.position, last.amount) == (3, 90)


def test_a_refund_price_selects_among_the_lines_of_a_product() -> None:
    stock = shelves()
    made = paid(stock, (TEA, 2, 100), (TEA, 3, 90))
    (refund,) = made.refund([RefundLine(TEA, 2, price=90)], stock, NOW, restock=True)
    assert (refund.position, refund.amount) == (2, 180)
    with pytest.raises(Invalid, match="Only 1 units"):
        made.refund([RefundLine(TEA, 2, price=90)], stock, NOW, restock=True)
    with pytest.raises(Invalid, match="Only 0 units"):
        made.refund([RefundLine(TEA, 1, price=80)], stock, NOW, restock=True)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ([RefundLine(TEA, 3)], "lines[0].quantity"),
        ([RefundLine(TEA, 1), RefundLine(TEA, 2)], "lines[1].quantity"),
        ([RefundLine(TEA, 1), RefundLine(CUP, 1)], "lines[1].quantity"),
        ([RefundLine(TEA, 0)], "lines[0].quantity"),
        ([RefundLine(TEA, 1), RefundLine(TEA, -1)], "lines[1].quantity"),
    ],
)
def test_a_refund_of_too_many_or_no_units_is_refused(wanted: Sequence[RefundLine], named: str) -> None:
    stock = shelves()
    made = paid(stock)
    before, seen = repr(made), len(made.events)
    with pytest.raises(Invalid) as caught:
        made.refund(wanted, stock, NOW, restock=True)
    assert list(caught.value.errors) == [named]
    assert (repr(made), made.refunds, len(made.events)) == (before, [], seen)
    assert stock[TEA].on_hand == 8


def test_a_refund_whose_restock_exceeds_the_maximum_is_refused() -> None:
    stock = shelves()
    made = paid(stock, (CUP, 1, 50), (TEA, 1, 100), (TEA, 1, 90))
    stock[TEA].adjust(MAX_STOCK - 9, NOW)
    before, cups = repr(made), stock[CUP].on_hand
    with pytest.raises(Invalid) as caught:
        made.refund([RefundLine(CUP, 1), RefundLine(TEA, 2)], stock, NOW, restock=True)
    assert list(caught.value.errors) == ["restock"]
    assert (repr(made), made.refunds, stock[CUP].on_hand) == (before, [], cups)
    made.refund([RefundLine(CUP, 1), RefundLine(TEA, 2)], stock, NOW, restock=False)
    assert status(made) is OrderStatus.REFUNDED


def test_a_restock_may_reach_the_maximum() -> None:
    stock = shelves()
    made = paid(stock, (TEA, 2, 100))
    stock[TEA].adjust(stock[TEA].capacity_left - 2, NOW)
    made.refund([RefundLine(TEA, 2)], stock, NOW, restock=True)
    assert stock[TEA].capacity_left == 0


LINES = st.lists(
    st.tuples(st.sampled_from([TEA, CUP]), st.integers(1, 4), st.sampled_from([50, 100])), min_size=1, max_size=4
)
ASKED = st.lists(
    st.builds(RefundLine, st.sampled_from([TEA, CUP]), st.integers(1, 4), st.sampled_from([None, 50, 100])),
    min_size=1,
    max_size=3,
)


@given(LINES, st.lists(ASKED, max_size=6), st.booleans())
def test_refunds_never_exceed_the_units_and_the_amount_sold(
    lines: list[tuple[ProductId, int, int]], wishes: list[list[RefundLine]], restock: bool
) -> None:
    stock = shelves(50, 50)
    made = paid(stock, *lines)
    for wanted in wishes:
        try:
            made.refund(wanted, stock, NOW, restock=restock)
        except Invalid:
            continue
        except TransitionNotAllowed:
            assert status(made) is OrderStatus.REFUNDED
    assert sum(refund.amount for refund in made.refunds) == sum(line.refunded * line.price for line in made.lines)
    assert all(0 <= line.refunded <= line.quantity for line in made.lines)
    assert (made.status is OrderStatus.REFUNDED) == all(line.refundable == 0 for line in made.lines)
    kept = sum(line.refundable if restock else line.quantity for line in made.lines)
    assert stock[TEA].on_hand + stock[CUP].on_hand == 100 - kept


# --- parked orders


def test_an_order_is_deferred_after_a_failure_and_parked_after_five() -> None:
    made = order()
    for attempt in range(1, DECIDE_ATTEMPTS + 1):
        assert not made.is_parked
        made.record_decision_failure(NOW, DEADLINE, f"failure {attempt}")
        assert (made.decide_attempts, made.decide_after) == (attempt, DEADLINE)
        assert made.decide_error == f"failure {attempt}"
    assert made.is_parked
    assert status(made) is OrderStatus.CREATED
    made.cancel({}, NOW)
    assert status(made) is OrderStatus.CANCELLED
    assert not made.is_parked


def test_a_parked_order_is_decided_again_after_it_was_requeued() -> None:
    made = order()
    with pytest.raises(NothingToRetry, match="is not parked: it is CREATED"):
        made.requeue(NOW)
    for _ in range(DECIDE_ATTEMPTS):
        made.record_decision_failure(NOW, DEADLINE, "KeyError: 7")
    made.requeue(NOW)
    assert (made.is_parked, made.decide_attempts, made.decide_after) == (False, 0, None)
    assert made.decide_error == "KeyError: 7"
    made.decide(shelves(), NOW, DEADLINE)
    decided = evolve(made)
    assert (decided.decided_at, decided.decide_error) == (NOW, None)
    with pytest.raises(NothingToRetry, match="it is PENDING"):
        made.requeue(NOW)


def test_a_cancelled_order_says_whether_it_has_expired() -> None:
    for end, has_expired in ((Order.cancel, False), (Order.expire, True)):
        stock = shelves()
        made = order((TEA, 2, 5))
        made.decide(stock, NOW, DEADLINE)
        end(made, stock, DEADLINE)
        assert (status(made), made.has_expired) == (OrderStatus.CANCELLED, has_expired)


def test_identity_and_buyer_of_an_order_are_final() -> None:
    """mypy rejects assignments to them."""
    hints = get_type_hints(Order)
    final = {name for name, hint in hints.items() if get_origin(hint) is Final}
    assert final == {"id", "command_id", "buyer_id", "currency", "created_at", "origin"}
    made = order()
    made.id = made.id  # type: ignore[misc]  # without the error of mypy, this comment would be one
