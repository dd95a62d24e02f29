"""The outbox and the event log in memory."""

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from scalecommerce_core.domain.events import Event
from scalecommerce_core.ports import EventRange, NumberedEvent
from scalecommerce_core.testing.memory.statistics import CONSUMER
from scalecommerce_core.testing.memory.tables import NUMBERED, PURGED, Table, Tables


class MemoryEvents:
    def __init__(self, tables: Tables) -> None:
        self._events = tables.events
        self._marks = tables.event_marks

    def assign_sequence(self, limit: int) -> int:
        waiting = sum(1 for _ in self._events.all()) - self.last_seq()
        numbered = min(limit, waiting)
        self._marks.put(NUMBERED, self.last_seq() + numbered)
        return numbered

    def last_seq(self) -> int:
        return self._marks.get(NUMBERED) or 0

    def read_after(self, seq: int, limit: int) -> Sequence[NumberedEvent]:
        return list(itertools.islice(numbered(self._events.all(), self._marks, seq), limit))

    def read_topics_after(self, seq: int, limit: int, topics: Collection[str]) -> EventRange:
        last = max(seq, min(seq + limit, self.last_seq()))
        events = self.read_after(seq, limit)
        return EventRange(last, [event for event in events if event.topic in topics and event.seq <= last])

    def claim(self, consumer: str, *, begin: int | None = None, wait: bool = False) -> int | None:  # noqa: ARG002 - one transaction at a time
        place = self._marks.get(CONSUMER + consumer)
        if place is None:
            place = self.last_seq() if begin is None else begin
            self._marks.put(CONSUMER + consumer, place)
        return place

    def advance(self, consumer: str, seq: int) -> None:
        self._marks.put(CONSUMER + consumer, seq)

    def purge(self, before: datetime, limit: int) -> int:
        done = min((seq for name, seq in self._marks.items() if name.startswith(CONSUMER)), default=self.last_seq())
        purged = 0
        for event in itertools.islice(numbered(self._events.all(), self._marks), limit):
            if event.at >= before or event.seq > done:
                break
            self._marks.put(PURGED, event.seq)
            purged += 1
        return purged


def numbered(recorded: Iterable[Event], marks: Table[str, int], after: int = 0) -> Iterator[NumberedEvent]:
    """Events with numbers above `after` that were not purged."""
    first, last = max(after, marks.get(PURGED) or 0) + 1, marks.get(NUMBERED) or 0
    for seq, event in enumerate(itertools.islice(recorded, first - 1, max(first - 1, last)), first):
        payload = json.loads(json.dumps(event.payload()))
        yield NumberedEvent(seq, event.topic, event.at, event.audience, payload)
