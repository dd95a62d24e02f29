"""Fingerprints of idempotent requests cover the decoded request, not its bytes."""

import hashlib
import json
from typing import Any

import msgspec
import pytest

from adapters.http.app import operations
from adapters.http.dependencies import Dependencies
from adapters.http.framework.decoding import decode_body
from adapters.http.framework.idempotency_key import compute_fingerprint
from adapters.http.framework.operation import Operation
from adapters.http.framework.validation import nested_types
from adapters.http.resources.categories import NewCategory
from adapters.http.resources.orders import NewOrder, RefundBody
from adapters.http.resources.pricing_policies import NewPolicy
from adapters.http.resources.products import NewProduct
from adapters.http.resources.stock import StockBody
from adapters.http.resources.webhooks import NewEndpoint
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryRateLimiter,
    MemoryStore,
    MemoryViewCounter,
    RecordedSecurityEvents,
    in_memory_market,
)
from tests.unit.support.http_marketplace import ORDERS, Marketplace, Person, all_is_well, answer, problem
from tests.unit.support.http_operations import EXAMPLES


def fingerprint(body: str, wanted: type[msgspec.Struct]) -> bytes:
    return compute_fingerprint("POST", "/x/", decode_body(body.encode(), wanted))


ORDER = '{"order_item":[{"product":1,"quantity":2,"price":"19.90"}]}'
PRODUCT = '{"name":"\u00dcmi","category_id":5,"price":"19.90"}'
POLICY = '{"name":"Mine","parameters":{"step":0.03,"window":4},"guardrails":{"ending":"99"}}'


@pytest.mark.parametrize(
    ("wanted", "body", "same"),
    [
        (NewOrder, ORDER, '{ "order_item" : [ {"price":"19.90","quantity":2,"product":1} ] }\n'),
        (NewOrder, ORDER, '{"order_item":[{"product":1,"quantity":2,"price":19.9}]}'),
        (NewOrder, ORDER, '{"order_item":[{"product":1,"quantity":2,"price":19.90}]}'),
        (NewOrder, ORDER, '{"order_item":[{"product":1.0,"quantity":2e0,"price":"19.9"}]}'),
        (NewOrder, ORDER, '{"order_item":[{"product":1,"quantity":2,"price":"19.90","gift":true}],"note":"x"}'),
        (
            NewOrder,
            '{"order_item":[{"product":1,"quantity":2}]}',
            '{"order_item":[{"product":1,"quantity":2,"price":null}]}',
        ),
        (NewProduct, PRODUCT, '{"price":19.9,"category_id":5,"name":"\\u00dc\\u006di"}'),
        (NewProduct, PRODUCT, PRODUCT[:-1] + ',"stock":0,"brand":"","is_active":true,"sku":null}'),
        (RefundBody, '{"lines":[{"product":1,"quantity":1}]}', '{"restock":true,"lines":[{"quantity":1,"product":1}]}'),
        (NewEndpoint, '{"url":"https://example.com/"}', '{"topics":[],"url":"https:\\/\\/example.com\\/"}'),
        (NewPolicy, POLICY, '{"guardrails":{"ending":"99"},"parameters":{"window":4.0,"step":3e-2},"name":"Mine"}'),
        (NewPolicy, POLICY, POLICY.replace("0.03", "0.0300")),
        (StockBody, '{"set":40,"expected":37}', '{"expected":37,"set":40}'),
        (NewCategory, '{"name":"Tea"}', '\t{"name":"T\\u0065a"}'),
    ],
)
def test_equivalent_requests_have_equal_fingerprints(wanted: type[msgspec.Struct], body: str, same: str) -> None:
    assert fingerprint(body, wanted) == fingerprint(same, wanted)


@pytest.mark.parametrize(
    ("wanted", "body", "other"),
    [
        (NewOrder, ORDER, ORDER.replace("19.90", "19.91")),
        (NewOrder, ORDER, '{"order_item":[{"product":1,"quantity":2}]}'),
        (NewOrder, ORDER, '{"order_item":[{"product":2,"quantity":1,"price":"19.90"}]}'),
        (
            NewOrder,
            '{"order_item":[{"product":1,"quantity":1},{"product":2,"quantity":1}]}',
            '{"order_item":[{"product":2,"quantity":1},{"product":1,"quantity":1}]}',
        ),
        (NewProduct, PRODUCT, PRODUCT[:-1] + ',"stock":1}'),
        (NewProduct, PRODUCT, PRODUCT[:-1] + ',"is_active":false}'),
        (
            RefundBody,
            '{"lines":[{"product":1,"quantity":1}]}',
            '{"lines":[{"product":1,"quantity":1}],"restock":false}',
        ),
        (NewPolicy, POLICY, POLICY.replace("0.03", "0.031")),
        (NewPolicy, POLICY, POLICY.replace("0.03", '"0.03"')),
        (NewPolicy, POLICY, POLICY.replace('"99"', "99")),
        (NewPolicy, '{"name":"Mine"}', '{"name":"Mine","stock_days":null}'),
        (StockBody, '{"set":40}', '{"delta":40}'),
        (StockBody, '{"set":40}', '{"set":40,"expected":40}'),
    ],
)
def test_different_requests_have_different_fingerprints(wanted: type[msgspec.Struct], body: str, other: str) -> None:
    assert fingerprint(body, wanted) != fingerprint(other, wanted)


def test_the_fingerprint_covers_method_and_path() -> None:
    assert len({compute_fingerprint(method, path, None) for method in ("POST", "PUT") for path in ("/a/", "/b/")}) == 4


