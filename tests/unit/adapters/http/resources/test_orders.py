import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from attrs import evolve

from adapters.http.framework import idempotency_key
from scalecommerce_core.domain.errors import IdempotencyKeyInFlight, OrderBacklogFull, Unavailable
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.order import MAX_QUANTITY
from scalecommerce_core.queries import Queries
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import Ordering, OrderRules, PlaceOrder
from scalecommerce_core.testing import CountingWorkNotifier, MemoryStore
from tests.unit.support.http_marketplace import (
    ORDERS,
    PRODUCTS,
    DecideAtOnce,
    Marketplace,
    Person,
    Visitor,
    answer,
    marketplace,
    problem,
)
from tests.unit.support.tampering import Instead

SALES = ORDERS + "sales/"


def wanted(*items: Any) -> dict[str, Any]:
    return {
        "order_item": [
            {"product": item[0], "quantity": item[1]} | ({"price": item[2]} if len(item) > 2 else {}) for item in items
        ]
    }


@pytest.fixture(scope="module")
def quick() -> Iterator[Marketplace]:
    """A market that decides orders immediately."""
    with marketplace(notifier=DecideAtOnce) as made:
        yield made


# --- placing


def test_an_order_is_accepted(place: Marketplace, seller: Person, buyer: Person) -> None:
    tea, pot = seller.list(price="2.50"), seller.list(price="20.00")
    response = buyer.post(ORDERS, wanted((tea["id"], 3), (pot["id"], 1)))
    order = answer(response, 202)
    now = place.clock.now().isoformat().replace("+00:00", "Z")
    assert order == {
        "id": order["id"],
        "user": buyer.id,
        "order_items": [
            {"id": order["id"] * 10_000 + 1, "product": tea["id"], "quantity": 3, "price": "2.50", "refunded": 0},
            {"id": order["id"] * 10_000 + 2, "product": pot["id"], "quantity": 1, "price": "20.00", "refunded": 0},
        ],
        "total_amount": "27.50",
        "currency": "USD",
        "status": "CREATED",
        "created_at": now,
        "updated_at": now,
        "expires_at": None,
    }
    assert response.headers["location"] == f"{ORDERS}{order['id']}/"
    assert "preference-applied" not in response.headers
    assert buyer.see(order) == order


def test_an_order_without_stock_is_accepted_and_later_rejected(
    place: Marketplace, seller: Person, buyer: Person
) -> None:
    scarce, plenty = seller.list(stock=1), seller.list(stock=9)
    order = place.reserve(buyer, (scarce["id"], 2), (plenty["id"], 1))
    assert order["status"] == "REJECTED"
    assert order["rejected_because"] == [
        {
            "product": scarce["id"],
            "wanted": 2,
            "available": 1,
            "reason": "stock",
            "detail": "2 units requested, 1 in stock.",
        }
    ]
    assert answer(buyer.get(f"{PRODUCTS}{plenty['id']}/"))["stock"] == 9


def test_a_quoted_price_is_honoured_after_a_change(
    seller: Person, buyer: Person, stranger: Person, anybody: Visitor
) -> None:
    pot = seller.list(price="5.00", stock=90)
    asked = {"order_item": [{"product": pot["id"], "quantity": 30}]}
    problem(anybody.post(f"{ORDERS}quotes/", asked), 401)
    problem(
        buyer.post(f"{ORDERS}quotes/", {"order_item": [{"product": pot["id"], "quantity": 101}]}),
        400,
        "order_item[0].quantity",
    )
    (quote,) = answer(buyer.post(f"{ORDERS}quotes/", asked))["quotes"]
    assert (quote["product"], quote["quantity"], quote["price"], quote["currency"]) == (pot["id"], 30, "5.00", "USD")
    answer(seller.patch(f"{PRODUCTS}{pot['id']}/", {"price": "10.00"}))
    line = {"product": pot["id"], "quantity": 30, "price": "5.00"}
    problem(buyer.post(ORDERS, {"order_item": [line]}), 409)
    problem(stranger.post(ORDERS, {"order_item": [line | {"quote": quote["quote"]}]}), 400, "order_item[0].quote")
    placed = answer(buyer.post(ORDERS, {"order_item": [line | {"quote": quote["quote"]}]}), 202)
    assert placed["total_amount"] == "150.00"


