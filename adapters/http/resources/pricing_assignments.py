"""`pricing/api/v1/products/`: which policy a product follows, and what was decided for it."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.pricing_policies import ROOT, TAG
from adapters.http.schemas.pricing import (
    AssignmentSchema,
    StoredDecisionSchema,
    to_assignment_schema,
    to_stored_decision_schema,
)
from scalecommerce_core.domain.errors import Invalid, NotFound
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.pricing.runs import Assignment
from scalecommerce_core.queries import ProductView
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
        summary="Which policy a product was assigned to, for its seller and staff",
        responses={200: ResponseSpec(AssignmentSchema, "What was said about this product.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def read_pricing_of_product(self, call: Call[None, None]) -> Response:
        product = await self._load_own_product(call)
        return json_response(
            to_assignment_schema(await self._dependencies.run_in_thread(self._read_assignment, product.id))
        )

    @OperationSpec(
        method="PATCH",
        path=PRODUCT,
        name="patchPricingOfProduct",
        summary="Assign a product to a policy, or exclude it from all",
        responses={200: ResponseSpec(AssignmentSchema, "What was said about this product.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def patch_pricing_of_product(self, call: Call[AssignmentPatch, None]) -> Response:
        product, who = await self._load_own_product(call), call.identity
        if call.body.policy is not UNSET:
            policy = None if call.body.policy is None else PolicyId(call.body.policy)
            assign_it = AssignProduct(product.id, who.account_id, policy, as_staff=who.is_staff)
            try:
                unwrap_single(await self._dependencies.run_in_thread(self._pricing.assign, [assign_it]))
            except NotFound as error:
                raise Invalid.field("policy", "The product's seller has no such policy.") from error
        if call.body.is_excluded is not UNSET:
            exclude = ExcludeProduct(product.id, who.account_id, call.body.is_excluded, as_staff=who.is_staff)
            unwrap_single(await self._dependencies.run_in_thread(self._pricing.exclude, [exclude]))
        return json_response(
            to_assignment_schema(await self._dependencies.run_in_thread(self._read_assignment, product.id))
        )

    @OperationSpec(
        method="GET",
        path=f"{PRODUCT}decisions/",
        name="listDecisionsOfProduct",
        summary="What was decided for a product, and why; for its seller and staff",
        responses={200: ResponseSpec(PageSchema[StoredDecisionSchema], "Of the newest run first.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def list_decisions_of_product(self, call: Call[None, PageQuery]) -> Response:
        product = await self._load_own_product(call)
        wanted = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._market.queries.product_decisions, product.id, wanted)
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_stored_decision_schema)
        )

    async def _load_own_product(self, call: Call[Any, Any]) -> ProductView:
        view = await self._dependencies.load_product.submit(ProductId(call.id))
        if view.seller.id != call.identity.account_id and not call.identity.is_staff:
            raise NotFound("product", call.id)
        return view

    def _read_assignment(self, product_id: ProductId) -> Assignment:
        with self._market.store.begin() as tx:
            return tx.policies.assignments([product_id]).get(product_id) or Assignment(product_id)
