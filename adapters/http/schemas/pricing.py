"""Schemas of pricing policies, runs, decisions and assignments."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from attrs import Attribute, asdict, fields

from adapters.http.schemas.experiments import ExperimentSummarySchema
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.pricing.decisions import Decision
from scalecommerce_core.pricing.explaining import elasticity_belief, explain_inputs
from scalecommerce_core.pricing.guardrails import Guardrail, Guardrails, guardrail_names
from scalecommerce_core.pricing.interface import Motive, ParameterType, parameter_type, registered_strategies
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import Assignment, DecisionOutcome, Run, RunStatus, StoredDecision, Trigger

GuardrailName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(guardrail_names(sum(Guardrail)))})]


class PolicySchema(msgspec.Struct):
    """`parameters` contains the values that differ from the defaults of the strategy; `version` counts edits.
    `experiment` is the newest experiment about the policy, null if there was none.
    `edited_by` is the account that created, edited, activated or deactivated the policy last, null if unknown.
    """

    id: int
    seller: int
    name: str
    policy: str
    parameters: dict[str, Any]
    guardrails: dict[str, Any]
    epoch_seconds: float
    fee: float
    stock_days: float | None
    stock_until: datetime | None
    category_id: int | None
    assigned_only: bool
    is_shadow: bool
    is_active: bool
    version: int
    edited_by: int | None
    created_at: datetime
    experiment: ExperimentSummarySchema | None = None


class ParameterSchema(msgspec.Struct):
    """A parameter: its default, its inclusive bounds or its choices, and its description."""

    name: str
    type: ParameterType
    default: bool | int | float | str | list[float]
    minimum: float | None
    maximum: float | None
    choices: list[str]
    description: str


class PolicyKindSchema(msgspec.Struct):
    name: str
    description: str
    parameters: list[ParameterSchema]


class PolicyKindsSchema(msgspec.Struct):
    """Strategies with their parameters. `guardrails` apply to all strategies."""

    results: list[PolicyKindSchema]
    guardrails: list[ParameterSchema]


class DecisionSchema(msgspec.Struct):
    """`wanted` is the price that the policy proposed, null if it proposed none. `guardrails` are those that limited it,
    in the order of their application. `sentence` explains the decision.
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


class ElasticityBeliefSchema(msgspec.Struct):
    """Estimated elasticities at the reference price: percent of sales per percent of price."""

    elasticity: float
    standard_deviation: float
    category_elasticity: float


class StoredDecisionSchema(DecisionSchema):
    """The new price was in force from `in_force_from` (null: never) to `in_force_until` (null: still in force).
    `explained` describes the inputs of the decision by name; `belief` is null for strategies without elasticities.
    """

    run: int
    decided_at: datetime
    outcome: DecisionOutcome
    in_force_from: datetime | None
    in_force_until: datetime | None
    explained: dict[str, str]
    belief: ElasticityBeliefSchema | None


class PreviewSchema(msgspec.Struct):
    """`looked_at` counts decisions, `moves` those that change a price. `would_limit` is true if the circuit breaker
    would limit this run; the decisions are those after it, with changes multiplied by `move_factor`, after those of
    more than 4 % were reduced to 4 % if `caps_moves` is true. `sentence` gives the reason, and the number of decisions
    without a usable proposal.
    """

    policy: int
    looked_at: int
    moves: int
    would_limit: bool
    move_factor: float
    caps_moves: bool
    sentence: str
    decisions: list[DecisionSchema]


class RunSchema(msgspec.Struct):
    """`products` counts the products in the run, `written` the changed prices, `undone` those rolled back, and
    `unpriced` the decisions without a usable proposal. The circuit breaker multiplied all changes by `move_factor`,
    after it reduced those of more than 4 % to 4 % if `caps_moves` is true; 1 and false in a run that it did not limit.
    A run that needed the approval of a second person has `approval_until`, the end of the time for it, and from
    their review on `reviewed_by` and `reviewed_at`. `note` describes how the run ended, and errors. A scheduled run
    that changed no price replaces the preceding runs with the same result: `repetitions` counts them, and
    `repeated_since` is the start of the first of them, null if there are none.
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
    move_factor: float
    caps_moves: bool
    approval_until: datetime | None
    reviewed_by: int | None
    reviewed_at: datetime | None
    note: str
    started_at: datetime
    finished_at: datetime | None
    repetitions: int
    repeated_since: datetime | None


class AssignmentSchema(msgspec.Struct):
    """If `policy` is null, the policy of the product's category or of all the seller's products applies."""

    product: int
    policy: int | None
    is_excluded: bool


def to_policy_schema(policy: PricingPolicy, experiment: ExperimentSummarySchema | None = None) -> PolicySchema:
    document = policy.document() | {"stock_until": policy.stock_until}
    return PolicySchema(
        id=policy.id,
        seller=policy.seller_id,
        version=policy.version,
        edited_by=policy.edited_by,
        created_at=policy.created_at,
        experiment=experiment,
        **document,
    )


def to_policy_kinds_schema() -> PolicyKindsSchema:
    kinds = [
        PolicyKindSchema(name, _description(kind), to_parameter_schemas(kind))
        for name, kind in registered_strategies().items()
    ]
    return PolicyKindsSchema(kinds, to_parameter_schemas(Guardrails))


def to_parameter_schemas(settings: type[Any]) -> list[ParameterSchema]:
    return [_to_parameter_schema(attribute) for attribute in fields(settings) if "rule" in attribute.metadata]


def _to_parameter_schema(attribute: "Attribute[Any]") -> ParameterSchema:
    rule: Any = attribute.metadata["rule"]
    default: Any = attribute.default
    return ParameterSchema(
        name=attribute.name,
        type=parameter_type(attribute),
        default=list(default) if isinstance(default, tuple) else default,
        minimum=rule["at_least"],
        maximum=rule["at_most"],
        choices=list(rule["choices"]),
        description=rule["says"],
    )


def _description(kind: type[Any]) -> str:
    """The first paragraph of the docstring of a strategy, on one line."""
    return " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())


def to_decision_schema(decision: Decision, currency: str) -> DecisionSchema:
    return DecisionSchema(**_decision_fields(decision, currency))


def to_stored_decision_schema(stored: StoredDecision) -> StoredDecisionSchema:
    belief_estimate = elasticity_belief(stored.inputs)
    return StoredDecisionSchema(
        run=stored.run_id,
        decided_at=stored.decided_at,
        outcome=stored.outcome,
        in_force_from=stored.in_force_from,
        in_force_until=stored.in_force_until,
        explained=explain_inputs(stored.inputs),
        belief=None if belief_estimate is None else ElasticityBeliefSchema(**asdict(belief_estimate)),
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


def to_run_schema(run: Run) -> RunSchema:
    return RunSchema(
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
        move_factor=run.move_factor,
        caps_moves=run.caps_moves,
        approval_until=run.approval_until,
        reviewed_by=run.reviewed_by,
        reviewed_at=run.reviewed_at,
        note=run.note,
        started_at=run.started_at,
        finished_at=run.finished_at,
        repetitions=run.repetitions,
        repeated_since=run.repeated_since,
    )


def to_assignment_schema(assignment: Assignment) -> AssignmentSchema:
    return AssignmentSchema(assignment.product_id, assignment.policy_id, assignment.is_excluded)
