"""An error of a user-defined strategy is reported with the strategy's name and changes no price."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.decisions import decide
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.interface import MOTIVES, Motive, Proposal, State
from scalecommerce_core.pricing.strategy_calls import (
    StrategyFailed,
    call_pool,
    call_propose,
    call_start,
    call_update,
    is_unpriced,
    unpriced_sentence,
)
from tests.unit.support.pricing_signals import policy, signals
from tests.unit.support.user_policies import Markup, Remembering, proposing, temporarily_registered

RAILS = {"least_views": 0, "least_history_days": 0, "dead_band": 0}
SEEN = signals(price=[100_00, 200_00, 300_00], reference=[100_00, 200_00, 300_00], cost=0)
HERE = "user_policies.py"


def failing(_signals: Any) -> Any:
    raise ZeroDivisionError("division by zero")


class Mute(Exception):
    """An error whose `str` raises another error."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Callable[[Any], Any]:
    def propose(_signals: Any) -> Any:
        raise error

    return propose


FAULTS: list[tuple[Callable[[Any], Any], str]] = [
    (failing, rf"ZeroDivisionError: division by zero \({HERE}, line \d+\)\."),
    (lambda s: s.rows(np.array([9])), r"IndexError: index 9 is out of bounds for axis 0 with size 3 \("),
    (lambda _: exit(3), r"SystemExit: 3 \("),  # noqa: PLR1722 - as users may write it
    (raising(asyncio.CancelledError("late")), r"CancelledError: late \("),
    (raising(Mute()), r"Mute: \(no message\) \("),
    (raising(ValueError("a\x00b\ud800\nc")), "ValueError: a\ufffdb\ufffd c \\("),
    (raising(ValueError("x" * 100_000)), r"ValueError: x{300}… \("),
    (lambda s: s.price * 1.1, "it returned ndarray instead of a Proposal."),
    (lambda _: None, "it returned NoneType instead of a Proposal."),
    (lambda s: Proposal(s.price[:-1] * 1.0), "it returned 2 prices for 3 products."),
    (lambda s: Proposal(s.price[:, None] * 1.0), "it returned 3 x 1 prices for 3 products."),
    (lambda _: Proposal(5.0), "it returned one number instead of prices for 3 products."),  # type: ignore[arg-type]
    (lambda s: Proposal(s.price.astype("U")), "its prices are of type <U21, numbers are needed."),
    (lambda s: Proposal(s.price.astype(object)), "its prices are of type object, numbers are needed."),
    (lambda s: Proposal(s.price > 0), "its prices are of type bool, numbers are needed."),
    (lambda s: Proposal(s.price * 1j), "its prices are of type complex128, numbers are needed."),
    (lambda _: Proposal([1.0, [2.0], 3.0]), "its prices are not an array: ValueError:"),  # type: ignore[arg-type]
    (lambda s: Proposal(s.price * 1.0, np.array([0, 1])), "it returned 2 motives for 3 products, each a number from 0"),
    (lambda s: Proposal(s.price * 1.0, np.array([0, 1, 99])), "it returned 3 motives for 3 products, each a number"),
    (lambda s: Proposal(s.price * 1.0, np.array(["hold"] * 3)), "its motives are of type <U4, numbers are needed."),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_a_faulty_proposal_names_the_strategy_and_the_error(fault: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(
        StrategyFailed, match=re.escape("The pricing strategy 'faulty' failed in propose: ") + said
    ) as caught:
        call_propose(proposing(fault)(), State(), SEEN, 0)
    assert caught.value.policy == "faulty"


@pytest.fixture
def remembering() -> Iterator[Remembering]:
    yield Remembering()
    Remembering.broken.clear()


def called(rules: Remembering) -> None:
    state = call_start(rules, SEEN, {})
    state = call_pool(rules, call_update(rules, state, SEEN), SEEN)
    call_propose(rules, state, SEEN, 0)


@pytest.mark.parametrize("method", ["start", "update", "pool"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda _: None, "it returned NoneType instead of a State."),
        (lambda s: State(None, s.groups), "the products of its state are not a mapping of names to arrays."),  # type: ignore[arg-type]
        (lambda s: State(s.products, None), "the groups of its state are not a mapping of names to arrays."),  # type: ignore[arg-type]
        (lambda s: State(s.products, {1: s.groups["level"]}), "the groups of its state are not a mapping"),  # type: ignore[dict-item]
        (lambda s: State({}, s.groups), "its state has the columns none, not arms, epochs."),
        (lambda s: State({**s.products, "more": s.products["epochs"]}), "its state has the columns arms, epochs, more"),
        (
            lambda s: State({**s.products, "epochs": np.zeros(2)}),
            "its state 'epochs' has 2 values for 3 products.",
        ),
        (
            lambda s: State({**s.products, "arms": np.zeros((3, 2))}),
            "its state 'arms' has 3 x 2 values for 3 products and 3 columns.",
        ),
        (
            lambda s: State({**s.products, "epochs": np.array(["a"] * 3)}),
            "its values of 'epochs' are of type <U1, numbers are needed.",
        ),
        (
            lambda s: State(s.products, {"level": np.zeros(7)}),
            "its state of groups 'level' has 7 values for 1 groups.",
        ),
        (
            lambda s: State(s.products, {"level": np.array([np.nan])}),
            "its state of groups 'level' has values that are not finite.",
        ),
    ],
)  # fmt: skip
def test_a_faulty_state_names_the_strategy_the_method_and_the_error(
    remembering: Remembering, method: str, answer: Callable[[State], Any], said: str
) -> None:
    called(remembering)
    remembering.broken[method] = answer
    with pytest.raises(
        StrategyFailed, match=re.escape(f"The pricing strategy 'remembering' failed in {method}: {said}")
    ):
        called(remembering)


@pytest.mark.parametrize("column", ["price", "max_price", "stock"])
def test_a_strategy_cannot_modify_its_arguments(column: str) -> None:
    def cheating(seen: Any) -> Proposal:
        getattr(seen, column)[:] = -1
        return Proposal(seen.price * 9.0)

    before = getattr(SEEN, column).copy()
    with pytest.raises(StrategyFailed, match="read-only"):
        call_propose(proposing(cheating)(), State(), SEEN, 0)
    assert np.array_equal(getattr(SEEN, column), before)


@pytest.mark.parametrize("price", [np.inf, -np.inf, -1.0, 0.0])
def test_an_unusable_price_keeps_the_price_and_is_explained(price: float) -> None:
    rules = proposing(lambda seen: Proposal(np.array([price, 2.0, 1.0]) * seen.price))()
    decisions = decide(policy(guardrails=RAILS), State(), SEEN, 0, strategy=rules)
    assert decisions.new.tolist() == [100_00, 210_00, 300_00]
    assert decisions[0].motive is Motive.UNUSABLE_PRICE
    assert decisions[0].wanted is None
    assert decisions[0].sentence == "Kept at 100.00: the strategy proposed a price that is infinite, zero or negative."
    assert is_unpriced(decisions.motive).tolist() == [True, False, False]


def test_nan_without_a_motive_is_an_error_and_nan_with_one_is_a_decision() -> None:
    holds = np.full(3, MOTIVES.index(Motive.WAITING))
    for motive, said, count in ((None, "the strategy proposed no price", 1), (holds, "not enough demand data", 0)):
        rules = proposing(lambda seen, motive=motive: Proposal(np.array([np.nan, 1.0, 1.0]) * seen.price, motive))()
        decisions = decide(policy(guardrails=RAILS), State(), SEEN, 0, strategy=rules)
        assert not decisions.moves.any()
        assert said in decisions[0].sentence
        assert np.count_nonzero(is_unpriced(decisions.motive)) == count
    assert unpriced_sentence("markup", 2, 3).startswith("The pricing strategy 'markup' proposed no usable price")
    assert unpriced_sentence("markup", 0, 3) == ""


def test_whole_numbers_and_lists_are_prices_too() -> None:
    rules = proposing(lambda seen: Proposal((seen.price + 1).tolist()))()
    assert call_propose(rules, State(), SEEN, 0).prices.tolist() == [100_01.0, 200_01.0, 300_01.0]


def test_guardrails_apply_to_user_strategies() -> None:
    with temporarily_registered(Markup):
        chosen = policy(policy="markup", parameters={"share": 4.0}, guardrails=RAILS)
        seen = signals(price=100_00, reference=100_00, cost=90_00)
        assert decide(chosen, State(), seen, 0).new.tolist() == [100_00 + round(Guardrails().step * 100_00)]


def test_numpy_settings_of_a_strategy_do_not_leak() -> None:
    def propose(seen: Any) -> Proposal:
        np.seterr(all="raise")
        return Proposal(seen.price * 1.0)

    before = np.geterr()
    call_propose(proposing(propose)(), State(), SEEN, 0)
    assert np.geterr() == before


def test_ctrl_c_in_a_strategy_is_propagated() -> None:
    with pytest.raises(KeyboardInterrupt):
        call_propose(proposing(raising(KeyboardInterrupt()))(), State(), SEEN, 0)
