"""Outgoing webhooks by the Standard Webhooks specification (standardwebhooks.com): endpoints, deliveries, signatures.

An endpoint belongs to an account and receives events; a delivery is one event to be sent to one endpoint.
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
"""The retry schedule: the delay before each of the ten attempts, counted from the end of the previous attempt.

Source: the schedule of the Standard Webhooks specification.
"""
JITTER: Final = 0.2
"""Delays change at random by up to this share, so that deliveries that failed together are not retried together."""
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
"""Longest `Retry-After` of a receiver that is followed."""
SECRET_OVERLAP: Final = timedelta(hours=24)
"""How long a replaced secret still signs, beside the new one."""
MAX_SECRETS: Final = 3
"""Most secrets of an endpoint that sign at once."""
DISABLE_AFTER: Final = timedelta(days=5)
"""An endpoint whose deliveries all failed for this long is disabled; the retry schedule is more than a day shorter.
"""
FIRST_PAUSE: Final = timedelta(seconds=5)
"""Pause of an endpoint after its first failed batch."""
LONGEST_PAUSE: Final = timedelta(minutes=5)
"""A failing endpoint gets one delivery at a time, with pauses that double up to this."""
MAX_ENDPOINTS: Final = 20
"""Default of the most endpoints of an account (`WebhookRules.endpoints_per_account`)."""
LONGEST_TIMEOUT: Final = timedelta(seconds=10)
"""How long a receiver may take: resolving, connecting, sending and reading the beginning of the response."""
SHORTEST_TIMEOUT: Final = timedelta(seconds=3)
"""Shortest timeout of a failing endpoint."""
VERIFICATION_TIMEOUT: Final = timedelta(seconds=5)
"""How long a receiver may take to answer a verification message."""
SLOW_RESPONSE: Final = timedelta(seconds=1)
"""Mean response time from which an endpoint is slow."""
DESCRIPTION_LENGTH: Final = 200
"""Longest description, in characters."""
ANSWER_LENGTH: Final = 1_024
"""Bytes of a response body that the log stores."""
ERROR_LENGTH: Final = 300
"""Characters of an error that the log stores."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES: Final = 32
"""Length of a secret; the specification allows 24 to 64 bytes."""
MESSAGE_PREFIX: Final = "msg_"
GONE: Final = 410
"""A receiver that answers with this status is disabled."""
RETRY_AFTER_STATUSES: Final = frozenset({429, 503})
"""Statuses whose `Retry-After` header is followed."""
PING: Final = "webhook.ping"
"""Topic of test messages."""
VERIFICATION: Final = "webhook.verification"
"""Topic of messages whose challenge the receiver must return before the endpoint gets events."""
NO_CHALLENGE: Final = "The response does not contain the challenge."
"""Error of a verification whose receiver answered 2xx without the challenge."""


def _topics(kind: type[Event] = Event) -> Iterator[str]:
    if isinstance(getattr(kind, "topic", None), str):
        yield kind.topic
    for narrower in kind.__subclasses__():
        yield from _topics(narrower)


TOPICS: Final = tuple(sorted(set(_topics())))
"""All topics that an endpoint can receive."""


class EndpointDisabled(Conflict):
    """The endpoint is disabled, so nothing is sent to it: enable it first."""

    code = "endpoint_disabled"


class EndpointUnverified(Conflict):
    """The receiver has not returned the challenge yet, so only verification messages are sent to the endpoint."""

    code = "endpoint_unverified"


class DeliveryPending(Conflict):
    """The delivery has not been tried yet, so it cannot be repeated."""

    code = "delivery_pending"


# --- messages


def message_body(topic: str, at: datetime, data: Mapping[str, Any]) -> str:
    """The JSON that is sent; the signature covers its exact bytes."""
    timestamp = at.isoformat().replace("+00:00", "Z")
    document = {"type": topic, "timestamp": timestamp, "data": data}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def challenge_of(body: str) -> str:
    """The challenge in the body of a verification message."""
    return str(json.loads(body)["data"]["challenge"])


