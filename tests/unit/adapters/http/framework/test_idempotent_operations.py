"""Every authenticated POST that creates something accepts an Idempotency-Key."""

from typing import Any, Final

from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, answer, problem
from tests.unit.support.http_operations import Endpoint, endpoints, every

CREATES_NOTHING: Final = {
    "payOrder", "cancelOrder", "changePassword", "logOut", "rollBackPricingRun", "cancelPricingRun",
    "endPricingExperiment",
    "approvePricingRun", "declinePricingRun", "stopPricing", "resumePricing",
    "checkPayment", "sendRefund", "sendEmail", "requeueOrder",
    "changeEmail", "requestEmailVerification", "beginSecondFactor", "confirmSecondFactor", "renewRecoveryCodes",
    "disableSecondFactor", "deleteProfile", "deleteUser",
    "withdrawPrice", "importProducts", "deactivateUser", "reactivateUser", "revokeSessionsOfUser", "appointStaff",
    "dismissStaff", "quotePrices", "revokeOtherSessions", "revokeSessionOfUser", "renameCategory",
    "cancelOrderOfAnybody",
}  # fmt: skip
"""Authenticated POSTs that set a state, so that repeating them is harmless."""


def takes_key(endpoint: Endpoint) -> bool:
    return any(each["name"] == "Idempotency-Key" for each in endpoint.described.get("parameters", []))


def test_every_authenticated_post_that_creates_something_accepts_a_key() -> None:
    posts = {each for each in endpoints() if each.method == "POST" and each.described.get("security")}
    assert {each.name for each in posts} >= CREATES_NOTHING, "a name above is none"
    assert {each.name for each in posts if not takes_key(each)} == CREATES_NOTHING


def test_operations_that_create_nothing_have_no_201_or_202() -> None:
    created = {each.name for each in endpoints() if each.described["responses"].keys() & {"201", "202"}}
    assert created & CREATES_NOTHING == set()


def test_other_methods_accept_no_key() -> None:
    assert {each.method for each in endpoints() if takes_key(each)} == {"POST"}


def test_a_repeated_key_creates_one_category(place: Marketplace, staff: Person) -> None:
    path, key = f"{PRODUCTS}categories/", {"Idempotency-Key": "tea"}
    first = staff.post(path, {"name": "Loose tea"}, headers=key)
    again = staff.post(path, {"name": "Loose tea"}, headers=key)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    problem(staff.post(path, {"name": "Green tea"}, headers=key), 422)
    problem(staff.post(path, {"name": "loose tea"}), 400, "name")
    problem(staff.post(path, {"name": "loose tea"}, headers={"Idempotency-Key": "refused"}), 400, "name")
    assert answer(staff.post(path, {"name": "Green tea"}, headers={"Idempotency-Key": "refused"}), 201)
    assert [each.name for each in place.market.queries.categories()][-2:] == ["Loose tea", "Green tea"]


def test_a_repeated_key_restocks_once(seller: Person) -> None:
    made = seller.list(stock=5)
    path = f"{PRODUCTS}{made['id']}/stock/"

    def restock(delta: int, **more: Any) -> Any:
        return seller.post(path, {"delta": delta}, headers={"Idempotency-Key": "restock"}, **more)

    first, again = restock(3), restock(3)
    assert answer(first)["stock"] == 8
    assert again.content == first.content
    problem(restock(4), 422)
    assert answer(seller.get(f"{PRODUCTS}{made['id']}/"))["stock"] == 8


@every(takes_key)
def test_every_operation_rejects_an_invalid_key(seller: Person, staff: Person, endpoint: Endpoint) -> None:
    headers = {"Idempotency-Key": "two words"}
    refused = [person.send("POST", endpoint.path(), json={}, headers=headers) for person in (seller, staff)]
    assert {each.status_code for each in refused} <= {400, 403}
    problem(refused[-1], 400, "Idempotency-Key")
