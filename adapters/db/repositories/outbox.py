"""Events are written in the transaction of the change that they report; a relay numbers them later."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from adapters.db.core.bulk_statements import Insert
from adapters.db.core.session import SqlSession
from adapters.db.schema import outbox
from scalecommerce_core.domain.events import Event

_INSERT: Final = Insert(outbox, "topic", "occurred_at", "audience", "order_id", "payload")


def append_events(sql: SqlSession, happened: Iterable[Event]) -> None:
    sql.insert(_INSERT, [(event.topic, event.at, event.audience, *_facts(event.payload())) for event in happened])


def _facts(payload: Mapping[str, Any]) -> tuple[int | None, Mapping[str, Any] | None]:
    """The values of the columns `order_id` and `payload`."""
    return (payload["order_id"], None) if payload.keys() == _ORDER_ALONE else (None, payload)


_ORDER_ALONE: Final = {"order_id"}
