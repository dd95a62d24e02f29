"""API keys over HTTP: who may create them, and what they may do."""

from functools import cache
from typing import Any

import pytest
from httpx2 import Response

from adapters.http.app import operations
from adapters.http.authentication import KeyCache
from adapters.http.dependencies import Dependencies
from adapters.http.framework.idempotency_key import compute_fingerprint
from adapters.http.resources.api_keys import NewApiKey
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.sessions import Identity
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryRateLimiter,
    MemoryViewCounter,
    RecordedSecurityEvents,
    in_memory_market,
)
from tests.unit.support.http_marketplace import (
    ORDERS,
    PASSWORD,
    PRODUCTS,
    USERS,
    Marketplace,
    Person,
    Visitor,
    all_is_well,
    answer,
    problem,
)
from tests.unit.support.http_operations import EXAMPLES, Endpoint, endpoints, every

KEYS = USERS + "me/api-keys/"
ME = USERS + "me/"
REPEATED = {"Idempotency-Key": "repeated"}
WITHOUT_SCOPE = {
    # Accounts, sessions, passwords and keys are managed by people.
    "listUsers", "readProfile", "editProfile", "changePassword", "logOut", "listSessions", "revokeSession",
    "revokeOtherSessions", "createApiKey", "listApiKeys", "rotateApiKey", "revokeApiKey", "readUser", "deactivateUser",
    "reactivateUser", "revokeSessionsOfUser", "appointStaff", "dismissStaff", "changeEmail",
    "requestEmailVerification", "readSecondFactor", "beginSecondFactor", "confirmSecondFactor", "renewRecoveryCodes",
    "disableSecondFactor", "exportUser", "deleteUser", "exportProfile", "deleteProfile",
    "approvePricingRun", "declinePricingRun", "readPricingStop", "stopPricing", "resumePricing",
    "readAttention", "readBacklogs", "checkPayment", "sendRefund", "sendEmail", "listAllOrders", "readOrderDetails",
    "requeueOrder", "listAuditEntries", "cancelOrderOfAnybody", "listAllProducts", "listAllWebhooks",
    "listAllDeliveries", "listSessionsOfUser", "revokeSessionOfUser",
}  # fmt: skip


def scope_of(endpoint: Endpoint) -> str | None:
    scopes = [each["api_key"] for each in endpoint.described["security"] if "api_key" in each]
    return scopes[0][0] if scopes else None


def new_key(who: Person, *scopes: str, **more: Any) -> Any:
    body = {"name": "Warehouse", "scopes": list(scopes), "password": PASSWORD} | more
    return answer(who.post(KEYS, body), 201)


def program(place: Marketplace, who: Person, *scopes: str) -> Visitor:
    return Visitor(place.client, new_key(who, *scopes)["secret"])


def test_every_operation_for_accounts_names_a_scope_or_is_for_people_only() -> None:
    unscoped = {each.name for each in endpoints() if each.heeds_tokens and scope_of(each) is None}
    assert unscoped == WITHOUT_SCOPE


@every(lambda endpoint: endpoint.heeds_tokens)
def test_a_key_needs_the_scope_of_the_operation(place: Marketplace, staff: Person, endpoint: Endpoint) -> None:
    all_scopes = {scope for each in endpoints() if each.heeds_tokens and (scope := scope_of(each)) is not None}
    others = sorted({*all_scopes, "staff"} - {scope_of(endpoint)})
    with_others = _programs(place, staff, *others)
    refused = problem(with_others.send(endpoint.method, endpoint.path(), json=EXAMPLES.get(endpoint.name)), 403)
    assert "API key" in refused["detail"]


@every(lambda endpoint: endpoint.heeds_tokens)
def test_a_key_may_do_what_one_scope_says_and_nothing_else(
    place: Marketplace, staff: Person, endpoint: Endpoint
) -> None:
    """Attack: a leaked key with one scope, with or without rights of staff, is tried at every operation."""
    needed = declared_scopes()[endpoint.name]
    assert needed == scope_of(endpoint)
    assert needed is None or not endpoint.template.startswith(USERS)
    for scope in set(Scope) - {Scope.STAFF}:
        assert _permits(_send(_programs(place, staff, scope), endpoint)) == (scope is needed)
        with_staff = _send(_programs(place, staff, scope, Scope.STAFF), endpoint)
        assert _permits(with_staff) == (scope is needed)
        # Some operations are for staff only.
        assert scope is not needed or with_staff.status_code not in {401, 403}


