"""Changes generated requests that fit the schema so that they fit the market too: ids that exist, names that are free.
Requests that are intended to be invalid are not changed.
"""

import os
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import schemathesis
from schemathesis import AuthContext, Case, GenerationMode, HookContext, Response
from schemathesis.generation.meta import TestPhase

PRODUCTS: Final = [int(number) for number in os.environ.get("FUZZ_PRODUCTS", "").split(",") if number]
"""Ids of products that stay active, with much stock; generated ids are never this large."""
CATEGORIES: Final = 20
MANY: Final = 10**6
FEW: Final = 1_000
QUOTED: Final = 100
ORDERS: Final = 30
"""The number of orders that exist soon after the start."""
CREDENTIALS: Final = {"email": os.environ.get("FUZZ_EMAIL", ""), "password": os.environ.get("FUZZ_PASSWORD", "")}
TOKEN: Final = os.environ.get("FUZZ_TOKEN", "")
URL: Final = os.environ.get("FUZZ_URL", "")
ACCOUNT: Final = int(os.environ.get("FUZZ_ACCOUNT", "0"))
"""The account whose id requests of staff contain, so that they do not end the access of the campaign's own account."""
ENDING: Final = frozenset(
    {
        *("logOut", "revokeSession", "revokeOtherSessions", "changePassword", "changeEmail", "deleteProfile"),
        *("beginSecondFactor", "confirmSecondFactor", "disableSecondFactor", "renewRecoveryCodes"),
    }
)
"""Operations that may end the caller's access; each request is sent in a new session of another account."""
NOWHERE: Final = 10**15
HOST_LENGTH: Final = 253
TIFINAGH: Final = [chr(number) for number in range(0x2D30, 0x2D66)]

spare: Final[dict[str, str]] = {}
"""E-mail address and password of the spare account."""
tokens: Final[dict[str, str]] = {}
"""The newest pair of tokens, by `access` and `refresh`."""


@schemathesis.auth(refresh_interval=None)
class Tokens:
    """The access token of each request; the campaign's own, unless the request may end its session."""

    def get(self, case: Case[Any], _context: AuthContext) -> str:
        return _new_session() if _name(case) in ENDING else TOKEN

    def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
    if _name(case) in {"logIn", "refreshToken"} and response.status_code == 200:
        tokens.update(response.json())


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _arguments: Mapping[str, Any]) -> None:
    name = _name(case)
    if case.path.startswith("/users/api/v1/{id}/"):
        case.path_parameters["id"] = ACCOUNT
    # Requests may contain ids from responses: do not edit or withdraw the products that orders use.
    if case.method in {"PUT", "PATCH", "DELETE"} and case.path_parameters.get("id") in PRODUCTS:
        case.path_parameters["id"] = NOWHERE
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    # A generated cursor has no valid signature.
    case.query.pop("cursor", None)
    if case.query.get("category"):
        # The filter of the catalog may be repeated; the filter of a preview is one id.
        case.query["category"] = ["5", "shoes"] if _name(case) == "searchProducts" else "5"
    # The first policy exists; others select no product.
    if name == "listOwnProducts" and "policy" in case.query:
        case.query["policy"] = random.choice([1, NOWHERE])
    # A position that the feed has not reached is rejected.
    if "after" in case.query:
        case.query["after"] = 0
    # A generated entity tag hardly ever equals one of a response.
    if case.headers.get("If-Match") not in {None, '"v1"'}:
        del case.headers["If-Match"]
    # Short generated keys repeat, and a key of another request is rejected, so most keys are replaced by unique ones.
    if "Idempotency-Key" in case.headers and random.random() < 0.8:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    # Ids from links are those of existing orders; random ids hardly ever are.
    is_order = case.path.startswith(("/orders/", "/operations/api/v1/orders/"))
    if case.meta.phase.name is TestPhase.FUZZING and is_order and "id" in case.path_parameters:
        case.path_parameters["id"] = int(case.path_parameters["id"]) % ORDERS + 1
    # The only run has this id.
    if case.meta.phase.name is TestPhase.FUZZING and "/runs/{id}/" in case.path:
        case.path_parameters["id"] = 1
    if isinstance(case.body, dict) and name in ADAPTED:
        ADAPTED[name](case.body)


def _name(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["operationId"])


def _new_session() -> str:
    """Log in to the spare account, or to a new one if it was deleted; return an access token."""
    if "email" not in spare or not (logged_in := httpx2.post(f"{URL}/users/api/v1/token/", json=spare)).is_success:
        spare.update(email=f"{uuid.uuid4().hex[:12]}@example.com", password=CREDENTIALS["password"])
        httpx2.post(f"{URL}/users/api/v1/sign-up/", json=spare).raise_for_status()
        logged_in = httpx2.post(f"{URL}/users/api/v1/token/", json=spare).raise_for_status()
    return str(logged_in.json()["access"])


