"""The circuit breaker: it limits how much one run changes the prices of a catalog as a whole.

Two limits of `Guardrails` apply: the share of prices that change by more than 4 % (`breaker_share`), and the mean
relative change of all prices (`breaker_mean`). The breaker reduces the changes of a run that exceeds them:

1. If too many prices change by more than 4 %, each of these changes is reduced to 4 %.
2. If the mean is still too large, all changes are multiplied by one factor, limit / |mean|.

Reduced prices are whole minor units between the old and the decided price, so they keep the limits of the guardrails,
and a decided price ending remains a price ending. Changes are rounded down, except as many of those against the mean as
keep the mean within the limit. A reduced change may be smaller than the dead band: it is made all the same, because
otherwise a catalog in which all prices should rise by a little would never change.

Where there is no such price (price endings, prices of a few cents), a price would be kept in every run. Such prices
take turns: a random part of them, a different one in each epoch, makes its whole change, as many as the limits allow.
"""

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any, Final, Self

import numpy as np
from attrs import asdict, evolve, frozen

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.decisions import Decisions
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.price_endings import nearest_ending

LARGE_PERCENT: Final = 4
"""The breaker counts changes that are larger than this percentage of the old price."""
_MILLION: Final = 1_000_000
"""Factors are whole millionths, rounded down."""
_ROUNDING: Final = 1e-9
"""Mean changes that exceed the limit by less are within it: sums of floating-point numbers depend on their order."""
_SEED: Final = 54
"""Seed of the random numbers by which prices take turns."""
_ALL: Final = 1.0
"""Threshold above every random number."""
_NONE: Final = 0.0


@frozen(eq=False)
class Moves:
    """Decided changes of prices; arrays with an element per product. Prices are in minor units."""

    product: Whole
    old: Whole
    new: Whole
    minor_per_unit: Whole

    @classmethod
    def of(cls, decisions: Decisions) -> Self:
        """The decisions that change a price."""
        moved = decisions.moves
        columns = decisions.product, decisions.old, decisions.new, decisions.minor_per_unit
        return cls(*(column[moved] for column in columns))

    def __len__(self) -> int:
        return len(self.product)


@frozen
class Breaker:
    """Result of the circuit breaker for a run; `factor` and `caps` say how it reduces the changes.

    Runs with few prices are never limited, because a single change would be a large share of them; the other guardrails
    limit each price.
    """

    prices: int
    large_share: float
    """Share of the prices whose decided change exceeds 4 %."""
    mean_move: float
    """Mean of the decided relative changes."""
    factor: float = 1.0
    """All changes are multiplied by it."""
    caps: bool = False
    """Changes of more than 4 % are reduced to 4 % first."""
    direction: int = 0
    """Sign of the mean change that exceeds the limit; 0 if the mean is within it."""
    base_mean: float = 0.0
    """Mean of the relative changes after those of more than 4 % were reduced, if `caps`."""
    spare: float = 0.0
    """Distance of the mean change, after the reduction, from the upper limit."""
    spare_below: float = 0.0
    """Distance of the mean change, after the reduction, from the lower limit."""

    @classmethod
    def evaluate(
        cls, policy: PricingPolicy, prices: int, large: int, total_move: float, capped_move: float | None = None
    ) -> Self:
        """Evaluate a run: `large` of its prices change by more than 4 %, all by `total_move` in total (relative).

        `capped_move` is that total if changes of more than 4 % are reduced to 4 % (`capped_prices`).
        """
        if not prices:
            return cls(0, 0.0, 0.0)
        share, mean, rails = large / prices, total_move / prices, policy.guardrails
        if prices < rails.breaker_least:
            return cls(prices, share, mean, base_mean=mean)
        caps = share > rails.breaker_share
        base = (total_move if capped_move is None or not caps else capped_move) / prices
        factor, direction = 1.0, 0
        if abs(base) > rails.breaker_mean + _ROUNDING:
            factor = floor(rails.breaker_mean / abs(base) * _MILLION + _MILLION * _ROUNDING) / _MILLION
            direction = 1 if base > 0 else -1
        left = factor * base
        spare = (max(rails.breaker_mean - left, 0.0), max(rails.breaker_mean + left, 0.0)) if caps or direction else ()
        return cls(prices, share, mean, factor, caps, direction, base, *spare)

    @property
    def limited_mean(self) -> float:
        """Mean of the relative changes after the reduction, before rounding."""
        return self.base_mean * self.factor

    @property
    def acts(self) -> bool:
        """Whether the breaker reduces changes of the run."""
        return self.caps or self.factor < 1.0

    @property
    def sentence(self) -> str:
        noun = "price" if self.prices == 1 else "prices"
        share, mean, scaled = f"{self.large_share:.0%}", f"{self.mean_move:+z.1%}", _percent(self.factor)
        if not self.acts:
            return (
                f"Circuit breaker not tripped: mean change {mean}, {share} of {self.prices:,} {noun} changed by more"
                f" than {LARGE_PERCENT}%."
            )
        if self.caps and self.factor < 1.0:
            limited = (
                f"The circuit breaker limited this run: changes of more than {LARGE_PERCENT}% are reduced to"
                f" {LARGE_PERCENT}%, then all changes are {scaled} of what was decided."
            )
        elif self.caps:
            limited = (
                f"The circuit breaker limited this run: changes of more than {LARGE_PERCENT}% are reduced to"
                f" {LARGE_PERCENT}%."
            )
        else:
            limited = f"The circuit breaker limited this run: all changes are {scaled} of what was decided."
        return (
            f"{limited} Decided were a mean change of {mean}, and {share} of {self.prices:,} {noun} would change by"
            f" more than {LARGE_PERCENT}%. If changes of this size are intended, raise breaker_share and breaker_mean"
            " in the policy's guardrails."
        )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or not share else f"{share:.2%}"


