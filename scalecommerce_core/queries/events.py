"""Reading the event feed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from scalecommerce_core.domain.errors import EventsForgotten, Invalid
from scalecommerce_core.domain.identifiers import AccountId


@frozen
class FeedEvent:
    """`data` is what its reader may see of it, as JSON types: see `domain.telling`."""

    seq: int
    topic: str
    at: datetime
    data: Mapping[str, Any]


@frozen
class FeedPage:
    """`next_after` is where the reader goes on; `last` is the number of the newest event, whoever may see it."""

    events: tuple[FeedEvent, ...]
    next_after: int
    last: int

    @classmethod
    def of(cls, events: Sequence[FeedEvent], limit: int, last: int) -> "FeedPage":
        """`last` is of the same moment as the events. A page that is not full says that nothing up to `last` is
        missing, so that who is seldom told anything does not fall behind.
        """
        return cls(tuple(events), events[-1].seq if len(events) == limit else last, last)


def check_feed_position(after: int | None, forgotten: int, last: int) -> None:
    """Raise what `EventQueries.feed` raises for readers who cannot go on from `after`."""
    if after is not None and after < forgotten:
        raise EventsForgotten(after, forgotten)
    if after is not None and after > last:
        raise Invalid.field("after", f"The feed has {last} events so far: give a number from 0 to {last}.")


class EventQueries(Protocol):
    """Events that have a number; None as an account stands for staff, who see all of them.

    Numbers are dense for staff. For an account they rise, with gaps where others' events are.
    """

    def feed(self, after: int | None, limit: int, account: AccountId | None) -> FeedPage:
        """The first `limit` events behind `after`, or of all that are kept.

        Raise `EventsForgotten`, and `Invalid` for a place that the feed has not reached.
        """
        ...

    def visible_events(self, numbers: Collection[int], account: AccountId | None) -> Mapping[int, FeedEvent]:
        """Those of these events that are kept and that the account may see."""
        ...
