"""`pricing/api/v1/policies/`: pricing policies of a seller, previews, and the available strategies."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.etags import content_etag, expected_version, is_current, version_etag
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.json_parser import decimals_to_numbers
from adapters.http.framework.openapi import CONTENT_ETAG, ETAG, LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.framework.text_fields import ProductName
from adapters.http.schemas.experiments import ExperimentSummarySchema, to_experiment_summary_schema
from adapters.http.schemas.pricing import (
    PolicyKindsSchema,
    PolicySchema,
    PreviewSchema,
    to_decision_schema,
    to_policy_kinds_schema,
    to_policy_schema,
)
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId
from scalecommerce_core.pricing.interface import known_strategies
from scalecommerce_core.pricing.policy import (
    MAX_EPOCH,
    MAX_FEE,
    MAX_STOCK_DAYS,
    MIN_EPOCH,
    MIN_STOCK_DAYS,
    PricingPolicy,
)
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from scalecommerce_core.services.pricing import (
    MAX_POLICIES_PER_SELLER,
    CreatePolicy,
    DeletePolicy,
    EditPolicy,
    TooManyPolicies,
)
from scalecommerce_core.services.repricing import Selection, StrategyUnknown
from scalecommerce_core.services.results import unwrap_single

ROOT: Final = "/pricing/api/v1/"
POLICIES: Final = ROOT + "policies/"
POLICY: Final = POLICIES + "{id:id}/"
TAG: Final = "Pricing"
MAX_PREVIEWED: Final = 1_000
"""Products. All of them are decided within one request."""
_MAX_SETTINGS: Final = 100
MAX_POLICY_BYTES: Final = 64 * 1024
"""Two mappings of `_MAX_SETTINGS` values each."""

SettingName = Annotated[str, msgspec.Meta(max_length=50, pattern="^[a-z][a-z0-9_]*$")]
Settings = Annotated[
    dict[SettingName, Any],
    msgspec.Meta(
        max_length=_MAX_SETTINGS,
        description="Values by name, as listed by `policy-kinds/`. Omitted settings have their defaults.",
        examples=[{"step": 0.03}],
    ),
]
Kind = Annotated[
    str,
    msgspec.Meta(
        max_length=100,
        description="The pricing strategy, one of the names that `policy-kinds/` lists.",
        examples=["elasticity_learning"],
    ),
]
EpochSeconds = Annotated[
    float,
    msgspec.Meta(
        ge=MIN_EPOCH.total_seconds(),
        le=MAX_EPOCH.total_seconds(),
        description="Seconds between runs, at least 60 unless the operator set another minimum. Durations of guardrails"
        " are defined for a week, and scale with this value.",
        examples=[604_800],
    ),
]
Fee = Annotated[
    float,
    msgspec.Meta(
        ge=0,
        le=MAX_FEE,
        description="The share of each price that the marketplace keeps, rounded to 0.0001.",
        examples=[0.08],
    ),
]
StockDays = Annotated[
    float,
    msgspec.Meta(
        ge=MIN_STOCK_DAYS,
        le=MAX_STOCK_DAYS,
        description="Days that the stock should last, counted anew at each run: this horizon never counts down. It"
        " applies to products without a future `stock_until` of their own or of the policy. Null: the stock of these"
        " products does not influence their price.",
        examples=[30],
    ),
]
StockUntil = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description="The end of the season: the stock of products without a `stock_until` of their own must last until"
        " then. The time left counts down. Null, or a time that has passed: unknown.",
        examples=["2030-01-31T18:00:00Z"],
    ),
]
Category = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="Id of a category.", examples=[5])]


class NewPolicy(msgspec.Struct, omit_defaults=True):
    """The scope is a category, the assigned products, or by default all products of the seller."""

    name: ProductName
    policy: Kind | UnsetType = UNSET
    parameters: Settings | UnsetType = UNSET
    guardrails: Settings | UnsetType = UNSET
    epoch_seconds: EpochSeconds | UnsetType = UNSET
    fee: Fee | UnsetType = UNSET
    stock_days: StockDays | UnsetType | None = UNSET
    stock_until: StockUntil | UnsetType | None = UNSET
    category_id: Category | UnsetType | None = UNSET
    assigned_only: bool | UnsetType = UNSET
    is_shadow: Annotated[bool, msgspec.Meta(description="Decide and record, but change no prices.")] = False
    is_active: bool = True

    @staticmethod
    def complete_schema(schema: dict[str, Any]) -> None:
        _list_policies(schema)


class PolicyPatch(msgspec.Struct):
    """Omitted fields keep their values; `parameters` and `guardrails` are replaced as a whole."""

    name: ProductName | UnsetType = UNSET
    policy: Kind | UnsetType = UNSET
    parameters: Settings | UnsetType = UNSET
    guardrails: Settings | UnsetType = UNSET
    epoch_seconds: EpochSeconds | UnsetType = UNSET
    fee: Fee | UnsetType = UNSET
    stock_days: StockDays | UnsetType | None = UNSET
    stock_until: StockUntil | UnsetType | None = UNSET
    category_id: Category | UnsetType | None = UNSET
    assigned_only: bool | UnsetType = UNSET
    is_shadow: bool | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET

    @staticmethod
    def complete_schema(schema: dict[str, Any]) -> None:
        _list_policies(schema)


def _list_policies(schema: dict[str, Any]) -> None:
    """List the strategies that are registered in this process; requests may also use former names."""
    schema["properties"]["policy"]["enum"] = sorted(known_strategies())


class PreviewQuery(msgspec.Struct, frozen=True):
    category: Annotated[Category | None, msgspec.Meta(description="Only products of this category.", examples=[5])] = (
        None
    )
    limit: Annotated[
        int, msgspec.Meta(ge=1, le=MAX_PREVIEWED, description="Number of products to decide, by id.", examples=[10])
    ] = 100


LINKS: Final = [
    Link("readPricingPolicy"),
    Link("patchPricingPolicy"),
    Link("previewPricingPolicy"),
    Link("deletePricingPolicy"),
]


class PricingPolicyResource:
    """Pricing policies and the available strategies."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market
        self._queries = self._market.queries
        self._pricing = self._market.pricing

    @OperationSpec(
        method="GET",
        path=f"{ROOT}policy-kinds/",
        name="listPolicyKinds",
        summary="List pricing strategies and guardrails with their parameters",
        responses={
            200: ResponseSpec(
                PolicyKindsSchema,
                "Strategies and guardrails: defaults, bounds and descriptions of their parameters.",
                [CONTENT_ETAG],
            ),
            304: ResponseSpec(None, "The list is unchanged.", [CONTENT_ETAG]),
        },
        tag=TAG,
        conditional=True,
    )
    async def list_policy_kinds(self, call: Call[None, None]) -> Response:
        # Not precomputed, since strategies may be registered at run time.
        body = msgspec.json.encode(to_policy_kinds_schema())
        headers = {"ETag": content_etag(body), "Cache-Control": "public, no-cache"}
        if is_current(call.request.headers, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, "application/json")

    @OperationSpec(
        method="GET",
        path=POLICIES,
        name="listPricingPolicies",
        summary="List the caller's policies; for staff, all policies",
        responses={200: ResponseSpec(PageSchema[PolicySchema], "Policies by id, active or not.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_pricing_policies(self, call: Call[None, PageQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._queries.policies, list_owner(call), page_request)
        experiments = await self._read_experiments(*(policy.id for policy in page.rows))
        return json_response(
            self._dependencies.paginator.to_schema(
                call.request, call.query, page, lambda policy: to_policy_schema(policy, experiments.get(policy.id))
            )
        )

    @OperationSpec(
        method="POST",
        path=POLICIES,
        name="createPricingPolicy",
        summary="Create a pricing policy",
        description="An active policy starts its first run at once. To see its decisions first, create it with"
        " `is_active` false and read its `preview/`. A seller may have"
        f" {MAX_POLICIES_PER_SELLER} policies, of which fewer may be active (20, unless the operator set another"
        " number); one more is a 409 `too_many_policies`.",
        responses={201: ResponseSpec(PolicySchema, "The policy.", [LOCATION, ETAG], LINKS)},
        tag=TAG,
        max_body_bytes=MAX_POLICY_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        idempotent=True,
        errors=(TooManyPolicies,),
    )
    async def create_pricing_policy(self, call: Call[NewPolicy, None]) -> Response:
        command = CreatePolicy(
            call.identity.account_id,
            _given_fields(call.body),
            idempotency=await build_idempotency_key(call, encode_policy),
        )
        outcomes = await self._dependencies.run_in_thread(self._pricing.create, [command])
        body = response_body(outcomes, encode_policy)
        number = msgspec.json.decode(body, type=PolicySchema).id
        return Response(body, 201, {"Location": f"{POLICIES}{number}/", "ETag": version_etag(1)}, "application/json")

    @OperationSpec(
        method="GET",
        path=POLICY,
        name="readPricingPolicy",
        summary="Read a policy; for its owner and staff",
        responses={
            200: ResponseSpec(PolicySchema, "The policy.", [ETAG]),
            304: ResponseSpec(None, "The policy is unchanged.", [ETAG]),
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        conditional=True,
    )
    async def read_pricing_policy(self, call: Call[None, None]) -> Response:
        policy = await self._load_visible_policy(call)
        etag = version_etag(policy.version)
        experiment = (await self._read_experiments(policy.id)).get(policy.id)
        # The result of an experiment changes without an edit of the policy.
        if experiment is None and is_current(call.request.headers, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return json_response(to_policy_schema(policy, experiment), headers={"ETag": etag})

    @OperationSpec(
        method="PATCH",
        path=POLICY,
        name="patchPricingPolicy",
        summary="Edit, activate or deactivate a policy",
        description="Changing the strategy or the list of prices deletes the learned state of the policy. Activating"
        " more policies than an account may have active is a 409 `too_many_policies`.",
        responses={200: ResponseSpec(PolicySchema, "The policy.", [ETAG])},
        tag=TAG,
        max_body_bytes=MAX_POLICY_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        conditional=True,
        errors=(TooManyPolicies,),
    )
    async def patch_pricing_policy(self, call: Call[PolicyPatch, None]) -> Response:
        command = EditPolicy(
            PolicyId(call.id),
            call.identity.account_id,
            _given_fields(call.body),
            expected_version(call.request.headers),
            as_staff=call.identity.is_staff,
            address=call.client_address,
        )
        policy = unwrap_single(await self._dependencies.run_in_thread(self._pricing.edit, [command]))
        experiment = (await self._read_experiments(policy.id)).get(policy.id)
        return json_response(to_policy_schema(policy, experiment), headers={"ETag": version_etag(policy.version)})

    @OperationSpec(
        method="DELETE",
        path=POLICY,
        name="deletePricingPolicy",
        summary="Delete a policy; prices and the log of its runs stay",
        responses={204: ResponseSpec(None, "The policy is deleted.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        conditional=True,
    )
    async def delete_pricing_policy(self, call: Call[None, None]) -> Response:
        version = expected_version(call.request.headers)
        command = DeletePolicy(
            PolicyId(call.id),
            call.identity.account_id,
            version,
            as_staff=call.identity.is_staff,
            address=call.client_address,
        )
        unwrap_single(await self._dependencies.run_in_thread(self._pricing.delete, [command]))
        return no_content()

    @OperationSpec(
        method="GET",
        path=f"{POLICY}preview/",
        name="previewPricingPolicy",
        summary="Preview the decisions of a policy without writing them",
        description="If the strategy of the policy is not installed, the response is 409 `policy_unknown`; if its code"
        " fails, 409 `policy_failed` with the error.",
        responses={200: ResponseSpec(PreviewSchema, "Decisions by product id.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        errors=(StrategyUnknown, StrategyFailed),
    )
    async def preview_pricing_policy(self, call: Call[None, PreviewQuery]) -> Response:
        policy = await self._load_visible_policy(call)
        category = None if call.query.category is None else CategoryId(call.query.category)
        only = Selection(category, call.query.limit)
        preview = await self._dependencies.run_in_thread(self._market.repricing.preview, policy.id, only=only)
        decisions = list(preview.decisions())
        products = await self._dependencies.run_in_thread(
            self._queries.products, {decision.product_id for decision in decisions}
        )
        decision_schemas = [
            to_decision_schema(decision, products[decision.product_id].price.currency)
            for decision in decisions
            if decision.product_id in products
        ]
        return json_response(
            PreviewSchema(
                policy=policy.id,
                looked_at=len(decisions),
                moves=sum(decision.moves for decision in decisions),
                would_limit=preview.breaker.acts,
                move_factor=preview.breaker.factor,
                caps_moves=preview.breaker.caps,
                sentence=preview.sentence,
                decisions=decision_schemas,
            )
        )

    async def _read_experiments(self, *policies: PolicyId) -> dict[PolicyId, ExperimentSummarySchema]:
        """The newest experiment about each of the policies that has one."""
        found = await self._dependencies.run_in_thread(self._queries.latest_experiments, policies)
        now = self._market.clock.now()
        return {policy: to_experiment_summary_schema(each, now) for policy, each in found.items()}

    async def _load_visible_policy(self, call: Call[Any, Any]) -> PricingPolicy:
        policy = await self._dependencies.run_in_thread(self._queries.policy, PolicyId(call.id))
        if policy is None or (policy.seller_id != call.identity.account_id and not call.identity.is_staff):
            raise NotFound("policy", call.id)
        return policy


def list_owner(call: Call[Any, Any]) -> AccountId | None:
    """The account to which a list is restricted; None (no restriction) for staff."""
    return None if call.identity.is_staff else call.identity.account_id


def encode_policy(policy: PricingPolicy) -> bytes:
    return msgspec.json.encode(to_policy_schema(policy))


def _given_fields(body: NewPolicy | PolicyPatch) -> dict[str, Any]:
    return {
        name: decimals_to_numbers(value) for name, value in msgspec.structs.asdict(body).items() if value is not UNSET
    }
