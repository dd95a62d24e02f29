"""Competitors: a strategy that knows the lowest price of a competitor for the same product.

Marketplaces often show one offer first, usually the cheapest one (the "buy box"), and comparison sites sort by price. A
product then sells exp(-d) as much while it is dearer than the competitor as it would otherwise. The strategy learns d
of each category, and undercuts only where that earns more than the best price above the competitor.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats
from scalecommerce_core.pricing.categories import extend_groups, group_count
from scalecommerce_core.pricing.demand_curve import fourth_root, next_price, price_distance
from scalecommerce_core.pricing.interface import (
    DemandEstimate,
    Motive,
    Proposal,
    State,
    motive_column,
    parameter,
    register,
    select_motives,
)
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.signals import Signals

_COLUMNS: Final = {"rival": 1, "above": 1, "risen_sold": 1, "risen_expected": 1, "fallen_sold": 1, "fallen_expected": 1}
_SUMS: Final = ("risen_sold", "risen_expected", "fallen_sold", "fallen_expected")
"""Sums over epochs in which a price came to be above the competitor's (risen) or no longer was (fallen)."""
_PREFIX: Final = "competitor_"
_GROUPS: Final = ("loss", *_SUMS)
_ITERATIONS: Final = 12
_BETWEEN: Final = 0.25**2
"""Variance of the loss between the categories of a seller."""
_UNKNOWN: Final = -1.0
_STEPS: Final = 6
"""Iterations of the optimal price."""


