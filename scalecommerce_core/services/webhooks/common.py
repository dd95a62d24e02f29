"""Rules, dependencies and helpers that the use cases of endpoints, fan-out and delivery share."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import MESSAGE_PREFIX, WebhookDelivery, WebhookEndpoint
from scalecommerce_core.ports import Clock, Ids, Randomness, SecretCipher, Store, WebhookSender
from scalecommerce_core.queries import EventQueries
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.verified_accounts import ALL_ACCOUNTS, VerifiedAccounts


@frozen
class WebhookRules:
    """Limits of webhooks; the servers set some of them from settings."""

    lease: timedelta = timedelta(seconds=60)
    """How long a claimed delivery is reserved for its sender; longer than the sending of a batch can take."""
    per_endpoint: int = 10
    """Deliveries of one endpoint in a batch."""
    retention: timedelta = timedelta(days=30)
    """Age at which deliveries and their logs are purged, as that of events."""
    allow_loopback: bool = False
    """Whether endpoints on this machine are allowed, for development."""


@frozen
class ActOnEndpoint:
    """Delete, rotate or ping an endpoint. Staff may act on the endpoints of all accounts, except for rotating."""

    endpoint_id: EndpointId
    owner: AccountId
    expected_version: int | None = None
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


class WebhooksBase:
    """Dependencies of the use cases."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        queries: EventQueries,
        *,
        ids: Ids,
        randomness: Randomness,
        cipher: SecretCipher,
        sender: WebhookSender,
        rules: WebhookRules = WebhookRules(),
        verified: VerifiedAccounts = ALL_ACCOUNTS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._queries = queries
        self._ids = ids
        self._randomness = randomness
        self._cipher = cipher
        self._sender = sender
        self._rules = rules
        self._verified = verified

    def _new_delivery(  # noqa: PLR0917 - as the columns of a row
        self, id_: DeliveryId, endpoint_id: EndpointId, seq: int | None, topic: str, body: str, now: datetime
    ) -> WebhookDelivery:
        return WebhookDelivery(id_, endpoint_id, seq, MESSAGE_PREFIX + self._ids.token(), topic, body, now, now)


def visible_endpoint(
    found: Mapping[EndpointId, WebhookEndpoint], endpoint_id: EndpointId, owner: AccountId, *, as_staff: bool
) -> WebhookEndpoint:
    """The endpoint if it exists for this caller; raise `NotFound`."""
    endpoint = found.get(endpoint_id)
    if endpoint is None or endpoint.deleted_at is not None:
        raise NotFound("webhook endpoint", endpoint_id)
    if endpoint.owner_id != owner and not as_staff:
        raise NotFound("webhook endpoint", endpoint_id)
    return endpoint
