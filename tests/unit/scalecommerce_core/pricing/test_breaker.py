"""The circuit breaker: limits of a run as a whole."""

import json
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecommerce_core.pricing.arrays import Flags
from scalecommerce_core.pricing.breaker import (
    Breaker,
    Moves,
    check_breaker,
    is_large,
    limit_decisions,
    range_limit,
)
from scalecommerce_core.pricing.decisions import Decisions, decide
from scalecommerce_core.pricing.interface import Proposal
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.price_endings import nearest_ending
from scalecommerce_core.pricing.replay import Inputs, pack_inputs, replay, with_limit
from scalecommerce_core.pricing.runs import Tally
from tests.unit.support.pricing_signals import learned, policy, signals

WIDE = {"step": 0.5, "day_range": 0.9, "month_range": 0.9, "over_median": 10, "breaker_least": 0}


def decided(moves: Any, price: Any = 10_000, **rails: Any) -> tuple[PricingPolicy, Decisions]:
    """A policy, and its decisions to change prices by these shares."""
    moves = np.asarray(moves, dtype=np.float64)
    old = np.broadcast_to(np.asarray(price, dtype=np.int64), moves.shape)
    seen = signals(product=np.arange(1, len(moves) + 1), price=old, reference=old, cost=0)
    chosen = policy(guardrails=WIDE | rails)
    rules = create_autospec(ElasticityLearning, instance=True)
    rules.propose.return_value = Proposal(old * (1 + moves))
    return chosen, decide(chosen, chosen.strategy().start(seen, {}), seen, 3, strategy=rules)


def after_breaker(chosen: PricingPolicy, decisions: Decisions, ranges: int = 1) -> tuple[Breaker, Decisions]:
    """The decisions after the circuit breaker, if the run has this number of ranges."""
    breaker = check_breaker(chosen, [decisions])
    rows = [np.arange(len(decisions))[at::ranges] for at in range(ranges)]
    parts = []
    for row in rows:
        part = evolve(
            decisions,
            **{
                name: getattr(decisions, name)[row]
                for name in ("product", "old", "new", "wanted", "motive", "guardrails", "minor_per_unit")
            },
        )
        limit = range_limit(breaker, chosen, Moves.of(part), prices=len(part), epoch=part.epoch)
        parts.append(limit_decisions(part, limit, chosen.guardrails.ending))
    order = np.argsort(np.concatenate(rows))
    new = np.concatenate([part.new for part in parts])[order]
    acted = np.concatenate([part.guardrails for part in parts])[order]
    return breaker, evolve(decisions, new=new, guardrails=acted)


def mean_move(decisions: Decisions) -> float:
    return float((decisions.new / decisions.old - 1).mean())


@pytest.mark.parametrize(
    ("moves", "acts"),
    [
        ([0.05] * 3 + [-0.02] * 7, False),
        ([0.05] * 4 + [-0.02] * 6, True),
        ([0.04] * 5 + [-0.04] * 5, False),
        ([0.0201] * 10, True),
        ([0.0200] * 10, False),
        ([-0.025] * 10, True),
        ([0.0], False),
    ],
)
def test_it_acts_on_large_shares_and_means(moves: list[float], acts: bool) -> None:
    chosen, decisions = decided(moves, dead_band=0)
    breaker = check_breaker(chosen, [decisions])
    assert breaker.acts == acts
    assert breaker.sentence.startswith("The circuit breaker limited this run") == acts


@pytest.mark.parametrize(("prices", "acts"), [(1, False), (49, False), (50, True)])
def test_it_ignores_runs_with_few_prices(prices: int, acts: bool) -> None:
    """The change of a single price is the mean of all changes."""
    chosen, decisions = decided([0.04] * prices, breaker_least=50)
    assert check_breaker(chosen, [decisions]).acts == acts


def test_a_run_without_prices_is_not_limited() -> None:
    assert not check_breaker(policy(), []).acts