def _permits(response: Response) -> bool:
    return response.status_code != 403 or "API key" not in response.json()["detail"]


@cache
def declared_scopes() -> dict[str, Scope | None]:
    """`OperationSpec.scope` by the name of the operation."""
    market = in_memory_market()
    dependencies = Dependencies(
        market,
        notifier=CountingWorkNotifier(),
        views=MemoryViewCounter(market.clock),
        ids=CountingIds(),
        cursor_key=b"k" * 32,
        ready=all_is_well,
        security_log=RecordedSecurityEvents(),
        rate_limiter=MemoryRateLimiter(),
    )
    return {each.name: each.scope for each in operations(dependencies)}


def _send(program: Visitor, endpoint: Endpoint) -> Response:
    return program.send(endpoint.method, endpoint.path(), json=EXAMPLES.get(endpoint.name))


_MADE: dict[tuple[int, tuple[str, ...]], Visitor] = {}


def _programs(place: Marketplace, staff: Person, *scopes: str) -> Visitor:
    """One key for each set of scopes, since their number is limited."""
    found = _MADE.get((id(place), scopes))
    if found is None:
        found = _MADE[id(place), scopes] = program(place, staff, *scopes)
    return found


def test_a_key_does_what_its_scope_permits(place: Marketplace) -> None:
    seller = place.person()
    product = seller.list(stock=5)
    page = f"{PRODUCTS}{product['id']}/"
    stock = program(place, seller, "products:write", "products:read")
    answer(stock.patch(page, {"price": "12.00"}))
    assert answer(stock.get(page))["price"] == "12.00"
    problem(stock.get(ORDERS), 403)
    problem(stock.get(ME), 403)
    orders = program(place, seller, "orders:read")
    answer(orders.get(ORDERS))
    problem(orders.get(page), 403)
    problem(orders.patch(page, {"price": "12.00"}), 403)


def test_keys_are_created_with_the_password_only(place: Marketplace) -> None:
    person = place.person()
    body = {"name": "Warehouse", "scopes": ["orders:read"], "password": "wrong password"}
    problem(person.post(KEYS, body), 400, "password")
    problem(person.post(KEYS, body | {"password": PASSWORD, "scopes": ["everything"]}), 400, "scopes[0]")
    problem(person.post(KEYS, body | {"password": PASSWORD, "scopes": ["orders:read", "staff"]}), 403)
    made = new_key(person, "orders:read", expires_at="2100-01-01T00:00:00Z")
    assert made["secret"].startswith(made["prefix"])
    (listed,) = answer(person.get(KEYS))["results"]
    assert listed == {name: made[name] for name in made if name != "secret"} | {"used_at": None}
    assert made["secret"] not in person.get(KEYS).text


def test_a_key_is_rotated_and_revoked(place: Marketplace) -> None:
    person, other = place.person(), place.person()
    made = new_key(person, "orders:read")
    first = Visitor(place.client, made["secret"])
    for _ in range(3):
        answer(first.get(ORDERS))
    rotation = f"{KEYS}{made['id']}/rotate/"
    problem(other.post(rotation, {"password": PASSWORD}), 404)
    problem(person.post(rotation, {}), 400, "password")
    problem(person.post(rotation, {"password": "wrong password"}), 400, "password")
    problem(other.delete(f"{KEYS}{made['id']}/"), 404)
    second = Visitor(place.client, answer(person.post(rotation, {"password": PASSWORD}))["secret"])
    for each in (first, second, first, second):
        answer(each.get(ORDERS))
    assert person.delete(f"{KEYS}{made['id']}/").status_code == 204
    for each in (first, second):
        assert problem(each.get(ORDERS), 401)["code"] == "token_not_valid"
    problem(person.delete(f"{KEYS}{made['id']}/"), 404)