def test_an_order_notifies_the_decider(quick: Marketplace) -> None:
    seller, buyer = quick.person(), quick.person()
    order = buyer.place((seller.list(stock=1)["id"], 1))
    assert buyer.see(order)["status"] == "PENDING"


def test_quantities_of_the_same_product_are_added_up(seller: Person, buyer: Person) -> None:
    made = seller.list(price="2.00")
    order = buyer.place((made["id"], 1), (made["id"], 2))
    assert [(item["product"], item["quantity"]) for item in order["order_items"]] == [(made["id"], 3)]
    assert order["total_amount"] == "6.00"


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "order_item"),
        (None, "order_item"),
        ({"product": 1}, "order_item"),
        ([1], "order_item[0]"),
        ([{"quantity": 1}], "order_item[0].product"),
        ([{"product": 10**9, "quantity": 1}], "order_item[0].product"),
        ([{"product": 0, "quantity": 1}], "order_item[0].product"),
        ([{"product": 2**63, "quantity": 1}], "order_item[0].product"),
        ([{"product": "1", "quantity": 1}], "order_item[0].product"),
        ([{"product": 1}], "order_item[0].quantity"),
        ([{"product": 1, "quantity": 0}], "order_item[0].quantity"),
        ([{"product": 1, "quantity": -1}], "order_item[0].quantity"),
        ([{"product": 1, "quantity": 1.5}], "order_item[0].quantity"),
        ([{"product": 1, "quantity": 2**31}], "order_item[0].quantity"),
        ([{"product": 1, "quantity": True}], "order_item[0].quantity"),
        ([{"product": 1, "quantity": 1, "price": "0"}], "order_item[0].price"),
    ],
)
def test_an_invalid_line_is_named(buyer: Person, items: object, field: str) -> None:
    problem(buyer.post(ORDERS, {"order_item": items}), 400, field)


def test_an_invalid_line_writes_nothing(seller: Person, buyer: Person) -> None:
    good, inactive = seller.list(), seller.list(is_active=False)
    gone = seller.list()
    seller.delete(f"{PRODUCTS}{gone['id']}/")
    body = wanted((good["id"], 1), (inactive["id"], 1), (10**9, 1), (gone["id"], 1))
    problem(buyer.post(ORDERS, body), 400, *(f"order_item[{index}].product" for index in (1, 2, 3)))
    assert answer(buyer.get(ORDERS))["results"] == []


def test_an_order_has_at_most_100_lines(seller: Person, buyer: Person) -> None:
    made = seller.list()
    order = buyer.place(*[(made["id"], 1)] * 100)
    assert order["order_items"][0]["quantity"] == 100
    problem(buyer.post(ORDERS, wanted(*[(made["id"], 1)] * 101)), 400, "order_item")


def test_a_total_out_of_range_is_rejected(seller: Person, buyer: Person) -> None:
    made = seller.list()
    body = wanted((made["id"], MAX_QUANTITY), (made["id"], 1))
    problem(buyer.post(ORDERS, body), 400, "order_item[1].quantity")


def test_an_anonymous_caller_cannot_order(anybody: Visitor, seller: Person) -> None:
    problem(anybody.post(ORDERS, wanted((seller.list()["id"], 1))), 401)


# --- the price that the buyer saw


def test_an_order_costs_the_price_in_force(seller: Person, buyer: Person) -> None:
    made = seller.list(price="10.00")
    for price in ("10.00", "10", 10, 10.0):
        assert answer(buyer.post(ORDERS, wanted((made["id"], 1, price))), 202)["total_amount"] == "10.00"


