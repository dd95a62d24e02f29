"""The operations in the OpenAPI document, and a valid body for each."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from uuid import UUID

import pytest
from attrs import field, frozen

from adapters.http.framework.problems import MEDIA_TYPE
from tests.unit.support.http_marketplace import PASSWORD, marketplace

_PRODUCT: Final = {
    "name": "Tea pot", "category_id": 1, "price": "10.00", "stock": 5, "brand": "Leaf", "description": "For tea.",
    "cost": 4, "min_price": "8.00", "max_price": 12.5, "stock_until": "2030-01-31T18:00:00Z", "is_active": True,
    "competitor_price": "9.50", "competitor_price_at": "2026-01-01T00:00:00Z",
}  # fmt: skip

EXAMPLES: Final[Mapping[str, Any]] = {
    "signUp": {"email": "new@example.com", "password": PASSWORD, "first_name": "N", "last_name": "E", "bio": "W"},
    "logIn": {"email": "new@example.com", "password": PASSWORD},
    "refreshToken": {"refresh": "refresh:token-1"},
    "verifyToken": {"token": "access:token-1"},
    "editProfile": {"first_name": "Ann", "last_name": "Lee", "bio": "Hello"},
    "changePassword": {"old_password": PASSWORD, "new_password": PASSWORD + "!"},
    "requestPasswordReset": {"email": "new@example.com"},
    "confirmPasswordReset": {"token": "x" * 43, "new_password": PASSWORD + "!"},
    "changeEmail": {"email": "newer@example.com", "password": PASSWORD},
    "confirmEmail": {"token": "x" * 43},
    "deleteProfile": {"password": PASSWORD, "code": "123456"},
    "deleteUser": {"reason": "Asked for it."},
    "beginSecondFactor": {"password": PASSWORD},
    "confirmSecondFactor": {"code": "123456"},
    "renewRecoveryCodes": {"password": PASSWORD, "code": "123456"},
    "disableSecondFactor": {"password": PASSWORD, "code": "123456"},
    "createApiKey": {"name": "Warehouse", "scopes": ["orders:read"], "password": PASSWORD},
    "rotateApiKey": {"password": PASSWORD},
    "deactivateUser": {"reason": "Asked for it."},
    "reactivateUser": {"reason": "Asked for it."},
    "revokeSessionsOfUser": {"reason": "Lost a laptop."},
    "revokeSessionOfUser": {"reason": "Lost a laptop."},
    "cancelOrderOfAnybody": {"reason": "Asked for it by phone."},
    "renameCategory": {"name": "Lamps and shades"},
    "appointStaff": {"reason": "Joined the team.", "password": PASSWORD + "!"},
    "dismissStaff": {"reason": "Left the team."},
    "listProduct": _PRODUCT,
    "putProduct": _PRODUCT,
    "patchProduct": _PRODUCT,
    "importProducts": {"csv": "sku,name,category,price\nA1,Tea pot,1,10.00\n", "dry_run": True},
    "withdrawPrice": {"price": "10.00", "reason": "A typing error", "new_price": "12.00"},
    "adjustStock": {"set": 3, "expected": 5},
    "addCategory": {"name": "Tea"},
    "patchCategory": {"min_hold_days": 1.5},
    "placeOrder": {"order_item": [{"product": 1, "quantity": 2, "price": "10.00"}, {"product": 2, "quantity": 1}]},
    "quotePrices": {"order_item": [{"product": 1, "quantity": 2}]},
    "payOrder": {"payment_method": "sandbox-ok"},
    "createWebhook": {"url": "https://example.com/hooks", "topics": ["order.paid"], "description": "W"},
    "patchWebhook": {"url": "https://example.com/new", "topics": [], "description": "X", "is_active": True},
    "declinePricingRun": {"reason": "Wrong costs."},
    "createPricingPolicy": {
        "name": "Mine",
        "policy": "hill_climb",
        "parameters": {"step": 0.03},
        "guardrails": {"ending": "99"},
        "epoch_seconds": 86_400,
        "fee": 0.08,
        "stock_days": 30,
        "stock_until": "2030-01-31T18:00:00Z",
        "category_id": 1,
        "assigned_only": False,
        "is_shadow": False,
        "is_active": True,
    },
    "startPricingExperiment": {"policy": 1, "kind": "hold_out", "share": 0.2, "weeks": 12, "burn_in_epochs": 1},
    "patchPricingPolicy": {"name": "Ours", "parameters": {}, "is_active": False},
    "createPromotion": {
        "name": "Sale",
        "starts_at": "2030-11-25T00:00:00Z",
        "ends_at": "2030-12-02T00:00:00Z",
        "percent": 20,
        "products": [{"product": 1, "price": "8.00"}],
        "all_products": False,
    },
    "patchPromotion": {"name": "Sales", "ends_at": "2030-12-09T00:00:00Z"},
    "patchPricingOfProduct": {"policy": None, "is_excluded": True},
    "refundOrder": {"lines": [{"product": 1, "quantity": 1}], "restock": False},
}
"""Request bodies by operation id."""


def _in_path(number: object, *, is_uuid: bool) -> str:
    return str(UUID(int=number)) if is_uuid and isinstance(number, int) else str(number)


@frozen
class Endpoint:
    method: str
    template: str
    described: Any = field(repr=False, eq=False)

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    def path(self, number: object = 1) -> str:
        """The path with all its parameters set to `number`, or to the UUID of a number."""
        uuids = {each["name"] for each in self.described["parameters"] if each["schema"].get("format") == "uuid"}
        return re.sub(r"{(\w+)}", lambda match: _in_path(number, is_uuid=match[1] in uuids), self.template)

    @property
    def has_id(self) -> bool:
        return "{" in self.template

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.described

    @property
    def needs_account(self) -> bool:
        return {"bearer": []} in self.described["security"] and {} not in self.described["security"]

    @property
    def heeds_tokens(self) -> bool:
        return bool(self.described["security"])

    @property
    def answers_json(self) -> bool:
        return any("application/json" in each.get("content", {}) for each in self.described["responses"].values())

    @property
    def statuses(self) -> frozenset[int]:
        return frozenset(int(status) for status in self.described["responses"])

    @property
    def problems(self) -> frozenset[int]:
        responses = self.described["responses"].items()
        return frozenset(int(status) for status, each in responses if MEDIA_TYPE in each.get("content", {}))

    @property
    def query_parameters(self) -> list[str]:
        return [each["name"] for each in self.described["parameters"] if each["in"] == "query"]


@cache
def endpoints() -> list[Endpoint]:
    with marketplace() as place:
        paths = place.client.get("/openapi.json").json()["paths"]
    return [
        Endpoint(method.upper(), path, described)
        for path, methods in paths.items()
        for method, described in methods.items()
    ]


def every(meets: Callable[[Endpoint], bool] = lambda _: True) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("endpoint", [each for each in endpoints() if meets(each)], ids=str)


def every_that_takes_a_body() -> pytest.MarkDecorator:
    return every(lambda endpoint: endpoint.has_body)
