"""Markets with currencies of zero and three decimals."""

from collections.abc import Iterator

import pytest

from scalecommerce_core.domain.currencies import MINOR_PER_UNIT, NotCurrency
from scalecommerce_core.testing import in_memory_market
from tests.unit.support.http_marketplace import ORDERS, PRODUCTS, Marketplace, answer, marketplace, problem

AMOUNTS = {"JPY": ("100", "90", "0.5"), "KWD": ("100.000", "90.125", "0.0005"), "USD": ("100.00", "90.50", "0.005")}


@pytest.fixture(params=AMOUNTS)
def place(request: pytest.FixtureRequest) -> Iterator[Marketplace]:
    with marketplace(currency=request.param) as place:
        yield place


def test_a_price_is_stored_in_minor_units_and_charged_in_them(place: Marketplace) -> None:
    currency = place.market.currency
    price, lower, _ = AMOUNTS[currency]
    seller, buyer = place.person(), place.person()
    made = seller.list(price=price, cost=lower, min_price=lower, stock=9)
    assert (made["price"], made["currency"], made["cost"]) == (price, currency, lower)
    body = {"order_item": [{"product": made["id"], "quantity": 3, "price": price}]}
    placed = answer(buyer.post(ORDERS, body), 202)
    place.market.ordering.decide()
    answer(buyer.act(placed, "pay"))
    assert [charge.request.amount.minor for charge in place.gateway.charges.values()] == [
        300 * MINOR_PER_UNIT[currency]
    ]
    total = place.market.queries.orders([placed["id"]])[placed["id"]].total
    assert total == 300 * MINOR_PER_UNIT[currency]
    stats = answer(seller.get(f"{PRODUCTS}seller-stats/"))
    assert (stats["total_revenue"], stats["totat_sold"]) == (AMOUNTS[currency][0].replace("1", "3", 1), 300)
    history = answer(seller.get(f"{PRODUCTS}{made['id']}/price-history/"))
    assert history["lowest_price_30d"] == price


def test_decimals_beyond_those_of_the_currency_are_rejected(place: Marketplace) -> None:
    currency = place.market.currency
    price, lower, wrong = AMOUNTS[currency]
    seller = place.person()
    body = {"name": "Pot", "category_id": 1, "price": price, "cost": wrong, "max_price": f"{wrong[:-1]}1"}
    refused = problem(seller.post(PRODUCTS, body), 400, "cost", "max_price")
    assert f"decimals are allowed in {currency}" in refused["errors"]["cost"][0]
    made = seller.list(price=price, stock=1)
    problem(seller.patch(f"{PRODUCTS}{made['id']}/", {"price": wrong}), 400, "price")
    assert answer(seller.patch(f"{PRODUCTS}{made['id']}/", {"price": lower}))["price"] == lower
    body = {"order_item": [{"product": made["id"], "quantity": 1, "price": wrong}]}
    problem(place.person().post(ORDERS, body), 400, "order_item[0].price")
    problem(place.anybody.get(f"{PRODUCTS}?price_min={wrong}"), 400, "price_min")
    found = answer(place.anybody.get(f"{PRODUCTS}?price_min={lower}&price_max={lower}&facets=price"))
    assert [product["id"] for product in found["results"]] == [made["id"]]
    (bucket,) = found["facets"]["price"]
    inside = answer(place.anybody.get(f"{PRODUCTS}?price_min={bucket['price_min']}"))
    assert [product["id"] for product in inside["results"]] == [made["id"]]


def test_grouped_thousands_are_not_parsed_as_decimals() -> None:
    with marketplace() as place:
        problem(place.anybody.get(f"{PRODUCTS}?price_min=1.290"), 400, "price_min")


def test_a_market_rejects_an_unknown_currency() -> None:
    for code in ("ZZZ", "usd", "BGN"):
        with pytest.raises(NotCurrency):
            in_memory_market(currency=code)