def test_the_price_promise_holds_ten_minutes_and_the_lower_price_applies(place: Marketplace, seller: Person) -> None:
    dearer, cheaper = seller.list(price="10.00"), seller.list(price="10.00")
    place.clock.advance(minutes=1)
    answer(seller.patch(f"{PRODUCTS}{dearer['id']}/", {"price": "12.00"}))
    answer(seller.patch(f"{PRODUCTS}{cheaper['id']}/", {"price": "7.00"}))
    place.clock.advance(minutes=9, seconds=59)
    buyer = place.person()
    body = wanted((dearer["id"], 1, "10.00"), (cheaper["id"], 1, "10.00"))
    order = answer(buyer.post(ORDERS, body), 202)
    assert [item["price"] for item in order["order_items"]] == ["10.00", "7.00"]
    place.clock.advance(seconds=1)
    moved = problem(buyer.post(ORDERS, body), 409)
    assert (moved["code"], moved["product_id"]) == ("price_moved", dearer["id"])
    assert (moved["current"], moved["currency"]) == ("12.00", "USD")


def test_a_price_that_was_never_in_force_is_a_409_and_writes_nothing(seller: Person, buyer: Person) -> None:
    made = seller.list(price="10.00")
    problem(buyer.post(ORDERS, wanted((made["id"], 1, "9.99"))), 409)
    problem(buyer.post(ORDERS, wanted((made["id"], 1), (made["id"], 1, "11.00"))), 409)
    assert answer(buyer.get(ORDERS))["results"] == []


# --- waiting for the decision


def test_a_waiting_order_returns_its_decision(quick: Marketplace) -> None:
    seller, buyer = quick.person(), quick.person()
    made = seller.list(stock=1)
    for status, short_by in (("PENDING", []), ("REJECTED", [0])):
        response = buyer.post(ORDERS, wanted((made["id"], 1)), headers={"Prefer": "respond-async, wait=10"})
        order = answer(response, 201)
        assert order["status"] == status
        assert response.headers["preference-applied"] == "wait=10"
        assert response.headers["location"] == f"{ORDERS}{order['id']}/"
        assert [short["available"] for short in order.get("rejected_because", [])] == short_by


@pytest.mark.parametrize(("headers", "code"), [({}, 202), ({"Prefer": "wait=10"}, 201)])
def test_an_order_that_intake_decides_is_returned_decided(headers: dict[str, str], code: int) -> None:
    notifier = CountingWorkNotifier()
    with marketplace(notifier=lambda _: notifier, order_rules=OrderRules(decide_at_intake=True)) as place:
        made, buyer = place.person().list(stock=1), place.person()
        for status, short_by in (("PENDING", []), ("REJECTED", [0])):
            order = answer(buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers), code)
            assert order["status"] == status
            assert order == answer(buyer.get(f"{ORDERS}{order['id']}/"))
            assert [short["available"] for short in order.get("rejected_because", [])] == short_by
        assert notifier.placed == 0
        with_key = {**headers, "Idempotency-Key": "order-1"}
        first, again = (buyer.post(ORDERS, wanted((made["id"], 1)), headers=with_key) for _ in range(2))
        assert (first.status_code, again.status_code) == (code, code)
        assert first.json() == again.json()


def test_workers_are_notified_of_an_order_that_intake_does_not_decide() -> None:
    notifier = CountingWorkNotifier()
    with marketplace(notifier=lambda _: notifier, order_rules=OrderRules(decide_at_intake=True)) as place:
        made, buyer = place.person().list(stock=1), place.person()
        assert isinstance(place.market.store, MemoryStore)
        place.market.store.is_contended = lambda: True
        assert answer(buyer.post(ORDERS, wanted((made["id"], 1))), 202)["status"] == "CREATED"
        assert notifier.placed == 1


