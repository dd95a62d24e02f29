"""`operations/api/v1/webhooks/` and `…/deliveries/`: the webhooks of all accounts, for staff."""

from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.operations import ROOT, TAG
from adapters.http.resources.order_queries import IdNumber, to_id
from adapters.http.resources.webhooks import (
    Delivery,
    EndpointSchema,
    to_delivery_schema,
    to_endpoint_schema,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries import EndpointView

WEBHOOKS: Final = ROOT + "webhooks/"
DELIVERIES: Final = ROOT + "deliveries/"
Owner = Annotated[
    IdNumber | None,
    msgspec.Meta(description="Id of the account that owns the endpoint.", examples=[1]),
]


class AllWebhooksQuery(PageQuery, kw_only=True, frozen=True):
    account: Owner = None
    active: Annotated[
        bool | None,
        msgspec.Meta(
            description="true: only active endpoints; false: only those that their owners, staff or failures disabled.",
            examples=[False],
        ),
    ] = None


class AllDeliveriesQuery(PageQuery, kw_only=True, frozen=True):
    account: Owner = None
    status: Annotated[DeliveryStatus | None, msgspec.Meta(description="Only deliveries with this status.")] = None


class StaffEndpointSchema(EndpointSchema):
    """An endpoint with its owner; `patchWebhook` with `is_active` enables it."""

    owner: int


class AllWebhooksResource:
    """The webhook endpoints and deliveries of all accounts."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._queries = dependencies.market.queries

    @OperationSpec(
        method="GET",
        path=WEBHOOKS,
        name="listAllWebhooks",
        summary="List the webhook endpoints of all accounts",
        responses={200: ResponseSpec(PageSchema[StaffEndpointSchema], "Endpoints by id, without their secrets.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def list_all_webhooks(self, call: Call[None, AllWebhooksQuery]) -> Response:
        page = await self._dependencies.run_in_thread(
            partial(self._queries.endpoints, is_active=call.query.active),
            to_id(AccountId, call.query.account),
            self._dependencies.paginator.parse_request(call.request, call.query),
        )
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, _to_schema))

    @OperationSpec(
        method="GET",
        path=DELIVERIES,
        name="listAllDeliveries",
        summary="List the webhook deliveries of all accounts",
        responses={200: ResponseSpec(PageSchema[Delivery], "Deliveries, newest first.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def list_all_deliveries(self, call: Call[None, AllDeliveriesQuery]) -> Response:
        query = call.query
        page = await self._dependencies.run_in_thread(
            partial(self._queries.deliveries, status=query.status, owner=to_id(AccountId, query.account)),
            None,
            self._dependencies.paginator.parse_request(call.request, query),
        )
        return json_response(self._dependencies.paginator.to_schema(call.request, query, page, to_delivery_schema))


def _to_schema(view: EndpointView) -> StaffEndpointSchema:
    return StaffEndpointSchema(**msgspec.structs.asdict(to_endpoint_schema(view)), owner=view.owner)
