"""Sales statistics by time and by price."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.support.http_marketplace import PASSWORD, Marketplace, Person, Visitor, answer, marketplace, problem

PRODUCTS = "/products/api/v1/"
STATS = PRODUCTS + "seller-stats/"


@pytest.fixture
def place() -> Iterator[Marketplace]:
    """A separate market, since other tests advance the clock of the shared one."""
    with marketplace() as place:
        yield place


def one_was_sold(place: Marketplace, seller: Person, buyer: Person) -> int:
    """Two views, two orders at 10.00 (one of them refunded), a day later one more at 8.00."""
    product: int = seller.list(stock=9, cost="4.00")["id"]
    for _ in range(2):
        answer(buyer.get(f"{PRODUCTS}{product}/"))
    place.flush_views()
    refunded = place.sell(buyer, (product, 1))
    place.sell(buyer, (product, 2))
    answer(seller.act(refunded, "refunds", {"lines": [{"product": product, "quantity": 1}]}), 201)
    place.clock.advance(days=1)
    for person in (seller, buyer):
        person.token = place.market.accounts.log_in(person.email, PASSWORD).access
    answer(seller.patch(f"{PRODUCTS}{product}/", {"price": "8.00"}))
    place.sell(buyer, (product, 1))
    return product


def sold(**figures: Any) -> dict[str, Any]:
    nothing = {"views": 0, "orders": 0, "units": 0, "revenue": "0.00", "refunded_units": 0, "refunded_amount": "0.00"}
    return {**nothing, "conversion_rate": 0.0, **figures}


FIRST = sold(
    views=2, orders=2, units=3, revenue="30.00", refunded_units=1, refunded_amount="10.00", conversion_rate=1.0
)
SECOND = sold(orders=1, units=1, revenue="8.00")


def test_product_statistics_are_by_time_and_by_price(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = one_was_sold(place, seller, buyer)
    found = answer(seller.get(f"{PRODUCTS}{product}/statistics/"))
    assert found.pop("series") == [
        {**FIRST, "start": "2026-01-01T00:00:00Z"},
        {**SECOND, "start": "2026-01-02T00:00:00Z"},
    ]
    new, old = found.pop("prices")
    assert new == {
        **SECOND, "price": "8.00", "valid_from": "2026-01-02T00:00:00Z", "valid_to": None, "cause": "manual",
        "profit": "4.00",
    }  # fmt: skip
    assert old == {
        **FIRST, "price": "10.00", "valid_from": "2026-01-01T00:00:00Z", "valid_to": "2026-01-02T00:00:00Z",
        "cause": "listed", "profit": "12.00",
    }  # fmt: skip
    assert found == {
        **sold(views=2, orders=3, units=4, revenue="38.00", refunded_units=1, refunded_amount="10.00"),
        "conversion_rate": 1.5,
        "product": product,
        "currency": "USD",
        "seconds_out_of_stock": 0.0,
        "out_of_stock_since": None,
    }


def test_a_report_compares_the_range_with_the_one_before(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = one_was_sold(place, seller, buyer)
    report = answer(seller.get(f"{PRODUCTS}sales-report/?from=2026-01-02T00:00:00Z"))
    assert report == {
        "currency": "USD",
        "interval": "day",
        "starts_at": "2026-01-02T00:00:00Z",
        "ends_at": "2026-01-03T00:00:00Z",
        "previous_starts_at": "2026-01-01T00:00:00Z",
        "total": SECOND,
        "previous": FIRST,
        "series": [{**SECOND, "start": "2026-01-02T00:00:00Z"}],
        "top_products": [{**SECOND, "product": product, "name": "Tea pot"}],
    }
    month = answer(seller.get(f"{PRODUCTS}sales-report/"))
    assert (month["starts_at"], month["ends_at"]) == ("2025-12-04T00:00:00Z", "2026-01-03T00:00:00Z")
    assert [point["start"] for point in month["series"]] == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    assert answer(seller.get(f"{PRODUCTS}sales-report/?interval=hour"))["starts_at"] == "2025-12-31T01:00:00Z"
    assert answer(buyer.get(f"{PRODUCTS}sales-report/"))["total"] == sold()
    problem(seller.get(f"{PRODUCTS}sales-report/?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"), 400, "from")


def test_stock_that_runs_out_is_listed(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = seller.list(stock=9, sku="T-1")["id"]
    empty = seller.list(stock=0, name="Empty")["id"]
    seller.list(stock=4)
    place.sell(buyer, (product, 6))
    place.clock.advance(days=2)
    seller.token = place.market.accounts.log_in(seller.email, PASSWORD).access
    first, second = answer(seller.get(f"{PRODUCTS}stock-outlook/"))["results"]
    assert (first["product"], first["stock"], first["sold"], first["days_left"]) == (empty, 0, 0, 0.0)
    assert second == {
        "product": product, "name": "Tea pot", "sku": "T-1", "stock": 3, "reserved": 0, "sold": 6, "days_in_stock": 2.0,
        "units_a_day": 3.0, "days_left": 1.0, "runs_out_at": "2026-01-04T00:00:00Z",
    }  # fmt: skip
    (only,) = answer(seller.get(f"{PRODUCTS}stock-outlook/?within_days=0"))["results"]
    assert only == first
    page = answer(seller.get(f"{PRODUCTS}stock-outlook/?page_size=1"))
    assert answer(seller.get(page["next"]))["results"] == [second]
    problem(seller.get(f"{PRODUCTS}stock-outlook/?within_days=-1"), 400, "within_days")


def test_a_series_has_points_by_hour_or_day(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = one_was_sold(place, seller, buyer)
    path = f"{PRODUCTS}{product}/statistics/"
    hours = answer(seller.get(f"{path}?interval=hour&from=2026-01-01T23:00:00Z&to=2026-01-02T01:00:00Z"))["series"]
    assert hours == [{**SECOND, "start": "2026-01-02T00:00:00Z"}]
    # The same time with another offset.
    days = answer(seller.get(f"{path}?from=2026-01-02T02:00:00%2B02:00"))["series"]
    assert days == [{**SECOND, "start": "2026-01-02T00:00:00Z"}]
    assert answer(seller.get(f"{path}?to=2025-12-31T00:00:00Z"))["series"] == []


def test_a_series_excludes_sales_before_its_start(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = one_was_sold(place, seller, buyer)
    second = [{**SECOND, "start": "2026-01-02T00:00:00Z"}]
    for path in (f"{PRODUCTS}{product}/statistics/?", f"{STATS}?series=day&"):
        assert answer(seller.get(f"{path}from=2026-01-01T12:00:00Z"))["series"] == second
        assert answer(seller.get(f"{path}from=2026-01-01T14:00:00%2B02:00"))["series"] == second
        assert answer(seller.get(f"{path}from=2026-01-01T12:00:00Z&to=2026-01-01T13:00:00Z"))["series"] == []
        # Without `from`, an end within a day does not add a point.
        assert answer(seller.get(f"{path}to=2026-01-31T12:00:00Z"))["series"] == second


def test_a_reversed_span_is_rejected(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = one_was_sold(place, seller, buyer)
    for path in (f"{PRODUCTS}{product}/statistics/?", f"{STATS}?series=hour&"):
        reversed_span = seller.get(f"{path}from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z")
        assert problem(reversed_span, 400, "from")["errors"] == {"from": ["This is later than to."]}
        # The same local times in other zones are different times.
        problem(seller.get(f"{path}from=2026-01-01T12:00:00-02:00&to=2026-01-01T12:00:00%2B02:00"), 400, "from")
        answer(seller.get(f"{path}from=2026-01-01T12:00:00%2B02:00&to=2026-01-01T12:00:00-02:00"))
        answer(seller.get(f"{path}from=2026-01-01T12:00:00Z&to=2026-01-01T12:00:00Z"))
        assert problem(seller.get(f"{path}from=2026-02-01T00:00:00Z"), 400, "from")["errors"] == {
            "from": ["This is later than now."]
        }


def test_bounds_without_a_series_are_rejected(seller: Person) -> None:
    problem(seller.get(f"{STATS}?from=2026-01-01T00:00:00Z"), 400, "from")
    problem(seller.get(f"{STATS}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"), 400, "from", "to")


def test_seller_statistics_include_a_series_on_request(place: Marketplace, seller: Person, buyer: Person) -> None:
    one_was_sold(place, seller, buyer)
    plain = answer(seller.get(STATS))
    assert "series" not in plain
    with_days = answer(seller.get(f"{STATS}?series=day"))
    assert with_days.pop("series") == [
        {**FIRST, "start": "2026-01-01T00:00:00Z"},
        {**SECOND, "start": "2026-01-02T00:00:00Z"},
    ]
    assert with_days == plain
    assert answer(buyer.get(f"{STATS}?series=hour"))["series"] == []


def test_invalid_parameters_are_rejected(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = one_was_sold(place, seller, buyer)
    for path in (f"{PRODUCTS}{product}/statistics/?", f"{STATS}?series=day&"):
        problem(seller.get(f"{path}from=2001-01-01T00:00:00Z"), 400, "from")
        problem(seller.get(f"{path}from=0001-01-01T00:00:00%2B14:00"), 400, "from")
        problem(seller.get(f"{path}to=0001-01-01T00:00:00Z"), 400, "from")
        problem(seller.get(f"{path}from=yesterday"), 400, "from")
        problem(seller.get(f"{path}to=2026-01-01T00:00:00"), 400, "to")
    problem(seller.get(f"{STATS}?series=week"), 400, "series")
    problem(seller.get(f"{PRODUCTS}{product}/statistics/?interval=week"), 400, "interval")


def test_statistics_are_for_the_seller_and_staff(
    place: Marketplace, seller: Person, buyer: Person, anybody: Visitor
) -> None:
    product = one_was_sold(place, seller, buyer)
    staff = place.person(is_staff=True)
    path = f"{PRODUCTS}{product}/statistics/"
    assert answer(staff.get(path)) == answer(seller.get(path))
    problem(buyer.get(path), 403)
    problem(anybody.get(path), 401)
    answer(seller.patch(f"{PRODUCTS}{product}/", {"is_active": False}))
    problem(buyer.get(path), 404)
    assert answer(seller.get(path))["orders"] == 3
    assert seller.delete(f"{PRODUCTS}{product}/").status_code == 204
    problem(seller.get(path), 404)
