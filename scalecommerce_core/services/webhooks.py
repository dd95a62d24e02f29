"""Webhooks: what accounts say about their endpoints, which events go to them, and sending these at least once.

An event becomes deliveries exactly once: they are written in the transaction that moves the place in the feed. A
delivery is sent at least once: it is leased, sent outside of any transaction, and what came of it is recorded; who
dies in between leaves a lease that ends, and the same message goes out again under the same id.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, field, frozen

from scalecommerce_core.domain.errors import (
    Conflict,
    ConnectionLost,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    TransactionAborted,
)
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    MAX_ENDPOINTS,
    MESSAGE_PREFIX,
    PING,
    SECRET_BYTES,
    WebhookAnswer,
    WebhookDelivery,
    WebhookEndpoint,
    message_body,
    secret_text,
    signed_headers,
)
from scalecommerce_core.ports import (
    Clock,
    DecryptionFailed,
    Ids,
    NumberedEvent,
    OutgoingWebhook,
    Randomness,
    SecretCipher,
    Store,
    Transaction,
    WebhookSender,
)
from scalecommerce_core.queries import EventQueries
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.services.retry import retry_on

logger = logging.getLogger(__name__)

WEBHOOKS_CONSUMER: Final = "webhooks"
"""Under this name the fan-out keeps its place in the feed."""


class TooManyEndpoints(Conflict):
    """The account has as many endpoints as it may."""

    code = "too_many_endpoints"


@frozen
class WebhookRules:
    """`lease` must be longer than a batch can take to be sent; `retention` is that of events."""

    lease: timedelta = timedelta(seconds=60)
    per_endpoint: int = 10
    retention: timedelta = timedelta(days=30)
    allow_loopback: bool = False


@frozen
class CreateEndpoint:
    """Only staff may ask for `all_events`."""

    owner: AccountId
    url: str
    topics: Sequence[str] = ()
    description: str = ""
    all_events: bool = False
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EditEndpoint:
    """`changes`: url, topics, description, all_events, is_active."""

    endpoint_id: EndpointId
    owner: AccountId
    changes: Mapping[str, Any]
    expected_version: int | None = None
    as_staff: bool = False


@frozen
class ActOnEndpoint:
    """For deleting, rotating and pinging. Staff may act on the endpoints of others."""

    endpoint_id: EndpointId
    owner: AccountId
    expected_version: int | None = None
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class Redeliver:
    """`endpoint_id` None: whichever it goes to (for operators)."""

    delivery_id: DeliveryId
    owner: AccountId
    endpoint_id: EndpointId | None = None
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EndpointWithSecret:
    """The only time that a secret is shown."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


@frozen
class FanOutResult:
    events: int = 0
    deliveries: int = 0


@frozen
class DeliverySummary:
    """Of one batch; `failed` attempts may be tried again."""

    delivered: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.delivered + self.failed