def test_a_waiting_order_returns_a_decision_of_another_thread(
    place: Marketplace, seller: Person, buyer: Person
) -> None:
    made = seller.list(stock=1)
    over = threading.Event()

    def decide() -> None:
        while not over.wait(0.005):
            place.market.ordering.decide()

    worker = threading.Thread(target=decide)
    worker.start()
    try:
        response = buyer.post(ORDERS, wanted((made["id"], 1)), headers={"Prefer": "wait=10"})
    finally:
        over.set()
        worker.join()
    assert answer(response, 201)["status"] == "PENDING"


def test_a_waiting_order_returns_undecided_after_its_seconds(seller: Person, buyer: Person) -> None:
    response = buyer.post(ORDERS, wanted((seller.list()["id"], 1)), headers={"Prefer": "wait=0"})
    assert answer(response, 202)["status"] == "CREATED"
    assert response.headers["preference-applied"] == "wait=0"


def test_a_stored_order_is_a_202_even_if_its_decision_cannot_be_read() -> None:
    def blind(_ids: object) -> object:
        raise Unavailable("The database went away.")

    def without_views(market: Market) -> Market:
        return evolve(market, queries=cast(Queries, Instead(market.queries, orders=blind)))

    with marketplace(rebuilt=without_views) as place:
        made = place.person().list()
        response = place.person().post(ORDERS, wanted((made["id"], 1)), headers={"Prefer": "wait=10"})
        assert answer(response, 202)["status"] == "CREATED"
        assert response.headers["location"] == f"{ORDERS}{response.json()['id']}/"
        assert response.headers["preference-applied"] == "wait=10"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [("wait=999999", "wait=30"), ('WAIT = "5"', "wait=5"), ("wait=5; foo=bar", "wait=5"), ("a, wait=1, b", "wait=1")],
)
def test_the_preference_wait_is_parsed(quick: Marketplace, prefer: str, applied: str) -> None:
    made = quick.person().list(stock=1)
    response = quick.person().post(ORDERS, wanted((made["id"], 1)), headers={"Prefer": prefer})
    assert response.headers["preference-applied"] == applied


@pytest.mark.parametrize(
    "prefer", ["wait", "wait=x", "wait=-1", "wait=1.5", "", "return=minimal", "wait=1000000000000"]
)
def test_unknown_preferences_are_ignored(quick: Marketplace, prefer: str) -> None:
    made = quick.person().list(stock=1)
    response = quick.person().post(ORDERS, wanted((made["id"], 1)), headers={"Prefer": prefer})
    assert response.status_code == 202
    assert "preference-applied" not in response.headers


# --- idempotency


def test_a_repeated_key_creates_one_order(place: Marketplace, seller: Person, buyer: Person, stranger: Person) -> None:
    made = seller.list(stock=5)
    headers = {"Idempotency-Key": "order-1"}
    first = buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers)
    place.market.ordering.decide()
    again = buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["location"] == first.headers["location"]
    waited = buyer.post(ORDERS, wanted((made["id"], 1)), headers={**headers, "Prefer": "wait=1"})
    assert answer(waited, 201) == buyer.see(first.json())
    assert len(answer(buyer.get(ORDERS))["results"]) == 1
    other = problem(buyer.post(ORDERS, wanted((made["id"], 2)), headers=headers), 422)
    assert other["code"] == "idempotency_key_reused"
    assert answer(stranger.post(ORDERS, wanted((made["id"], 1)), headers=headers), 202)["id"] != first.json()["id"]


