"""Markets with forged signals: an attacker adds views, or purchases that are refunded, to what strategies observe.

True demand and profit stay those of the attacked market, so that the attack's effect is that of the prices it causes.
Attacks on all products at once are the worst case; they know the reference price, which the public price history shows.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.simulation.ledger import Ledger, days, whole
from scalecommerce_core.simulation.market import OPENS, EpochProfit, SimulatedMarket, random_stream

FACTOR: Final = 10.0
"""An attack multiplies the views or purchases of a product by this number."""
CONSTANT_FROM: Final = 0.25
"""Share of the epochs after which the attack `constant views` begins."""
BURST_SHARE: Final = 1 / 8
NO_ATTACK: Final = "no attack"

Amount = Callable[["ForgedMarket", Ledger], Floats]
"""The factor by which an attack multiplies each product's views or purchases in the epoch that ends."""


class ForgedMarket(SimulatedMarket):
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
        self.epochs, self.epoch_days, self.rails = market.epochs, market.epoch_days, market.rails
        self.week = 0
        self._market, self._seed = market, seed
        self._forged_views, self._forged_purchases = forged_views, forged_purchases

    def open(self) -> Ledger:
        return self._market.open()

    def sell(self, ledger: Ledger) -> EpochProfit:
        profit = self._market.sell(ledger)
        self.week += 1
        views, units = ledger.epoch_views.copy(), ledger.epoch_units.copy()
        if self._forged_views is not None:
            ledger.add_views(whole((self._forged_views(self, ledger) - 1.0) * views))
        if self._forged_purchases is not None:
            bought = whole((self._forged_purchases(self, ledger) - 1.0) * np.maximum(units, 1))
            ledger.add_views(bought)
            ledger.add_orders(bought, bought)
            ledger.refund_later(bought, OPENS + days(self.epoch_days * (self.week + 1)))
        return profit

    def random(self, size: int) -> Floats:
        """Random numbers of this epoch between 0 and 1, one per product."""
        return random_stream(self._seed, 9, self.week).random(size)


def _below(_: ForgedMarket, ledger: Ledger) -> Floats:
    return np.where(ledger.price < ledger.start_price, FACTOR, 1.0)


def _above(_: ForgedMarket, ledger: Ledger) -> Floats:
    return np.where(ledger.price > ledger.start_price, FACTOR, 1.0)


def _constant(market: ForgedMarket, ledger: Ledger) -> Floats:
    return np.full(len(ledger), FACTOR if market.week > CONSTANT_FROM * market.epochs else 1.0)


def _bursts(market: ForgedMarket, ledger: Ledger) -> Floats:
    return np.where(market.random(len(ledger)) < BURST_SHARE, FACTOR, 1.0)


def _drift(market: ForgedMarket, ledger: Ledger) -> Floats:
    return np.full(len(ledger), FACTOR ** (market.week / market.epochs))


def _alternating(market: ForgedMarket, ledger: Ledger) -> Floats:
    return np.full(len(ledger), FACTOR if market.week % 4 < 2 else 1.0)


def _doubled_below(_: ForgedMarket, ledger: Ledger) -> Floats:
    return np.where(ledger.price < ledger.start_price, 2.0, 1.0)


def _doubled_above(_: ForgedMarket, ledger: Ledger) -> Floats:
    return np.where(ledger.price > ledger.start_price, 2.0, 1.0)


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
    "doubled views above": {"forged_views": _doubled_above},
}
"""Attacks by name: arguments of `ForgedMarket`."""
