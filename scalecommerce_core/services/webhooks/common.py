"""Rules, dependencies and helpers that the use cases of endpoints, fan-out and delivery share."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from attrs import field, frozen

from scalecommerce_core.domain.errors import NotFound, TooManyAttempts
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    MAX_ENDPOINTS,
    MESSAGE_PREFIX,
    VERIFICATION,
    WebhookDelivery,
    WebhookEndpoint,
    message_body,
)
from scalecommerce_core.ports import (
    Clock,
    DeliverySlots,
    Ids,
    Randomness,
    RateLimit,
    RateLimiter,
    SecretCipher,
    Store,
    WebhookSender,
)
from scalecommerce_core.queries import EventQueries
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.rate_limiter import MemoryRateLimiter
from scalecommerce_core.services.staff_commands import StaffCommand
from scalecommerce_core.services.verified_accounts import ALL_ACCOUNTS, VerifiedAccounts

TEST_WINDOW: Final = timedelta(minutes=1)
"""Window of the limits on verification and test messages."""


@frozen
class WebhookRules:
    """Limits of webhooks; the servers set some of them from settings."""

    lease: timedelta = timedelta(seconds=30)
    """How long a claimed delivery is reserved for its sender; longer than the sending of a batch can take."""
    slots: DeliverySlots = field(factory=DeliverySlots)
    """Deliveries that are sent at once."""
    endpoints_per_account: int = MAX_ENDPOINTS
    tests_per_account: int = 30
    """Verification and test messages of an account in a minute; 0: no limit."""
    tests_per_host: int = 60
    """Verification and test messages to a host in a minute; 0: no limit."""
    tests_total: int = 600
    """Verification and test messages in a minute; 0: no limit."""
    retention: timedelta = timedelta(days=30)
    """Age at which deliveries and their logs are purged, as that of events."""
    allow_loopback: bool = False
    """Whether endpoints on this machine are allowed, for development."""


@frozen
class ActOnEndpoint(StaffCommand):
    """Delete, rotate, verify or ping an endpoint. Staff may act on the endpoints of all accounts, but not rotate."""

    endpoint_id: EndpointId
    owner: AccountId
    expected_version: int | None = None
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
        limiter: RateLimiter | None = None,
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
        self._limiter = limiter or MemoryRateLimiter()

    def _allow_test(self, owner: AccountId, url: str) -> None:
        """Count a verification or test message of `owner` to `url`; raise `TooManyAttempts`."""
        now, rules = self._clock.now(), self._rules
        keys = (
            ("webhook tests per account", rules.tests_per_account, str(owner)),
            ("webhook tests per host", rules.tests_per_host, urlsplit(url).hostname or ""),
            ("webhook tests in total", rules.tests_total, ""),
        )
        uses = [(RateLimit(name, events, TEST_WINDOW), key) for name, events, key in keys if events]
        wait = self._limiter.acquire(uses, now) if uses else None
        if wait is not None:
            raise TooManyAttempts.of("verification and test messages", wait)

    def _new_verification(self, id_: DeliveryId, endpoint_id: EndpointId, now: datetime) -> WebhookDelivery:
        body = message_body(VERIFICATION, now, {"endpoint_id": endpoint_id, "challenge": self._ids.token()})
        return self._new_delivery(id_, endpoint_id, None, VERIFICATION, body, now)

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


def audited_endpoint(endpoint: WebhookEndpoint) -> Mapping[str, object]:
    """The fields of an endpoint in the audit log. Paths and queries of URLs may contain secrets of the receiver."""
    host = urlsplit(endpoint.url).netloc
    return {"host": host, **{name: getattr(endpoint, name) for name in ("topics", "all_events", "is_active")}}