def test_new_orders_are_refused_while_too_many_are_undecided(
    place: Marketplace, seller: Person, buyer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = wanted((seller.list()["id"], 1))
    headers = {"Idempotency-Key": "accepted"}
    first = answer(buyer.post(ORDERS, body, headers=headers), 202)
    monkeypatch.setattr(place.market.ordering, "refusal", lambda: OrderBacklogFull(timedelta(seconds=7.5)))
    refused = buyer.post(ORDERS, body, headers={"Idempotency-Key": "refused"})
    assert problem(refused, 503)["code"] == "order_backlog_full"
    assert refused.headers["retry-after"] == "8"
    assert answer(buyer.post(ORDERS, body, headers=headers), 202) == first
    monkeypatch.undo()
    answer(buyer.post(ORDERS, body, headers={"Idempotency-Key": "refused"}), 202)


def test_a_rejected_request_does_not_consume_its_key(seller: Person, buyer: Person) -> None:
    made = seller.list(is_active=False)
    headers = {"Idempotency-Key": "order-2"}
    problem(buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers), 400, "order_item[0].product")
    seller.patch(f"{PRODUCTS}{made['id']}/", {"is_active": True})
    answer(buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers), 202)


def test_a_key_expires_after_a_day(place: Marketplace, seller: Person) -> None:
    made = seller.list()
    headers = {"Idempotency-Key": "order-3"}
    account = place.account()
    orders = set()
    for _ in range(2):
        token = place.market.accounts.log_in(account.email, "a long password").access
        response = Visitor(place.client, token).post(ORDERS, wanted((made["id"], 1)), headers=headers)
        orders.add(answer(response, 202)["id"])
        place.clock.advance(hours=25)
    assert len(orders) == 2


def test_a_key_is_shared_by_all_operations(seller: Person, buyer: Person) -> None:
    made = seller.list()
    headers = {"Idempotency-Key": "order-4"}
    buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers)
    body = {"name": "Cup", "category_id": 1, "price": 1}
    problem(buyer.post(PRODUCTS, body, headers=headers), 422)


def test_a_request_whose_key_stays_in_flight_is_a_409(
    place: Marketplace, seller: Person, buyer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency_key, "POLL_SECONDS", (0.001, 0.002))
    made = seller.list()
    headers = {"Idempotency-Key": "order-5"}
    first = buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers)
    forget_the_answer(place, buyer, "order-5")
    again = buyer.post(ORDERS, wanted((made["id"], 1)), headers=headers)
    assert problem(again, 409)["code"] == "idempotency_key_in_flight"
    assert int(again.headers["retry-after"]) > 0
    assert [row["id"] for row in answer(buyer.get(ORDERS))["results"]] == [first.json()["id"]]


def test_a_request_waits_for_another_one_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency_key, "POLL_SECONDS", (0.001,) * 3)
    looks: list[int] = []

    def held_for_a_while(market: Market) -> Market:
        def place_orders(commands: Sequence[PlaceOrder]) -> Sequence[object]:
            looks.append(len(commands))
            if len(looks) < 3:
                return [IdempotencyKeyInFlight("not yet") for _ in commands]
            return market.ordering.place(commands)

        return evolve(market, ordering=cast(Ordering, Instead(market.ordering, place=place_orders)))

    with marketplace(rebuilt=held_for_a_while) as busy:
        made = busy.person().list()
        buyer = busy.person()
        order = answer(buyer.post(ORDERS, wanted((made["id"], 1)), headers={"Idempotency-Key": "slow"}), 202)
        assert [row["id"] for row in answer(buyer.get(ORDERS))["results"]] == [order["id"]]
    assert looks == [1, 1, 1]


def forget_the_answer(place: Marketplace, person: Person, key: str) -> None:
    """Reset the key to the state of a request in flight."""
    assert isinstance(place.market.store, MemoryStore)
    place.market.store.tables.keys._rows[AccountId(person.id), key].body = None


# --- reading


def test_only_the_buyer_and_staff_read_an_order(
    anybody: Visitor, seller: Person, buyer: Person, stranger: Person, staff: Person
) -> None:
    order = buyer.place((seller.list()["id"], 1))
    path = f"{ORDERS}{order['id']}/"
    assert answer(buyer.get(path)) == answer(staff.get(path)) == order
    problem(anybody.get(path), 401)
    for other in (stranger, seller):
        problem(other.get(path), 404)
    problem(buyer.get(f"{ORDERS}999999/"), 404)


