"""What the demo's visitors look at: products whose demand is known, mispriced on purpose.

A visitor's willingness to pay is exponentially distributed, so that one who sees the price p buys with the probability
`buyers * exp(-(p - best) / spread)`, and the price that earns most per visitor is the cost plus `spread`, exactly
(the derivative of (p - cost) * exp(-p / spread) is zero there). So each price's error is known, which no real shop
ever knows.
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
PARAMETERS: Final = {"level": 0.0005, "slope": 0.0001, "pace": 0.1}
"""Nothing drifts here: what is learned may be trusted longer than in a world where epochs are weeks."""
GUARDRAILS: Final = {
    # Three products that were mispriced on purpose are no catalogue: of those, many should move at once.
    "breaker_share": 1.0,
    "breaker_mean": 1.0,
    # Runs begin up to a second late; a price that rests a whole epoch would sit every other one out.
    "cooldown_days": 3,
    "step": 0.1,
    "day_range": 0.1,
    "month_range": 0.4,
}


@frozen
class Demand:
    """Amounts in minor units. `buyers` is the share of visitors who buy at the best price."""

    cost: int
    spread: int
    share_at_best: float

    @property
    def best_price(self) -> int:
        return self.cost + self.spread

    def probability(self, price: int) -> float:
        """That one visitor buys at this price."""
        return min(1.0, self.share_at_best * math.exp((self.best_price - price) / self.spread))

    def expected_profit(self, price: int) -> float:
        """Expected of one visitor."""
        return (price - self.cost) * self.probability(price)


@frozen
class DemoProduct:
    """A product of the demo; `start` is the price that it is listed at, `story` what is wrong with it."""

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
"""What a visitor looks at is any of them, equally often."""
