"""Events are written in the transaction of the change that they report; a relay numbers them later."""

from collections.abc import Iterable
from typing import Final

from adapters.db.core.bulk_statements import Insert
from adapters.db.core.session import SqlSession
from adapters.db.schema import outbox
from scalecommerce_core.domain.events import Event

_INSERT: Final = Insert(outbox, "topic", "occurred_at", "audience", "payload")


def append_events(sql: SqlSession, happened: Iterable[Event]) -> None:
    sql.insert(_INSERT, [(event.topic, event.at, event.audience, event.payload()) for event in happened])
