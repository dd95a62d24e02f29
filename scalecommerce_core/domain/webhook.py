"""Outgoing webhooks by the Standard Webhooks specification (standardwebhooks.com): endpoints, deliveries, signatures.

An endpoint belongs to an account and hears of events; a delivery is one event on its way to one endpoint.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from attrs import define, evolve, field, frozen
from attrs.setters import frozen as unchangeable

from scalecommerce_core.domain.edits import apply_edit
from scalecommerce_core.domain.errors import Conflict, Invalid, VersionMismatch
from scalecommerce_core.domain.events import Event
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.text import normal_text, text_errors
from scalecommerce_core.domain.web_address import UnsafeAddress, parse_target

RETRY_DELAYS: Final = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long after the attempt before each attempt is made: the specification's schedule."""
JITTER: Final = 0.2
"""Delays are stretched or shortened by up to this part, so that what failed together does not come back together."""
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
SECRET_OVERLAP: Final = timedelta(hours=24)
"""How long a replaced secret still signs, beside the new one."""
MAX_SECRETS: Final = 3
DISABLE_AFTER: Final = timedelta(days=5)
"""An endpoint that only failed for so long is disabled: longer than a delivery's whole schedule, by more than a day."""
FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=5)
"""A failing endpoint is tried with one delivery at a time, after pauses that double up to this."""
MAX_ENDPOINTS: Final = 20
"""Per account."""
DESCRIPTION_LENGTH: Final = 200
ANSWER_LENGTH: Final = 1_024
"""Bytes of an answer that the log keeps."""
ERROR_LENGTH: Final = 300

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES: Final = 32
"""Of the 24 to 64 that the specification allows."""
MESSAGE_PREFIX: Final = "msg_"
GONE: Final = 410
RETRY_AFTER_STATUSES: Final = frozenset({429, 503})
PING: Final = "webhook.ping"


def _topics(kind: type[Event] = Event) -> Iterator[str]:
    if isinstance(getattr(kind, "topic", None), str):
        yield kind.topic
    for narrower in kind.__subclasses__():
        yield from _topics(narrower)


TOPICS: Final = tuple(sorted(set(_topics())))
"""All that an endpoint can hear of."""


class EndpointDisabled(Conflict):
    """Nothing is sent to a disabled endpoint: enable it first."""

    code = "endpoint_disabled"


class DeliveryPending(Conflict):
    """It is on its way already."""

    code = "delivery_pending"


# --- messages


def message_body(topic: str, at: datetime, data: Mapping[str, Any]) -> str:
    """The JSON that is sent, and signed to the byte."""
    timestamp = at.isoformat().replace("+00:00", "Z")
    document = {"type": topic, "timestamp": timestamp, "data": data}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def secret_text(secret: bytes) -> str:
    """As receivers keep it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of "id.timestamp.body"; `secret` as `secret_text` makes it, time in Unix seconds."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def signed_headers(secrets: Sequence[str], message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """One signature per secret, so that a receiver finds its own while secrets change."""
    timestamp = int(now.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }


# --- attempts


@frozen
class WebhookAnswer:
    """What came of sending a message: a `status`, or an `error` that kept it from coming."""

    took: timedelta
    status: int | None = None
    error: str | None = None
    body: bytes = b""
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == GONE

    @property
    def requested_delay(self) -> timedelta:
        """How long the receiver asked to be left alone."""
        if self.status not in RETRY_AFTER_STATUSES or self.retry_after is None:
            return timedelta(0)
        return min(max(self.retry_after, timedelta(0)), LONGEST_RETRY_AFTER)

    def __str__(self) -> str:
        return self.error if self.error is not None else f"status {self.status}"


@frozen
class WebhookAttempt:
    """A line of a delivery's log. `answer` is the beginning of what was answered, as text."""

    delivery_id: DeliveryId
    number: int
    at: datetime
    took: timedelta
    status: int | None
    error: str | None
    answer: str