@frozen
class MoveLimit:
    """How the circuit breaker reduces the changes of one range; stored with the inputs of its decisions.

    `turn`, `against_turn` and `large_turn` are thresholds: where no price with the reduced change exists, a price takes
    the next one that exists if its random number is below the threshold. `turn` applies to changes in the direction of
    the mean, `against_turn` to those against it, and `large_turn` to changes that cannot be reduced to 4 %.
    """

    factor: float
    caps: bool
    direction: int
    turn: float = 0.0
    against_turn: float = 0.0
    large_turn: float = 0.0

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        return cls(**document)

    def document(self) -> dict[str, Any]:
        return asdict(self)


def is_large(old: Whole, new: Whole) -> Flags:
    """Whether each price changes by more than 4 %."""
    large: Flags = np.abs(new - old) * 100 > LARGE_PERCENT * old
    return large


def capped_prices(moves: Moves, ending: str) -> Whole:
    """The decided prices, with changes of more than 4 % reduced to 4 %.

    A decided price ending remains one; without such a price within 4 %, the old price is returned.
    """
    old, new = moves.old, moves.new
    large = is_large(old, new)
    if not large.any():
        return new
    most = old * LARGE_PERCENT // 100
    reduced = np.where(large, np.clip(new, old - most, old + most), new)
    if ending == "none":
        return reduced
    rises = new > old
    low, high = np.where(rises, old + 1, reduced), np.where(rises, reduced, old - 1)
    ended, found = nearest_ending(reduced, low, high, ending, moves.minor_per_unit)
    return np.where(large & _has_ending(moves, ending), np.where(found, ended, old), reduced)


def range_limit(breaker: Breaker, policy: PricingPolicy, moves: Moves, *, prices: int, epoch: int) -> MoveLimit:
    """The limit of one range of a run with `prices` decisions, of which `moves` change a price.

    Each range gets its share of what the limits leave, so that they hold for the run, whatever its ranges contain.
    """
    limit = MoveLimit(breaker.factor, breaker.caps, breaker.direction)
    ending, old = policy.guardrails.ending, moves.old
    base = capped_prices(moves, ending) if limit.caps else moves.new
    near, far = _reduced(moves, base, limit, ending)
    number = seeded_random.uniform(moves.product, epoch, seed=_SEED)
    allowed = float(breaker.factor * _relative(old, base).sum())
    total = float(_relative(old, near).sum())

    # First, changes against the mean balance those with it; then further changes with it fill what is left.
    against_turn = turn = _NONE
    if limit.direction:
        gain = limit.direction * (_relative(old, far) - _relative(old, near))
        balanced, filled = gain < 0, gain > 0
        room = limit.direction * (allowed - total)
        against_turn, gained = _smallest_threshold(number[balanced], gain[balanced], room)
        turn, more = _largest_threshold(number[filled], gain[filled], -np.inf, room - gained)
        total += limit.direction * (gained + more)
    whole = (base == old) & (moves.new != old)
    large_turn, _ = _largest_threshold(
        number[whole],
        _relative(old, moves.new)[whole],
        allowed - breaker.spare_below * prices - total,
        allowed + breaker.spare * prices - total,
        count=floor(policy.guardrails.breaker_share * prices),
    )
    return evolve(limit, turn=turn, against_turn=against_turn, large_turn=large_turn)


