"""The result of an experiment: the lift with its intervals, a verdict, and a sentence for the seller."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import ceil
from typing import Any, Final, Self

from attrs import asdict, evolve, frozen

from scalecommerce_core.pricing.experiments.intervals import Interval, repeated_quantile
from scalecommerce_core.pricing.experiments.lift import LiftEstimate

MOST_STATED: Final = 1.0
"""Largest upper bound that the sentence states; a wider interval is called too uncertain."""
MOST_WEEKS_MORE: Final = 520
"""Longest time until a proof that is predicted."""


class Measure(StrEnum):
    """What the arms are compared by."""

    PROFIT = "profit"
    REVENUE = "revenue"
    """Because the costs of most products are unknown."""


class Verdict(StrEnum):
    EARNS_MORE = "earns_more"
    EARNS_LESS = "earns_less"
    NOT_PROVEN = "not_proven"
    """The experiment is running, and its interval contains 0."""
    NO_DIFFERENCE = "no_difference"
    """The experiment has ended, and its interval contains 0."""


@frozen
class ExperimentResult:
    """Relative differences: 0.03 means that the policy's prices earn 3 % more than the seller's own.

    `low` and `high` bound the lift however often the result is looked at until the planned end; the verdict depends on
    them. `fixed_low` and `fixed_high` are narrower, and valid for a single look at the planned end. All are None while
    there are too few sales.
    """

    measure: Measure
    verdict: Verdict
    sentence: str
    elapsed: float
    """Elapsed share of the planned time."""
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    fixed_low: float | None = None
    fixed_high: float | None = None
    weeks_more: int | None = None
    """Estimated weeks until the difference is proven if it stays as it is; None if it is proven or out of reach."""
    products: int = 0
    """Measured products."""
    held_out: int = 0
    """Measured products at the seller's own prices; all of them in a switchback."""
    notes: tuple[str, ...] = ()
    """What limits the result, in sentences."""

    def document(self) -> dict[str, Any]:
        """The result as JSON values; `from_document` reads them."""
        return asdict(
            self, value_serializer=lambda _, __, value: str(value) if isinstance(value, StrEnum) else value
        ) | {"notes": list(self.notes)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        facts = dict(document)
        return cls(
            **facts
            | {
                "measure": Measure(facts["measure"]),
                "verdict": Verdict(facts["verdict"]),
                "notes": tuple(facts["notes"]),
            }
        )


def judge(
    estimate: LiftEstimate | None,
    *,
    measure: Measure,
    elapsed: float,
    planned_weeks: float,
    has_ended: bool,
    persistent_share: float = 0.0,
    products: int = 0,
    held_out: int = 0,
    notes: Sequence[str] = (),
) -> ExperimentResult:
    """The result of an estimate; None: too few sales.

    `elapsed` is the elapsed share of the planned time, `persistent_share` the share of the estimate's variance that
    more time does not reduce.
    """
    result = ExperimentResult(
        measure=measure, verdict=Verdict.NO_DIFFERENCE if has_ended else Verdict.NOT_PROVEN, sentence="",
        elapsed=min(max(elapsed, 0.0), 1.0), products=products, held_out=held_out, notes=tuple(notes),
    )  # fmt: skip
    if estimate is None or elapsed <= 0.0:
        said = (
            "Not proven: there were too few sales." if has_ended else "Not proven yet: there are too few sales so far."
        )
        return evolve(result, sentence=said)
    interval, fixed = estimate.repeated_interval(elapsed), estimate.fixed_interval()
    verdict = result.verdict
    weeks_more = None
    if interval.low > 0.0:
        verdict = Verdict.EARNS_MORE
    elif interval.high < 0.0:
        verdict = Verdict.EARNS_LESS
    elif not has_ended:
        weeks_more = _weeks_more(estimate, elapsed, planned_weeks, persistent_share)
    return evolve(
        result,
        verdict=verdict,
        sentence=_sentence(verdict, interval, measure, weeks_more, (1.0 - elapsed) * planned_weeks),
        lift=estimate.lift, low=interval.low, high=interval.high, fixed_low=fixed.low, fixed_high=fixed.high,
        weeks_more=weeks_more,
    )  # fmt: skip


def _weeks_more(estimate: LiftEstimate, elapsed: float, planned_weeks: float, persistent_share: float) -> int | None:
    """Weeks until the interval excludes 0 if the estimate stays as it is and its variance falls with time."""
    weeks = elapsed * planned_weeks
    if not estimate.log_lift or weeks <= 0.0:
        return None
    squared = (estimate.log_lift / estimate.standard_error) ** 2
    for more in range(1, MOST_WEEKS_MORE + 1):
        time = weeks + more
        variance = persistent_share + (1.0 - persistent_share) * weeks / time
        # Beyond the planned end, an experiment that is planned for that time would be needed.
        needed = repeated_quantile(estimate.degrees_of_freedom, time / max(planned_weeks, time))
        if squared >= needed**2 * variance:
            return more
    return None


def _sentence(verdict: Verdict, interval: Interval, measure: Measure, weeks_more: int | None, weeks_left: float) -> str:
    low, high = interval.low, interval.high
    match verdict:
        case Verdict.EARNS_MORE:
            return f"The policy earns {low:.1%} to {high:.1%} more {measure} than your own prices."
        case Verdict.EARNS_LESS:
            return f"The policy earns {-high:.1%} to {-low:.1%} less {measure} than your own prices: switch it off."
        case Verdict.NO_DIFFERENCE if high > MOST_STATED:
            return "Not proven: the result is too uncertain for figures."
        case Verdict.NO_DIFFERENCE:
            largest = max(-low, high)
            return (
                f"No difference was proven: the policy earns between {-low:.1%} less and {high:.1%} more {measure} than"
                f" your own prices, so any difference is at most {largest:.1%}."
            )
    said = (
        f"Not proven yet: the policy earns between {-low:.1%} less and {high:.1%} more {measure} than your own prices."
    )
    if high > MOST_STATED:
        said = "Not proven yet: the result is still too uncertain for figures."
        if weeks_more is None:
            return said
    if weeks_more is None:
        return f"{said} The difference is too small to be proven."
    weeks = "1 more week is" if weeks_more == 1 else f"{weeks_more} more weeks are"
    if weeks_more <= ceil(weeks_left):
        return f"{said} About {weeks} needed if the difference stays as it is."
    return f"{said} About {weeks} needed if the difference stays as it is, which is longer than planned."


def persistent_share(now: LiftEstimate, half: LiftEstimate | None) -> float:
    """The share of the variance of `now` that more time does not reduce, from the estimate after half of the time.

    If the variance after t weeks is a + b/t, half the time has a + 2·b/t.
    """
    if half is None or not now.standard_error > 0.0:
        return 0.0
    falling = half.standard_error**2 - now.standard_error**2
    return min(max(1.0 - falling / now.standard_error**2, 0.0), 1.0)