def test_guesses_at_the_password_of_a_rotation_are_limited(place: Marketplace) -> None:
    """Attack: a stolen access token, which must not become a lasting key."""
    person = place.person()
    rotation = f"{KEYS}{new_key(person, 'orders:read')['id']}/rotate/"
    guesses = [person.post(rotation, {"password": f"guess {number}"}).status_code for number in range(12)]
    assert guesses == [400] * 10 + [429] * 2
    assert person.post(rotation, {"password": PASSWORD}).status_code == 429


def test_the_keys_of_a_deactivated_account_are_refused_at_once(place: Marketplace, staff: Person) -> None:
    person = place.person()
    key = program(place, person, "orders:read")
    for _ in range(3):
        answer(key.get(ORDERS))
    answer(staff.post(f"{USERS}{person.id}/deactivate/", {"reason": "Asked for it."}))
    problem(key.get(ORDERS), 401)
    answer(staff.post(f"{USERS}{person.id}/reactivate/", {"reason": "Asked for it."}))
    answer(key.get(ORDERS))


def test_a_known_key_costs_no_query(place: Marketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    key = program(place, place.person(), "orders:read")
    for _ in range(3):
        answer(key.get(ORDERS))
    loads: list[str] = []
    original = KeyCache.load

    async def load(self: KeyCache, secret: str) -> Identity:
        loads.append(secret)
        return await original(self, secret)

    monkeypatch.setattr(KeyCache, "load", load)
    for _ in range(3):
        answer(key.get(ORDERS))
    assert len(loads) <= 1


def test_a_repeated_creation_makes_one_key_and_does_not_repeat_its_secret(place: Marketplace, seller: Person) -> None:
    body = {"name": "Till", "scopes": ["orders:read"], "password": PASSWORD}
    first = answer(seller.post(KEYS, body, headers=REPEATED), 201)
    refused = problem(seller.post(KEYS, body, headers=REPEATED), 409)

    assert (refused["code"], f"API key {first['id']} " in refused["detail"]) == ("secret_shown_once", True)
    assert [each["id"] for each in answer(seller.get(KEYS))["results"]] == [first["id"]]
    assert Visitor(place.client, first["secret"]).get(ORDERS).status_code == 200
    problem(seller.post(KEYS, body | {"name": "Warehouse"}, headers=REPEATED), 422)


def test_a_repeated_rotation_keeps_the_secret_of_the_first(place: Marketplace, seller: Person) -> None:
    made = new_key(seller, "orders:read")
    rotation = f"{KEYS}{made['id']}/rotate/"
    rotated = answer(seller.post(rotation, {"password": PASSWORD}, headers=REPEATED))
    assert problem(seller.post(rotation, {"password": PASSWORD}, headers=REPEATED), 409)["code"] == "secret_shown_once"

    # The former secret remains valid as after one rotation.
    for secret in (made["secret"], rotated["secret"]):
        assert Visitor(place.client, secret).get(ORDERS).status_code == 200


def test_a_refused_creation_releases_its_idempotency_key(seller: Person) -> None:
    body = {"name": "Till", "scopes": ["staff"], "password": PASSWORD}
    problem(seller.post(KEYS, body, headers=REPEATED), 403)
    assert answer(seller.post(KEYS, body | {"scopes": ["orders:read"]}, headers=REPEATED), 201)


def test_idempotency_keys_store_neither_secret_nor_password(place: Marketplace, seller: Person) -> None:
    body = {"name": "Till", "scopes": ["orders:read"], "password": PASSWORD}
    made = answer(seller.post(KEYS, body, headers=REPEATED), 201)
    without_password = NewApiKey(name="Till", scopes=[Scope.ORDERS_READ], password="")
    with place.market.store.begin() as tx:
        claims = {(AccountId(seller.id), "repeated"): b"x"}
        (stored,) = tx.idempotency.claim(claims, place.clock.now()).values()
    assert stored is not None
    assert stored.body == str(made["id"]).encode()
    assert stored.fingerprint == compute_fingerprint("POST", KEYS, without_password)