@register
@frozen
class Competitor(ElasticityLearning):
    """`elasticity_learning` with the price of a competitor, which it undercuts where that earns more."""

    name: ClassVar[str] = "competitor"
    columns: ClassVar[Mapping[str, int]] = {**ElasticityLearning.columns, **_COLUMNS}
    unused_in_propose: ClassVar[frozenset[str]] = ElasticityLearning.unused_in_propose - {"mean"} | {
        *_COLUMNS,
        *(_PREFIX + name for name in _SUMS),
    }
    stale_days: float = parameter(
        7.0, at_least=0, at_most=365, says="Age of a competitor's price, in days, beyond which it counts as unknown."
    )
    undercut: float = parameter(
        0.03, at_least=0, at_most=0.5, says="Relative distance below the competitor's price when undercutting."
    )
    most_undercut: float = parameter(
        0.1, at_least=0, at_most=0.9, says="Largest relative distance below the product's own best price for that."
    )
    loss_spread: float = parameter(
        0.5, at_least=0.01, at_most=10, says="Standard deviation of the log loss above a competitor, before any sale."
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        learned, ours = _split(groups)
        size = group_count(groups, signals)
        first = super().start(signals, learned)
        known = extend_groups(ours, {name: np.zeros(size) for name in _GROUPS})
        zero = np.zeros(len(signals))
        products = dict.fromkeys(_COLUMNS, zero) | dict.fromkeys(("rival", "above"), zero + _UNKNOWN)
        return State({**first.products, **products}, _joined(first.groups, known))

    def update(self, state: State, signals: Signals) -> State:
        was, at = state.products, signals.group
        learned, ours = _split(state.groups)
        loss = ours["loss"][at]
        # The sales of the epoch were made beside the price that was known when it began.
        known = was["rival"] > 0.0
        above = np.where(known, (signals.price > was["rival"]).astype(np.float64), _UNKNOWN)
        x = price_distance(signals.price, signals.reference)
        expected = signals.views * np.exp(np.clip(was["a"] + was["b"] * x, -9.0, 0.0))
        counts = (signals.weight == 1.0) & (signals.views > 0)
        risen, fallen = (counts & (was["above"] == before) & (above == 1.0 - before) for before in (0.0, 1.0))
        # The level of a product without a known competitor is that below one.
        share = np.exp(np.where(above == 1.0, -loss, 0.0))
        own = {name: values for name, values in was.items() if name not in _COLUMNS}
        then = self._learn(State(own, learned), signals, share)
        more = {
            "rival": np.where(self._is_known(signals), signals.competitor, _UNKNOWN).astype(np.float64),
            "above": np.where(known, above, was["above"]),
            "risen_sold": was["risen_sold"] + np.where(risen, signals.units, 0.0),
            "risen_expected": was["risen_expected"] + np.where(risen, expected, 0.0),
            "fallen_sold": was["fallen_sold"] + np.where(fallen, signals.units, 0.0),
            # While the price was above, the level was estimated with the present loss.
            "fallen_expected": was["fallen_expected"] + np.where(fallen, expected * np.exp(-loss), 0.0),
        }
        return State({**then.products, **more}, state.groups)

    def pool(self, state: State, signals: Signals) -> State:
        """Estimate the loss of each category, and begin the sums of the products anew."""
        was, at = state.products, signals.group
        learned, ours = _split(state.groups)
        own = {name: values for name, values in was.items() if name not in _COLUMNS}
        then = super().pool(State(own, learned), signals)
        size = len(ours["loss"])
        sums = {name: ours[name] + np.bincount(at, weights=was[name], minlength=size) for name in _SUMS}
        total = {name: np.array([values.sum()]) for name, values in sums.items()}
        usual = estimate_loss(total, np.zeros(1), self.loss_spread**2)
        loss = np.maximum(estimate_loss(sums, np.full(size, usual[0]), _BETWEEN), 0.0)
        products = dict.fromkeys(_SUMS, np.zeros(len(signals))) | {name: was[name] for name in ("rival", "above")}
        # The level of a product above its competitor was estimated with the loss from before.
        level = then.products["a"] + np.where(was["above"] == 1.0, (loss - ours["loss"])[at], 0.0)
        return State({**then.products, "a": level, **products}, _joined(then.groups, {"loss": loss, **sums}))

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        free = super().propose(state, signals, epoch)
        kept = np.where(np.isnan(free.prices), signals.price, free.prices)
        cost = self._break_even(signals, state.groups)
        best = state.products["kept"]
        for _ in range(_STEPS):
            step = next_price(state.products["b"], best, cost, fourth_root(best / signals.reference))
            best = np.clip(step, 0.5 * best, 2.0 * best)
        rival = np.maximum(signals.competitor, 1).astype(np.float64)
        below = np.floor(rival * (1.0 - self.undercut))
        known = self._is_known(signals)
        above = np.where(state.products["kept"] > rival, state.products["kept"], best)
        loss = state.groups[_PREFIX + "loss"][signals.group]
        gain = self._profit(state, signals, below, cost) - np.exp(-loss) * self._profit(state, signals, above, cost)
        # No competitor makes a price fall far below the product's own best price: that ends races to the bottom.
        allowed = (below >= (1.0 - self.most_undercut) * best) & (below > cost)
        contested = known & (above > rival)
        undercuts = contested & allowed & (gain > 0.0)
        returns = contested & ~undercuts & (kept <= rival)
        wanted = np.where(undercuts, below, above)
        moves = undercuts | returns
        prices = np.where(moves, self._limit_step(wanted, signals), free.prices)
        motive = free.motive if free.motive is not None else motive_column(Motive.LEARNED, len(signals))
        return Proposal(prices, select_motives(motive, (undercuts, Motive.COMPETITOR), (returns, Motive.LEARNED)))

    def estimate_demand(self, state: State, signals: Signals, prices: Floats) -> DemandEstimate | None:
        below = super().estimate_demand(state, signals, prices)
        if below is None or not self._is_known(signals)[0]:
            return below
        loss = state.groups[_PREFIX + "loss"][signals.group[0]]
        kept = np.where(prices > signals.competitor[0], np.exp(-loss), 1.0)
        return DemandEstimate(prices, below.expected * kept, below.low * kept, below.high * kept)

    def _is_known(self, signals: Signals) -> Flags:
        known: Flags = (signals.competitor > 0) & (signals.competitor_days <= self.stale_days)
        return known

    @staticmethod
    def _profit(state: State, signals: Signals, price: Floats, cost: Floats) -> Floats:
        """Profit per view at a price, up to the product's level."""
        x = price_distance(price, signals.reference)
        profit: Floats = (price - cost) * np.exp(np.clip(state.products["b"] * x, -9.0, 9.0))
        return profit


def estimate_loss(sums: Mapping[str, Floats], mean: Floats, variance: float) -> Floats:
    """The most probable log loss d: sales at prices that rose above the competitor are Poisson with the mean
    expected·exp(-d), and those at prices that fell below it with expected·exp(d); d is normal (`mean`, `variance`).
    """
    d = mean.copy()
    for _ in range(_ITERATIONS):
        risen, fallen = sums["risen_expected"] * np.exp(-d), sums["fallen_expected"] * np.exp(d)
        score = risen - sums["risen_sold"] + sums["fallen_sold"] - fallen - (d - mean) / variance
        d = np.clip(d + np.clip(score / (risen + fallen + 1.0 / variance), -1.0, 1.0), -5.0, 5.0)
    return d


def _split(groups: Mapping[str, Floats]) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Group parameters of `ElasticityLearning`, and those of this module without their prefix."""
    learned = {name: values for name, values in groups.items() if not name.startswith(_PREFIX)}
    return learned, {name.removeprefix(_PREFIX): groups[name] for name in groups.keys() - learned.keys()}


def _joined(learned: Mapping[str, Floats], ours: Mapping[str, Floats]) -> dict[str, Floats]:
    return {**learned, **{_PREFIX + name: ours[name] for name in _GROUPS}}
