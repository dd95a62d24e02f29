"""Webhook endpoints: create, edit, delete, rotate their secrets, ping."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, field, frozen

from scalecommerce_core.domain.audit import OPERATOR, AuditAction, AuditEntry
from scalecommerce_core.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    QuotaReached,
    TransactionAborted,
)
from scalecommerce_core.domain.identifiers import AccountId, EndpointId
from scalecommerce_core.domain.webhook import (
    PING,
    SECRET_BYTES,
    WebhookDelivery,
    WebhookEndpoint,
    message_body,
    secret_text,
)
from scalecommerce_core.ports import DecryptionFailed, Transaction
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed, apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on
from scalecommerce_core.services.verified_accounts import EmailNotVerified
from scalecommerce_core.services.webhooks.common import (
    ActOnEndpoint,
    WebhooksBase,
    audited_endpoint,
    visible_endpoint,
)


class TooManyEndpoints(QuotaReached):
    """The account has as many endpoints as it may have: delete one first."""

    code = "too_many_endpoints"


@frozen
class CreateEndpoint:
    """Create an endpoint of `owner`. Without `topics` it receives all topics; only staff may set `all_events`."""

    owner: AccountId
    url: str
    topics: Sequence[str] = ()
    description: str = ""
    all_events: bool = False
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EditEndpoint(StaffCommand):
    """Set the fields that `changes` names: url, topics, description, all_events, is_active."""

    endpoint_id: EndpointId
    owner: AccountId
    changes: Mapping[str, Any]
    expected_version: int | None = None


@frozen
class EndpointWithSecret:
    """An endpoint with its new secret. The secret is returned by `create` and `rotate` only."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


