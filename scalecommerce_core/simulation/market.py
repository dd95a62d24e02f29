"""Interface of simulated markets: products with a known demand that is hidden from strategies."""

from typing import Protocol

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals


@frozen(eq=False)
class EpochProfit:
    """Expected profit of an epoch, one element per product: at the charged prices, and at the best prices."""

    earned: Floats
    best: Floats


class SimulatedMarket(Protocol):
    """A market generated from a seed. Two markets with equal arguments have the same random numbers, at any prices."""

    epochs: int
    epoch_days: float
    rails: Guardrails | None
    """None: no guardrails and no anomaly filter; prices are only replaced by the nearest admissible ones."""

    def signals(self) -> Signals:
        """Signals of the last epoch; without views before the first one."""
        ...

    def nearest_admissible(self, prices: Floats) -> Whole:
        """The nearest prices that the market permits."""
        ...

    def sell(self, prices: Whole) -> EpochProfit:
        """Simulate an epoch at these prices (minor units)."""
        ...


def random_stream(*numbers: int) -> np.random.Generator:
    """A random number generator seeded by `numbers`; separate streams keep draws independent of a strategy's prices."""
    return np.random.default_rng(numbers)
