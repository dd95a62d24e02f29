"""The event log: events get a sequence number after their commit; consumers read them in that order."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId


@frozen
class NumberedEvent:
    """An event of the log. `audience` holds the accounts whose feeds show it, `payload` all recorded facts as JSON
    types.

    A reader may see only part of the payload: `domain.event_visibility`.
    """

    seq: int
    topic: str
    at: datetime
    audience: tuple[AccountId, ...]
    payload: Mapping[str, Any]


@frozen
class EventRange:
    """A part of the log up to the number `last`, of which `events` are those with certain topics."""

    last: int
    events: Sequence[NumberedEvent]


class EventRepository(Protocol):
    """The event log. Aggregates record unnumbered events; the outbox relay numbers them 1, 2, 3, … without gaps.

    An event that commits later gets a higher number: once a number was read, no event with a smaller number appears.
    """

    def assign_sequence(self, limit: int) -> int:
        """Number up to `limit` committed events in the order in which they were recorded; return how many.

        Return 0 while another transaction numbers events.
        """
        ...

    def last_seq(self) -> int:
        """The highest number; 0 before the first event."""
        ...

    def read_after(self, seq: int, limit: int) -> Sequence[NumberedEvent]:
        """Events with numbers above `seq`, in order, for a consumer that holds its claim."""
        ...

    def read_topics_after(self, seq: int, limit: int, topics: Collection[str]) -> EventRange:
        """As `read_after`, for a consumer that needs events with these topics alone: those with the `limit` numbers
        above `seq`. `last` is the last of these numbers that an event has, or `seq` if none has.
        """
        ...

    def claim(self, consumer: str, *, begin: int | None = None, wait: bool = False) -> int | None:
        """Lock the position of a consumer; return the number of the last event that it has processed.

        Return None while another transaction holds the lock, unless `wait` is set. A new consumer starts after `begin`,
        or with the events that come after its first claim. Events that a consumer has not processed are not purged, so
        a consumer that is no longer used must be deleted.
        """
        ...

    def advance(self, consumer: str, seq: int) -> None:
        """Store that the claimed consumer has processed all events up to `seq`."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` of the oldest numbered events that happened before `before`; return how many.

        Events that some consumer has not processed are kept, and so are all later ones.
        """
        ...
