"""Event feed queries: a page of any reader is read from ranges of a few indexes, which together have its events.

A GIN index on an array of accounts would not achieve this. The planner would choose between a walk along the numbers,
which reads millions of rows for an account with few events, and a sort of all events of the account, which reads
millions of rows for an account with many.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Select, and_, bindparam, exists, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.queries.executor import QueryExecutor, Rows
from adapters.db.schema import Moment, all_order_lines, all_orders, event_audience, events, feed_key, reader_columns
from scalecommerce_core.domain.event_visibility import EventOrder, EventOrderLine, visible_payload
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.queries import FeedEvent, FeedPage, check_feed_position

# One statement, so that `last` and the events are of one snapshot: numbers up to `last` that are missing on the page
# belong to events of others.
_COUNTER: Final = """
    SELECT coalesce(max(last), 0) AS last, coalesce(max(forgotten), 0) AS forgotten FROM event_counter
"""
_ALL: Final = """
    SELECT seq, topic, occurred_at, order_id, payload FROM events
    WHERE seq > greatest(CAST(:after AS bigint), counter.forgotten)
    ORDER BY seq LIMIT :limit
"""


def _of_reader(reader: str) -> str:
    key, account = feed_key(reader, "seq"), "CAST(:account AS bigint)"
    # `after` may be any number, which must not overflow the key.
    after = "least(greatest(CAST(:after AS bigint), counter.forgotten), counter.last)"
    # CASE hides the condition on the reader from the planner, which would multiply both selectivities, expect few rows,
    # and read and sort all events of the account.
    return f"""(
        SELECT seq, topic, occurred_at, order_id, payload FROM events
        WHERE {key} > {feed_key(account, after)} AND {key} <= {feed_key(account, "counter.last")}
            AND CASE WHEN {reader} = :account THEN true END
        ORDER BY {key} LIMIT :limit
    )"""  # noqa: S608 - constants and names of columns


# OFFSET 0 forces a join event by event: the planner does not know the limit, expects a large part of the table, and
# would otherwise read all of it.
_OF_FURTHER_READER: Final = """(
    SELECT found.seq, topic, occurred_at, order_id, payload
    FROM (
        SELECT seq FROM event_audience
        WHERE account_id = :account AND seq > greatest(CAST(:after AS bigint), counter.forgotten)
        ORDER BY seq LIMIT :limit
    ) AS found
    CROSS JOIN LATERAL (
        SELECT topic, occurred_at, order_id, payload FROM events WHERE events.seq = found.seq OFFSET 0
    ) AS event
)"""
_PARTS: Final = [*(_of_reader(reader.name) for reader in reader_columns), _OF_FURTHER_READER]
_OF_ACCOUNT: Final = f"""
    SELECT * FROM (
        {" UNION ALL ".join(_PARTS)}
    ) AS found
    ORDER BY seq LIMIT :limit
"""  # noqa: S608 - no values in it


def _page(chosen: str) -> Any:
    return text(
        f"""
        SELECT counter.last, counter.forgotten, page.*
        FROM ({_COUNTER}) AS counter LEFT JOIN LATERAL ({chosen}) AS page ON true
        """  # noqa: S608 - no values in it
    ).columns(
        last=BigInteger,
        forgotten=BigInteger,
        seq=BigInteger,
        topic=events.c.topic.type,
        occurred_at=Moment,
        order_id=BigInteger,
        payload=JSONB,
    )


_FEED: Final = _page(_ALL)
_FEED_OF_ACCOUNT: Final = _page(_OF_ACCOUNT)

_ACCOUNT: Final = bindparam("account", type_=BigInteger)
_VISIBLE: Final = (
    select(events.c.seq, events.c.topic, events.c.occurred_at, events.c.order_id, events.c.payload)
    .where(
        equals_any(events.c.seq),
        or_(
            _ACCOUNT.is_(None),
            *(reader == _ACCOUNT for reader in reader_columns),
            exists().where(event_audience.c.account_id == _ACCOUNT, event_audience.c.seq == events.c.seq),
        ),
    )
    .order_by(events.c.seq)
)
# Order lines that the account may not see are not read.
_LINES: Final[Select[Any]] = (
    select(
        all_orders.c.id,
        all_orders.c.buyer_id,
        all_orders.c.currency,
        all_order_lines.c.product_id,
        all_order_lines.c.seller_id,
        all_order_lines.c.quantity,
        all_order_lines.c.price,
    )
    .outerjoin(
        all_order_lines,
        and_(
            all_order_lines.c.order_id == all_orders.c.id,
            or_(_ACCOUNT.is_(None), all_orders.c.buyer_id == _ACCOUNT, all_order_lines.c.seller_id == _ACCOUNT),
        ),
    )
    .where(equals_any(all_orders.c.id))
    .order_by(all_orders.c.id, all_order_lines.c.position)
)


class EventQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def feed(self, after: int | None, limit: int, account: AccountId | None) -> FeedPage:
        statement = _FEED if account is None else _FEED_OF_ACCOUNT
        given = {"after": after, "limit": limit} | ({} if account is None else {"account": account})
        rows = self._executor.fetch(statement, given)
        last, forgotten = rows[0][:2]
        check_feed_position(after, forgotten, last)
        return FeedPage.of(self._events([row[2:] for row in rows if row[2] is not None], account), limit, last)

    def visible_events(self, numbers: Collection[int], account: AccountId | None) -> Mapping[int, FeedEvent]:
        rows = self._executor.fetch(_VISIBLE, {"ids": id_array(numbers), "account": account})
        return {event.seq: event for event in self._events(rows, account)}

    def _events(self, rows: Collection[Any], account: AccountId | None) -> list[FeedEvent]:
        stored: list[tuple[int, str, datetime, Mapping[str, Any]]] = [
            (seq, topic, at, {"order_id": order_id} if payload is None else payload)
            for seq, topic, at, order_id, payload in rows
        ]
        known = self._orders({payload["order_id"] for *_, payload in stored if "order_id" in payload}, account)
        return [
            FeedEvent(seq, topic, at, visible_payload(topic, payload, known.get(payload.get("order_id", 0)), account))
            for seq, topic, at, payload in stored
        ]

    def _orders(self, ids: Collection[OrderId], account: AccountId | None) -> Mapping[OrderId, EventOrder]:
        if not ids:
            return {}
        rows: Rows = self._executor.fetch(_LINES, {"ids": id_array(ids), "account": account})
        lines: dict[OrderId, list[EventOrderLine]] = {}
        found: dict[OrderId, EventOrder] = {}
        for order_id, buyer_id, currency, *line in rows:
            of_order = lines.setdefault(order_id, [])
            if line[0] is not None:
                of_order.append(EventOrderLine(*line))
            found.setdefault(order_id, EventOrder(buyer_id, currency, of_order))
        return found
