"""Checked calls of a pricing strategy's methods. All code must call strategies, which may be a user's, through these.

Arguments are passed read-only, so that a strategy cannot change arrays that the guardrails read. Types, shapes and
values of results are checked. An exception or a wrong result becomes a `StrategyFailed`, which names the strategy,
the method, and the line of the strategy's own file if the traceback has one.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from traceback import extract_tb
from typing import Any, Final, TypeVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.errors import Conflict
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.categories import group_count
from scalecommerce_core.pricing.interface import (
    MOTIVES,
    Motive,
    PricingStrategy,
    Proposal,
    State,
    motive_column,
    one_line_message,
)
from scalecommerce_core.pricing.signals import COLUMNS, Signals

_PRICE_KINDS: Final = "fiu"
"""NumPy type kinds that prices may have."""
_STATE_KINDS: Final = "fiub"
"""NumPy type kinds that a state may have."""
_NO_PRICE: Final = MOTIVES.index(Motive.NO_PRICE)
_UNUSABLE_PRICE: Final = MOTIVES.index(Motive.UNUSABLE_PRICE)
_R = TypeVar("_R")


class StrategyFailed(Conflict):
    """A strategy raised an error or returned an invalid state or proposal; `policy` is its name."""

    code = "policy_failed"

    def __init__(self, policy: str, method: str, problem: str) -> None:
        super().__init__(f"The pricing strategy {policy!r} failed in {method}: {problem}.")
        self.policy = policy


@frozen(eq=False)
class CheckedProposal:
    """A valid proposal, row by row: positive prices, NaN where the price stays, and indexes of `MOTIVES`."""

    prices: Floats
    motive: Whole


def call_start(strategy: PricingStrategy, signals: Signals, groups: Mapping[str, Floats]) -> State:
    """Call `PricingStrategy.start` and check the result. Raise `StrategyFailed`."""
    state = _call(strategy, "start", State, lambda: strategy.start(_read_only(signals), _read_only_columns(groups)))
    return _checked(strategy, "start", state, rows=len(signals), groups=group_count(groups, signals))


def call_update(strategy: PricingStrategy, state: State, signals: Signals) -> State:
    """Call `PricingStrategy.update` and check the result. Raise `StrategyFailed`."""
    updated = _call(strategy, "update", State, lambda: strategy.update(_read_only_state(state), _read_only(signals)))
    return _checked(strategy, "update", updated, rows=len(signals), groups=_groups_of(state))


def call_pool(strategy: PricingStrategy, state: State, signals: Signals) -> State:
    """Call `PricingStrategy.pool` and check the result. Raise `StrategyFailed`."""
    pooled = _call(strategy, "pool", State, lambda: strategy.pool(_read_only_state(state), _read_only(signals)))
    return _checked(strategy, "pool", pooled, rows=len(signals), groups=_groups_of(state))


def call_propose(strategy: PricingStrategy, state: State, signals: Signals, epoch: int) -> CheckedProposal:
    """Call `PricingStrategy.propose` and check the result.

    Raise `StrategyFailed` unless it returns an array of prices.

    A product whose price is infinite or not positive keeps its price (`Motive.UNUSABLE_PRICE`), and so does one with
    NaN; NaN without a motive is `Motive.NO_PRICE`. The other products of the batch are not affected.
    """
    proposal = _call(
        strategy, "propose", Proposal, lambda: strategy.propose(_read_only_state(state), _read_only(signals), epoch)
    )
    size = len(signals)
    prices = _array(strategy, "propose", "prices", proposal.prices, _PRICE_KINDS)
    if prices.shape != (size,):
        raise _failed(strategy, "propose", f"it returned {_shape(prices)} prices for {size} products")
    motive = motive_column(Motive.OTHER, size) if proposal.motive is None else _motives(strategy, proposal.motive, size)
    prices = prices.astype(np.float64, copy=False)
    nothing = np.isnan(prices)
    unusable = ~nothing & ~(np.isfinite(prices) & (prices > 0))
    unexplained = nothing & (motive == MOTIVES.index(Motive.OTHER))
    if unusable.any() or unexplained.any():
        prices = np.where(unusable, np.nan, prices)
        motive = np.where(unexplained, _NO_PRICE, np.where(unusable, _UNUSABLE_PRICE, motive))
    return CheckedProposal(prices, motive)


def is_unpriced(motive: Whole) -> Flags:
    """Flags of the decisions, by their motives, for which the strategy proposed no usable price."""
    return np.equal(motive, _NO_PRICE) | np.equal(motive, _UNUSABLE_PRICE)


def unpriced_sentence(policy: str, count: int, decided: int) -> str:
    """A sentence for a run's note; empty if `count` is 0."""
    if not count:
        return ""
    return (
        f"The pricing strategy {policy!r} proposed no usable price (NaN, infinite, zero or negative) in {count:,} of"
        f" {decided:,} decisions: these prices stay as they are."
    )


