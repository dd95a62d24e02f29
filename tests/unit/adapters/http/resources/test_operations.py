"""`operations/api/v1/` and the stop of all pricing: what staff see and do."""

import logging
from collections.abc import Collection, Iterator
from typing import Any
from uuid import uuid4

import pytest

from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderStatus
from scalecommerce_core.ports import Transaction
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.ordering import Ordering
from tests.unit.support.http_marketplace import (
    PASSWORD,
    DecideAtOnce,
    Marketplace,
    Person,
    answer,
    marketplace,
    problem,
)
from tests.unit.support.tampering import TamperedStore, with_repository

ROOT = "/operations/api/v1/"
ATTENTION, BACKLOGS, ALL_ORDERS = ROOT + "attention/", ROOT + "backlogs/", ROOT + "orders/"
STOP, RESUME = "/pricing/api/v1/stop/", "/pricing/api/v1/resume/"


@pytest.fixture
def own() -> Iterator[Marketplace]:
    """A market of one test, whose notifier decides orders immediately."""
    with marketplace(notifier=DecideAtOnce) as made:
        yield made


@pytest.fixture
def boss(own: Marketplace) -> Person:
    return own.person(is_staff=True)


def park(place: Marketplace, order: int) -> None:
    """Let the decision on all orders fail until they are parked."""

    def tamper(tx: Transaction) -> Transaction:
        def save(orders: Collection[Order]) -> None:
            if any(each.status is not OrderStatus.CREATED for each in orders):
                raise ArithmeticError("bad data")
            tx.orders.save(orders)

        return with_repository(tx, "orders", save=save)

    failing = Ordering(TamperedStore(place.market.store, tamper=tamper), place.clock)
    for attempt in range(DECIDE_ATTEMPTS):
        failing.decide()
        place.clock.advance(seconds=2**attempt)
    details = place.market.queries.order_details(OrderId(order))
    assert details is not None
    assert details.view.is_parked


def troubles(boss: Person) -> dict[str, Any]:
    return {each["kind"]: each for each in answer(boss.get(ATTENTION))["troubles"]}


def actions(place: Marketplace) -> list[str]:
    entries = place.market.queries.audit_entries(PageRequest(20)).rows
    return [record.entry.action.value for record in entries if record.entry.action.target_kind != "account"]


def back(place: Marketplace, person: Person) -> Person:
    """The same person with a new token, after the clock was advanced."""
    pair = place.market.accounts.log_in(person.email, PASSWORD)
    return Person(place.client, id=person.id, email=person.email, refresh=pair.refresh, token=pair.access)


@pytest.mark.parametrize("path", [ATTENTION, BACKLOGS, ALL_ORDERS, ALL_ORDERS + "1/", ROOT + "products/", STOP])
def test_only_staff_see_what_needs_a_person(place: Marketplace, seller: Person, path: str) -> None:
    problem(place.anybody.get(path), 401)
    problem(seller.get(path), 403)


@pytest.mark.parametrize(
    "path",
    [
        f"{ALL_ORDERS}1/requeue/",
        f"{ALL_ORDERS}1/cancel/",
        f"{ROOT}payments/{uuid4()}/check/",
        f"{ROOT}refunds/{uuid4()}/send/",
        f"{ROOT}emails/1/send/",
        STOP,
        RESUME,
    ],
)
def test_only_staff_act(place: Marketplace, seller: Person, path: str) -> None:
    before = actions(place)
    problem(place.anybody.post(path), 401)
    problem(seller.post(path), 403)
    assert actions(place) == before


def test_a_market_without_troubles_needs_nobody(boss: Person) -> None:
    assert answer(boss.get(ATTENTION))["troubles"] == []
    backlogs = answer(boss.get(BACKLOGS))
    assert (backlogs["undecided_orders"], backlogs["oldest_undecided"], backlogs["consumers"]) == (0, None, [])


