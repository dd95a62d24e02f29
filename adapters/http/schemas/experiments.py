"""Schemas of pricing experiments."""

from datetime import datetime

import msgspec

from scalecommerce_core.pricing.experiments.experiment import ExperimentKind, ExperimentStatus, PricingExperiment
from scalecommerce_core.pricing.experiments.results import Measure, Verdict


class ExperimentResultSchema(msgspec.Struct):
    """Relative differences: 0.03 means that the policy earns 3 % more. `low` and `high` are a 95 % interval that holds
    however often it is looked at; the verdict depends on it. `fixed_low` and `fixed_high` are narrower, and hold for a
    single look at the planned end. All are null while there are too few sales. `elapsed` is the elapsed share of the
    planned time, `weeks_more` the estimated weeks until the difference is proven (null: proven, or out of reach).
    `products` counts the measured products, `held_out` those of them at the seller's own prices.
    """

    verdict: Verdict
    measure: Measure
    lift: float | None
    low: float | None
    high: float | None
    fixed_low: float | None
    fixed_high: float | None
    elapsed: float
    weeks_more: int | None
    products: int
    held_out: int
    notes: list[str]


class ExperimentSchema(msgspec.Struct):
    """`sentence` is the result in words, `note` the reason if it ended before `planned_end`. `share` is of hold-outs,
    `period_epochs` of switchbacks. `result` is null until the first measurement, at `measured_at`.
    """

    id: int
    policy: int
    policy_version: int
    seller: int
    kind: ExperimentKind
    status: ExperimentStatus
    share: float
    weeks: int
    period_epochs: int
    burn_in_epochs: int
    seed: int
    started_at: datetime
    planned_end: datetime
    ended_at: datetime | None
    note: str
    sentence: str
    measured_at: datetime | None
    result: ExperimentResultSchema | None


class ExperimentSummarySchema(msgspec.Struct):
    """The newest experiment about a policy; `sentence` is its result in words."""

    id: int
    status: ExperimentStatus
    sentence: str


def to_experiment_schema(experiment: PricingExperiment, now: datetime) -> ExperimentSchema:
    result = experiment.result
    return ExperimentSchema(
        id=experiment.id,
        policy=experiment.policy_id,
        policy_version=experiment.policy_version,
        seller=experiment.seller_id,
        kind=experiment.kind,
        status=experiment.status(now),
        share=experiment.share,
        weeks=experiment.weeks,
        period_epochs=experiment.period_epochs,
        burn_in_epochs=experiment.burn_in_epochs,
        seed=experiment.seed,
        started_at=experiment.started_at,
        planned_end=experiment.planned_end,
        ended_at=experiment.ended_at,
        note=experiment.note,
        sentence=experiment.sentence,
        measured_at=experiment.measured_at,
        result=None
        if result is None
        else ExperimentResultSchema(
            **{name: getattr(result, name) for name in ExperimentResultSchema.__struct_fields__ if name != "notes"},
            notes=list(result.notes),
        ),
    )


def to_experiment_summary_schema(experiment: PricingExperiment, now: datetime) -> ExperimentSummarySchema:
    return ExperimentSummarySchema(experiment.id, experiment.status(now), experiment.sentence)
