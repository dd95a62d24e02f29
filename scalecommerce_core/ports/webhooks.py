"""Webhook endpoints, deliveries and the sender."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import DeliveryStatus, WebhookAnswer, WebhookDelivery, WebhookEndpoint


class WebhookRepository(Protocol):
    def next_ids(self, count: int) -> Sequence[EndpointId]: ...

    def add(self, endpoints: Collection[WebhookEndpoint]) -> None: ...

    def lock(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        """In id order. Deleted ones included."""
        ...

    def save(self, endpoints: Collection[WebhookEndpoint]) -> None: ...

    def get_many(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        """Read without a lock, for sending."""
        ...

    def count_by_owner(self, owners: Collection[AccountId]) -> Mapping[AccountId, int]:
        """How many endpoints each owner has; those without one are left out."""
        ...

    def has_active(self) -> bool: ...

    def subscribed(self, owners: Collection[AccountId]) -> Sequence[WebhookEndpoint]:
        """Active endpoints, by id, of these owners, and those of staff that hear of all events.

        Only while their owners may: of active accounts, all events only while the account is staff's. They cannot be
        deleted before the transaction ends.
        """
        ...

    def purge_deleted(self, limit: int) -> int:
        """Delete endpoints that their owners deleted, and that have no deliveries any more; return how many."""
        ...


class DeliveryRepository(Protocol):
    """`save` also appends the log lines that the deliveries carry."""

    def next_ids(self, count: int) -> Sequence[DeliveryId]: ...

    def add(self, deliveries: Collection[WebhookDelivery]) -> None: ...

    def lock(self, ids: Collection[DeliveryId]) -> Mapping[DeliveryId, WebhookDelivery]:
        """In id order."""
        ...

    def save(self, deliveries: Collection[WebhookDelivery]) -> None: ...

    def endpoints_of(self, ids: Collection[DeliveryId]) -> set[EndpointId]:
        """Read without a lock: endpoints are locked before their deliveries."""
        ...

    def claim_due(self, limit: int, now: datetime, *, per_endpoint: int) -> Sequence[WebhookDelivery]:
        """Lock PENDING deliveries whose `try_at` has come, the longest due first, skipping those that others hold.

        At most `per_endpoint` for each active endpoint, one for an endpoint that fails, none while it is paused or
        while its owner may not hear (`subscribed`). If that is too many, the first of each endpoint goes before the
        second of any.
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
        """Those with one of `statuses` that were made from `since` up to, not including, `until`, by id.

        Raises `Invalid` when `until` is before `since`.
        """
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete deliveries that were made before, and those of deleted endpoints, with their logs; return how many."""
        ...


@frozen
class OutgoingWebhook:
    """A signed message: POST `body` with `headers` to `url`."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class WebhookSender(Protocol):
    """Sends messages to where strangers want them."""

    def send(self, messages: Sequence[OutgoingWebhook]) -> Sequence[WebhookAnswer]:
        """All at once, each within seconds; one answer per message, in order. Never raises for a message.

        To public addresses only, and to the very ones that were checked; redirects are not followed.
        """
        ...
