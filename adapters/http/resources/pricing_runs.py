"""`pricing/api/v1/runs/`: runs of pricing policies, their decisions, approval, rollback and cancellation."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.account_administration import ReasonBody
from adapters.http.resources.pricing_policies import ROOT, TAG, list_owner
from adapters.http.schemas.pricing import RunSchema, StoredDecisionSchema, to_run_schema, to_stored_decision_schema
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, RunId
from scalecommerce_core.pricing.runs import Run, RunNotAwaitingApproval, RunNotReversible, RunStatus

RUNS: Final = ROOT + "runs/"
RUN: Final = RUNS + "{id:id}/"


class RunQuery(PageQuery, frozen=True):
    policy: (
        Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Only runs of this policy.", examples=[4])] | None
    ) = None

    status: Annotated[
        RunStatus | None,
        msgspec.Meta(
            description="Only runs with this status, such as those that await approval.", examples=["AWAITING_APPROVAL"]
        ),
    ] = None


class DecisionQuery(PageQuery, frozen=True):
    moves: Annotated[bool, msgspec.Meta(description="Only decisions that change the price.")] = False


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
        summary="List runs of the caller's policies; for staff, of all policies",
        responses={200: ResponseSpec(PageSchema[RunSchema], "Runs, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_pricing_runs(self, call: Call[None, RunQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        policy = None if call.query.policy is None else PolicyId(call.query.policy)
        page = await self._dependencies.run_in_thread(
            self._queries.runs, list_owner(call), page_request, policy_id=policy, status=call.query.status
        )
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_run_schema))

    @OperationSpec(
        method="GET",
        path=RUN,
        name="readPricingRun",
        summary="Read a run; for the owner of its policy and staff",
        responses={
            200: ResponseSpec(RunSchema, "The run.", links=[Link("listPricingDecisions"), Link("rollBackPricingRun")])
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def read_pricing_run(self, call: Call[None, None]) -> Response:
        return json_response(to_run_schema(await self._load_visible_run(call)))

    @OperationSpec(
        method="GET",
        path=f"{RUN}decisions/",
        name="listPricingDecisions",
        summary="List the decisions of a run",
        responses={200: ResponseSpec(PageSchema[StoredDecisionSchema], "Decisions by product id.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_pricing_decisions(self, call: Call[None, DecisionQuery]) -> Response:
        run = await self._load_visible_run(call)
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(
            self._queries.decisions, run.id, page_request, moves_only=call.query.moves
        )
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_stored_decision_schema)
        )

    @OperationSpec(
        method="POST",
        path=f"{RUN}approve/",
        name="approvePricingRun",
        summary="Approve the changes of a run that awaits approval",
        description="For a member of staff who did not edit or activate the policy last. The run continues in the"
        " background. An API key cannot approve.",
        responses={200: ResponseSpec(RunSchema, "The run, which changes prices.", links=[Link("readPricingRun")])},
        tag=TAG,
        access=Access.STAFF,
        errors=(RunNotAwaitingApproval,),
    )
    async def approve_pricing_run(self, call: Call[None, None]) -> Response:
        by = Actor(call.identity.account_id, call.client_address)
        run = await self._dependencies.run_in_thread(self._repricing.approve, RunId(call.id), by)
        return json_response(to_run_schema(run))

    @OperationSpec(
        method="POST",
        path=f"{RUN}decline/",
        name="declinePricingRun",
        summary="Decline the changes of a run that awaits approval; all prices stay",
        description="For a member of staff who did not edit or activate the policy last. The policy learns from the"
        " run nevertheless. An API key cannot decline.",
        responses={200: ResponseSpec(RunSchema, "The run, which changes no price.", links=[Link("readPricingRun")])},
        tag=TAG,
        access=Access.STAFF,
        errors=(RunNotAwaitingApproval,),
    )
    async def decline_pricing_run(self, call: Call[ReasonBody, None]) -> Response:
        by = Actor(call.identity.account_id, call.client_address)
        run = await self._dependencies.run_in_thread(self._repricing.decline, RunId(call.id), call.body.reason, by)
        return json_response(to_run_schema(run))

    @OperationSpec(
        method="POST",
        path=f"{RUN}rollback/",
        name="rollBackPricingRun",
        summary="Roll back a run: restore the prices before it",
        description="Prices that were changed after the run keep their values. A run in progress is ended first. The"
        " rollback runs in the background until `status` is `ROLLED_BACK`; repeating the request changes nothing. For a"
        " run without price changes the response is 409 `run_not_reversible`.",
        responses={
            200: ResponseSpec(
                RunSchema, "The run, which is being rolled back or is rolled back.", links=[Link("readPricingRun")]
            )
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        errors=(RunNotReversible,),
    )
    async def roll_back_pricing_run(self, call: Call[None, None]) -> Response:
        return await self._end(self._repricing.begin_rollback, call)

    @OperationSpec(
        method="POST",
        path=f"{RUN}cancel/",
        name="cancelPricingRun",
        summary="Cancel a run in progress; prices that it has changed stay",
        responses={200: ResponseSpec(RunSchema, "The run.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def cancel_pricing_run(self, call: Call[None, None]) -> Response:
        return await self._end(self._repricing.cancel, call)

    async def _end(self, end: Callable[[RunId, AccountId | None, Actor], Run], call: Call[None, None]) -> Response:
        by = Actor(call.identity.account_id, call.client_address)
        run = await self._dependencies.run_in_thread(end, RunId(call.id), list_owner(call), by)
        return json_response(to_run_schema(run))

    async def _load_visible_run(self, call: Call[Any, Any]) -> Run:
        run = await self._dependencies.run_in_thread(self._queries.repricing_run, RunId(call.id))
        if run is None or (run.seller_id != call.identity.account_id and not call.identity.is_staff):
            raise NotFound("run", call.id)
        return run
