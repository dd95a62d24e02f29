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


def test_an_answer_is_read_to_the_cent() -> None:
    assert AcknowledgedOrder.of(DOCUMENT, "a") == AcknowledgedOrder(5, 2, "a", ((9, 1, 1050), (3, 2, 1000)), 3050)


def test_the_same_answer_again_is_no_contradiction() -> None:
    log = ClientLog()
    for _ in range(2):
        log.record_order(AcknowledgedOrder.of(DOCUMENT, "a"))
    assert log.contradictions == []
    assert len(log.orders) == 1


def test_a_key_that_is_answered_with_two_orders_is_one() -> None:
    log = ClientLog()
    told = AcknowledgedOrder.of(DOCUMENT, "a")
    log.record_order(told)
    log.record_order(evolve(told, id=6))
    assert log.contradictions == ["key a made orders 5 and 6"]


def test_an_order_that_changes_is_one() -> None:
    log = ClientLog()
    told = AcknowledgedOrder.of(DOCUMENT, "a")
    log.record_order(told)
    log.record_order(evolve(told, total=3051))
    assert len(log.contradictions) == 1


def test_an_order_of_two_keys_is_one() -> None:
    log = ClientLog()
    told = AcknowledgedOrder.of(DOCUMENT, "a")
    log.record_order(told)
    log.record_order(evolve(told, key="b"))
    assert log.contradictions == ["keys a and b made one order, 5"]


def test_what_is_known_and_what_is_doubtful_are_kept_apart() -> None:
    log = ClientLog()
    log.record_adjustment(1, -3, known=True)
    log.record_adjustment(1, -3, known=False)
    log.record_refund([RequestedRefund(5, 9, 1, restock=True)], known=False)
    assert log.adjusted == log.unconfirmed_adjustments == {(1, -3): 1}
    assert (log.refunded.total(), log.unconfirmed_refunds.total()) == (0, 1)


def test_a_basket_sums_up_and_does_not_mind_the_order() -> None:
    assert basket([(9, 1), (3, 2), (9, 4)]) == ((3, 2), (9, 5))


def test_a_test_in_which_nothing_happened_proves_nothing() -> None:
    log = ClientLog()
    assert not check_load_ran(log, interrupted=False).holds
    assert check_load_ran(log, interrupted=True).holds
    log.record_order(AcknowledgedOrder.of(DOCUMENT, "a"))
    assert check_load_ran(log, interrupted=False).holds