def retry_at(attempts: int, now: datetime, fraction: float, wait: timedelta = timedelta(0)) -> datetime | None:
    """When to try again after `attempts` failures, the last of them at `now`; None: never.

    `fraction`, from 0 to 1, chooses the place within the jitter; a receiver that asked for it is left alone for `wait`.
    """
    if attempts >= len(RETRY_DELAYS):
        return None
    delay = RETRY_DELAYS[attempts] * (1 + JITTER * (2 * fraction - 1))
    return now + max(delay, wait)


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@define
class WebhookDelivery:
    """`message_id` and `body` are the same in every attempt. `try_at` is set while it is PENDING.

    `seq` is the event's number in the feed; None: a ping, which is tried once.
    """

    id: DeliveryId = field(on_setattr=unchangeable)
    endpoint_id: EndpointId = field(on_setattr=unchangeable)
    seq: int | None = field(on_setattr=unchangeable)
    message_id: str = field(on_setattr=unchangeable)
    topic: str = field(on_setattr=unchangeable)
    body: str = field(on_setattr=unchangeable, repr=False)
    created_at: datetime = field(on_setattr=unchangeable)
    try_at: datetime | None
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    """Since it was made, or asked for again; the log goes on counting."""
    logged: int = 0
    revision: int = 0
    """Changes whenever somebody claims it, records what came of it, or asks for it again."""
    log: list[WebhookAttempt] = field(factory=list)
    """New lines of the log; saving writes and forgets them."""

    def lease(self, until: datetime) -> None:
        """Somebody is sending it: nobody else should before `until`."""
        self.try_at = until
        self.revision += 1

    def record(self, answer: WebhookAnswer, sent_at: datetime, revision: int, fraction: float) -> bool:
        """Note what came of the attempt that was claimed as this revision; whether that was still wanted.

        It is not if it was recorded before, or if the delivery was claimed or asked for again meanwhile.
        """
        if self.status is not DeliveryStatus.PENDING or self.revision != revision:
            return False
        self.revision += 1
        self.logged += 1
        self.attempts += 1
        text = answer.body[:ANSWER_LENGTH].decode("utf-8", "replace").replace("\x00", "\ufffd")
        error = None if answer.error is None else answer.error[:ERROR_LENGTH]
        self.log.append(WebhookAttempt(self.id, self.logged, sent_at, answer.took, answer.status, error, text))
        if answer.is_success:
            self.status, self.try_at = DeliveryStatus.DELIVERED, None
            return True
        again = self.seq is not None and not answer.is_gone
        self.try_at = (
            retry_at(self.attempts, sent_at + answer.took, fraction, answer.requested_delay) if again else None
        )
        if self.try_at is None:
            self.status = DeliveryStatus.FAILED
        return True

    def redeliver(self, now: datetime) -> None:
        """Send it once more, whatever came of it, with the whole schedule again; raise `DeliveryPending`."""
        if self.status is DeliveryStatus.PENDING and self.attempts == 0:
            raise DeliveryPending(f"Delivery {self.id} has not been tried yet: it will be.")
        self.status, self.attempts, self.try_at = DeliveryStatus.PENDING, 0, now
        self.revision += 1


# --- endpoints


@frozen
class WebhookSecret:
    """`sealed` is encrypted; without `valid_until` it is the current one."""

    sealed: str = field(repr=False)
    valid_until: datetime | None = None


