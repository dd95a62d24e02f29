"""Strategies from the literature, used to validate the simulator: their ranking must be that of the publications.

They are not registered, because they are not intended for shops.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.interface import Proposal, State
from scalecommerce_core.pricing.price_list_inventory import best_mixture
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.linear_market import HIGHEST, LOWEST, UNIT
from scalecommerce_core.simulation.market import random_stream
from scalecommerce_core.simulation.price_list_stock import LISTED
from scalecommerce_core.simulation.zip_recruiter import PRICES

_ARMS: Final = np.array(PRICES, dtype=np.float64)


@frozen
class _Counts:
    """Base of strategies on a list of prices: counts views and units at each price."""

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, int]] = {"views": len(PRICES), "units": len(PRICES)}
    arms: ClassVar[Floats] = _ARMS

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del groups
        empty = np.zeros((len(signals), len(self.arms)))
        return State({"views": empty, "units": empty})

    def update(self, state: State, signals: Signals) -> State:
        hit = (self.arms[None, :] == signals.price[:, None]).astype(np.float64)
        views = state.products["views"] + hit * signals.views[:, None]
        return State({"views": views, "units": state.products["units"] + hit * signals.units[:, None]})

    def pool(self, state: State, signals: Signals) -> State:
        del signals
        return state


@frozen
class LearnThenEarn(_Counts):
    """Charges each price equally often for the first 7.9 % of the visitors, then always the best one."""

    name: ClassVar[str] = "learn_then_earn"
    epochs: int = 787

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        views, units = state.products["views"], state.products["units"]
        if epoch < self.epochs:
            return Proposal(np.full(len(signals), _ARMS[epoch % len(_ARMS)]))
        return Proposal(_ARMS[(_ARMS * units / np.maximum(views, 1.0)).argmax(axis=1)])


@frozen
class UcbPi(_Counts):
    """Upper confidence bounds with partial identification, tuned version (Misra, Schwartz and Abernethy 2019).

    Confidence bounds are scaled by the price. Prices are dropped if their upper profit bound is below the lower bound
    of another price; the bounds use that demand does not rise with the price.
    """

    name: ClassVar[str] = "ucb_pi"

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        if epoch < len(_ARMS):
            return Proposal(np.full(len(signals), _ARMS[epoch]))
        views, units = state.products["views"], state.products["units"]
        rate = units / views
        t = np.log(views.sum(axis=1, keepdims=True))
        spread = rate * (1.0 - rate) + np.sqrt(2.0 * t / views)
        wide = np.sqrt(t / views * np.minimum(0.25, spread))
        least = np.maximum.accumulate((rate - wide)[:, ::-1], axis=1)[:, ::-1]
        most = np.minimum.accumulate(rate + wide, axis=1)
        dominated = _ARMS * most < (_ARMS * least).max(axis=1, keepdims=True)
        index = np.where(dominated, -np.inf, _ARMS * (rate + wide))
        return Proposal(_ARMS[index.argmax(axis=1)])


@frozen
class LeastSquares:
    """Greedy least squares: the optimal price of the demand line fitted so far, after two initial prices.

    It stops learning when its prices converge. Subclasses keep a distance from the mean of past prices; `width` scales
    it, a parameter that the publications leave open.
    """

    name: ClassVar[str] = "greedy_least_squares"
    columns: ClassVar[Mapping[str, int]] = {"n": 1, "p": 1, "pp": 1, "d": 1, "pd": 1}
    width: float = 0.0

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del groups
        return State({name: np.zeros(len(signals)) for name in self.columns})

    def update(self, state: State, signals: Signals) -> State:
        # The first run precedes the first period.
        sold = (signals.views > 0).astype(np.float64)
        p, d, was = sold * signals.price / UNIT, sold * signals.units, state.products
        return State({
            "n": was["n"] + sold, "p": was["p"] + p, "pp": was["pp"] + p * p, "d": was["d"] + d,
            "pd": was["pd"] + p * d,
        })  # fmt: skip

    def pool(self, state: State, signals: Signals) -> State:
        del signals
        return state

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        if epoch < 2:
            return Proposal(np.full(len(signals), (0.75, 1.5)[epoch] * UNIT))
        n, p, pp, d, pd = (state.products[name] for name in self.columns)
        mean = p / n
        beta = (pd - p * d / n) / np.maximum(pp - p * mean, 1e-12)
        beta = np.minimum(beta, -1e-3)
        alpha = d / n - beta * mean
        best = np.clip(-alpha / (2.0 * beta), LOWEST, HIGHEST)
        apart = self._apart(float(n[0]))
        above, below = mean + apart, mean - apart
        away = np.where(best >= mean, np.maximum(best, above), np.minimum(best, below))
        # If that price is not admissible, use the price on the other side of the mean.
        inside = np.where(away > HIGHEST, below, np.where(away < LOWEST, above, away))
        return Proposal(UNIT * (inside if apart else best))

    def _apart(self, n: float) -> float:
        """Minimum distance of the next price from the mean of `n` past prices."""
        del n
        return 0.0


@frozen
class Cils(LeastSquares):
    """Constrained iterated least squares (Keskin and Zeevi 2014)."""

    name: ClassVar[str] = "cils"
    width: float = 0.2

    def _apart(self, n: float) -> float:
        return float(self.width * n**-0.25)


@frozen
class Cvp(LeastSquares):
    """Controlled variance pricing (den Boer and Zwart 2014)."""

    name: ClassVar[str] = "cvp"
    width: float = 0.3

    def _apart(self, n: float) -> float:
        return float(self.width * np.sqrt((n + 1.0) / n * ((n + 1.0) ** 0.51 - n**0.51)))


@frozen
class TsUpdate(_Counts):
    """Thompson sampling with a linear program, re-solved with the remaining stock and time.

    The algorithm "TS-update" of Ferreira, Simchi-Levi and Wang (2018): the probability of a purchase at each price has
    a Beta distribution, uniform before any customer.
    """

    name: ClassVar[str] = "ts_update"
    columns: ClassVar[Mapping[str, int]] = {"views": len(LISTED), "units": len(LISTED)}
    arms: ClassVar[Floats] = np.array(LISTED, dtype=np.float64)

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        chance = random_stream(epoch, 10)
        views, units = state.products["views"], state.products["units"]
        demand = chance.beta(1.0 + units, 1.0 + views - units)
        mixture = best_mixture(demand, demand * self.arms, self._limit(state, signals))
        arm = np.where(chance.random(len(signals)) < mixture.share, mixture.second, mixture.first)
        return Proposal(self.arms[np.where(mixture.is_short, len(self.arms) - 1, arm)])

    def _limit(self, state: State, signals: Signals) -> Floats:
        """Expected units per period that the linear program admits."""
        del state
        return signals.stock / signals.days_left


@frozen
class TsFixed(TsUpdate):
    """`ts_update` with the stock per period of the start in each linear program ("TS-fixed" in the same paper)."""

    name: ClassVar[str] = "ts_fixed"
    columns: ClassVar[Mapping[str, int]] = {**TsUpdate.columns, "limit": 1}

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        first = super().start(signals, groups)
        return State({**first.products, "limit": signals.stock / signals.days_left})

    def update(self, state: State, signals: Signals) -> State:
        then = super().update(state, signals)
        return State({**then.products, "limit": state.products["limit"]})

    def _limit(self, state: State, signals: Signals) -> Floats:
        del signals
        return state.products["limit"]
