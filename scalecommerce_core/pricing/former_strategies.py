"""The proposals of strategies of release 0.2.0 that propose otherwise now, for the replay of stored decisions.

Their stored inputs are recognized by the columns of the state.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.guardrails import price_band
from scalecommerce_core.pricing.interface import (
    Motive,
    PricingStrategy,
    Proposal,
    State,
    motive_column,
    parameter_values,
    select_motives,
)
from scalecommerce_core.pricing.learning import ControlledVariance, ElasticityLearning, Inventory
from scalecommerce_core.pricing.signals import Signals

_FLATTEST: Final = -0.8
_UNTRIED: Final = 0.9
_UP: Final = 1.0304545339535169
_DOWN: Final = 0.9704455335485082


def strategy_of_inputs(strategy: PricingStrategy, state: State) -> PricingStrategy:
    """The strategy that proposed from `state`: `strategy`, or the one of the same name of release 0.2.0."""
    if not isinstance(strategy, ElasticityLearning | ControlledVariance) or "kept" in state.products:
        return strategy
    values = parameter_values(strategy)
    if isinstance(strategy, Inventory):
        return _FormerInventory(**values)
    if isinstance(strategy, ElasticityLearning):
        return _FormerElasticityLearning(**values)
    return _FormerControlledVariance(**values)


@frozen
class _FormerElasticityLearning(ElasticityLearning):
    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        return _propose_from_draw(self, state, signals, epoch)


@frozen
class _FormerControlledVariance(ControlledVariance):
    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        del epoch
        best = _optimal_prices(state.products["b"], state, signals)
        x = np.clip(best, *price_band(signals.price, signals.price, 1.0)) / signals.reference - 1.0
        n, mean = np.maximum(state.products["epochs"], 1.0), state.products["mean_x"]
        apart = self.width * np.sqrt((n + 1.0) / n * ((n + 1.0) ** self.exponent - n**self.exponent))
        kept = np.where(x >= mean, np.maximum(x, mean + apart), np.minimum(x, mean - apart))
        motive = select_motives(Motive.LEARNED, (kept != x, Motive.TRYING))
        return Proposal(_limit_step((1.0 + kept) * signals.reference, signals, self.pace), motive)


@frozen
class _FormerInventory(Inventory):
    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        if self.perishable:
            signals = signals.with_columns(cost=np.zeros_like(signals.cost))
        free = _propose_from_draw(self, state, signals, epoch)
        b = np.minimum(state.products["b"], _FLATTEST)
        # Without views or an end x is not finite, and no price is required.
        with np.errstate(divide="ignore", invalid="ignore"):
            visitors = state.products["views_a_day"] * signals.days_left
            x = (np.log(signals.stock / visitors) - state.products["a"]) / b
        clearing = np.where(np.isfinite(x), (1.0 + x) * signals.reference, 0.0)
        short = clearing > free.prices
        motive = select_motives(Motive.LEARNED, (short, Motive.STOCK_SHORT))
        return Proposal(_limit_step(np.where(short, clearing, free.prices), signals, self.pace), motive)


def _propose_from_draw(strategy: ElasticityLearning, state: State, signals: Signals, epoch: int) -> Proposal:
    """Thompson sampling: the optimal price for an elasticity drawn from the estimate."""
    b, c11 = state.products["b"], state.products["c11"]
    if strategy.caution > 0:
        b = b + strategy.caution * np.sqrt(c11) * seeded_random.normal(signals.product, epoch, seed=strategy.seed)
    prices = _optimal_prices(b, state, signals)
    if strategy.vary:
        up = seeded_random.sign(signals.product, epoch, seed=strategy.seed, use=1) > 0
        prices = prices * np.where(up, _UP, _DOWN)
    trying = c11 > _UNTRIED * state.groups["variance"][signals.group]
    motive = select_motives(motive_column(Motive.LEARNED, len(signals)), (trying, Motive.TRYING))
    return Proposal(_limit_step(prices, signals, strategy.pace), motive)


def _optimal_prices(b: Floats, state: State, signals: Signals) -> Floats:
    """The price p that maximizes (p - cost)·exp(b·p/reference): cost + reference / -b."""
    cost = break_even(signals, state.groups["mean"][signals.group])
    return cost + signals.reference / -np.minimum(b, _FLATTEST)


def _limit_step(prices: Floats, signals: Signals, pace: float) -> Floats:
    return np.clip(prices, *price_band(signals.price, signals.price, pace))
