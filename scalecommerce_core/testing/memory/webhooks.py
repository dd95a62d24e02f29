"""Webhook repositories and queries in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.webhook import DeliveryStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from scalecommerce_core.queries import MAX_ATTEMPTS, AttemptView, DeliveryView, EndpointView
from scalecommerce_core.testing.memory.tables import Log, Table, copy_delivery

Numbers = Callable[[str, int], list[int]]


class MemoryEndpoints:
    def __init__(
        self,
        endpoints: Table[EndpointId, WebhookEndpoint],
        deliveries: Table[DeliveryId, WebhookDelivery],
        accounts: Table[AccountId, Account],
        numbers: Numbers,
    ) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._accounts = accounts
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[EndpointId]:
        return [EndpointId(number) for number in self._numbers("endpoints", count)]

    def add(self, endpoints: Collection[WebhookEndpoint]) -> None:
        for endpoint in endpoints:
            self._endpoints.put(endpoint.id, endpoint)

    save = add

    def lock(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        return self._endpoints.get_many(sorted(ids))

    get_many = lock

    def count_by_owner(self, owners: Collection[AccountId]) -> Mapping[AccountId, int]:
        counts: dict[AccountId, int] = {}
        for endpoint in self._endpoints.all():
            if endpoint.owner_id in owners and endpoint.deleted_at is None:
                counts[endpoint.owner_id] = counts.get(endpoint.owner_id, 0) + 1
        return counts

    def has_active(self) -> bool:
        return any(endpoint.is_active for endpoint in self._endpoints.all())

    def subscribed(self, owners: Collection[AccountId]) -> Sequence[WebhookEndpoint]:
        found = []
        for endpoint in self._endpoints.all():
            account = self._accounts.get(endpoint.owner_id)
            if endpoint.is_active and account is not None and account.is_active:
                is_subscribed = account.is_staff if endpoint.all_events else endpoint.owner_id in owners
                if is_subscribed:
                    found.append(evolve(endpoint))
        return sorted(found, key=lambda endpoint: endpoint.id)

    def purge_deleted(self, limit: int) -> int:
        with_deliveries = {delivery.endpoint_id for delivery in self._deliveries.all()}
        gone = [e.id for e in self._endpoints.all() if e.deleted_at is not None and e.id not in with_deliveries]
        for endpoint_id in gone[:limit]:
            self._endpoints.delete(endpoint_id)
        return len(gone[:limit])


class MemoryDeliveries:
    def __init__(
        self,
        deliveries: Table[DeliveryId, WebhookDelivery],
        attempts: Log[WebhookAttempt],
        endpoints: Table[EndpointId, WebhookEndpoint],
        accounts: Table[AccountId, Account],
        numbers: Numbers,
    ) -> None:
        self._accounts = accounts
        self._deliveries = deliveries
        self._attempts = attempts
        self._endpoints = endpoints
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[DeliveryId]:
        return [DeliveryId(number) for number in self._numbers("deliveries", count)]

    def add(self, deliveries: Collection[WebhookDelivery]) -> None:
        for delivery in deliveries:
            self._attempts.append(delivery.log)
            self._deliveries.put(delivery.id, delivery)

    save = add

    def lock(self, ids: Collection[DeliveryId]) -> Mapping[DeliveryId, WebhookDelivery]:
        return self._deliveries.get_many(sorted(ids))

    def endpoints_of(self, ids: Collection[DeliveryId]) -> set[EndpointId]:
        return {delivery.endpoint_id for delivery in self._deliveries.get_many(ids).values()}

    def claim_due(self, limit: int, now: datetime, *, per_endpoint: int) -> Sequence[WebhookDelivery]:
        due = sorted(
            (delivery for delivery in self._deliveries.all() if delivery.try_at is not None and delivery.try_at <= now),
            key=_urgency,
        )
        taken: dict[EndpointId, int] = {}
        claimed: list[tuple[int, WebhookDelivery]] = []
        for delivery in due:
            endpoint = self._endpoints.get(delivery.endpoint_id)
            if endpoint is None or not endpoint.is_active:
                continue
            if endpoint.paused_until is not None and endpoint.paused_until > now:
                continue
            owner = self._accounts.get(endpoint.owner_id)
            if owner is None or not owner.is_active or (endpoint.all_events and not owner.is_staff):
                continue
            count = taken.get(endpoint.id, 0)
            if count < (1 if endpoint.failures else per_endpoint):
                taken[endpoint.id] = count + 1
                claimed.append((count, copy_delivery(delivery)))
        # The sort is stable: deliveries with the same rank keep the order in which they became due.
        fairest = sorted(claimed, key=lambda each: each[0])[:limit]
        return sorted((delivery for _, delivery in fairest), key=_urgency)

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
        check_ranges(("since", since, "until", until))
        found = sorted(
            delivery.id
            for delivery in self._deliveries.all()
            if delivery.endpoint_id == endpoint_id
            and delivery.status in statuses
            and since <= delivery.created_at < until
            and (after is None or delivery.id > after)
        )
        return found[:limit]

    def purge(self, before: datetime, limit: int) -> int:
        deleted = {endpoint.id for endpoint in self._endpoints.all() if endpoint.deleted_at is not None}
        old = sorted(
            (d for d in self._deliveries.all() if d.created_at < before or d.endpoint_id in deleted),
            key=lambda delivery: delivery.created_at,
        )[:limit]
        for delivery in old:
            self._deliveries.delete(delivery.id)
        return len(old)


def _urgency(delivery: WebhookDelivery) -> tuple[datetime, int]:
    assert delivery.try_at is not None
    return delivery.try_at, delivery.id


def shown_endpoint(endpoint: WebhookEndpoint) -> EndpointView:
    return EndpointView(
        id=endpoint.id,
        owner=endpoint.owner_id,
        url=endpoint.url,
        topics=endpoint.topics,
        description=endpoint.description,
        all_events=endpoint.all_events,
        is_active=endpoint.is_active,
        disabled_because=endpoint.disabled_because,
        failing_since=endpoint.failing_since,
        paused_until=endpoint.paused_until,
        created_at=endpoint.created_at,
        version=endpoint.version,
    )


def shown_delivery(delivery: WebhookDelivery, attempts: Log[WebhookAttempt]) -> DeliveryView:
    lines = sorted((line for line in attempts.all() if line.delivery_id == delivery.id), key=lambda line: line.number)
    return DeliveryView(
        id=delivery.id,
        endpoint=delivery.endpoint_id,
        seq=delivery.seq,
        message_id=delivery.message_id,
        topic=delivery.topic,
        status=delivery.status,
        created_at=delivery.created_at,
        try_at=delivery.try_at,
        log=tuple(
            AttemptView(line.at, line.took // timedelta(milliseconds=1), line.status, line.error, line.answer)
            for line in lines[-MAX_ATTEMPTS:]
        ),
    )
