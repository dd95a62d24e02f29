"""`webhooks/api/v1/`: webhook endpoints of an account, and the log of their deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from attrs import evolve
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.etags import expected_version, is_current, version_etag
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.openapi import ETAG, LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.framework.text_fields import text_meta
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Conflict, Forbidden, MarketError, NotFound, TooManyAttempts
from scalecommerce_core.domain.identifiers import DeliveryId, EndpointId
from scalecommerce_core.domain.web_address import MAX_URL_LENGTH
from scalecommerce_core.domain.webhook import (
    DESCRIPTION_LENGTH,
    PING,
    TOPICS,
    VERIFICATION,
    DeliveryPending,
    DeliveryStatus,
    EndpointDisabled,
    EndpointUnverified,
    WebhookDelivery,
    WebhookEndpoint,
)
from scalecommerce_core.queries import DeliveryView, EndpointView
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.services.verified_accounts import EmailNotVerified
from scalecommerce_core.services.webhooks import (
    ActOnEndpoint,
    CreateEndpoint,
    EditEndpoint,
    EndpointWithSecret,
    Redeliver,
    TooManyEndpoints,
)

ROOT: Final = "/webhooks/api/v1/"
ENDPOINT: Final = ROOT + "{id:id}/"
DELIVERIES: Final = ENDPOINT + "deliveries/"
DELIVERY: Final = DELIVERIES + "{delivery:id}/"
TAG: Final = "Webhooks"

Url = Annotated[
    str,
    msgspec.Meta(
        max_length=MAX_URL_LENGTH,
        description="An https URL of a public host, on port 443 or a port from 1024; without credentials and fragment.",
        examples=["https://example.com/hooks"],
        extra_json_schema={"format": "uri"},
    ),
]
Topics = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=100, extra_json_schema={"enum": list(TOPICS)})]],
    msgspec.Meta(max_length=100, description="Topics to send; an empty list means all topics."),
]
Description = Annotated[str, text_meta(DESCRIPTION_LENGTH, "Our warehouse")]


class NewEndpoint(msgspec.Struct, omit_defaults=True):
    url: Url
    topics: Topics = msgspec.field(default_factory=list)
    description: Description = ""
    all_events: Annotated[bool, msgspec.Meta(description="Send the events of all accounts; for staff only.")] = False


class EndpointPatch(msgspec.Struct):
    url: Url | UnsetType = UNSET
    topics: Topics | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    all_events: bool | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class EndpointSchema(msgspec.Struct):
    """`disabled_because` is the reason why the engine disabled the endpoint; setting `is_active` enables it again.
    Events are sent when `is_verified` is true: the receiver has returned the challenge of a `webhook.verification`.
    """

    id: int
    url: str
    topics: list[Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(TOPICS)})]]
    description: str
    all_events: bool
    is_active: bool
    is_verified: bool
    disabled_because: str | None
    failing_since: datetime | None
    created_at: datetime


class NewEndpointSchema(EndpointSchema):
    """`secret` is returned only in this response."""

    secret: str

    __repr__ = Confidential.__repr__


class SecretSchema(Confidential):
    """`secret` is returned only in this response; messages are also signed with the previous secret for a day."""

    id: int
    secret: str


class Attempt(msgspec.Struct):
    """`took` is the duration in milliseconds; `answer` is the first kilobyte of the response body."""

    at: datetime
    took: int
    status: int | None
    error: str | None
    answer: str


class Delivery(msgspec.Struct):
    """`event` is the number of the event in the feed, null for a ping or a verification; `message_id` is sent as
    `webhook-id`.
    """

    id: int
    endpoint: int
    event: int | None
    message_id: str
    topic: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*TOPICS, PING, VERIFICATION]})]
    status: DeliveryStatus
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: list[Attempt]


class DeliveryQuery(PageQuery, frozen=True):
    status: Annotated[DeliveryStatus | None, msgspec.Meta(description="Only deliveries with this status.")] = None


LINKS: Final = [
    Link("readWebhook"),
    Link("patchWebhook"),
    Link("testWebhook"),
    Link("listWebhookDeliveries"),
    Link("rotateWebhookSecret"),
    Link("deleteWebhook"),
]
DELIVERY_PARAMETERS: Final = {"id": "$response.body#/endpoint", "delivery": "$response.body#/id"}


class WebhookResource:
    """Webhook endpoints and their deliveries."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._queries = dependencies.market.queries
        self._webhooks = dependencies.market.webhooks

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="listWebhooks",
        summary="List the caller's webhook endpoints",
        responses={200: ResponseSpec(PageSchema[EndpointSchema], "Endpoints by id, without their secrets.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
    )
    async def list_webhooks(self, call: Call[None, PageQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._queries.endpoints, call.identity.account_id, page_request)
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_endpoint_schema))

    @OperationSpec(
        method="POST",
        path=ROOT,
        name="createWebhook",
        summary="Create a webhook endpoint",
        description="Events are sent to `url` as messages of the Standard Webhooks specification. The receiver verifies"
        " them with `secret`, which only this response contains. The first message is a `webhook.verification`: events"
        " are sent after the receiver has returned its `challenge`.",
        responses={201: ResponseSpec(NewEndpointSchema, "The endpoint and its secret.", [LOCATION, ETAG], LINKS)},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        idempotent=True,
        errors=(TooManyEndpoints, Conflict, EmailNotVerified, TooManyAttempts),
    )
    async def create_webhook(self, call: Call[NewEndpoint, None]) -> Response:
        command = CreateEndpoint(
            owner=call.identity.account_id,
            url=call.body.url,
            topics=call.body.topics,
            description=call.body.description,
            all_events=call.body.all_events,
            as_staff=call.identity.is_staff,
            idempotency=await build_idempotency_key(call, encode_new_endpoint),
        )
        outcomes = await self._dependencies.run_in_thread(self._webhooks.create, [command])
        body = response_body(outcomes, encode_new_endpoint)
        number = msgspec.json.decode(body, type=NewEndpointSchema).id
        headers = {"Location": f"{ROOT}{number}/", "ETag": version_etag(1), **NO_STORE}
        return Response(body, 201, headers, "application/json")

    @OperationSpec(
        method="GET",
        path=ENDPOINT,
        name="readWebhook",
        summary="Read an endpoint; for its owner and staff",
        responses={
            200: ResponseSpec(EndpointSchema, "The endpoint.", [ETAG]),
            304: ResponseSpec(None, "The endpoint is unchanged.", [ETAG]),
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        conditional=True,
    )
    async def read_webhook(self, call: Call[None, None]) -> Response:
        view = await self._load_visible_endpoint(call)
        etag = version_etag(view.version)
        if is_current(call.request.headers, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return json_response(to_endpoint_schema(view), headers={"ETag": etag})

    @OperationSpec(
        method="PATCH",
        path=ENDPOINT,
        name="patchWebhook",
        summary="Edit, enable or disable an endpoint",
        description="Enabling an endpoint resets its failure count and sends the pending deliveries. Another `url` is"
        " verified first: a `webhook.verification` is sent to it, and deliveries wait until its challenge is returned.",
        responses={200: ResponseSpec(EndpointSchema, "The endpoint.", [ETAG])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        conditional=True,
        errors=(TooManyAttempts,),
    )
    async def patch_webhook(self, call: Call[EndpointPatch, None]) -> Response:
        changes = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
        version = expected_version(call.request.headers)
        identity = call.identity
        command = EditEndpoint(
            EndpointId(call.id),
            identity.account_id,
            changes,
            version,
            as_staff=identity.is_staff,
            address=call.client_address,
        )
        endpoint = unwrap_single(await self._dependencies.run_in_thread(self._webhooks.edit, [command]))
        return json_response(to_endpoint_schema(endpoint), headers={"ETag": version_etag(endpoint.version)})

    @OperationSpec(
        method="DELETE",
        path=ENDPOINT,
        name="deleteWebhook",
        summary="Delete an endpoint and its delivery log",
        responses={204: ResponseSpec(None, "The endpoint and its deliveries are deleted.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        conditional=True,
    )
    async def delete_webhook(self, call: Call[None, None]) -> Response:
        command = self._endpoint_command(call, expected_version(call.request.headers))
        unwrap_single(await self._dependencies.run_in_thread(self._webhooks.delete, [command]))
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{ENDPOINT}rotate-secret/",
        name="rotateWebhookSecret",
        summary="Replace the secret of an endpoint",
        description="Messages are signed with both the new and the previous secret for a day.",
        responses={200: ResponseSpec(SecretSchema, "The new secret.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        idempotent=True,
        errors=(Forbidden, Conflict),
    )
    async def rotate_webhook_secret(self, call: Call[None, None]) -> Response:
        command = evolve(self._endpoint_command(call), idempotency=await build_idempotency_key(call, encode_secret))
        outcomes = await self._dependencies.run_in_thread(self._webhooks.rotate, [command])
        return Response(response_body(outcomes, encode_secret), 200, NO_STORE, "application/json")

    @OperationSpec(
        method="POST",
        path=f"{ENDPOINT}test/",
        name="testWebhook",
        summary="Send a `webhook.ping` or `webhook.verification` message",
        description="An endpoint that is not verified gets a `webhook.verification`. Its receiver must answer with 2xx"
        " and the `challenge` of the message, as plain text or in a JSON object with the field `challenge`; then the"
        " endpoint `is_verified`, and events are sent to it.",
        responses={
            202: ResponseSpec(
                Delivery,
                "The delivery is pending; read it later for its result.",
                [LOCATION],
                [Link("readWebhookDelivery", DELIVERY_PARAMETERS)],
            )
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        idempotent=True,
        errors=(EndpointDisabled, TooManyAttempts),
    )
    async def test_webhook(self, call: Call[None, None]) -> Response:
        command = evolve(
            self._endpoint_command(call), idempotency=await build_idempotency_key(call, encode_delivery_id)
        )
        outcomes = await self._dependencies.run_in_thread(self._webhooks.ping, [command])
        return await self._accepted_delivery(call, outcomes)

    @OperationSpec(
        method="GET",
        path=DELIVERIES,
        name="listWebhookDeliveries",
        summary="List the deliveries of an endpoint",
        responses={200: ResponseSpec(PageSchema[Delivery], "Deliveries, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
    )
    async def list_webhook_deliveries(self, call: Call[None, DeliveryQuery]) -> Response:
        endpoint = await self._load_visible_endpoint(call)
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(
            self._queries.deliveries, endpoint.id, page_request, status=call.query.status
        )
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_delivery_schema))

    @OperationSpec(
        method="GET",
        path=DELIVERY,
        name="readWebhookDelivery",
        summary="Read a delivery with its attempts",
        responses={200: ResponseSpec(Delivery, "The delivery.", links=[Link("redeliverWebhook", DELIVERY_PARAMETERS)])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
    )
    async def read_webhook_delivery(self, call: Call[None, None]) -> Response:
        await self._load_visible_endpoint(call)
        return json_response(to_delivery_schema(await self._load_delivery(call, _delivery_id(call))))

    @OperationSpec(
        method="POST",
        path=f"{DELIVERY}redeliver/",
        name="redeliverWebhook",
        summary="Send a message again with the same message id",
        responses={202: ResponseSpec(Delivery, "The delivery is pending again.", [LOCATION])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.WEBHOOKS,
        idempotent=True,
        errors=(EndpointDisabled, EndpointUnverified, DeliveryPending, TooManyAttempts),
    )
    async def redeliver_webhook(self, call: Call[None, None]) -> Response:
        command = Redeliver(
            DeliveryId(_delivery_id(call)),
            call.identity.account_id,
            EndpointId(call.id),
            as_staff=call.identity.is_staff,
            address=call.client_address,
            idempotency=await build_idempotency_key(call, encode_delivery_id),
        )
        outcomes = await self._dependencies.run_in_thread(self._webhooks.redeliver, [command])
        return await self._accepted_delivery(call, outcomes)

    async def _load_visible_endpoint(self, call: Call[Any, Any]) -> EndpointView:
        view = await self._dependencies.run_in_thread(self._queries.endpoint, EndpointId(call.id))
        if view is None or (view.owner != call.identity.account_id and not call.identity.is_staff):
            raise NotFound("webhook endpoint", call.id)
        return view

    async def _load_delivery(self, call: Call[Any, Any], delivery_id: int) -> DeliveryView:
        view = await self._dependencies.run_in_thread(self._queries.delivery, DeliveryId(delivery_id))
        if view is None or view.endpoint != call.id:
            raise NotFound("delivery", delivery_id)
        return view

    def _endpoint_command(self, call: Call[Any, Any], version: int | None = None) -> ActOnEndpoint:
        return ActOnEndpoint(
            EndpointId(call.id),
            call.identity.account_id,
            version,
            as_staff=call.identity.is_staff,
            address=call.client_address,
        )

    async def _accepted_delivery(
        self, call: Call[None, None], outcomes: Sequence[WebhookDelivery | Replayed | MarketError]
    ) -> Response:
        """Respond with the current state of the delivery, also to a repeated request."""
        number = int(response_body(outcomes, encode_delivery_id))
        view = await self._load_delivery(call, number)
        return json_response(to_delivery_schema(view), 202, {"Location": f"{ROOT}{call.id}/deliveries/{number}/"})


NO_STORE: Final = {"Cache-Control": "no-store"}
"""Headers of a response that contains a secret."""


def _delivery_id(call: Call[Any, Any]) -> int:
    return int(call.request.path_params["delivery"])


def encode_new_endpoint(created: EndpointWithSecret) -> bytes:
    schema = to_endpoint_schema(created.endpoint)
    return msgspec.json.encode(NewEndpointSchema(**msgspec.structs.asdict(schema), secret=created.secret))


def encode_secret(rotated: EndpointWithSecret) -> bytes:
    return msgspec.json.encode(SecretSchema(rotated.endpoint.id, rotated.secret))


def encode_delivery_id(delivery: WebhookDelivery) -> bytes:
    return str(delivery.id).encode()


def to_endpoint_schema(endpoint: WebhookEndpoint | EndpointView) -> EndpointSchema:
    return EndpointSchema(
        id=endpoint.id,
        url=endpoint.url,
        topics=list(endpoint.topics),
        description=endpoint.description,
        all_events=endpoint.all_events,
        is_active=endpoint.is_active,
        is_verified=endpoint.is_verified,
        disabled_because=endpoint.disabled_because,
        failing_since=endpoint.failing_since,
        created_at=endpoint.created_at,
    )


def to_delivery_schema(view: DeliveryView) -> Delivery:
    return Delivery(
        id=view.id,
        endpoint=view.endpoint,
        event=view.seq,
        message_id=view.message_id,
        topic=view.topic,
        status=view.status,
        created_at=view.created_at,
        next_attempt_at=view.try_at,
        attempts=[Attempt(line.at, line.took, line.status, line.error, line.answer) for line in view.log],
    )
