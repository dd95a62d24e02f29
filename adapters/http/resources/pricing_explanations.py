"""`pricing/api/v1/products/{id}/explanation/`: the price of a product in words and figures."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.resources.pricing_assignments import PRODUCT
from adapters.http.resources.pricing_policies import TAG
from adapters.http.resources.product_access import load_own_product
from adapters.http.resources.search import Moment
from adapters.http.schemas.price_explanation import PriceExplanationSchema, to_price_explanation_schema
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import ProductView
from scalecommerce_core.services.price_explanation import explain_price


class ExplanationQuery(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    since: Annotated[
        Moment | None,
        msgspec.Meta(
            description="Prices in force from this time on. By default, 90 days before `to`.",
            examples=["2026-11-01T00:00:00Z"],
        ),
    ] = None
    until: Annotated[
        Moment | None,
        msgspec.Meta(
            description="Prices in force up to this time. By default, now.", examples=["2026-12-01T00:00:00Z"]
        ),
    ] = None

    def __post_init__(self) -> None:
        check_ranges(("from", self.since, "to", self.until))


class PriceExplanationResource:
    """Explanations of prices."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="GET",
        path=f"{PRODUCT}explanation/",
        name="explainPrice",
        summary="Explain the price of a product; for its seller and staff",
        description="The price over time with the reasons for each change, the sales at each price, the demand that the"
        " policy has learnt, and the last decision in words. At most 1,000 prices, the newest ones.",
        responses={200: ResponseSpec(PriceExplanationSchema, "The explanation.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def explain_price(self, call: Call[None, ExplanationQuery]) -> Response:
        product = await load_own_product(self._dependencies, call)
        schema = await self._dependencies.run_in_thread(self._explain, product, call.query)
        return json_response(schema)

    def _explain(self, product: ProductView, query: ExplanationQuery) -> PriceExplanationSchema:
        """Read and describe in one thread: there may be a thousand prices."""
        now = self._market.clock.now()
        found = explain_price(self._market.queries, product, now, query.since, query.until)
        return to_price_explanation_schema(found)