def _log_in(body: dict[str, Any]) -> None:
    body.pop("code", None)
    body.update(CREDENTIALS)


def _confirm_by_password(body: dict[str, Any]) -> None:
    body["password"] = CREDENTIALS["password"]


def _refresh(body: dict[str, Any]) -> None:
    # Use each refresh token once: a second use would end the session.
    body["refresh"] = tokens.pop("refresh", body["refresh"])


def _verify(body: dict[str, Any]) -> None:
    body["token"] = tokens.get("access", body["token"])


def _sign_up(body: dict[str, Any]) -> None:
    body["email"] = f"{uuid.uuid4().hex[:12]}@example.com"
    body["password"] = _password()


def _password() -> str:
    """In letters of another script, it is neither common nor similar to the account's texts."""
    return "".join(random.choices(TIFINAGH, k=16))


def _product(body: dict[str, Any]) -> None:
    if "category_id" in body:
        body["category_id"] = int(body["category_id"]) % CATEGORIES + 1
    if body.get("sku") is not None:
        body["sku"] = uuid.uuid4().hex
    # A generated time is rarely in the future, or often before 1970.
    body.pop("stock_until", None)
    body.pop("competitor_price_at", None)
    # Reserved units lower the limit of the stock below the limit of the schema.
    if "stock" in body:
        body["stock"] = min(body["stock"], MANY)
    bounds = [body[name] for name in ("min_price", "max_price") if body.get(name) is not None]
    if bounds:
        body["min_price"], body["max_price"] = min(bounds, key=_amount), max(bounds, key=_amount)


def _order(body: dict[str, Any]) -> None:
    for item in body["order_item"]:
        item["product"] = PRODUCTS[int(item["product"]) % len(PRODUCTS)]
        # Lines of one product are summed, and the stock must suffice for all orders.
        item["quantity"] = min(item["quantity"], FEW)
        if item.get("price") is not None:
            item["price"] = "9.00"
        # A generated quote has no valid signature.
        item.pop("quote", None)


def _quote(body: dict[str, Any]) -> None:
    _order(body)
    for item in body["order_item"]:
        item["quantity"] = min(item["quantity"], QUOTED)


def _api_key(body: dict[str, Any]) -> None:
    _confirm_by_password(body)
    body["scopes"] = ["products:read"]
    # A generated time is rarely in the future.
    body.pop("expires_at", None)


def _appoint(body: dict[str, Any]) -> None:
    body["password"] = _password()


def _withdraw(body: dict[str, Any]) -> None:
    body["price"], body["new_price"] = "9.00", "9.50"


def _import(body: dict[str, Any]) -> None:
    body["csv"] = f"sku,name,category,price\n{uuid.uuid4().hex},Tea pot,1,9.00\n"


def _category(body: dict[str, Any]) -> None:
    body["name"] = f"{uuid.uuid4()} {body['name']}"[:100]


def _webhook(body: dict[str, Any]) -> None:
    # A host name may be shorter than the schema allows for a URL.
    if len(urlsplit(body.get("url") or "").hostname or "") > HOST_LENGTH:
        body["url"] = "https://example.com/hooks"


def _policy(body: dict[str, Any]) -> None:
    """Replace strategies and settings by valid ones, and deactivate the policy: no generated policy may change prices
    of the products that orders name."""
    # A generated time is rarely in the future.
    body.pop("stock_until", None)
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
    # Only a policy of the product's seller would be accepted.
    body["policy"] = None


def _promotion(body: dict[str, Any]) -> None:
    """Promotions without prices, at times that rarely overlap."""
    starts_at = datetime.now(UTC) + timedelta(hours=random.randrange(24, 80_000))
    body["starts_at"], body["ends_at"] = starts_at.isoformat(), (starts_at + timedelta(hours=1)).isoformat()
    for name in ("category_id", "all_products", "percent", "seller"):
        body.pop(name, None)
    body["products"] = [{"product": random.choice(PRODUCTS)}]


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
    "quotePrices": _quote,
    "importProducts": _import,
    "withdrawPrice": _withdraw,
    "createApiKey": _api_key,
    "rotateApiKey": _confirm_by_password,
    "appointStaff": _appoint,
    "changeEmail": _confirm_by_password,
    "deleteProfile": _confirm_by_password,
    "beginSecondFactor": _confirm_by_password,
    "addCategory": _category,
    "renameCategory": _category,
    "createWebhook": _webhook,
    "patchWebhook": _webhook,
    "createPricingPolicy": _policy,
    "patchPricingPolicy": _policy,
    "patchPricingOfProduct": _assignment,
    "createPromotion": _promotion,
}
