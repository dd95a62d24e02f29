"""`pricing/api/v1/products/`: policy assignments and decisions of single products."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.pricing_policies import ROOT, TAG
from adapters.http.resources.product_access import load_own_product
from adapters.http.schemas.pricing import (
    AssignmentSchema,
    StoredDecisionSchema,
    to_assignment_schema,
    to_stored_decision_schema,
)
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Invalid, NotFound
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.pricing.runs import Assignment
from scalecommerce_core.services.pricing import AssignProduct, ExcludeProduct
from scalecommerce_core.services.results import unwrap_single

PRODUCT: Final = ROOT + "products/{id:id}/"


class AssignmentPatch(msgspec.Struct):
    policy: (
        Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Id of a policy.", examples=[4])] | UnsetType | None
    ) = UNSET
    is_excluded: bool | UnsetType = UNSET


class PricingAssignmentResource:
    """Policy assignments and decisions of single products."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market
        self._pricing = self._market.pricing

    @OperationSpec(
        method="GET",
        path=PRODUCT,
        name="readPricingOfProduct",
        summary="Read the policy assignment of a product; for its seller and staff",
        responses={200: ResponseSpec(AssignmentSchema, "The assignment.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def read_pricing_of_product(self, call: Call[None, None]) -> Response:
        product = await load_own_product(self._dependencies, call)
        return json_response(
            to_assignment_schema(await self._dependencies.run_in_thread(self._read_assignment, product.id))
        )

    @OperationSpec(
        method="PATCH",
        path=PRODUCT,
        name="patchPricingOfProduct",
        summary="Assign a product to a policy, or exclude it from all policies",
        responses={200: ResponseSpec(AssignmentSchema, "The assignment.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def patch_pricing_of_product(self, call: Call[AssignmentPatch, None]) -> Response:
        product, identity = await load_own_product(self._dependencies, call), call.identity
        if call.body.policy is not UNSET:
            policy = None if call.body.policy is None else PolicyId(call.body.policy)
            assign = AssignProduct(
                product.id, identity.account_id, policy, as_staff=identity.is_staff, address=call.client_address
            )
            try:
                unwrap_single(await self._dependencies.run_in_thread(self._pricing.assign, [assign]))
            except NotFound as error:
                raise Invalid.field("policy", "The seller of the product has no policy with this id.") from error
        if call.body.is_excluded is not UNSET:
            exclude = ExcludeProduct(
                product.id,
                identity.account_id,
                call.body.is_excluded,
                as_staff=identity.is_staff,
                address=call.client_address,
            )
            unwrap_single(await self._dependencies.run_in_thread(self._pricing.exclude, [exclude]))
        return json_response(
            to_assignment_schema(await self._dependencies.run_in_thread(self._read_assignment, product.id))
        )

    @OperationSpec(
        method="GET",
        path=f"{PRODUCT}decisions/",
        name="listDecisionsOfProduct",
        summary="List the price decisions of a product; for its seller and staff",
        responses={200: ResponseSpec(PageSchema[StoredDecisionSchema], "Decisions, those of the newest run first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_decisions_of_product(self, call: Call[None, PageQuery]) -> Response:
        product = await load_own_product(self._dependencies, call)
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._market.queries.product_decisions, product.id, page_request)
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_stored_decision_schema)
        )

    def _read_assignment(self, product_id: ProductId) -> Assignment:
        with self._market.store.begin() as tx:
            return tx.policies.assignments([product_id]).get(product_id) or Assignment(product_id)