def returns_challenge(answer: bytes, challenge: str) -> bool:
    """Whether the body of a response is the challenge, or a JSON object with it in the field `challenge`.

    A receiver that returns the request's body unchanged does not pass: there the challenge is in `data`.
    """
    text = answer.decode("utf-8", "replace").strip()
    if text == challenge:
        return True
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("challenge") == challenge


def secret_text(secret: bytes) -> str:
    """The secret in the form that receivers store."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of "id.timestamp.body" in base64; `secret` as `secret_text` makes it, time in Unix
    seconds.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def signed_headers(secrets: Sequence[str], message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of a message, with one signature per secret, so that receivers can verify it while a secret is
    replaced.
    """
    timestamp = int(now.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }


# --- attempts


@frozen
class WebhookAnswer:
    """Result of sending a message: the `status` of the response, or the `error` that prevented one."""

    took: timedelta
    status: int | None = None
    error: str | None = None
    body: bytes = b""
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx and the response was accepted."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver answered 410 Gone and must get no more messages."""
        return self.status == GONE

    @property
    def requested_delay(self) -> timedelta:
        """The delay that the receiver requested by `Retry-After`; 0 if none."""
        if self.status not in RETRY_AFTER_STATUSES or self.retry_after is None:
            return timedelta(0)
        return min(max(self.retry_after, timedelta(0)), LONGEST_RETRY_AFTER)

    def __str__(self) -> str:
        return self.error if self.error is not None else f"status {self.status}"


@frozen
class WebhookAttempt:
    """A line of a delivery's log. `answer` is the beginning of the response body, as text."""

    delivery_id: DeliveryId
    number: int
    at: datetime
    took: timedelta
    status: int | None
    error: str | None
    answer: str


def retry_at(attempts: int, now: datetime, fraction: float, wait: timedelta = timedelta(0)) -> datetime | None:
    """Time of the next attempt after `attempts` failures, the last of them at `now`; None if there is none.

    `fraction`, from 0 to 1, selects a point within the jitter. The delay is at least `wait`, which the receiver
    requested.
    """
    if attempts >= len(RETRY_DELAYS):
        return None
    delay = RETRY_DELAYS[attempts] * (1 + JITTER * (2 * fraction - 1))
    return now + max(delay, wait)


class DeliveryStatus(StrEnum):
    """Status of a delivery: PENDING until it succeeded or its schedule has ended."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@define
class WebhookDelivery:
    """An event to be sent to an endpoint. `message_id` and `body` are the same in every attempt.

    `seq` is the event's number; None for a ping, which is tried once. `try_at` is set while the delivery is PENDING.
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
    """Attempts since the delivery was made or repeated on request; `logged` counts all attempts."""
    logged: int = 0
    revision: int = 0
    """Changes with each claim, each recorded answer and each repetition on request."""
    leased_until: datetime | None = None
    """End of the lease of the sender that claimed it; None unless it is being sent."""
    log: list[WebhookAttempt] = field(factory=list)
    """New lines of the log; saving appends them and empties the list."""

    def lease(self, until: datetime) -> None:
        """Reserve the delivery for one sender until `until`."""
        self.try_at = self.leased_until = until
        self.revision += 1

    def record(self, answer: WebhookAnswer, sent_at: datetime, revision: int, fraction: float) -> bool:
        """Record the answer of the attempt that claimed this `revision`; return False if the delivery has changed
        since.

        It has changed if an answer was recorded before, or if the delivery was claimed or repeated again.
        """
        if self.status is not DeliveryStatus.PENDING or self.revision != revision:
            return False
        if self.topic == VERIFICATION:
            answer = self._check_challenge(answer)
        self.revision += 1
        self.logged += 1
        self.attempts += 1
        self.leased_until = None
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

    def _check_challenge(self, answer: WebhookAnswer) -> WebhookAnswer:
        """The answer to a verification: an error without the challenge, and in any case without its body.

        The body of a receiver that has not agreed to receive messages is not shown to the owner of the endpoint.
        """
        missing = answer.is_success and not returns_challenge(answer.body, challenge_of(self.body))
        return evolve(answer, body=b"", error=NO_CHALLENGE if missing else answer.error)

    def redeliver(self, now: datetime) -> None:
        """Send the delivery again with the whole retry schedule, whatever its last result.

        Raise `DeliveryPending`.
        """
        if self.status is DeliveryStatus.PENDING and self.attempts == 0:
            raise DeliveryPending(f"Delivery {self.id} has not been tried yet: wait for its first attempt.")
        self.status, self.attempts, self.try_at = DeliveryStatus.PENDING, 0, now
        self.leased_until = None
        self.revision += 1


