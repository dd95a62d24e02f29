"""Store the inputs of decisions in compact form, and repeat the decisions from them, bit for bit.

The inputs of a range have one head, a JSON document:

    {"format": 1, "policy_id": …, "version": …, "epoch": …, "document": {…}, "columns": [["product", "<i4", 1], …]}

It holds the policy's document at that time, and `breaker` (`MoveLimit.document`) if the circuit breaker limited the
run. Each decision has one row of bytes: the columns in order, little-endian, without padding. A column is a signal,
`state.…` (state of the product after the update) or `group.…` (parameter of the product's category). Columns in which
every value is the signal's default are left out, and each column has the narrowest type that represents all of its
values exactly.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.arrays import narrowed
from scalecommerce_core.pricing.breaker import MoveLimit, limit_decisions
from scalecommerce_core.pricing.built_in import drop_retired_parameters
from scalecommerce_core.pricing.decisions import Decisions, decide
from scalecommerce_core.pricing.former_strategies import strategy_of_inputs
from scalecommerce_core.pricing.interface import PricingStrategy, State, current_name, parameter_values
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import COLUMNS, Signals

FORMAT: Final = 1
_EARLY: Final = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Inputs:
    """Inputs of the decisions of one range: `head` is a JSON document, `rows` has one item per decision."""

    head: Mapping[str, Any]
    rows: Sequence[bytes]


def pack_inputs(policy: PricingPolicy, state: State, signals: Signals, epoch: int) -> Inputs:
    """Pack the arguments of `decide(policy, state, signals, epoch)`."""
    columns: dict[str, NDArray[Any]] = {
        name: values
        for name, column in COLUMNS.items()
        if name != "group"
        for values in [getattr(signals, name)]
        if column.metadata["default"] is None or not (values == column.metadata["default"]).all()
    }
    strategy = policy.strategy()
    unused: frozenset[str] = getattr(strategy, "unused_in_propose", frozenset())
    columns |= {f"state.{name}": values for name, values in state.products.items() if name not in unused}
    columns |= {f"group.{name}": values[signals.group] for name, values in state.groups.items() if name not in unused}
    narrow = {name: narrowed(values) for name, values in columns.items()}
    layout = [(name, values.dtype.str, values.shape[1:]) for name, values in narrow.items()]
    table = np.empty(len(signals), dtype=layout)
    for name, values in narrow.items():
        table[name] = values
    head = {
        "format": FORMAT,
        "policy_id": policy.id,
        "version": policy.version,
        "epoch": epoch,
        # All parameters are stored, because defaults may change in a later release.
        "document": policy.document() | {"parameters": parameter_values(strategy)},
        "columns": [[name, kind, shape[0] if shape else 1] for name, kind, shape in layout],
    }
    return Inputs(head, table.view(f"V{table.dtype.itemsize}").tolist())


def with_limit(head: Mapping[str, Any], limit: MoveLimit) -> dict[str, Any]:
    """The head of inputs whose decisions the circuit breaker reduced."""
    return {**head, "breaker": limit.document()}


def replay(inputs: Inputs) -> Decisions:
    """Repeat the decisions of these inputs. Raise `ValueError` for an unknown format version."""
    found = unpack_inputs(inputs)
    decisions = decide(found.policy, found.state, found.signals, inputs.head["epoch"], strategy=found.strategy)
    if "breaker" not in inputs.head:
        return decisions
    limit = MoveLimit.from_document(inputs.head["breaker"])
    return limit_decisions(decisions, limit, found.policy.guardrails.ending)


@frozen(eq=False)
class UnpackedInputs:
    """The arguments of `decide`."""

    policy: PricingPolicy
    strategy: PricingStrategy
    state: State
    signals: Signals


def unpack_inputs(inputs: Inputs) -> UnpackedInputs:
    """The inverse of `pack_inputs`; each product is its own group.

    Raise `ValueError` for an unknown format version, and `Invalid` if the strategy is not installed.
    """
    head = inputs.head
    if head["format"] != FORMAT:
        raise ValueError(f"Inputs have format {head['format']}; this release reads format {FORMAT}.")
    layout = [(name, kind, (width,)) if width > 1 else (name, kind) for name, kind, width in head["columns"]]
    table = np.frombuffer(b"".join(inputs.rows), dtype=np.dtype(layout))
    at = np.arange(len(table))
    columns = {name: table[name] for name in table.dtype.names or () if "." not in name}
    # Each row contains the parameters of its category, so each row is its own group here.
    signals = Signals.of(group=at, **columns)
    state = State(
        {name[6:]: table[name].astype(np.float64) for name in table.dtype.names or () if name.startswith("state.")},
        {name[6:]: table[name].astype(np.float64) for name in table.dtype.names or () if name.startswith("group.")},
    )
    document = head["document"]
    policy = PricingPolicy.from_document(
        document | {"parameters": drop_retired_parameters(current_name(document["policy"]), document["parameters"])},
        id=PolicyId(head["policy_id"]),
        seller_id=AccountId(0),
        created_at=_EARLY,
        version=head["version"],
    )
    return UnpackedInputs(policy, strategy_of_inputs(policy.strategy(), state), state, signals)


def input_values(inputs: Inputs) -> dict[str, Any]:
    """Inputs of the first decision by column name; lists for columns with several numbers."""
    layout = [(name, kind, (width,)) if width > 1 else (name, kind) for name, kind, width in inputs.head["columns"]]
    row = np.frombuffer(inputs.rows[0], dtype=np.dtype(layout), count=1)
    return {name: row[name][0].tolist() for name in row.dtype.names or ()}
