"""Substitutes: the products of a category take sales from each other, and their prices are set together.

Model: log(units per view) of a product is a + b·x + g·m. x is the distance of its price from the reference price, as in
`demand_curve`; m is the mean of x of the other products in its category, weighted by the square root of their revenue;
and g >= 0 is the cross elasticity of the category. Of each unit that a higher price costs, a part is sold by the other
products; their profit from it is an opportunity cost of selling the unit. With it as a part of the cost, the price that
is best for a product alone is best for the category (the first-order condition of a seller of several products).

g is estimated by a randomized experiment that goes on while it is needed: the prices of each category are shifted up
and down in turn, half of the categories against the other half, and log sales, corrected for the products' own prices,
are regressed on the random and the other part of the mean price. The random part does not depend on demand; the other
part does, because prices follow the errors of the estimated elasticities.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.categories import extend_groups, group_count
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.demand_curve import FLATTEST, fourth_root, price_distance
from scalecommerce_core.pricing.demand_filter import Belief
from scalecommerce_core.pricing.interface import Proposal, State, parameter, register
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.signals import Signals

_WINDOW: Final = (
    "sold",
    "expected",
    "drift",
    "distance",
    "variation",
    "counted",
    "age",
    "own_score",
    "own_information",
)
"""Columns that are sums since the last call of `pool`."""
_LASTING: Final = ("shifted", "views_a_week", "profit_a_unit")
_COLUMNS: Final = dict.fromkeys((*_WINDOW, *_LASTING), 1)
_SUMS: Final = ("vv", "vr", "rr", "vy", "ry", "yy", "windows", "own_score", "own_information")
"""Weighted sums of products of y (log sales), v (random variation) and r (the rest of the mean price), and the sums of
a Poisson regression of the products' sales on their own random variation."""
_GROUPS: Final = (
    "cross", "shift", "mean_distance", "influence", "spill", "pooled", "level", "usual_level", "usual_distance",
    "usual_variation", *_SUMS,
)  # fmt: skip
_PREFIX: Final = "substitutes_"
"""Prefix of the group parameters of this module, apart from those of `DemandLearning`."""
_LARGEST_VARIATION: Final = 0.1
"""Prices farther from the kept price than this share are no random variations of it."""
_MEMORY_WEEKS: Final = 8.0
_BASELINE_GAIN: Final = 0.5
"""Gain of the exponential means that are subtracted from log sales and prices, because levels drift."""
_LEVEL_NOISE: Final = 0.01
"""Standard deviation of log sales beyond that of the counts; larger noise appears in the residuals."""
_LEAST_POOLED: Final = 3
"""Calls of `pool` before an estimate is used; the first two only initialize the means."""
_PRIOR_WINDOWS: Final = 10.0
_PRIOR_NOISE: Final = 2.0
"""The variance of residuals relative to that of counts, before any: its value, and its weight in windows."""
_BETWEEN: Final = 0.15**2
"""Variance of cross elasticities between the categories of a seller."""
_OWN_COMMON, _OWN_BETWEEN = 0.3**2, 0.1**2
"""Variances of the error of the estimated own elasticities: of all categories, and between them."""
_DISPERSION: Final = 1.2
"""Variance of sales relative to that of a Poisson distribution."""
_CERTAIN: Final = 0.4
"""Standard deviation of the mean cross elasticity below which the shifts become smaller."""
_LEAST_SHIFT: Final = 0.2
"""Smallest amplitude of the shifts, as a share of the largest."""
_OWN_SHARE: Final = 0.75
"""Amplitude of the random variation of single products, as a share of the shift of their category."""
_USE_OWN, _USE_ORDER, _USE_SIGN = 3, 4, 5
"""Numbers of the random draws; `ElasticityLearning` has 0 and 1."""