class Webhooks:
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
    ) -> None:
        self._store = store
        self._clock = clock
        self._queries = queries
        self._ids = ids
        self._randomness = randomness
        self._cipher = cipher
        self._sender = sender
        self._rules = rules

    # --- endpoints

    @retry_on(TransactionAborted)
    def create(self, commands: Sequence[CreateEndpoint]) -> list[EndpointWithSecret | Replayed | MarketError]:
        """New endpoints, each with a secret of its own. `Invalid` names the fields, topics one by one.

        An answer that is kept for a replay holds the secret, so it is sealed as the secret is.
        """
        now = self._clock.now()
        sealing = [evolve(command, idempotency=self._sealing(command.idempotency)) for command in commands]
        with self._store.begin() as tx:
            outcomes = run_idempotent(tx, sealing, now, lambda fresh: self._create(tx, fresh, now))
        return [self._unsealed(outcome) for outcome in outcomes]

    def _create(
        self, tx: Transaction, commands: Sequence[CreateEndpoint], now: datetime
    ) -> list[EndpointWithSecret | MarketError]:
        # Locked, so that two at a time cannot both be an account's last.
        accounts = tx.accounts.lock({command.owner for command in commands})
        counts = dict(tx.webhooks.count_by_owner(accounts))
        outcomes: list[EndpointWithSecret | MarketError] = []
        for command, endpoint_id in zip(commands, tx.webhooks.next_ids(len(commands)), strict=True):
            try:
                if command.owner not in accounts:
                    raise NotFound("account", command.owner)
                _check_all_events(command.all_events, as_staff=command.as_staff)
                if counts.get(command.owner, 0) >= MAX_ENDPOINTS:
                    raise TooManyEndpoints(f"An account has at most {MAX_ENDPOINTS} endpoints: delete one first.")
                secret = self._new_secret()
                endpoint = WebhookEndpoint.registered(
                    id=endpoint_id,
                    owner_id=command.owner,
                    url=command.url,
                    sealed=self._cipher.encrypt(secret.encode()),
                    now=now,
                    topics=command.topics,
                    description=command.description,
                    all_events=command.all_events,
                    allow_loopback=self._rules.allow_loopback,
                )
            except MarketError as error:
                outcomes.append(error)
            else:
                counts[command.owner] = counts.get(command.owner, 0) + 1
                outcomes.append(EndpointWithSecret(endpoint, secret))
        tx.webhooks.add([outcome.endpoint for outcome in outcomes if isinstance(outcome, EndpointWithSecret)])
        return outcomes

    @retry_on(TransactionAborted)
    def edit(self, commands: Sequence[EditEndpoint]) -> list[WebhookEndpoint | MarketError]:
        """Change what is given; enabling an endpoint forgets its failures, and what waited for it is sent."""
        with self._store.begin() as tx:
            found = tx.webhooks.lock({command.endpoint_id for command in commands})
            outcomes: list[WebhookEndpoint | MarketError] = []
            for command in commands:
                try:
                    endpoint = _visible(found, command)
                    _check_all_events(bool(command.changes.get("all_events")), as_staff=command.as_staff)
                    endpoint.edit(
                        expected_version=command.expected_version,
                        allow_loopback=self._rules.allow_loopback,
                        **command.changes,
                    )
                except MarketError as error:
                    outcomes.append(error)
                else:
                    outcomes.append(endpoint)
            tx.webhooks.save(_distinct(outcomes))
        return outcomes

    @retry_on(TransactionAborted)
    def delete(self, commands: Sequence[ActOnEndpoint]) -> list[WebhookEndpoint | MarketError]:
        """Nothing is sent to it any more; its secrets are gone at once, its log is cleared away later."""
        now = self._clock.now()
        with self._store.begin() as tx:
            found = tx.webhooks.lock({command.endpoint_id for command in commands})
            outcomes: list[WebhookEndpoint | MarketError] = []
            for command in commands:
                try:
                    endpoint = _visible(found, command)
                    endpoint.check_version(command.expected_version)
                    endpoint.delete(now)
                except MarketError as error:
                    outcomes.append(error)
                else:
                    outcomes.append(endpoint)
            tx.webhooks.save(_distinct(outcomes))
        return outcomes

    @retry_on(TransactionAborted)
    def rotate(self, commands: Sequence[ActOnEndpoint]) -> list[EndpointWithSecret | Replayed | MarketError]:
        """A new secret; the one before it signs too, for a day. Not even staff sees somebody else's."""
        now = self._clock.now()
        sealing = [evolve(command, idempotency=self._sealing(command.idempotency)) for command in commands]
        with self._store.begin() as tx:
            outcomes = run_idempotent(tx, sealing, now, lambda fresh: self._rotate(tx, fresh, now))
        return [self._unsealed(outcome) for outcome in outcomes]

    def _rotate(
        self, tx: Transaction, commands: Sequence[ActOnEndpoint], now: datetime
    ) -> list[EndpointWithSecret | MarketError]:
        found = tx.webhooks.lock({command.endpoint_id for command in commands})
        outcomes: list[EndpointWithSecret | MarketError] = []
        for command in commands:
            try:
                endpoint = _visible(found, command)
                if endpoint.owner_id != command.owner:
                    raise Forbidden("Only its owner may see the secret of an endpoint.")
                secret = self._new_secret()
                endpoint.rotate(self._cipher.encrypt(secret.encode()), now)
            except MarketError as error:
                outcomes.append(error)
            else:
                outcomes.append(EndpointWithSecret(endpoint, secret))
        tx.webhooks.save(list(found.values()))
        return outcomes

    @retry_on(TransactionAborted)
    def ping(self, commands: Sequence[ActOnEndpoint]) -> list[WebhookDelivery | Replayed | MarketError]:
        """Send a `webhook.ping`, once: what came of it is in the delivery's log. `EndpointDisabled` if it is."""
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._ping(tx, fresh, now))

    def _ping(
        self, tx: Transaction, commands: Sequence[ActOnEndpoint], now: datetime
    ) -> list[WebhookDelivery | MarketError]:
        found = tx.webhooks.lock({command.endpoint_id for command in commands})
        outcomes: list[WebhookDelivery | MarketError] = []
        for command, delivery_id in zip(commands, tx.deliveries.next_ids(len(commands)), strict=True):
            try:
                endpoint = _visible(found, command)
                endpoint.resume()
            except MarketError as error:
                outcomes.append(error)
            else:
                body = message_body(PING, now, {"endpoint_id": endpoint.id})
                outcomes.append(self._delivery(delivery_id, endpoint.id, None, PING, body, now))
        tx.webhooks.save(list(found.values()))
        tx.deliveries.add([outcome for outcome in outcomes if isinstance(outcome, WebhookDelivery)])
        return outcomes

    # --- redelivery

    @retry_on(TransactionAborted)
    def redeliver(self, commands: Sequence[Redeliver]) -> list[WebhookDelivery | Replayed | MarketError]:
        """Send messages again, under their old ids, whatever came of them, and with the whole schedule."""
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: _redeliver(tx, fresh, now))

    # --- from events to deliveries

    @retry_on(TransactionAborted, ConnectionLost)
    def fan_out(self, limit: int = 500) -> FanOutResult:
        """Make deliveries of up to `limit` numbered events. Nothing while another transaction does it."""
        now = self._clock.now()
        with self._store.begin() as tx:
            after = tx.events.claim(WEBHOOKS_CONSUMER)
            if after is None:
                return FanOutResult()
            # Read before looking for endpoints: whoever is not seen now came after these events.
            last = tx.events.last_seq()
            if not tx.webhooks.has_active():
                if last > after:
                    tx.events.advance(WEBHOOKS_CONSUMER, last)
                return FanOutResult()
            events = tx.events.read_after(after, limit)
            if not events:
                return FanOutResult()
            deliveries = self._deliveries(tx, events, now)
            tx.deliveries.add(deliveries)
            tx.events.advance(WEBHOOKS_CONSUMER, events[-1].seq)
        return FanOutResult(len(events), len(deliveries))

    def _deliveries(self, tx: Transaction, events: Sequence[NumberedEvent], now: datetime) -> list[WebhookDelivery]:
        endpoints = tx.webhooks.subscribed({account for event in events for account in event.audience})
        everywhere = [endpoint for endpoint in endpoints if endpoint.all_events]
        of_owner: dict[AccountId, list[WebhookEndpoint]] = {}
        for endpoint in endpoints:
            if not endpoint.all_events:
                of_owner.setdefault(endpoint.owner_id, []).append(endpoint)
        wanted: list[tuple[WebhookEndpoint, NumberedEvent]] = []
        for event in events:
            concerned = everywhere + [each for account in event.audience for each in of_owner.get(account, ())]
            wanted += [
                (endpoint, event) for endpoint in concerned if endpoint.accepts(event.topic, event.at, event.audience)
            ]
        bodies = self._bodies(wanted)
        ids = tx.deliveries.next_ids(len(bodies))
        return [
            self._delivery(delivery_id, endpoint_id, seq, topic, body, now)
            for delivery_id, ((endpoint_id, seq), (topic, body)) in zip(ids, bodies.items(), strict=True)
        ]

    def _bodies(
        self, wanted: Sequence[tuple[WebhookEndpoint, NumberedEvent]]
    ) -> Mapping[tuple[EndpointId, int], tuple[str, str]]:
        """Topic and body by endpoint and event, as the owner's feed shows it; what it does not show is left out."""
        of_reader: dict[AccountId | None, set[int]] = {}
        for endpoint, event in wanted:
            of_reader.setdefault(_reader(endpoint), set()).add(event.seq)
        told = {reader: self._queries.visible_events(numbers, reader) for reader, numbers in of_reader.items()}
        bodies = {}
        for endpoint, event in wanted:
            shown = told[_reader(endpoint)].get(event.seq)
            if shown is not None:
                bodies[endpoint.id, event.seq] = shown.topic, message_body(shown.topic, shown.at, shown.data)
        return bodies

    def _delivery(  # noqa: PLR0917 - as the columns of a row
        self, id_: DeliveryId, endpoint_id: EndpointId, seq: int | None, topic: str, body: str, now: datetime
    ) -> WebhookDelivery:
        return WebhookDelivery(id_, endpoint_id, seq, MESSAGE_PREFIX + self._ids.token(), topic, body, now, now)

    # --- sending

    def deliver(self, limit: int = 200) -> DeliverySummary:
        """Send up to `limit` deliveries that are due, all at once, and record what came of them."""
        now = self._clock.now()
        lease = now + self._rules.lease
        claimed, endpoints = self._claim(limit, now, lease)
        if not claimed:
            return DeliverySummary()
        answers: dict[DeliveryId, WebhookAnswer] = {}
        messages: dict[DeliveryId, OutgoingWebhook] = {}
        for delivery in claimed:
            try:
                messages[delivery.id] = self._signed(delivery, endpoints[delivery.endpoint_id], now)
            except DecryptionFailed:
                answers[delivery.id] = WebhookAnswer(
                    timedelta(0), error="The secret cannot be read any more: rotate it (rotate-secret)."
                )
        answers |= zip(messages, self._sender.send(list(messages.values())), strict=True)
        revisions = {delivery.id: delivery.revision for delivery in claimed}
        self._record(answers, now, revisions)
        delivered = sum(answer.is_success for answer in answers.values())
        return DeliverySummary(delivered, len(answers) - delivered)

    @retry_on(TransactionAborted, ConnectionLost)
    def _claim(
        self, limit: int, now: datetime, lease: datetime
    ) -> tuple[Sequence[WebhookDelivery], Mapping[EndpointId, WebhookEndpoint]]:
        with self._store.begin() as tx:
            claimed = tx.deliveries.claim_due(limit, now, per_endpoint=self._rules.per_endpoint)
            for delivery in claimed:
                delivery.lease(lease)
            tx.deliveries.save(claimed)
            return claimed, tx.webhooks.get_many({delivery.endpoint_id for delivery in claimed})

    def _signed(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, now: datetime) -> OutgoingWebhook:
        body = delivery.body.encode()
        secrets = self._opened(endpoint.sealed_secrets(now))
        headers = {"content-type": "application/json", **signed_headers(secrets, delivery.message_id, now, body)}
        return OutgoingWebhook(endpoint.url, headers, body)

    def _opened(self, sealed: Sequence[str]) -> list[str]:
        """Those that can be read; raise `DecryptionFailed` if none can."""
        secrets = []
        for each in sealed:
            with contextlib.suppress(DecryptionFailed):
                secrets.append(self._cipher.decrypt(each).decode())
        if not secrets:
            raise DecryptionFailed
        return secrets

    @retry_on(TransactionAborted, ConnectionLost)
    def _record(
        self, answers: Mapping[DeliveryId, WebhookAnswer], sent_at: datetime, revisions: Mapping[DeliveryId, int]
    ) -> None:
        with self._store.begin() as tx:
            endpoints = tx.webhooks.lock(tx.deliveries.endpoints_of(answers))
            heard: dict[EndpointId, list[WebhookAnswer]] = {}
            recorded = []
            for delivery_id, delivery in tx.deliveries.lock(answers).items():
                if delivery.record(answers[delivery_id], sent_at, revisions[delivery_id], self._randomness.fraction()):
                    recorded.append(delivery)
                    heard.setdefault(delivery.endpoint_id, []).append(answers[delivery_id])
            for endpoint_id, of_endpoint in heard.items():
                endpoint = endpoints[endpoint_id]
                was_active = endpoint.is_active
                endpoint.record_results(of_endpoint, self._clock.now())
                if was_active and not endpoint.is_active:
                    logger.warning("webhook endpoint %s is disabled: %s", endpoint_id, endpoint.disabled_because)
            tx.webhooks.save([endpoints[endpoint_id] for endpoint_id in heard])
            tx.deliveries.save(recorded)

    # --- housekeeping

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 500) -> int:
        """Delete up to `limit` deliveries that are as old as events get, or whose endpoint was deleted."""
        with self._store.begin() as tx:
            forgotten = tx.deliveries.purge(self._clock.now() - self._rules.retention, limit)
            return forgotten + tx.webhooks.purge_deleted(limit)

    # --- secrets

    def _new_secret(self) -> str:
        return secret_text(self._randomness.secret(SECRET_BYTES))

    def _sealing(self, key: IdempotencyKey | None) -> IdempotencyKey | None:
        if key is None:
            return None
        return evolve(key, render=lambda outcome: self._cipher.encrypt(key.render(outcome)).encode())

    def _unsealed(
        self, outcome: EndpointWithSecret | Replayed | MarketError
    ) -> EndpointWithSecret | Replayed | MarketError:
        if not isinstance(outcome, Replayed):
            return outcome
        try:
            return Replayed(self._cipher.decrypt(outcome.body.decode()))
        except DecryptionFailed:
            return Conflict("The answer to this key cannot be read any more: the endpoint exists, rotate its secret.")


