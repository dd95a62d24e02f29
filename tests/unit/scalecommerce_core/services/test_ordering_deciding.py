"""Background validation: in the order of arrival, and a faulty order does not block others."""

import logging
from collections.abc import Collection
from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Invalid, TransactionAborted, Unavailable
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderStatus, RefundLine, RejectionReason, Shortfall
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.ports import Transaction
from scalecommerce_core.services.ordering import CancelOrder, DecisionSummary, Ordering, OrderRules
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import Shop, line
from tests.unit.support.tampering import TamperedStore, failing, with_repository

CREATED, PENDING, REJECTED = OrderStatus.CREATED, OrderStatus.PENDING, OrderStatus.REJECTED


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


def statuses(shop: Shop) -> list[OrderStatus]:
    """The statuses of all orders, by id."""
    return [order.status for order in sorted(shop.tables.orders.all(), key=lambda order: order.id)]


def with_poisoned_orders(shop: Shop, *poisoned: OrderId) -> Ordering:
    """Use cases with a store that fails to save decisions on these orders."""

    def tamper(tx: Transaction) -> Transaction:
        def save(orders: Collection[Order]) -> None:
            if any(order.id in poisoned and order.status is not CREATED for order in orders):
                raise ArithmeticError("bad data")
            honest(orders)

        honest = tx.orders.save
        return with_repository(tx, "orders", save=save)

    return Ordering(TamperedStore(shop.store, tamper=tamper), shop.clock)


