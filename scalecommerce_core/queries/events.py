"""Views and queries of the event feed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from scalecommerce_core.domain.errors import EventsForgotten, Invalid
from scalecommerce_core.domain.feed_cursor import NotCursor, decode_feed_cursor, encode_feed_cursor
from scalecommerce_core.domain.identifiers import AccountId


@frozen
class FeedEvent:
    """An event as one reader may see it; `data` holds its visible fields as JSON types (`domain.event_visibility`)."""

    seq: int
    topic: str
    at: datetime
    data: Mapping[str, Any]


@frozen
class FeedPage:
    """A page of the feed.

    The reader requests the next page after the number `next_after`. `last` is the number of the newest event, whether
    the reader may see it or not. Clients get both as cursors.
    """

    events: tuple[FeedEvent, ...]
    next_after: int
    last: int

    @classmethod
    def of(cls, events: Sequence[FeedEvent], limit: int, last: int) -> "FeedPage":
        """Return the page of `events`, which were read in the same snapshot as `last`.

        A page that is not full shows all visible events up to `last`: the next page begins after `last`, so that a
        reader of few events does not fall behind the retention period.
        """
        return cls(tuple(events), events[-1].seq if len(events) == limit else last, last)

    @property
    def next_cursor(self) -> str:
        return encode_feed_cursor(self.next_after)

    @property
    def last_cursor(self) -> str:
        return encode_feed_cursor(self.last)


def parse_feed_cursor(field: str, text: str) -> int:
    """The number in a cursor that a client sent; raise `Invalid` for `field`."""
    try:
        return decode_feed_cursor(text)
    except NotCursor:
        raise Invalid.field(
            field, "This is no cursor of the event feed: send one that the feed returned, unchanged."
        ) from None


def check_feed_position(after: int | None, forgotten: int, last: int) -> None:
    """Raise the errors of `EventQueries.feed` for an `after` that is deleted or not yet reached."""
    if after is not None and after < forgotten:
        raise EventsForgotten(after, forgotten)
    if after is not None and after > last:
        raise Invalid.field("after", f"The feed has {last} events so far: give a number from 0 to {last}.")


class EventQueries(Protocol):
    """Events that have a number. The account None stands for staff, who see all events.

    Numbers are dense for staff. For an account they increase, with gaps for the events of others.
    """

    def feed(self, after: int | None, limit: int, account: AccountId | None) -> FeedPage:
        """Return the first `limit` events after the number `after`, or from the oldest stored event on.

        Raise `EventsForgotten` if events after `after` have been deleted, and `Invalid` if `after` is greater than
        the number of the newest event.
        """
        ...

    def visible_events(self, numbers: Collection[int], account: AccountId | None) -> Mapping[int, FeedEvent]:
        """Return by number the events that are still stored and visible to the account."""
        ...