def test_the_list_contains_the_callers_orders_newest_first(
    anybody: Visitor, seller: Person, buyer: Person, stranger: Person, staff: Person
) -> None:
    made = seller.list()
    orders = [buyer.place((made["id"], 1)) for _ in range(2)]
    stranger.place((made["id"], 1))
    assert answer(buyer.get(ORDERS)) == {"next": None, "previous": None, "results": orders[::-1]}
    assert answer(seller.get(ORDERS))["results"] == answer(staff.get(ORDERS))["results"] == []
    problem(anybody.get(ORDERS), 401)


def test_the_list_has_next_and_previous_pages(seller: Person, buyer: Person, stranger: Person) -> None:
    made = seller.list()
    ids = [buyer.place((made["id"], 1))["id"] for _ in range(5)][::-1]
    first = answer(buyer.get(f"{ORDERS}?page_size=2"))
    second = answer(buyer.get(first["next"]))
    third = answer(buyer.get(second["next"]))
    assert [row["id"] for page in (first, second, third) for row in page["results"]] == ids
    assert (first["previous"], third["next"]) == (None, None)
    assert answer(buyer.get(third["previous"])) == second
    assert answer(stranger.get(first["next"]))["results"] == []


# --- paying and cancelling


def test_names_of_products_are_added_on_request(seller: Person, buyer: Person) -> None:
    made = seller.list(name="Tea")
    order = buyer.place((made["id"], 1))
    seller.send("DELETE", f"{PRODUCTS}{made['id']}/")
    named = order | {"order_items": [{**order["order_items"][0], "name": "Tea"}]}
    assert answer(buyer.get(f"{ORDERS}{order['id']}/?names=true")) == named
    assert answer(buyer.get(f"{ORDERS}?names=true"))["results"] == [named]


