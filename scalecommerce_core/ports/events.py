"""The event log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId


@frozen
class NumberedEvent:
    """`audience` holds the accounts whose feed shows it, `payload` everything that was recorded, as JSON types.

    They need not see all of it: what each may is for `queries` to say.
    """

    seq: int
    topic: str
    at: datetime
    audience: tuple[AccountId, ...]
    payload: Mapping[str, Any]


class EventRepository(Protocol):
    """Events come in unnumbered, with the aggregates that record them. Numbers are 1, 2, 3, … without a gap.

    Nothing ever appears behind a number that has been read: what commits later gets a higher one.
    """

    def assign_sequence(self, limit: int) -> int:
        """Number up to `limit` committed events, in the order in which they were recorded; return how many.

        None while another transaction numbers: there is one at a time.
        """
        ...

    def last_seq(self) -> int:
        """0 before the first."""
        ...

    def read_after(self, seq: int, limit: int) -> Sequence[NumberedEvent]:
        """In order, for those who read every event once: see `claim`."""
        ...

    def claim(self, consumer: str, *, begin: int | None = None, wait: bool = False) -> int | None:
        """Lock the place of a consumer that reads all events in order: the number of the last one it is done with.

        None while another transaction holds it, unless this is to `wait`. A new consumer begins behind `begin`, or
        with the events that come after its first claim. What a consumer is not done with is not forgotten, so one that
        is given up must be taken out.
        """
        ...

    def advance(self, consumer: str, seq: int) -> None:
        """The claimed consumer is done with all up to `seq`."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` of the oldest numbered events that happened before; return how many.

        Only from the old end, and never one that a consumer is not done with.
        """
        ...
