"""Verdicts and their sentences."""

import json
from math import log

import pytest

from scalecommerce_core.pricing.experiments.lift import LiftEstimate
from scalecommerce_core.pricing.experiments.results import (
    ExperimentResult,
    Measure,
    Verdict,
    judge,
    persistent_share,
)


def judged(lift: float, error: float, *, elapsed: float = 0.5, ended: bool = False, **more: float) -> ExperimentResult:
    estimate = LiftEstimate(log(1 + lift), error, 1e6)
    return judge(
        estimate, measure=Measure.PROFIT, elapsed=elapsed, planned_weeks=26, has_ended=ended, products=500,
        held_out=100, notes=["One."], **more,
    )  # fmt: skip


def test_a_proven_gain_is_told_with_its_interval() -> None:
    result = judged(0.0464, 0.0066, elapsed=1.0, ended=True)
    assert result.verdict is Verdict.EARNS_MORE
    assert result.sentence == "The policy earns 3.1% to 6.2% more profit than your own prices."
    assert result.weeks_more is None


def test_a_proven_loss_says_what_to_do() -> None:
    result = judged(-0.05, 0.01)
    assert result.verdict is Verdict.EARNS_LESS
    assert result.sentence == "The policy earns 1.9% to 8.0% less profit than your own prices: switch it off."


@pytest.mark.parametrize(
    ("lift", "share", "weeks", "said"),
    [
        (0.04, 0.0, 3, "About 3 more weeks are needed if the difference stays as it is."),
        (0.045, 0.0, 1, "About 1 more week is needed if the difference stays as it is."),
        (
            0.02,
            0.0,
            23,
            "About 23 more weeks are needed if the difference stays as it is, which is longer than planned.",
        ),
        (0.0001, 0.0, None, "The difference is too small to be proven."),
        (0.02, 1.0, None, "The difference is too small to be proven."),
    ],
)
def test_until_the_proof_the_weeks_that_it_needs_are_told(
    lift: float, share: float, weeks: int | None, said: str
) -> None:
    result = judged(lift, 0.0145, persistent_share=share)
    assert result.verdict is Verdict.NOT_PROVEN
    assert result.weeks_more == weeks
    assert result.sentence.startswith("Not proven yet: the policy earns between ")
    assert result.sentence.endswith(said)


def test_an_interval_that_is_too_wide_is_not_told() -> None:
    result = judged(0.05, 0.1, elapsed=0.05)
    assert result.high is not None
    assert result.high > 1.0
    assert result.sentence.startswith("Not proven yet: the result is still too uncertain for figures. About ")
    ended = judged(0.0, 0.4, elapsed=1.0, ended=True)
    assert ended.sentence == "Not proven: the result is too uncertain for figures."
    assert judged(0.0, 0.1, elapsed=0.05).sentence == "Not proven yet: the result is still too uncertain for figures."


def test_at_the_end_the_largest_difference_that_is_possible_is_told() -> None:
    result = judged(0.01, 0.01, elapsed=1.0, ended=True)
    assert result.verdict is Verdict.NO_DIFFERENCE
    assert result.sentence == (
        "No difference was proven: the policy earns between 1.2% less and 3.3% more profit than your own prices,"
        " so any difference is at most 3.3%."
    )


@pytest.mark.parametrize("ended", [False, True])
def test_without_an_estimate_too_few_sales_are_the_answer(ended: bool) -> None:
    result = judge(None, measure=Measure.REVENUE, elapsed=0.1, planned_weeks=9, has_ended=ended)
    assert "too few sales" in result.sentence
    assert (result.lift, result.low, result.fixed_high, result.weeks_more) == (None, None, None, None)


def test_results_are_stored_as_json() -> None:
    result = judged(0.04, 0.01)
    assert ExperimentResult.from_document(json.loads(json.dumps(result.document()))) == result


def test_the_variance_that_time_does_not_reduce_is_found_from_half_of_the_time() -> None:
    def at(weeks: float) -> LiftEstimate:
        return LiftEstimate(0.0, (3.0 + 40.0 / weeks) ** 0.5, 100.0)

    assert persistent_share(at(20), at(10)) == pytest.approx(3.0 / 5.0)
    assert persistent_share(at(20), None) == 0.0
