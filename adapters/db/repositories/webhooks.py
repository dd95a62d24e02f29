"""Webhook endpoints and deliveries. Due deliveries are claimed fairly: no endpoint delays the others."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import asdict
from sqlalchemy import BigInteger, bindparam, func, select, text

from adapters.db.core.bulk_statements import Insert, Update, equals_any, id_array, text_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import (
    Moment,
    delivery_ids,
    endpoint_ids,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
)
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.webhook import (
    SLOW_RESPONSE,
    VERIFICATION,
    DeliveryStatus,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)
from scalecommerce_core.ports import DeliverySlots

# --- endpoints

_ENDPOINT: Final = (
    "id", "owner_id", "url", "topics", "secrets", "description", "all_events", "is_active", "disabled_because",
    "failures", "failing_since", "paused_until", "created_at", "deleted_at", "version",
    "verified_at", "verification_id", "response_time",
)  # fmt: skip
_FIXED: Final = {"id", "owner_id", "created_at"}
_CHANGING: Final = tuple(name for name in _ENDPOINT if name not in _FIXED)
_ENDPOINT_IDS: Final = next_numbers_statement(endpoint_ids)
_INSERT_ENDPOINTS: Final = Insert(webhook_endpoints, *_ENDPOINT)
_UPDATE_ENDPOINTS: Final = Update(webhook_endpoints, ["id"], *_CHANGING)
_GET_MANY: Final = (
    select(*(webhook_endpoints.c[name] for name in _ENDPOINT))
    .where(equals_any(webhook_endpoints.c.id))
    .order_by(webhook_endpoints.c.id)
)
_LOCK: Final = _GET_MANY.with_for_update(key_share=True)
_LOCK_AFTER: Final = (
    select(*(webhook_endpoints.c[name] for name in _ENDPOINT))
    .where(
        webhook_endpoints.c.id > bindparam("after", type_=BigInteger),
        webhook_endpoints.c.deleted_at.is_(None),
    )
    .order_by(webhook_endpoints.c.id)
    .limit(bindparam("limit"))
    .with_for_update(key_share=True)
)
_COUNTS: Final = (
    select(webhook_endpoints.c.owner_id, func.count())
    .where(equals_any(webhook_endpoints.c.owner_id), webhook_endpoints.c.deleted_at.is_(None))
    .group_by(webhook_endpoints.c.owner_id)
)
_HAS_ACTIVE: Final = text("SELECT EXISTS (SELECT FROM webhook_endpoints WHERE is_active AND verified_at IS NOT NULL)")
_SUBSCRIBED: Final = text(
    f"""
    SELECT {", ".join(f"webhook_endpoints.{name}" for name in _ENDPOINT)}
    FROM webhook_endpoints JOIN accounts ON accounts.id = webhook_endpoints.owner_id
    WHERE webhook_endpoints.is_active AND accounts.is_active
      AND (all_events OR owner_id = ANY (CAST(:owners AS bigint[]))) AND (accounts.is_staff OR NOT all_events)
    ORDER BY webhook_endpoints.id
    FOR KEY SHARE OF webhook_endpoints
    """  # noqa: S608 - names of columns
)
_PURGE_DELETED: Final = text(
    """
    DELETE FROM webhook_endpoints WHERE id IN (
        SELECT id FROM webhook_endpoints AS old
        WHERE deleted_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = old.id)
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    """
)


class PostgresWebhookRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[EndpointId]:
        return [EndpointId(number) for number in self._sql.next_numbers(_ENDPOINT_IDS, count)]

    def add(self, new: Collection[WebhookEndpoint]) -> None:
        self._sql.insert(_INSERT_ENDPOINTS, [_endpoint_row(endpoint, _ENDPOINT) for endpoint in new])

    def lock(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        return {row[0]: _endpoint(row) for row in self._sql.fetch_all(_LOCK, {"ids": id_array(ids)})} if ids else {}

    def lock_after(self, endpoint_id: EndpointId, limit: int) -> Sequence[WebhookEndpoint]:
        return [_endpoint(row) for row in self._sql.fetch_all(_LOCK_AFTER, {"after": endpoint_id, "limit": limit})]

    def save(self, changed: Collection[WebhookEndpoint]) -> None:
        self._sql.update(_UPDATE_ENDPOINTS, [_endpoint_row(endpoint, ("id", *_CHANGING)) for endpoint in changed])

    def get_many(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        return {row[0]: _endpoint(row) for row in self._sql.fetch_all(_GET_MANY, {"ids": id_array(ids)})} if ids else {}

    def count_by_owner(self, owners: Collection[AccountId]) -> Mapping[AccountId, int]:
        return {AccountId(owner): count for owner, count in self._sql.fetch_all(_COUNTS, {"ids": id_array(owners)})}

    def has_active(self) -> bool:
        ((found,),) = self._sql.fetch_all(_HAS_ACTIVE)
        return bool(found)

    def subscribed(self, owners: Collection[AccountId]) -> Sequence[WebhookEndpoint]:
        return [_endpoint(row) for row in self._sql.fetch_all(_SUBSCRIBED, {"owners": id_array(owners)})]

    def purge_deleted(self, limit: int) -> int:
        return self._sql.execute(_PURGE_DELETED, {"limit": limit})


def _endpoint_row(endpoint: WebhookEndpoint, columns: Sequence[str]) -> tuple[Any, ...]:
    secrets = [
        [secret.encrypted, None if secret.valid_until is None else secret.valid_until.isoformat()]
        for secret in endpoint.secrets
    ]
    took = endpoint.response_time
    milliseconds = None if took is None else took // timedelta(milliseconds=1)
    special: dict[str, Any] = {"topics": list(endpoint.topics), "secrets": secrets, "response_time": milliseconds}
    return tuple(special[name] if name in special else getattr(endpoint, name) for name in columns)


def _endpoint(row: Sequence[Any]) -> WebhookEndpoint:
    values = dict(zip(_ENDPOINT, row, strict=True))
    values["topics"] = tuple(values["topics"])
    if values["response_time"] is not None:
        values["response_time"] = timedelta(milliseconds=values["response_time"])
    values["secrets"] = tuple(
        WebhookSecret(encrypted, None if until is None else datetime.fromisoformat(until))
        for encrypted, until in values["secrets"]
    )
    return WebhookEndpoint(**values)


# --- deliveries

_DELIVERY: Final = (
    "id", "endpoint_id", "seq", "message_id", "topic", "body", "created_at", "try_at", "status", "attempts", "logged",
    "revision", "leased_until",
)  # fmt: skip
_DELIVERY_IDS: Final = next_numbers_statement(delivery_ids)
_INSERT: Final = Insert(webhook_deliveries, *_DELIVERY)
_UPDATE: Final = Update(
    webhook_deliveries, ["id"], "try_at", "status", "attempts", "logged", "revision", "leased_until"
)
_INSERT_ATTEMPTS: Final = Insert(
    webhook_attempts, "delivery_id", "number", "occurred_at", "took", "status", "error", "answer"
)  # fmt: skip
_COLUMNS: Final = [webhook_deliveries.c[name] for name in _DELIVERY]
_LOCK_DELIVERIES: Final = (
    select(*_COLUMNS)
    .where(equals_any(webhook_deliveries.c.id))
    .order_by(webhook_deliveries.c.id)
    .with_for_update(key_share=True)
)
_ENDPOINTS_OF: Final = select(webhook_deliveries.c.endpoint_id).where(equals_any(webhook_deliveries.c.id)).distinct()
# Reads the index of due deliveries by endpoint, so the backlog of one endpoint costs the others nothing. A leased
# delivery has the end of its lease as `try_at`. `turn` counts the deliveries of an owner, leased ones first.
_CLAIM: Final = text(
    f"""
    WITH RECURSIVE waiting AS (
        (SELECT endpoint_id FROM webhook_deliveries WHERE status = 'PENDING' ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT endpoint_id FROM webhook_deliveries
            WHERE status = 'PENDING' AND endpoint_id > waiting.endpoint_id ORDER BY endpoint_id LIMIT 1
        )
        FROM waiting WHERE waiting.endpoint_id IS NOT NULL
    ), endpoint AS MATERIALIZED (
        SELECT endpoint.id, owner_id, verification_id,
               failures > 0 OR verification_id IS NOT NULL
                   OR coalesce(response_time >= :slow_response, false) AS is_slow,
               endpoint.is_active AND (paused_until IS NULL OR paused_until <= :now)
                   AND accounts.is_active AND (accounts.is_staff OR NOT all_events) AS is_open,
               (SELECT count(*) FROM webhook_deliveries
                WHERE endpoint_id = endpoint.id AND status = 'PENDING' AND try_at > :now AND try_at <= :lease_ends
                  AND leased_until > :now) AS leased
        FROM waiting JOIN webhook_endpoints AS endpoint ON endpoint.id = waiting.endpoint_id
        JOIN accounts ON accounts.id = endpoint.owner_id
    ), owner AS MATERIALIZED (
        SELECT owner_id, sum(leased) AS leased, sum(CASE WHEN is_slow THEN leased ELSE 0 END) AS slow
        FROM endpoint GROUP BY owner_id
    ), free AS MATERIALIZED (
        SELECT :total - coalesce(sum(leased), 0) AS slots, :slow - coalesce(sum(slow), 0) AS slow FROM owner
    ), candidate AS (
        SELECT first.id, first.try_at, position, endpoint.owner_id, is_slow, row_number() OVER (
            PARTITION BY endpoint.owner_id, is_slow ORDER BY position, first.try_at, first.id
        ) AS slow_turn
        FROM endpoint CROSS JOIN LATERAL (
            (SELECT id, try_at, row_number() OVER (ORDER BY try_at, id) AS position FROM webhook_deliveries
             WHERE verification_id IS NULL AND endpoint_id = endpoint.id AND status = 'PENDING' AND try_at <= :now
             ORDER BY try_at, id LIMIT CASE WHEN is_slow THEN 1 ELSE :per_endpoint END)
            UNION ALL
            (SELECT id, try_at, 1 FROM webhook_deliveries
             WHERE id = verification_id AND status = 'PENDING' AND try_at <= :now)
        ) AS first
        WHERE is_open AND leased = 0
    ), taken AS (
        SELECT candidate.*, owner.leased + row_number() OVER (
            PARTITION BY owner_id ORDER BY position, try_at, candidate.id
        ) AS turn
        FROM candidate JOIN owner USING (owner_id) CROSS JOIN free
        WHERE NOT is_slow OR owner.slow + slow_turn <= greatest(1, div(free.slow, 5))
    ), placed AS (
        SELECT taken.*, row_number() OVER (PARTITION BY is_slow ORDER BY turn, try_at, taken.id) AS place
        FROM taken CROSS JOIN free WHERE turn <= least(:per_owner, greatest(1, div(free.slots, 10)))
    ), due AS MATERIALIZED (
        SELECT placed.id FROM placed CROSS JOIN free
        WHERE NOT is_slow OR place <= div(free.slow + 1, 2)
        ORDER BY turn, try_at, placed.id
        LIMIT greatest(0, least(:limit, (SELECT slots FROM free)))
    )
    SELECT {", ".join(_DELIVERY)} FROM webhook_deliveries
    WHERE id = ANY (ARRAY(SELECT id FROM due)) AND status = 'PENDING' AND try_at <= :now
    ORDER BY try_at, id
    FOR NO KEY UPDATE SKIP LOCKED
    """  # noqa: S608 - names of columns
).bindparams(
    bindparam("now", type_=Moment),
    bindparam("lease_ends", type_=Moment),
    *(
        bindparam(name, type_=BigInteger)
        for name in ("limit", "total", "slow", "per_owner", "per_endpoint", "slow_response")
    ),
)
_SETTLED: Final = (
    select(webhook_deliveries.c.id)
    .where(
        webhook_deliveries.c.endpoint_id == bindparam("endpoint", type_=BigInteger),
        webhook_deliveries.c.id > bindparam("after", type_=BigInteger),
        webhook_deliveries.c.created_at >= bindparam("since", type_=Moment),
        webhook_deliveries.c.created_at < bindparam("until", type_=Moment),
        equals_any(webhook_deliveries.c.status),
        webhook_deliveries.c.topic != VERIFICATION,
    )
    .order_by(webhook_deliveries.c.id)
    .limit(bindparam("limit"))
)
_PURGE: Final = text(
    """
    WITH old AS MATERIALIZED (
        -- A UNION, so that each part uses its index: for an OR, the planner would scan the table.
        SELECT id FROM webhook_deliveries
        WHERE id = ANY (ARRAY(
            (SELECT id FROM webhook_deliveries WHERE created_at < :before ORDER BY created_at LIMIT :limit)
            UNION
            (SELECT found.id FROM webhook_endpoints CROSS JOIN LATERAL (
                SELECT id FROM webhook_deliveries WHERE endpoint_id = webhook_endpoints.id ORDER BY id LIMIT :limit
            ) AS found WHERE deleted_at IS NOT NULL LIMIT :limit)
        ))
        ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ), unlogged AS (
        DELETE FROM webhook_attempts WHERE delivery_id IN (SELECT id FROM old)
    )
    DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM old)
    """
).bindparams(bindparam("before", type_=Moment), bindparam("limit", type_=BigInteger))


class PostgresDeliveryRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[DeliveryId]:
        return [DeliveryId(number) for number in self._sql.next_numbers(_DELIVERY_IDS, count)]

    def add(self, new: Collection[WebhookDelivery]) -> None:
        self._sql.insert(_INSERT, [_delivery_row(delivery, _DELIVERY) for delivery in new])
        self._log(new)

    def lock(self, ids: Collection[DeliveryId]) -> Mapping[DeliveryId, WebhookDelivery]:
        rows = self._sql.fetch_all(_LOCK_DELIVERIES, {"ids": id_array(ids)}) if ids else ()
        return {row[0]: _delivery(row) for row in rows}

    def save(self, changed: Collection[WebhookDelivery]) -> None:
        self._sql.update(_UPDATE, [_delivery_row(delivery, _UPDATE.columns) for delivery in changed])
        self._log(changed)

    def _log(self, deliveries: Collection[WebhookDelivery]) -> None:
        lines = [
            (line.delivery_id, line.number, line.at, line.took // timedelta(milliseconds=1), *_outcome_columns(line))
            for delivery in deliveries
            for line in delivery.log
        ]
        self._sql.insert(_INSERT_ATTEMPTS, lines)

    def endpoints_of(self, ids: Collection[DeliveryId]) -> set[EndpointId]:
        rows = self._sql.fetch_all(_ENDPOINTS_OF, {"ids": id_array(ids)}) if ids else ()
        return {EndpointId(endpoint) for (endpoint,) in rows}

    def claim_due(
        self, limit: int, now: datetime, *, lease_ends: datetime, slots: DeliverySlots
    ) -> Sequence[WebhookDelivery]:
        parameters = {
            "limit": limit,
            "now": now,
            "lease_ends": lease_ends,
            "slow_response": SLOW_RESPONSE // timedelta(milliseconds=1),
            **asdict(slots),
        }
        return [_delivery(row) for row in self._sql.fetch_all(_CLAIM, parameters)]

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
        parameters = {
            "endpoint": endpoint_id,
            "after": after or 0,
            "since": since,
            "until": until,
            "ids": text_array(statuses),
            "limit": limit,
        }
        return [DeliveryId(number) for (number,) in self._sql.fetch_all(_SETTLED, parameters)]

    def purge(self, before: datetime, limit: int) -> int:
        return self._sql.execute(_PURGE, {"before": before, "limit": limit})


def _outcome_columns(line: Any) -> tuple[Any, ...]:
    return line.status, line.error, line.answer


def _delivery_row(delivery: WebhookDelivery, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(delivery.status.value if name == "status" else getattr(delivery, name) for name in columns)


def _delivery(row: Sequence[Any]) -> WebhookDelivery:
    values = dict(zip(_DELIVERY, row, strict=True))
    return WebhookDelivery(**{**values, "status": DeliveryStatus(values["status"])})
