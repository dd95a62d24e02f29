"""Strategies that estimate elasticities: a demand filter per product, shrunk towards its category.

`elasticity_learning` varies prices by Thompson sampling, `controlled_variance` without random numbers; `inventory`
also takes into account stock that must last for some time.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.categories import estimate_conversions, extend_groups, group_count
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.demand_filter import Belief, Drift, update_belief
from scalecommerce_core.pricing.guardrails import price_band
from scalecommerce_core.pricing.interface import (
    Motive,
    Proposal,
    State,
    motive_column,
    parameter,
    register,
    select_motives,
)
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN, ROOT_VARIANCE, collect_evidence, estimate_priors, swap_prior
from scalecommerce_core.pricing.signals import Signals

_BELIEF: Final = {"a": 1, "b": 1, "c00": 1, "c01": 1, "c11": 1}
_FLATTEST: Final = -0.8
"""Upper limit of the elasticity in the optimal price, which diverges as the elasticity approaches 0."""
_UNTRIED: Final = 0.9
"""Share of the category's variance above which a product's estimate is nearly that of its category."""
_UP: Final = 1.0304545339535169
_DOWN: Final = 0.9704455335485082
"""e^0.03 and e^-0.03 as literals, because the exponential function differs between machines in the last bit."""


@frozen
class DemandLearning(Drift):
    """Base class: a belief about each product's demand, the prior of its category, and a largest step."""

    columns: ClassVar[Mapping[str, int]] = _BELIEF
    pace: float = parameter(
        0.04,
        at_least=0,
        at_most=1,
        says="Largest relative change that is proposed in an epoch; larger values can trip the circuit breaker.",
    )
    level_spread: float = parameter(
        0.25, at_least=0.01, at_most=4, says="Variance of the log conversion rate between products of a category."
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        size = group_count(groups, signals)
        usual = {
            "level": np.log(estimate_conversions(signals, groups)), "mean": np.full(size, ROOT_MEAN),
            "variance": np.full(size, ROOT_VARIANCE),
        }  # fmt: skip
        known = extend_groups(groups, usual)
        at = signals.group
        products = {
            "a": known["level"][at], "b": known["mean"][at], "c00": np.full(len(signals), self.level_spread),
            "c01": np.zeros(len(signals)), "c11": known["variance"][at],
        }  # fmt: skip
        return State(products, known)

    def update(self, state: State, signals: Signals) -> State:
        x = signals.price / signals.reference - 1.0
        weeks = signals.epoch_days / 7.0
        belief = update_belief(
            _belief(state), self, x=x, views=signals.views, units=signals.units, weeks=weeks, weight=signals.weight
        )
        return State({**state.products, **belief._asdict()}, state.groups)

    def pool(self, state: State, signals: Signals) -> State:
        """Re-estimate the elasticities of each category, and replace the prior of its products by them."""
        belief, groups = _belief(state), state.groups
        mean, variance = groups["mean"], groups["variance"]
        found = collect_evidence(signals.group, belief.b, belief.c11, mean, variance)
        root = np.full_like(mean, ROOT_MEAN), np.full_like(mean, ROOT_VARIANCE)
        new_mean, new_variance = estimate_priors(found, mean, *root)
        at = signals.group
        swap = swap_prior(belief, mean[at], variance[at], new_mean[at], new_variance[at])
        level = _group_means(belief.a, signals, groups["level"])
        return State({**state.products, **swap._asdict()}, {"level": level, "mean": new_mean, "variance": new_variance})

    def _limit_step(self, prices: Floats, signals: Signals) -> Floats:
        return np.clip(prices, *price_band(signals.price, signals.price, self.pace))


@register
@frozen
class ElasticityLearning(DemandLearning):
    """Estimates each product's elasticity, and proposes the price of highest profit for an elasticity drawn from the
    estimate (Thompson sampling, Thompson 1933).
    """

    name: ClassVar[str] = "elasticity_learning"
    seed: int = parameter(0, at_least=0, at_most=2**63 - 1, says="Seed of the random price variation.")
    caution: float = parameter(
        0.5,
        at_least=0,
        at_most=2,
        says="Standard deviations by which the sampled elasticity varies; 0 turns sampling off.",
    )
    vary: bool = parameter(
        True, says="Also move each price 3 % up or down at random, which makes its sales informative."
    )

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        prices = _optimal_prices(self._drawn(state, signals, epoch), state, signals)
        if self.vary:
            up = seeded_random.sign(signals.product, epoch, seed=self.seed, use=1) > 0
            prices = prices * np.where(up, _UP, _DOWN)
        # The estimate is still nearly that of the category.
        trying = state.products["c11"] > _UNTRIED * state.groups["variance"][signals.group]
        return Proposal(
            self._limit_step(prices, signals),
            select_motives(motive_column(Motive.LEARNED, len(signals)), (trying, Motive.TRYING)),
        )

    def _drawn(self, state: State, signals: Signals, epoch: int) -> Floats:
        b, c11 = state.products["b"], state.products["c11"]
        if self.caution == 0:
            return b
        return b + self.caution * np.sqrt(c11) * seeded_random.normal(signals.product, epoch, seed=self.seed)


@register
@frozen
class ControlledVariance(DemandLearning):
    """`elasticity_learning` without random numbers: the optimal price, kept at a distance from the mean of past prices.

    Controlled variance pricing (den Boer and Zwart 2014): after n epochs, n times the variance of the prices is at
    least `width`²·n^`exponent`, relative to the reference price.
    """

    name: ClassVar[str] = "controlled_variance"
    retired_parameters: ClassVar[frozenset[str]] = frozenset({"seed", "caution", "vary"})
    """Parameters of release 0.1.0 that had no effect."""
    columns: ClassVar[Mapping[str, int]] = _BELIEF | {"epochs": 1, "mean_x": 1}
    width: float = parameter(
        0.04,
        at_least=0,
        at_most=1,
        says="Scale of the distance from the mean of past prices, relative to the reference price.",
    )
    exponent: float = parameter(
        0.51,
        at_least=0.5,
        at_most=1,
        says="Exponent with which the total price variance grows with the number of epochs.",
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        first = super().start(signals, groups)
        zero = np.zeros(len(signals))
        return State({**first.products, "epochs": zero, "mean_x": zero}, first.groups)

    def update(self, state: State, signals: Signals) -> State:
        n = state.products["epochs"] + 1.0
        mean = state.products["mean_x"]
        mean = mean + (signals.price / signals.reference - 1.0 - mean) / n
        then = super().update(state, signals)
        return State({**then.products, "epochs": n, "mean_x": mean}, then.groups)

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        del epoch
        best = np.clip(
            _optimal_prices(state.products["b"], state, signals), *price_band(signals.price, signals.price, 1.0)
        )
        x = best / signals.reference - 1.0
        n, mean = np.maximum(state.products["epochs"], 1.0), state.products["mean_x"]
        apart = self.width * np.sqrt((n + 1.0) / n * ((n + 1.0) ** self.exponent - n**self.exponent))
        kept = np.where(x >= mean, np.maximum(x, mean + apart), np.minimum(x, mean - apart))
        motive = select_motives(Motive.LEARNED, (kept != x, Motive.TRYING))
        return Proposal(self._limit_step((1.0 + kept) * signals.reference, signals), motive)


@register
@frozen
class Inventory(ElasticityLearning):
    """`elasticity_learning` for goods that are not restocked in time: at least the price at which the stock just lasts.

    Each epoch solves the fluid problem with the remaining stock (Gallego and van Ryzin 1994; repeated solution:
    Maglaras and Meissner 2006): maximize margin · expected sales, with expected sales until `days_left` within the
    stock.
    """

    name: ClassVar[str] = "inventory"
    columns: ClassVar[Mapping[str, int]] = _BELIEF | {"views_a_day": 1}
    perishable: bool = parameter(False, says="Unsold units are worthless at the end, so their cost is ignored.")
    memory_days: float = parameter(
        28.0, at_least=1, at_most=365, says="Averaging period of the views per day, in days."
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        first = super().start(signals, groups)
        return State({**first.products, "views_a_day": signals.views / np.maximum(signals.days, 1.0)}, first.groups)

    def update(self, state: State, signals: Signals) -> State:
        then = super().update(state, signals)
        pace = state.products["views_a_day"]
        share = signals.days / (signals.days + self.memory_days)
        today = signals.views / np.maximum(signals.days, 1e-9)
        pace = np.where(signals.days > 0, pace + share * (today - pace), pace)
        return State({**then.products, "views_a_day": pace}, then.groups)

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        if self.perishable:
            signals = signals.with_columns(cost=np.zeros_like(signals.cost))
        free = super().propose(state, signals, epoch)
        b = np.minimum(state.products["b"], _FLATTEST)
        # Without views or an end x is not finite, and no price is required.
        with np.errstate(divide="ignore", invalid="ignore"):
            visitors = state.products["views_a_day"] * signals.days_left
            x = (np.log(signals.stock / visitors) - state.products["a"]) / b
        clearing = np.where(np.isfinite(x), (1.0 + x) * signals.reference, 0.0)
        short = clearing > free.prices
        motive = select_motives(Motive.LEARNED, (short, Motive.STOCK_SHORT))
        return Proposal(self._limit_step(np.where(short, clearing, free.prices), signals), motive)


def _belief(state: State) -> Belief:
    return Belief(*(state.products[name] for name in _BELIEF))


def _group_means(values: Floats, signals: Signals, empty: Floats) -> Floats:
    count = np.bincount(signals.group, minlength=len(empty))
    total = np.bincount(signals.group, weights=values, minlength=len(empty))
    return np.where(count > 0, total / np.maximum(count, 1), empty)


def _optimal_prices(b: Floats, state: State, signals: Signals) -> Floats:
    """The price p that maximizes (p - cost)·exp(b·p/reference): cost + reference / -b."""
    cost = break_even(signals, state.groups["mean"][signals.group])
    return cost + signals.reference / -np.minimum(b, _FLATTEST)
