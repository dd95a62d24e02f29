"""Webhook repositories and queries in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.webhook import (
    VERIFICATION,
    DeliveryStatus,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from scalecommerce_core.ports import DeliverySlots
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

    def lock_after(self, endpoint_id: EndpointId, limit: int) -> Sequence[WebhookEndpoint]:
        following = sorted(e.id for e in self._endpoints.all() if e.id > endpoint_id and e.deleted_at is None)
        return list(self._endpoints.get_many(following[:limit]).values())

    def count_by_owner(self, owners: Collection[AccountId]) -> Mapping[AccountId, int]:
        counts: dict[AccountId, int] = {}
        for endpoint in self._endpoints.all():
            if endpoint.owner_id in owners and endpoint.deleted_at is None:
                counts[endpoint.owner_id] = counts.get(endpoint.owner_id, 0) + 1
        return counts

    def has_active(self) -> bool:
        return any(e.is_active and e.verified_at is not None for e in self._endpoints.all())

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

    def claim_due(
        self, limit: int, now: datetime, *, lease_ends: datetime, slots: DeliverySlots
    ) -> Sequence[WebhookDelivery]:
        del lease_ends
        leased = Counter(d.endpoint_id for d in self._deliveries.all() if d.leased_until and d.leased_until > now)
        endpoints = {endpoint.id: endpoint for endpoint in self._endpoints.all()}
        busy, busy_slow = Counter[AccountId](), Counter[AccountId]()
        for endpoint_id, count in leased.items():
            endpoint = endpoints[endpoint_id]
            busy[endpoint.owner_id] += count
            busy_slow[endpoint.owner_id] += count if endpoint.is_slow else 0
        free, free_slow = slots.total - busy.total(), slots.slow - busy_slow.total()
        candidates = _first_of_each_endpoint(self._due(now, endpoints, set(leased)), endpoints, slots.per_endpoint)
        chosen = []
        for position, delivery in candidates:
            endpoint = endpoints[delivery.endpoint_id]
            if endpoint.is_slow:
                busy_slow[endpoint.owner_id] += 1
                if busy_slow[endpoint.owner_id] > max(1, free_slow // 5):
                    continue
            chosen.append((position, delivery, endpoint))
        turns = []
        for _, delivery, endpoint in chosen:
            busy[endpoint.owner_id] += 1
            if busy[endpoint.owner_id] <= min(slots.per_owner, max(1, free // 10)):
                turns.append((busy[endpoint.owner_id], *_urgency(delivery), endpoint.is_slow, delivery))
        claimed: list[WebhookDelivery] = []
        slow_places = (free_slow + 1) // 2
        for *_, is_slow, delivery in sorted(turns, key=lambda turn: turn[:3]):
            slow_places -= is_slow
            if not is_slow or slow_places >= 0:
                claimed.append(copy_delivery(delivery))
        return sorted(claimed[: max(0, min(limit, free))], key=_urgency)

    def _due(
        self, now: datetime, endpoints: Mapping[EndpointId, WebhookEndpoint], leased: Collection[EndpointId]
    ) -> Iterator[WebhookDelivery]:
        """Due deliveries of endpoints that may get one, the longest due first."""
        for delivery in sorted(filter(lambda each: each.try_at is not None, self._deliveries.all()), key=_urgency):
            endpoint = endpoints.get(delivery.endpoint_id)
            if endpoint is None or not endpoint.is_active or endpoint.id in leased:
                continue
            owner = self._accounts.get(endpoint.owner_id)
            if owner is None or not owner.is_active or (endpoint.all_events and not owner.is_staff):
                continue
            is_paused = endpoint.paused_until is not None and endpoint.paused_until > now
            is_allowed = endpoint.verification_id in {None, delivery.id}
            if delivery.try_at is not None and delivery.try_at <= now and is_allowed and not is_paused:
                yield delivery

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
            and delivery.topic != VERIFICATION
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


def _first_of_each_endpoint(
    due: Iterable[WebhookDelivery], endpoints: Mapping[EndpointId, WebhookEndpoint], per_endpoint: int
) -> list[tuple[int, WebhookDelivery]]:
    """The deliveries that an endpoint may get at once with their positions; all first ones before the second ones."""
    taken = Counter[EndpointId]()
    first = []
    for delivery in due:
        taken[delivery.endpoint_id] += 1
        if taken[delivery.endpoint_id] <= (1 if endpoints[delivery.endpoint_id].is_slow else per_endpoint):
            first.append((taken[delivery.endpoint_id], delivery))
    # The sort is stable: deliveries with the same position keep the order in which they became due.
    return sorted(first, key=lambda each: each[0])


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
        is_verified=endpoint.is_verified,
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
