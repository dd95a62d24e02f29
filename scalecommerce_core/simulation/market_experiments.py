"""Experiments in simulated markets: runs of production hold out products, and the true lift is known.

`experiment_panels` simulates sales at given prices and is a thousand times faster; here, the engine itself sets the
prices of both arms.
"""

from collections.abc import Callable
from datetime import timedelta

import numpy as np
from attrs import field, frozen

from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.experiments.assignment import hold_out_products
from scalecommerce_core.pricing.experiments.experiment import PricingExperiment
from scalecommerce_core.pricing.experiments.lift import HoldOutProfits, LiftEstimate, estimate_hold_out
from scalecommerce_core.pricing.interface import PricingStrategy
from scalecommerce_core.simulation.experiment_panels import mean_weekly_profits
from scalecommerce_core.simulation.market import OPENING, SimulatedMarket
from scalecommerce_core.simulation.runner import Shop


@frozen(eq=False)
class MarketExperiment:
    """A finished hold-out. `before` and `during` are profits of what was sold, products by weeks, in minor units."""

    category: Whole
    is_held_out: Flags
    before: Floats = field(repr=False)
    during: Floats = field(repr=False)
    own_price: Whole
    last_price: Whole
    lift: float
    """Expected profit of the market with the policy for all products, relative to fixed prices."""

    def estimate(self) -> LiftEstimate | None:
        """The estimate after all weeks."""
        before, during = mean_weekly_profits(self.before), self.during.sum(axis=1)
        return estimate_hold_out(HoldOutProfits(self.category, self.is_held_out, before, during))


def run_market_experiment(
    market: Callable[[], SimulatedMarket],
    strategy: PricingStrategy,
    *,
    weeks_before: int = 26,
    weeks: int = 26,
    share: float = 0.2,
    seed: int = 1,
) -> MarketExperiment:
    """Sell at fixed prices, then run the policy with an experiment; the epochs of the market must be weeks.

    `market` builds equal markets: the true lift is the difference of two more of them.
    """
    shop = Shop(market(), strategy)
    before = _sell(shop, weeks_before, reprice=False)
    product, category = np.arange(1, len(before) + 1), shop.ledger.facts()["category"].copy()
    held = hold_out_products(product, category, before.sum(axis=1), share=share, seed=seed)
    experiment = PricingExperiment(
        id=ExperimentId(1), policy_id=PolicyId(1), seller_id=AccountId(1), policy_version=1,
        started_at=OPENING + timedelta(weeks=weeks_before), epoch=timedelta(weeks=1), seed=seed, share=share,
        weeks=weeks,
    )  # fmt: skip
    with shop.store.begin() as tx:
        tx.experiments.add([experiment])
        tx.experiments.add_products(experiment.id, product, held)
    during = _sell(shop, weeks, reprice=True)
    expected = []
    for each in (Shop(market(), strategy), Shop(market())):
        for _ in range(weeks_before):
            each.sell()
        total = 0.0
        for _ in range(weeks):
            each.reprice()
            total += float(each.sell().earned.sum())
        expected.append(total)
    lift = expected[0] / expected[1] - 1.0
    return MarketExperiment(category, held, before, during, shop.ledger.own_price, shop.ledger.price, lift)


def _sell(shop: Shop, weeks: int, *, reprice: bool) -> Floats:
    """Profit of each product in each week."""
    cost = shop.ledger.facts()["cost"].copy()
    profits = []
    for _ in range(weeks):
        if reprice:
            shop.reprice()
        before = shop.ledger.net_amount - cost * shop.ledger.net_units
        shop.sell()
        profits.append(shop.ledger.net_amount - cost * shop.ledger.net_units - before)
    return np.array(profits, dtype=np.float64).T
