"""The client log records responses, and contradictions between them."""

from typing import Any

from attrs import evolve

from entrypoints.torture.client_log import AcknowledgedOrder, ClientLog, RequestedRefund, basket
from entrypoints.torture.invariants import check_load_ran

DOCUMENT: dict[str, Any] = {
    "id": 5,
    "user": 2,
    "total_amount": "30.50",
    "order_items": [
        {"product": 9, "quantity": 1, "price": "10.50"},
        {"product": 3, "quantity": 2, "price": "10.00"},
    ],
}


def test_an_order_response_is_parsed_to_the_cent() -> None:
    assert AcknowledgedOrder.of(DOCUMENT, "a") == AcknowledgedOrder(5, 2, "a", ((9, 1, 1050), (3, 2, 1000)), 3050)


def test_a_repeated_response_is_no_contradiction() -> None:
    log = ClientLog()
    for _ in range(2):
        log.record_order(AcknowledgedOrder.of(DOCUMENT, "a"))
    assert log.contradictions == []
    assert len(log.orders) == 1


def test_two_orders_for_one_key_are_a_contradiction() -> None:
    log = ClientLog()
    order = AcknowledgedOrder.of(DOCUMENT, "a")
    log.record_order(order)
    log.record_order(evolve(order, id=6))
    assert log.contradictions == ["key a made orders 5 and 6"]


def test_a_changed_order_is_a_contradiction() -> None:
    log = ClientLog()
    order = AcknowledgedOrder.of(DOCUMENT, "a")
    log.record_order(order)
    log.record_order(evolve(order, total=3051))
    assert len(log.contradictions) == 1


def test_one_order_for_two_keys_is_a_contradiction() -> None:
    log = ClientLog()
    order = AcknowledgedOrder.of(DOCUMENT, "a")
    log.record_order(order)
    log.record_order(evolve(order, key="b"))
    assert log.contradictions == ["keys a and b made one order, 5"]


def test_confirmed_and_unconfirmed_requests_are_recorded_separately() -> None:
    log = ClientLog()
    log.record_adjustment(1, -3, known=True)
    log.record_adjustment(1, -3, known=False)
    log.record_refund([RequestedRefund(5, 9, 1, restock=True)], known=False)
    assert log.adjusted == log.unconfirmed_adjustments == {(1, -3): 1}
    assert (log.refunded.total(), log.unconfirmed_refunds.total()) == (0, 1)


def test_a_basket_sums_lines_and_sorts_them_by_product() -> None:
    assert basket([(9, 1), (3, 2), (9, 4)]) == ((3, 2), (9, 5))


def test_a_test_without_orders_fails_unless_it_was_interrupted() -> None:
    log = ClientLog()
    assert not check_load_ran(log, interrupted=False).holds
    assert check_load_ran(log, interrupted=True).holds
    log.record_order(AcknowledgedOrder.of(DOCUMENT, "a"))
    assert check_load_ran(log, interrupted=False).holds
