"""What a simulated market is: rows of products with a demand that the market knows and its policies do not."""

from typing import Protocol

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals


@frozen(eq=False)
class EpochProfit:
    """What an epoch brought, a row per product: expected profit at the prices, and at the best prices."""

    earned: Floats
    best: Floats


class SimulatedMarket(Protocol):
    """One world, made of a seed: markets made alike are alike, whoever sells in them and at which prices."""

    epochs: int
    epoch_days: float
    rails: Guardrails | None
    """None: policies are not guarded here, only kept inside the market's prices."""

    def signals(self) -> Signals:
        """Of the epoch that ended last; before the first one, nothing has been viewed."""
        ...

    def nearest_admissible(self, prices: Floats) -> Whole:
        """The nearest prices that can be charged here."""
        ...

    def sell(self, prices: Whole) -> EpochProfit:
        """Let an epoch pass at these prices."""
        ...


def random_stream(*numbers: int) -> np.random.Generator:
    """Chance of its own for each tuple of numbers, so that what one policy does moves no other draw."""
    return np.random.default_rng(numbers)
