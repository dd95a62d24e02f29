"""What clients were told is noted, and contradictions with it."""

from typing import Any

from attrs import evolve

from entrypoints.torture.client_log import Acknowledged, Heard, RefundAsked, basket
from entrypoints.torture.invariants import something_happened

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
    assert Acknowledged.of(DOCUMENT, "a") == Acknowledged(5, 2, "a", ((9, 1, 1050), (3, 2, 1000)), 3050)


def test_the_same_answer_again_is_no_contradiction() -> None:
    heard = Heard()
    for _ in range(2):
        heard.order(Acknowledged.of(DOCUMENT, "a"))
    assert heard.contradictions == []
    assert len(heard.orders) == 1


def test_a_key_that_is_answered_with_two_orders_is_one() -> None:
    heard = Heard()
    told = Acknowledged.of(DOCUMENT, "a")
    heard.order(told)
    heard.order(evolve(told, id=6))
    assert heard.contradictions == ["key a made orders 5 and 6"]


def test_an_order_that_changes_is_one() -> None:
    heard = Heard()
    told = Acknowledged.of(DOCUMENT, "a")
    heard.order(told)
    heard.order(evolve(told, total=3051))
    assert len(heard.contradictions) == 1


def test_an_order_of_two_keys_is_one() -> None:
    heard = Heard()
    told = Acknowledged.of(DOCUMENT, "a")
    heard.order(told)
    heard.order(evolve(told, key="b"))
    assert heard.contradictions == ["keys a and b made one order, 5"]


def test_what_is_known_and_what_is_doubtful_are_kept_apart() -> None:
    heard = Heard()
    heard.adjustment(1, -3, known=True)
    heard.adjustment(1, -3, known=False)
    heard.refund([RefundAsked(5, 9, 1, restock=True)], known=False)
    assert heard.adjusted == heard.doubtful_adjustments == {(1, -3): 1}
    assert (heard.refunded.total(), heard.doubtful_refunds.total()) == (0, 1)


def test_a_basket_sums_up_and_does_not_mind_the_order() -> None:
    assert basket([(9, 1), (3, 2), (9, 4)]) == ((3, 2), (9, 5))


def test_a_test_in_which_nothing_happened_proves_nothing() -> None:
    heard = Heard()
    assert not something_happened(heard, interrupted=False).holds
    assert something_happened(heard, interrupted=True).holds
    heard.order(Acknowledged.of(DOCUMENT, "a"))
    assert something_happened(heard, interrupted=False).holds
