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

SKU: Final = "DEMO-"
"""Where the stock numbers of these wares begin: a product with such a one was made by this demo, in its own market."""
EPOCH_SECONDS: Final = 15
"""Of the policy that prices the wares, in place of a week; its guardrails' durations are as much shorter."""
POLICY: Final = "Demo: learn while you watch"
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
    buyers: float

    @property
    def best_price(self) -> int:
        return self.cost + self.spread

    def probability(self, price: int) -> float:
        """That one visitor buys at this price."""
        return min(1.0, self.buyers * math.exp((self.best_price - price) / self.spread))

    def profit(self, price: int) -> float:
        """Expected of one visitor."""
        return (price - self.cost) * self.probability(price)


@frozen
class Ware:
    """A product of the demo; `start` is the price that it is listed at, `story` what is wrong with it."""

    key: str
    name: str
    category: str
    start: int
    demand: Demand
    story: str

    @property
    def sku(self) -> str:
        return f"{SKU}{self.key}"

    def best(self, currency: str) -> Money:
        return Money(self.demand.best_price, currency)


WARES: Final = (
    Ware("DEAR", "Copper kettle", "home_appliances", 36_00, Demand(10_00, 10_00, 0.25), "far too dear"),
    Ware("CHEAP", "Reading lamp", "electronics", 15_00, Demand(12_00, 12_00, 0.25), "far too cheap"),
    Ware("RIGHT", "Garden chair", "furniture", 30_00, Demand(14_00, 16_00, 0.25), "about right"),
)
"""What a visitor looks at is any of them, equally often."""
