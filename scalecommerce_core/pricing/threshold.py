"""Threshold rule: "if fewer than X units are sold in N days, lower the price by 3 %".

It is a control rule and does not maximize profit: the level of demand says nothing about its elasticity. In
simulations it earns less than fixed prices. It acts only on statistically significant differences.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.interface import Motive, Proposal, State, parameter, register, select_motives
from scalecommerce_core.pricing.signals import Signals

_SURE = 1.64
"""Standard deviations of a Poisson count: a one-sided probability of 5 %."""


@register
@frozen
class Threshold:
    """Lowers prices of products that sell clearly less than the target, and raises those that sell clearly more."""

    name: ClassVar[str] = "threshold"
    columns: ClassVar[Mapping[str, int]] = {"at": 1, "days": 1, "views": 1, "units": 1}
    measure: str = parameter(
        "units", choices=("units", "conversion"), says="What is compared: units sold, or conversion (units per view)."
    )
    wanted: float = parameter(10.0, at_least=0, at_most=10**9, says="Target: units in the window, or units per view.")
    window_days: int = parameter(7, at_least=1, at_most=30, says="Length of the window in days.")
    step: float = parameter(0.03, at_least=0.001, at_most=0.5, says="Relative size of a price change.")
    raises: bool = parameter(True, says="Also raise prices of products that sell clearly more than the target.")

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del groups
        zero = np.zeros(len(signals))
        return State({"at": signals.price.astype(np.float64), "days": zero, "views": zero, "units": zero})

    def update(self, state: State, signals: Signals) -> State:
        was, price = state.products, signals.price.astype(np.float64)
        anew = (price != was["at"]) | (was["days"] >= self.window_days)
        counted = {name: np.where(anew, 0.0, was[name]) + getattr(signals, name) for name in ("days", "views", "units")}
        return State({"at": price, **counted})

    def pool(self, state: State, signals: Signals) -> State:
        """Return `state`: the target is a parameter."""
        del signals
        return state

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        del epoch
        days, views, units = (state.products[name] for name in ("days", "views", "units"))
        expected = self.wanted * (views if self.measure == "conversion" else days / self.window_days)
        over = (units - expected) / np.sqrt(np.maximum(expected, 1e-9))
        full = days >= self.window_days
        below = full & (over <= -_SURE)
        above = full & (over >= _SURE) & self.raises
        factor = np.where(below, 1.0 - self.step, np.where(above, 1.0 + self.step, np.nan))
        motive = select_motives(
            Motive.WAITING, (full, Motive.HOLD), (below, Motive.DEMAND_BELOW), (above, Motive.DEMAND_ABOVE)
        )
        wanted: Floats = factor * signals.price
        return Proposal(wanted, motive)
