"""Signals, states and policies for tests."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.interface import PricingStrategy, State
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import Signals

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def policy(**more: Any) -> PricingPolicy:
    facts: dict[str, Any] = {"name": "Prices that learn", **more}
    return PricingPolicy.from_document(facts, id=PolicyId(7), seller_id=AccountId(2), created_at=NOW)


def signals(**more: Any) -> Signals:
    """Signals of a product at 100.00 with a cost of 60.00, 1,000 views and 25 sales a week; `more` replaces columns."""
    facts: dict[str, Any] = {
        "product": 1, "price": 100_00, "reference": 100_00, "cost": 60_00, "views": 1_000, "units": 25, **more,
    }  # fmt: skip
    size = max((np.size(value) for value in facts.values()), default=1)
    if size > 1 and np.ndim(facts["product"]) == 0:
        facts["product"] = np.arange(1, size + 1)
    return Signals.of(**facts)


def learned(strategy: PricingStrategy, seen: Signals) -> State:
    """The state of a strategy that begins with these signals."""
    return strategy.update(strategy.start(seen, {}), seen)


def chaos(size: int, seed: int) -> Signals:
    """Random signals over the whole range that a database can hold."""
    rng = np.random.default_rng(seed)

    def perhaps(amounts: Any, share: float = 0.5) -> Any:
        return np.where(rng.random(size) < share, amounts, -1)

    cheap = rng.random(size) < 0.3
    price = np.where(
        cheap, rng.integers(1, 500, size), np.exp(rng.uniform(0, 23, size)).astype(np.int64).clip(1, 9_999_999_999)
    )

    def near(spread: float) -> Any:
        return np.rint(price * np.exp(rng.normal(0, spread, size))).astype(np.int64).clip(1, 9_999_999_999)

    lowest_1d, highest_1d = np.minimum(price, near(0.03)), np.maximum(price, near(0.03))
    views = rng.poisson(np.exp(rng.uniform(-2, 8, size))).astype(float)
    return Signals.of(
        product=rng.integers(1, 2**40, size), group=rng.integers(0, 5, size), price=price, reference=near(0.2),
        cost=perhaps(near(0.5), 0.8), fee=rng.choice([0, 500, 1_250], size), min_price=perhaps(near(0.3)),
        max_price=perhaps(near(0.3)), median_90d=perhaps(near(0.2)), lowest_1d=lowest_1d, highest_1d=highest_1d,
        lowest_30d=np.minimum(lowest_1d, near(0.1)), highest_30d=np.maximum(highest_1d, near(0.1)), views=views,
        units=rng.binomial(views.astype(int), 0.05), days=rng.choice([0.0, 3.5, 7.0], size),
        views_ever=views + rng.choice([0, 29, 1_000], size),
        history_days=rng.choice([1.0, 14.0, 400.0], size, p=[0.1, 0.1, 0.8]),
        since_change=rng.choice([0.0, 6.9, 7.0, 30.0, np.inf], size, p=[0.1, 0.1, 0.4, 0.2, 0.2]),
        since_edit=rng.choice([0.0, 6.9, 7.0, np.inf], size, p=[0.05, 0.05, 0.1, 0.8]),
        stock=rng.choice([0.0, 3.0, 80.0, np.inf], size, p=[0.1, 0.3, 0.3, 0.3]),
        until_promotion=rng.choice([0.5, 29.0, 30.0, np.inf], size, p=[0.05, 0.05, 0.1, 0.8]),
        days_left=rng.choice([0.5, 30.0, np.inf], size), promoted=rng.random(size) < 0.05,
        min_hold_days=rng.choice([0.0, 14.0], size, p=[0.8, 0.2]),
    )  # fmt: skip