def limited_prices(moves: Moves, limit: MoveLimit, ending: str, epoch: int) -> Whole:
    """The prices of `moves` after the circuit breaker. The price of a product does not depend on other products."""
    base = capped_prices(moves, ending) if limit.caps else moves.new
    near, far = _reduced(moves, base, limit, ending)
    number = seeded_random.uniform(moves.product, epoch, seed=_SEED)
    follows = (base - moves.old) * limit.direction > 0
    reduced = np.where(number < np.where(follows, limit.turn, limit.against_turn), far, near)
    return np.where((base == moves.old) & (number < limit.large_turn), moves.new, reduced)


def limit_decisions(decisions: Decisions, limit: MoveLimit, ending: str) -> Decisions:
    """The decisions after the circuit breaker, with its flag in `guardrails` where it changed the price."""
    moved = np.flatnonzero(decisions.moves)
    new, acted = decisions.new.copy(), decisions.guardrails.copy()
    new[moved] = limited_prices(Moves.of(decisions), limit, ending, decisions.epoch)
    acted[new != decisions.new] |= Guardrail.BREAKER.value
    return evolve(decisions, new=new, guardrails=acted)


def check_breaker(policy: PricingPolicy, run: Sequence[Decisions]) -> Breaker:
    """Evaluate all decisions of a run."""
    moves = [Moves.of(part) for part in run]
    return Breaker.evaluate(
        policy,
        sum(len(part) for part in run),
        sum(int(np.count_nonzero(is_large(part.old, part.new))) for part in moves),
        float(sum(_relative(part.old, part.new).sum() for part in moves)),
        float(sum(_relative(part.old, capped_prices(part, policy.guardrails.ending)).sum() for part in moves)),
    )


def _reduced(moves: Moves, base: Whole, limit: MoveLimit, ending: str) -> tuple[Whole, Whole]:
    """The two prices next to the price that the factor yields: one nearer to the old price, and one farther from it.

    For changes in the direction of the mean, `far` is `base` if the old price is the nearer one, else equal to `near`.
    """
    if limit.factor >= 1.0:
        return base, base
    old, moved = moves.old, base - moves.old
    exact = limit.factor * moved
    near = old + np.trunc(exact).astype(np.int64)
    far: Whole = old + np.where(moved > 0, np.ceil(exact), np.floor(exact)).astype(np.int64)
    if ending != "none":
        rises, ended = moved > 0, _has_ending(moves, ending) & (moved != 0)
        bounds = np.where(rises, old + 1, near), np.where(rises, near, old - 1)
        inner, found = nearest_ending(near, *bounds, ending, moves.minor_per_unit)
        bounds = np.where(rises, far, base), np.where(rises, base, far)
        outer, _ = nearest_ending(far, *bounds, ending, moves.minor_per_unit)
        near, far = np.where(ended, np.where(found, inner, old), near), np.where(ended, outer, far)
    follows = moved * limit.direction > 0
    return near, np.where(follows, np.where(near == old, base, near), far)


def _has_ending(moves: Moves, ending: str) -> Flags:
    """Whether the decided price has the ending: no such price may have been within the limits of the guardrails."""
    return nearest_ending(moves.new, moves.new, moves.new, ending, moves.minor_per_unit)[1]


def _relative(old: Whole, new: Whole) -> Floats:
    return new / old - 1.0


def _largest_threshold(
    number: Floats, gain: Floats, least: float, most: float, *, count: int | None = None
) -> tuple[float, float]:
    """The largest threshold such that the gains of the numbers below it, in their order, sum up to `least` to `most`.

    At most `count` gains are taken. Return the threshold and the sum of the gains.
    """
    order = np.argsort(number, kind="stable")
    sums = np.cumsum(gain[order])
    fits = (sums <= max(most, 0.0)) & (sums >= min(least, 0.0))
    if count is not None:
        fits &= np.arange(1, len(sums) + 1) <= count
    return _threshold_of(number[order], sums, len(fits) if fits.all() else int(np.argmin(fits)))


def _smallest_threshold(number: Floats, gain: Floats, most: float) -> tuple[float, float]:
    """The smallest threshold such that the gains of the numbers below it, which are negative, sum up to `most`.

    Return the threshold and the sum of the gains.
    """
    order = np.argsort(number, kind="stable")
    sums = np.cumsum(gain[order])
    return _threshold_of(number[order], sums, int(np.count_nonzero(sums > most)) + 1 if most < 0 else 0)


def _threshold_of(number: Floats, sums: Floats, count: int) -> tuple[float, float]:
    """The threshold below which the first `count` of these sorted numbers lie, and their sum."""
    threshold = _ALL if count >= len(number) else float(number[count])
    return threshold, float(sums[min(count, len(sums)) - 1]) if count and len(sums) else 0.0
