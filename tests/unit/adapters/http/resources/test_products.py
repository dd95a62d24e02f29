import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from adapters.http.resources.products import _decode_stored
from scalecommerce_core.domain.identifiers import AccountId
from tests.unit.support.http_marketplace import (
    PRODUCTS,
    Marketplace,
    Person,
    Visitor,
    answer,
    marketplace,
    problem,
)

PUBLIC = {
    "id", "name", "brand", "price", "currency", "description", "category", "seller", "stock", "is_active",
    "created_at", "count_viewed", "max_per_buyer", "promotion",
}  # fmt: skip
OWN = PUBLIC | {"sku", "cost", "min_price", "max_price", "stock_until", "competitor_price", "competitor_price_at"}
V1 = {"name": "iPhone 15", "category_id": 5, "price": "999.00", "stock": 10}
"""The example of the published contract."""
NOT_WITHDRAWN = {"is_withdrawn": False, "withdrawn_at": None, "withdrawn_by": None}
BAD_PRICES = ["0", "0.00", 0, -1, "-1.00", "0.001", 0.001, 100000000, "100000000", "NaN", "Infinity", "1e999", ""]


def path_of(product: Any, more: str = "") -> str:
    return f"{PRODUCTS}{product['id']}/{more}"


def etag_of(visitor: Visitor, product: Any) -> str:
    return str(visitor.get(path_of(product)).headers["etag"])


# --- listing


def test_the_published_example_works_unchanged(place: Marketplace, seller: Person) -> None:
    response = seller.post(PRODUCTS, V1)
    made = answer(response, 201)
    assert made == {
        "id": made["id"],
        "name": "iPhone 15",
        "brand": "",
        "price": "999.00",
        "currency": "USD",
        "description": "",
        "category": {"id": 5, "name": "home_appliances"},
        "seller": {
            "id": seller.id,
            "display_name": "Sam S.",
            "first_name": "Sam",
            "last_name": "Seller",
            "email": seller.email,
        },
        "stock": 10,
        "is_active": True,
        "created_at": place.clock.now().isoformat().replace("+00:00", "Z"),
        "count_viewed": 0,
        "sku": None,
        "cost": None,
        "min_price": None,
        "max_price": None,
        "max_per_buyer": None,
        "stock_until": None,
        "competitor_price": None,
        "competitor_price_at": None,
        "promotion": None,
    }
    assert response.headers["location"] == path_of(made)
    assert response.headers["etag"] == etag_of(seller, made)
    assert answer(seller.get(path_of(made))) == made


def test_the_default_stock_is_zero(seller: Person) -> None:
    assert seller.list()["stock"] == 0


@pytest.mark.parametrize("price", [999, "999", 999.0, "999.0"])
def test_a_price_may_be_a_string_or_a_number(seller: Person, price: object) -> None:
    assert seller.list(price=price)["price"] == "999.00"


@pytest.mark.parametrize("field", ["cost", "min_price", "max_price"])
def test_the_private_amounts_are_validated_as_prices(seller: Person, field: str) -> None:
    for price in BAD_PRICES:
        problem(seller.post(PRODUCTS, V1 | {field: price}), 400, field)


def test_optional_amounts_may_be_numbers(seller: Person) -> None:
    made = seller.list(cost=4.25, min_price=0.1, max_price=20)
    assert (made["cost"], made["min_price"], made["max_price"]) == ("4.25", "0.10", "20.00")


def test_a_stock_horizon_is_set_cleared_and_kept_when_it_has_passed(place: Marketplace, seller: Person) -> None:
    until = (place.clock.now() + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=2)))
    made = seller.list(stock_until=until.isoformat())
    assert datetime.fromisoformat(made["stock_until"]) == until
    place.clock.advance(minutes=2)
    outdated = {"name": "Tea pot", "stock_until": made["stock_until"]}
    assert answer(seller.patch(path_of(made), outdated))["stock_until"] == made["stock_until"]
    assert answer(seller.patch(path_of(made), {"stock_until": None}))["stock_until"] is None
    for wrong in (made["stock_until"], "2030-01-31", "2030-01-31T18:00:00", "9999-01-01T00:00:00Z", 5):
        problem(seller.patch(path_of(made), {"stock_until": wrong}), 400, "stock_until")