def _redeliver(tx: Transaction, commands: Sequence[Redeliver], now: datetime) -> list[WebhookDelivery | MarketError]:
    # Whose endpoint it is shows in the delivery, and endpoints are locked first.
    ids = {command.delivery_id for command in commands}
    endpoints = tx.webhooks.lock(tx.deliveries.endpoints_of(ids))
    found = tx.deliveries.lock(ids)
    outcomes: list[WebhookDelivery | MarketError] = []
    for command in commands:
        try:
            delivery = found.get(command.delivery_id)
            if delivery is None or command.endpoint_id not in {None, delivery.endpoint_id}:
                raise NotFound("delivery", command.delivery_id)
            endpoint = _visible(
                endpoints, ActOnEndpoint(delivery.endpoint_id, command.owner, as_staff=command.as_staff)
            )
            endpoint.resume()
            delivery.redeliver(now)
        except MarketError as error:
            outcomes.append(error)
        else:
            outcomes.append(delivery)
    tx.webhooks.save(list(endpoints.values()))
    tx.deliveries.save(_distinct(outcomes))
    return outcomes


def _reader(endpoint: WebhookEndpoint) -> AccountId | None:
    """As whom it reads the feed; None: as staff."""
    return None if endpoint.all_events else endpoint.owner_id


def _check_all_events(wanted: bool, *, as_staff: bool) -> None:
    if wanted and not as_staff:
        raise Invalid.field("all_events", "Only staff may hear of all events.")


def _visible(found: Mapping[EndpointId, WebhookEndpoint], command: EditEndpoint | ActOnEndpoint) -> WebhookEndpoint:
    """The endpoint, if it exists for this caller."""
    endpoint = found.get(command.endpoint_id)
    if endpoint is None or endpoint.deleted_at is not None:
        raise NotFound("webhook endpoint", command.endpoint_id)
    if endpoint.owner_id != command.owner and not command.as_staff:
        raise NotFound("webhook endpoint", command.endpoint_id)
    return endpoint


def _distinct(outcomes: Sequence[Any]) -> list[Any]:
    """What was not refused, once each."""
    return list({id(outcome): outcome for outcome in outcomes if not isinstance(outcome, MarketError)}.values())
