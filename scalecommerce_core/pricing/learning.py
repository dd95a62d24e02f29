"""Strategies that estimate elasticities: a demand filter per product, shrunk towards its category.

`elasticity_learning` varies prices at random where sales repay it, `controlled_variance` without random numbers;
`inventory` is meant for goods that are not restocked in time. All of them keep the seller's price unless another price
is likely to earn more, and propose at least the price at which the stock lasts until `Signals.days_left`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
from attrs import asdict, frozen

from scalecommerce_core.pricing import seeded_random, view_following
from scalecommerce_core.pricing.arrays import Flags, Floats
from scalecommerce_core.pricing.categories import estimate_conversions, group_count
from scalecommerce_core.pricing.common_changes import (
    CommonChange,
    estimate_changes,
    include_change,
    observe_change,
)
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.delayed_sales import Delay, correct_belief, estimate_delay, observe_delay
from scalecommerce_core.pricing.demand_curve import FLATTEST, fourth_root, next_price, price_at, price_distance
from scalecommerce_core.pricing.demand_filter import Belief, Drift, observe_sales, revert_slope
from scalecommerce_core.pricing.guardrails import price_band
from scalecommerce_core.pricing.interface import (
    EIGHTY_PERCENT,
    DemandEstimate,
    Motive,
    Proposal,
    State,
    motive_column,
    parameter,
    register,
    select_motives,
)
from scalecommerce_core.pricing.sales_noise import Errors, estimate_noise, estimate_walk, update_errors
from scalecommerce_core.pricing.shrinkage import (
    ROOT_VARIANCE,
    SHARE_VARIANCE,
    Priors,
    estimate_priors,
    markup_elasticity,
    swap_prior,
)
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.view_following import VIEW_DERIVATIVES, observe_view_derivatives

_COLUMNS: Final = {
    "a": 1, "b": 1, "c00": 1, "c01": 1, "c11": 1, "markup": 1, "scatter": 1, "persistence": 1, "sales": 1, "kept": 1,
    "tries": 1, "delay_a": 1, "delay_b": 1, "delay_score": 1, "delay_information": 1,
    "common_a": 1, "common_b": 1, "common_score": 1, "common_information": 1, "common_weeks": 1,
    "units_per_purchase": 1, **VIEW_DERIVATIVES,
}  # fmt: skip
_EFFECTS: Final = ("view_side_effect", "view_distance_effect")
"""Signals, and parameters of groups with the values of these signals that the estimates are based on."""
_PRIORS: Final = ("mean", "variance", "within", "between", "markup_share", "share_variance")
_LEVEL_VIEWS: Final = 1_000.0
"""Views of a new category after which the variance of its log conversion rate is 0.5; without views it is 1."""
_UNTRIED: Final = 0.9
"""Share of the usual variance of elasticities above which an estimate is nearly its prior."""
_UNCHANGED: Final = 0.01
"""Relative difference below which a proposal is the present price."""
_UP: Final = 1.0304545339535169
_DOWN: Final = 0.9704455335485082
"""e^0.03 and e^-0.03 as literals, because the exponential function differs between machines in the last bit."""
_PROMOTION: Final = 0.1
_PROMOTION_DAYS: Final = 14.0
_PROMOTION_WEIGHT: Final = 0.002
"""Weight of the first observation at a price that was set by hand farther from the kept price than `_PROMOTION`, if it
covers at most `_PROMOTION_DAYS`."""
_USUAL_PURCHASES: Final = 10.0
"""Purchases of an epoch that weigh as much as the mean units per purchase before it."""
_WIDEST: Final = 0.03
"""Largest standard deviation of the random price variation by sampled elasticities."""


@frozen
class DemandLearning(Drift):
    """Base class: a belief about each product's demand, the prior of its category, and the price that is kept.

    Columns of the state: the belief (a, b, c00, c01, c11); `markup`, the elasticity that the seller's price implies;
    `scatter`, `persistence` and `sales`, running means of forecast errors and of sales; `kept`, the price to which
    variations return; `tries`, 1 if variations of the price repay what they cost; `delay_…`, what is known about sales
    that come late; `common_…`, what is known about the change of the category's demand since the last `pool`.
    """

    columns: ClassVar[Mapping[str, int]] = _COLUMNS
    unused_in_propose: ClassVar[frozenset[str]] = frozenset({
        "scatter", "persistence", "sales", "variance", "within", "between", "share_variance", "dispersion",
        "relative_noise", "walk", "delay", "delay_a", "delay_b", "delay_score", "delay_information",
        "common_a", "common_b", "common_score", "common_information", "common_weeks",
        *VIEW_DERIVATIVES, *_EFFECTS,
    })  # fmt: skip
    """Columns of the state that `propose` does not read; `replay` does not store them."""
    corrects_common_changes: ClassVar[bool] = True
    """Whether `pool` corrects the estimates by the changes of each category's demand."""
    pace: float = parameter(
        0.04,
        at_least=0,
        at_most=1,
        says="Largest relative change that is proposed in an epoch.",
    )
    level_spread: float = parameter(
        0.25, at_least=0.01, at_most=4, says="Variance of the log conversion rate between products of a category."
    )
    margin: float = parameter(
        0.1,
        at_least=0,
        at_most=5,
        says="Standard deviations of the elasticity by which another price must be better than the present one.",
    )
    unproven_margin: float = parameter(
        0.5,
        at_least=0,
        at_most=5,
        says="Standard deviations that are added to the margin while sales have not shown how well the mark-ups of the"
        " seller fit.",
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        known = self._start_groups(signals, groups)
        # The conversion rate of a new category is known the better, the more views it has had.
        views = np.bincount(signals.group, weights=signals.views, minlength=len(known["level"]))
        unknown = np.where(
            np.arange(len(views)) >= len(groups.get("level", ())), _LEVEL_VIEWS / (_LEVEL_VIEWS + views), 0
        )
        at, size = signals.group, len(signals)
        markup = markup_elasticity(signals.own_price(), signals.full_cost())
        mean, variance = _priors(known).of_products(at, markup)
        per_purchase, _ = _units_per_purchase(signals, np.ones(size))
        products = {
            "a": known["level"][at], "b": mean, "c00": self.level_spread + unknown[at], "c01": np.zeros(size),
            "c11": variance, "markup": markup, "scatter": known["dispersion"][at], "persistence": np.zeros(size),
            "sales": np.zeros(size), **Delay.unknown(size)._asdict(), **CommonChange.of_new(size)._asdict(),
            "view_derivatives": np.zeros((size, 4)), "kept": signals.price.astype(np.float64), "tries": np.zeros(size),
            "units_per_purchase": per_purchase,
        }  # fmt: skip
        return State(_short(products), known)

    def _start_groups(self, signals: Signals, groups: Mapping[str, Floats]) -> dict[str, Floats]:
        """`groups` with values for new ones: those of the seller's other categories, or else the usual ones."""
        size = group_count(groups, signals)
        usual = asdict(Priors.usual(1)) | {
            "dispersion": [self.dispersion], "relative_noise": [0.0], "walk": [self.level], "delay": [0.0],
            **{name: getattr(signals, name)[:1] if len(signals) else [0.0] for name in _EFFECTS},
        }  # fmt: skip
        level = np.log(estimate_conversions(signals, groups))
        present = len(groups.get("level", ()))
        known = {"level": np.concatenate([groups.get("level", level[:0]), level[present:]])}
        for name, value in usual.items():
            # Groups of earlier releases lack some parameters.
            old = groups.get(name, np.full(present, value[0]))
            new = old.mean() if len(old) else value[0]
            known[name] = np.append(old, np.full(size - len(old), new))
        return _short(known)

    def update(self, state: State, signals: Signals) -> State:
        return self._learn(state, signals, np.ones(len(signals)))

    def _learn(self, state: State, signals: Signals, share: Floats) -> State:
        """Learn from an epoch in which other things than the price multiplied the conversion rate by `share`."""
        was, at = state.products, signals.group
        groups = self._complete(state.groups)
        weeks = signals.epoch_days / 7.0
        mean, variance = _priors(groups).of_products(at, was["markup"])
        belief = revert_slope(_belief(state), mean, variance, self.slope / ROOT_VARIANCE * weeks)
        belief = belief._replace(c00=belief.c00 + groups["walk"][at] * weeks)
        per_purchase, mean_per_purchase = _units_per_purchase(signals, was["units_per_purchase"])
        units = np.where(signals.orders >= 0.0, np.maximum(signals.units, 0.0) / per_purchase, signals.units)
        weight = np.where(_may_be_promotion(was["kept"], signals), _PROMOTION_WEIGHT, 1.0) * signals.weight
        # Times are rounded up to epochs.
        is_first = signals.since_change < 1.5 * signals.epoch_days
        shown = share * np.where(is_first, np.exp(groups["delay"])[at], 1.0)
        before, x = belief, price_distance(signals.price, signals.reference)
        belief, forecast = observe_sales(
            before, x=x, views=signals.views * shown, units=units, weight=weight,
            dispersion=groups["dispersion"][at], relative_noise=groups["relative_noise"][at], robust=True,
        )  # fmt: skip
        is_new = was["sales"] == 0.0
        delay = observe_delay(_delay(state), before, forecast, x=x, is_first=is_first, is_new=is_new)
        change = observe_change(_common_change(state), before, forecast, x=x, weeks=weeks, is_new=is_new)
        derivatives = observe_view_derivatives(was["view_derivatives"], before, forecast, x=x)
        errors = update_errors(
            Errors(was["scatter"], was["persistence"], was["sales"]),
            forecast,
            units,
            (weight == 1.0).astype(np.float64),
        )
        markup = was["markup"]
        fresh = np.flatnonzero(np.isnan(markup) | (signals.since_edit <= signals.epoch_days))
        if len(fresh):
            markup = np.array(markup)
            markup[fresh] = markup_elasticity(signals.own_price()[fresh], signals.full_cost()[fresh])
            changed = _priors(groups).of_products(at[fresh], markup[fresh])
            belief = belief.with_rows(fresh, swap_prior(belief.rows(fresh), mean[fresh], variance[fresh], *changed))
        kept = self._kept_price(belief, was["kept"], signals, groups)
        steepness = np.minimum(belief.b, FLATTEST)
        squared = steepness * steepness
        value = self._horizon(signals) * belief.c11 * belief.c11 * forecast.expected / np.maximum(weeks, 1e-9)
        return State(
            _short(
                belief._asdict()
                | errors._asdict()
                | delay._asdict()
                | change._asdict()
                | {
                    "view_derivatives": derivatives,
                    "markup": markup,
                    "kept": kept,
                    "units_per_purchase": mean_per_purchase,
                    "tries": (value > forecast.dispersion * squared * squared).astype(np.float64),
                    **{name: was[name] for name in was.keys() - _COLUMNS.keys()},
                }
            ),
            state.groups,
        )

    def _kept_price(self, belief: Belief, before: Floats, signals: Signals, groups: Mapping[str, Floats]) -> Floats:
        """The price to which variations return.

        It stays while it is optimal for some elasticity within `margin` standard deviations of the estimate, more while
        little is known about the seller's mark-ups, and otherwise moves to the nearest price that is. A price that was
        set by hand replaces it.
        """
        price = signals.price.astype(np.float64)
        by_hand = (signals.since_edit <= signals.since_change) & (signals.since_edit < np.inf)
        far = np.abs(before - price) > 2.0 * self.pace * price
        start = np.where(by_hand | far, price, before)
        cost = self._break_even(signals, groups)
        root = fourth_root(start / signals.reference)
        unproven = (groups["share_variance"][signals.group] / SHARE_VARIANCE) ** 2
        deviation = (self.margin + self.unproven_margin * unproven) * np.sqrt(belief.c11)
        lowest = next_price(belief.b - deviation, start, cost, root)
        highest = next_price(belief.b + deviation, start, cost, root)
        wanted = np.clip(start, lowest, highest)
        kept: Floats = np.clip(wanted, start * (1.0 - self.pace), start * (1.0 + self.pace))
        return kept

    def _break_even(self, signals: Signals, groups: Mapping[str, Floats]) -> Floats:
        return break_even(signals, groups["mean"][signals.group])

    def _horizon(self, signals: Signals) -> Floats | float:
        """Weeks within which a random variation of the price must repay its cost; 0 without such variations."""
        del signals
        return 0.0

    def pool(self, state: State, signals: Signals) -> State:
        """Correct the estimates by the changes of each category's demand, re-estimate its elasticities and its noise,
        and replace the prior of its products.
        """
        at, products = signals.group, state.products
        groups = self._complete(state.groups)
        shown = estimate_delay(_delay(state), groups["delay"])
        belief, delay = correct_belief(_belief(state), _delay(state), (shown - groups["delay"])[at])
        effects = {name: _first(getattr(signals, name)) for name in _EFFECTS}
        # A state of an earlier release is based on the present effects.
        side, distance = (effects[name] - _first(state.groups.get(name, [effects[name]])) for name in _EFFECTS)
        belief = view_following.correct_belief(belief, products["view_derivatives"], (side, distance))
        if self.corrects_common_changes:
            change = _common_change(state)
            belief = include_change(belief, change, estimate_changes(change, at, len(groups["delay"]))[at])
        begun = CommonChange.beginning(len(at))
        old = _priors(groups)
        new = estimate_priors(old, at, products["markup"], belief.b, belief.c11)
        exchanged = swap_prior(
            belief, *old.of_products(at, products["markup"]), *new.of_products(at, products["markup"])
        )
        errors = Errors(products["scatter"], products["persistence"], products["sales"])
        dispersion, relative = estimate_noise(
            errors, at, groups["dispersion"], float(groups["relative_noise"][0]), self.dispersion
        )
        return State(
            _short(
                {
                    **products,
                    **exchanged._asdict(),
                    **delay._asdict(),
                    **begun._asdict(),
                }
            ),
            _short(
                {
                    "level": _group_means(belief.a, signals, groups["level"]),
                    **asdict(new),
                    "dispersion": dispersion,
                    "relative_noise": np.full(len(dispersion), relative),
                    "delay": shown,
                    "walk": estimate_walk(groups["walk"], errors),
                    **{name: np.full(len(dispersion), value) for name, value in effects.items()},
                }
            ),
        )

    def estimate_demand(self, state: State, signals: Signals, prices: Floats) -> DemandEstimate | None:
        products = state.products
        if "kept" not in products:
            return None
        x = price_distance(prices, signals.reference[:1])
        level = products["a"][0] + products["b"][0] * x
        variance = products["c00"][0] + 2.0 * x * products["c01"][0] + x * x * products["c11"][0]
        width = EIGHTY_PERCENT * np.sqrt(np.maximum(variance, 0.0))
        expected, low, high = (
            np.exp(np.clip(log_rate, -9.0, 0.0)) * products["units_per_purchase"][0]
            for log_rate in (level, level - width, level + width)
        )
        return DemandEstimate(prices, expected, low, high)

    def _complete(self, groups: Mapping[str, Floats]) -> Mapping[str, Floats]:
        """`groups`, with the usual values of parameters that a group of an earlier release lacks."""
        if groups.keys() >= {*_EFFECTS}:
            return groups
        return self._start_groups(Signals.of(product=[], price=[], reference=[]), groups)

    def _limit_step(self, prices: Floats, signals: Signals) -> Floats:
        return np.clip(prices, *price_band(signals.price, signals.price, self.pace))

    def _at_least_clearing(self, free: Proposal, state: State, signals: Signals) -> Proposal:
        """The proposal `free`, with prices of at least the clearing price, within a step."""
        clearing = self._clearing_price(state, signals)
        short = clearing > np.where(np.isnan(free.prices), signals.price, free.prices)
        if not short.any():
            return free
        prices = np.where(short, self._limit_step(clearing, signals), free.prices)
        motive = free.motive if free.motive is not None else motive_column(Motive.LEARNED, len(signals))
        return Proposal(prices, select_motives(motive, (short, Motive.STOCK_SHORT)))

    def _clearing_price(self, state: State, signals: Signals) -> Floats:
        """The price at which the expected sales until `days_left` equal the stock; 0 if there is none.

        It solves the fluid problem with the remaining stock (Gallego and van Ryzin 1994; repeated solution: Maglaras
        and Meissner 2006): maximize margin · expected sales, with expected sales until `days_left` within the stock.
        """
        limited = np.isfinite(signals.days_left)
        if not limited.any():
            return np.zeros(len(signals))
        # Without views or an end x is not finite, and no price is required.
        with np.errstate(divide="ignore", invalid="ignore"):
            visitors = self._views_a_day(state, signals) * signals.days_left
            purchases = signals.stock / state.products["units_per_purchase"]
            x = (np.log(purchases / visitors) - state.products["a"]) / np.minimum(state.products["b"], FLATTEST)
        found = np.isfinite(x)
        return np.where(found, price_at(np.where(found, x, 0.0), signals.reference), 0.0)

    def _views_a_day(self, state: State, signals: Signals) -> Floats:
        """Expected views per day: those of the last epoch."""
        del state
        return signals.views / signals.days


@register
@frozen
class ElasticityLearning(DemandLearning):
    """Estimates each product's elasticity, and proposes the price of highest profit; where sales repay it, it varies
    the price by a randomly drawn elasticity (Thompson sampling, Thompson 1933).
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
    repaid_weeks: float = parameter(
        104, at_least=0, at_most=10_000, says="Weeks within which what a price variation teaches must repay its cost."
    )

    def _horizon(self, signals: Signals) -> Floats | float:
        del signals
        return self.repaid_weeks

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        kept = state.products["kept"]
        tries = (state.products["tries"] > 0.0) & (self.vary | (self.caution > 0))
        # Variations of a price at the seller's limit stay on the permitted side, else the price would not vary.
        varied = np.where(signals.max_price >= 0, np.minimum(kept, signals.max_price), kept)
        varied = np.maximum(varied, signals.min_price)
        if self.caution > 0:
            steepness = np.minimum(state.products["b"], FLATTEST)
            width = np.minimum(self.caution * np.sqrt(state.products["c11"]) / (steepness * steepness), _WIDEST)
            varied = varied * (1.0 + width * seeded_random.normal(signals.product, epoch, seed=self.seed))
        if self.vary:
            up = seeded_random.sign(signals.product, epoch, seed=self.seed, use=1) > 0
            varied = varied * np.where(up, _UP, _DOWN)
        same = ~tries & (np.abs(kept - signals.price) < _UNCHANGED * signals.price)
        prices = np.where(same, np.nan, self._limit_step(np.where(tries, varied, kept), signals))
        untried = state.products["c11"] > _UNTRIED * ROOT_VARIANCE
        motive = select_motives(Motive.LEARNED, (tries | untried, Motive.TRYING), (same, Motive.NOT_BETTER))
        return self._at_least_clearing(Proposal(prices, motive), state, signals)


@register
@frozen
class ControlledVariance(DemandLearning):
    """`elasticity_learning` without random numbers: the optimal price, kept at a distance from the mean of past prices.

    Controlled variance pricing (den Boer and Zwart 2014): after n epochs, n times the variance of the prices is at
    least `width`²·n^`exponent`, relative to the reference price.
    """

    name: ClassVar[str] = "controlled_variance"
    corrects_common_changes: ClassVar[bool] = False
    """Prices of a category move together for long, so that a change of demand that follows them, as forged views can,
    would be taken for one that all products share: 5 % of the profit instead of 1 %."""
    retired_parameters: ClassVar[frozenset[str]] = frozenset({"seed", "caution", "vary"})
    """Parameters of release 0.1.0 that had no effect."""
    columns: ClassVar[Mapping[str, int]] = _COLUMNS | {"epochs": 1, "mean_x": 1}
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
        best = np.clip(state.products["kept"], *price_band(signals.price, signals.price, 1.0))
        x = best / signals.reference - 1.0
        n, mean = np.maximum(state.products["epochs"], 1.0), state.products["mean_x"]
        apart = self.width * np.sqrt((n + 1.0) / n * ((n + 1.0) ** self.exponent - n**self.exponent))
        kept = np.where(x >= mean, np.maximum(x, mean + apart), np.minimum(x, mean - apart))
        motive = select_motives(Motive.LEARNED, (kept != x, Motive.TRYING))
        free = Proposal(self._limit_step((1.0 + kept) * signals.reference, signals), motive)
        return self._at_least_clearing(free, state, signals)


@register
@frozen
class Inventory(ElasticityLearning):
    """`elasticity_learning` for goods that are not restocked in time.

    It averages the views per day over several epochs, can ignore the cost of perishable goods, and varies prices only
    where that repays its cost before `days_left` ends.
    """

    name: ClassVar[str] = "inventory"
    columns: ClassVar[Mapping[str, int]] = _COLUMNS | {"views_a_day": 1, "averaged_days": 1}
    perishable: bool = parameter(False, says="Unsold units are worthless at the end, so their cost is ignored.")
    memory_days: float = parameter(
        28.0, at_least=1, at_most=365, says="Averaging period of the views per day, in days."
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        first = super().start(signals, groups)
        zero = np.zeros(len(signals))
        return State({**first.products, "views_a_day": zero, "averaged_days": zero}, first.groups)

    def update(self, state: State, signals: Signals) -> State:
        then = super().update(state, signals)
        # A mean over the first `memory_days`, then an exponential average.
        averaged = np.minimum(state.products["averaged_days"], self.memory_days) + signals.days
        daily = state.products["views_a_day"]
        daily = daily + (signals.views - daily * signals.days) / np.maximum(averaged, 1e-9)
        return State({**then.products, "views_a_day": daily, "averaged_days": averaged}, then.groups)

    def _views_a_day(self, state: State, signals: Signals) -> Floats:
        del signals
        return state.products["views_a_day"]

    def _break_even(self, signals: Signals, groups: Mapping[str, Floats]) -> Floats:
        if self.perishable:
            return np.zeros(len(signals))
        return super()._break_even(signals, groups)

    def _horizon(self, signals: Signals) -> Floats | float:
        return np.minimum(signals.days_left / 7.0, self.repaid_weeks)


def _belief(state: State) -> Belief:
    return Belief(*(state.products[name] for name in Belief._fields))


def _delay(state: State) -> Delay:
    return Delay(*(state.products[name] for name in Delay._fields))


def _common_change(state: State) -> CommonChange:
    return CommonChange(*(state.products[name] for name in CommonChange._fields))


def _first(values: Floats | Sequence[float]) -> float:
    return float(values[0]) if len(values) else 0.0


def _priors(groups: Mapping[str, Floats]) -> Priors:
    return Priors(**{name: groups[name] for name in _PRIORS})


def _may_be_promotion(kept: Floats, signals: Signals) -> Flags:
    """Whether a price that was set by hand far from the kept one has been observed for a short time only.

    Sellers who lower a price for a week often advertise it, too, or expect a good week: the sales are not an effect of
    the price alone. A price that stays becomes the kept one, and is evidence then.
    """
    edited = signals.since_edit < np.inf
    if not edited.any():
        return edited
    far = np.abs(signals.price - kept) > _PROMOTION * kept
    return far & edited & (signals.days <= np.maximum(_PROMOTION_DAYS, signals.epoch_days))


def _units_per_purchase(signals: Signals, mean: Floats) -> tuple[Floats, Floats]:
    """Units per purchase in this epoch, and their running mean.

    A purchase of several units is one event. In epochs whose units the anomaly filter has replaced, it is the mean.
    """
    known = (signals.orders > 0.0) & (signals.counted_views < 0.0) & (signals.weight == 1.0)
    if not known.any():
        return mean, mean
    gross = signals.units + signals.refunded
    orders = np.where(known, signals.orders, 1.0)
    here = np.where(known, np.maximum(gross, orders) / orders, mean)
    return here, mean + np.where(known, orders / (orders + _USUAL_PURCHASES), 0.0) * (here - mean)


def _short(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Round to the precision in which inputs of decisions need half of the storage."""
    return {name: values.astype(np.float32).astype(np.float64) for name, values in columns.items()}


def _group_means(values: Floats, signals: Signals, empty: Floats) -> Floats:
    count = np.bincount(signals.group, minlength=len(empty))
    total = np.bincount(signals.group, weights=values, minlength=len(empty))
    return np.where(count > 0, total / np.maximum(count, 1), empty)
