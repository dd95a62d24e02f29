"""How policies, runs and decisions look in answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from attrs import asdict, fields

from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.pricing.decisions import Decision
from scalecommerce_core.pricing.explaining import belief, explained
from scalecommerce_core.pricing.guardrails import Guardrail, Guardrails, names
from scalecommerce_core.pricing.interface import Motive, registered
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import Assignment, Outcome, Run, RunStatus, StoredDecision, Trigger

ParameterType = Literal["boolean", "integer", "number", "string", "array"]
GuardrailName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(names(sum(Guardrail)))})]


class PolicyDocument(msgspec.Struct):
    """`parameters` holds those that differ from the defaults of the kind; `version` counts edits."""

    id: int
    seller: int
    name: str
    policy: str
    parameters: dict[str, Any]
    guardrails: dict[str, Any]
    epoch_seconds: float
    fee: float
    stock_days: float | None
    category_id: int | None
    assigned_only: bool
    is_shadow: bool
    is_active: bool
    version: int
    created_at: datetime


class ParameterDocument(msgspec.Struct):
    """A setting: its default, its bounds (inclusive) or its choices, and what it means."""

    name: str
    type: ParameterType
    default: bool | int | float | str | list[float]
    minimum: float | None
    maximum: float | None
    choices: list[str]
    description: str


class PolicyKindDocument(msgspec.Struct):
    name: str
    description: str
    parameters: list[ParameterDocument]


class PolicyKindsDocument(msgspec.Struct):
    """`guardrails` are the same for all kinds."""

    results: list[PolicyKindDocument]
    guardrails: list[ParameterDocument]


class DecisionDocument(msgspec.Struct):
    """`wanted` is what the policy asked for before `guardrails` acted, in this order; null: nothing.

    `sentence` says why, for people.
    """

    product: int
    policy: int
    policy_version: int
    epoch: int
    old_price: str
    new_price: str
    wanted: str | None
    currency: str
    motive: Motive
    guardrails: list[GuardrailName]
    sentence: str


class ElasticityBeliefDocument(msgspec.Struct):
    """Elasticities that a learning policy estimated: percent of sales per percent of price, at the reference price."""

    elasticity: float
    standard_deviation: float
    category_elasticity: float


class StoredDecisionDocument(DecisionDocument):
    """The new price was in force from `in_force_from` (null: never) to `in_force_until` (null: still in force).
    `explained` describes the inputs of the decision in sentences; `belief` is null for policies without elasticities.
    """

    run: int
    decided_at: datetime
    outcome: Outcome
    in_force_from: datetime | None
    in_force_until: datetime | None
    explained: dict[str, str]
    belief: ElasticityBeliefDocument | None


class PreviewDocument(msgspec.Struct):
    """`would_stop`: the catalogue breaker would keep this run from writing; `sentence` says why or why not, and in how
    many decisions the policy proposed no usable price.
    """

    policy: int
    looked_at: int
    moves: int
    would_stop: bool
    sentence: str
    decisions: list[DecisionDocument]


class RunDocument(msgspec.Struct):
    """`products` were looked at in all; `written` prices moved, `undone` of them were taken back. `unpriced` counts
    decisions in which the policy proposed no usable price. `note` says how the run ended, and what was wrong.
    """

    id: int
    policy: int
    policy_version: int
    seller: int
    epoch: int
    trigger: Trigger
    status: RunStatus
    is_shadow: bool
    products: int
    decided: int
    moves: int
    written: int
    undone: int
    unpriced: int
    note: str
    started_at: datetime
    finished_at: datetime | None


class AssignmentDocument(msgspec.Struct):
    """`policy` null: the product follows whichever policy is for its category, or for all of the seller's products."""

    product: int
    policy: int | None
    is_excluded: bool


def shown_policy(policy: PricingPolicy) -> PolicyDocument:
    document = policy.document()
    return PolicyDocument(
        id=policy.id,
        seller=policy.seller_id,
        version=policy.version,
        created_at=policy.created_at,
        **document,
    )


def shown_kinds() -> PolicyKindsDocument:
    kinds = [
        PolicyKindDocument(name, _description(kind), shown_parameters(kind)) for name, kind in registered().items()
    ]
    return PolicyKindsDocument(kinds, shown_parameters(Guardrails))


def shown_parameters(settings: type[Any]) -> list[ParameterDocument]:
    return [
        _shown_parameter(attribute.name, attribute.default, attribute.metadata["rule"])
        for attribute in fields(settings)
        if "rule" in attribute.metadata
    ]


def _shown_parameter(name: str, default: Any, rule: Mapping[str, Any]) -> ParameterDocument:
    return ParameterDocument(
        name=name,
        type=_type_of(default),
        default=list(default) if isinstance(default, tuple) else default,
        minimum=rule["at_least"],
        maximum=rule["at_most"],
        choices=list(rule["choices"]),
        description=rule["says"],
    )


def _type_of(default: Any) -> ParameterType:
    """As JSON Schema calls it."""
    match default:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "array"


def _description(kind: type[Any]) -> str:
    """The first paragraph of its docstring, in one line."""
    return " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())


def shown_decision(decision: Decision, currency: str) -> DecisionDocument:
    return DecisionDocument(**_decision_fields(decision, currency))


def shown_stored(stored: StoredDecision) -> StoredDecisionDocument:
    believed = belief(stored.inputs)
    return StoredDecisionDocument(
        run=stored.run_id,
        decided_at=stored.decided_at,
        outcome=stored.outcome,
        in_force_from=stored.in_force_from,
        in_force_until=stored.in_force_until,
        explained=explained(stored.inputs),
        belief=None if believed is None else ElasticityBeliefDocument(**asdict(believed)),
        **_decision_fields(stored.decision, stored.currency),
    )


def _decision_fields(decision: Decision, currency: str) -> dict[str, Any]:
    return {
        "product": decision.product_id,
        "policy": decision.policy_id,
        "policy_version": decision.policy_version,
        "epoch": decision.epoch,
        "old_price": decimal_text(decision.old, currency),
        "new_price": decimal_text(decision.new, currency),
        "wanted": None if decision.wanted is None else decimal_text(decision.wanted, currency),
        "currency": currency,
        "motive": decision.motive,
        "guardrails": list(decision.guardrails),
        "sentence": decision.sentence,
    }


def shown_run(run: Run) -> RunDocument:
    return RunDocument(
        id=run.id,
        policy=run.policy_id,
        policy_version=run.policy_version,
        seller=run.seller_id,
        epoch=run.epoch,
        trigger=run.trigger,
        status=run.status,
        is_shadow=run.is_shadow,
        products=run.products,
        decided=run.tally.decided,
        moves=run.tally.moves,
        written=run.written,
        undone=run.undone,
        unpriced=run.tally.unpriced,
        note=run.note,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def shown_assignment(assignment: Assignment) -> AssignmentDocument:
    return AssignmentDocument(assignment.product_id, assignment.policy_id, assignment.is_excluded)