def test_a_parked_order_is_requeued_and_decided_at_once(
    own: Marketplace, boss: Person, caplog: pytest.LogCaptureFixture
) -> None:
    seller, buyer = own.person(), own.person()
    tea = seller.list(stock=5)
    with caplog.at_level(logging.CRITICAL), pytest.MonkeyPatch.context() as patch:
        patch.setattr(own.market.ordering, "decide", lambda: None)
        order = buyer.place((tea["id"], 2))
        park(own, order["id"])
    trouble = troubles(boss)["parked_order"]
    assert (trouble["count"], trouble["action"]) == (1, "requeueOrder")
    (item,) = trouble["items"]
    assert (item["order"], item["account"], item["tries"]) == (order["id"], buyer.id, DECIDE_ATTEMPTS)
    assert item["because"] == "ArithmeticError: bad data"
    parked = answer(boss.get(f"{ALL_ORDERS}?parked=true"))["results"]
    assert [(each["id"], each["decide_error"]) for each in parked] == [(order["id"], "ArithmeticError: bad data")]
    requeued = answer(boss.post(f"{ALL_ORDERS}{order['id']}/requeue/"))
    assert (requeued["order"]["status"], requeued["order"]["is_parked"]) == ("PENDING", False)
    assert [entry["moment"] for entry in requeued["timeline"]] == ["placed", "reserved"]
    assert "parked_order" not in troubles(boss)
    assert actions(own) == ["order.requeued"]
    again = problem(boss.post(f"{ALL_ORDERS}{order['id']}/requeue/"), 409)
    assert (again["code"], again["detail"]) == (
        "nothing_to_retry",
        f"Order {order['id']} is not parked: it is PENDING.",
    )
    problem(boss.post(f"{ALL_ORDERS}{10**9}/requeue/"), 404)
    problem(boss.get(f"{ALL_ORDERS}{10**9}/"), 404)


def test_a_payment_and_its_refund_are_tried_again_at_once(own: Marketplace, boss: Person) -> None:
    seller, buyer = own.person(), own.person()
    tea = seller.list(stock=5, price="2.50")
    order = buyer.place((tea["id"], 2))
    own.gateway.is_down = True
    problem(buyer.act(order, "pay"), 503)
    for _ in range(12):
        own.clock.advance(minutes=2)
        own.market.payments.reconcile()
    boss, buyer = back(own, boss), back(own, buyer)
    trouble = troubles(boss)["stuck_payment"]
    (item,) = trouble["items"]
    assert (trouble["action"], item["order"], item["because"]) == ("checkPayment", order["id"], "The gateway is down.")
    own.gateway.is_down = False
    check = f"{ROOT}payments/{item['id']}/check/"
    assert answer(boss.post(check))["id"] == item["id"]
    # The gateway never got the charge, so the order can be paid again.
    own.market.payments.reconcile()
    own.clock.advance(seconds=1)
    assert answer(buyer.act(order, "pay"))["status"] == "PAID"
    problem(boss.post(f"{ROOT}payments/{uuid4()}/check/"), 404)
    problem(boss.post(f"{ROOT}payments/7/check/"), 404)
    answer(boss.post(f"/orders/api/v1/{order['id']}/refunds/", {"lines": [{"product": tea["id"], "quantity": 1}]}), 201)
    own.gateway.is_down = True
    for _ in range(8):
        own.market.payments.send_refunds()
        own.clock.advance(minutes=10)
    boss = back(own, boss)
    (refund,) = troubles(boss)["stuck_refund"]["items"]
    own.gateway.is_down = False
    send = f"{ROOT}refunds/{refund['id']}/send/"
    assert answer(boss.post(send))["tries"] == refund["tries"]
    own.market.payments.send_refunds()
    assert problem(boss.post(send), 409)["code"] == "nothing_to_retry"
    problem(boss.post(f"{ROOT}refunds/{uuid4()}/send/"), 404)
    details = answer(boss.get(f"{ALL_ORDERS}{order['id']}/"))
    captured = next(each for each in details["payments"] if each["status"] == "CAPTURED")
    assert [(each["status"], each["amount"], each["next_try_at"]) for each in captured["refunds"]] == [
        ("DONE", "2.50", None)
    ]
    assert [(each["quantity"], each["by"]) for each in details["refunds"]] == [(1, boss.id)]
    assert [(each["kind"], each["quantity"]) for each in details["stock_movements"]] == [("sale", -2), ("return", 1)]
    assert [entry["moment"] for entry in details["timeline"]] == [
        "placed", "reserved", "payment_started", "payment_abandoned", "payment_started", "paid", "refunded",
        "refund_confirmed",
    ]  # fmt: skip
    assert actions(own) == ["refund.sent", "order.refunded", "payment.checked"]


def test_an_email_that_does_not_wait_is_not_found(own: Marketplace, boss: Person) -> None:
    problem(boss.post(f"{ROOT}emails/1/send/"), 404)
    assert actions(own) == []