@register
@frozen
class Substitutes(ElasticityLearning):
    """`elasticity_learning` for categories whose products are substitutes: prices of highest profit together."""

    name: ClassVar[str] = "substitutes"
    columns: ClassVar[Mapping[str, int]] = {**ElasticityLearning.columns, **_COLUMNS}
    unused_in_propose: ClassVar[frozenset[str]] = (
        ElasticityLearning.unused_in_propose | _COLUMNS.keys() | {_PREFIX + name for name in _GROUPS if name != "shift"}
    )
    probe: float = parameter(
        0.025,
        at_least=0,
        at_most=0.2,
        says="Relative shift of all prices of a category, up and down in turn, while cross elasticities are uncertain.",
    )
    cross_spread: float = parameter(
        0.5, at_least=0.01, at_most=10, says="Standard deviation of cross elasticities around 0, before any sale."
    )
    cross_caution: float = parameter(
        0.5,
        at_least=0,
        at_most=10,
        says="Standard deviations of their common mean by which cross elasticities are used below their estimates.",
    )
    most_diverted: float = parameter(
        1.0,
        at_least=0,
        at_most=10,
        says="Largest profit of other products per unit of a product, as a share of its reference price.",
    )

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        learned, ours = _split(groups)
        size = group_count(groups, signals)
        first = super().start(signals, learned)
        usual = {name: np.zeros(size) for name in _GROUPS} | {"shift": self.probe * shift_signs(size, 0, self.seed)}
        known = extend_groups(ours, usual)
        products = dict.fromkeys(_COLUMNS, np.zeros(len(signals)))
        return State({**first.products, **products}, _joined(first.groups, known))

    def update(self, state: State, signals: Signals) -> State:
        was, at = state.products, signals.group
        learned, ours = _split(state.groups)
        x = price_distance(signals.price, signals.reference)
        root = fourth_root(signals.price / signals.reference)
        variation = signals.price / np.maximum(was["kept"], 1.0) - 1.0
        expected = signals.views * np.exp(np.clip(was["a"] + was["b"] * x - was["drift"], -9.0, 0.0))

        # The filter learns the elasticity without the shift of the category, whose effect includes the cross effect.
        direction = np.sign(was["shifted"])
        shift = direction * np.clip(direction * variation, 0.0, np.abs(was["shifted"]))
        unshifted = np.maximum(np.rint(signals.price / (1.0 + shift)), 1.0).astype(np.int64)
        x0 = price_distance(unshifted, signals.reference)
        effect = (was["b"] + ours["cross"][at]) * (x - x0)
        effect = np.clip(effect + (ours["cross"] * ours["mean_distance"])[at], -1.0, 1.0)
        # The products' own random variation tells the error of the elasticities, without that of the category's prices.
        own = root * np.clip((1.0 + variation) / (1.0 + shift) - 1.0, -_LARGEST_VARIATION, _LARGEST_VARIATION)
        forecast = signals.views * np.exp(np.clip(was["a"] + was["b"] * x0 + effect, -9.0, 0.0))
        then = self._learn(State(_without(was), learned), signals.with_columns(price=unshifted), np.exp(effect))
        now = then.products

        diverted = self._diverted_profit(was, ours, signals, root) * (10_000 - signals.fee) / 10_000
        cost = np.where(signals.cost >= 0, signals.cost + np.rint(diverted).astype(np.int64), signals.cost)
        belief = Belief(*(now[name] for name in Belief._fields))
        kept = self._kept_price(belief, was["kept"], signals.with_columns(cost=cost), self._complete(learned))

        by_hand = np.isfinite(signals.since_edit) & (signals.since_edit <= signals.since_change)
        # The first epoch after a call of `pool` had the shift from before it.
        counts = (signals.weight == 1.0) & (signals.views > 0) & (was["age"] >= 1.0) & ~by_hand
        counted = (counts & (np.abs(variation) <= _LARGEST_VARIATION)).astype(np.float64)
        weekly = np.where(signals.days > 0, signals.views / np.maximum(signals.days, 1e-9) * 7.0, was["views_a_week"])
        share = np.where(was["views_a_week"] == 0.0, 1.0, np.minimum(signals.epoch_days / 7.0 / _MEMORY_WEEKS, 1.0))
        more = {
            "sold": was["sold"] + counted * signals.units,
            "expected": was["expected"] + counted * expected,
            "drift": was["drift"] + now["a"] - was["a"] + (now["b"] - was["b"]) * x,
            "distance": was["distance"] + counted * x,
            "variation": was["variation"] + counted * variation,
            "counted": was["counted"] + counted,
            "age": was["age"] + 1.0,
            "own_score": was["own_score"] + counted * own * (signals.units - forecast),
            "own_information": was["own_information"] + counted * own * own * forecast,
            "shifted": ours["shift"][at],
            "views_a_week": was["views_a_week"] + share * (weekly - was["views_a_week"]),
            "profit_a_unit": signals.price - break_even(signals, learned["mean"][at]),
        }
        return State({**now, "kept": kept, **more}, state.groups)

    def pool(self, state: State, signals: Signals) -> State:
        """Estimate the cross elasticities, and what each category earns from sales that a product diverts to it."""
        was, at = state.products, signals.group
        learned, ours = _split(state.groups)
        size = len(ours["cross"])
        then = super().pool(State(_without(was), learned), signals)
        now = dict(then.products)
        x = price_distance(signals.price, signals.reference)

        def total(values: Floats) -> Floats:
            return np.bincount(at, weights=values, minlength=size).astype(np.float64)

        usual, present = _sales(now | {"views_a_week": was["views_a_week"]}, x)
        weight = np.sqrt(usual * signals.reference)
        influence = total(weight)
        others = influence[at] - weight
        # Sales of a category with a single product divert nothing.
        spill = total(np.where(others > 1e-9 * weight, present * was["profit_a_unit"] / np.maximum(others, 1e-9), 0.0))
        mean_distance = _mean(weight, x, total)

        drift = was["drift"] + now["a"] - was["a"] + (now["b"] - was["b"]) * x
        sold, expected = total(was["sold"]), total(was["expected"])
        counted = np.maximum(was["counted"], 1.0)
        seen = weight * (was["counted"] > 0)
        window = _Window(
            level=ours["level"] + np.log((sold + 0.5) / (expected + 0.5)),
            distance=_mean(seen, was["distance"] / counted, total),
            variation=_mean(seen, was["variation"] / counted, total),
            weight=np.where((expected > 0) & (sold > 0), 1.0 / (_LEVEL_NOISE**2 + 1.2 / (sold + 1.0)), 0.0),
        )
        level = ours["level"] + np.log(
            (total(was["expected"] * np.exp(np.clip(drift, -5.0, 5.0))) + 0.5) / (expected + 0.5)
        )
        usuals, sums = _add_window(ours, window)
        sums |= {name: ours[name] + total(was[name]) for name in ("own_score", "own_information")}
        # The elasticities' own errors change log sales, too.
        shares = was["expected"] / np.maximum(expected[at], 1e-9)
        estimate = estimate_cross(sums, total(shares * shares * now["c11"]), self.cross_spread)
        pooled = ours["pooled"] + 1.0
        cross = np.maximum(estimate.mean - self.cross_caution * estimate.common_deviation, 0.0) * (
            pooled > _LEAST_POOLED
        )
        # `a` is the level at the mean price of the others, so another cross elasticity changes it.
        revalued = (ours["cross"] - cross) * mean_distance
        now["a"] = now["a"] + revalued[at]
        amplitude = self.probe * min(1.0, max(estimate.common_deviation / _CERTAIN, _LEAST_SHIFT))
        known = {
            "cross": cross, "mean_distance": mean_distance, "influence": influence, "spill": spill, "pooled": pooled,
            "level": level + revalued, "shift": amplitude * shift_signs(size, int(pooled.max()), self.seed), **usuals,
            **sums,
        }  # fmt: skip
        empty = dict.fromkeys(_WINDOW, np.zeros(len(signals)))
        lasting = {name: was[name] for name in _LASTING}
        return State({**now, **empty, **lasting}, _joined(then.groups, known))

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        free = super().propose(state, signals, epoch)
        shift = state.groups[_PREFIX + "shift"][signals.group]
        own = _OWN_SHARE * np.abs(shift) * seeded_random.sign(signals.product, epoch, seed=self.seed, use=_USE_OWN)
        prices = np.where(np.isnan(free.prices), state.products["kept"], free.prices) * (1.0 + shift) * (1.0 + own)
        prices = np.where(shift == 0.0, free.prices, self._limit_step(prices, signals))
        return Proposal(prices, free.motive)

    def _diverted_profit(
        self, products: Mapping[str, Floats], ours: Mapping[str, Floats], signals: Signals, root: Floats
    ) -> Floats:
        """Profit that the other products of the category lose with each unit that a product sells, in minor units."""
        at = signals.group
        usual, present = _sales(products, price_distance(signals.price, signals.reference))
        weight = np.sqrt(usual * signals.reference)
        others = ours["influence"][at] - weight
        own = np.where(others > 1e-9 * weight, present * products["profit_a_unit"] / np.maximum(others, 1e-9), 0.0)
        earned = np.maximum(ours["spill"][at] - own, 0.0)
        steepness = -np.minimum(products["b"] * root, FLATTEST)
        with np.errstate(divide="ignore", invalid="ignore"):
            diverted = ours["cross"][at] * weight * root * earned / (present * steepness)
        return np.where(np.isfinite(diverted), np.minimum(diverted, self.most_diverted * signals.reference), 0.0)


