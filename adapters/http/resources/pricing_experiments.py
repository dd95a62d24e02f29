"""`pricing/api/v1/experiments/`: experiments that compare a policy with the seller's own prices."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.json_parser import decimals_to_numbers
from adapters.http.framework.openapi import LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.pricing_policies import ROOT, TAG, list_owner
from adapters.http.schemas.experiments import ExperimentSchema, to_experiment_schema
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import ExperimentId, PolicyId
from scalecommerce_core.pricing.experiments.experiment import (
    MAX_PERIOD_EPOCHS,
    MAX_SEED,
    MAX_SHARE,
    MAX_WEEKS,
    MIN_SHARE,
    MIN_WEEKS,
    ExperimentKind,
    PricingExperiment,
)
from scalecommerce_core.services.experiments import (
    EndExperiment,
    ExperimentInProgress,
    ExperimentNotPossible,
    StartExperiment,
)
from scalecommerce_core.services.results import unwrap_single

EXPERIMENTS: Final = ROOT + "experiments/"
EXPERIMENT: Final = EXPERIMENTS + "{id:id}/"
PolicyNumber = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Id of a policy.", examples=[4])]


class NewExperiment(msgspec.Struct, omit_defaults=True):
    """A `hold_out` keeps a share of the products at the seller's own prices. A `switchback` changes all products of the
    policy between the policy's prices and the seller's own, in periods of random order. An experiment cannot be changed
    after its start.
    """

    policy: PolicyNumber
    kind: ExperimentKind | UnsetType = UNSET
    share: (
        Annotated[
            float,
            msgspec.Meta(ge=MIN_SHARE, le=MAX_SHARE, description="Share of the products to hold out.", examples=[0.2]),
        ]
        | UnsetType
    ) = UNSET
    weeks: (
        Annotated[int, msgspec.Meta(ge=MIN_WEEKS, le=MAX_WEEKS, description="Planned duration.", examples=[26])]
        | UnsetType
    ) = UNSET
    period_epochs: (
        Annotated[
            int,
            msgspec.Meta(ge=1, le=MAX_PERIOD_EPOCHS, description="Epochs in a period of a switchback.", examples=[4]),
        ]
        | UnsetType
    ) = UNSET
    burn_in_epochs: (
        Annotated[
            int,
            msgspec.Meta(
                ge=0,
                le=MAX_PERIOD_EPOCHS,
                description="Epochs that are not measured while prices move, at the start of a hold-out or of each"
                " period of a switchback.",
                examples=[1],
            ),
        ]
        | UnsetType
    ) = UNSET
    seed: (
        Annotated[
            int,
            msgspec.Meta(
                ge=0,
                le=MAX_SEED,
                description="Seed of the random assignment; by default the experiment's id.",
                examples=[7],
            ),
        ]
        | UnsetType
    ) = UNSET


class ExperimentQuery(PageQuery, frozen=True):
    policy: (
        Annotated[
            int, msgspec.Meta(ge=1, le=2**63 - 1, description="Only experiments about this policy.", examples=[4])
        ]
        | None
    ) = None


class PricingExperimentResource:
    """Pricing experiments and their results."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._queries = dependencies.market.queries
        self._experiments = dependencies.market.experiments
        self._clock = dependencies.market.clock

    @OperationSpec(
        method="GET",
        path=EXPERIMENTS,
        name="listPricingExperiments",
        summary="List experiments about the caller's policies; for staff, about all policies",
        responses={200: ResponseSpec(PageSchema[ExperimentSchema], "Experiments, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_pricing_experiments(self, call: Call[None, ExperimentQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        policy = None if call.query.policy is None else PolicyId(call.query.policy)
        page = await self._dependencies.run_in_thread(
            self._queries.experiments, list_owner(call), page_request, policy_id=policy
        )
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, self._to_schema))

    @OperationSpec(
        method="POST",
        path=EXPERIMENTS,
        name="startPricingExperiment",
        summary="Start an experiment: what does the policy earn, compared with the seller's own prices?",
        description="The products are assigned at random, and the policy keeps the held-out ones at the seller's own"
        " prices from its next run on. A policy has one experiment at a time; another one is a 409"
        " `experiment_in_progress`. A policy that changes no prices, or that covers too few products, is a 409"
        " `experiment_not_possible`.",
        responses={
            201: ResponseSpec(
                ExperimentSchema,
                "The experiment.",
                [LOCATION],
                [Link("readPricingExperiment"), Link("endPricingExperiment")],
            )
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        idempotent=True,
        errors=(ExperimentInProgress, ExperimentNotPossible),
    )
    async def start_pricing_experiment(self, call: Call[NewExperiment, None]) -> Response:
        plan = {
            name: decimals_to_numbers(value)
            for name, value in msgspec.structs.asdict(call.body).items()
            if value is not UNSET and name != "policy"
        }
        command = StartExperiment(
            PolicyId(call.body.policy),
            call.identity.account_id,
            plan,
            as_staff=call.identity.is_staff,
            address=call.client_address,
            idempotency=await build_idempotency_key(call, self._encode),
        )
        outcomes = await self._dependencies.run_in_thread(self._experiments.start, [command])
        body = response_body(outcomes, self._encode)
        number = msgspec.json.decode(body, type=ExperimentSchema).id
        return Response(body, 201, {"Location": f"{EXPERIMENTS}{number}/"}, "application/json")

    @OperationSpec(
        method="GET",
        path=EXPERIMENT,
        name="readPricingExperiment",
        summary="Read an experiment and its result; for the owner of its policy and staff",
        description="Running experiments are measured every hour.",
        responses={200: ResponseSpec(ExperimentSchema, "The experiment.", links=[Link("endPricingExperiment")])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def read_pricing_experiment(self, call: Call[None, None]) -> Response:
        experiment = await self._dependencies.run_in_thread(self._queries.experiment, ExperimentId(call.id))
        if experiment is None or (experiment.seller_id != call.identity.account_id and not call.identity.is_staff):
            raise NotFound("experiment", call.id)
        return json_response(self._to_schema(experiment))

    @OperationSpec(
        method="POST",
        path=f"{EXPERIMENT}end/",
        name="endPricingExperiment",
        summary="End an experiment before its planned end",
        description="From its next run on, the policy prices all of its products. The result stays, and is measured a"
        " last time. Repeating the request changes nothing.",
        responses={200: ResponseSpec(ExperimentSchema, "The experiment.", links=[Link("readPricingExperiment")])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def end_pricing_experiment(self, call: Call[None, None]) -> Response:
        command = EndExperiment(
            ExperimentId(call.id),
            call.identity.account_id,
            as_staff=call.identity.is_staff,
            address=call.client_address,
        )
        experiment = unwrap_single(await self._dependencies.run_in_thread(self._experiments.end, [command]))
        return json_response(self._to_schema(experiment))

    def _to_schema(self, experiment: PricingExperiment) -> ExperimentSchema:
        return to_experiment_schema(experiment, self._clock.now())

    def _encode(self, experiment: PricingExperiment) -> bytes:
        return msgspec.json.encode(self._to_schema(experiment))