def test_first_come_first_served_and_never_oversold(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for quantity in (6, 5, 4, 1):
        shop.place(buyer, line(tea, quantity))
    assert shop.ordering.decide() == DecisionSummary(reserved=2, rejected=2)
    assert statuses(shop) == [PENDING, REJECTED, PENDING, REJECTED]
    assert shop.stock(tea).available == 0
    assert shop.order(OrderId(2)).shortfalls == (Shortfall(tea, 5, 4),)
    assert shop.queries.stock_discrepancies() == []


def test_decisions_do_not_depend_on_the_batch_size(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for quantity in (6, 5, 4, 1):
        shop.place(buyer, line(tea, quantity))
    decided = [shop.ordering.decide(limit=1) for _ in range(5)]
    assert [each.total for each in decided] == [1, 1, 1, 1, 0]
    assert statuses(shop) == [PENDING, REJECTED, PENDING, REJECTED]


def test_an_order_is_reserved_whole_or_rejected(shop: Shop, seller: Account, buyer: Account, tea: ProductId) -> None:
    cup = shop.list(seller, stock=1)
    order = shop.reserve(buyer, line(tea, 3), line(cup, 2))
    assert order.status is REJECTED
    assert (shop.stock(tea).reserved, shop.stock(cup).reserved) == (0, 0)
    view = shop.queries.orders([order.id])[order.id]
    assert view.shortfalls == (Shortfall(cup, 2, 1),)


def test_a_reservation_ends_in_fifteen_minutes_or_as_the_rules_say(shop: Shop, buyer: Account, tea: ProductId) -> None:
    assert shop.reserve(buyer, line(tea)).expires_at == shop.clock.now() + timedelta(minutes=15)
    order = shop.place(buyer, line(tea))
    Ordering(shop.store, shop.clock, OrderRules(reservation=timedelta(minutes=1))).decide()
    assert shop.order(order.id).expires_at == shop.clock.now() + timedelta(minutes=1)


def test_decide_without_orders_returns_an_empty_summary(shop: Shop) -> None:
    assert shop.ordering.decide() == DecisionSummary()
    assert shop.queries.oldest_undecided() is None


def test_cancelled_orders_are_not_decided(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = shop.place(buyer, line(tea))
    unwrap_single(shop.ordering.cancel([CancelOrder(order.id, buyer.id)]))
    assert shop.ordering.decide() == DecisionSummary()


@pytest.mark.parametrize("bad", [{1}, {3}, {7}, {2, 5}, {1, 2, 3, 4, 5, 6, 7}])
def test_an_order_whose_decision_fails_does_not_block_others(
    shop: Shop, buyer: Account, tea: ProductId, bad: set[OrderId], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(7):
        shop.place(buyer, line(tea))
    for _ in range(2):
        shop.place(buyer, line(tea, 99))
    with caplog.at_level(logging.CRITICAL):
        decided = with_poisoned_orders(shop, *bad).decide()
    assert decided == DecisionSummary(reserved=7 - len(bad), rejected=2, deferred=len(bad))
    assert decided.total == 9
    assert {order.id for order in shop.tables.orders.all() if order.status is CREATED} == bad
    assert shop.stock(tea).reserved == 7 - len(bad)
    assert shop.queries.stock_discrepancies() == []


def test_a_deferred_order_is_retried_with_growing_delays_and_then_parked(
    shop: Shop, buyer: Account, tea: ProductId, caplog: pytest.LogCaptureFixture
) -> None:
    order = shop.place(buyer, line(tea))
    placed_at = shop.clock.now()
    ordering = with_poisoned_orders(shop, order.id)
    with caplog.at_level(logging.CRITICAL):
        for attempt in range(DECIDE_ATTEMPTS):
            assert shop.queries.oldest_undecided() == placed_at
            assert ordering.decide() == DecisionSummary(deferred=1)
            shop.clock.advance(seconds=2**attempt - 1)
            assert ordering.decide() == DecisionSummary()
            shop.clock.advance(seconds=1)
    assert shop.order(order.id).is_parked
    assert shop.order(order.id).decide_error == "ArithmeticError: bad data"
    assert shop.queries.oldest_undecided() is None
    shop.clock.advance(days=1)
    assert shop.ordering.decide() == DecisionSummary()
    # The buyer can cancel a parked order.
    assert unwrap_single(shop.ordering.cancel([CancelOrder(order.id, buyer.id)])).status is OrderStatus.CANCELLED


def test_an_order_that_recovers_is_decided(
    shop: Shop, buyer: Account, tea: ProductId, caplog: pytest.LogCaptureFixture
) -> None:
    order = shop.place(buyer, line(tea))
    with caplog.at_level(logging.CRITICAL):
        with_poisoned_orders(shop, order.id).decide()
    shop.clock.advance(seconds=1)
    assert shop.ordering.decide() == DecisionSummary(reserved=1)


def test_the_log_says_which_order_and_why(
    shop: Shop, buyer: Account, tea: ProductId, caplog: pytest.LogCaptureFixture
) -> None:
    order = shop.place(buyer, line(tea))
    with_poisoned_orders(shop, order.id).decide()
    (record,) = caplog.records
    assert record.getMessage() == f"order {order.id} could not be decided"
    assert record.exc_info is not None
    assert record.exc_info[0] is ArithmeticError


def test_an_unavailable_store_defers_no_order(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = shop.place(buyer, line(tea))
    ordering = Ordering(TamperedStore(shop.store, before=failing(*[Unavailable()] * 3)), shop.clock)
    with pytest.raises(Unavailable):
        ordering.decide()
    assert shop.order(order.id).decide_attempts == 0


def test_an_aborted_decision_is_tried_again(shop: Shop, buyer: Account, tea: ProductId) -> None:
    shop.place(buyer, line(tea))
    ordering = Ordering(TamperedStore(shop.store, before=failing(TransactionAborted())), shop.clock)
    assert ordering.decide() == DecisionSummary(reserved=1)


def test_an_error_before_any_order_was_claimed_is_raised(shop: Shop) -> None:
    ordering = Ordering(TamperedStore(shop.store, before=failing(ArithmeticError())), shop.clock)
    with pytest.raises(ArithmeticError):
        ordering.decide()


# --- quotas


def reasons(order: Order) -> list[tuple[int, RejectionReason]]:
    return [(short.available, short.reason) for short in order.shortfalls]


def test_unpaid_orders_of_one_account_reserve_at_most_a_share_of_the_stock(
    shop: Shop, seller: Account, buyer: Account
) -> None:
    tea, other = shop.list(seller, stock=1_000), shop.person("bob")
    assert reasons(shop.reserve(buyer, line(tea, 1_000))) == [(500, RejectionReason.UNPAID_SHARE)]
    first = shop.reserve(buyer, line(tea, 400))
    assert reasons(shop.reserve(buyer, line(tea, 101))) == [(100, RejectionReason.UNPAID_SHARE)]
    assert shop.reserve(other, line(tea, 500)).status is PENDING
    shop.pay(first.id, buyer)
    # 600 units are on hand, so 300 may be reserved; 100 are available.
    assert shop.reserve(buyer, line(tea, 100)).status is PENDING
    assert shop.queries.stock_discrepancies() == []


def test_orders_of_one_batch_count_against_each_other(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=100)
    for quantity in (30, 25, 20):
        shop.place(buyer, line(tea, quantity))
    assert shop.ordering.decide() == DecisionSummary(reserved=2, rejected=1)
    assert statuses(shop) == [PENDING, REJECTED, PENDING]


def test_the_last_units_can_be_bought_by_one_account(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=20)
    assert shop.reserve(buyer, line(tea, 20)).status is PENDING


def test_a_share_of_0_lets_one_account_reserve_everything(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=1_000)
    shop.place(buyer, line(tea, 1_000))
    Ordering(shop.store, shop.clock, OrderRules(quotas=OrderQuotas(unpaid_share=0))).decide()
    assert statuses(shop) == [PENDING]


def test_a_rejection_for_lack_of_stock_names_the_stock(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=100)
    assert reasons(shop.reserve(buyer, line(tea, 101))) == [(100, RejectionReason.STOCK)]


def test_the_seller_limits_the_units_of_each_buyer(shop: Shop, seller: Account, buyer: Account) -> None:
    tea, other = shop.list(seller, stock=10, max_per_buyer=3), shop.person("bob")
    assert reasons(shop.reserve(buyer, line(tea, 4))) == [(3, RejectionReason.BUYER_LIMIT)]
    bought = shop.buy(buyer, line(tea, 2))
    assert reasons(shop.reserve(buyer, line(tea, 2))) == [(1, RejectionReason.BUYER_LIMIT)]
    assert shop.reserve(other, line(tea, 3)).status is PENDING
    shop.refund(bought, seller.id, RefundLine(tea, 2))
    assert shop.reserve(buyer, line(tea, 3)).status is PENDING
    shop.clock.advance(minutes=15)
    shop.ordering.expire()
    shop.buy(buyer, line(tea, 3))
    assert reasons(shop.reserve(buyer, line(tea, 1))) == [(0, RejectionReason.BUYER_LIMIT)]
    shop.clock.advance(days=30, seconds=1)
    assert shop.reserve(buyer, line(tea, 3)).status is PENDING


def test_a_limit_that_the_seller_removes_no_longer_applies(shop: Shop, seller: Account, buyer: Account) -> None:
    tea = shop.list(seller, stock=10, max_per_buyer=1)
    shop.edit(tea, max_per_buyer=None)
    assert shop.reserve(buyer, line(tea, 5)).status is PENDING


@pytest.mark.parametrize("limit", [0, -1, 2**31])
def test_a_limit_per_buyer_is_a_number_of_units(shop: Shop, seller: Account, limit: int) -> None:
    with pytest.raises(Invalid) as caught:
        shop.list(seller, max_per_buyer=limit)
    assert list(caught.value.errors) == ["max_per_buyer"]


def test_an_account_has_a_limited_number_of_reservations(shop: Shop, buyer: Account, tea: ProductId) -> None:
    for _ in range(4):
        shop.place(buyer, line(tea))
    ordering = Ordering(shop.store, shop.clock, OrderRules(quotas=OrderQuotas(open_orders=2)))
    assert ordering.decide(limit=2) == DecisionSummary(reserved=2)
    assert ordering.decide() == DecisionSummary(rejected=2)
    assert reasons(shop.order(OrderId(4))) == [(0, RejectionReason.OPEN_ORDERS)]


def test_each_reason_has_a_sentence_for_the_buyer() -> None:
    sentences = {Shortfall(ProductId(1), 7, 4, reason).detail for reason in RejectionReason}
    assert len(sentences) == len(RejectionReason)
    assert all(sentence.endswith(".") for sentence in sentences)


def test_the_sentence_of_the_buyer_limit_names_limit_period_and_held_units(
    shop: Shop, buyer: Account, tea: ProductId
) -> None:
    shop.edit(tea, max_per_buyer=2)
    shop.buy(buyer, line(tea, 2))
    (short,) = shop.reserve(buyer, line(tea, 1)).shortfalls
    assert short.detail == "At most 2 units per buyer in 30 days; you have 2, paid or reserved."
    one = Shortfall(tea, 2, 1, RejectionReason.BUYER_LIMIT, limit=1, held=0, days=1)
    assert one.detail == "At most 1 unit per buyer in a day; you have 0, paid or reserved."