class CrossEstimate(NamedTuple):
    """Posterior mean of each category's cross elasticity, and the standard deviation of the mean of all categories."""

    mean: Floats
    common_deviation: float


def estimate_cross(sums: Mapping[str, Floats], own_variance: Floats, spread: float) -> CrossEstimate:
    """Estimate cross elasticities from the sums of weighted regressions, one element per category.

    Each regression has two coefficients, of the random and of the other part of the mean price; the first one is the
    cross elasticity. `own_variance` is the variance of the mean own elasticity. The cross elasticities are normal
    around a common mean, which is normal around 0 with the standard deviation `spread` (empirical Bayes). The error of
    the own elasticities, with which log sales were corrected, is subtracted.
    """
    vv, vr, rr = sums["vv"], sums["vr"], sums["rr"] + 1.0
    determinant = np.maximum(vv * rr - vr * vr, 1e-9)
    random = (sums["vy"] * rr - sums["ry"] * vr) / determinant
    other = (sums["ry"] * vv - sums["vy"] * vr) / determinant
    residual = np.maximum(sums["yy"] - random * sums["vy"] - other * sums["ry"], 0.0)
    freedom = np.maximum(sums["windows"] - 2.0, 0.0)
    noise = (residual.sum() + _PRIOR_NOISE * _PRIOR_WINDOWS) / (freedom.sum() + _PRIOR_WINDOWS)
    known = vv > 0.0
    variance = np.where(known, noise * rr / determinant + own_variance, np.inf)
    error, error_variance = _own_errors(sums)
    cross = np.where(known, random - error, 0.0)
    precision = 1.0 / (variance + _BETWEEN)
    total = float(precision.sum())
    common_variance = (1.0 / total if total > 0.0 else np.inf) + error_variance
    shrunk = 1.0 / (1.0 + common_variance / spread**2)
    common = shrunk * float((precision * cross).sum()) / total if total > 0.0 else 0.0
    trust = np.where(known, _BETWEEN * precision, 0.0)
    mean = trust * cross + (1.0 - trust) * common
    return CrossEstimate(mean, float(spread * np.sqrt(1.0 - shrunk)))


