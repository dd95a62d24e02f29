"""Markets with forged signals: an attacker adds views, or purchases that are refunded, to what strategies observe.

True demand and profit stay those of the attacked market, so that the attack's effect is that of the prices it causes.
Attacks on all products at once are the worst case; they know the reference price, which the public price history shows.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit, SimulatedMarket, random_stream

FACTOR: Final = 10.0
"""An attack multiplies the views or purchases of a product by this number."""
CONSTANT_FROM: Final = 0.25
"""Share of the epochs after which the attack `constant views` begins."""
BURST_SHARE: Final = 1 / 8
NO_ATTACK: Final = "no attack"

Amount = Callable[["ForgedMarket", Signals], Floats]
"""The factor by which an attack multiplies each product's views or purchases in the epoch that has ended."""


class ForgedMarket:
    """`market` with forged views (`forged_views`) and refunded purchases (`forged_purchases`).

    The purchases of an epoch are refunded in the next one. Each comes with a view.
    """

    def __init__(
        self,
        market: SimulatedMarket,
        *,
        seed: int,
        forged_views: Amount | None = None,
        forged_purchases: Amount | None = None,
    ) -> None:
        self.epochs, self.epoch_days = market.epochs, market.epoch_days
        self.rails: Guardrails | None = market.rails
        self.week = 0
        self._market, self._seed = market, seed
        self._forged_views, self._forged_purchases = forged_views, forged_purchases
        self._seen = market.signals()
        self._forged_ever = np.zeros(len(self._seen))
        self._to_be_refunded = np.zeros(len(self._seen))

    def signals(self) -> Signals:
        return self._seen

    def nearest_admissible(self, prices: Floats) -> Whole:
        return self._market.nearest_admissible(prices)

    def sell(self, prices: Whole) -> EpochProfit:
        profit = self._market.sell(prices)
        seen = self._market.signals()
        self.week += 1
        nothing, refunded = np.zeros(len(seen)), self._to_be_refunded
        views = nothing if self._forged_views is None else (self._forged_views(self, seen) - 1.0) * seen.views
        purchases = nothing
        if self._forged_purchases is not None:
            purchases = (self._forged_purchases(self, seen) - 1.0) * np.maximum(seen.units, 1.0)
        self._to_be_refunded = purchases
        self._forged_ever = self._forged_ever + views + purchases
        self._seen = seen.with_columns(
            views=seen.views + views + purchases,
            units=seen.units + purchases - refunded,
            refunded=refunded,
            views_ever=seen.views_ever + self._forged_ever,
        )
        return profit

    def random(self) -> Floats:
        """Random numbers of this epoch between 0 and 1, one per product."""
        return random_stream(self._seed, 9, self.week).random(len(self._seen))


def _below(_: ForgedMarket, seen: Signals) -> Floats:
    return np.where(seen.price < seen.reference, FACTOR, 1.0)


def _above(_: ForgedMarket, seen: Signals) -> Floats:
    return np.where(seen.price > seen.reference, FACTOR, 1.0)


def _constant(market: ForgedMarket, seen: Signals) -> Floats:
    return np.full(len(seen), FACTOR if market.week > CONSTANT_FROM * market.epochs else 1.0)


def _bursts(market: ForgedMarket, _: Signals) -> Floats:
    return np.where(market.random() < BURST_SHARE, FACTOR, 1.0)


def _drift(market: ForgedMarket, seen: Signals) -> Floats:
    return np.full(len(seen), FACTOR ** (market.week / market.epochs))


def _alternating(market: ForgedMarket, seen: Signals) -> Floats:
    return np.full(len(seen), FACTOR if market.week % 4 < 2 else 1.0)


def _doubled_below(_: ForgedMarket, seen: Signals) -> Floats:
    return np.where(seen.price < seen.reference, 2.0, 1.0)


ATTACKS: Final[Mapping[str, Mapping[str, Amount]]] = {
    "views below the start price": {"forged_views": _below},
    "views above the start price": {"forged_views": _above},
    "constant views": {"forged_views": _constant},
    "bursts of views": {"forged_views": _bursts},
    "slowly growing views": {"forged_views": _drift},
    "views in two weeks of four": {"forged_views": _alternating},
    "refunded purchases below": {"forged_purchases": _below},
    "refunded purchases above": {"forged_purchases": _above},
    "doubled views below": {"forged_views": _doubled_below},
}
"""Attacks by name: arguments of `ForgedMarket`."""
BEYOND_THE_FILTER: Final = frozenset({"doubled views below"})
"""Attacks that are too weak for the anomaly filter to see. They have no target."""
