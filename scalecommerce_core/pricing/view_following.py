"""Views that follow the price: those of a search that ranks by price, or forged ones below the first price.

Sales per view measure the effect of a price only if views do not depend on it. Whether they do is estimated over all
products of a policy, by a regression of the logarithm of views on two functions of the price: the side of the reference
price and the distance from it. A product is compared with its own earlier views and with the other products of its
category between two calls of `pool`, so that lasting changes of traffic which a category shares have no effect.
Without a significant effect nothing is corrected. Otherwise every strategy gets the views that the product would have
had at its reference price, and the effect of a price on views becomes a part of its effect on sales.

A strategy that learnt before the effect was known can correct its estimates as for delayed sales: effects are biases of
a Kalman filter (Friedland 1969), of which each product keeps the derivatives of its estimates.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole, sums
from scalecommerce_core.pricing.demand_filter import Belief, Forecast, observe_derivatives

_GAIN: Final = 0.3
"""Weight of an epoch in the running means."""
_LARGEST_ERROR: Final = 1.0
"""Winsorisation: largest deviation of the logarithm of views."""
_VARIANCE: Final = 0.25
"""Variance of the logarithm of views around the running mean, in addition to that of a Poisson count."""
_PRIOR_VARIANCES: Final = (1.0, 25.0)
"""Prior variances of the effects, around 0. They matter while prices stay so near to the reference price that both
functions are almost equal."""
_SIGNIFICANT: Final = 14.0
"""Chi-square statistic of both effects from which they are used; by chance it is as large once in 1,100 tests."""
_LARGEST_EFFECT: Final = 2.3
"""Bound of the logarithm by which views are corrected."""
_REMEMBERED: Final = 0.97
"""Share of the evidence that remains after a call of `pool`."""

Effects = tuple[float, float]
"""Effects of both functions of the price on the logarithm of views."""
NO_EFFECTS: Final = (0.0, 0.0)


class ViewHistory(NamedTuple):
    """Statistics of the views of products; each array has an element per product."""

    view_mean: Floats
    side_mean: Floats
    distance_mean: Floats
    """Running means of the logarithm of views per day and of the functions of the price; NaN before the first views."""
    view_w: Floats
    view_wf: Floats
    view_wg: Floats
    view_we: Floats
    view_wff: Floats
    view_wfg: Floats
    view_wgg: Floats
    view_wfe: Floats
    view_wge: Floats
    """Sums since the last call of `pool` of the weight w and its products with the deviations e of the logarithm of
    views and f, g of the functions."""

    @classmethod
    def unknown(cls, size: int) -> "ViewHistory":
        return cls(*(np.full(size, np.nan) for _ in range(3)), *(np.zeros(size) for _ in range(9)))

    @classmethod
    def of_columns(cls, columns: Mapping[str, Floats], known: Flags) -> "ViewHistory":
        """The history in these columns, which may be missing; unknown where `known` is false or the mean is NaN."""
        history = cls.unknown(len(known))
        if cls._fields[0] not in columns:
            return history
        known = known & ~np.isnan(columns[cls._fields[0]])
        return cls(*(np.where(known, columns[name], nothing) for name, nothing in history._asdict().items()))

    def beginning(self) -> "ViewHistory":
        """The same history with sums of zero, at the beginning of an interval."""
        zero = np.zeros(len(self.view_mean))
        return ViewHistory(*self[:3], *(zero for _ in self[3:]))

    def rows(self, chosen: Whole) -> "ViewHistory":
        return ViewHistory(*(values[chosen] for values in self))

    def replace_rows(self, chosen: Whole, other: "ViewHistory") -> None:
        """Replace rows in place."""
        for values, new in zip(self, other, strict=True):
            values[chosen] = new


class ViewFollowing(NamedTuple):
    """Sums of the regression for each category, from those of `ViewHistory`; earlier intervals have less weight."""

    following_ff: Floats
    following_fg: Floats
    following_gg: Floats
    following_fe: Floats
    following_ge: Floats

    def effects(self) -> Effects:
        """The effects of both functions on the logarithm of views; zeros if they are not significant."""
        ff, fg, gg, fe, ge = (float(each.sum()) for each in self)
        ff, gg = ff + 1.0 / _PRIOR_VARIANCES[0], gg + 1.0 / _PRIOR_VARIANCES[1]
        determinant = ff * gg - fg * fg
        effects = (gg * fe - fg * ge) / determinant, (ff * ge - fg * fe) / determinant
        return effects if effects[0] * fe + effects[1] * ge > _SIGNIFICANT else NO_EFFECTS


def price_functions(x: Floats) -> tuple[Floats, Floats]:
    """Both functions of the distance `x` from the reference price: its side, ½ below and −½ above, and −x."""
    return -0.5 * np.sign(x), -x


def view_factors(effects: Effects, x: Floats) -> Floats:
    """The factor by which prices at distance `x` multiply views."""
    side, distance = price_functions(x)
    factors: Floats = np.exp(np.clip(effects[0] * side + effects[1] * distance, -_LARGEST_EFFECT, _LARGEST_EFFECT))
    return factors


def observe_views(history: ViewHistory, *, x: Floats, views: Floats, days: Floats, counts: Flags) -> ViewHistory:
    """Add an epoch at distance `x` from the reference price, with its views where it `counts`."""
    counts = counts & (views > 0.0) & (days > 0.0)
    now = np.log(np.where(counts, views, 1.0) / np.where(counts, days, 1.0)), *price_functions(x)
    begins = counts & np.isnan(history.view_mean)
    compared = counts & ~begins
    e, f, g = (np.where(compared, new - mean, 0.0) for new, mean in zip(now, history[:3], strict=True))
    e = np.clip(e, -_LARGEST_ERROR, _LARGEST_ERROR)
    w = np.where(compared, 1.0 / (_VARIANCE + 1.0 / np.maximum(views, 1.0)), 0.0)
    wf, wg = w * f, w * g
    means = (
        np.where(begins, new, mean + _GAIN * deviation)
        for new, mean, deviation in zip(now, history[:3], (e, f, g), strict=True)
    )
    added = w, wf, wg, w * e, wf * f, wf * g, wg * g, wf * e, wg * e
    return ViewHistory(*means, *(total + new for total, new in zip(history[3:], added, strict=True)))


def estimate_following(following: ViewFollowing, history: ViewHistory, group: Whole) -> ViewFollowing:
    """Add the interval since the last call of `pool`, compared within each group."""
    groups = len(following.following_ff)
    w, f, g, e, ff, fg, gg, fe, ge = (sums(group, values, groups) for values in history[3:])
    w = np.maximum(w, 1e-300)
    interval = ViewFollowing(ff - f * f / w, fg - f * g / w, gg - g * g / w, fe - f * e / w, ge - g * e / w)
    return ViewFollowing(*(_REMEMBERED * old + new for old, new in zip(following, interval, strict=True)))


# --- estimates that were learnt before the effects were known

VIEW_DERIVATIVES: Final = {"view_derivatives": 4}
"""Column of a strategy's state: derivatives of the estimates a and b with respect to the first effect, then to the
second."""


def observe_view_derivatives(derivatives: Floats, before: Belief, forecast: Forecast, *, x: Floats) -> Floats:
    """The derivatives after an epoch whose `forecast` was computed from the belief `before`."""
    changed: list[Floats] = []
    for number, function in enumerate(price_functions(x)):
        a, b = derivatives[:, 2 * number], derivatives[:, 2 * number + 1]
        changed += observe_derivatives(before, forecast, x=x, a=a, b=b, derivative=a + x * b - function)
    return np.column_stack(changed)


def correct_belief(belief: Belief, derivatives: Floats, change: Effects) -> Belief:
    """The belief after a `change` of the effects.

    Views at the reference price itself, where most of the level a was learnt, may have been those of either side of it,
    so the level is uncertain by the first effect. Otherwise this difference would be taken for an effect of the price.
    """
    return belief._replace(
        a=belief.a + derivatives[:, ::2] @ np.array(change),
        b=belief.b + derivatives[:, 1::2] @ np.array(change),
        c00=belief.c00 + change[0] ** 2,
    )
