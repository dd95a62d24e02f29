"""Reproducible random numbers: functions of a seed, a product, an epoch and a use.

They use only integer operations, additions and multiplications, whose results are the same on every machine. A run
that is repeated, resumed or replayed elsewhere therefore makes the same decisions.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scalecommerce_core.pricing.arrays import Floats, Whole

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_MASK: Final = 2**64 - 1


def bits(product: Whole, epoch: int, *, seed: int, use: int = 0) -> NDArray[np.uint64]:
    """64 random bits per product (SplitMix64; Steele, Lea and Flood 2014).

    `use` distinguishes several numbers for the same product and epoch.
    """
    key = _mixed_number(seed, epoch, use)
    x = product.astype(np.uint64)
    x *= _GOLDEN
    x += np.uint64(key)
    x ^= x >> np.uint64(30)
    x *= _FIRST
    x ^= x >> np.uint64(27)
    x *= _SECOND
    x ^= x >> np.uint64(31)
    return x


def normal(product: Whole, epoch: int, *, seed: int, use: int = 0) -> Floats:
    """Approximately standard normal numbers within ±3.9.

    The sum of four 16-bit uniforms (Irwin-Hall distribution), scaled to variance 1 and corrected for its kurtosis by
    the Cornish-Fisher expansion. The exact quantile function needs a logarithm, whose last bit differs between
    mathematical libraries.
    """
    x = bits(product, epoch, seed=seed, use=use)
    low = np.uint64(0xFFFF)
    total = (x & low) + ((x >> np.uint64(16)) & low) + ((x >> np.uint64(32)) & low) + (x >> np.uint64(48))
    # The mean of the sum is 2 · 65,535; sqrt(3) / 65,536 brings its variance to 1.
    centred: Floats = total.astype(np.float64) - 131_070.0
    z = centred * 2.6428997918226276e-05
    # Excess kurtosis is -0.3: z + 0.3 / 24 · (z³ - 3z).
    return z * (0.9625 + 0.0125 * (z * z))


def uniform(product: Whole, epoch: int, *, seed: int, use: int = 0) -> Floats:
    """Numbers that are uniform in [0, 1)."""
    top = bits(product, epoch, seed=seed, use=use) >> np.uint64(11)
    return top.astype(np.float64) * 2.0**-53


def sign(product: Whole, epoch: int, *, seed: int, use: int = 0) -> Floats:
    """+1 or -1 with equal probability."""
    top = bits(product, epoch, seed=seed, use=use) >> np.uint64(63)
    return 1.0 - 2.0 * top.astype(np.float64)


def _mixed_number(*numbers: int) -> int:
    """Mix the numbers into one 64-bit key, so that adjacent seeds and epochs give unrelated keys."""
    x = 0
    for number in numbers:
        x = (x + number + int(_GOLDEN)) & _MASK
        x = ((x ^ (x >> 30)) * int(_FIRST)) & _MASK
        x = ((x ^ (x >> 27)) * int(_SECOND)) & _MASK
        x ^= x >> 31
    return x