def test_a_paid_order_is_a_sale(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    order = place.reserve(buyer, (made["id"], 2))
    assert (order["status"], order["expires_at"] is None) == ("PENDING", False)
    paid = answer(buyer.act(order, "pay"))
    assert (paid["status"], paid["expires_at"]) == ("PAID", None)
    assert answer(buyer.act(order, "pay")) == paid == buyer.see(order)
    problem(buyer.act(order, "cancel"), 409)


def test_a_cancelled_order_releases_its_reservation(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    for order in (buyer.place((made["id"], 2)), place.reserve(buyer, (made["id"], 2))):
        cancelled = answer(buyer.act(order, "cancel"))
        assert cancelled["status"] == "CANCELLED"
        assert answer(buyer.act(order, "cancel")) == cancelled
        assert problem(buyer.act(order, "pay"), 409)["code"] == "transition_not_allowed"
    assert answer(buyer.get(f"{PRODUCTS}{made['id']}/"))["stock"] == 5


def test_an_undecided_or_rejected_order_cannot_be_paid(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=1)
    problem(buyer.act(buyer.place((made["id"], 1)), "pay"), 409)
    rejected = place.reserve(buyer, (made["id"], 5))
    assert rejected["status"] == "REJECTED"
    problem(buyer.act(rejected, "pay"), 409)


@pytest.mark.parametrize("action", ["pay", "cancel"])
def test_only_the_buyer_pays_and_cancels(
    place: Marketplace, seller: Person, buyer: Person, staff: Person, action: str
) -> None:
    order = place.reserve(buyer, (seller.list(stock=5)["id"], 1))
    path = f"{ORDERS}{order['id']}/{action}/"
    problem(place.anybody.post(path), 401)
    for other in (seller, staff):
        problem(other.post(path), 404)
    problem(buyer.post(f"{ORDERS}999999/{action}/"), 404)
    assert buyer.see(order) == order


def test_an_unpaid_order_expires(place: Marketplace, seller: Person) -> None:
    made = seller.list(stock=5)
    buyer = place.person()
    order = place.reserve(buyer, (made["id"], 2))
    place.clock.advance(minutes=15)
    place.market.ordering.expire()
    late = place.market.accounts.log_in(buyer.email, "a long password").access
    shown = answer(Visitor(place.client, late).get(f"{ORDERS}{order['id']}/"))
    assert shown["status"] == "CANCELLED"
    assert answer(place.anybody.get(f"{PRODUCTS}{made['id']}/"))["stock"] == 5


# --- refunds


def refund(*lines: tuple[int, int], **more: Any) -> dict[str, Any]:
    return {"lines": [{"product": product, "quantity": quantity} for product, quantity in lines]} | more


def test_a_seller_refunds_only_own_lines(
    place: Marketplace, anybody: Visitor, seller: Person, buyer: Person, stranger: Person
) -> None:
    mine, theirs = seller.list(stock=5), stranger.list(stock=5)
    order = place.sell(buyer, (mine["id"], 2), (theirs["id"], 1))
    problem(anybody.post(f"{ORDERS}{order['id']}/refunds/", refund((mine["id"], 1))), 401)
    problem(seller.act(order, "refunds", refund((mine["id"], 1), (theirs["id"], 1))), 403)
    problem(buyer.act(order, "refunds", refund((mine["id"], 1))), 403)
    problem(place.person().act(order, "refunds", refund((mine["id"], 1))), 404)
    path, body, key = f"{ORDERS}{order['id']}/refunds/", refund((mine["id"], 1)), {"Idempotency-Key": "refund-1"}
    refunded = answer(seller.post(path, body, headers=key), 201)
    # Neither the buyer nor the lines of other sellers, also in the stored response.
    assert set(refunded) == {"id", "order_items", "currency", "status", "updated_at"}
    assert refunded["status"] == "PAID"
    assert [(item["product"], item["refunded"]) for item in refunded["order_items"]] == [(mine["id"], 1)]
    assert answer(seller.post(path, body, headers=key), 201) == refunded


def test_staff_refund_all_lines(place: Marketplace, seller: Person, buyer: Person, staff: Person) -> None:
    made, other = seller.list(stock=5), place.person().list(stock=5)
    order = place.sell(buyer, (made["id"], 2), (other["id"], 1))
    refunded = answer(staff.act(order, "refunds", refund((made["id"], 2), (other["id"], 1))), 201)
    assert refunded["status"] == "REFUNDED"
    assert [item["refunded"] for item in refunded["order_items"]] == [2, 1]
    assert answer(buyer.get(f"{PRODUCTS}{made['id']}/"))["stock"] == 5
    problem(staff.act(order, "refunds", refund((made["id"], 1))), 409)


def test_a_refund_without_restock_leaves_the_stock(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    order = place.sell(buyer, (made["id"], 2))
    answer(seller.act(order, "refunds", refund((made["id"], 2), restock=False)), 201)
    assert answer(buyer.get(f"{PRODUCTS}{made['id']}/"))["stock"] == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "lines"),
        ({"lines": []}, "lines"),
        ({"lines": [{"product": 1}]}, "lines[0].quantity"),
        ({"lines": [{"product": 1, "quantity": 0}]}, "lines[0].quantity"),
        ({"lines": [{"product": 1, "quantity": 1}] * 101}, "lines"),
        ({"lines": [{"product": 1, "quantity": 1}], "restock": "yes"}, "restock"),
    ],
)
def test_an_invalid_refund_is_named(seller: Person, body: dict[str, Any], field: str) -> None:
    problem(seller.post(f"{ORDERS}1/refunds/", body), 400, field)