def test_all_changes_are_multiplied_by_one_factor() -> None:
    chosen, decisions = decided([0.04] * 8 + [0.08, -0.02], breaker_share=1)
    breaker, limited = after_breaker(chosen, decisions)
    assert breaker.factor == pytest.approx(0.02 / 0.038, abs=1e-6)
    assert not breaker.caps
    assert limited.new.tolist() == [10_210] * 8 + [10_421, 9_895]
    assert mean_move(limited) == pytest.approx(0.02, abs=1e-3)
    assert all("breaker" in limited[row].guardrails for row in range(10))
    assert "all changes are 53% of what was decided" in breaker.sentence


def test_large_changes_are_reduced_to_four_percent_before_the_mean_is_judged() -> None:
    chosen, decisions = decided([0.2] * 4 + [-0.03] * 6)
    breaker, limited = after_breaker(chosen, decisions)
    assert (breaker.caps, breaker.factor) == (True, 1.0)
    assert limited.new.tolist() == [10_400] * 4 + [9_700] * 6
    assert "changes of more than 4% are reduced to 4%. Decided were" in breaker.sentence
    chosen, decisions = decided([0.2] * 10)
    breaker, limited = after_breaker(chosen, decisions)
    assert (breaker.caps, breaker.factor) == (True, 0.5)
    assert limited.new.tolist() == [10_200] * 10


def test_a_change_below_the_dead_band_is_made() -> None:
    chosen, decisions = decided([0.03] * 10, dead_band=0.02, breaker_mean=0.01)
    _, limited = after_breaker(chosen, decisions)
    assert limited.new.tolist() == [10_099] * 10


def test_decisions_name_the_breaker() -> None:
    chosen, decisions = decided([0.04] * 10)
    _, limited = after_breaker(chosen, decisions)
    assert limited[0].sentence == (
        "Raised by 2.0% to 102.00: the strategy proposes this price; limited by the circuit breaker, because the run"
        " would have changed prices by too much on the whole."
    )
    chosen, decisions = decided([0.04] * 10, breaker_mean=0)
    _, kept = after_breaker(chosen, decisions)
    assert kept[0].sentence == (
        "Kept at 100.00: the circuit breaker limited this run, and no smaller change of this price is possible."
    )


@pytest.mark.parametrize("ending", ["99", "90", "whole"])
def test_price_endings_remain_price_endings(ending: str) -> None:
    rng = np.random.default_rng(4)
    price = rng.integers(5, 400, 500) * 100 + {"99": 99, "90": 90, "whole": 0}[ending]
    chosen, decisions = decided(rng.uniform(0.02, 0.12, 500), price=price, ending=ending)
    _, limited = after_breaker(chosen, decisions)
    assert limited.moves.any()
    assert has_ending(limited, ending)[has_ending(decisions, ending)].all()
    assert (np.sign(limited.new - limited.old) * np.sign(decisions.new - decisions.old) >= 0).all()


def has_ending(decisions: Decisions, ending: str) -> Flags:
    new = decisions.new
    return nearest_ending(new, new, new, ending, decisions.minor_per_unit)[1]


@pytest.mark.parametrize(
    ("price", "move", "ending"), [(19_99, 0.05, "99"), (10_00, 0.10, "whole"), (30, 0.04, "none"), (20, -0.05, "none")]
)
def test_prices_without_a_smaller_change_take_turns(price: int, move: float, ending: str) -> None:
    """In each run some make their whole change, so that none keeps its price for ever."""
    size = 200
    chosen, _ = decided([move] * size, price=price, ending=ending, dead_band=0)
    old, waiting = np.full(size, price), np.ones(size, dtype=np.bool_)
    for epoch in range(60):
        _, decisions = decided(np.where(waiting, move, 0.0), price=old, ending=ending, dead_band=0)
        decisions = evolve(decisions, epoch=epoch)
        _, limited = after_breaker(chosen, decisions)
        assert abs(mean_move(limited)) <= 0.02 + 2e-9
        assert is_large(limited.old, limited.new).mean() <= 0.3
        waiting &= limited.new == old
        old = limited.new
        if not waiting.any():
            break
    assert not waiting.any()
    assert epoch < 10