def test_the_price_of_a_competitor_is_observed_now_unless_the_request_says_when(
    place: Marketplace, seller: Person
) -> None:
    made = seller.list(competitor_price="9.50")
    assert (made["competitor_price"], datetime.fromisoformat(made["competitor_price_at"])) == (
        "9.50",
        place.clock.now(),
    )
    place.clock.advance(minutes=2)
    again = answer(seller.patch(path_of(made), {"competitor_price": "9.50"}))
    assert datetime.fromisoformat(again["competitor_price_at"]) == place.clock.now()
    before = (place.clock.now() - timedelta(days=1)).isoformat()
    earlier = answer(seller.patch(path_of(made), {"competitor_price": "9.10", "competitor_price_at": before}))
    assert datetime.fromisoformat(earlier["competitor_price_at"]) == place.clock.now() - timedelta(days=1)
    gone = answer(seller.patch(path_of(made), {"competitor_price": None}))
    assert (gone["competitor_price"], gone["competitor_price_at"]) == (None, None)
    for wrong in ("2030-01-31", "2026-01-31T18:00:00", "9999-01-01T00:00:00Z", 5):
        problem(
            seller.patch(path_of(made), {"competitor_price": "9", "competitor_price_at": wrong}),
            400,
            "competitor_price_at",
        )
    problem(seller.patch(path_of(made), {"competitor_price_at": before}), 400, "competitor_price_at")


@pytest.mark.parametrize("price", ["0.01", "99999999.99"])
def test_the_lowest_and_highest_prices_are_accepted(seller: Person, price: str) -> None:
    assert seller.list(price=price)["price"] == price


@pytest.mark.parametrize("price", [*BAD_PRICES, "٣", "1,5", " 1", True, [], {}, None])
def test_an_invalid_price_is_rejected(seller: Person, price: object) -> None:
    problem(seller.post(PRODUCTS, V1 | {"price": price}), 400, "price")


@pytest.mark.parametrize("stock", [-1, 2**31, "ten", 1.5, None])
def test_an_invalid_stock_is_rejected(seller: Person, stock: object) -> None:
    problem(seller.post(PRODUCTS, V1 | {"stock": stock}), 400, "stock")


def test_the_published_maximum_stock_is_accepted(seller: Person) -> None:
    assert seller.list(stock=2**31 - 1)["stock"] == 2**31 - 1


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\x00b", None, 5])
def test_an_invalid_name_is_rejected(seller: Person, name: object) -> None:
    problem(seller.post(PRODUCTS, V1 | {"name": name}), 400, "name")


@pytest.mark.parametrize("category", [21, 0, -1, 2**31, 2**70, "electronics", None])
def test_an_unknown_category_is_rejected(seller: Person, category: object) -> None:
    problem(seller.post(PRODUCTS, V1 | {"category_id": category}), 400, "category_id")


def test_all_errors_are_reported_together(seller: Person) -> None:
    body = {"price": 0, "stock": -1, "brand": "x" * 101, "description": "\x00"}
    problem(seller.post(PRODUCTS, body), 400, "name", "category_id", "price", "stock", "brand", "description")


def test_the_seller_is_the_caller(seller: Person, stranger: Person) -> None:
    made = seller.list(seller=stranger.id, seller_id=stranger.id, count_viewed=1000, id=1)
    assert made["seller"]["email"] == seller.email
    assert made["count_viewed"] == 0
    assert made["id"] != 1


def test_a_stock_code_is_unique_to_its_seller(seller: Person, stranger: Person) -> None:
    seller.list(sku="A-1")
    stranger.list(sku="A-1")
    problem(seller.post(PRODUCTS, V1 | {"sku": "A-1"}), 400, "sku")


# --- reading


def test_private_fields_are_hidden_from_others(anybody: Visitor, seller: Person, stranger: Person) -> None:
    made = seller.list(cost="5.00", min_price="8.00", max_price="20.00", sku="T-1")
    for visitor in (anybody, stranger):
        assert answer(visitor.get(path_of(made))).keys() == PUBLIC
    listed = answer(seller.get(f"{PRODUCTS}?seller={seller.id}"))
    assert [row.keys() for row in listed["results"]] == [PUBLIC]


def test_the_seller_and_staff_see_private_fields(seller: Person, staff: Person) -> None:
    made = seller.list(cost="5.00", min_price="8.00", max_price="20.00", sku="T-1")
    for visitor in (seller, staff):
        shown = answer(visitor.get(path_of(made)))
        assert shown.keys() == OWN
        assert (shown["cost"], shown["min_price"], shown["max_price"], shown["sku"]) == ("5.00", "8.00", "20.00", "T-1")


