"""The parts of an export of personal data: what is shown of each record of an account, and its JSON."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import asdict

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.audit import AuditEntry
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.promotion import Promotion
from scalecommerce_core.domain.session import Session
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.experiments.experiment import PricingExperiment
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.queries import EndpointView, OrderView, ProductView, SaleView
from scalecommerce_core.services.catalog import PRICE_FIELDS


def to_json(value: object) -> str:
    return json.dumps(value, default=_encode, ensure_ascii=False)


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def profile_document(tx: Transaction, account: Account) -> Mapping[str, Any]:
    factor = tx.second_factors.get_many([account.id]).get(account.id)
    return {
        **asdict(account, filter=lambda attribute, _: attribute.name != "password_hash"),
        "second_factor": None
        if factor is None
        else {"confirmed_at": factor.confirmed_at, "recovery_codes_left": len(factor.recovery_codes)},
        "outgoing_emails": [
            {"kind": email.kind, "recipient": email.recipient, "created_at": email.created_at}
            for email in tx.emails.of_account(account.id)
        ],
    }


def action_document(entry: AuditEntry) -> Mapping[str, Any]:
    return {"kind": entry.action.verb, "reason": entry.reason, "occurred_at": entry.occurred_at}


def session_document(session: Session) -> Mapping[str, Any]:
    """A session without the identifiers of its tokens."""
    hidden = {"id", "account_id", "current", "previous"}
    return asdict(session, filter=lambda attribute, _: attribute.name not in hidden)


def order_document(order: OrderView) -> Mapping[str, Any]:
    lines = [
        {
            "product": line.product,
            "name": line.name,
            "quantity": line.quantity,
            "price": decimal_text(line.price, order.currency),
            "refunded": line.refunded,
        }
        for line in order.lines
    ]
    return {
        "id": order.id,
        "status": order.status,
        "total": decimal_text(order.total, order.currency),
        "currency": order.currency,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
        "lines": lines,
    }


def sale_document(sale: SaleView) -> Mapping[str, Any]:
    return {**asdict(sale), "price": decimal_text(sale.price, sale.currency)}


def product_document(product: ProductView) -> Mapping[str, Any]:
    amounts = {name: getattr(product, name) for name in PRICE_FIELDS}
    return {
        **asdict(
            product, filter=lambda attribute, _: attribute.name not in {"seller", "version", "promotion", *amounts}
        ),
        **{name: None if money is None else str(money) for name, money in amounts.items()},
    }


def policy_document(policy: PricingPolicy) -> Mapping[str, Any]:
    return asdict(policy, filter=lambda attribute, _: attribute.name not in {"seller_id", "version"})


def experiment_document(experiment: PricingExperiment) -> Mapping[str, Any]:
    result = None if experiment.result is None else experiment.result.document()
    return asdict(experiment, filter=lambda attribute, _: attribute.name not in {"seller_id", "result"}) | {
        "result": result
    }


def promotion_document(promotion: Promotion) -> Mapping[str, Any]:
    return asdict(promotion, filter=lambda attribute, _: attribute.name not in {"seller_id", "version", "events"})


def api_key_document(key: ApiKey) -> Mapping[str, Any]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


def endpoint_document(endpoint: EndpointView) -> Mapping[str, Any]:
    return asdict(endpoint, filter=lambda attribute, _: attribute.name not in {"owner", "version"})