def test_a_refund_is_limited_to_the_sold_units(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    order = place.sell(buyer, (made["id"], 2))
    problem(seller.act(order, "refunds", refund((made["id"], 3))), 400, "lines[0].quantity")
    problem(seller.act(order, "refunds", refund((made["id"], 1), (made["id"], 2))), 400, "lines[1].quantity")
    assert buyer.see(order)["order_items"][0]["refunded"] == 0


def test_an_unpaid_order_cannot_be_refunded(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    order = place.reserve(buyer, (made["id"], 2))
    problem(seller.act(order, "refunds", refund((made["id"], 1))), 409)
    problem(seller.post(f"{ORDERS}999999/refunds/", refund((made["id"], 1))), 404)


def test_a_repeated_key_refunds_once(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    path = f"{ORDERS}{place.sell(buyer, (made['id'], 3))['id']}/refunds/"
    headers = {"Idempotency-Key": "refund-1"}
    first = seller.post(path, refund((made["id"], 1)), headers=headers)
    assert seller.post(path, refund((made["id"], 1)), headers=headers).content == first.content
    problem(seller.post(path, refund((made["id"], 2)), headers=headers), 422)
    assert answer(buyer.get(path.removesuffix("refunds/")))["order_items"][0]["refunded"] == 1


# --- sales


def test_sales_contain_only_the_sellers_lines(
    place: Marketplace, anybody: Visitor, seller: Person, buyer: Person, stranger: Person
) -> None:
    mine, theirs = seller.list(name="Tea", price="2.50", stock=5), stranger.list(stock=5)
    order = place.sell(buyer, (theirs["id"], 1), (mine["id"], 2))
    assert answer(seller.get(SALES)) == {
        "next": None,
        "previous": None,
        "results": [
            {
                "id": order["id"] * 10_000 + 2,
                "order": order["id"],
                "product": mine["id"],
                "name": "Tea",
                "quantity": 2,
                "price": "2.50",
                "refunded": 0,
                "currency": "USD",
                "status": "PAID",
                "created_at": order["created_at"],
            }
        ],
    }
    assert answer(buyer.get(SALES))["results"] == []
    problem(anybody.get(SALES), 401)


def test_sales_have_next_and_previous_pages(seller: Person, buyer: Person) -> None:
    tea, pot = seller.list(), seller.list()
    for _ in range(2):
        buyer.place((tea["id"], 1), (pot["id"], 1))
    everything = [row["id"] for row in answer(seller.get(SALES))["results"]]
    assert everything == sorted(everything, reverse=True)
    first = answer(seller.get(f"{SALES}?page_size=3"))
    second = answer(seller.get(first["next"]))
    assert [row["id"] for page in (first, second) for row in page["results"]] == everything
    assert answer(seller.get(second["previous"])) == first
    problem(buyer.get(f"{SALES}?page_size=101"), 400, "page_size")


# --- overload


def test_an_order_above_the_queue_limit_is_a_503() -> None:
    with marketplace(intake_queue=0) as place:
        made = place.person().list()
        response = place.person().post(ORDERS, wanted((made["id"], 1)))
        assert problem(response, 503)["code"] == "overloaded"
        assert int(response.headers["retry-after"]) > 0


def test_sales_are_filtered(place: Marketplace, seller: Person, buyer: Person) -> None:
    cup, pot = (seller.list(stock=9, name=name)["id"] for name in ("Cup", "Pot"))
    place.sell(buyer, (cup, 1), (pot, 1))

    def products(query: str) -> list[int]:
        return [sale["product"] for sale in answer(seller.get(f"{SALES}?{query}"))["results"]]

    assert sorted(products("status=PAID")) == [cup, pot]
    assert products(f"product={cup}") == [cup]
    assert products("status=CANCELLED") == []
    assert products("from=2126-01-01T00:00:00Z") == []
    assert sorted(products("to=2126-01-01T00:00:00Z")) == [cup, pot]
    problem(seller.get(f"{SALES}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"), 400, "from")
    problem(seller.get(f"{SALES}?status=paid"), 400, "status")