def test_get_counts_a_view_and_head_does_not(place: Marketplace, anybody: Visitor, seller: Person) -> None:
    made = seller.list()
    for _ in range(3):
        anybody.get(path_of(made))
    anybody.send("HEAD", path_of(made))
    assert answer(anybody.get(path_of(made)))["count_viewed"] == 0
    place.flush_views()
    # Other callers get a cached product, which may be some seconds old.
    assert answer(seller.get(path_of(made)))["count_viewed"] == 4


def test_several_products_are_read_in_the_order_of_the_request_without_a_view(
    place: Marketplace, anybody: Visitor, seller: Person, stranger: Person
) -> None:
    lamp, kettle, hidden = seller.list(name="Lamp"), seller.list(name="Kettle"), seller.list(is_active=False)
    ids = [kettle["id"], hidden["id"], 999, lamp["id"], kettle["id"]]
    path = f"{PRODUCTS}by-id/?{'&'.join(f'id={each}' for each in ids)}"
    assert [each["name"] for each in answer(anybody.get(path))["results"]] == ["Kettle", "Lamp"]
    for visitor, own in ((seller, 3), (stranger, 0)):
        read = answer(visitor.get(path))["results"]
        assert sum("cost" in each for each in read) == own
    place.flush_views()
    assert answer(anybody.get(path_of(lamp)))["count_viewed"] == 0


@pytest.mark.parametrize("query", ["?id=0", "?id=lamp", "?" + "&".join(f"id={each}" for each in range(1, 102))])
def test_a_request_reads_at_most_a_hundred_products(anybody: Visitor, query: str) -> None:
    problem(anybody.get(f"{PRODUCTS}by-id/{query}"), 400, "id")


