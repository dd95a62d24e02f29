"""`events/api/v1/`: the event feed."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from attrs import evolve
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, Header, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.prefer_header import MAX_WAIT, PREFERENCE_APPLIED, WAIT_SCHEMA, parse_wait
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import EventsForgotten, Invalid
from scalecommerce_core.domain.feed_cursor import EXAMPLE, MAX_NUMBER
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.webhook import TOPICS
from scalecommerce_core.queries import FeedEvent, FeedPage, parse_feed_cursor

ROOT: Final = "/events/api/v1/"
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
PREFER_EVENTS: Final = Header(
    "Prefer",
    f"`wait=N`: if there are no new events, wait up to N seconds (at most {MAX_WAIT}) for one.",
    WAIT_SCHEMA,
)
PREFERENCE_APPLIED_SOMETIMES: Final = evolve(PREFERENCE_APPLIED, always=False)

POLL_SECONDS: Final = (0.1, 0.2, 0.4, 1.0)
"""Pauses between polls of the feed during `Prefer: wait`; the last one repeats. New events get numbers every second."""


EventNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
DEPRECATED: Final = {"deprecated": True}


class FeedQuery(msgspec.Struct, frozen=True):
    cursor: Annotated[
        str | None,
        msgspec.Meta(
            description="The position from which to read: `next_cursor` of the previous page, or `last_cursor` for new"
            " events only. By default, the page begins with the oldest stored event.",
            examples=[EXAMPLE],
        ),
    ] = None
    after: Annotated[
        EventNumber | None,
        msgspec.Meta(
            description="The number of the last event that you have read. Use `cursor` instead: the next release"
            " refuses `after`.",
            examples=[0],
            extra_json_schema=DEPRECATED,
        ),
    ] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="Events per page.", examples=[20])] = (
        DEFAULT_LIMIT
    )


class EventSchema(msgspec.Struct):
    """`seq` is the permanent number of the event; the fields of `data` depend on `topic` and on the caller."""

    seq: int
    topic: Annotated[str, msgspec.Meta(examples=["order.paid"], extra_json_schema={"enum": list(TOPICS)})]
    at: datetime
    data: dict[str, Any]


class FeedSchema(msgspec.Struct):
    """A page of the feed. The fields that are deprecated will be absent in the next release."""

    results: list[EventSchema]
    next_cursor: Annotated[str, msgspec.Meta(description="The `cursor` of the next page.")]
    last_cursor: Annotated[
        str,
        msgspec.Meta(description="The `cursor` after the newest event of the market, visible to the caller or not."),
    ]
    next_after: Annotated[int, msgspec.Meta(description="`next_cursor` as a number.", extra_json_schema=DEPRECATED)]
    last: Annotated[int, msgspec.Meta(description="`last_cursor` as a number.", extra_json_schema=DEPRECATED)]


class EventResource:
    """The event feed of the caller."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._feed = dependencies.market.queries.feed

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="readEvents",
        summary="Read events in order",
        description="Staff read all events, other accounts those of their own orders, sales and products. No event"
        " appears later before one that was returned. Old events are deleted; the response is 410 if `cursor` precedes"
        " the oldest stored event.",
        responses={
            200: ResponseSpec(FeedSchema, "Events after `cursor`, oldest first.", [PREFERENCE_APPLIED_SOMETIMES])
        },
        tag="Events",
        access=Access.ACCOUNT,
        scope=Scope.EVENTS_READ,
        headers=[PREFER_EVENTS],
        errors=(EventsForgotten,),
    )
    async def read_events(self, call: Call[None, FeedQuery]) -> Response:
        account = None if call.identity.is_staff else call.identity.account_id
        limit = call.query.limit
        page = await self._dependencies.run_in_thread(self._first_page, call.query, account)
        seconds = parse_wait(call.request.headers)
        if seconds is None:
            return json_response(to_feed_schema(page))
        deadline = asyncio.get_running_loop().time() + seconds
        pauses = iter(POLL_SECONDS)
        while not page.events and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(next(pauses, POLL_SECONDS[-1]), left))
            page = await self._dependencies.run_in_thread(self._feed, page.next_after, limit, account)
        return json_response(to_feed_schema(page), headers={"Preference-Applied": f"wait={seconds}"})

    def _first_page(self, query: FeedQuery, account: AccountId | None) -> FeedPage:
        if query.cursor is None:
            return self._feed(query.after, query.limit, account)
        if query.after is not None:
            raise Invalid.field("after", "Send either `cursor` or `after`, which is deprecated.")
        try:
            return self._feed(parse_feed_cursor("cursor", query.cursor), query.limit, account)
        except Invalid as error:
            # Clients do not know the number in the cursor, so the error does not state it.
            if "after" not in error.errors:
                raise
            raise Invalid.field(
                "cursor",
                "No event has this cursor: it is from another market, or was issued before a backup was"
                " restored. Read the feed without `cursor`.",
            ) from None


def to_feed_schema(page: FeedPage) -> FeedSchema:
    results = [to_event_schema(event) for event in page.events]
    return FeedSchema(results, page.next_cursor, page.last_cursor, page.next_after, page.last)


def to_event_schema(event: FeedEvent) -> EventSchema:
    return EventSchema(event.seq, event.topic, event.at, dict(event.data))
