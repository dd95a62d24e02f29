"""Interface of simulated markets: products with a known demand that is hidden from strategies."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.facts import microseconds
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.simulation.ledger import Ledger

OPENING: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""Time of the first run of the policy."""
OPENS: Final = microseconds(OPENING)
"""The same in microseconds since 1970."""
NO_LIMITS: Final = Guardrails(
    least_views=0, least_history_days=0, anomaly_epochs=0, over_median=1e4, unknown_cost_range=1e4, step=1e4,
    day_range=1e4, month_range=1e4, cooldown_days=0, dead_band=0, breaker_share=1, breaker_mean=1e9,
)  # fmt: skip
"""Guardrails that never act, for markets of the literature. A policy document cannot have such wide limits."""


@frozen(eq=False)
class EpochProfit:
    """Expected profit of an epoch in minor units, one element per product: at the charged and at the best prices."""

    earned: Floats
    best: Floats


class SimulatedMarket(ABC):
    """A market generated from a seed. Two markets with equal arguments have the same random numbers, at any prices."""

    epochs: int
    epoch_days: float = 7.0
    rails: Guardrails = Guardrails()
    stock_days: float | None = None
    """`PricingPolicy.stock_days` of the policy."""

    @abstractmethod
    def open(self) -> Ledger:
        """The products before the first run, with what was sold until then."""

    @abstractmethod
    def sell(self, ledger: Ledger) -> EpochProfit:
        """Simulate an epoch at the prices in the ledger, and record in it what was viewed, ordered and refunded."""


def random_stream(*numbers: int) -> np.random.Generator:
    """A random number generator seeded by `numbers`; separate streams keep draws independent of a strategy's prices."""
    return np.random.default_rng(numbers)