@st.composite
def runs(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Any], int]:
    size = draw(st.integers(10, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.01, 0.05, 0.5]))
    centre = draw(st.sampled_from([-0.3, -0.05, -0.01, 0.0, 0.01, 0.03, 0.3]))
    moves = np.clip(rng.normal(centre, spread, size), -0.5, 0.5) * (
        rng.random(size) < draw(st.sampled_from([1.0, 0.4]))
    )
    price = np.maximum(np.rint(np.exp(rng.normal(draw(st.sampled_from([3.0, 8.0])), 1.0, size))), 5).astype(np.int64)
    rails = {
        "ending": draw(st.sampled_from(["none", "99", "90", "whole"])),
        "breaker_share": draw(st.sampled_from([0.0, 0.1, 0.3, 1.0])),
        "breaker_mean": draw(st.sampled_from([0.0, 0.001, 0.02, 0.2])),
    }
    return moves, price, rails, draw(st.integers(1, 4))


@settings(deadline=None)
@given(runs())
def test_after_the_breaker_no_run_exceeds_its_limits(made: tuple[Any, Any, dict[str, Any], int]) -> None:
    moves, price, rails, ranges = made
    chosen, decisions = decided(moves, price=price, **rails)
    breaker, limited = after_breaker(chosen, decisions, ranges)
    if not breaker.acts:
        assert np.array_equal(limited.new, decisions.new)
        return
    assert is_large(limited.old, limited.new).mean() <= rails["breaker_share"] + 1e-12
    # Each range ends at most one change below its share.
    coarse = ranges * np.abs(decisions.new / decisions.old - 1).max() / len(price)
    mean = mean_move(limited) * (breaker.direction or 1)
    assert mean <= rails["breaker_mean"] + 2e-9
    assert mean >= min(-rails["breaker_mean"], rails["breaker_mean"] - coarse) - 2e-9
    between = (limited.new - limited.old) * (decisions.new - limited.new)
    assert (between >= 0).all()
    changed = limited.new != decisions.new
    assert ((limited.guardrails & (1 << 14) > 0) == changed).all()


@pytest.mark.parametrize("ending", ["none", "99"])
def test_limited_decisions_can_be_replayed_one_by_one(ending: str) -> None:
    rng = np.random.default_rng(8)
    size = 300
    price = rng.integers(5, 60, size) * 100 + 99
    chosen = policy(guardrails=WIDE | {"ending": ending}, parameters={"pace": 1, "caution": 0})
    seen = signals(product=np.arange(1, size + 1), price=price, reference=price, cost=price * 9 // 10)
    state = learned(chosen.strategy(), seen)
    decisions = decide(chosen, state, seen, 7)
    breaker = check_breaker(chosen, [decisions])
    assert breaker.acts
    limit = range_limit(breaker, chosen, Moves.of(decisions), prices=size, epoch=7)
    limited = limit_decisions(decisions, limit, ending)
    assert limited.moves.any()
    inputs = pack_inputs(chosen, state, seen, 7)
    head = json.loads(json.dumps(with_limit(inputs.head, limit)))
    again = replay(Inputs(head, inputs.rows))
    assert np.array_equal(again.new, limited.new)
    assert np.array_equal(again.guardrails, limited.guardrails)
    for row in range(0, size, 29):
        assert replay(Inputs(head, inputs.rows[row : row + 1]))[0] == limited[row]


def test_counts_of_ranges_suffice_to_evaluate_a_run() -> None:
    chosen, decisions = decided(np.random.default_rng(2).normal(0.05, 0.05, 100), ending="99")
    assert Tally.of(decisions, chosen).breaker(chosen) == check_breaker(chosen, [decisions])
