"""Edits with the current values cause no event, no new entity tag and no cache invalidation."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.testing import MemoryStore
from tests.unit.support.http_marketplace import PRODUCTS, USERS, Marketplace, Person, answer, marketplace, problem

POLICIES = "/pricing/api/v1/policies/"
WEBHOOKS = "/webhooks/api/v1/"

Made = Callable[[Person], tuple[str, Mapping[str, Any]]]


def _product(seller: Person) -> tuple[str, Mapping[str, Any]]:
    fields = {"name": "Tea pot", "category_id": 1, "price": "10.00", "stock": 3, "brand": "Kara", "cost": "5.00",
              "description": "Blue.", "min_price": "8.00", "max_price": "12.00", "is_active": True}  # fmt: skip
    return f"{PRODUCTS}{seller.list(**fields)['id']}/", fields


def _policy(seller: Person) -> tuple[str, Mapping[str, Any]]:
    made = answer(seller.post(POLICIES, {"name": "Everything"}), 201)
    asked = ("name", "policy", "parameters", "guardrails", "epoch_seconds", "fee", "is_shadow", "is_active")
    return f"{POLICIES}{made['id']}/", {name: made[name] for name in asked}


def _endpoint(seller: Person) -> tuple[str, Mapping[str, Any]]:
    fields = {"url": "https://example.com/hooks", "topics": ["order.paid"], "description": "Shop", "is_active": True}
    made = answer(seller.post(WEBHOOKS, fields), 201)
    return f"{WEBHOOKS}{made['id']}/", fields


@pytest.mark.parametrize("made", [_product, _policy, _endpoint])
def test_a_patch_with_equal_values_changes_nothing(made: Made) -> None:
    with marketplace() as place:
        seller = place.person()
        path, fields = made(seller)
        heard, before = watched(place), seller.get(path)
        etag = before.headers["etag"]
        problem(seller.patch(path, fields, headers={"If-Match": '"v9"'}), 412)
        for given in ({}, fields):
            edited = seller.patch(path, given, headers={"If-Match": etag})
            assert (answer(edited), edited.headers["etag"]) == (answer(before), etag)
        assert heard() == ([], [])
        another = seller.patch(path, {"description" if "description" in fields else "name": "Another"})
        assert answer(another)
        assert another.headers["etag"] != etag
        problem(seller.patch(path, fields, headers={"If-Match": etag}), 412)


def test_a_put_of_an_unchanged_product_changes_nothing() -> None:
    with marketplace() as place:
        seller = place.person()
        path, fields = _product(seller)
        heard, before = watched(place), seller.get(path)
        assert answer(seller.put(path, fields)) == answer(before)
        assert answer(seller.post(f"{path}stock/", {"set": 3, "expected": 3}))
        assert seller.get(path).headers["etag"] == before.headers["etag"]
        assert heard() == ([], [])


def test_a_patch_with_an_equal_profile_changes_nothing() -> None:
    with marketplace() as place:
        person = place.person(first_name="Ann", bio="Sells tea.")
        heard = watched(place)
        assert answer(person.patch(f"{USERS}me/", {"first_name": "Ann", "bio": "Sells tea."}))
        assert heard() == ([], [])


def watched(place: Marketplace) -> Callable[[], tuple[list[Any], list[CatalogChange]]]:
    """Record events and cache invalidations from now on."""
    store = place.market.store
    assert isinstance(store, MemoryStore)
    events, told = store.tables.events, list[CatalogChange]()
    known, tell = len(list(events.all())), store.changed

    def changed(change: CatalogChange) -> None:
        told.append(change)
        tell(change)

    store.changed = changed
    return lambda: (list(events.all())[known:], told)
