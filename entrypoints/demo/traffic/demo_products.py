"""Products with known demand and wrong prices, which the demo's visitors buy.

A visitor's willingness to pay is exponentially distributed: a visitor who sees the price p buys with the probability
`share_at_best * exp(-(p - best_price) / spread)`. The price with the highest expected profit per visitor is exactly
`cost + spread`, where the derivative of (p - cost) * exp(-p / spread) is zero. So the error of each price is known.
"""

import math
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.money import Money

SKU_PREFIX: Final = "DEMO-"
"""Prefix of the SKUs of the demo products. A product with such an SKU was created by the demo."""
EPOCH_SECONDS: Final = 15
"""Epoch of the demo's pricing policy (a week is the usual one). The durations of its guardrails shrink with it."""
POLICY_NAME: Final = "Demo: learn while you watch"
PARAMETERS: Final = {"level": 0.0005, "slope": 0.0001, "pace": 0.1, "margin": 0.0, "unproven_margin": 0.0}
"""Low drift of the learned demand, because it is constant here; the defaults are for epochs of a week. The start prices
are far from the best ones, so nothing speaks for keeping them."""
GUARDRAILS: Final = {
    # The circuit breaker protects a catalog; here all three products should change at once.
    "breaker_share": 1.0,
    "breaker_mean": 1.0,
    # Runs start up to a second late; a cooldown of a whole epoch would skip every second run.
    "cooldown_days": 3,
    "step": 0.1,
    "day_range": 0.1,
    "month_range": 0.4,
}


@frozen
class Demand:
    """Amounts in minor units. `share_at_best` is the share of visitors who buy at the best price."""

    cost: int
    spread: int
    share_at_best: float

    @property
    def best_price(self) -> int:
        return self.cost + self.spread

    def probability(self, price: int) -> float:
        """Probability that a visitor buys at this price."""
        return min(1.0, self.share_at_best * math.exp((self.best_price - price) / self.spread))

    def expected_profit(self, price: int) -> float:
        """Expected profit per visitor at this price, in minor units."""
        return (price - self.cost) * self.probability(price)


@frozen
class DemoProduct:
    """A product of the demo, listed at `start_price`; `mispricing` describes the error of that price."""

    key: str
    name: str
    category: str
    start_price: int
    demand: Demand
    mispricing: str

    @property
    def sku(self) -> str:
        return f"{SKU_PREFIX}{self.key}"

    def best_price(self, currency: str) -> Money:
        return Money(self.demand.best_price, currency)


DEMO_PRODUCTS: Final = (
    DemoProduct("DEAR", "Copper kettle", "home_appliances", 36_00, Demand(10_00, 10_00, 0.25), "far too dear"),
    DemoProduct("CHEAP", "Reading lamp", "electronics", 15_00, Demand(12_00, 12_00, 0.25), "far too cheap"),
    DemoProduct("RIGHT", "Garden chair", "furniture", 30_00, Demand(14_00, 16_00, 0.25), "about right"),
)
"""Visitors view each of them equally often."""
