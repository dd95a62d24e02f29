"""Shrinkage: the distribution of the elasticities of a category is the prior of each of its products.

A hierarchical model, estimated from all products of a policy (empirical Bayes; Efron and Morris 1975):

    elasticity of a product  ~  normal(m + ρ·(z - z0), τ²)
    m of a category          ~  normal(m0, σ²)
    log τ² of a category     ~  normal(log τ0², 0.3)

z is the elasticity at which the seller's own price would be optimal (`markup_elasticity`), z0 the mean of published
elasticities. ρ is 1 if the seller's prices are optimal, and 0 if mark-ups say nothing about demand. m0, ρ, σ² and τ0²
have priors themselves (hyperpriors), so that estimates from few products or few weeks stay near these: a small category
is close to the seller's others, and a small shop to published elasticities, without a threshold.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.demand_filter import Belief

ROOT_MEAN: Final = -2.4
ROOT_VARIANCE: Final = 0.9**2
"""Prior variance of elasticities in a category without data; the prior mean is `ROOT_MEAN`. The mean of 1,851
published elasticities is -2.62 (Bijmolt, van Heerde and Pieters 2005)."""
MEANS: Final = (-8.0, -0.5)
VARIANCES: Final = (0.01, 1.5)
"""Bounds of the mean and the variance of elasticities within a category."""
MARKUPS: Final = (-8.0, -1.05)
"""Bounds of `markup_elasticity`."""
_SELLER_VARIANCE: Final = 0.36
"""Prior variance of m0."""
_BETWEEN: Final = 0.2
_BETWEEN_WEIGHT: Final = 4.0
"""Prior value of σ², and its weight in categories."""
_WITHIN: Final = 0.3
"""Prior median of τ0². The three variances sum to about `ROOT_VARIANCE`."""
_SELLER_LOG_VARIANCE: Final = 0.25
_CATEGORY_LOG_VARIANCE: Final = 0.3
"""Prior variances of log τ0², and of log τ² around it."""
_SHARE: Final = 0.35
SHARE_VARIANCE: Final = 0.2
"""Prior mean and variance of ρ."""
_LARGEST_STEP: Final = 1.0
"""Largest change of log τ² in one estimate."""
_LARGEST_SQUARE: Final = 9.0
"""Winsorisation: largest squared deviation of a product from its category, in variances."""
_LEAST_INFORMATION: Final = 1e-9


@frozen(eq=False)
class Priors:
    """Distributions of elasticities; one element per group."""

    mean: Floats
    """m: mean elasticity of products whose mark-up implies z0."""
    variance: Floats
    """Sum of `within` and the variance of the estimate of `mean`."""
    within: Floats
    """τ²."""
    between: Floats
    """σ², the same for all groups of a policy, as the next two."""
    markup_share: Floats
    """ρ."""
    share_variance: Floats
    """Variance of the estimate of ρ."""

    @classmethod
    def usual(cls, size: int) -> "Priors":
        """The distributions before any sale."""
        usual = ROOT_MEAN, ROOT_VARIANCE, _WITHIN, _BETWEEN, _SHARE, SHARE_VARIANCE
        return cls(*(np.full(size, value) for value in usual))

    def of_products(self, group: Whole, markup: Floats) -> tuple[Floats, Floats]:
        """Prior mean and variance of products with these `markup_elasticity`; NaN: unknown."""
        deviation = _deviation(markup)
        return (
            self.mean[group] + self.markup_share[group] * deviation,
            self.variance[group] + self.share_variance[group] * (deviation * deviation),
        )


def markup_elasticity(price: Floats | Whole, break_even: Floats) -> Floats:
    """The elasticity at which a price is optimal, price / (break-even price - price); NaN for an unknown cost."""
    with np.errstate(divide="ignore", invalid="ignore"):
        implied = np.where(break_even >= price, MARKUPS[0], price / (break_even - price))
    elasticity: Floats = np.clip(implied, *MARKUPS)
    return elasticity


def _deviation(markup: Floats) -> Floats:
    return np.where(np.isnan(markup), 0.0, markup - ROOT_MEAN)


def estimate_priors(priors: Priors, group: Whole, markup: Floats, b: Floats, c11: Floats) -> Priors:
    """Estimate the model from beliefs about the products, whose present priors are `priors`.

    The information of a belief beyond its prior gives the product's own estimate and its variance v. m, m0 and ρ are
    the posterior means of a linear mixed model with the weights 1 / (v + τ²); log τ² takes a step of Fisher scoring
    towards its posterior mode, and σ² one of expectation maximization.
    """
    size = len(priors.mean)

    def total(values: Floats) -> Floats:
        return np.bincount(group, weights=values, minlength=size).astype(np.float64)

    prior_mean, prior_variance = priors.of_products(group, markup)
    information = np.maximum(1.0 / c11 - 1.0 / prior_variance, 0.0)
    weight_share = 1.0 / (1.0 + information * priors.within[group])
    weight = information * weight_share
    # Weight times the own estimate (b / c11 - prior mean / prior variance) / information.
    weighted = np.where(information > _LEAST_INFORMATION, (b / c11 - prior_mean / prior_variance) * weight_share, 0.0)
    deviation = _deviation(markup)
    weighted_deviation = weight * deviation
    w, wz, wzz = total(weight), total(weighted_deviation), total(weighted_deviation * deviation)
    wy, wzy, ww = total(weighted), total(weighted * deviation), total(weight * weight)

    # Normal equations of (m0, ρ); the categories' deviations from m0 are integrated out.
    precision = 1.0 / float(priors.between[0])
    kept = precision / (w + precision)
    a00 = float((w * kept).sum()) + 1.0 / _SELLER_VARIANCE
    a01 = float((wz * kept).sum())
    a11 = float((wzz - wz * wz / (w + precision)).sum()) + 1.0 / SHARE_VARIANCE
    r0 = float((wy * kept).sum()) + ROOT_MEAN / _SELLER_VARIANCE
    r1 = float((wzy - wz * wy / (w + precision)).sum()) + _SHARE / SHARE_VARIANCE
    determinant = a00 * a11 - a01 * a01
    seller = (a11 * r0 - a01 * r1) / determinant
    share = (a00 * r1 - a01 * r0) / determinant
    mean = np.clip((wy - share * wz + precision * seller) / (w + precision), *MEANS)
    uncertain = 1.0 / (w + precision) + kept * kept * (a11 / determinant)

    residual = weighted - weight * (mean[group] + share * deviation)
    squares = total(np.minimum(residual * residual, _LARGEST_SQUARE * weight)) + ww * uncertain
    within = _estimate_within(priors.within, squares - w, ww)
    between = (_BETWEEN_WEIGHT * _BETWEEN + float(((mean - seller) ** 2 + uncertain).sum())) / (_BETWEEN_WEIGHT + size)
    return Priors(
        mean=mean, variance=within + uncertain, within=within, between=np.full(size, between),
        markup_share=np.full(size, share), share_variance=np.full(size, a00 / determinant),
    )  # fmt: skip


def _estimate_within(within: Floats, excess: Floats, weight2: Floats) -> Floats:
    """τ² of each group from the excess of its weighted squared residuals over their expectation.

    The score of log τ² is τ²/2 · `excess`, its information τ⁴/2 · `weight2`. Their quotient is an estimate of log τ²
    with this information, which the seller's other categories and the hyperprior shrink.
    """
    log_within = np.log(within)
    information = np.maximum(0.5 * within * within * weight2, 1e-12)
    own = log_within + 0.5 * within * excess / information
    weight = 1.0 / (1.0 / information + _CATEGORY_LOG_VARIANCE)
    seller = (float((weight * own).sum()) + np.log(_WITHIN) / _SELLER_LOG_VARIANCE) / (
        float(weight.sum()) + 1.0 / _SELLER_LOG_VARIANCE
    )
    wanted = (information * own + seller / _CATEGORY_LOG_VARIANCE) / (information + 1.0 / _CATEGORY_LOG_VARIANCE)
    stepped = np.clip(wanted, log_within - _LARGEST_STEP, log_within + _LARGEST_STEP)
    bounded: Floats = np.clip(np.exp(stepped), *VARIANCES)
    return bounded


def swap_prior(belief: Belief, old_mean: Floats, old_variance: Floats, mean: Floats, variance: Floats) -> Belief:
    """Replace the prior of the elasticity in a belief (rank-one update, Sherman and Morrison 1950).

    A variance that the random walk has raised above the prior's is reduced to the prior's.
    """
    a, b, c00, c01, c11 = belief
    gained = 1.0 / variance - 1.0 / old_variance
    shrunk = 1.0 + gained * np.minimum(c11, old_variance)
    pull = mean / variance - old_mean / old_variance - gained * b
    new_c01 = c01 / shrunk
    new_c11 = np.minimum(c11, old_variance) / shrunk
    return Belief(a + new_c01 * pull, b + new_c11 * pull, c00 - gained * c01 * new_c01, new_c01, new_c11)
