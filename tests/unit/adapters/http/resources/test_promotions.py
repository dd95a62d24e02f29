"""`pricing/api/v1/promotions/`, and promotions of products."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, Visitor, answer, problem

PROMOTIONS = "/pricing/api/v1/promotions/"


def at(promotion: Any, more: str = "") -> str:
    return f"{PROMOTIONS}{promotion['id']}/{more}"


def soon(place: Marketplace, **later: float) -> str:
    return (place.clock.now() + timedelta(**later)).isoformat()


def announce(place: Marketplace, seller: Person, **fields: Any) -> Any:
    """A promotion of all products at 20 % off, from in a minute to in ten minutes unless a test differs."""
    usual = {"name": "Sale", "starts_at": soon(place, minutes=1), "ends_at": soon(place, minutes=10), "percent": 20}
    if not fields.keys() & {"products", "category_id"}:
        usual["all_products"] = True
    return answer(seller.post(PROMOTIONS, usual | fields), 201)


def sweep(place: Marketplace) -> None:
    while place.market.promotions.sweep(100):
        pass


def read(visitor: Visitor, product: Any) -> Any:
    return answer(visitor.get(f"{PRODUCTS}{product['id']}/"))


def test_a_promotion_is_announced_read_and_listed(place: Marketplace, seller: Person, staff: Person) -> None:
    tea, cup = seller.list(), seller.list()
    body = {
        "name": "  Week of   teapots ",
        "starts_at": soon(place, days=1),
        "ends_at": soon(place, days=8),
        "products": [{"product": tea["id"], "price": "7.50"}, {"product": cup["id"]}],
        "percent": 10,
    }
    response = seller.post(PROMOTIONS, body)
    made = answer(response, 201)
    assert response.headers["location"] == at(made)
    expected = {
        "seller": seller.id,
        "name": "Week of teapots",
        "status": "scheduled",
        "percent": 10,
        "category_id": None,
        "all_products": False,
        "products": 2,
        "version": 1,
    }
    assert {name: made[name] for name in expected} == expected
    assert datetime.fromisoformat(made["ends_at"]) == datetime.fromisoformat(body["ends_at"])  # type: ignore[arg-type]
    for visitor in (seller, staff):
        shown = visitor.get(at(made))
        assert answer(shown) == made
        assert shown.headers["etag"] == response.headers["etag"]
        assert visitor.get(at(made), headers={"If-None-Match": shown.headers["etag"]}).status_code == 304
        assert answer(visitor.get(PROMOTIONS))["results"] == [made]
    items = answer(seller.get(at(made, "products/")))["results"]
    assert [(item["product"], item["price"], item["promoted_price"]) for item in items] == [
        (tea["id"], "7.50", None), (cup["id"], None, None),
    ]  # fmt: skip


def test_others_see_no_promotion(place: Marketplace, seller: Person, stranger: Person, anybody: Visitor) -> None:
    seller.list()
    made = announce(place, seller)
    for path in (at(made), at(made, "products/")):
        problem(stranger.get(path), 404)
        problem(anybody.get(path), 401)
    problem(stranger.patch(at(made), {"name": "Mine"}), 404)
    problem(stranger.delete(at(made)), 404)
    assert answer(stranger.get(PROMOTIONS))["results"] == []


def test_a_product_shows_the_promotion_in_force(
    place: Marketplace, seller: Person, anybody: Visitor, staff: Person
) -> None:
    tea, other = seller.list(), place.person().list()
    made = announce(place, seller)
    before = anybody.get(f"{PRODUCTS}{tea['id']}/")
    assert answer(before)["promotion"] is None
    place.clock.advance(minutes=1)
    sweep(place)
    for visitor in (anybody, seller, staff):
        shown = read(visitor, tea)
        assert (shown["price"], shown["promotion"]) == ("8.00", {
            "name": "Sale", "starts_at": made["starts_at"], "ends_at": made["ends_at"], "prior_price": "10.00",
        })  # fmt: skip
    assert read(anybody, other)["promotion"] is None
    found = answer(anybody.get(f"{PRODUCTS}?seller={seller.id}"))["results"]
    assert [row["promotion"]["name"] for row in found] == ["Sale"]
    history = answer(anybody.get(f"{PRODUCTS}{tea['id']}/price-history/"))
    assert (history["reduction"]["prior_price"], history["reduction"]["applied_at"]) == ("10.00", made["starts_at"])
    answer(seller.patch(f"{PRODUCTS}{tea['id']}/", {"price": "12.00"}))
    assert read(anybody, tea)["promotion"]["prior_price"] is None, "no reduction may be announced"
    place.clock.advance(minutes=10)
    sweep(place)
    assert (read(anybody, tea)["price"], read(anybody, tea)["promotion"]) == ("12.00", None)


def test_a_promotion_without_price_invalidates_cached_products(
    place: Marketplace, seller: Person, anybody: Visitor
) -> None:
    tea = seller.list()
    made = announce(place, seller, percent=None, starts_at=None)
    path = f"{PRODUCTS}{tea['id']}/"
    tags = [anybody.get(path).headers["etag"]]
    sweep(place)
    tags.append(anybody.get(path).headers["etag"])
    assert read(anybody, tea)["promotion"] == {
        "name": "Sale", "starts_at": made["starts_at"], "ends_at": made["ends_at"], "prior_price": None,
    }  # fmt: skip
    answer(seller.patch(at(made), {"name": "Long sale", "ends_at": soon(place, minutes=20)}))
    tags.append(anybody.get(path).headers["etag"])
    assert read(anybody, tea)["promotion"]["name"] == "Long sale"
    assert seller.delete(at(made)).status_code == 204
    sweep(place)
    assert read(anybody, tea)["promotion"] is None
    assert len(set(tags)) == 3
    assert anybody.get(path).headers["etag"] == tags[0]


def test_orders_use_the_price_in_force(place: Marketplace, seller: Person, buyer: Person) -> None:
    tea = seller.list(stock=10)
    announce(place, seller)
    place.clock.advance(minutes=1)
    # The promotion has begun, and no worker has put its price in force yet.
    assert read(buyer, tea)["price"] == "10.00"
    assert place.reserve(buyer, (tea["id"], 1))["total_amount"] == "10.00"
    sweep(place)
    assert place.reserve(buyer, (tea["id"], 1))["total_amount"] == "8.00"


def test_a_promotion_is_edited_and_cancelled(place: Marketplace, seller: Person, staff: Person) -> None:
    seller.list()
    made = announce(place, seller)
    tag = seller.get(at(made)).headers["etag"]
    later = {"starts_at": soon(place, minutes=2), "ends_at": soon(place, minutes=12)}
    moved = staff.patch(at(made), later, headers={"If-Match": tag})
    assert (answer(moved)["version"], moved.headers["etag"]) == (2, seller.get(at(made)).headers["etag"])
    problem(seller.patch(at(made), {"name": "New"}, headers={"If-Match": tag}), 412)
    problem(seller.delete(at(made), headers={"If-Match": tag}), 412)
    assert seller.delete(at(made)).status_code == 204
    assert answer(seller.get(at(made)))["status"] == "cancelled"
    assert problem(seller.patch(at(made), {"name": "New"}), 409)["code"] == "promotion_over"
    assert seller.delete(at(made)).status_code == 204


def test_staff_announce_promotions_of_sellers(
    place: Marketplace, seller: Person, stranger: Person, staff: Person
) -> None:
    tea = seller.list()
    body = {"name": "Sale", "ends_at": soon(place, days=1), "products": [{"product": tea["id"]}], "seller": seller.id}
    made = answer(staff.post(PROMOTIONS, body), 201)
    assert (made["seller"], made["products"]) == (seller.id, 1)
    problem(stranger.post(PROMOTIONS, body), 403)
    problem(staff.post(PROMOTIONS, body | {"seller": 10**9}), 400, "seller")
    assert problem(seller.post(PROMOTIONS, body), 409)["code"] == "promotions_overlap"


def test_a_repeated_key_announces_one_promotion(place: Marketplace, seller: Person) -> None:
    seller.list()
    body = {"name": "Sale", "ends_at": soon(place, days=1), "all_products": True}
    headers = {"Idempotency-Key": "one-sale"}
    first, again = (seller.post(PROMOTIONS, body, headers=headers) for _ in range(2))
    assert answer(first, 201) == answer(again, 201)
    assert first.headers["etag"] == again.headers["etag"]
    assert len(answer(seller.get(PROMOTIONS))["results"]) == 1


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": ""}, ("name",)),
        ({"percent": 0}, ("percent",)),
        ({"percent": 12.5}, ("percent",)),
        ({"ends_at": "2030-01-01"}, ("ends_at",)),
        ({"ends_at": "2030-01-01T00:00:00"}, ("ends_at",)),
        ({"starts_at": "2001-01-01T00:00:00Z"}, ("starts_at", "ends_at")),
        ({"category_id": 77}, ("category_id",)),
        ({"all_products": False}, ("products",)),
        ({"category_id": 1, "all_products": True}, ("products",)),
        ({"products": []}, ("products",)),
        ({"products": [{"product": 0}]}, ("products[0].product",)),
        ({"products": [{"product": 1, "price": "0"}]}, ("products[0].price",)),
    ],
)
def test_invalid_fields_are_named(
    fields: dict[str, Any], names: tuple[str, ...], place: Marketplace, seller: Person
) -> None:
    seller.list()
    usual = {"name": "Sale", "ends_at": soon(place, days=1), "percent": 20}
    if not fields.keys() & {"products", "category_id"}:
        usual["all_products"] = True
    document = seller.post(PROMOTIONS, usual | fields)
    assert set(document.json()["errors"]) == set(names), document.text
    assert document.status_code == 400


def test_products_that_cannot_be_promoted_are_refused(place: Marketplace, seller: Person, stranger: Person) -> None:
    tea, foreign = seller.list(min_price="9.00"), stranger.list()
    body = {"name": "Sale", "ends_at": soon(place, days=1)}

    def post(*products: Any) -> Any:
        return seller.post(PROMOTIONS, body | {"products": list(products)})

    problem(post({"product": foreign["id"]}), 400, "products")
    for price in ("10.00", "8.99"):
        problem(post({"product": tea["id"], "price": price}), 400, "products")
    problem(post({"product": tea["id"]}, {"product": tea["id"]}), 400, "products[1].product")
    problem(post({"product": tea["id"], "price": "9.999"}), 400, "products[0].price")
    answer(post({"product": tea["id"], "price": "9.00"}), 201)
    assert problem(post({"product": tea["id"]}), 409)["code"] == "promotions_overlap"
