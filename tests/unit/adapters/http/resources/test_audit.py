"""`audit/api/v1/`: who may read the audit log, filters and pages."""

from typing import Any

import pytest

from tests.unit.support.http_marketplace import PRODUCTS, USERS, Marketplace, Person, answer, problem

AUDIT = "/audit/api/v1/"


def read(staff: Person, **query: Any) -> list[Any]:
    found: list[Any] = answer(staff.get(AUDIT, params=query))["results"]
    return found


@pytest.fixture
def product(staff: Person, seller: Person) -> int:
    """A product whose price and stock staff changed; its seller was then deactivated."""
    id_ = int(seller.list(price="10.00", stock=5)["id"])
    answer(staff.patch(f"{PRODUCTS}{id_}/", {"price": "8.00", "stock": 3}))
    answer(staff.post(f"{USERS}{seller.id}/deactivate/", {"reason": "Sells Counterfeits, again."}))
    return id_


def test_staff_see_who_did_what_on_what_and_why(
    place: Marketplace, staff: Person, seller: Person, product: int
) -> None:
    deactivated, edited = read(staff, actor=staff.id)
    now = place.clock.now().isoformat().replace("+00:00", "Z")
    assert edited == {
        "id": edited["id"],
        "at": now,
        "actor": staff.id,
        "network": "",
        "action": "product.edited",
        "kind": "product",
        "target": str(product),
        "before": {"price": "10.00 USD", "stock": 5},
        "after": {"price": "8.00 USD", "stock": 3},
        "reason": "",
    }
    assert (deactivated["action"], deactivated["target"]) == ("account.deactivated", str(seller.id))
    assert (deactivated["before"], deactivated["after"]) == ({"is_active": True}, {"is_active": False})
    assert deactivated["reason"] == "Sells Counterfeits, again."


def test_entries_are_filtered(place: Marketplace, staff: Person, seller: Person, product: int) -> None:
    def actions(**query: Any) -> list[str]:
        return [each["action"] for each in read(staff, **query)]

    mine = {"actor": staff.id}
    assert actions(kind="product", target=product) == ["product.edited"]
    assert actions(kind="account", target=seller.id) == ["account.deactivated"]
    assert actions(action="product.edited", **mine) == ["product.edited"]
    assert actions(search="again counterfeits", **mine) == ["account.deactivated"]
    assert actions(search="Counterfeit", **mine) == []
    assert actions(operator="true", **mine) == []
    # The fixture's account of staff was created by an operator.
    assert actions(operator="true", kind="account", target=staff.id) == ["account.staff_appointed"]
    now = place.clock.now().isoformat()
    assert len(actions(**{"from": now}, **mine)) == 2
    assert actions(to=now, **mine) == []


def test_entries_are_paged_newest_first(staff: Person, product: int) -> None:
    assert product
    query = {"actor": staff.id, "page_size": 1}
    first = answer(staff.get(AUDIT, params=query))
    second = answer(staff.get(first["next"]))
    assert [each["action"] for each in (*first["results"], *second["results"])] == [
        "account.deactivated",
        "product.edited",
    ]
    assert second["next"] is None
    assert answer(staff.get(second["previous"]))["results"] == first["results"]


def test_only_staff_read_the_log(place: Marketplace, seller: Person) -> None:
    problem(seller.get(AUDIT), 403)
    problem(place.anybody.get(AUDIT), 401)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"action": "product.eaten"}, ["action"]),
        ({"kind": "tea"}, ["kind"]),
        ({"actor": 0}, ["actor"]),
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, ["from"]),
        ({"search": "x" * 501}, ["search"]),
    ],
)
def test_wrong_filters_are_named(staff: Person, query: dict[str, Any], fields: list[str]) -> None:
    problem(staff.get(AUDIT, params=query), 400, *fields)