def test_staff_cancel_an_order_of_a_buyer_who_sees_it(own: Marketplace, boss: Person) -> None:
    seller, buyer = own.person(), own.person()
    tea = seller.list(stock=5)
    order = buyer.place((tea["id"], 2))
    path = f"{ALL_ORDERS}{order['id']}/cancel/"
    problem(boss.post(path, {"reason": " "}), 400, "reason")
    cancelled = answer(boss.post(path, {"reason": "Asked for it by phone."}))
    assert (cancelled["order"]["status"], cancelled["order"]["cancelled_by_staff"]) == ("CANCELLED", True)
    assert cancelled["timeline"][-1]["moment"] == "cancelled_by_staff"
    seen = answer(buyer.get(f"/orders/api/v1/{order['id']}/"))
    assert (seen["status"], seen["cancelled_by_staff"]) == ("CANCELLED", True)
    assert answer(seller.get(f"/products/api/v1/{tea['id']}/"))["stock"] == 5
    assert answer(boss.post(path, {"reason": "Again."}))["order"]["status"] == "CANCELLED"
    entry = own.market.queries.audit_entries(PageRequest(1)).rows[0].entry
    assert (entry.action.value, entry.actor_id, entry.reason) == ("order.cancelled", boss.id, "Asked for it by phone.")
    assert (entry.before, entry.after) == ({"status": "PENDING"}, {"status": "CANCELLED"})
    own_order = buyer.place((tea["id"], 1))
    assert "cancelled_by_staff" not in answer(buyer.act(own_order, "cancel"))
    paid = own.sell(buyer, (tea["id"], 1))
    refused = problem(boss.post(f"{ALL_ORDERS}{paid['id']}/cancel/", {"reason": "Too late."}), 409)
    assert refused["code"] == "transition_not_allowed"
    problem(boss.post(f"{ALL_ORDERS}{10**9}/cancel/", {"reason": "Nowhere."}), 404)
    assert actions(own) == ["order.cancelled"]


def test_staff_find_the_orders_of_everybody(own: Marketplace, boss: Person) -> None:
    seller, buyer, other = own.person(), own.person(), own.person()
    cup, pot = seller.list(name="Blue cup", price="3.00", stock=99), seller.list(name="Tea pot", price="20.00")
    first = own.sell(buyer, (cup["id"], 2))["id"]
    second = other.place((pot["id"], 1), (cup["id"], 1))["id"]
    own.clock.advance(days=1)
    boss, buyer = back(own, boss), back(own, buyer)
    third = buyer.place((pot["id"], 3))["id"]

    def found(**query: Any) -> list[int]:
        page = answer(boss.get(ALL_ORDERS, params=query))
        return [each["id"] for each in page["results"]]

    assert found() == [third, second, first]
    assert found(search="cup") == [second, first]
    assert found(search=f"#{third}") == [third]
    assert found(search="  ") == [third, second, first]
    assert found(status="PAID") == [first]
    assert found(buyer=buyer.id) == [third, first]
    assert found(seller=seller.id, product=cup["id"]) == [second, first]
    assert found(total_min="6.00", total_max="23") == [second, first]
    assert found(created_before=own.clock.now().isoformat()) == [second, first]
    assert found(parked="true") == []
    page = answer(boss.get(ALL_ORDERS, params={"page_size": 2, "seller": seller.id}))
    assert [each["id"] for each in answer(boss.get(page["next"]))["results"]] == [first]
    (line, _) = page["results"][1]["order_items"]
    assert (line["name"], line["seller"], line["price"]) == ("Tea pot", seller.id, "20.00")
    problem(boss.get(f"{ALL_ORDERS}?total_min=7&total_max=6"), 400, "total_min")
    problem(boss.get(f"{ALL_ORDERS}?buyer=0"), 400, "buyer")
    problem(boss.get(f"{ALL_ORDERS}?total_min=0.001"), 400, "total_min")


def test_staff_list_the_products_of_everybody(own: Marketplace, boss: Person) -> None:
    seller = own.person()
    first, second = (seller.list(cost="1.00")["id"] for _ in range(2))
    answer(seller.patch(f"/products/api/v1/{first}/", {"is_active": False}))
    products = f"{ROOT}products/"

    def listed(**query: Any) -> list[tuple[int, str]]:
        page = answer(boss.get(products, params=query))
        return [(each["product"]["id"], each["state"]) for each in page["results"]]

    assert listed() == listed(seller=seller.id) == [(second, "on_sale"), (first, "paused")]
    assert listed(on_sale="false") == [(first, "paused")]
    assert listed(on_sale="true", page_size=1) == [(second, "on_sale")]
    assert answer(boss.get(products))["results"][0]["product"]["cost"] == "1.00"
    problem(boss.get(f"{products}?seller=0"), 400, "seller")


def test_staff_stop_and_resume_all_pricing(own: Marketplace, boss: Person) -> None:
    assert answer(boss.get(STOP)) == {"is_stopped": False}
    assert answer(boss.post(STOP)) == answer(boss.get(STOP)) == {"is_stopped": True}
    assert troubles(boss)["pricing_stopped"]["action"] == "resumePricing"
    assert answer(boss.post(RESUME)) == answer(boss.get(STOP)) == {"is_stopped": False}
    assert troubles(boss) == {}
    assert actions(own) == ["pricing.resumed", "pricing.stopped"]
