"""Makes requests that fit the schema fit the market too: ids that exist, names that are free.

Requests that are meant to be wrong are left as they are.
"""

import os
import random
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import schemathesis
from schemathesis import Case, GenerationMode, HookContext, Response
from schemathesis.generation.meta import TestPhase

PRODUCTS: Final = [int(number) for number in os.environ.get("FUZZ_PRODUCTS", "").split(",") if number]
"""On sale all the time, with plenty of stock; their ids are too large to be guessed."""
CATEGORIES: Final = 20
MANY: Final = 10**6
FEW: Final = 1_000
ORDERS: Final = 30
"""So many orders there will soon be."""
CREDENTIALS: Final = {"email": os.environ.get("FUZZ_EMAIL", ""), "password": os.environ.get("FUZZ_PASSWORD", "")}
NOWHERE: Final = 10**15
HOST_LENGTH: Final = 253
TIFINAGH: Final = [chr(number) for number in range(0x2D30, 0x2D66)]

tokens: Final[dict[str, str]] = {}
"""The newest pair that was given out, by `access` and `refresh`."""


@schemathesis.hook
def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
    if _name(case) in {"logIn", "refreshToken"} and response.status_code == 200:
        tokens.update(response.json())


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _arguments: Mapping[str, Any]) -> None:
    # Found in a list, they would be withdrawn.
    if case.method in {"PUT", "PATCH", "DELETE"} and case.path_parameters.get("id") in PRODUCTS:
        case.path_parameters["id"] = NOWHERE
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    # A cursor is signed, and good for its list only.
    case.query.pop("cursor", None)
    if case.query.get("category"):
        # The catalogue's filter may be repeated; that of a preview is one id.
        case.query["category"] = ["5", "shoes"] if _name(case) == "searchProducts" else "5"
    # A place that the feed has not reached is refused.
    if "after" in case.query:
        case.query["after"] = 0
    # Editions are numbered, so hardly any tag is one that we gave out.
    if case.headers.get("If-Match") not in {None, '"v1"'}:
        del case.headers["If-Match"]
    # Keys that are easily generated are soon used up; some may stay, to come with another request.
    if "Idempotency-Key" in case.headers and random.random() < 0.8:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    # Links lead to orders that exist; random numbers hardly ever do.
    if case.meta.phase.name is TestPhase.FUZZING and case.path.startswith("/orders/") and "id" in case.path_parameters:
        case.path_parameters["id"] = int(case.path_parameters["id"]) % ORDERS + 1
    # There is one run.
    if case.meta.phase.name is TestPhase.FUZZING and "/runs/{id}/" in case.path:
        case.path_parameters["id"] = 1
    name = _name(case)
    if isinstance(case.body, dict) and name in ADAPTED:
        ADAPTED[name](case.body)


def _name(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["operationId"])


def _log_in(body: dict[str, Any]) -> None:
    body.update(CREDENTIALS)


def _refresh(body: dict[str, Any]) -> None:
    # Once: to use it again would end the session.
    body["refresh"] = tokens.pop("refresh", body["refresh"])


def _verify(body: dict[str, Any]) -> None:
    body["token"] = tokens.get("access", body["token"])


def _sign_up(body: dict[str, Any]) -> None:
    body["email"] = f"{uuid.uuid4().hex[:12]}@example.com"
    # Neither common nor like an address or a name, whatever that is.
    body["password"] = "".join(random.choices(TIFINAGH, k=16))


def _product(body: dict[str, Any]) -> None:
    if "category_id" in body:
        body["category_id"] = int(body["category_id"]) % CATEGORIES + 1
    if body.get("sku") is not None:
        body["sku"] = uuid.uuid4().hex
    # What is reserved leaves less room than the bound.
    if "stock" in body:
        body["stock"] = min(body["stock"], MANY)
    bounds = [body[name] for name in ("min_price", "max_price") if body.get(name) is not None]
    if bounds:
        body["min_price"], body["max_price"] = min(bounds, key=_amount), max(bounds, key=_amount)


def _order(body: dict[str, Any]) -> None:
    for item in body["order_item"]:
        item["product"] = PRODUCTS[int(item["product"]) % len(PRODUCTS)]
        # The same product twice is summed, and the stock has to last.
        item["quantity"] = min(item["quantity"], FEW)
        if item.get("price") is not None:
            item["price"] = "9.00"


def _category(body: dict[str, Any]) -> None:
    body["name"] = f"{uuid.uuid4()} {body['name']}"[:100]


def _webhook(body: dict[str, Any]) -> None:
    # Names of hosts are shorter than addresses may be.
    if len(urlsplit(body.get("url") or "").hostname or "") > HOST_LENGTH:
        body["url"] = "https://example.com/hooks"


def _policy(body: dict[str, Any]) -> None:
    """Replace strategies and settings by valid ones, and deactivate the policy: no generated policy may change prices
    of the products that orders name."""
    if "policy" in body or "parameters" in body:
        body["policy"] = "hill_climb"
    for settings, known in (("parameters", "step"), ("guardrails", "step")):
        if settings in body:
            body[settings] = {known: 0.04}
    if body.get("category_id") is not None:
        body["category_id"] = int(body["category_id"]) % CATEGORIES + 1
        body["assigned_only"] = False
    if body.get("assigned_only"):
        body["category_id"] = None
    body["is_active"] = False


def _assignment(body: dict[str, Any]) -> None:
    # Only a policy of the product's own seller would do.
    body["policy"] = None


def _amount(value: Any) -> Decimal:
    return Decimal(str(value))


ADAPTED: Final[Mapping[str, Callable[[dict[str, Any]], None]]] = {
    "signUp": _sign_up,
    "logIn": _log_in,
    "refreshToken": _refresh,
    "verifyToken": _verify,
    "listProduct": _product,
    "putProduct": _product,
    "patchProduct": _product,
    "placeOrder": _order,
    "addCategory": _category,
    "createWebhook": _webhook,
    "patchWebhook": _webhook,
    "createPricingPolicy": _policy,
    "patchPricingPolicy": _policy,
    "patchPricingOfProduct": _assignment,
}
