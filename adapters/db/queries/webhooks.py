"""Webhook queries: endpoints without their secrets, and deliveries with their attempts. One statement per page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import BigInteger, Select, Text, bindparam, func, select, true
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.schema import webhook_attempts, webhook_deliveries, webhook_endpoints
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries import MAX_ATTEMPTS, AttemptView, DeliveryView, EndpointView, Page, PageRequest

# --- endpoints

_ENDPOINT: Final = select(
    webhook_endpoints.c.id,
    webhook_endpoints.c.owner_id,
    webhook_endpoints.c.url,
    webhook_endpoints.c.topics,
    webhook_endpoints.c.description,
    webhook_endpoints.c.all_events,
    webhook_endpoints.c.is_active,
    webhook_endpoints.c.disabled_because,
    webhook_endpoints.c.failing_since,
    webhook_endpoints.c.paused_until,
    webhook_endpoints.c.created_at,
    webhook_endpoints.c.version,
    webhook_endpoints.c.verification_id.is_(None),
).where(webhook_endpoints.c.deleted_at.is_(None))
_BY_ID: Final = Keyset((webhook_endpoints.c.id,))


def _endpoints(is_active: bool | None, *, of_owner: bool) -> Select[*tuple[Any, ...]]:
    statement = _ENDPOINT
    if of_owner:
        statement = statement.where(webhook_endpoints.c.owner_id == bindparam("owner", type_=BigInteger))
    if is_active is not None:
        # As in the predicate of the index of inactive endpoints.
        active = webhook_endpoints.c.is_active
        statement = statement.where(active if is_active else ~active)
    return statement


_ENDPOINTS: Final = {
    (of_owner, is_active): page_statements(partial(_BY_ID.page_statement, _endpoints(is_active, of_owner=of_owner)))
    for of_owner in (False, True)
    for is_active in (None, False, True)
}
_ENDPOINT_BY_ID: Final = _ENDPOINT.where(webhook_endpoints.c.id == bindparam("id", type_=BigInteger))

# --- deliveries

_NEWEST: Final = (
    select(webhook_attempts)
    .where(webhook_attempts.c.delivery_id == webhook_deliveries.c.id)
    .order_by(webhook_attempts.c.number.desc())
    .limit(MAX_ATTEMPTS)
    .correlate(webhook_deliveries)
    .subquery()
    .lateral("newest")
)
_LOG: Final = (
    select(
        func.jsonb_agg(
            aggregate_order_by(
                func.jsonb_build_array(
                    _NEWEST.c.occurred_at, _NEWEST.c.took, _NEWEST.c.status, _NEWEST.c.error, _NEWEST.c.answer
                ),
                _NEWEST.c.number,
            ),
            type_=JSONB,
        )
    )
    .correlate(webhook_deliveries)
    .scalar_subquery()
)
_DELIVERY: Final = (
    select(
        webhook_deliveries.c.id,
        webhook_deliveries.c.endpoint_id,
        webhook_deliveries.c.seq,
        webhook_deliveries.c.message_id,
        webhook_deliveries.c.topic,
        webhook_deliveries.c.status,
        webhook_deliveries.c.created_at,
        webhook_deliveries.c.try_at,
        _LOG,
    )
    .join(webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id)
    .where(webhook_endpoints.c.deleted_at.is_(None))
)
_NEWEST_FIRST: Final = Keyset((webhook_deliveries.c.id,), descending=True)


def _filtered(*, by_endpoint: bool, by_status: bool) -> Select[*tuple[Any, ...]]:
    statement = _DELIVERY
    if by_endpoint:
        statement = statement.where(webhook_deliveries.c.endpoint_id == bindparam("endpoint", type_=BigInteger))
    if by_status:
        statement = statement.where(webhook_deliveries.c.status == bindparam("status", type_=Text))
    return statement


def _of_owner(request: PageRequest, *, by_status: bool) -> Select[*tuple[Any, ...]]:
    """A page of the deliveries to all endpoints of an owner: the newest ones of each endpoint, then the newest of
    these.
    """
    of_one = select(webhook_deliveries.c.id).where(webhook_deliveries.c.endpoint_id == webhook_endpoints.c.id)
    if by_status:
        of_one = of_one.where(webhook_deliveries.c.status == bindparam("status", type_=Text))
    newest = _NEWEST_FIRST.page_statement(of_one, request).correlate(webhook_endpoints).lateral("newest")
    of_owner = select(newest.c.id).select_from(webhook_endpoints.join(newest, true()))
    of_owner = of_owner.where(webhook_endpoints.c.owner_id == bindparam("owner", type_=BigInteger))
    return _NEWEST_FIRST.page_statement(_DELIVERY.where(webhook_deliveries.c.id.in_(of_owner)), request)


_DELIVERIES: Final[Mapping[tuple[bool, bool], Mapping[str, Select[*tuple[Any, ...]]]]] = {
    (by_endpoint, by_status): page_statements(
        partial(_NEWEST_FIRST.page_statement, _filtered(by_endpoint=by_endpoint, by_status=by_status))
    )
    for by_endpoint in (False, True)
    for by_status in (False, True)
}
_OF_OWNER: Final = {by_status: page_statements(partial(_of_owner, by_status=by_status)) for by_status in (False, True)}
_DELIVERY_BY_ID: Final = _DELIVERY.where(webhook_deliveries.c.id == bindparam("id", type_=BigInteger))


class WebhookQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def endpoints(
        self, owner: AccountId | None, page: PageRequest, *, is_active: bool | None = None
    ) -> Page[EndpointView]:
        statements = _ENDPOINTS[owner is not None, is_active]
        parameters = {} if owner is None else {"owner": owner}
        fetched = self._executor.fetch(statements[page_direction(page)], {**parameters, **_BY_ID.page_params(page)})
        return build_page(fetched, page, _endpoint, lambda row: (row[0],))

    def endpoint(self, endpoint_id: EndpointId) -> EndpointView | None:
        found = self._executor.fetch(_ENDPOINT_BY_ID, {"id": endpoint_id})
        return _endpoint(found[0]) if found else None

    def deliveries(
        self,
        endpoint_id: EndpointId | None,
        page: PageRequest,
        *,
        status: DeliveryStatus | None = None,
        owner: AccountId | None = None,
    ) -> Page[DeliveryView]:
        parameters = _NEWEST_FIRST.page_params(page)
        if endpoint_id is not None:
            parameters["endpoint"] = endpoint_id
        if status is not None:
            parameters["status"] = status.value
        statements = _DELIVERIES[endpoint_id is not None, status is not None]
        if owner is not None:
            parameters["owner"] = owner
            statements = _OF_OWNER[status is not None]
        # The indexes of pending and failed deliveries are partial.
        fetched = self._executor.fetch(statements[page_direction(page)], parameters, plan_each_time=endpoint_id is None)
        return build_page(fetched, page, _delivery, lambda row: (row[0],))

    def delivery(self, delivery_id: DeliveryId) -> DeliveryView | None:
        found = self._executor.fetch(_DELIVERY_BY_ID, {"id": delivery_id})
        return _delivery(found[0]) if found else None


def _endpoint(row: Sequence[Any]) -> EndpointView:
    id_, owner, url, topics, *rest = row
    return EndpointView(id_, owner, url, tuple(topics), *rest)


def _delivery(row: Sequence[Any]) -> DeliveryView:
    id_, endpoint, seq, message_id, topic, status, created_at, try_at, log = row
    attempts = (AttemptView(datetime.fromisoformat(at), *rest) for at, *rest in log or ())
    return DeliveryView(
        id_, endpoint, seq, message_id, topic, DeliveryStatus(status), created_at, try_at, tuple(attempts)
    )
