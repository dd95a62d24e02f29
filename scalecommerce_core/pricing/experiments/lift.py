"""Estimates of the lift: the relative difference of profit between a policy's prices and the seller's own prices.

A lift of 0.03 means that the policy earns 3 % more. Its logarithm is estimated, since its error is nearly normal.
"""

from math import exp, log, sqrt
from typing import Final

import numpy as np
from attrs import field, frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole, sums
from scalecommerce_core.pricing.experiments.intervals import Interval, fixed_quantile, repeated_quantile

LEAST_PRODUCTS: Final = 10
"""Products that each arm must have."""
LEAST_PAIRS: Final = 5
"""Pairs of complete periods that a switchback must have."""
_FACTOR_WEIGHT: Final = 10.0
"""Number of products of a category at which its factor is halfway between 1 and its own estimate."""
_VARIANCE_POWER: Final = 1.5
"""Variances of profits grow with this power of the mean: between 1 (independent purchases) and 2 (common shocks)."""
_LEAST_EXPECTED: Final = 0.02
"""Least expected profit of a product, as a share of the mean."""


@frozen
class LiftEstimate:
    """The estimated logarithm of 1 + lift, its standard error, and the degrees of freedom of that."""

    log_lift: float
    standard_error: float
    degrees_of_freedom: float

    @property
    def lift(self) -> float:
        return exp(self.log_lift) - 1

    def fixed_interval(self) -> Interval:
        """95 % interval for one look, at a time that was planned."""
        return self._interval(fixed_quantile(self.degrees_of_freedom))

    def repeated_interval(self, elapsed: float) -> Interval:
        """95 % interval for any number of looks until the planned end; `elapsed`: elapsed share of the planned time."""
        return self._interval(repeated_quantile(self.degrees_of_freedom, elapsed))

    def _interval(self, quantile: float) -> Interval:
        # Bounds beyond e^±5 are of no use, and keep `exp` from overflowing.
        bounds = (max(-5.0, min(5.0, self.log_lift + side * quantile * self.standard_error)) for side in (-1, 1))
        low, high = (exp(bound) - 1 for bound in bounds)
        return Interval(low, high)


@frozen(eq=False)
class HoldOutProfits:
    """Profits of the products of a hold-out, one element (or row) per product.

    `before` has a row of mean profits per week in one or more windows of time before the start, the newest first;
    `during` the profits since the start. `is_held_out` marks the products at the seller's own prices.
    """

    category: Whole
    is_held_out: Flags
    before: Floats = field(repr=False)
    during: Floats = field(repr=False)
    exposure: Floats | None = field(default=None, repr=False)
    """Share of the measured time in which each product was listed; None: all of it."""


def estimate_hold_out(profits: HoldOutProfits) -> LiftEstimate | None:
    """Estimate the lift of a hold-out; None if an arm has too few products or no profit.

    The profit of each product is compared with its expectation, a regression on the profits before the start that is
    the same for both arms (variance reduction by pre-period data: Deng, Xu, Kohavi and Walker 2013; regression
    adjustment: Lin 2013), times a factor of the category for changes that all of its products share. The lift is the
    ratio of two ratio estimators, (profit / expectation) at the policy's prices and (profit / expectation) at the
    seller's own. Ratio estimators need no equal variances, and large products count as much as they earn, which heavy
    tails require. Their variance is estimated by the jackknife (Efron and Stein 1981), in which each product is left
    out with its effect on its category's factor; the degrees of freedom follow Satterthwaite (1946), with variances
    that grow with the expectations: if few products earn most, few count.
    """
    held = profits.is_held_out
    if min(int(held.sum()), int((~held).sum())) < LEAST_PRODUCTS:
        return None
    expected = _expected_profits(profits)
    if expected is None:
        return None
    _, number = np.unique(profits.category, return_inverse=True)
    left_out = _log_ratios_without_each(profits.during, expected, number, held)
    if left_out is None:
        return None
    log_lift, without = left_out
    variance, denominator = 0.0, 0.0
    for arm in (held, ~held):
        count = int(arm.sum())
        part = (count - 1) / count * float(((without[arm] - without[arm].mean()) ** 2).sum())
        weights = expected[arm] ** _VARIANCE_POWER
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        variance += part
        denominator += part**2 / max(effective - 1.0, 1.0)
    if not variance > 0.0:
        return None
    return LiftEstimate(log_lift, sqrt(variance), variance**2 / denominator)