@pytest.fixture
def declared() -> list[Operation]:
    market = in_memory_market(memory=MemoryStore())
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
    return [each for each in operations(dependencies) if each.idempotent and each.body is not None]


def test_an_explicit_default_does_not_change_the_fingerprint(declared: list[Operation]) -> None:
    structs = [
        each.cls
        for operation in declared
        for each in nested_types(operation.body)
        if isinstance(each, msgspec.inspect.StructType)
    ]
    assert {*structs} >= {NewProduct, NewOrder, NewPolicy}
    checked = 0
    for struct in structs:
        fields = msgspec.structs.fields(struct)
        required = {each.name: None for each in fields if each.required}
        for each in fields:
            default = each.default if each.default_factory is msgspec.NODEFAULT else each.default_factory()
            if default is not msgspec.NODEFAULT and default is not msgspec.UNSET:
                # An equal but distinct object, as decoded from JSON.
                given = msgspec.json.decode(msgspec.json.encode(default))
                assert each.name not in msgspec.to_builtins(struct(**required, **{each.name: given}))
                checked += 1
    assert checked > 10


def test_an_idempotent_body_that_encodes_defaults_is_rejected_at_declaration() -> None:
    class Careless(msgspec.Struct):
        count: int = 1

    with pytest.raises(ValueError, match="omit_defaults"):
        Operation(
            method="POST", path="/x/", name="x", summary="", handler=None, responses={}, tag="",  # type: ignore[arg-type]
            body=Careless, idempotent=True,
        )  # fmt: skip


# --- over HTTP


def otherwise_written(document: Any) -> bytes:
    """The same JSON with its names in the reverse order, white space, and every character of a text escaped."""
    match document:
        case dict():
            pairs = [otherwise_written(k) + b" :\n" + otherwise_written(v) for k, v in reversed(document.items())]
            return b"{ " + b" ,\t".join(pairs) + b" }"
        case list():
            return b"[ " + b" , ".join(map(otherwise_written, document)) + b" ]"
        case str():
            return ('"' + "".join(f"\\u{ord(character):04x}" for character in document) + '"').encode()
        case _:
            return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("listProduct", "/products/api/v1/"),
        ("adjustStock", "/products/api/v1/{product}/stock/"),
        ("addCategory", "/products/api/v1/categories/"),
        ("createPricingPolicy", "/pricing/api/v1/policies/"),
        ("placeOrder", "/orders/api/v1/"),
        ("refundOrder", "/orders/api/v1/{order}/refunds/"),
        ("createWebhook", "/webhooks/api/v1/"),
    ],
)
def test_an_equivalent_repetition_gets_the_first_response(
    place: Marketplace, staff: Person, buyer: Person, name: str, path: str
) -> None:
    products = [staff.list(stock=5)["id"] for _ in range(2)]
    path = path.format(product=products[0], order=place.sell(buyer, (products[0], 1), (products[1], 1))["id"])
    text = json.dumps(EXAMPLES[name])
    document = json.loads(
        text.replace('"product": 1', f'"product": {products[0]}').replace('"expected": 5', '"expected": 4')
    )
    headers = {"Idempotency-Key": name, "Content-Type": "application/json"}
    first = staff.send("POST", path, content=json.dumps(document), headers=headers)
    assert first.status_code in {200, 201, 202}, first.text
    again = staff.send("POST", path, content=otherwise_written(document), headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    changed = {**document, "name": "Other"} if "name" in document else change(document)
    problem(staff.send("POST", path, json=changed, headers=headers), 422)


def change(document: dict[str, Any]) -> dict[str, Any]:
    """A request that differs from `document`."""
    if "url" in document:
        return {**document, "url": "https://example.com/other"}
    if "set" in document:
        return {**document, "set": document["set"] + 1}
    name = "lines" if "lines" in document else "order_item"
    first, *others = document[name]
    return {**document, name: [{**first, "quantity": 9}, *others]}


@pytest.mark.parametrize("action", ["rotate-secret", "test"])
def test_an_undeclared_body_does_not_change_the_fingerprint(buyer: Person, action: str) -> None:
    made = answer(buyer.post("/webhooks/api/v1/", {"url": "https://example.com/"}), 201)
    path, headers = f"/webhooks/api/v1/{made['id']}/{action}/", {"Idempotency-Key": action}
    first, again = buyer.post(path, headers=headers), buyer.post(path, {}, headers=headers)
    assert first.is_success
    assert (again.status_code, again.content) == (first.status_code, first.content)


def test_a_key_from_before_the_upgrade_is_replayed(place: Marketplace, seller: Person, buyer: Person) -> None:
    body = json.dumps({"order_item": [{"quantity": 1, "product": seller.list()["id"]}]}).encode()
    headers = {"Idempotency-Key": "before", "Content-Type": "application/json"}
    first = buyer.send("POST", ORDERS, content=body, headers=headers)
    assert isinstance(place.market.store, MemoryStore)
    stored = place.market.store.tables.keys._rows[AccountId(buyer.id), "before"]
    # As version 0.1.0 computed it.
    stored.fingerprint = hashlib.sha256(b"\0".join((b"POST", ORDERS.encode(), body))).digest()
    again = buyer.send("POST", ORDERS, content=body, headers=headers)
    assert (again.status_code, again.content) == (202, first.content)
    problem(buyer.send("POST", ORDERS, content=body.replace(b'"quantity": 1', b'"quantity": 2'), headers=headers), 422)