@define
class WebhookEndpoint:
    """Hears of events whose audience its owner belongs to, or, for staff who ask for it, of all events.

    No `topics`: of every topic. `disabled_because` is a sentence for its owner; None on one that they switched off.
    """

    id: EndpointId = field(on_setattr=unchangeable)
    owner_id: AccountId = field(on_setattr=unchangeable)
    url: str
    created_at: datetime = field(on_setattr=unchangeable)
    topics: tuple[str, ...] = ()
    description: str = ""
    all_events: bool = False
    secrets: tuple[WebhookSecret, ...] = field(default=(), repr=False)
    """Newest first."""
    is_active: bool = True
    disabled_because: str | None = None
    failures: int = 0
    """Batches in a row that it answered no delivery of."""
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    deleted_at: datetime | None = None
    version: int = 1

    @classmethod
    def registered(
        cls,
        *,
        id: EndpointId,  # noqa: A002 - what it is
        owner_id: AccountId,
        url: str,
        sealed: str,
        now: datetime,
        topics: Sequence[str] = (),
        description: str = "",
        all_events: bool = False,
        allow_loopback: bool = False,
    ) -> "WebhookEndpoint":
        """A new one; raise `Invalid` naming the fields."""
        description = normal_text(description)
        _check(url, topics, description, allow_loopback=allow_loopback)
        return cls(id, owner_id, url, now, _in_order(topics), description, all_events, (WebhookSecret(sealed),))

    def edit(
        self,
        *,
        expected_version: int | None = None,
        url: str | None = None,
        topics: Sequence[str] | None = None,
        description: str | None = None,
        all_events: bool | None = None,
        is_active: bool | None = None,
        allow_loopback: bool = False,
    ) -> None:
        """Change the given fields; equal values are not an edit. Enabling it or changing its URL resets its failures.

        Raise `Invalid` or `VersionMismatch`; nothing is changed then.
        """
        self.check_version(expected_version)
        given = {
            "url": url,
            "topics": topics,
            "description": None if description is None else normal_text(description),
            "all_events": all_events,
            "is_active": is_active,
        }

        def check() -> None:
            _check(self.url, self.topics, self.description, allow_loopback=allow_loopback)
            self.topics = _in_order(self.topics)

        changed = apply_edit(self, {name: value for name, value in given.items() if value is not None}, check)
        if "is_active" in changed:
            self.disabled_because = None
        if "url" in changed or (self.is_active and "is_active" in changed):
            self._reset_failures()

    def check_version(self, expected: int | None) -> None:
        if expected is not None and expected != self.version:
            raise VersionMismatch(f"Webhook endpoint {self.id} was edited: its version is {self.version} now.")

    def rotate(self, sealed: str, now: datetime) -> None:
        """A new secret; the one before it signs too for a day."""
        kept = [
            evolve(secret, valid_until=min(secret.valid_until or now + SECRET_OVERLAP, now + SECRET_OVERLAP))
            for secret in self.secrets
            if secret.valid_until is None or secret.valid_until > now
        ]
        self.secrets = (WebhookSecret(sealed), *kept[: MAX_SECRETS - 1])
        self.version += 1

    def sealed_secrets(self, now: datetime) -> tuple[str, ...]:
        """Those that sign now, newest first."""
        return tuple(s.sealed for s in self.secrets if s.valid_until is None or s.valid_until > now)

    def delete(self, now: datetime) -> None:
        """It is gone for its owner, and forgets its secrets; its log is cleared away later."""
        self.deleted_at, self.is_active, self.secrets = now, False, ()

    def accepts(self, topic: str, at: datetime, audience: Sequence[AccountId]) -> bool:
        """Whether it hears of this event: nothing of before its time."""
        return (
            self.is_active
            and at >= self.created_at
            and (not self.topics or topic in self.topics)
            and (self.all_events or self.owner_id in audience)
        )

    def record_results(self, answers: Sequence[WebhookAnswer], now: datetime) -> None:
        """What came of the deliveries that were sent to it together."""
        if any(answer.is_gone for answer in answers):
            self._disable("It answered 410 Gone: it wants no more messages.")
        elif any(answer.is_success for answer in answers):
            self._reset_failures()
        elif answers:
            self._failed(answers, now)

    def resume(self) -> None:
        """Try it without waiting for the pause to end; raise `EndpointDisabled`."""
        if not self.is_active:
            raise EndpointDisabled("This endpoint is disabled: enable it first (is_active).")
        self.paused_until = None

    def _failed(self, answers: Sequence[WebhookAnswer], now: datetime) -> None:
        self.failures += 1
        self.failing_since = self.failing_since or now
        # A bounded exponent: after days of failing the power itself would be a number of many digits.
        pause = min(FIRST_PAUSE * 2 ** min(self.failures - 1, 16), LONGEST_PAUSE)
        self.paused_until = now + max(pause, *(answer.requested_delay for answer in answers))
        if now - self.failing_since >= DISABLE_AFTER:
            since = self.failing_since.strftime("%Y-%m-%d %H:%M UTC")
            self._disable(f"Every delivery has failed since {since}; the last one with: {answers[-1]}"[:ERROR_LENGTH])

    def _reset_failures(self) -> None:
        self.failures, self.failing_since, self.paused_until = 0, None, None

    def _disable(self, because: str) -> None:
        if self.is_active:
            self.version += 1
        self.is_active, self.disabled_because = False, because
        self._reset_failures()


def _check(url: str, topics: Sequence[str], description: str, *, allow_loopback: bool) -> None:
    errors: dict[str, list[str]] = {}
    try:
        parse_target(url, allow_loopback=allow_loopback)
    except UnsafeAddress as error:
        errors["url"] = [str(error)]
    for index, topic in enumerate(topics):
        if topic not in TOPICS:
            errors[f"topics[{index}]"] = [f"There is no topic {topic[:100]!r}; there are {', '.join(TOPICS)}."]
    if said := text_errors(description, at_most=DESCRIPTION_LENGTH):
        errors["description"] = said
    if errors:
        raise Invalid(errors)


def _in_order(topics: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(topics)))
