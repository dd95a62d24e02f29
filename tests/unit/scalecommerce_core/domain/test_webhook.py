"""Signatures, the retry schedule, pauses and disabling of endpoints."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.errors import Invalid, VersionMismatch
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    ANSWER_LENGTH,
    DISABLE_AFTER,
    LONGEST_PAUSE,
    LONGEST_RETRY_AFTER,
    NO_CHALLENGE,
    RETRY_DELAYS,
    SECRET_OVERLAP,
    TOPICS,
    VERIFICATION,
    DeliveryPending,
    DeliveryStatus,
    EndpointDisabled,
    EndpointUnverified,
    WebhookAnswer,
    WebhookDelivery,
    WebhookEndpoint,
    challenge_of,
    message_body,
    retry_at,
    returns_challenge,
    secret_text,
    signature,
    signed_headers,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
GOOD, BAD, GONE = (WebhookAnswer(SECOND, status=status) for status in (200, 500, 410))


# --- messages


def test_the_signature_is_that_of_the_specification() -> None:
    # The test vector that the reference libraries of Standard Webhooks share.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_valid_secret_signs() -> None:
    headers = signed_headers([secret_text(b"n" * 32), secret_text(b"o" * 32)], "msg_1", NOW, b"{}")
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    new, old = headers["webhook-signature"].split(" ")
    assert (new, old) == (
        signature(secret_text(b"n" * 32), "msg_1", int(NOW.timestamp()), b"{}"),
        signature(secret_text(b"o" * 32), "msg_1", int(NOW.timestamp()), b"{}"),
    )
    assert new != old


def test_a_secret_is_its_bytes_in_base64() -> None:
    assert base64.b64decode(secret_text(b"\xff" * 32).removeprefix("whsec_")) == b"\xff" * 32


def test_a_body_has_type_timestamp_and_data() -> None:
    assert json.loads(message_body("order.paid", NOW, {"order": 1, "name": "Чай"})) == {
        "type": "order.paid",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {"order": 1, "name": "Чай"},
    }


def test_topics_are_those_of_the_events() -> None:
    assert {"order.placed", "order.paid", "product.listed", "price.changed"} <= set(TOPICS)


# --- retries


def test_the_schedule_is_that_of_the_specification() -> None:
    assert [retry_at(n, NOW, 0.5) for n in range(1, 11)] == [
        NOW + 5 * SECOND, NOW + 5 * MINUTE, NOW + 30 * MINUTE, NOW + 2 * HOUR, NOW + 5 * HOUR, NOW + 10 * HOUR,
        NOW + 14 * HOUR, NOW + 20 * HOUR, NOW + 24 * HOUR, None,
    ]  # fmt: skip


@given(st.integers(1, len(RETRY_DELAYS) - 1), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_a_fifth(attempts: int, fraction: float) -> None:
    at = retry_at(attempts, NOW, fraction)
    assert at is not None
    assert 0.8 * RETRY_DELAYS[attempts] - SECOND <= at - NOW <= 1.2 * RETRY_DELAYS[attempts] + SECOND


def test_jitter_spreads_attempts() -> None:
    first, last = retry_at(2, NOW, 0.0), retry_at(2, NOW, 0.999)
    assert first is not None
    assert last is not None
    assert last - first > 100 * SECOND


def delivery(seq: int | None = 7) -> WebhookDelivery:
    return WebhookDelivery(DeliveryId(1), EndpointId(1), seq, "msg_1", "order.paid", "{}", NOW, NOW)


def attempt(of: WebhookDelivery, answer: WebhookAnswer, at: datetime = NOW) -> bool:
    of.lease(at + MINUTE)
    return of.record(answer, at, of.revision, 0.5)


def test_a_delivery_is_tried_until_it_is_delivered() -> None:
    sent = delivery()
    attempt(sent, BAD)
    assert (sent.status, sent.try_at) == (DeliveryStatus.PENDING, NOW + SECOND + 5 * SECOND)
    attempt(sent, GOOD, NOW + MINUTE)
    assert (sent.status, sent.try_at, sent.attempts) == (DeliveryStatus.DELIVERED, None, 2)
    assert [(line.number, line.status) for line in sent.log] == [(1, 500), (2, 200)]


def test_a_delivery_is_given_up_after_the_whole_schedule() -> None:
    sent = delivery()
    for n in range(len(RETRY_DELAYS)):
        assert sent.status is DeliveryStatus.PENDING
        attempt(sent, BAD, NOW + n * HOUR)
    assert (sent.status, sent.try_at) == (DeliveryStatus.FAILED, None)


def test_a_delivery_fails_at_once_after_410_gone() -> None:
    sent = delivery()
    attempt(sent, GONE)
    assert sent.status is DeliveryStatus.FAILED


def test_a_ping_is_sent_once() -> None:
    ping = delivery(seq=None)
    attempt(ping, BAD)
    assert ping.status is DeliveryStatus.FAILED


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_of_the_receiver_delays_the_next_attempt(status: int) -> None:
    def next_try(wait: timedelta) -> timedelta:
        sent = delivery()
        attempt(sent, WebhookAnswer(timedelta(0), status=status, retry_after=wait))
        assert sent.try_at is not None
        return sent.try_at - NOW

    assert next_try(HOUR) == HOUR
    assert next_try(SECOND) == 5 * SECOND
    assert next_try(-HOUR) == 5 * SECOND
    assert next_try(timedelta(days=365)) == LONGEST_RETRY_AFTER


def test_retry_after_is_ignored_with_other_statuses() -> None:
    assert WebhookAnswer(SECOND, status=500, retry_after=HOUR).requested_delay == timedelta(0)


def test_an_attempt_is_recorded_once() -> None:
    sent = delivery()
    sent.lease(NOW + MINUTE)
    claimed = sent.revision
    assert sent.record(BAD, NOW, claimed, 0.5)
    assert not sent.record(BAD, NOW, claimed, 0.5)
    assert (sent.attempts, len(sent.log)) == (1, 1)


def test_an_answer_is_ignored_after_the_lease_was_lost() -> None:
    sent = delivery()
    sent.lease(NOW + MINUTE)
    first = sent.revision
    sent.lease(NOW + HOUR)
    assert not sent.record(GOOD, NOW, first, 0.5)
    assert (sent.status, sent.try_at, sent.log) == (DeliveryStatus.PENDING, NOW + HOUR, [])
    assert sent.record(GOOD, NOW, sent.revision, 0.5)


def test_a_redelivery_requested_during_an_attempt_takes_place() -> None:
    sent = delivery()
    attempt(sent, BAD)
    sent.lease(NOW + HOUR)
    claimed = sent.revision
    sent.redeliver(NOW + MINUTE)
    assert not sent.record(GOOD, NOW, claimed, 0.5)
    assert (sent.status, sent.try_at) == (DeliveryStatus.PENDING, NOW + MINUTE)


def test_the_log_keeps_the_beginning_of_an_answer_as_text() -> None:
    sent = delivery()
    attempt(sent, WebhookAnswer(SECOND, status=500, body=b"\xff\x00" + b"a" * 5_000))
    (line,) = sent.log
    assert line.answer == "\ufffd\ufffd" + "a" * (ANSWER_LENGTH - 2)


def test_redelivery_begins_the_schedule_again() -> None:
    sent = delivery()
    with pytest.raises(DeliveryPending):
        sent.redeliver(NOW)
    attempt(sent, GOOD)
    sent.redeliver(NOW + HOUR)
    assert (sent.status, sent.try_at, sent.attempts) == (DeliveryStatus.PENDING, NOW + HOUR, 0)
    attempt(sent, BAD, NOW + HOUR)
    assert [line.number for line in sent.log] == [1, 2]
    assert sent.message_id == "msg_1"


# --- endpoints


def endpoint(**facts: object) -> WebhookEndpoint:
    made = WebhookEndpoint.registered(
        id=EndpointId(1),
        owner_id=AccountId(5),
        url="https://example.com/",
        encrypted_secret="first",
        now=NOW,
        verification_id=DeliveryId(1),
    )
    made.verification_id, made.verified_at = None, NOW
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_an_endpoint_accepts_events_of_its_topics_and_owner() -> None:
    orders = endpoint(topics=("order.paid",))
    assert orders.accepts("order.paid", NOW, [AccountId(4), AccountId(5)])
    assert not orders.accepts("order.placed", NOW, [AccountId(5)])
    assert not orders.accepts("order.paid", NOW, [AccountId(4)])
    assert not orders.accepts("order.paid", NOW - SECOND, [AccountId(5)])
    assert endpoint().accepts("order.placed", NOW, [AccountId(5)])
    assert endpoint(all_events=True).accepts("order.placed", NOW, [AccountId(4)])
    assert not endpoint(is_active=False).accepts("order.placed", NOW, [AccountId(5)])


def test_invalid_fields_of_an_endpoint_are_all_named() -> None:
    with pytest.raises(Invalid) as caught:
        endpoint().edit(url="http://10.0.0.1/", topics=["order.paid", "order.eaten"], description="x" * 201)
    assert set(caught.value.errors) == {"url", "topics[1]", "description"}
    assert "order.eaten" in caught.value.errors["topics[1]"][0]


def test_an_edit_with_an_outdated_version_is_refused() -> None:
    made = endpoint()
    made.edit(description="a", expected_version=1)
    with pytest.raises(VersionMismatch):
        made.edit(description="b", expected_version=1)
    assert (made.description, made.version) == ("a", 2)


def test_secrets_rotate() -> None:
    made = endpoint()
    made.rotate("second", NOW)
    assert made.encrypted_secrets(NOW) == ("second", "first")
    assert made.encrypted_secrets(NOW + SECRET_OVERLAP - SECOND) == ("second", "first")
    assert made.encrypted_secrets(NOW + SECRET_OVERLAP) == ("second",)
    made.rotate("third", NOW + HOUR)
    assert made.encrypted_secrets(NOW + HOUR) == ("third", "second", "first")
    assert made.encrypted_secrets(NOW + SECRET_OVERLAP) == ("third", "second")
    made.rotate("fourth", NOW + 2 * HOUR)
    assert made.encrypted_secrets(NOW + 2 * HOUR) == ("fourth", "third", "second")


def test_secrets_are_not_in_the_repr() -> None:
    assert "first" not in repr(endpoint())


def test_pauses_double_while_an_endpoint_fails_and_end_after_a_success() -> None:
    made = endpoint()
    pauses = []
    for _ in range(9):
        made.record_results([BAD, BAD], NOW)
        assert made.paused_until is not None
        pauses.append((made.paused_until - NOW) // SECOND)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert LONGEST_PAUSE == 300 * SECOND
    made.record_results([BAD, GOOD], NOW)
    assert made.failures == 0
    assert {made.failing_since, made.paused_until} == {None}


def test_a_pause_lasts_as_long_as_the_receiver_asked_for() -> None:
    made = endpoint()
    made.record_results([WebhookAnswer(SECOND, status=503, retry_after=HOUR), BAD], NOW)
    assert made.paused_until == NOW + HOUR


def test_410_gone_disables_an_endpoint() -> None:
    made = endpoint()
    made.record_results([GOOD, GONE], NOW)
    assert not made.is_active
    assert made.disabled_because is not None
    assert "410" in made.disabled_because
    with pytest.raises(EndpointDisabled):
        made.check_active()


def test_five_days_of_failures_disable_an_endpoint_with_a_reason() -> None:
    made = endpoint()
    made.record_results([BAD], NOW)
    made.record_results([BAD], NOW + DISABLE_AFTER - SECOND)
    assert made.is_active
    made.record_results([WebhookAnswer(SECOND, error="no connection")], NOW + DISABLE_AFTER)
    assert made.disabled_because == (
        "Every delivery has failed since 2026-03-01 12:00 UTC; the last one with: no connection"
    )
    made.edit(is_active=True)
    assert made.failures == 0
    assert {made.disabled_because, made.failing_since} == {None}
    made.record_results([BAD], NOW + 2 * DISABLE_AFTER)
    assert made.is_active


def test_the_schedule_ends_before_an_endpoint_is_disabled() -> None:
    assert sum(RETRY_DELAYS, timedelta(0)) * 1.2 < DISABLE_AFTER


# --- verification


def verification(challenge: str = "abc", number: int = 1) -> WebhookDelivery:
    body = message_body(VERIFICATION, NOW, {"endpoint_id": 1, "challenge": challenge})
    return WebhookDelivery(
        DeliveryId(number), EndpointId(1), None, f"msg_{number}", VERIFICATION, body, NOW, try_at=NOW
    )


@pytest.mark.parametrize("body", [b"abc", b" abc\n", b'{"challenge": "abc"}', b'{"challenge": "abc", "more": 1}'])
def test_a_receiver_that_returns_the_challenge_verifies_the_endpoint(body: bytes) -> None:
    made, sent = endpoint(verified_at=None, verification_id=DeliveryId(1)), verification()
    answer = WebhookAnswer(2 * SECOND, status=200, body=body)
    assert sent.record(answer, NOW, sent.revision, 0.5)
    assert made.record_verification(sent, answer, NOW)
    assert (made.is_verified, made.verified_at, made.response_time, made.version) == (True, NOW, 2 * SECOND, 2)
    assert sent.log[0].answer == ""


@pytest.mark.parametrize(
    "body", [b"", b"abcd", b'"abc"', b'{"data": {"challenge": "abc"}}', b'["abc"]', b"{", b"\xff", b"[" * 2_000]
)
def test_another_response_does_not_verify_the_endpoint(body: bytes) -> None:
    made, sent = endpoint(verified_at=None, verification_id=DeliveryId(1)), verification()
    answer = WebhookAnswer(SECOND, status=200, body=body)
    sent.record(answer, NOW, sent.revision, 0.5)
    assert not made.record_verification(sent, answer, NOW)
    assert (made.is_verified, made.verified_at) == (False, None)
    assert (sent.status, sent.log[0].status, sent.log[0].error) == (DeliveryStatus.FAILED, 200, NO_CHALLENGE)


def test_the_body_of_a_message_that_is_returned_unchanged_is_not_its_challenge() -> None:
    sent = verification()
    assert not returns_challenge(sent.body.encode(), "abc")
    assert challenge_of(sent.body) == "abc"


def test_the_answer_to_an_earlier_verification_changes_nothing() -> None:
    made, first = endpoint(), verification()
    made.begin_verification(first.id)
    made.begin_verification(DeliveryId(2))
    answer = WebhookAnswer(SECOND, status=200, body=b"abc")
    first.record(answer, NOW, first.revision, 0.5)
    assert not made.record_verification(first, answer, NOW)
    assert not made.is_verified
    assert made.accepts("order.paid", NOW, [AccountId(5)]), "deliveries wait for the verification of the new URL"


def test_only_the_present_verification_is_repeated() -> None:
    made = endpoint()
    made.begin_verification(DeliveryId(2))
    made.check_receives(verification(number=2))
    with pytest.raises(EndpointUnverified, match="test message"):
        made.check_receives(verification(number=1))
    made.is_active = False
    with pytest.raises(EndpointDisabled):
        made.check_receives(verification(number=2))


# --- slow endpoints


def test_successful_attempts_determine_the_response_time() -> None:
    made = endpoint()
    made.record_results([WebhookAnswer(3 * SECOND, status=200)], NOW)
    assert (made.response_time, made.is_slow) == (3 * SECOND, True)
    for _ in range(3):
        made.record_results([WebhookAnswer(timedelta(0), status=200), BAD], NOW)
    assert made.response_time == timedelta(seconds=0.375)
    assert not made.is_slow


@pytest.mark.parametrize(
    ("failures", "mean", "timeout"), [(0, 0, 10), (0, 9, 10), (1, 0, 3), (1, 2, 4), (9, 8, 10), (1, None, 10)]
)
def test_a_failing_endpoint_gets_less_time(failures: int, mean: int | None, timeout: int) -> None:
    made = endpoint(failures=failures, response_time=None if mean is None else mean * SECOND)
    assert made.timeout == timeout * SECOND
    assert made.is_slow is (failures > 0 or mean == 9)


def test_an_endpoint_without_verification_is_slow() -> None:
    made = endpoint()
    made.begin_verification(DeliveryId(3))
    assert (made.is_slow, made.timeout) == (True, 5 * SECOND)