def test_an_unchanged_product_is_a_304(place: Marketplace, anybody: Visitor, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=3)
    etag = etag_of(anybody, made)
    place.sell(buyer, (made["id"], 1))
    unchanged = anybody.get(path_of(made), headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    seller.patch(path_of(made), {"price": "11.00"})
    assert anybody.get(path_of(made), headers={"If-None-Match": etag}).status_code == 200


def test_stock_excludes_reserved_units(place: Marketplace, anybody: Visitor, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    order = place.reserve(buyer, (made["id"], 2))
    assert answer(anybody.get(path_of(made)))["stock"] == 3
    buyer.act(order, "cancel")
    assert answer(anybody.get(path_of(made)))["stock"] == 5


def test_an_inactive_product_is_visible_to_the_seller_and_staff_only(
    anybody: Visitor, seller: Person, stranger: Person, staff: Person
) -> None:
    made = seller.list(is_active=False)
    for visitor in (anybody, stranger):
        problem(visitor.get(path_of(made)), 404)
        problem(visitor.get(path_of(made, "price-history/")), 404)
    problem(stranger.patch(path_of(made), {"stock": 5}), 404)
    problem(stranger.delete(path_of(made)), 404)
    problem(stranger.post(path_of(made, "stock/"), {"delta": 1}), 404)
    for visitor in (seller, staff):
        assert answer(visitor.get(path_of(made)))["is_active"] is False
        answer(visitor.get(path_of(made, "price-history/")))
    assert answer(staff.patch(path_of(made), {"stock": 5}))["stock"] == 5
    assert answer(seller.patch(path_of(made), {"is_active": True}))["is_active"] is True
    answer(anybody.get(path_of(made)))


# --- editing


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_only_the_seller_and_staff_edit_a_product(
    anybody: Visitor, seller: Person, stranger: Person, method: str
) -> None:
    made = seller.list()
    body = {} if method == "DELETE" else {"json": V1}
    problem(anybody.send(method, path_of(made), **body), 401)
    problem(stranger.send(method, path_of(made), **body), 403)
    assert answer(seller.get(path_of(made))) == made


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_unknown_product_is_a_404(seller: Person, method: str) -> None:
    body = {} if method == "DELETE" else {"json": V1}
    problem(seller.send(method, f"{PRODUCTS}999999/", **body), 404)


def test_put_keeps_omitted_optional_fields(seller: Person) -> None:
    made = seller.list(stock=7, brand="Leaf", description="Green", sku="X", cost="1.00", min_price="2.00")
    put = answer(seller.put(path_of(made), {"name": "Pot", "category_id": 2, "price": "12.00"}))
    changes = {"name": "Pot", "category": {"id": 2, "name": "computers"}, "price": "12.00"}
    assert put == made | changes
    problem(seller.put(path_of(made), {"stock": 5}), 400, "name", "category_id", "price")


def test_put_sets_the_available_stock(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=7)
    place.reserve(buyer, (made["id"], 2))
    put = answer(seller.put(path_of(made), {"name": "Pot", "category_id": 2, "price": "12.00", "stock": 10}))
    assert put["stock"] == 10
    assert answer(seller.put(path_of(made), {"name": "Pot", "category_id": 2, "price": "12.00"}))["stock"] == 10


def test_patch_changes_only_given_fields(seller: Person) -> None:
    made = seller.list(brand="Leaf", cost="1.00")
    assert answer(seller.patch(path_of(made), {"cost": None, "brand": ""})) == made | {"cost": None, "brand": ""}
    assert answer(seller.patch(path_of(made), {}))["brand"] == ""


def test_null_is_rejected_for_required_fields(seller: Person) -> None:
    made = seller.list()
    body = {"name": None, "price": None, "is_active": None, "stock": None, "category_id": 99, "brand": None}
    fields = ("stock", "brand", "is_active", "name", "category_id", "price")
    found = problem(seller.patch(path_of(made), {**body, "category_id": None}), 400, *fields)
    assert set(found["errors"]) == set(body)
    problem(seller.patch(path_of(made), {"category_id": 99}), 400, "category_id")


@pytest.mark.parametrize("price", [*BAD_PRICES, None])
def test_an_edited_price_has_the_bounds_of_a_new_one(seller: Person, price: object) -> None:
    problem(seller.patch(path_of(seller.list()), {"price": price}), 400, "price")


def test_staff_edit_products_of_sellers(seller: Person, staff: Person) -> None:
    made = seller.list()
    edited = answer(staff.patch(path_of(made), {"name": "Better"}))
    assert (edited["name"], edited["seller"]["email"]) == ("Better", seller.email)


def test_an_edit_with_an_outdated_tag_is_a_412(seller: Person, staff: Person) -> None:
    made = seller.list()
    etag = etag_of(seller, made)
    edited = staff.patch(path_of(made), {"name": "Faster"}, headers={"If-Match": etag})
    assert answer(edited)["name"] == "Faster"
    assert edited.headers["etag"] != etag
    for method, body in (("PATCH", {"name": "Slow"}), ("PUT", V1), ("DELETE", None)):
        problem(seller.send(method, path_of(made), json=body, headers={"If-Match": etag}), 412)
    answer(seller.patch(path_of(made), {"name": "Slow"}, headers={"If-Match": edited.headers["etag"]}))
    answer(seller.patch(path_of(made), {"name": "Any"}, headers={"If-Match": "*"}))


def test_a_sale_does_not_cause_a_412(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=3)
    etag = etag_of(seller, made)
    place.sell(buyer, (made["id"], 1))
    answer(seller.patch(path_of(made), {"name": "Calm"}, headers={"If-Match": etag}))


# --- what happens between reading and writing


def test_an_unchanged_stock_in_a_put_does_not_restore_sold_units(
    place: Marketplace, seller: Person, buyer: Person
) -> None:
    made = seller.list(stock=5)
    form, etag = V1 | {"stock": 5}, etag_of(seller, made)
    place.sell(buyer, (made["id"], 2))
    put = seller.put(path_of(made), form, headers={"If-Match": etag})
    assert answer(put)["stock"] == 3
    again = {"If-Match": put.headers["etag"]}
    assert answer(seller.patch(path_of(made), {"stock": 3}, headers=again))["stock"] == 3
    place.sell(buyer, (made["id"], 1))
    assert answer(seller.patch(path_of(made), {"stock": 3}, headers=again))["stock"] == 2


def test_a_new_stock_is_rejected_after_a_stock_change(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    etag = etag_of(seller, made)
    place.sell(buyer, (made["id"], 2))
    for method, body in (("PUT", V1 | {"stock": 9, "name": "Other"}), ("PATCH", {"stock": 9, "name": "Other"})):
        moved = problem(seller.send(method, path_of(made), json=body, headers={"If-Match": etag}), 412)
        assert (moved["code"], moved["expected"], moved["actual"]) == ("stock_moved", 5, 3)
    kept = answer(seller.get(path_of(made)))
    assert (kept["stock"], kept["name"]) == (3, made["name"])
    assert answer(seller.patch(path_of(made), {"stock": 9}, headers={"If-Match": etag_of(seller, made)}))["stock"] == 9


def test_a_new_stock_may_be_sent_twice_with_the_tag_that_was_read(seller: Person) -> None:
    made = seller.list(stock=5)
    condition = {"If-Match": etag_of(seller, made)}
    for _ in range(2):
        assert answer(seller.patch(path_of(made), {"stock": 8}, headers=condition))["stock"] == 8


def test_an_unchanged_price_in_a_put_does_not_undo_repricing(
    place: Marketplace, seller: Person, anybody: Visitor
) -> None:
    made = seller.list(price="10.00", stock=5)
    form = {"name": made["name"], "category_id": 1, "price": "10.00"}
    own = etag_of(seller, made)
    place.reprice(made["id"], "12.00")
    put = seller.put(path_of(made), form, headers={"If-Match": own})
    assert answer(put)["price"] == "12.00"
    wished = answer(seller.patch(path_of(made), {"price": "11.00"}, headers={"If-Match": put.headers["etag"]}))
    assert wished["price"] == "11.00"

    other = seller.list(price="10.00", stock=5)
    public = etag_of(anybody, other)
    place.reprice(other["id"], "12.00")
    assert answer(seller.put(path_of(other), form, headers={"If-Match": public}))["price"] == "12.00"


def test_a_tag_without_a_stock_cannot_restore_an_old_stock(
    place: Marketplace, seller: Person, buyer: Person, anybody: Visitor, stranger: Person
) -> None:
    made = seller.list(stock=5)
    place.sell(buyer, (made["id"], 2))
    for etag in (etag_of(anybody, made), '"v1"', '"v1-0123456789abcdef"'):
        condition = {"If-Match": etag}
        moved = problem(seller.patch(path_of(made), {"stock": 5}, headers=condition), 412)
        assert (moved["code"], moved["actual"]) == ("stock_moved", 3)
        assert "access token" in moved["detail"]
        assert answer(seller.patch(path_of(made), {"stock": 3}, headers=condition))["stock"] == 3
        problem(stranger.patch(path_of(made), {"stock": 5}, headers=condition), 403)
    answer(seller.patch(path_of(made), {"cost": "1.00"}, headers={"If-Match": '"v1"'}))
    assert answer(seller.patch(path_of(made), {"stock": 5}))["stock"] == 5


def test_the_stock_endpoint_does_not_overwrite_a_sale(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    place.sell(buyer, (made["id"], 2))
    problem(seller.post(path_of(made, "stock/"), {"set": 6, "expected": 5}), 409)
    assert answer(seller.post(path_of(made, "stock/"), {"delta": 1}))["stock"] == 4


def test_a_sale_changes_the_etag_of_the_seller(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=5)
    condition = {"If-None-Match": etag_of(seller, made)}
    assert seller.get(path_of(made), headers=condition).status_code == 304
    place.sell(buyer, (made["id"], 2))
    assert answer(seller.get(path_of(made), headers=condition))["stock"] == 3


# --- withdrawing


def test_a_product_with_orders_can_be_deleted(
    place: Marketplace, anybody: Visitor, seller: Person, buyer: Person
) -> None:
    made = seller.list(stock=3)
    order = place.sell(buyer, (made["id"], 1))
    deleted = seller.delete(path_of(made))
    assert (deleted.status_code, deleted.content) == (204, b"")
    for visitor in (anybody, seller):
        problem(visitor.get(path_of(made)), 404)
    problem(seller.patch(path_of(made), {"is_active": True}), 404)
    problem(seller.delete(path_of(made)), 404)
    assert buyer.see(order)["order_items"] == order["order_items"]
    assert answer(anybody.get(f"{PRODUCTS}?seller={seller.id}"))["results"] == []


# --- stock


def test_stock_is_changed_by_delta_and_set(anybody: Visitor, seller: Person, stranger: Person) -> None:
    made = seller.list(stock=3)
    path = path_of(made, "stock/")
    assert answer(seller.post(path, {"delta": 5})) == {"product": made["id"], "stock": 8, "on_hand": 8, "reserved": 0}
    assert answer(seller.post(path, {"delta": -8}))["stock"] == 0
    assert answer(seller.post(path, {"set": 40}))["stock"] == 40
    assert answer(seller.post(path, {"set": 37, "expected": 40}))["stock"] == 37
    moved = problem(seller.post(path, {"set": 1, "expected": 40}), 409)
    assert (moved["code"], moved["product_id"], moved["expected"], moved["actual"]) == (
        "stock_moved", made["id"], 40, 37,
    )  # fmt: skip
    problem(anybody.post(path, {"delta": 1}), 401)
    problem(stranger.post(path, {"delta": 1}), 403)


def test_a_delta_cannot_make_the_stock_negative(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=3)
    place.reserve(buyer, (made["id"], 2))
    problem(seller.post(path_of(made, "stock/"), {"delta": -2}), 400, "delta")
    assert answer(seller.post(path_of(made, "stock/"), {"delta": -1}))["stock"] == 0


@pytest.mark.parametrize("body", [{}, {"delta": 1, "set": 1}, {"expected": 4}])
def test_stock_requires_either_delta_or_set(seller: Person, body: dict[str, int]) -> None:
    problem(seller.post(path_of(seller.list(), "stock/"), body), 400, "delta")


def test_expected_is_rejected_with_a_delta(seller: Person) -> None:
    problem(seller.post(path_of(seller.list(), "stock/"), {"delta": 1, "expected": 0}), 400, "expected")


@pytest.mark.parametrize(
    ("body", "field"), [({"delta": 2**31}, "delta"), ({"set": -1}, "set"), ({"set": 2**31}, "set")]
)
def test_stock_is_bounded(seller: Person, body: dict[str, int], field: str) -> None:
    problem(seller.post(path_of(seller.list(), "stock/"), body), 400, field)


def test_stock_cannot_exceed_its_maximum(seller: Person) -> None:
    made = seller.list(stock=2**31 - 1)
    problem(seller.post(path_of(made, "stock/"), {"delta": 1}), 400, "delta")


def test_set_plus_reserved_units_cannot_exceed_the_maximum(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(stock=1)
    place.reserve(buyer, (made["id"], 1))
    problem(seller.post(path_of(made, "stock/"), {"set": 2**31 - 1}), 400, "set")
    problem(seller.patch(path_of(made), {"stock": 2**31 - 1}), 400, "stock")


# --- price history


def test_a_withdrawn_price_is_marked_in_the_history(
    place: Marketplace, anybody: Visitor, seller: Person, stranger: Person, staff: Person
) -> None:
    made = seller.list(price="10.00")
    place.clock.advance(minutes=1)
    tag = etag_of(seller, answer(seller.patch(path_of(made), {"price": "0.01"})))
    body = {"price": "0.01", "reason": "The decimal point was wrong."}
    problem(stranger.post(path_of(made, "price-withdrawals/"), body), 403)
    problem(anybody.post(path_of(made, "price-withdrawals/"), body), 401)
    problem(seller.post(path_of(made, "price-withdrawals/"), body | {"reason": " "}), 400, "reason")
    problem(seller.post(path_of(made, "price-withdrawals/"), body | {"price": "3.00"}), 400, "price")
    response = seller.post(path_of(made, "price-withdrawals/"), body)
    assert answer(response)["price"] == "10.00"
    assert response.headers["etag"] == etag_of(seller, made) != tag
    mark = {"is_withdrawn": True, "withdrawn_at": stamp(place.clock.now()), "withdrawn_by": "seller"}
    for visitor, shown in ((anybody, mark), (seller, mark | {"withdrawal_reason": "The decimal point was wrong."})):
        intervals = answer(visitor.get(path_of(made, "price-history/")))["intervals"]
        assert [interval["price"] for interval in intervals] == ["10.00", "0.01", "10.00"]
        assert [interval["is_withdrawn"] for interval in intervals] == [False, True, False]
        assert [interval["cause"] for interval in intervals] == ["withdrawal", "manual", "listed"]
        assert shown.items() <= intervals[1].items()
        assert ("withdrawal_reason" in intervals[1]) == (visitor is seller)
    answer(staff.post(path_of(made, "price-withdrawals/"), {"price": "10.00", "reason": "Old", "new_price": 12}))
    intervals = answer(anybody.get(path_of(made, "price-history/")))["intervals"]
    assert [interval["withdrawn_by"] for interval in intervals] == [None, "staff", "seller", "staff"]


def test_a_changed_price_writes_history(place: Marketplace, anybody: Visitor, seller: Person) -> None:
    made = seller.list(price="10.00")
    place.clock.advance(days=1)
    owner = place.market.accounts.log_in(seller.email, "a long password")
    later = Visitor(place.client, owner.access)
    answer(later.patch(path_of(made), {"price": "8.00"}))
    answer(later.patch(path_of(made), {"price": "8.00", "name": "Same price"}))
    history = answer(anybody.get(path_of(made, "price-history/")))
    now = place.clock.now()
    assert history == {
        "product": made["id"],
        "currency": "USD",
        "lowest_price_30d": "10.00",
        "reduction": {
            "applied_at": stamp(now),
            "prior_price": "10.00",
            "first_applied_at": stamp(now),
            "first_prior_price": "10.00",
        },
        "intervals": [
            {"price": "8.00", "valid_from": stamp(now), "valid_to": None, "cause": "manual"} | NOT_WITHDRAWN,
            {"price": "10.00", "valid_from": made["created_at"], "valid_to": stamp(now), "cause": "listed"}
            | NOT_WITHDRAWN,
        ],
    }
    problem(anybody.get(f"{PRODUCTS}999999/price-history/"), 404)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- statistics


def test_statistics_without_sales_are_zero(stranger: Person, anybody: Visitor) -> None:
    assert answer(stranger.get(PRODUCTS + "seller-stats/")) == {
        "total_products": 0, "active_products": 0, "total_views": 0, "avg_views": 0.0, "total_revenue": "0.00",
        "totat_sold": 0.0, "currency": "USD", "units_sold": 0, "orders": 0, "conversion_rate": 0.0, "top_products": [],
    }  # fmt: skip
    problem(anybody.get(PRODUCTS + "seller-stats/"), 401)


def test_a_sale_counts_when_it_is_paid(place: Marketplace, seller: Person, buyer: Person, stranger: Person) -> None:
    tea, pot = seller.list(name="Tea", price="2.50", stock=10), seller.list(name="Pot", price="20.00", stock=1)
    other = stranger.list(stock=5)
    for _ in range(4):
        buyer.get(path_of(tea))
    place.flush_views()
    place.sell(buyer, (tea["id"], 3), (other["id"], 1))
    place.sell(buyer, (pot["id"], 1))
    buyer.place((tea["id"], 1))
    place.reserve(buyer, (tea["id"], 1))
    stats = answer(seller.get(PRODUCTS + "seller-stats/"))
    assert stats == {
        "total_products": 2, "active_products": 2, "total_views": 4, "avg_views": 2.0, "total_revenue": "27.50",
        "totat_sold": 27.5, "currency": "USD", "units_sold": 4, "orders": 2, "conversion_rate": 0.5,
        "top_products": [
            {"id": pot["id"], "name": "Pot", "units_sold": 1, "revenue": "20.00"},
            {"id": tea["id"], "name": "Tea", "units_sold": 3, "revenue": "7.50"},
        ],
    }  # fmt: skip


def test_refunds_reduce_revenue(place: Marketplace, seller: Person, buyer: Person) -> None:
    made = seller.list(price="2.50", stock=10)
    order = place.sell(buyer, (made["id"], 3))
    answer(seller.act(order, "refunds", {"lines": [{"product": made["id"], "quantity": 1}]}), 201)
    stats = answer(seller.get(PRODUCTS + "seller-stats/"))
    assert (stats["total_revenue"], stats["totat_sold"], stats["units_sold"]) == ("5.00", 5.0, 2)


# --- categories


def test_categories_are_listed_by_id(anybody: Visitor) -> None:
    listed = answer(anybody.get(PRODUCTS + "categories/"))
    assert len(listed["results"]) >= 20
    assert listed["results"][8] == {
        "id": 9, "name": "beauty_health", "slug": "beauty_health", "min_hold_days": 0.0,
    }  # fmt: skip
    assert (listed["next"], listed["previous"]) == (None, None)


def test_only_staff_add_categories(anybody: Visitor, seller: Person, staff: Person) -> None:
    path = PRODUCTS + "categories/"
    problem(anybody.post(path, {"name": "Tea"}), 401)
    problem(seller.post(path, {"name": "Tea"}), 403)
    made = answer(staff.post(path, {"name": "Green tea"}), 201)
    assert (made["name"], made["slug"]) == ("Green tea", "green-tea")
    assert seller.list(category_id=made["id"])["category"] == {"id": made["id"], "name": "Green tea"}
    for taken in ("Green tea", " GREEN tea", "books", "---", ""):
        problem(staff.post(path, {"name": taken}), 400, "name")


# --- idempotency


def test_a_repeated_key_creates_one_product(place: Marketplace, seller: Person, stranger: Person) -> None:
    headers = {"Idempotency-Key": "list-1"}
    first = seller.post(PRODUCTS, V1, headers=headers)
    place.clock.advance(minutes=1)
    again = seller.post(PRODUCTS, V1, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (again.headers["location"], again.headers["etag"]) == (first.headers["location"], first.headers["etag"])
    assert problem(seller.post(PRODUCTS, V1 | {"stock": 11}, headers=headers), 422)["code"] == "idempotency_key_reused"
    assert answer(stranger.post(PRODUCTS, V1, headers=headers), 201)["id"] != first.json()["id"]
    assert len(answer(seller.get(f"{PRODUCTS}?seller={seller.id}"))["results"]) == 1


def test_a_rejected_product_does_not_consume_its_key(seller: Person) -> None:
    headers = {"Idempotency-Key": "list-2"}
    problem(seller.post(PRODUCTS, V1 | {"category_id": 99}, headers=headers), 400, "category_id")
    answer(seller.post(PRODUCTS, V1, headers=headers), 201)


# --- the seller's public name


@pytest.mark.parametrize("cached", [False, True])
def test_products_show_the_public_name_of_the_seller_and_no_email_address(
    place: Marketplace, buyer: Person, staff: Person, cached: bool
) -> None:
    seller = place.person(first_name="Ines", last_name="O'Hara")
    made = seller.list(name="Ines pot")
    for _ in range(2 if cached else 1):
        for visitor in (place.anybody, buyer):
            shown = answer(visitor.get(f"{PRODUCTS}{made['id']}/"))
            assert shown["seller"] == {
                "id": seller.id, "display_name": "Ines O.", "first_name": "Ines", "last_name": "O'Hara",
            }  # fmt: skip
            assert seller.email not in visitor.get(f"{PRODUCTS}?seller={seller.id}").text
    for person in (seller, staff):
        assert answer(person.get(f"{PRODUCTS}{made['id']}/"))["seller"]["email"] == seller.email
    answer(seller.patch("/users/api/v1/me/", {"display_name": "Pots of Ines"}))
    assert answer(place.anybody.get(f"{PRODUCTS}{made['id']}/"))["seller"]["display_name"] == "Pots of Ines"


def test_a_setting_shows_the_email_address_of_sellers_to_everybody_as_v1_does() -> None:
    with marketplace(seller_email_public=True) as place:
        seller = place.person()
        made = seller.list()
        for path in (f"{PRODUCTS}{made['id']}/", f"{PRODUCTS}{made['id']}/"):
            assert answer(place.anybody.get(path))["seller"]["email"] == seller.email
        (listed,) = answer(place.anybody.get(PRODUCTS))["results"]
        assert listed["seller"]["email"] == seller.email


def test_a_stored_response_of_the_former_release_can_be_replayed(seller: Person) -> None:
    former = seller.list()
    del former["seller"]["id"], former["seller"]["display_name"]
    decoded = _decode_stored(json.dumps(former).encode(), AccountId(seller.id))
    assert (decoded.seller.id, decoded.seller.email) == (seller.id, seller.email)


def test_the_seller_and_staff_list_the_stock_movements_of_a_product(
    place: Marketplace, seller: Person, buyer: Person
) -> None:
    product = seller.list(stock=5)["id"]
    answer(seller.post(f"{PRODUCTS}{product}/stock/", {"delta": -2}))
    path = f"{PRODUCTS}{product}/stock/movements/"
    first = answer(seller.get(f"{path}?page_size=1"))
    assert [(each["kind"], each["quantity"], each["on_hand"]) for each in first["results"]] == [("adjustment", -2, 3)]
    rest = answer(seller.get(first["next"]))["results"]
    assert [(each["kind"], each["quantity"], each["on_hand"], each["order"]) for each in rest] == [
        ("opening", 5, 5, None)
    ]
    assert len(answer(place.person(is_staff=True).get(path))["results"]) == 2
    problem(buyer.get(path), 404)
    problem(place.anybody.get(path), 401)
