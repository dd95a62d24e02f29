"""Examples of `pricing/api/v1/`."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from adapters.http.examples.demo_market import (
    DEMO_POLICY,
    EARLIER,
    EXPERIMENT,
    HOME_APPLIANCES,
    NEW_POLICY,
    NEW_PROMOTION,
    NOW,
    PRICED_PRODUCT,
    RUN,
    SEEDED_POLICY,
    SELLER_ID,
    STAFF_ID,
)
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.schemas.experiments import ExperimentResultSchema, ExperimentSchema
from adapters.http.schemas.price_explanation import (
    AmountEstimateSchema,
    CurvePointSchema,
    DecisionInputSchema,
    DecisionTextSchema,
    DemandCurveSchema,
    EstimateSchema,
    FiguresAtPriceSchema,
    PriceExplanationSchema,
    PriceMoveSchema,
    to_message_schema,
)
from adapters.http.schemas.pricing import (
    AssignmentSchema,
    DecisionSchema,
    ElasticityBeliefSchema,
    ParameterSchema,
    PolicyKindSchema,
    PolicyKindsSchema,
    PolicySchema,
    PreviewSchema,
    RunSchema,
    StoredDecisionSchema,
)
from adapters.http.schemas.promotions import PromotedProductSchema, PromotionSchema
from scalecommerce_core.domain.errors import Invalid, VersionMismatch
from scalecommerce_core.domain.identifiers import ProductId, PromotionId
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.promotion import PromotionOver, PromotionsOverlap, PromotionStatus
from scalecommerce_core.pricing.decisions import CHANGE_MESSAGES, HELD_MESSAGES
from scalecommerce_core.pricing.experiments.experiment import ExperimentKind, ExperimentStatus
from scalecommerce_core.pricing.experiments.results import Measure, Verdict
from scalecommerce_core.pricing.explaining import GUARDRAIL_MESSAGES, INPUT_MESSAGES, OUTCOME_MESSAGES
from scalecommerce_core.pricing.interface import Motive
from scalecommerce_core.pricing.messages import Amount
from scalecommerce_core.pricing.runs import DecisionOutcome, RunNotAwaitingApproval, RunStatus, Trigger
from scalecommerce_core.services.experiments import ExperimentInProgress
from scalecommerce_core.services.price_explanation import CAUSE_MESSAGES

_STEP: Final = ParameterSchema(
    name="step",
    type="number",
    default=0.04,
    minimum=0.001,
    maximum=0.5,
    choices=[],
    description="Relative size of a price change; the circuit breaker reduces larger ones.",
)
_LIMIT: Final = replace(_STEP, default=0.05, description="Largest relative change in an epoch.")
_NEW: Final = {
    "name": "Appliances, carefully",
    "policy": "hill_climb",
    "parameters": {"step": 0.03},
    "guardrails": {"ending": "99", "step": 0.05},
    "epoch_seconds": 604_800,
    "fee": 0.08,
    "stock_days": 30,
    "stock_until": "2030-01-31T18:00:00Z",
    "category_id": HOME_APPLIANCES,
    "is_shadow": True,
}
_POLICY: Final = PolicySchema(
    id=NEW_POLICY,
    seller=STAFF_ID,
    name="Appliances, carefully",
    policy="hill_climb",
    parameters={"step": 0.03},
    guardrails={"step": 0.05, "ending": "99", "cooldown_days": 7.0, "dead_band": 0.02},
    epoch_seconds=604_800.0,
    fee=0.08,
    stock_days=30.0,
    stock_until=datetime(2030, 1, 31, 18, tzinfo=UTC),
    category_id=HOME_APPLIANCES,
    assigned_only=False,
    is_shadow=True,
    is_active=True,
    version=1,
    edited_by=STAFF_ID,
    created_at=NOW,
)
_BELIEVED: Final = (
    "a price 1 % higher sells 2.4 % less, plus or minus 0.9 (elasticity -2.40); in its category 2.4 % less"
)
_DECISION: Final = StoredDecisionSchema(
    product=3,
    policy=1,
    policy_version=1,
    epoch=0,
    old_price="90.99",
    new_price="94.09",
    wanted="94.09",
    currency="USD",
    motive=Motive.TRYING,
    guardrails=[],
    sentence="Raised by 3.4% to 94.09: sales at other prices are needed to estimate demand.",
    run=RUN,
    decided_at=NOW,
    outcome=DecisionOutcome.WRITTEN,
    in_force_from=NOW,
    in_force_until=None,
    explained={
        "price": "90.99, in force for 30 days",
        "reference": "90.99, the seller's starting price",
        "demand": "412 views and 9 units sold in 7 days on sale, a conversion of 2.2%",
        "stock": "38 units, enough for 29.6 days at this rate of sales",
        "cost": "unknown, so the price stays near the seller's price",
        "belief": _BELIEVED,
    },
    belief=ElasticityBeliefSchema(elasticity=-2.4, standard_deviation=0.9, category_elasticity=-2.4),
)
_KEPT: Final = StoredDecisionSchema(
    product=PRICED_PRODUCT,
    policy=DEMO_POLICY,
    policy_version=1,
    epoch=12,
    old_price="36.00",
    new_price="36.00",
    wanted="32.40",
    currency="USD",
    motive=Motive.TRYING,
    guardrails=["few_views", "short_history"],
    sentence="Kept at 36.00: too few people have viewed the product.",
    run=16,
    decided_at=NOW,
    outcome=DecisionOutcome.KEPT,
    in_force_from=None,
    in_force_until=None,
    explained={
        "price": "36.00, in force from the start",
        "reference": "36.00, the seller's starting price",
        "demand": "no data at this price yet",
        "cost": "10.00: a margin of 72.2% of the price",
        "belief": _BELIEVED,
    },
    belief=ElasticityBeliefSchema(elasticity=-2.4, standard_deviation=0.9, category_elasticity=-2.4),
)
_LISTED: Final = to_message_schema(CAUSE_MESSAGES.message("listed"))
_RUN: Final = RunSchema(
    id=RUN,
    policy=1,
    policy_version=1,
    seller=SELLER_ID,
    epoch=0,
    trigger=Trigger.SCHEDULE,
    status=RunStatus.DONE,
    is_shadow=False,
    products=195,
    decided=195,
    moves=183,
    written=183,
    undone=0,
    unpriced=0,
    move_factor=1.0,
    caps_moves=False,
    approval_until=None,
    reviewed_by=None,
    reviewed_at=None,
    note="Circuit breaker not tripped: mean change -0.2%, 0% of 195 prices changed by more than 4%.",
    started_at=EARLIER,
    finished_at=EARLIER + timedelta(milliseconds=367),
    repetitions=0,
    repeated_since=None,
)
_NEW_EXPERIMENT: Final = ExperimentSchema(
    id=EXPERIMENT,
    policy=SEEDED_POLICY,
    policy_version=1,
    seller=SELLER_ID,
    kind=ExperimentKind.HOLD_OUT,
    status=ExperimentStatus.RUNNING,
    share=0.25,
    weeks=12,
    period_epochs=4,
    burn_in_epochs=1,
    seed=EXPERIMENT,
    started_at=NOW,
    planned_end=NOW + timedelta(weeks=12),
    ended_at=None,
    note="",
    sentence="Not proven yet: there are too few sales so far.",
    measured_at=None,
    result=None,
)
_EXPERIMENT: Final = replace(
    _NEW_EXPERIMENT,
    started_at=NOW - timedelta(weeks=9),
    planned_end=NOW + timedelta(weeks=3),
    sentence="The policy earns 1.4% to 7.9% more profit than your own prices.",
    measured_at=NOW,
    result=ExperimentResultSchema(
        verdict=Verdict.EARNS_MORE,
        measure=Measure.PROFIT,
        lift=0.046,
        low=0.014,
        high=0.079,
        fixed_low=0.022,
        fixed_high=0.071,
        elapsed=0.73,
        weeks_more=None,
        products=812,
        held_out=203,
        notes=[],
    ),
)
_EXPERIMENT_ID: Final = {"id": EXPERIMENT}
_PROMOTION: Final = PromotionSchema(
    id=NEW_PROMOTION,
    seller=SELLER_ID,
    name="Week of appliances",
    status=PromotionStatus.SCHEDULED,
    starts_at=datetime(2030, 11, 25, tzinfo=UTC),
    ends_at=datetime(2030, 12, 2, tzinfo=UTC),
    percent=5,
    category_id=HOME_APPLIANCES,
    all_products=False,
    products=11,
    version=1,
    created_at=NOW,
)
_PROMOTED: Final = PromotedProductSchema(
    product=PRICED_PRODUCT,
    status=PromotionStatus.RUNNING,
    currency="USD",
    price=None,
    prior_price="36.00",
    promoted_price="34.20",
    former_price="38.00",
    note=None,
)
_OVERLAP: Final = PromotionsOverlap([ProductId(PRICED_PRODUCT)], PromotionId(NEW_PROMOTION))
_PROMOTION_ID: Final = {"id": NEW_PROMOTION}
_REVIEWED: Final = replace(
    _RUN,
    status=RunStatus.WRITING,
    written=0,
    approval_until=EARLIER + timedelta(days=7),
    reviewed_by=1,
    reviewed_at=EARLIER + timedelta(hours=2),
    finished_at=None,
    note="Approved by account 1. Circuit breaker not tripped: mean change -0.2%, 0% of 195 prices changed by more than"
    " 4%.",
)
_DEMO_POLICY_ID: Final = {"id": DEMO_POLICY}
_NEW_POLICY_ID: Final = {"id": NEW_POLICY}
_RUN_ID: Final = {"id": RUN}
_PRODUCT_ID: Final = {"id": PRICED_PRODUCT}
_EDITED: Final = VersionMismatch(f"Policy {NEW_POLICY} was edited: its version is 2 now.")

EXAMPLES: Final[Mapping[str, Example]] = {
    "listPromotions": Example(responses={200: PageSchema(next=None, previous=None, results=[_PROMOTION])}),
    "createPromotion": Example(
        body={
            "name": "Week of appliances",
            "starts_at": "2030-11-25T00:00:00Z",
            "ends_at": "2030-12-02T00:00:00Z",
            "category_id": HOME_APPLIANCES,
            "percent": 5,
            "seller": SELLER_ID,
        },
        alternatives={
            "Chosen products": {
                "name": "Week of teapots",
                "starts_at": "2030-11-25T00:00:00Z",
                "ends_at": "2030-12-02T00:00:00Z",
                "products": [{"product": PRICED_PRODUCT, "price": "29.90"}],
            }
        },
        responses={201: _PROMOTION},
        problems=[Invalid.field("ends_at", "Must be after starts_at."), _OVERLAP],
    ),
    "readPromotion": Example(parameters=_PROMOTION_ID, responses={200: _PROMOTION}),
    "listPromotedProducts": Example(
        parameters=_PROMOTION_ID, responses={200: PageSchema(next=None, previous=None, results=[_PROMOTED])}
    ),
    "patchPromotion": Example(
        parameters=_PROMOTION_ID,
        body={"ends_at": "2030-12-09T00:00:00Z"},
        responses={200: replace(_PROMOTION, ends_at=datetime(2030, 12, 9, tzinfo=UTC), version=2)},
        invalid_body={"name": "", "ends_at": "tomorrow"},
        problems=[PromotionOver(PromotionId(NEW_PROMOTION)), _OVERLAP],
    ),
    "cancelPromotion": Example(parameters=_PROMOTION_ID),
    "listPolicyKinds": Example(
        responses={
            200: PolicyKindsSchema(
                [
                    PolicyKindSchema(
                        "hill_climb",
                        "Holds a price until it has sold enough, then steps on if profit per view rose, and back if it"
                        " fell.",
                        [_STEP],
                    )
                ],
                [_LIMIT],
            )
        },
    ),
    "listPricingPolicies": Example(responses={200: PageSchema(next=None, previous=None, results=[_POLICY])}),
    "createPricingPolicy": Example(
        body=_NEW,
        alternatives={"Only what is required": {"name": "What sells best"}},
        responses={201: _POLICY},
        problems=[Invalid.field("parameters.step", "This must be at least 0.001.")],
    ),
    "readPricingPolicy": Example(parameters=_DEMO_POLICY_ID, responses={200: replace(_POLICY, id=DEMO_POLICY)}),
    "patchPricingPolicy": Example(
        parameters=_NEW_POLICY_ID,
        body={"name": "Appliances, more carefully", "parameters": {"step": 0.02}},
        alternatives={"Switch it off": {"is_active": False}},
        responses={200: replace(_POLICY, name="Appliances, more carefully", parameters={"step": 0.02}, version=2)},
        invalid_body={"epoch_seconds": -7, "fee": 8},
        problems=[_EDITED],
    ),
    "deletePricingPolicy": Example(parameters=_NEW_POLICY_ID, problems=[_EDITED]),
    "previewPricingPolicy": Example(
        parameters=_DEMO_POLICY_ID,
        responses={
            200: PreviewSchema(
                policy=DEMO_POLICY,
                looked_at=1,
                moves=0,
                would_limit=False,
                move_factor=1.0,
                caps_moves=False,
                sentence="Circuit breaker not tripped: mean change +0.0%, 0% of 1 price changed by more than 4%.",
                decisions=[DecisionSchema(**{name: getattr(_KEPT, name) for name in DecisionSchema.__struct_fields__})],
            )
        },
    ),
    "readPricingOfProduct": Example(
        parameters=_PRODUCT_ID,
        responses={200: AssignmentSchema(PRICED_PRODUCT, DEMO_POLICY, is_excluded=False)},
    ),
    "patchPricingOfProduct": Example(
        parameters=_PRODUCT_ID,
        body={"policy": DEMO_POLICY, "is_excluded": False},
        alternatives={
            "No policy may move its price": {"is_excluded": True},
            "Use the policy of its category or seller": {"policy": None},
        },
        responses={200: AssignmentSchema(PRICED_PRODUCT, DEMO_POLICY, is_excluded=False)},
        problems=[Invalid.field("policy", "The seller of the product has no policy with this id.")],
    ),
    "listDecisionsOfProduct": Example(
        parameters=_PRODUCT_ID, responses={200: PageSchema(next=None, previous=None, results=[_KEPT])}
    ),
    "explainPrice": Example(
        parameters=_PRODUCT_ID,
        responses={
            200: PriceExplanationSchema(
                product=PRICED_PRODUCT,
                name="Kettle",
                currency="USD",
                price="36.00",
                proposed_price="32.40",
                best_price="24.31",
                floor="10.00",
                ceiling="46.80",
                own_price="36.00",
                starts_at=NOW - timedelta(days=90),
                ends_at=NOW,
                path=[
                    PriceMoveSchema(
                        price="36.00",
                        valid_from=EARLIER,
                        valid_to=None,
                        cause=PriceCause.LISTED,
                        is_withdrawn=False,
                        run=None,
                        reasons=[_LISTED],
                    )
                ],
                by_price=[
                    FiguresAtPriceSchema(
                        views=412,
                        orders=8,
                        units=9,
                        revenue="324.00",
                        refunded_units=0,
                        refunded_amount="0.00",
                        conversion_rate=0.0194,
                        price="36.00",
                        days=31.5,
                        profit="234.00",
                    )
                ],
                curve=DemandCurveSchema(
                    views_a_week=96.4,
                    points=[
                        CurvePointSchema(
                            "24.31", EstimateSchema(4.9, 3.1, 7.7), AmountEstimateSchema("70.12", "44.36", "110.19")
                        ),
                        CurvePointSchema(
                            "36.00", EstimateSchema(2.1, 1.6, 2.8), AmountEstimateSchema("54.60", "41.60", "72.80")
                        ),
                    ],
                ),
                note=None,
                decision=DecisionTextSchema(
                    run=16,
                    policy=DEMO_POLICY,
                    decided_at=NOW,
                    outcome=DecisionOutcome.KEPT,
                    sentence=_KEPT.sentence,
                    change=to_message_schema(CHANGE_MESSAGES.message("kept", price=Amount(36_00, 100))),
                    causes=[to_message_schema(HELD_MESSAGES.message("few_views"))],
                    outcome_message=to_message_schema(OUTCOME_MESSAGES.message("kept")),
                    guardrail_messages=[to_message_schema(GUARDRAIL_MESSAGES.message("few_views"))],
                    inputs=[
                        DecisionInputSchema(
                            "reference",
                            [to_message_schema(INPUT_MESSAGES.message("reference", price=Amount(36_00, 100)))],
                        )
                    ],
                ),
            )
        },
    ),
    "listPricingRuns": Example(responses={200: PageSchema(next=None, previous=None, results=[_RUN])}),
    "readPricingRun": Example(parameters=_RUN_ID, responses={200: _RUN}),
    "listPricingDecisions": Example(
        parameters=_RUN_ID, responses={200: PageSchema(next=None, previous=None, results=[_DECISION])}
    ),
    "listPricingExperiments": Example(responses={200: PageSchema(next=None, previous=None, results=[_EXPERIMENT])}),
    "startPricingExperiment": Example(
        body={"policy": SEEDED_POLICY, "share": 0.25, "weeks": 12},
        alternatives={
            "All products take turns": {"policy": SEEDED_POLICY, "kind": "switchback", "weeks": 52, "period_epochs": 4}
        },
        responses={201: _NEW_EXPERIMENT},
        problems=[
            Invalid.field("weeks", "Must be at least 40, for 10 periods; or shorten them (period_epochs)."),
            ExperimentInProgress(f"Experiment 1 of policy {SEEDED_POLICY} is in progress: end it first."),
        ],
    ),
    "readPricingExperiment": Example(parameters=_EXPERIMENT_ID, responses={200: _EXPERIMENT}),
    "endPricingExperiment": Example(
        parameters=_EXPERIMENT_ID,
        responses={
            200: replace(_EXPERIMENT, status=ExperimentStatus.ENDED, ended_at=NOW, note="It was ended by hand.")
        },
    ),
    "approvePricingRun": Example(
        parameters=_RUN_ID,
        responses={200: _REVIEWED},
        problems=[RunNotAwaitingApproval(f"Run {RUN} does not await approval: its status is DONE.")],
        # No run of the demo awaits approval.
        is_refused=True,
    ),
    "declinePricingRun": Example(
        parameters=_RUN_ID,
        body={"reason": "The costs of these products are wrong."},
        responses={200: _REVIEWED},
        problems=[RunNotAwaitingApproval(f"Run {RUN} does not await approval: its status is DONE.")],
        # No run of the demo awaits approval.
        is_refused=True,
    ),
    "rollBackPricingRun": Example(parameters=_RUN_ID, responses={200: replace(_RUN, status=RunStatus.ROLLING_BACK)}),
    "cancelPricingRun": Example(parameters=_RUN_ID, responses={200: _RUN}),
}
