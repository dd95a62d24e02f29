"""Webhook endpoints, deliveries and the sender."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    LONGEST_TIMEOUT,
    DeliveryStatus,
    WebhookAnswer,
    WebhookDelivery,
    WebhookEndpoint,
)


@frozen
class DeliverySlots:
    """How many deliveries may be sent at once, by all processes together."""

    total: int = 200
    per_owner: int = 20
    per_endpoint: int = 10
    slow: int = 50


class WebhookRepository(Protocol):
    """Webhook endpoints."""

    def next_ids(self, count: int) -> Sequence[EndpointId]:
        """Draw `count` new ids."""
        ...

    def add(self, endpoints: Collection[WebhookEndpoint]) -> None:
        """Insert endpoints."""
        ...

    def lock(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        """Lock and read endpoints, in id order, deleted ones included."""
        ...

    def lock_after(self, endpoint_id: EndpointId, limit: int) -> Sequence[WebhookEndpoint]:
        """Lock and read the next `limit` endpoints after an id, in id order, without deleted ones."""
        ...

    def save(self, endpoints: Collection[WebhookEndpoint]) -> None:
        """Update endpoints that this transaction has locked."""
        ...

    def get_many(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        """Read endpoints without a lock, for sending."""
        ...

    def count_by_owner(self, owners: Collection[AccountId]) -> Mapping[AccountId, int]:
        """How many endpoints each owner has; owners without endpoints are left out."""
        ...

    def has_active(self) -> bool:
        """Whether there is an active endpoint that was verified once."""
        ...

    def subscribed(self, owners: Collection[AccountId]) -> Sequence[WebhookEndpoint]:
        """Active endpoints, by id, of `owners`, and those of staff with `all_events`; locked against deletion.

        An endpoint is left out if its owner is inactive, or has `all_events` and is no longer staff.
        """
        ...

    def purge_deleted(self, limit: int) -> int:
        """Delete up to `limit` endpoints that their owners deleted and that have no deliveries any more; return how
        many.
        """
        ...


class DeliveryRepository(Protocol):
    """Deliveries. `save` also appends the log lines that the deliveries carry."""

    def next_ids(self, count: int) -> Sequence[DeliveryId]:
        """Draw `count` new ids."""
        ...

    def add(self, deliveries: Collection[WebhookDelivery]) -> None:
        """Insert deliveries."""
        ...

    def lock(self, ids: Collection[DeliveryId]) -> Mapping[DeliveryId, WebhookDelivery]:
        """Lock and read deliveries, in id order."""
        ...

    def save(self, deliveries: Collection[WebhookDelivery]) -> None:
        """Update deliveries that this transaction has locked."""
        ...

    def endpoints_of(self, ids: Collection[DeliveryId]) -> set[EndpointId]:
        """The endpoints of deliveries, read without a lock: endpoints must be locked before their deliveries."""
        ...

    def claim_due(
        self, limit: int, now: datetime, *, lease_ends: datetime, slots: DeliverySlots
    ) -> Sequence[WebhookDelivery]:
        """Lock PENDING deliveries whose `try_at` has passed, skipping locked ones; return the longest due first.

        An endpoint is left out while one of its deliveries is leased, while it is inactive or paused, and while its
        owner may not receive events (`subscribed`); of one that is not verified, only the verification message is
        claimed. Leases end at `lease_ends` at the latest. `slots` limits the deliveries that are leased at once:

        - in total, `slots.total`;
        - of an endpoint, `slots.per_endpoint`, the longest due first; 1 if it is slow (`WebhookEndpoint.is_slow`);
        - of an owner, the smaller of `slots.per_owner` and a tenth of the free slots, and at least 1;
        - of slow endpoints together, `slots.slow`; a claim fills at most half of those that are free, rounded up, and a
          fifth, at least 1, with deliveries of one owner.

        Owners take turns: the first delivery of every owner is chosen before the second of any, and of each owner, the
        first of every endpoint before the second of any.
        """
        ...

    def settled_ids(
        self,
        endpoint_id: EndpointId,
        since: datetime,
        until: datetime,
        statuses: Collection[DeliveryStatus],
        *,
        after: DeliveryId | None,
        limit: int,
    ) -> Sequence[DeliveryId]:
        """Ids, in order, of the endpoint's deliveries with one of `statuses` that were made in [`since`, `until`).

        Verification messages are left out. Raise `Invalid` if `until` is before `since`.
        """
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` deliveries that were made before `before`, or whose endpoint was deleted, with their
        logs.

        Return how many.
        """
        ...


@frozen
class OutgoingWebhook:
    """A signed message: POST `body` with `headers` to `url`, and wait for the answer for `timeout`."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: timedelta = LONGEST_TIMEOUT


class WebhookSender(Protocol):
    """Sends messages to URLs that accounts have chosen."""

    def send(self, messages: Sequence[OutgoingWebhook]) -> Sequence[WebhookAnswer]:
        """Send all messages at once, each within its timeout; return one answer per message, in order. Never raises
        for a message. Several threads may call it at once.

        The error of a message that reached no receiver does not tell why: owners choose the URLs, and could examine a
        network with it. The sender connects only to public addresses, to the same addresses that it has checked, and
        follows no redirects.
        """
        ...
