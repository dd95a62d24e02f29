"""Shrinkage: the mean and variance of the elasticities of a category are the prior of each of its products.

Both are computed from sums over products, so sums over parts of a catalog can be added.
"""

from typing import Final

import numpy as np
from attrs import fields_dict, frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.demand_filter import Belief

ROOT_MEAN: Final = -2.4
ROOT_VARIANCE: Final = 0.9**2
"""Prior variance of elasticities in a category without data; the prior mean is `ROOT_MEAN`. The mean of 1,851
published elasticities is -2.62 (Bijmolt, van Heerde and Pieters 2005)."""
LEAST_PRODUCTS: Final = 20
MEANS: Final = (-6.0, -1.0)
VARIANCES: Final = (0.05, 1.5)
_LEAST_INFORMATION: Final = 0.05
"""Products with less information (1 / variance) about their own elasticity are left out of the category's."""


@frozen(eq=False)
class Evidence:
    """Sums per group over informative products. The `Evidence` of parts of a catalog can be added."""

    products: Floats
    weight: Floats
    weight2: Floats
    wv: Floats
    w2v: Floats
    wb: Floats
    wb2: Floats

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(*(getattr(self, name) + getattr(other, name) for name in fields_dict(Evidence)))


def collect_evidence(group: Whole, b: Floats, c11: Floats, mean: Floats, variance: Floats) -> Evidence:
    """Sum the information of each group's products beyond their priors.

    `group`, `b` and `c11` have an element per product; `mean` and `variance`, the present priors, one per group.
    """
    groups = len(mean)
    pm, pv = mean[group], variance[group]
    information = 1.0 / c11 - 1.0 / pv
    informed = information > _LEAST_INFORMATION
    group, pm, pv, information = group[informed], pm[informed], pv[informed], information[informed]
    own = (b[informed] / c11[informed] - pm / pv) / information
    v = 1.0 / information
    # The variance of the present prior approximates the variance that is being estimated.
    w = 1.0 / (v + pv)

    def total(values: Floats) -> Floats:
        return np.bincount(group, weights=values, minlength=groups).astype(np.float64)

    centred = own - pm
    return Evidence(
        products=total(np.ones_like(w)), weight=total(w), weight2=total(w * w), wv=total(w * v), w2v=total(w * w * v),
        wb=total(w * centred), wb2=total(w * centred * centred),
    )  # fmt: skip


def estimate_priors(
    found: Evidence, mean: Floats, parent_mean: Floats, parent_variance: Floats
) -> tuple[Floats, Floats]:
    """Estimate mean and variance of each group's elasticities by the method of moments.

    DerSimonian and Laird 1986, with the weights of `collect_evidence`. A group with fewer than `LEAST_PRODUCTS`
    informative products gets the parent's mean and variance.
    """
    enough = found.products >= LEAST_PRODUCTS
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = found.wb / found.weight
        scatter = found.wb2 - found.wb * offset
        by_chance = found.wv - found.w2v / found.weight
        spread = (scatter - by_chance) / (found.weight - found.weight2 / found.weight)
    new_mean = np.where(enough, np.clip(mean + offset, *MEANS), parent_mean)
    new_variance = np.where(enough, np.clip(spread, *VARIANCES), parent_variance)
    return new_mean, new_variance


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
