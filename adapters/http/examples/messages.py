"""Examples of `events/api/v1/`, `webhooks/api/v1/` and the health checks."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from msgspec.structs import asdict, replace

from adapters.http.examples.demo_market import NEW_DELIVERY, NEW_ORDER, NEW_WEBHOOK, NOW, PRODUCT, STAFF_ID
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.all_webhooks import StaffEndpointSchema
from adapters.http.resources.events import EventSchema, FeedSchema
from adapters.http.resources.health import Health, Ready
from adapters.http.resources.webhooks import Attempt, Delivery, EndpointSchema, NewEndpointSchema, SecretSchema
from scalecommerce_core.domain.errors import Forbidden, VersionMismatch
from scalecommerce_core.domain.feed_cursor import encode_feed_cursor
from scalecommerce_core.domain.webhook import VERIFICATION, DeliveryStatus, secret_text

_TOPICS: Final = ["order.paid", "order.refunded"]
_SECRET: Final = secret_text(b"an example: no endpoint has it!!")
_ENDPOINT: Final = EndpointSchema(
    id=NEW_WEBHOOK,
    url="https://example.com/hooks",
    topics=_TOPICS,
    description="Our warehouse",
    all_events=False,
    is_active=True,
    is_verified=False,
    disabled_because=None,
    failing_since=None,
    created_at=NOW,
)
_NEW_DELIVERY: Final = Delivery(
    id=NEW_DELIVERY,
    endpoint=NEW_WEBHOOK,
    event=None,
    message_id="msg_610OhIkg-7qnDTll4DPHx8G0SFEbKKwL",
    topic=VERIFICATION,
    status=DeliveryStatus.PENDING,
    created_at=NOW,
    next_attempt_at=NOW,
    attempts=[],
)
_DELIVERED: Final = replace(
    _NEW_DELIVERY,
    status=DeliveryStatus.DELIVERED,
    next_attempt_at=None,
    attempts=[Attempt(at=NOW + timedelta(milliseconds=90), took=167, status=204, error=None, answer="")],
)
_ID: Final = {"id": NEW_WEBHOOK}
_DELIVERY_ID: Final = {"id": NEW_WEBHOOK, "delivery": NEW_DELIVERY}
_EDITED: Final = VersionMismatch(f"Webhook endpoint {NEW_WEBHOOK} was edited: its version is 2 now.")

EXAMPLES: Final[Mapping[str, Example]] = {
    "readEvents": Example(
        responses={
            200: FeedSchema(
                [
                    EventSchema(
                        seq=52_311,
                        topic="order.paid",
                        at=NOW,
                        data={
                            "order": NEW_ORDER,
                            "status": "PAID",
                            "currency": "USD",
                            "lines": [{"product": PRODUCT, "quantity": 2, "price": "264.99"}],
                        },
                    )
                ],
                next_cursor=encode_feed_cursor(52_311),
                last_cursor=encode_feed_cursor(52_311),
                next_after=52_311,
                last=52_311,
            )
        },
    ),
    "listWebhooks": Example(responses={200: PageSchema(next=None, previous=None, results=[_ENDPOINT])}),
    "createWebhook": Example(
        body={"url": _ENDPOINT.url, "topics": _TOPICS, "description": _ENDPOINT.description},
        responses={201: NewEndpointSchema(**asdict(_ENDPOINT), secret=_SECRET)},
    ),
    "readWebhook": Example(parameters=_ID, responses={200: _ENDPOINT}),
    "patchWebhook": Example(
        parameters=_ID,
        body={"topics": [*_TOPICS, "stock.ran_out"], "description": "Our warehouse in Ghent"},
        alternatives={"Send nothing for now": {"is_active": False}},
        responses={200: replace(_ENDPOINT, topics=[*_TOPICS, "stock.ran_out"], description="Our warehouse in Ghent")},
        invalid_body={"url": 5},
        problems=[_EDITED],
    ),
    "deleteWebhook": Example(parameters=_ID, problems=[_EDITED]),
    "rotateWebhookSecret": Example(
        parameters=_ID,
        responses={200: SecretSchema(NEW_WEBHOOK, _SECRET)},
        problems=[Forbidden("Only its owner may see the secret of an endpoint.")],
    ),
    "testWebhook": Example(parameters=_ID, responses={202: _NEW_DELIVERY}),
    "listWebhookDeliveries": Example(
        parameters=_ID, responses={200: PageSchema(next=None, previous=None, results=[_DELIVERED])}
    ),
    "readWebhookDelivery": Example(parameters=_DELIVERY_ID, responses={200: _DELIVERED}),
    "redeliverWebhook": Example(parameters=_DELIVERY_ID, responses={202: _NEW_DELIVERY}),
    "listAllWebhooks": Example(
        responses={200: PageSchema(None, None, [StaffEndpointSchema(**asdict(_ENDPOINT), owner=STAFF_ID)])}
    ),
    "listAllDeliveries": Example(responses={200: PageSchema(None, None, [_DELIVERED])}),
    "isAlive": Example(responses={200: Health("ok")}),
    "isReady": Example(
        responses={
            200: Ready(status="ok", postgresql="ok", redis="ok", oldest_undecided_seconds=None, accepts_orders=True)
        },
    ),
}
