"""Reading webhook endpoints and deliveries."""

from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class EndpointView:
    """An endpoint without its secrets. `failing_since` is None while it answers."""

    id: EndpointId
    owner: AccountId
    url: str
    topics: tuple[str, ...]
    description: str
    all_events: bool
    is_active: bool
    disabled_because: str | None
    failing_since: datetime | None
    paused_until: datetime | None
    created_at: datetime
    version: int


@frozen
class AttemptView:
    """`took` in milliseconds; `answer` is the first kilobyte of what was answered."""

    at: datetime
    took: int
    status: int | None
    error: str | None
    answer: str


MAX_ATTEMPTS: Final = 50
"""Five whole schedules: who has a message sent again and again must not make a page of any size."""


@frozen
class DeliveryView:
    """`seq` is the event's number in the feed, None for a ping.

    `log` holds the last `MAX_ATTEMPTS` attempts, oldest first.
    """

    id: DeliveryId
    endpoint: EndpointId
    seq: int | None
    message_id: str
    topic: str
    status: DeliveryStatus
    created_at: datetime
    try_at: datetime | None
    log: tuple[AttemptView, ...]


class WebhookQueries(Protocol):
    """Deleted endpoints and their deliveries are not shown."""

    def endpoints(self, owner: AccountId | None, page: PageRequest) -> Page[EndpointView]:
        """By id; of everybody without an owner."""
        ...

    def endpoint(self, endpoint_id: EndpointId) -> EndpointView | None: ...

    def deliveries(
        self, endpoint_id: EndpointId | None, page: PageRequest, *, status: DeliveryStatus | None = None
    ) -> Page[DeliveryView]:
        """Newest first; to every endpoint without an id."""
        ...

    def delivery(self, delivery_id: DeliveryId) -> DeliveryView | None: ...