def _expected_profits(profits: HoldOutProfits) -> Floats | None:
    """Positive expected profit of each product; None if there was no profit at all.

    Weighted least squares of `during` on the columns of `before`, without regard to the arms.
    """
    before, during = profits.before, profits.during
    exposure = np.ones(len(during)) if profits.exposure is None else profits.exposure
    if not during.sum() > 0.0:
        return None
    mean = before.mean(axis=1)
    overall = float(mean.mean())
    if not overall > 0.0:
        return float(during.sum() / exposure.sum()) * exposure
    scale = np.maximum(mean, _LEAST_EXPECTED * overall) * exposure
    columns = np.column_stack([np.full(len(during), overall), before]) * exposure[:, None]
    root = scale ** (-_VARIANCE_POWER / 2)
    coefficients, *_ = np.linalg.lstsq(columns * root[:, None], during * root, rcond=None)
    fitted = columns @ coefficients
    return np.asarray(np.maximum(fitted, _LEAST_EXPECTED * float(during.sum() / exposure.sum()) * exposure))


def _log_ratios_without_each(
    profit: Floats, expected: Floats, category: Whole, held: Flags
) -> tuple[float, Floats] | None:
    """The logarithm of 1 + lift, and the same without each product; None if the profit of an arm is not positive."""
    size = int(category.max()) + 1
    counts = np.bincount(category, minlength=size).astype(np.float64)
    sold, planned = sums(category, profit, size), sums(category, expected, size)
    factor = _category_factor(sold, planned, counts)
    without_factor = _category_factor(
        sold[category] - profit, planned[category] - expected, np.maximum(counts[category] - 1.0, 0.0)
    )
    log_lift, without = 0.0, np.zeros(len(profit))
    for arm, sign in ((held, -1.0), (~held, 1.0)):
        in_arm = arm.astype(np.float64)
        by_category = sums(category, expected * in_arm, size)
        total, base = float(profit[arm].sum()), float((by_category * factor).sum())
        rest = total - profit * in_arm
        changed = base + (without_factor - factor[category]) * by_category[category]
        changed -= without_factor * expected * in_arm
        if not (total > 0.0 and base > 0.0 and (rest > 0.0).all() and (changed > 0.0).all()):
            return None
        log_lift += sign * log(total / base)
        without += sign * np.log(rest / changed)
    return log_lift, without


def _category_factor(sold: Floats, expected: Floats, count: Floats) -> Floats:
    """Profit divided by expected profit of each category, shrunk to 1 if it has few products; positive."""
    trust = count / (count + _FACTOR_WEIGHT)
    return np.asarray(np.maximum(1.0 + trust * (sold / np.maximum(expected, 1e-12) - 1.0), 0.05))


def estimate_switchback(profits: Floats, own: Flags) -> LiftEstimate | None:
    """Estimate the lift of a switchback from the profits of complete periods; None if there are too few pairs.

    `own` marks the periods at the seller's own prices. The lift is the ratio of the two totals; pairs of successive
    periods are independent observations, and the jackknife leaves out one pair at a time.
    """
    pairs = len(profits) // 2
    if pairs < LEAST_PAIRS:
        return None
    profit, at_own = profits[: 2 * pairs].reshape(pairs, 2), own[: 2 * pairs].reshape(pairs, 2)
    policy, seller = (np.where(chosen, profit, 0.0).sum(axis=1) for chosen in (~at_own, at_own))
    without = policy.sum() - policy, seller.sum() - seller
    if not all((values > 0.0).all() for values in (*without, policy.sum()[None], seller.sum()[None])):
        return None
    logs = np.log(without[0] / without[1])
    variance = (pairs - 1) / pairs * float(((logs - logs.mean()) ** 2).sum())
    if not variance > 0.0:
        return None
    return LiftEstimate(log(float(policy.sum() / seller.sum())), sqrt(variance), pairs - 1.0)
