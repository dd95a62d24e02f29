"""`pricing/api/v1/stop/` and `resume/`: stop and resume all pricing, for staff."""

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.resources.operations import actor
from adapters.http.resources.pricing_policies import ROOT, TAG


class PricingStopSchema(msgspec.Struct):
    """`is_stopped` means that no policy changes a price."""

    is_stopped: bool


class PricingStopResource:
    """The stop of all pricing."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._pricing = dependencies.market.pricing

    @OperationSpec(
        method="GET",
        path=f"{ROOT}stop/",
        name="readPricingStop",
        summary="Read whether all pricing is stopped",
        responses={200: ResponseSpec(PricingStopSchema, "Whether all pricing is stopped.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def read_pricing_stop(self, _call: Call[None, None]) -> Response:
        return json_response(PricingStopSchema(await self._dependencies.run_in_thread(self._pricing.is_stopped)))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}stop/",
        name="stopPricing",
        summary="Stop the pricing of all sellers",
        description="No policy changes a price any more; runs in progress are cancelled at their next step. Repeating"
        " the request changes nothing.",
        responses={200: ResponseSpec(PricingStopSchema, "All pricing is stopped.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def stop_pricing(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(self._pricing.stop, actor(call))
        return json_response(PricingStopSchema(is_stopped=True))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}resume/",
        name="resumePricing",
        summary="Resume the pricing of all sellers",
        description="Policies that are due run at once. Repeating the request changes nothing.",
        responses={200: ResponseSpec(PricingStopSchema, "Pricing is resumed.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def resume_pricing(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(self._pricing.resume, actor(call))
        return json_response(PricingStopSchema(is_stopped=False))
