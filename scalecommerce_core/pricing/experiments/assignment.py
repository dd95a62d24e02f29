"""Random assignment of products to the arms of a hold-out, and of periods to the arms of a switchback.

All functions depend on a seed alone, so an assignment can be repeated and audited.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole

_BLOCK: Final = 1
_JOIN: Final = 2
_PERIOD: Final = 3
"""Uses of random numbers, see `seeded_random.uniform`."""


def hold_out_products(product: Whole, stratum: Whole, revenue: Floats, *, share: float, seed: int) -> Flags:
    """Choose the products that are held out; return a flag per product.

    Products are sorted by stratum and revenue and divided into blocks of 1 / `share` neighbours. One product of each
    block is held out at random (stratified randomization; Imai, King and Nall 2009), so both arms have the same share
    of every stratum and of every level of revenue. A last, incomplete block has a held-out product with a probability
    of its size times `share`.
    """
    rank = np.unique(stratum, return_inverse=True)[1]
    # Every second stratum is sorted upwards, so that neighbours in different strata have similar revenue, too.
    order = np.lexsort((product, np.where(rank % 2, revenue, -revenue), rank))
    block = np.floor((np.arange(len(product)) + 0.5) * share).astype(np.int64)
    first = np.flatnonzero(np.append(True, block[1:] != block[:-1])) if len(product) else np.empty(0, dtype=np.int64)
    size = np.diff(np.append(first, len(product)))
    size[-1:] = np.maximum(size[-1:], np.ceil(1.0 / share).astype(np.int64) if len(size) else 0)
    place = np.floor(_uniform(np.arange(len(first)), seed, _BLOCK) * size).astype(np.int64)
    chosen = first + place
    held = np.zeros(len(product), dtype=np.bool_)
    held[order[chosen[chosen < len(product)]]] = True
    return held


def holds_out_new(product: Whole, *, share: float, seed: int) -> Flags:
    """Whether products that are listed after the start are held out: each with the probability `share`."""
    return np.asarray(_uniform(product, seed, _JOIN) < share)


def own_price_periods(count: int, *, seed: int) -> Flags:
    """Whether the seller's own prices apply in each of `count` periods of a switchback.

    Each pair of successive periods has one period of either kind, in random order.
    """
    pairs = np.arange((count + 1) // 2)
    first = _uniform(pairs, seed, _PERIOD) < 0.5
    return np.stack([first, ~first], axis=1).reshape(-1)[:count]


def _uniform(keys: Whole, seed: int, use: int) -> Floats:
    """Numbers from 0 (inclusive) to 1 (exclusive)."""
    return seeded_random.uniform(keys.astype(np.int64), 0, seed=seed, use=use)
