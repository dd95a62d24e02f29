"""Views that follow the price: those of a search that ranks by price, or forged ones below the first price.

Sales per view measure the effect of a price only if views do not depend on it. Whether they do is estimated over all
products of a policy, by a regression of the logarithm of views on two functions of the price: the side of the reference
price and the distance from it. A product is compared with its own earlier views and with the other products of its
category between two calls of `pool`, so that lasting changes of traffic which a category shares have no effect.
Without a significant effect nothing is corrected. Otherwise the views that count are those which the product would have
had at its reference price, and the effect of a price on views becomes a part of its effect on sales.

What was learnt before the effect is known is corrected as for delayed sales: effects are biases of a Kalman filter
(Friedland 1969), and each product keeps the derivatives of its estimates with respect to them.
"""

from typing import Final, NamedTuple

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
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


class ViewHistory(NamedTuple):
    """Statistics of the views of products; each array has a row per product."""

    view_means: Floats
    """Running means of the logarithm of views per day and of the functions of the price; NaN before the first views."""
    view_derivatives: Floats
    """Derivatives of the estimates a and b with respect to the first effect, then to the second."""
    view_sums: Floats
    """Sums since the last call of `pool`, for the deviations e of the logarithm of views and f, g of the functions:
    of the weight w, wf, wg, we, wff, wfg, wgg, wfe and wge.
    """

    @classmethod
    def unknown(cls, size: int) -> "ViewHistory":
        return cls(np.full((size, 3), np.nan), np.zeros((size, 4)), np.zeros((size, 9)))

    def beginning(self) -> "ViewHistory":
        """The same history with sums of zero, at the beginning of an interval."""
        return self._replace(view_sums=np.zeros_like(self.view_sums))


VIEW_COLUMNS: Final = {"view_means": 3, "view_derivatives": 4, "view_sums": 9}


class ViewFollowing(NamedTuple):
    """Sums of the regression for each category, made of `view_sums`; earlier intervals have less weight."""

    following_ff: Floats
    following_fg: Floats
    following_gg: Floats
    following_fe: Floats
    following_ge: Floats

    def effects(self) -> tuple[float, float]:
        """The effects of both functions on the logarithm of views; zeros if they are not significant."""
        ff, fg, gg, fe, ge = (float(each.sum()) for each in self)
        ff, gg = ff + 1.0 / _PRIOR_VARIANCES[0], gg + 1.0 / _PRIOR_VARIANCES[1]
        determinant = ff * gg - fg * fg
        effects = (gg * fe - fg * ge) / determinant, (ff * ge - fg * fe) / determinant
        return effects if effects[0] * fe + effects[1] * ge > _SIGNIFICANT else (0.0, 0.0)


def price_functions(x: Floats) -> tuple[Floats, Floats]:
    """Both functions of the distance `x` from the reference price: its side, ½ below and −½ above, and −x."""
    return -0.5 * np.sign(x), -x


def view_factors(effects: tuple[float, float], x: Floats) -> Floats:
    """The factor by which prices at distance `x` multiply views."""
    side, distance = price_functions(x)
    factors: Floats = np.exp(np.clip(effects[0] * side + effects[1] * distance, -_LARGEST_EFFECT, _LARGEST_EFFECT))
    return factors


def observe_views(
    history: ViewHistory,
    before: Belief,
    forecast: Forecast,
    *,
    x: Floats,
    views: Floats,
    days: Floats,
    counts: Flags,
) -> ViewHistory:
    """Add an epoch at distance `x` from the reference price, with its views where it `counts`.

    `forecast` was computed from the belief `before`.
    """
    counts = counts & (views > 0.0) & (days > 0.0)
    functions = price_functions(x)
    now = np.column_stack((np.log(np.where(counts, views, 1.0) / np.where(counts, days, 1.0)), *functions))
    begins = counts & np.isnan(history.view_means[:, 0])
    compared = counts & ~begins
    deviations = np.where(compared[:, None], now - history.view_means, 0.0)
    deviations[:, 0] = np.clip(deviations[:, 0], -_LARGEST_ERROR, _LARGEST_ERROR)
    e, f, g = deviations.T
    w = np.where(compared, 1.0 / (_VARIANCE + 1.0 / np.maximum(views, 1.0)), 0.0)
    derivatives: list[Floats] = []
    for number, function in enumerate(functions):
        a, b = history.view_derivatives[:, 2 * number : 2 * number + 2].T
        derivatives += observe_derivatives(before, forecast, x=x, a=a, b=b, derivative=a + x * b - function)
    return ViewHistory(
        np.where(begins[:, None], now, history.view_means + _GAIN * deviations),
        np.column_stack(derivatives),
        history.view_sums + w[:, None] * np.column_stack((np.ones(len(x)), f, g, e, f * f, f * g, g * g, f * e, g * e)),
    )


def estimate_following(following: ViewFollowing, history: ViewHistory, group: Whole) -> ViewFollowing:
    """Add the interval since the last call of `pool`, compared within each group."""
    groups = len(following.following_ff)
    w, f, g, e, ff, fg, gg, fe, ge = (
        np.bincount(group, weights=values, minlength=groups) for values in history.view_sums.T
    )
    w = np.maximum(w, 1e-300)
    interval = ViewFollowing(ff - f * f / w, fg - f * g / w, gg - g * g / w, fe - f * e / w, ge - g * e / w)
    return ViewFollowing(*(_REMEMBERED * old + new for old, new in zip(following, interval, strict=True)))


def correct_belief(belief: Belief, history: ViewHistory, before: ViewFollowing, now: ViewFollowing) -> Belief:
    """The belief after a change of the effects."""
    change = np.subtract(now.effects(), before.effects())
    return belief._replace(
        a=belief.a + history.view_derivatives[:, ::2] @ change, b=belief.b + history.view_derivatives[:, 1::2] @ change
    )
