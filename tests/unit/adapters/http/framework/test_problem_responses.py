"""All kinds of errors on the real resources; `test_application` tests the details."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from attrs import evolve

from adapters.http.dependencies import Readiness
from adapters.http.resources.product_files import MAX_IMPORT_BYTES
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import Queries
from scalecommerce_core.services.market import Market
from scalecommerce_core.testing import MemoryStore, in_memory_market
from tests.unit.support.http_marketplace import (
    ORDERS,
    PASSWORD,
    PRODUCTS,
    USERS,
    Marketplace,
    Person,
    Visitor,
    answer,
    marketplace,
    problem,
)
from tests.unit.support.http_operations import EXAMPLES, Endpoint, endpoints, every, every_that_takes_a_body

GOOD = {"name": "Tea pot", "category_id": 1, "price": "10.00"}
JSON = {"Content-Type": "application/json"}


# --- 400


MALFORMED = {
    "empty": b"",
    "blank": b" \n ",
    "cut short": b'{"name": "Tea"',
    "trailing comma": b'{"name": "Tea",}',
    "two documents": b"{}{}",
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "Tea"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"price": NaN}',
    "Infinity": b'{"price": -Infinity}',
    "a name twice": b'{"price": 1, "price": 2}',
    "a list": b"[]",
    "text": b'"{}"',
    "null": b"null",
    "deep lists": b"[" * 100_000,
    "deep lists that close": b'{"name": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "a deep value of an unknown field": b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}",
    "an exponent beyond reason": b'{"price": 1e99999999999999999999}',
    "raw NUL": b'{"name": "a\x00b"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_json_is_a_400(seller: Person, body: bytes) -> None:
    assert problem(seller.post(PRODUCTS, content=body, headers=JSON), 400)["code"] == "malformed"


@every_that_takes_a_body()
def test_malformed_json_is_a_400_for_every_operation(staff: Person, endpoint: Endpoint) -> None:
    problem(staff.send(endpoint.method, endpoint.path(), content=b"{", headers=JSON), 400)


@every_that_takes_a_body()
def test_a_body_that_is_not_an_object_is_a_400_for_every_operation(staff: Person, endpoint: Endpoint) -> None:
    for body in (b"[]", b"0", b'"text"'):
        problem(staff.send(endpoint.method, endpoint.path(), content=body, headers=JSON), 400)


WRONG_TYPES: list[object] = [None, True, 0, -1, 1.5, 10**30, "", "text", [], [[]], {}, {"a": 1}]


@pytest.mark.parametrize("field", ["name", "category_id", "price", "stock", "brand", "is_active"])
def test_fields_of_the_wrong_type_are_a_400(seller: Person, field: str) -> None:
    refused = 0
    for value in WRONG_TYPES:
        response = seller.post(PRODUCTS, GOOD | {field: value})
        if response.status_code != 201:
            refused += 1
            problem(response, 400, field)
    assert refused >= 9


@pytest.mark.parametrize(
    "number", ["1" * 50_000, "-" + "9" * 400, "1e308", "1e-308", "1e400", "0." + "0" * 5_000 + "1"]
)
@pytest.mark.parametrize("field", ["category_id", "price", "stock"])
def test_huge_numbers_are_a_400(seller: Person, field: str, number: str) -> None:
    body = json.dumps({**GOOD, field: 0}).replace(f'"{field}": 0', f'"{field}": {number}')
    problem(seller.post(PRODUCTS, content=body.encode(), headers=JSON), 400, field)


def test_a_number_that_is_closer_to_zero_than_a_double_is_accepted(seller: Person) -> None:
    body = json.dumps({"name": "Tiny", "fee": 0.5}).replace("0.5", "2.2e-309")
    made = answer(seller.post("/pricing/api/v1/policies/", content=body.encode(), headers=JSON), 201)
    assert 0 <= float(made["fee"]) < 1e-300


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfffb"], ids=ascii)
def test_nul_and_lone_surrogates_are_a_400(anybody: Visitor, seller: Person, text: str) -> None:
    for field in ("name", "brand", "description", "sku"):
        problem(seller.post(PRODUCTS, GOOD | {field: text}), 400, field)
    problem(seller.patch(USERS + "me/", {"bio": text}), 400, "bio")
    problem(anybody.post(USERS + "sign-up/", {"email": "a@b.example", "password": text * 8}), 400, "password")
    problem(anybody.post(USERS + "token/", {"email": text, "password": "x"}), 400, "email")
    problem(anybody.post(USERS + "token/verify/", {"token": text}), 400, "token")


def test_lone_surrogates_in_field_names_cause_no_error(seller: Person) -> None:
    answer(seller.post(PRODUCTS, GOOD | {"\ud800": "\ud800"}), 201)


def test_the_length_of_a_400_is_bounded(seller: Person) -> None:
    body = {"order_item": [{"product": "x" * 300, "quantity": "y" * 300}] * 100}
    response = seller.post(ORDERS, body)
    assert response.status_code == 400
    assert len(response.content) < 50_000


# --- 401, 403


ANYBODY = {
    "signUp", "logIn", "refreshToken", "verifyToken", "searchProducts", "readProduct", "readProducts",
    "readPriceHistory",
    "listCategories", "listPolicyKinds", "isAlive", "isReady", "requestPasswordReset", "confirmPasswordReset",
    "confirmEmail",
}  # fmt: skip


def test_access_rules_are_as_documented() -> None:
    assert {each.name for each in endpoints() if not each.needs_account} == ANYBODY


@every(lambda endpoint: endpoint.name not in ANYBODY)
def test_anonymous_callers_get_a_401(anybody: Visitor, endpoint: Endpoint) -> None:
    response = anybody.send(endpoint.method, endpoint.path(), json=EXAMPLES.get(endpoint.name))
    assert problem(response, 401)["code"] == "not_authenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")


@every(lambda endpoint: endpoint.heeds_tokens)
def test_invalid_tokens_are_a_401(place: Marketplace, endpoint: Endpoint) -> None:
    response = Visitor(place.client, "nonsense").send(endpoint.method, endpoint.path())
    assert problem(response, 401)["code"] == "token_not_valid"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@every(lambda endpoint: endpoint.name in {"listUsers", "addCategory"})
def test_staff_operations_are_a_403_for_others(stranger: Person, endpoint: Endpoint) -> None:
    problem(stranger.send(endpoint.method, endpoint.path(), json=EXAMPLES.get(endpoint.name)), 403)


@every(lambda endpoint: endpoint.name in {"putProduct", "patchProduct", "withdrawProduct", "adjustStock"})
def test_owner_operations_are_a_403_for_others(seller: Person, stranger: Person, endpoint: Endpoint) -> None:
    path = endpoint.path(seller.list()["id"])
    problem(stranger.send(endpoint.method, path, json=EXAMPLES.get(endpoint.name)), 403)


# --- 404, 405, 406


@every(lambda endpoint: endpoint.has_id)
def test_unknown_resources_are_a_404(staff: Person, endpoint: Endpoint) -> None:
    response = staff.send(endpoint.method, endpoint.path(10**9), json=EXAMPLES.get(endpoint.name))
    assert problem(response, 404)["code"] == "not_found"


@every(lambda endpoint: endpoint.has_id)
def test_an_invalid_id_is_a_404(staff: Person, endpoint: Endpoint) -> None:
    for number in ("0", "-1", "x", "1.0", "01", "9" * 30, str(2**63), "%00", "%2f"):
        problem(staff.send(endpoint.method, endpoint.path(number), json=EXAMPLES.get(endpoint.name)), 404)


@every(lambda endpoint: endpoint.template.endswith("/"))
def test_paths_without_a_trailing_slash_are_redirected(anybody: Visitor, endpoint: Endpoint) -> None:
    response = anybody.send(endpoint.method, f"{endpoint.path()[:-1]}?page_size=5")
    assert (response.status_code, response.headers["location"]) == (308, f"{endpoint.path()}?page_size=5")
    problem(anybody.send(endpoint.method, f"/x{endpoint.path()[:-1]}"), 404)


def test_a_405_lists_the_allowed_methods(anybody: Visitor) -> None:
    methods: dict[str, set[str]] = {}
    for each in endpoints():
        methods.setdefault(each.path(), {"OPTIONS"}).add(each.method)
    for path, described in methods.items():
        allowed = described | ({"HEAD"} if "GET" in described else set())
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
            response = anybody.send(method, path)
            problem(response, 405)
            assert set(response.headers["allow"].split(", ")) == allowed


@every(lambda endpoint: endpoint.answers_json)
def test_an_accept_header_that_excludes_json_is_a_406(staff: Person, endpoint: Endpoint) -> None:
    problem(staff.send(endpoint.method, endpoint.path(), headers={"Accept": "text/html"}), 406)


# --- 409, 412, 422: see the resources too


def test_a_forbidden_state_transition_is_a_409(seller: Person, buyer: Person) -> None:
    order = buyer.place((seller.list(stock=1)["id"], 1))
    assert problem(buyer.act(order, "pay"), 409)["code"] == "transition_not_allowed"


def test_an_outdated_etag_is_a_412(seller: Person) -> None:
    path = f"{PRODUCTS}{seller.list()['id']}/"
    for etag in ('"v2"', '"other"', 'W/"v1"'):
        problem(seller.patch(path, {"name": "New"}, headers={"If-Match": etag}), 412)
        problem(seller.delete(path, headers={"If-Match": etag}), 412)


def test_a_key_reused_for_another_request_is_a_422(seller: Person) -> None:
    headers = {"Idempotency-Key": "k"}
    seller.post(PRODUCTS, GOOD, headers=headers)
    problem(seller.post(PRODUCTS, GOOD | {"stock": 1}, headers=headers), 422)


# --- 413, 415


@every_that_takes_a_body()
def test_a_body_above_the_limit_of_the_operation_is_a_413(staff: Person, endpoint: Endpoint) -> None:
    limit = endpoint.described["requestBody"]["x-max-body-bytes"]
    assert limit <= (MAX_IMPORT_BYTES if endpoint.template == f"{PRODUCTS}import/" else 128 * 1024)
    assert limit <= 16 * 1024 or not endpoint.template.startswith(USERS)
    document = problem(staff.send(endpoint.method, endpoint.path(), content=b" " * (limit + 1), headers=JSON), 413)
    assert str(limit) in document["detail"]
    assert str(limit) in endpoint.described["responses"]["413"]["description"]
    # A body at the limit is read: it is empty.
    problem(staff.send(endpoint.method, endpoint.path(), content=b" " * limit, headers=JSON), 400)


def test_the_longest_texts_fit_into_a_body_even_if_they_are_escaped(seller: Person) -> None:
    def escaped(document: Any) -> bytes:
        return json.dumps(document, ensure_ascii=True, indent=4).encode()

    fox = "\N{FOX FACE}"
    long = GOOD | {"name": fox * 100, "brand": fox * 100, "description": fox * 10_000}
    product = answer(seller.post(PRODUCTS, content=escaped(long), headers=JSON), 201)["id"]
    profile = {"bio": fox * 1_000, "first_name": fox * 100, "last_name": fox * 100}
    answer(seller.send("PATCH", f"{USERS}me/", content=escaped(profile), headers=JSON))
    lines = [{"product": product, "quantity": 1, "price": "10.00"} for _ in range(100)]
    response = seller.post(ORDERS, content=escaped({"order_item": lines}), headers=JSON)
    assert response.status_code in {202, 409}, response.text


@every_that_takes_a_body()
def test_a_body_with_another_media_type_is_a_415(staff: Person, endpoint: Endpoint) -> None:
    problem(staff.send(endpoint.method, endpoint.path(), content=b"{}"), 415)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        headers = {"Content-Type": media_type}
        problem(staff.send(endpoint.method, endpoint.path(), content=b"{}", headers=headers), 415)


# --- 429


def test_a_429_contains_retry_after() -> None:
    with marketplace() as place:
        for _ in range(10):
            place.anybody.post(USERS + "token/", {"email": "a@example.com", "password": "wrong"})
        response = place.anybody.post(USERS + "token/", {"email": "a@example.com", "password": "wrong"})
        problem(response, 429)
        assert int(response.headers["retry-after"]) > 0


# --- 503


class Guarded:
    """Calls `check` before each method."""

    def __init__(self, inner: object, check: Callable[[], None]) -> None:
        self._inner = inner
        self._check = check

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def guarded(*args: Any, **more: Any) -> Any:
            self._check()
            return method(*args, **more)

        return guarded


class Outage:
    def __init__(self) -> None:
        self.on = False

    def __call__(self) -> None:
        if self.on:
            raise Unavailable("PostgreSQL does not answer.")

    def readiness(self) -> Readiness:
        self()
        return Readiness(redis="ok", oldest_undecided_seconds=None)

    def rebuilt(self, market: Market) -> Market:
        store = cast(Store, Guarded(market.store, self))
        rebuilt = in_memory_market(market.clock, memory=cast(MemoryStore, market.store), store=store)
        guarded = cast(Queries, Guarded(market.queries, self))
        rebuilt.sessions._queries = rebuilt.api_keys._queries = guarded
        return evolve(rebuilt, queries=guarded)


@pytest.fixture(scope="module")
def failing() -> Iterator[tuple[Marketplace, Person, Outage]]:
    outage = Outage()
    with marketplace(rebuilt=outage.rebuilt, readiness=outage.readiness) as place:
        yield place, place.person(is_staff=True), outage


NEED_NO_DATABASE = {"isAlive", "listPolicyKinds"}


@every()
def test_an_unreachable_database_is_a_503(failing: tuple[Marketplace, Person, Outage], endpoint: Endpoint) -> None:
    _, staff, outage = failing
    tokens = {"refreshToken": {"refresh": staff.refresh}, "verifyToken": {"token": staff.token}}
    body = tokens.get(endpoint.name, EXAMPLES.get(endpoint.name))
    outage.on = True
    response = staff.send(endpoint.method, endpoint.path(), json=body)
    outage.on = False
    if endpoint.name in NEED_NO_DATABASE:
        answer(response)
    else:
        assert problem(response, 503)["code"] == "unavailable"
        assert int(response.headers["retry-after"]) > 0


def test_a_failed_request_writes_nothing(failing: tuple[Marketplace, Person, Outage]) -> None:
    place, staff, outage = failing
    outage.on = True
    problem(staff.post(PRODUCTS, GOOD, headers={"Idempotency-Key": "again"}), 503)
    outage.on = False
    answer(staff.post(PRODUCTS, GOOD, headers={"Idempotency-Key": "again"}), 201)
    assert len(answer(place.anybody.get(PRODUCTS))["results"]) == 1


# --- 500


def test_an_internal_error_is_logged_and_not_disclosed(
    place: Marketplace, seller: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(place.views, "record_view", crash)
    made = seller.list()
    caplog.clear()
    response = place.anybody.get(f"{PRODUCTS}{made['id']}/")
    assert "secret" not in str(problem(response, 500))
    assert [record.message for record in caplog.records] == ["unexpected error"]


# --- readiness


def test_healthz_and_readyz_respond(anybody: Visitor) -> None:
    response = anybody.get("/healthz")
    assert answer(response) == {"status": "ok"}
    assert response.headers["cache-control"] == "no-store"
    assert answer(anybody.get("/readyz")) == {
        "status": "ok", "postgresql": "ok", "redis": "ok", "oldest_undecided_seconds": None,
        "accepts_orders": True,
    }  # fmt: skip


def test_an_unreachable_redis_is_reported_as_degraded() -> None:
    with marketplace(readiness=lambda: Readiness(redis="away", oldest_undecided_seconds=12.5)) as place:
        assert answer(place.anybody.get("/readyz")) == {
            "status": "degraded", "postgresql": "ok", "redis": "away", "oldest_undecided_seconds": 12.5,
            "accepts_orders": True,
        }  # fmt: skip


def test_no_response_contains_a_password(anybody: Visitor) -> None:
    made = anybody.post(USERS + "sign-up/", {"email": "quiet@example.com", "password": PASSWORD})
    refused = anybody.post(USERS + "sign-up/", {"email": "quiet@example.com", "password": PASSWORD})
    assert PASSWORD not in made.text + refused.text
