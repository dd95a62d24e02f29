"""Hill climbing on profit per view, and price rises for stock that would sell out too soon.

Profit per view determines the direction of a step, and the rate of sales the stock cover. The level of demand alone
never raises a price, because it says nothing about its elasticity.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.categories import estimate_conversions, extend_groups
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.guardrails import price_band
from scalecommerce_core.pricing.interface import Motive, Proposal, State, parameter, register, select_motives
from scalecommerce_core.pricing.signals import Signals

_UNSEEN = np.nan


@register
@frozen
class HillClimb:
    """Holds a price until it has sold enough, then continues in its direction if profit per view rose, else turns."""

    name: ClassVar[str] = "hill_climb"
    columns: ClassVar[Mapping[str, int]] = {
        "at": 1, "views": 1, "units": 1, "weeks": 1, "direction": 1, "before": 1, "free": 1, "cover": 1,
        "recent_views": 1, "recent_units": 1, "recent_days": 1,
    }  # fmt: skip
    step: float = parameter(
        0.04,
        at_least=0.001,
        at_most=0.5,
        says="Relative size of a price change; the circuit breaker reduces larger ones.",
    )
    enough_units: float = parameter(
        25, at_least=1, at_most=10**6, says="Units to sell at a price before its profit is compared."
    )
    longest_weeks: float = parameter(8, at_least=1, at_most=104, says="Longest time at one price, in weeks.")
    elasticity: float = parameter(
        -2.4, at_least=-6, at_most=-1, says="Elasticity of demand, for stock cover and unknown costs."
    )
    smoothing: float = parameter(
        200, at_least=0, at_most=10**6, says="Weight of the category's conversion rate, in views."
    )
    memory_days: float = parameter(
        28.0, at_least=1, at_most=365, says="Time constant with which past views and sales fade, in days."
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        n = len(signals)
        zero = np.zeros(n)
        price = signals.price.astype(np.float64)
        # Half of the products begin with a rise, so that the mean price of a catalog does not change.
        direction = np.where(signals.product % 2 == 0, 1.0, -1.0)
        products = {
            "at": price, "views": zero, "units": zero, "weeks": zero, "direction": direction,
            "before": np.full(n, _UNSEEN), "free": price, "cover": np.full(n, np.inf), "recent_views": zero,
            "recent_units": zero, "recent_days": zero,
        }  # fmt: skip
        return State(products, extend_groups(groups, {"conversion": estimate_conversions(signals, groups)}))

    def update(self, state: State, signals: Signals) -> State:
        was = state.products
        price = signals.price.astype(np.float64)
        moved = price != was["at"]
        climbed = moved & (_Stock.of(state).rests)
        # Use the margin at the previous price.
        ended = _profit_per_view(self._margin(was["at"], signals), was["views"], was["units"])
        kept = self.memory_days / (self.memory_days + signals.days)
        recent = {name: was[f"recent_{name}"] * kept + getattr(signals, name) for name in ("views", "units", "days")}
        usual = state.groups["conversion"][signals.group]
        conversion = (recent["units"] + self.smoothing * usual) / np.maximum(recent["views"] + self.smoothing, 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            cover = signals.stock / (conversion * recent["views"] / recent["days"]) / signals.days_left
        products = {
            "at": price,
            "views": np.where(moved, 0.0, was["views"]) + signals.views,
            "units": np.where(moved, 0.0, was["units"]) + signals.units,
            "weeks": np.where(moved, 0.0, was["weeks"]) + signals.days / 7.0,
            "direction": np.where(climbed, np.sign(price - was["at"]), was["direction"]),
            "before": np.where(climbed, ended, np.where(moved, _UNSEEN, was["before"])),
            "free": np.where(climbed, price, np.minimum(was["free"], price)),
            # Stock divided by expected sales until `days_left`; infinite without an end or without sales.
            "cover": np.where(np.isfinite(cover) & np.isfinite(signals.days_left), cover, np.inf),
            **{f"recent_{name}": values for name, values in recent.items()},
        }  # fmt: skip
        return State(products, state.groups)

    def pool(self, state: State, signals: Signals) -> State:
        """Re-estimate the conversion rate of each category; products are not combined otherwise."""
        views, units = state.products["recent_views"], state.products["recent_units"]
        recent = signals.with_columns(views=views, units=units)
        return State(state.products, {"conversion": estimate_conversions(recent, state.groups)})

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        del epoch
        stock, price = _Stock.of(state), signals.price.astype(np.float64)
        cover, free = state.products["cover"], state.products["free"]
        finite = np.where(np.isfinite(cover) & (cover > 0), cover, 1.0)
        stretch = np.clip(finite ** (1.0 / self.elasticity), 0.9, 1.1)
        climb, motive = self._climbed(state, signals)
        wanted = np.where(stock.rests, climb, price)
        wanted = np.where(stock.eases, np.maximum(price * stretch, free), wanted)
        wanted = np.where(stock.short, price * stretch, wanted)
        motive = select_motives(
            motive, (~stock.rests, Motive.HOLD), (stock.eases, Motive.STOCK_LONG), (stock.short, Motive.STOCK_SHORT)
        )
        return Proposal(wanted, motive)

    def _climbed(self, state: State, signals: Signals) -> tuple[Floats, Whole]:
        was = state.products
        enough = (was["units"] >= self.enough_units) | (was["weeks"] >= self.longest_weeks)
        now = _profit_per_view(self._margin(was["at"], signals), was["views"], was["units"])
        fell = now < was["before"]
        # The last step was prevented, probably by a guardrail that would prevent the next one too.
        stuck = (was["units"] >= 2 * self.enough_units) & (was["weeks"] >= 2) | (was["weeks"] >= 2 * self.longest_weeks)
        direction = np.where(fell ^ stuck, -was["direction"], was["direction"])
        down, up = price_band(signals.price, signals.price, self.step)
        wanted = np.where(enough, np.where(direction > 0, up, down), np.nan)
        motive = select_motives(
            Motive.PROFIT_ROSE, (fell, Motive.PROFIT_FELL), (np.isnan(was["before"]), Motive.TRYING),
            (~enough, Motive.WAITING),
        )  # fmt: skip
        return wanted, motive

    def _margin(self, price: Floats, signals: Signals) -> Floats:
        """Price minus break-even price, which is proportional to the profit of a unit."""
        return price - break_even(signals, self.elasticity)


class _Stock(NamedTuple):
    """Which rule determines each price: `short` and `eases` are stock cover, `rests` is hill climbing."""

    short: Flags
    eases: Flags
    rests: Flags

    @classmethod
    def of(cls, state: State) -> "_Stock":
        cover, at, free = (state.products[name] for name in ("cover", "at", "free"))
        short = cover < 0.85
        stretched = ~short & (at > free)
        return cls(short, stretched & (cover > 1.15), ~short & ~stretched)


def _profit_per_view(margin: Floats, views: Floats, units: Floats) -> Floats:
    """Margin times a smoothed conversion rate, which limits the effect of a single early sale."""
    return margin * (units + 0.5) / (views + 20.0)
