"""The trace contexts of orders between intake and decision. Without `Tracing` nothing here is called."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import text

from adapters.db.core.bulk_statements import Insert, id_array
from adapters.db.core.driver_statements import DriverStatement
from adapters.db.core.session import SqlSession
from adapters.db.schema import order_traces
from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.ports import Tracing

RETENTION: Final = timedelta(hours=1)
"""Rows of orders that nobody has decided meanwhile: they were cancelled before, or the workers record no traces."""

_INSERT: Final = Insert(order_traces, "order_id", "request", "taken_at")
# Only the oldest rows are looked at, so that a long backlog costs nothing. Only expired rows are locked, because the
# decider deletes the others.
_PURGE: Final = text(
    f"""
    DELETE FROM order_traces WHERE order_id IN (
        SELECT order_id FROM order_traces
        WHERE order_id IN (SELECT order_id FROM order_traces ORDER BY order_id LIMIT 100)
            AND taken_at < now() - interval '{RETENTION.total_seconds()} s'
        FOR UPDATE SKIP LOCKED
    )
    """  # noqa: S608 - a constant
)
_TAKE: Final = DriverStatement.compile(
    text("DELETE FROM order_traces WHERE order_id = ANY (CAST(:ids AS bigint[])) RETURNING order_id, request")
)


class OrderTraces:
    def __init__(self, sql: SqlSession, tracing: Tracing) -> None:
        self._sql = sql
        self._tracing = tracing

    def store(self, new: Collection[Order]) -> None:
        """Store the requests of the new orders that are traced; report those of orders that are decided already."""
        requests = self._tracing.requests_of(new)
        undecided = [each for each in new if each.id in requests and each.decided_at is None]
        if undecided:
            self._sql.execute(_PURGE)
            self._sql.insert(_INSERT, [(each.id, requests[each.id], each.created_at) for each in undecided])
        if len(undecided) < len(requests):
            waiting = {each.id for each in undecided}
            self._tracing.orders_claimed({id_: text for id_, text in requests.items() if id_ not in waiting})

    def take(self, claimed: Collection[OrderId]) -> None:
        """Report the requests of orders that are being decided, and delete them with the decision."""
        rows = self._sql.fetch_fast(_TAKE, {"ids": id_array(claimed)})
        requests: Mapping[OrderId, str] = dict(rows)
        if requests:
            self._tracing.orders_claimed(requests)
