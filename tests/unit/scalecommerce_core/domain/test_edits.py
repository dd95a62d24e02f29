"""Edits that change no value do not increase the version, for every versioned aggregate."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.errors import Invalid, VersionMismatch
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, DeliveryId, EndpointId, PolicyId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.webhook import WebhookAnswer, WebhookEndpoint
from scalecommerce_core.pricing.policy import PricingPolicy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def product() -> Product:
    return Product.listed(
        id=ProductId(1),
        seller_id=AccountId(1),
        category_id=CategoryId(1),
        name="Tea pot",
        price=Money.of("10.00", "USD"),
        now=NOW,
        sku="T-1",
        cost=Money.of("5.00", "USD"),
    )


def policy() -> PricingPolicy:
    return PricingPolicy(PolicyId(1), AccountId(1), "Everything", NOW)


def endpoint() -> WebhookEndpoint:
    return WebhookEndpoint.registered(
        id=EndpointId(1),
        owner_id=AccountId(1),
        url="https://example.com/hooks",
        encrypted_secret="encrypted",
        now=NOW,
        verification_id=DeliveryId(1),
        topics=["order.paid", "order.reserved"],
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "Tea pot"},
        {"price": Money.of("10", "USD")},
        {"cost": Money(500, "USD"), "sku": "T-1", "is_active": True, "category_id": CategoryId(1), "max_price": None},
    ],
)
def test_a_product_with_equal_values_is_not_edited(changes: Mapping[str, Any]) -> None:
    edited, untouched = product(), product()
    edited.edit(LATER, **changes)
    assert edited == untouched
    assert edited.events == untouched.events
    assert edited.price_changes == untouched.price_changes


def test_one_field_that_differs_is_an_edit() -> None:
    edited = product()
    edited.edit(LATER, name="Tea pot", cost=None, price=Money.of("10.00", "USD"))
    assert (edited.version, edited.updated_at, edited.cost) == (2, LATER, None)
    assert [event.topic for event in edited.events] == ["product.listed", "product.edited"]


def test_a_refused_edit_changes_nothing() -> None:
    edited, untouched = product(), product()
    for changes in (
        {"name": "", "price": Money.of("12.00", "USD")},
        {"brand": "Kara", "price": Money.of("12.00", "EUR")},
        {"brand": "Kara", "price": None},
    ):
        with pytest.raises(Invalid):
            edited.edit(LATER, **changes)
    assert edited == untouched


def test_a_policy_with_equal_values_is_not_edited() -> None:
    edited, untouched = policy(), policy()
    edited.edit(**untouched.document())
    edited.edit(epoch_seconds=untouched.epoch.total_seconds(), guardrails={})
    assert edited == untouched
    edited.edit(name="Nearly everything", fee=0.0)
    assert edited.version == 2
    with pytest.raises(Invalid):
        edited.edit(name="", fee=0.5)
    assert (edited.name, edited.fee, edited.version) == ("Nearly everything", 0.0, 2)


def test_an_endpoint_with_equal_values_is_not_edited() -> None:
    edited = endpoint()
    # An edit without a change does not reset the failures either, so a pause continues.
    edited.record_results([WebhookAnswer(timedelta(seconds=1), status=500)], NOW)
    failing_since = edited.failing_since
    edited.edit(url="https://example.com/hooks", topics=["order.reserved", "order.paid"], is_active=True)
    assert (edited.version, edited.failures, edited.failing_since) == (1, 1, failing_since)
    with pytest.raises(VersionMismatch):
        edited.edit(expected_version=2, is_active=True)
    edited.edit(url="https://example.com/other")
    assert (edited.version, edited.failures) == (2, 0)


def test_switching_a_disabled_endpoint_off_keeps_the_reason() -> None:
    disabled = endpoint()
    disabled.record_results([WebhookAnswer(timedelta(seconds=1), status=410)], NOW)
    version, reason = disabled.version, disabled.disabled_because
    disabled.edit(is_active=False)
    assert (disabled.version, disabled.disabled_because) == (version, reason)
    assert reason is not None
