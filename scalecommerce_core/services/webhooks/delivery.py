"""Delivery: sends messages at least once, records the answers, and repeats deliveries on request.

A delivery is leased (`claim`), sent outside any transaction, and its answer recorded (`send`). If the process dies in
between, the lease ends and the same message is sent again with the same id. The retry schedule is
`domain.webhook.RETRY_DELAYS`.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, field, frozen

from scalecommerce_core.domain.audit import AuditAction, AuditEntry
from scalecommerce_core.domain.errors import ConnectionLost, MarketError, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    VERIFICATION,
    WebhookAnswer,
    WebhookDelivery,
    WebhookEndpoint,
    signed_headers,
)
from scalecommerce_core.ports import DecryptionFailed, OutgoingWebhook, Transaction
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed, apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on
from scalecommerce_core.services.webhooks.common import WebhooksBase, visible_endpoint

logger = logging.getLogger(__name__)


@frozen
class Redeliver(StaffCommand):
    """Send a delivery again. With `endpoint_id`, only if it goes to that endpoint; None for operators."""

    delivery_id: DeliveryId
    owner: AccountId
    endpoint_id: EndpointId | None = None
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class DeliverySummary:
    """Attempts of one batch: `delivered` ones, and `failed` ones, which may be retried."""

    delivered: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.delivered + self.failed


@frozen
class ClaimedDeliveries:
    """Deliveries that this process has reserved at `claimed_at`, and their endpoints."""

    claimed_at: datetime
    deliveries: Sequence[WebhookDelivery]
    endpoints: Mapping[EndpointId, WebhookEndpoint]

    def by_endpoint(self) -> Sequence["ClaimedDeliveries"]:
        """The same deliveries, those of each endpoint apart, so that a slow receiver delays no other."""
        groups: dict[EndpointId, list[WebhookDelivery]] = {}
        for delivery in self.deliveries:
            groups.setdefault(delivery.endpoint_id, []).append(delivery)
        return [evolve(self, deliveries=group) for group in groups.values()]


class Deliveries(WebhooksBase):
    """Use cases of deliveries."""

    @retry_on(TransactionAborted)
    def redeliver(self, commands: Sequence[Redeliver]) -> list[WebhookDelivery | Replayed | MarketError]:
        """Send messages again with their old ids and the whole retry schedule, whatever their last result was.

        Errors: `NotFound`, `EndpointDisabled`, `EndpointUnverified`, `DeliveryPending`, `TooManyAttempts` (for test
        messages), `IdempotencyKeyReused`, `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._redeliver(tx, fresh, now))

    def _redeliver(
        self, tx: Transaction, commands: Sequence[Redeliver], now: datetime
    ) -> list[WebhookDelivery | MarketError]:
        # Endpoints are locked before deliveries, so the endpoints of the deliveries are read without a lock first.
        ids = {command.delivery_id for command in commands}
        endpoints = tx.webhooks.lock(tx.deliveries.endpoints_of(ids))
        found = tx.deliveries.lock(ids)
        entries: list[AuditEntry] = []

        def redeliver(command: Redeliver) -> WebhookDelivery:
            delivery = found.get(command.delivery_id)
            if delivery is None or command.endpoint_id not in {None, delivery.endpoint_id}:
                raise NotFound("delivery", command.delivery_id)
            endpoint = visible_endpoint(endpoints, delivery.endpoint_id, command.owner, as_staff=command.as_staff)
            endpoint.check_receives(delivery)
            if delivery.seq is None and not command.as_staff:
                self._allow_test(endpoint.owner_id, endpoint.url)
            endpoint.resume()
            delivery.redeliver(now)
            if (actor := actor_on(endpoint.owner_id, command.owner, command.address)) is not None:
                facts = {"endpoint_id": endpoint.id, "topic": delivery.topic}
                entries.append(actor.entry(AuditAction.DELIVERY_REDELIVERED, delivery.id, now, after=facts))
            return delivery

        outcomes = apply_each(commands, redeliver)
        tx.webhooks.save(list(endpoints.values()))
        tx.deliveries.save(succeeded(outcomes))
        tx.audit.record(entries)
        return outcomes

    def deliver(self, limit: int = 200) -> DeliverySummary:
        """Send up to `limit` due deliveries, all at once, and record the answers when the last one has arrived."""
        return self.send(self.claim(limit))

    @retry_on(TransactionAborted, ConnectionLost)
    def claim(self, limit: int = 200) -> ClaimedDeliveries:
        """Reserve up to `limit` due deliveries for this process, for `WebhookRules.lease`; the caller sends them.

        `WebhookRules.slots` and turns of the owners decide which ones (`DeliveryRepository.claim_due`).
        """
        now = self._clock.now()
        lease_ends = now + self._rules.lease
        with self._store.begin() as tx:
            claimed = tx.deliveries.claim_due(limit, now, lease_ends=lease_ends, slots=self._rules.slots)
            for delivery in claimed:
                delivery.lease(lease_ends)
            tx.deliveries.save(claimed)
            endpoints = tx.webhooks.get_many({delivery.endpoint_id for delivery in claimed})
        return ClaimedDeliveries(now, claimed, endpoints)

    def send(self, claimed: ClaimedDeliveries) -> DeliverySummary:
        """Send claimed deliveries, all at once, and record the answers. Several threads may call it at once."""
        if not claimed.deliveries:
            return DeliverySummary()
        now = self._clock.now()
        answers: dict[DeliveryId, WebhookAnswer] = {}
        messages: dict[DeliveryId, OutgoingWebhook] = {}
        for delivery in claimed.deliveries:
            try:
                messages[delivery.id] = self._signed(delivery, claimed.endpoints[delivery.endpoint_id], now)
            except DecryptionFailed:
                answers[delivery.id] = WebhookAnswer(
                    timedelta(0), error="The secret cannot be read any more: rotate it (rotate-secret)."
                )
        answers |= zip(messages, self._sender.send(list(messages.values())), strict=True)
        revisions = {delivery.id: delivery.revision for delivery in claimed.deliveries}
        self._record(answers, now, revisions)
        delivered = sum(answer.is_success for answer in answers.values())
        return DeliverySummary(delivered, len(answers) - delivered)

    def _signed(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, now: datetime) -> OutgoingWebhook:
        body = delivery.body.encode()
        secrets = self._decrypted_secrets(endpoint.encrypted_secrets(now))
        headers = {"content-type": "application/json", **signed_headers(secrets, delivery.message_id, now, body)}
        return OutgoingWebhook(endpoint.url, headers, body, endpoint.timeout)

    def _decrypted_secrets(self, encrypted: Sequence[str]) -> list[str]:
        """The secrets that can be decrypted; raise `DecryptionFailed` if none can."""
        secrets = []
        for each in encrypted:
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
            by_endpoint: dict[EndpointId, list[WebhookAnswer]] = {}
            recorded = []
            for delivery_id, delivery in tx.deliveries.lock(answers).items():
                answer = answers[delivery_id]
                if not delivery.record(answer, sent_at, revisions[delivery_id], self._randomness.fraction()):
                    continue
                recorded.append(delivery)
                results = by_endpoint.setdefault(delivery.endpoint_id, [])
                if delivery.topic == VERIFICATION:
                    endpoints[delivery.endpoint_id].record_verification(delivery, answer, self._clock.now())
                else:
                    results.append(answer)
            for endpoint_id, of_endpoint in by_endpoint.items():
                endpoint = endpoints[endpoint_id]
                was_active = endpoint.is_active
                endpoint.record_results(of_endpoint, self._clock.now())
                if was_active and not endpoint.is_active:
                    logger.warning("webhook endpoint %s is disabled: %s", endpoint_id, endpoint.disabled_because)
            tx.webhooks.save([endpoints[endpoint_id] for endpoint_id in by_endpoint])
            tx.deliveries.save(recorded)

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 500) -> int:
        """Delete up to `limit` deliveries that are older than the retention or whose endpoint was deleted.

        Deleted endpoints without deliveries are deleted too. Return how many rows of both kinds.
        """
        with self._store.begin() as tx:
            purged = tx.deliveries.purge(self._clock.now() - self._rules.retention, limit)
            return purged + tx.webhooks.purge_deleted(limit)
