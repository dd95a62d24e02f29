"""`pricing/api/v1/runs/`: what policies did, why, and taking it back."""

from typing import Annotated, Any, Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.pricing_policies import ROOT, TAG, list_owner
from adapters.http.schemas.pricing import RunSchema, StoredDecisionSchema, to_run_schema, to_stored_decision_schema
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import PolicyId, RunId
from scalecommerce_core.pricing.runs import Run, RunNotReversible

RUNS: Final = ROOT + "runs/"
RUN: Final = RUNS + "{id:id}/"


class RunQuery(PageQuery, frozen=True):
    policy: (
        Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Runs of this policy only.", examples=[4])] | None
    ) = None


class DecisionQuery(PageQuery, frozen=True):
    moves: Annotated[bool, msgspec.Meta(description="Only decisions that move a price.")] = False


class PricingRunResource:
    """Runs of pricing policies."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._queries = dependencies.market.queries
        self._repricing = dependencies.market.repricing

    @OperationSpec(
        method="GET",
        path=RUNS,
        name="listPricingRuns",
        summary="Runs of the caller's policies; for staff, of everybody's",
        responses={200: ResponseSpec(PageSchema[RunSchema], "Newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def list_pricing_runs(self, call: Call[None, RunQuery]) -> Response:
        wanted = self._dependencies.paginator.parse_request(call.request, call.query)
        policy = None if call.query.policy is None else PolicyId(call.query.policy)
        page = await self._dependencies.run_in_thread(self._queries.runs, list_owner(call), wanted, policy_id=policy)
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_run_schema))

    @OperationSpec(
        method="GET",
        path=RUN,
        name="readPricingRun",
        summary="One run, for its policy's owner and staff",
        responses={
            200: ResponseSpec(RunSchema, "The run.", links=[Link("listPricingDecisions"), Link("rollBackPricingRun")])
        },
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def read_pricing_run(self, call: Call[None, None]) -> Response:
        return json_response(to_run_schema(await self._load_visible_run(call)))

    @OperationSpec(
        method="GET",
        path=f"{RUN}decisions/",
        name="listPricingDecisions",
        summary="What a run decided for each product, and why",
        responses={200: ResponseSpec(PageSchema[StoredDecisionSchema], "By product.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def list_pricing_decisions(self, call: Call[None, DecisionQuery]) -> Response:
        run = await self._load_visible_run(call)
        wanted = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(
            self._queries.decisions, run.id, wanted, moves_only=call.query.moves
        )
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_stored_decision_schema)
        )

    @OperationSpec(
        method="POST",
        path=f"{RUN}rollback/",
        name="rollBackPricingRun",
        summary="Put all prices of a run back where they were",
        description="Prices that somebody moved since stay. A run at work is ended by this. Asking again changes"
        " nothing; `status` tells when it is done. A run that has moved nothing is a 409 `run_not_reversible`.",
        responses={200: ResponseSpec(RunSchema, "It is being rolled back, or was.", links=[Link("readPricingRun")])},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(RunNotReversible,),
    )
    async def roll_back_pricing_run(self, call: Call[None, None]) -> Response:
        return json_response(
            to_run_schema(
                await self._dependencies.run_in_thread(self._repricing.begin_rollback, RunId(call.id), list_owner(call))
            )
        )

    @OperationSpec(
        method="POST",
        path=f"{RUN}cancel/",
        name="cancelPricingRun",
        summary="End a run that is at work; what it has written stands",
        responses={200: ResponseSpec(RunSchema, "The run.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def cancel_pricing_run(self, call: Call[None, None]) -> Response:
        return json_response(
            to_run_schema(
                await self._dependencies.run_in_thread(self._repricing.cancel, RunId(call.id), list_owner(call))
            )
        )

    async def _load_visible_run(self, call: Call[Any, Any]) -> Run:
        run = await self._dependencies.run_in_thread(self._queries.repricing_run, RunId(call.id))
        if run is None or (run.seller_id != call.identity.account_id and not call.identity.is_staff):
            raise NotFound("run", call.id)
        return run
