"""What disturbs the signals of a marketplace: outages, promotions, returns, late payments, bots, bulk orders, shocks.

Each friction changes the `Week` before its sales are drawn, or the ledger. Its random numbers depend on the seed and
the week alone, so that all strategies meet the same events.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from attrs import define, field, frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.simulation.ledger import Ledger, days, whole
from scalecommerce_core.simulation.market import OPENS, random_stream

WEEK: Final = days(7.0)
_HOUR: Final = WEEK // 168


@define(eq=False)
class Week:
    """A week of a marketplace, one element per product; frictions change it before its sales are drawn."""

    number: int
    seed: int
    category: Whole
    visits: Floats
    """Expected views."""
    conversion_factor: Floats = field(init=False)
    """Factor of the conversion rates."""
    in_stock: Floats = field(init=False)
    """Share of the week in which each product is in stock."""
    counts_profit: Floats = field(init=False)
    """1, or 0 for products whose profit does not count, because their seller has set the price for this week."""
    bot_views: Whole = field(init=False)
    """Views by visitors who never buy."""
    mean_quantity: float = 1.0
    """Mean units of an order; quantities have a geometric distribution."""
    late_share: float = 0.0
    """Share of the orders that are paid `payment_delay` after the week."""
    payment_delay: int = 0
    """Microseconds."""
    returns: Callable[[Ledger, Whole], None] = lambda _ledger, _units: None
    """Records the returns of units that were sold in this week."""
    _quantities: np.random.Generator = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.conversion_factor, self.in_stock, self.counts_profit = (np.ones(self.products) for _ in range(3))
        self.bot_views = np.zeros(self.products, dtype=np.int64)
        self._quantities = self.random(4)

    @property
    def products(self) -> int:
        return len(self.visits)

    @property
    def begins(self) -> int:
        return OPENS + self.number * WEEK

    @property
    def ends(self) -> int:
        return self.begins + WEEK

    def random(self, *purpose: int) -> np.random.Generator:
        return random_stream(self.seed, 20, self.number, *purpose)

    def draw_units(self, orders: Whole) -> Whole:
        """Units of some orders of each product."""
        if self.mean_quantity == 1.0:
            return orders
        # A geometric quantity is 1 plus the failures before a success; those of several orders add up.
        more = self._quantities.negative_binomial(np.maximum(orders, 1), 1.0 / self.mean_quantity)
        units: Whole = np.where(orders > 0, orders + more, 0)
        return units


class Friction:
    """Does nothing; subclasses override what they need. A friction belongs to one market."""

    def begin(self, week: Week, ledger: Ledger) -> None:
        """Called before the sales of the week."""

    def end(self, week: Week, ledger: Ledger) -> None:
        """Called after the sales of the week."""


class StockOuts(Friction):
    """Deliveries every six weeks; up to half of that time before a delivery, the product is out of stock.

    Views continue during an outage.
    """

    def __init__(self, *, cycle: int = 6, longest: float = 3.0) -> None:
        self._cycle, self._longest = cycle, longest
        self._usual_stock: Whole | None = None

    def begin(self, week: Week, ledger: Ledger) -> None:
        del ledger
        week.in_stock = week.in_stock * (1.0 - self._out(week))

    def _out(self, week: Week) -> Floats:
        """Share of the week, at its end, in which each product is out of stock."""
        phase = random_stream(week.seed, 21).integers(0, self._cycle, week.products)
        place, cycle = (week.number + phase) % self._cycle, (week.number + phase) // self._cycle
        last = random_stream(week.seed, 22).uniform(0.0, self._longest, (week.products, 64))
        out = last[np.arange(week.products), cycle % 64]
        return np.clip(out - (self._cycle - 1 - place), 0.0, 1.0)

    def end(self, week: Week, ledger: Ledger) -> None:
        out = self._out(week)
        ledger.out_of_stock += whole(out * WEEK)
        if self._usual_stock is None:
            self._usual_stock = ledger.stock.copy()
        # The delivery at the end of the cycle arrives after the run.
        ledger.stock = np.where(out > 0.0, 0, self._usual_stock)


class Promotions(Friction):
    """In some weeks, sellers lower a price by 20 % for a week, and more buyers come than the price explains.

    `announced`: promotions are in the calendar a week before; else the prices are changed by hand. The profit of these
    weeks does not count: it is not the engine's.
    """

    def __init__(self, *, announced: bool, share: float = 0.08, discount: float = 0.2, boost: float = 1.5) -> None:
        self._announced, self._share, self._discount, self._boost = announced, share, discount, boost
        self._next: Whole = np.empty(0, dtype=np.int64)
        self._on = self._before = self._next

    def begin(self, week: Week, ledger: Ledger) -> None:
        self._on = self._next
        self._before = ledger.price[self._on]
        lowered = whole(self._before * (1.0 - self._discount))
        ledger.set_prices(self._on, lowered, week.begins + _HOUR, is_manual=not self._announced)
        week.conversion_factor[self._on] *= self._boost
        week.counts_profit[self._on] = 0.0
        self._next = np.flatnonzero(week.random(1).random(week.products) < self._share)
        if self._announced:
            ledger.announce(self._next, week.ends + _HOUR, week.ends + WEEK - _HOUR)

    def end(self, week: Week, ledger: Ledger) -> None:
        ledger.set_prices(self._on, self._before, week.ends - _HOUR, is_manual=not self._announced)


@frozen
class ReturnsAndDelays(Friction):
    """Some units are returned one to three weeks after the week of their order; some orders are paid a week later."""

    returned: float = 0.12
    late: float = 0.3

    def begin(self, week: Week, ledger: Ledger) -> None:
        del ledger
        week.late_share, week.payment_delay = self.late, WEEK // 2
        rng = week.random(6)

        def returns(into: Ledger, units: Whole) -> None:
            left = units
            for delay in (1, 2, 3):
                back = rng.binomial(left, self.returned / 3.0)
                into.refund_later(back, week.ends + delay * WEEK)
                left = left - back

        week.returns = returns


@frozen
class Bots(Friction):
    """Views without intent: a fifth of the usual ones, and in some weeks twice the usual ones."""

    constant: float = 0.2
    burst: float = 2.0
    burst_share: float = 0.05

    def begin(self, week: Week, ledger: Ledger) -> None:
        del ledger
        rng = week.random(2)
        bursts = rng.random(week.products) < self.burst_share
        week.bot_views = week.bot_views + rng.poisson(week.visits * (self.constant + self.burst * bursts))


@frozen
class BulkOrders(Friction):
    """Orders of several units. The variance of the units of a week is `dispersion` times their mean."""

    dispersion: float = 4.1

    def begin(self, week: Week, ledger: Ledger) -> None:
        del ledger
        # A compound Poisson count with geometric quantities of mean q has a dispersion of 2q - 1.
        week.mean_quantity = (self.dispersion + 1.0) / 2.0


class Shocks(Friction):
    """The demand of a category jumps by a random factor and stays there until its next jump, after half a year."""

    def __init__(self, *, share: float = 1 / 26, spread: float = 0.4) -> None:
        self._share, self._spread = share, spread
        self._level: Floats | None = None

    def begin(self, week: Week, ledger: Ledger) -> None:
        del ledger
        rng, categories = week.random(7), int(week.category.max()) + 1
        if self._level is None:
            self._level = np.zeros(categories)
        jumps, new = rng.random(categories) < self._share, rng.normal(0.0, self._spread, categories)
        self._level = np.where(jumps, new, self._level)
        week.conversion_factor = week.conversion_factor * np.exp(self._level)[week.category]


def all_frictions() -> list[Friction]:
    """Everything at once, with promotions that are not announced."""
    return [
        Shocks(), StockOuts(), Promotions(announced=False), ReturnsAndDelays(), Bots(), BulkOrders(),
    ]  # fmt: skip