# --- calling


def _call(strategy: PricingStrategy, method: str, kind: type[_R], call: Callable[[], _R]) -> _R:
    try:
        with np.errstate():  # undoes numpy.seterr
            result = call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        problem = f"{type(error).__name__}: {one_line_message(error)}{_location(strategy, error)}"
        raise _failed(strategy, method, problem) from error
    if not isinstance(result, kind):
        raise _failed(strategy, method, f"it returned {type(result).__name__} instead of a {kind.__name__}")
    return result


def _failed(strategy: PricingStrategy, method: str, problem: str) -> StrategyFailed:
    return StrategyFailed(str(strategy.name), method, problem.removesuffix("."))


def _location(strategy: PricingStrategy, error: BaseException) -> str:
    """The last traceback line in the strategy's own file, else the last line of all."""
    module = sys.modules.get(type(strategy).__module__)
    frames = extract_tb(error.__traceback__)[2:]
    own = [frame for frame in frames if frame.filename == getattr(module, "__file__", None)]
    if not (shown := own or frames):
        return ""
    return f" ({PurePath(shown[-1].filename).name}, line {shown[-1].lineno})"


def _read_only(signals: Signals) -> Signals:
    return Signals(**_read_only_columns({name: getattr(signals, name) for name in COLUMNS}))


def _read_only_state(state: State) -> State:
    return State(_read_only_columns(state.products), _read_only_columns(state.groups))


def _read_only_columns(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Read-only views of the arrays."""
    read_only = {name: values.view() for name, values in columns.items()}
    for values in read_only.values():
        values.flags.writeable = False
    return read_only


# --- checking


def _array(strategy: PricingStrategy, method: str, what: str, values: Any, kinds: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        problem = f"its {what} are not an array: {type(error).__name__}: {one_line_message(error)}"
        raise _failed(strategy, method, problem) from error
    if array.dtype.kind not in kinds:
        raise _failed(strategy, method, f"its {what} are of type {array.dtype}, numbers are needed")
    return array


def _motives(strategy: PricingStrategy, given: Any, size: int) -> Whole:
    motive = _array(strategy, "propose", "motives", given, "iu")
    if motive.shape != (size,) or (size and not (motive.min() >= 0 and motive.max() < len(MOTIVES))):
        raise _failed(
            strategy,
            "propose",
            f"it returned {_shape(motive)} motives for {size} products, each a number from 0 to {len(MOTIVES) - 1}",
        )
    return motive.astype(np.int64, copy=False)


def _checked(strategy: PricingStrategy, method: str, state: State, *, rows: int, groups: int) -> State:
    """Check that the state has the declared columns and one finite value for each group; return it as floats."""
    parts: Mapping[str, Any] = {"products": state.products, "groups": state.groups}
    for part, columns in parts.items():
        if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
            raise _failed(strategy, method, f"the {part} of its state are not a mapping of names to arrays")
    if set(state.products) != set(strategy.columns):
        raise _failed(
            strategy, method, f"its state has the columns {_listed(state.products)}, not {_listed(strategy.columns)}"
        )
    products = {}
    for name, width in strategy.columns.items():
        values = _array(strategy, method, f"values of {name!r}", state.products[name], _STATE_KINDS)
        if values.shape != ((rows,) if width == 1 else (rows, width)):
            wide = "" if width == 1 else f" and {width} columns"
            raise _failed(strategy, method, f"its state {name!r} has {_shape(values)} values for {rows} products{wide}")
        products[name] = values.astype(np.float64, copy=False)
    shared = {}
    for name, given in state.groups.items():
        values = _array(strategy, method, f"values of group {name!r}", given, _STATE_KINDS)
        if values.shape != (groups,):
            raise _failed(
                strategy, method, f"its state of groups {name!r} has {_shape(values)} values for {groups} groups"
            )
        if not np.isfinite(values).all():
            raise _failed(strategy, method, f"its state of groups {name!r} has values that are not finite")
        shared[name] = values.astype(np.float64, copy=False)
    return State(products, shared)


def _groups_of(state: State) -> int:
    return max((len(values) for values in state.groups.values()), default=0)


def _shape(array: NDArray[Any]) -> str:
    return "one number instead of" if not array.ndim else " x ".join(str(size) for size in array.shape)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
