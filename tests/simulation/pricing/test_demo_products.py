"""The products of the demo: their prices converge, whatever the first run of the policy has seen."""

import numpy as np
import pytest

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, EPOCH_SECONDS, GUARDRAILS, PARAMETERS
from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.interface import build
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit
from scalecommerce_core.simulation.runner import run

DAY = 86_400
VIEWS_PER_SECOND = 25 / 3
SEEDS = 50


class DemoMarket:
    """The products of the demo, each `SEEDS` times. The first run comes `first_seconds` after the first visitor.

    In epoch `grows_at` traffic becomes seven times as large.
    """

    def __init__(self, *, first_seconds: float, first_views: float, epochs: int, grows_at: int | None = None) -> None:
        self.epochs, self.epoch_days = epochs, EPOCH_SECONDS / DAY
        self.rails: Guardrails | None = build(Guardrails, {**GUARDRAILS, "least_history_days": 0})
        demands = [product.demand for product in DEMO_PRODUCTS] * SEEDS
        self.best = np.array([demand.best_price for demand in demands])
        self.spread = np.array([demand.spread for demand in demands])
        self.cost = np.array([demand.cost for demand in demands])
        start = np.array([product.start_price for product in DEMO_PRODUCTS] * SEEDS)
        self.path: list[Whole] = [start]
        self.rng, self.grows_at, self.views_ever = np.random.default_rng(11), grows_at, np.zeros(len(start))
        self._observe(start, first_seconds, first_views / first_seconds)

    def signals(self) -> Signals:
        return self._seen

    def nearest_admissible(self, prices: Floats) -> Whole:
        return np.rint(prices).astype(np.int64)

    def sell(self, prices: Whole) -> EpochProfit:
        self.path.append(prices)
        grown = self.grows_at is not None and len(self.path) > self.grows_at
        self._observe(prices, EPOCH_SECONDS, VIEWS_PER_SECOND * (7 if grown else 1))
        return EpochProfit(self._profit(prices), self._profit(self.best))

    def _profit(self, prices: Whole) -> Floats:
        earned: Floats = (prices - self.cost) * self._probability(prices)
        return earned

    def _probability(self, prices: Whole) -> Floats:
        probability: Floats = np.minimum(0.25 * np.exp((self.best - prices) / self.spread), 1.0)
        return probability

    def _observe(self, prices: Whole, seconds: float, rate: float) -> None:
        views = self.rng.poisson(rate * seconds, len(prices))
        self.views_ever = self.views_ever + views
        # A month is four epochs of the demo, the 90 days of the median are thirteen.
        month = np.array(self.path[-5:])
        self._seen = Signals.of(
            product=np.arange(1, len(prices) + 1),
            group=np.arange(len(prices)),
            price=prices,
            reference=self.path[0],
            cost=self.cost,
            median_90d=np.median(np.array(self.path[-13:]), axis=0).astype(np.int64),
            lowest_1d=prices,
            highest_1d=prices,
            lowest_30d=month.min(axis=0),
            highest_30d=month.max(axis=0),
            views=views,
            units=self.rng.binomial(views, self._probability(prices)),
            days=seconds / DAY,
            epoch_days=self.epoch_days,
            views_ever=self.views_ever,
            since_change=EPOCH_SECONDS / DAY,
        )


@pytest.mark.parametrize(("first_seconds", "first_views"), [(2, 3), (2, 1), (14, 114)])
@pytest.mark.parametrize("grows_at", [None, 5, 30])
def test_demo_prices_converge_after_any_first_run(
    first_seconds: float, first_views: float, grows_at: int | None
) -> None:
    market = DemoMarket(first_seconds=first_seconds, first_views=first_views, epochs=80, grows_at=grows_at)
    run(build(ElasticityLearning, PARAMETERS), market)
    relative = np.array(market.path) / market.best
    assert np.abs(np.median(relative[40].reshape(SEEDS, -1), axis=0) - 1).max() < 0.1
    assert np.abs(relative[80] - 1).max() < 0.35