def _own_errors(sums: Mapping[str, Floats]) -> tuple[Floats, float]:
    """Mean error of the estimated own elasticities of each category, and the variance of their common part.

    In the regression of a category, the random part of the mean price has the coefficient cross elasticity + error.
    """
    score, information = sums["own_score"] / _DISPERSION, sums["own_information"] / _DISPERSION
    variance = 1.0 / (float(information.sum()) + 1.0 / _OWN_COMMON)
    common = float(score.sum()) * variance
    return (score + common / _OWN_BETWEEN) / (information + 1.0 / _OWN_BETWEEN), variance


def shift_signs(groups: int, window: int, seed: int) -> Floats:
    """+1 or -1 per group: opposite in the two windows of a pair, and half of the groups against the other half."""
    pair = window // 2
    order = seeded_random.uniform(np.arange(groups), pair, seed=seed, use=_USE_ORDER)
    rank = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    sign = float(seeded_random.sign(np.array([pair]), 0, seed=seed, use=_USE_SIGN)[0])
    return np.where(2 * rank < groups, sign, -sign) * (1.0 - 2.0 * (window % 2))


class _Window(NamedTuple):
    """Observations between two calls of `pool`, one element per group."""

    level: Floats
    """Log sales, corrected for own prices."""
    distance: Floats
    variation: Floats
    """Mean of x, and its random part."""
    weight: Floats


def _add_window(ours: Mapping[str, Floats], window: _Window) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Subtract running means, add to the sums of the regression; return the running means and the sums.

    Differences that all categories have in common, such as seasons, are subtracted as well.
    """
    first = ours["pooled"] < _LEAST_POOLED - 1
    usuals, parts = {}, []
    for name in ("level", "distance", "variation"):
        value, usual = getattr(window, name), ours[f"usual_{name}"]
        change = np.where(first, 0.0, value - usual)
        usuals[f"usual_{name}"] = np.where(first, value, usual + _BASELINE_GAIN * change)
        parts.append(change)
    weight = np.where(first, 0.0, window.weight)
    if np.count_nonzero(weight) > 1:
        parts = [part - float((weight * part).sum()) / float(weight.sum()) for part in parts]
    y, distance, v = parts
    r = distance - v
    added = {
        "vv": weight * v * v, "vr": weight * v * r, "rr": weight * r * r, "vy": weight * v * y, "ry": weight * r * y,
        "yy": weight * y * y, "windows": (weight > 0).astype(np.float64),
    }  # fmt: skip
    return usuals, {name: ours[name] + more for name, more in added.items()}


def _sales(products: Mapping[str, Floats], x: Floats) -> tuple[Floats, Floats]:
    """Expected units per week at the reference price, and at the distance x."""
    views, a = products["views_a_week"], products["a"]
    return views * np.exp(np.clip(a, -9.0, 0.0)), views * np.exp(np.clip(a + products["b"] * x, -9.0, 0.0))


def _mean(weight: Floats, values: Floats, total: Callable[[Floats], Floats]) -> Floats:
    return total(weight * values) / np.maximum(total(weight), 1e-9)


def _without(products: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: values for name, values in products.items() if name not in _COLUMNS}


def _split(groups: Mapping[str, Floats]) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Group parameters of `DemandLearning`, and those of this module without their prefix."""
    learned = {name: values for name, values in groups.items() if not name.startswith(_PREFIX)}
    return learned, {name.removeprefix(_PREFIX): groups[name] for name in groups.keys() - learned.keys()}


def _joined(learned: Mapping[str, Floats], ours: Mapping[str, Floats]) -> dict[str, Floats]:
    return {**learned, **{_PREFIX + name: ours[name] for name in _GROUPS}}
