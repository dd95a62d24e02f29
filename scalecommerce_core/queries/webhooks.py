"""Views and queries of webhook endpoints and deliveries."""

from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class EndpointView:
    """An endpoint without its secrets. `failing_since` is None unless its latest delivery attempts failed.

    It receives no events until it `is_verified`, which means that its receiver has returned a challenge.
    """

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
    is_verified: bool


@frozen
class AttemptView:
    """An attempt to deliver. `took` is in milliseconds; `answer` is the first kilobyte of the response body."""

    at: datetime
    took: int
    status: int | None
    error: str | None
    answer: str


MAX_ATTEMPTS: Final = 50
"""Attempts shown per delivery, five retry schedules: it bounds pages of deliveries that are re-sent many times."""


@frozen
class DeliveryView:
    """A delivery; `seq` is the event's number in the feed, None for a ping.

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
    """Queries of endpoints and deliveries, without deleted endpoints and their deliveries."""

    def endpoints(
        self, owner: AccountId | None, page: PageRequest, *, is_active: bool | None = None
    ) -> Page[EndpointView]:
        """Return the endpoints of `owner`, or of all accounts if it is None, in the order of their ids."""
        ...

    def endpoint(self, endpoint_id: EndpointId) -> EndpointView | None: ...

    def deliveries(
        self,
        endpoint_id: EndpointId | None,
        page: PageRequest,
        *,
        status: DeliveryStatus | None = None,
        owner: AccountId | None = None,
    ) -> Page[DeliveryView]:
        """Return the deliveries to an endpoint, or to all endpoints if its id is None, newest first; with `owner` to
        the endpoints of this account only.
        """
        ...

    def delivery(self, delivery_id: DeliveryId) -> DeliveryView | None: ...
