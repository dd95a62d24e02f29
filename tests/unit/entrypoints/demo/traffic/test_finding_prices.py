"""The demo's policy with its guardrails finds the best prices within minutes, in a calculation epoch by epoch."""

from datetime import UTC, datetime

import numpy as np
import pytest

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, EPOCH_SECONDS, GUARDRAILS, PARAMETERS, POLICY_NAME
from entrypoints.demo.traffic.run import VISITS_PER_SECOND
from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.decisions import decide
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import Signals

MINUTES = 6
DAY = EPOCH_SECONDS / 86_400
MONTH, QUARTER = 5, 13
"""Numbers of epochs; an epoch represents a week."""


def prices(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The price of each product at the end of each epoch."""
    chance = np.random.default_rng(seed)
    policy = PricingPolicy.from_document(
        {
            "name": POLICY_NAME,
            "parameters": {**PARAMETERS, "seed": seed},
            "guardrails": GUARDRAILS,
            "epoch_seconds": EPOCH_SECONDS,
        },
        id=PolicyId(1),
        seller_id=AccountId(1),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    rules, demand, state = policy.strategy(), [product.demand for product in DEMO_PRODUCTS], None
    now = np.array([product.start_price for product in DEMO_PRODUCTS])
    reference, past, age = now, [now], np.full(len(DEMO_PRODUCTS), 1_000.0)
    for epoch in range(MINUTES * 60 // EPOCH_SECONDS):
        views = chance.poisson(VISITS_PER_SECOND * EPOCH_SECONDS / len(DEMO_PRODUCTS), len(DEMO_PRODUCTS))
        chances = [each.probability(int(price)) for each, price in zip(demand, now, strict=True)]
        seen = Signals.of(
            product=np.arange(len(DEMO_PRODUCTS)),
            group=np.arange(len(DEMO_PRODUCTS)),
            price=now,
            reference=reference,
            cost=[each.cost for each in demand],
            views=views,
            units=chance.binomial(views, chances),
            days=DAY,
            history_days=(epoch + 1) * DAY,
            since_change=age * DAY,
            median_90d=np.median(past[-QUARTER:], axis=0).astype(np.int64),
            lowest_1d=now,
            highest_1d=now,
            lowest_30d=np.min(past[-MONTH:], axis=0),
            highest_30d=np.max(past[-MONTH:], axis=0),
        )
        state = rules.update(rules.start(seen, {}) if state is None else state, seen)
        new = decide(policy, state, seen, epoch, strategy=rules).new
        age = np.where(new == now, age + 1, 1.0)
        now = new
        past.append(now)
    return np.array(past)


@pytest.mark.parametrize("seed", range(5))
def test_each_price_converges_to_the_best_price(seed: int) -> None:
    last = prices(seed)[-8:]
    for product, found in zip(DEMO_PRODUCTS, last.T, strict=True):
        earned = np.mean([product.demand.expected_profit(int(price)) for price in found])
        assert earned > 0.88 * product.demand.expected_profit(product.demand.best_price), product.key
        assert found.mean() == pytest.approx(product.demand.best_price, rel=0.25)


def test_mispriced_products_earn_more_after_repricing() -> None:
    last = prices(1)[-8:].mean(axis=0)
    for product, found in list(zip(DEMO_PRODUCTS, last, strict=True))[:2]:
        assert product.demand.expected_profit(int(found)) > 1.2 * product.demand.expected_profit(product.start_price)
