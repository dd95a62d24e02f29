"""`users/api/v1/{id}/`: what staff do with the accounts of others."""

from typing import Any

import pytest

from tests.unit.support.http_marketplace import (
    PASSWORD,
    PRODUCTS,
    USERS,
    Marketplace,
    Person,
    Visitor,
    answer,
    problem,
)

ME = USERS + "me/"
ACTIONS = ("deactivate", "reactivate", "revoke-sessions", "appoint-staff", "dismiss-staff")
BODY = {"reason": "As agreed.", "password": "another password"}


def act(who: Visitor, account: int, action: str, **more: Any) -> Any:
    body = BODY if action == "appoint-staff" else {"reason": BODY["reason"]}
    return who.post(f"{USERS}{account}/{action}/", body | more)


@pytest.mark.parametrize("action", ACTIONS)
def test_only_staff_act_on_accounts(place: Marketplace, staff: Person, action: str) -> None:
    target, other = place.person(), place.person()
    problem(act(place.anybody, target.id, action), 401)
    for who in (target, other):
        problem(act(who, target.id, action), 403)
    problem(act(staff, 10**6, action), 404)
    problem(act(staff, target.id, action, reason=""), 400, "reason")
    assert answer(act(staff, target.id, action))["id"] == target.id


def test_only_staff_read_accounts(place: Marketplace, staff: Person) -> None:
    target = place.person(first_name="Ann")
    path = f"{USERS}{target.id}/"
    problem(place.anybody.get(path), 401)
    problem(target.get(path), 403)
    problem(staff.get(f"{USERS}{10**6}/"), 404)
    read = answer(staff.get(path))
    assert (read["email"], read["first_name"], read["is_active"], read["is_staff"]) == (
        target.email,
        "Ann",
        True,
        False,
    )
    assert read["actions"] == []


def test_a_deactivated_account_is_shut_out_at_once(place: Marketplace, staff: Person) -> None:
    seller, buyer = place.person(), place.person()
    product = seller.list(stock=5)
    page = f"{PRODUCTS}{product['id']}/"
    answer(place.anybody.get(page))
    answer(seller.get(ME))
    done = answer(act(staff, seller.id, "deactivate"))
    assert (done["is_active"], done["actions"][0]) == (
        False,
        {"kind": "deactivated", "reason": "As agreed.", "at": done["actions"][0]["at"], "actor": staff.id},
    )
    assert problem(seller.get(ME), 401)["code"] == "token_not_valid"
    problem(seller.patch(page, {"price": "1.00"}), 401)
    problem(place.anybody.post(USERS + "token/refresh/", {"refresh": seller.refresh}), 401)
    problem(place.anybody.post(USERS + "token/", {"email": seller.email, "password": PASSWORD}), 401)
    problem(place.anybody.get(page), 404)
    problem(
        buyer.post("/orders/api/v1/", {"order_item": [{"product": product["id"], "quantity": 1}]}),
        400,
        "order_item[0].product",
    )
    assert seller.id not in [row["id"] for row in answer(staff.get(f"{USERS}?page_size=100"))["results"]]
    inactive = answer(staff.get(f"{USERS}?active=false&email={seller.email.upper()}"))["results"]
    assert [row["id"] for row in inactive] == [seller.id]
    assert answer(act(staff, seller.id, "reactivate"))["is_active"]
    answer(place.anybody.get(page))
    problem(seller.get(ME), 401)


def test_staff_appoint_and_dismiss_staff(place: Marketplace, staff: Person) -> None:
    target = place.person()
    problem(act(staff, target.id, "appoint-staff", password="short"), 400, "password")
    assert answer(act(staff, target.id, "appoint-staff"))["is_staff"]
    problem(target.get(ME), 401)
    assert target.id in [row["id"] for row in answer(staff.get(f"{USERS}?staff=true&page_size=100"))["results"]]
    pair = answer(place.anybody.post(USERS + "token/", {"email": target.email, "password": BODY["password"]}))
    appointed = Visitor(place.client, pair["access"])
    answer(appointed.get(USERS))
    assert not answer(act(staff, target.id, "dismiss-staff"))["is_staff"]
    problem(appointed.get(USERS), 401)


def test_staff_set_no_passwords_of_staff(place: Marketplace, staff: Person) -> None:
    """Attack: a stolen access token sets the password of its owner, or of another member of staff."""
    target = place.person()
    answer(act(staff, target.id, "appoint-staff"))
    other = {"password": "quite another password"}
    for account_id in (target.id, staff.id):
        problem(act(staff, account_id, "appoint-staff", **other), 400, "password")
    answer(staff.get(USERS))
    answer(place.anybody.post(USERS + "token/", {"email": target.email, "password": BODY["password"]}))


def test_staff_cannot_lock_themselves_out(staff: Person) -> None:
    for action in ("deactivate", "dismiss-staff"):
        assert problem(act(staff, staff.id, action), 409)["code"] == "own_account"
    answer(staff.get(USERS))


def test_deleted_accounts_stay_deleted(place: Marketplace, staff: Person) -> None:
    target = place.person()
    deletion = staff.post(f"{USERS}{target.id}/deletion/", {"reason": BODY["reason"]})
    assert deletion.status_code == 204
    before = answer(staff.get(f"{USERS}{target.id}/"))
    for action in (*ACTIONS, "deletion"):
        assert problem(act(staff, target.id, action), 409)["code"] == "account_deleted"
    assert answer(staff.get(f"{USERS}{target.id}/")) == before