# --- endpoints


@frozen
class WebhookSecret:
    """An encrypted secret; the current one has no `valid_until`."""

    encrypted: str = field(repr=False)
    valid_until: datetime | None = None


@define
class WebhookEndpoint:
    """A URL that receives the events whose audience contains its owner, or all events (`all_events`, staff only).

    Without `topics` it receives every topic. `disabled_because` tells the owner why the engine disabled the endpoint;
    it is None if the owner did.
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
    """Batches in a row without a successful delivery."""
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    deleted_at: datetime | None = None
    version: int = 1
    verified_at: datetime | None = None
    """When the receiver last returned a challenge; None: it never has, and no deliveries are made."""
    verification_id: DeliveryId | None = None
    """The verification message that the receiver must answer before events are sent; None: it has."""
    response_time: timedelta | None = None
    """Mean duration of successful attempts, in which each new one counts for half; None: unknown."""

    @classmethod
    def registered(
        cls,
        *,
        id: EndpointId,  # noqa: A002 - the field's name
        owner_id: AccountId,
        url: str,
        encrypted_secret: str,
        now: datetime,
        verification_id: DeliveryId,
        topics: Sequence[str] = (),
        description: str = "",
        all_events: bool = False,
        allow_loopback: bool = False,
    ) -> "WebhookEndpoint":
        """A new endpoint, not verified yet; raise `Invalid` naming the fields."""
        description = normal_text(description)
        _check(url, topics, description, allow_loopback=allow_loopback)
        return cls(
            id, owner_id, url, now, _in_order(topics), description, all_events, (WebhookSecret(encrypted_secret),),
            verification_id=verification_id,
        )  # fmt: skip

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

        The caller begins a new verification (`begin_verification`) after a change of the URL.

        Raise `Invalid` or `VersionMismatch`, and change nothing then.
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
        """Raise `VersionMismatch` unless `expected` is None or the present version."""
        if expected is not None and expected != self.version:
            raise VersionMismatch(f"Webhook endpoint {self.id} was edited: its version is {self.version} now.")

    def rotate(self, encrypted_secret: str, now: datetime) -> None:
        """Add a new secret; the old ones sign for `SECRET_OVERLAP` more."""
        kept = [
            evolve(secret, valid_until=min(secret.valid_until or now + SECRET_OVERLAP, now + SECRET_OVERLAP))
            for secret in self.secrets
            if secret.valid_until is None or secret.valid_until > now
        ]
        self.secrets = (WebhookSecret(encrypted_secret), *kept[: MAX_SECRETS - 1])
        self.version += 1

    def encrypted_secrets(self, now: datetime) -> tuple[str, ...]:
        """The encrypted secrets that sign now, newest first."""
        return tuple(s.encrypted for s in self.secrets if s.valid_until is None or s.valid_until > now)

    def delete(self, now: datetime) -> None:
        """Delete the endpoint for its owner, with its secrets; its log is purged later."""
        self.deleted_at, self.is_active, self.secrets = now, False, ()

    @property
    def is_verified(self) -> bool:
        """Whether the receiver at the present URL has returned a challenge."""
        return self.verification_id is None

    @property
    def is_slow(self) -> bool:
        """Whether the endpoint is slow, failing or not verified: it gets one delivery at a time and few slots."""
        slow = self.response_time is not None and self.response_time >= SLOW_RESPONSE
        return slow or self.failures > 0 or not self.is_verified

    @property
    def timeout(self) -> timedelta:
        """Time for one attempt. A failing endpoint gets twice its mean response time, if that is known, so that it does
        not occupy a sender for longer.
        """
        if not self.is_verified:
            return VERIFICATION_TIMEOUT
        if not self.failures or self.response_time is None:
            return LONGEST_TIMEOUT
        return min(max(2 * self.response_time, SHORTEST_TIMEOUT), LONGEST_TIMEOUT)

    def begin_verification(self, delivery_id: DeliveryId) -> None:
        """Send no events until the receiver has answered the verification message `delivery_id`."""
        self.verification_id = delivery_id
        self.response_time = None

    def record_verification(self, delivery: "WebhookDelivery", answer: WebhookAnswer, now: datetime) -> bool:
        """Record the result of a verification; return whether the endpoint is verified by it.

        An answer to an earlier message, which was sent to another URL, changes nothing.
        """
        if delivery.id != self.verification_id or delivery.status is not DeliveryStatus.DELIVERED:
            return False
        self.mark_verified(now)
        self.response_time = answer.took
        return True

    def mark_verified(self, now: datetime) -> None:
        """Send events from now on; does nothing if the endpoint is verified."""
        if self.verification_id is not None:
            self.verification_id, self.verified_at = None, now
            self.version += 1
            self._reset_failures()

    def accepts(self, topic: str, at: datetime, audience: Sequence[AccountId]) -> bool:
        """Whether the endpoint receives this event: active, verified once, after its creation, of its topics and
        audience.
        """
        return (
            self.is_active
            and self.verified_at is not None
            and at >= self.created_at
            and (not self.topics or topic in self.topics)
            and (self.all_events or self.owner_id in audience)
        )

    def record_results(self, answers: Sequence[WebhookAnswer], now: datetime) -> None:
        """Update failures, pause and response time by the answers of one batch; disable the endpoint after 410 or
        `DISABLE_AFTER`.
        """
        for answer in answers:
            if answer.is_success:
                known = answer.took if self.response_time is None else self.response_time
                self.response_time = (known + answer.took) / 2
        if any(answer.is_gone for answer in answers):
            self._disable("The receiver answered 410 Gone, so no more messages are sent.")
        elif any(answer.is_success for answer in answers):
            self._reset_failures()
        elif answers:
            self._failed(answers, now)

    def disable(self, because: str) -> None:
        """Send nothing more until the owner enables the endpoint; the owner reads the reason."""
        self._disable(because)

    def check_active(self) -> None:
        """Raise `EndpointDisabled` unless the endpoint is active."""
        if not self.is_active:
            raise EndpointDisabled("This endpoint is disabled: enable it first (is_active).")

    def check_receives(self, delivery: "WebhookDelivery") -> None:
        """Raise `EndpointDisabled`, and `EndpointUnverified` unless the endpoint may receive this delivery."""
        self.check_active()
        if self.verification_id not in {None, delivery.id}:
            raise EndpointUnverified(
                "This endpoint is not verified: send a test message, whose challenge the receiver must return."
            )

    def resume(self) -> None:
        """End the pause, so that the next delivery is sent at once."""
        self.paused_until = None

    def _failed(self, answers: Sequence[WebhookAnswer], now: datetime) -> None:
        self.failures += 1
        self.failing_since = self.failing_since or now
        # The exponent is bounded: after days of failures the power would be a very large integer.
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
