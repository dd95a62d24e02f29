"""Archiving of settled orders."""

from datetime import timedelta

import pytest

from scalecommerce_core.domain.audit import OPERATOR
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound, NothingToRetry, TransitionNotAllowed
from scalecommerce_core.domain.order import Order, OrderStatus, RefundLine
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.build_market import MarketRules
from scalecommerce_core.services.ordering import CancelOrder, OrderRules, RefundOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import SettableClock, in_memory_market
from tests.unit.support.shop import MarketActions, line

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def actions(clock: SettableClock) -> MarketActions:
    return MarketActions(in_memory_market(clock, orders_hot_time=40 * DAY))


def test_orders_are_archived_when_they_have_been_settled_for_the_hot_time(
    actions: MarketActions, clock: SettableClock
) -> None:
    market, buyer = actions.market, actions.person("buyer")
    product = actions.list(actions.person("seller"))
    first = actions.buy(buyer, line(product))
    clock.advance(days=1)
    unpaid = actions.reserve(buyer, line(product))
    actions.buy(buyer, line(product))
    clock.advance(days=39)
    assert market.archiving.archive() == 0
    clock.advance(seconds=1)
    assert market.archiving.archive() == 1
    assert [view.id for view in market.queries.iter_archived_orders()] == [first.id]
    clock.advance(days=1)
    assert [market.archiving.archive(1) for _ in range(2)] == [1, 0]
    assert actions.order(unpaid.id).status is OrderStatus.PENDING


def test_nothing_is_archived_without_a_hot_time(clock: SettableClock) -> None:
    actions = MarketActions(in_memory_market(clock))
    actions.buy(actions.person("buyer"), line(actions.list(actions.person("seller"))))
    clock.advance(days=10_000)
    assert not actions.market.archiving.is_on
    assert actions.market.archiving.archive() == 0
    assert list(actions.market.queries.iter_archived_orders()) == []


@pytest.mark.parametrize(
    "rules",
    [
        OrderRules(quotas=OrderQuotas(buyer_limit_window=40 * DAY)),
        OrderRules(PricePromise(lasts=40 * DAY)),
    ],
)
def test_orders_stay_hot_for_longer_than_limits_count_them(rules: OrderRules) -> None:
    with pytest.raises(ValueError, match="orders_hot_time must be longer than 40 days"):
        MarketRules(orders=rules, orders_hot_time=40 * DAY)
    assert MarketRules(orders=rules).orders_hot_time is None
    assert MarketRules(orders=rules, orders_hot_time=41 * DAY).orders_hot_time == 41 * DAY


def test_a_refund_restores_an_archived_order(actions: MarketActions, clock: SettableClock) -> None:
    market, buyer, seller = actions.market, actions.person("buyer"), actions.person("seller")
    product = actions.list(seller)
    order = actions.buy(buyer, line(product, 3))
    clock.advance(days=41)
    assert market.archiving.archive() == 1
    refunded = actions.refund(order, seller.id, RefundLine(product, 3))
    assert refunded.status is OrderStatus.REFUNDED
    assert list(market.queries.iter_archived_orders()) == []
    assert market.payments.send_refunds() == 1
    assert actions.stock(product).on_hand == 10
    assert list(market.queries.stock_discrepancies()) == []
    # The refund is a change: the order stays hot for as long again.
    assert market.archiving.archive() == 0


def test_refused_commands_leave_an_order_archived(actions: MarketActions, clock: SettableClock) -> None:
    market, buyer, seller, stranger = actions.market, *map(actions.person, ("buyer", "seller", "stranger"))
    product = actions.list(seller)
    order = actions.buy(buyer, line(product))
    cancelled = actions.reserve(buyer, line(product))
    unwrap_single(market.ordering.cancel([CancelOrder(cancelled.id, buyer.id)]))
    clock.advance(days=41)
    assert market.archiving.archive() == 2
    before = market.queries.orders_of_buyer(buyer.id, PageRequest()).rows
    one = [RefundLine(product, 1)]
    outcomes = [
        *market.ordering.cancel(
            [
                CancelOrder(order.id, stranger.id),
                CancelOrder(order.id, buyer.id),
                CancelOrder(order.id, stranger.id, "a mistake", as_staff=True),
                CancelOrder(cancelled.id, buyer.id),
            ]
        ),
        *market.payments.open(
            [PayOrder(order.id, stranger.id), PayOrder(order.id, buyer.id), PayOrder(cancelled.id, buyer.id)]
        ),
        *market.ordering.refund(
            [
                RefundOrder(order.id, stranger.id, one),
                RefundOrder(order.id, buyer.id, one),
                RefundOrder(order.id, seller.id, [RefundLine(product, 2)]),
                RefundOrder(cancelled.id, seller.id, one),
            ]
        ),
    ]
    assert [type(each) for each in outcomes] == [
        NotFound, TransitionNotAllowed, TransitionNotAllowed, Order,
        NotFound, Order, TransitionNotAllowed,
        NotFound, Forbidden, Invalid, TransitionNotAllowed,
    ]  # fmt: skip
    with pytest.raises(NothingToRetry):
        market.ordering.requeue(order.id, OPERATOR)
    assert market.queries.orders_of_buyer(buyer.id, PageRequest()).rows == before
    assert [view.id for view in market.queries.iter_archived_orders()] == [order.id, cancelled.id]
    assert market.archiving.archive() == 0