class Endpoints(WebhooksBase):
    """Use cases of endpoints. Each takes a batch and returns one result or error per command."""

    @retry_on(TransactionAborted)
    def create(self, commands: Sequence[CreateEndpoint]) -> list[EndpointWithSecret | Replayed | MarketError]:
        """Create endpoints, each with its own secret.

        The response stored for a replay contains the secret, so it is encrypted as the secret is. Errors: `NotFound`,
        `EmailNotVerified`, `TooManyEndpoints`, `Invalid`, which names topics as `topics[0]`; `IdempotencyKeyReused`,
        `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        encrypting = [evolve(command, idempotency=self._encrypting(command.idempotency)) for command in commands]
        with self._store.begin() as tx:
            outcomes = run_idempotent(tx, encrypting, now, lambda fresh: self._create(tx, fresh, now))
        return [self._decrypted(outcome) for outcome in outcomes]

    def _create(
        self, tx: Transaction, commands: Sequence[CreateEndpoint], now: datetime
    ) -> list[EndpointWithSecret | MarketError]:
        # The lock keeps two concurrent transactions from both creating an account's last allowed endpoint.
        accounts = tx.accounts.lock({command.owner for command in commands})
        counts = dict(tx.webhooks.count_by_owner(accounts))
        unverified = self._verified.unverified(tx, accounts)
        ids = iter(tx.webhooks.next_ids(len(commands)))
        verifications = iter(tx.deliveries.next_ids(len(commands)))
        limit = self._rules.endpoints_per_account

        def create(command: CreateEndpoint) -> EndpointWithSecret:
            endpoint_id, verification_id = next(ids), next(verifications)
            if command.owner not in accounts:
                raise NotFound("account", command.owner)
            if command.owner in unverified:
                raise EmailNotVerified
            _check_all_events(command.all_events, as_staff=command.as_staff)
            if counts.get(command.owner, 0) >= limit:
                raise TooManyEndpoints(f"An account has at most {limit} endpoints: delete one first.")
            secret = self._new_secret()
            endpoint = WebhookEndpoint.registered(
                id=endpoint_id,
                owner_id=command.owner,
                url=command.url,
                encrypted_secret=self._cipher.encrypt(secret.encode()),
                now=now,
                verification_id=verification_id,
                topics=command.topics,
                description=command.description,
                all_events=command.all_events,
                allow_loopback=self._rules.allow_loopback,
            )
            self._allow_test(command.owner, endpoint.url)
            counts[command.owner] = counts.get(command.owner, 0) + 1
            return EndpointWithSecret(endpoint, secret)

        outcomes = apply_each(commands, create)
        endpoints = [created.endpoint for created in succeeded(outcomes)]
        tx.webhooks.add(endpoints)
        tx.deliveries.add(
            [self._new_verification(e.verification_id, e.id, now) for e in endpoints if e.verification_id is not None]
        )
        return outcomes

    @retry_on(TransactionAborted)
    def edit(self, commands: Sequence[EditEndpoint]) -> list[WebhookEndpoint | MarketError]:
        """Edit endpoints. Enabling one resets its failures; its pending deliveries are then sent.

        Another URL is verified first; deliveries wait until then. Errors: `NotFound`, `VersionMismatch`, `Invalid`,
        `TooManyAttempts`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            found = dict(tx.webhooks.lock({command.endpoint_id for command in commands}))
            ids = iter(tx.deliveries.next_ids(sum("url" in command.changes for command in commands)))
            verifications: list[WebhookDelivery] = []
            entries: list[AuditEntry] = []

            def edit(command: EditEndpoint) -> WebhookEndpoint:
                # A copy: a refused edit must not leave changes for the next edit of the same endpoint.
                endpoint = evolve(
                    visible_endpoint(found, command.endpoint_id, command.owner, as_staff=command.as_staff)
                )
                _check_all_events(bool(command.changes.get("all_events")), as_staff=command.as_staff)
                endpoint.check_version(command.expected_version)
                before, version, was = endpoint.url, endpoint.version, audited_endpoint(endpoint)
                endpoint.edit(allow_loopback=self._rules.allow_loopback, **command.changes)
                if endpoint.url != before:
                    # After the edit, which refuses a URL that is none.
                    self._allow_test(endpoint.owner_id, endpoint.url)
                    verifications.append(self._new_verification(next(ids), endpoint.id, now))
                    endpoint.begin_verification(verifications[-1].id)
                found[endpoint.id] = endpoint
                actor = actor_on(endpoint.owner_id, command.owner, command.address)
                if actor is not None and endpoint.version != version:
                    action, after = AuditAction.WEBHOOK_EDITED, audited_endpoint(endpoint)
                    entries.append(actor.entry(action, endpoint.id, now, before=was, after=after))
                return endpoint

            outcomes = apply_each(commands, edit)
            tx.webhooks.save([found[id_] for id_ in {endpoint.id for endpoint in succeeded(outcomes)}])
            tx.deliveries.add(verifications)
            tx.audit.record(entries)
        return outcomes

    @retry_on(TransactionAborted)
    def delete(self, commands: Sequence[ActOnEndpoint]) -> list[WebhookEndpoint | MarketError]:
        """Delete endpoints and their secrets; nothing is sent to them any more. `purge` deletes their logs later.

        Errors: `NotFound`, `VersionMismatch`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            found = tx.webhooks.lock({command.endpoint_id for command in commands})
            entries: list[AuditEntry] = []

            def delete(command: ActOnEndpoint) -> WebhookEndpoint:
                endpoint = visible_endpoint(found, command.endpoint_id, command.owner, as_staff=command.as_staff)
                endpoint.check_version(command.expected_version)
                if (actor := actor_on(endpoint.owner_id, command.owner, command.address)) is not None:
                    action, was = AuditAction.WEBHOOK_DELETED, audited_endpoint(endpoint)
                    entries.append(actor.entry(action, endpoint.id, now, before=was))
                endpoint.delete(now)
                return endpoint

            outcomes = apply_each(commands, delete)
            tx.webhooks.save(succeeded(outcomes))
            tx.audit.record(entries)
        return outcomes

    @retry_on(TransactionAborted)
    def rotate(self, commands: Sequence[ActOnEndpoint]) -> list[EndpointWithSecret | Replayed | MarketError]:
        """Give endpoints new secrets; the old one also signs for `domain.webhook.SECRET_OVERLAP`.

        Errors: `NotFound`; `Forbidden` for staff, who may not see the secrets of other accounts;
        `IdempotencyKeyReused`, `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        encrypting = [evolve(command, idempotency=self._encrypting(command.idempotency)) for command in commands]
        with self._store.begin() as tx:
            outcomes = run_idempotent(tx, encrypting, now, lambda fresh: self._rotate(tx, fresh, now))
        return [self._decrypted(outcome) for outcome in outcomes]

    def _rotate(
        self, tx: Transaction, commands: Sequence[ActOnEndpoint], now: datetime
    ) -> list[EndpointWithSecret | MarketError]:
        found = tx.webhooks.lock({command.endpoint_id for command in commands})

        def rotate(command: ActOnEndpoint) -> EndpointWithSecret:
            endpoint = visible_endpoint(found, command.endpoint_id, command.owner, as_staff=command.as_staff)
            if endpoint.owner_id != command.owner:
                raise Forbidden("Only its owner may see the secret of an endpoint.")
            secret = self._new_secret()
            endpoint.rotate(self._cipher.encrypt(secret.encode()), now)
            return EndpointWithSecret(endpoint, secret)

        outcomes = apply_each(commands, rotate)
        tx.webhooks.save(list(found.values()))
        return outcomes

    @retry_on(TransactionAborted)
    def ping(self, commands: Sequence[ActOnEndpoint]) -> list[WebhookDelivery | Replayed | MarketError]:
        """Queue a `webhook.ping` per endpoint, which is sent once without retries; its log holds the result.

        An endpoint that is not verified gets a `webhook.verification` with a new challenge instead. Errors: `NotFound`,
        `EndpointDisabled`, `TooManyAttempts`, `IdempotencyKeyReused`, `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._ping(tx, fresh, now))

    def _ping(
        self, tx: Transaction, commands: Sequence[ActOnEndpoint], now: datetime
    ) -> list[WebhookDelivery | MarketError]:
        found = tx.webhooks.lock({command.endpoint_id for command in commands})
        ids = iter(tx.deliveries.next_ids(len(commands)))
        entries: list[AuditEntry] = []

        def ping(command: ActOnEndpoint) -> WebhookDelivery:
            delivery_id = next(ids)
            endpoint = visible_endpoint(found, command.endpoint_id, command.owner, as_staff=command.as_staff)
            endpoint.check_active()
            self._allow_test(endpoint.owner_id, endpoint.url)
            endpoint.resume()
            if (actor := actor_on(endpoint.owner_id, command.owner, command.address)) is not None:
                entries.append(actor.entry(AuditAction.WEBHOOK_PINGED, endpoint.id, now))
            if not endpoint.is_verified:
                endpoint.begin_verification(delivery_id)
                return self._new_verification(delivery_id, endpoint.id, now)
            body = message_body(PING, now, {"endpoint_id": endpoint.id})
            return self._new_delivery(delivery_id, endpoint.id, None, PING, body, now)

        outcomes = apply_each(commands, ping)
        tx.webhooks.save(list(found.values()))
        tx.deliveries.add(succeeded(outcomes))
        tx.audit.record(entries)
        return outcomes

    @retry_on(TransactionAborted)
    def mark_verified(self, ids: Sequence[EndpointId]) -> list[WebhookEndpoint | MarketError]:
        """For operators, who know the receivers: send events to endpoints without a challenge. Errors: `NotFound`."""
        now = self._clock.now()
        with self._store.begin() as tx:
            found = tx.webhooks.lock(ids)

            def mark(endpoint_id: EndpointId) -> WebhookEndpoint:
                endpoint = visible_endpoint(found, endpoint_id, AccountId(0), as_staff=True)
                endpoint.mark_verified(now)
                return endpoint

            outcomes = apply_each(ids, mark)
            marked = succeeded(outcomes)
            tx.webhooks.save(marked)
            tx.audit.record([OPERATOR.entry(AuditAction.WEBHOOK_VERIFIED, each.id, now) for each in marked])
        return outcomes

    # --- secrets

    def _new_secret(self) -> str:
        return secret_text(self._randomness.secret(SECRET_BYTES))

    def _encrypting(self, key: IdempotencyKey | None) -> IdempotencyKey | None:
        """The key with a `render` that encrypts the response."""
        if key is None:
            return None
        return evolve(key, render=lambda outcome: self._cipher.encrypt(key.render(outcome)).encode())

    def _decrypted(
        self, outcome: EndpointWithSecret | Replayed | MarketError
    ) -> EndpointWithSecret | Replayed | MarketError:
        if not isinstance(outcome, Replayed):
            return outcome
        try:
            return Replayed(self._cipher.decrypt(outcome.body.decode()))
        except DecryptionFailed:
            return Conflict("The answer to this key cannot be read any more: the endpoint exists, rotate its secret.")


def _check_all_events(all_events: bool, *, as_staff: bool) -> None:
    if all_events and not as_staff:
        raise Invalid.field("all_events", "Only staff may receive all events.")
