"""`events tail`: the event feed for operators."""

import sys
import time
from typing import Annotated, Any, Final

import typer

from adapters.cli.failures import Interrupted
from adapters.cli.formats import format_time
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.feed_cursor import MAX_NUMBER
from scalecommerce_core.domain.numbers import NotNumber, parse_integer
from scalecommerce_core.domain.text import printable
from scalecommerce_core.queries import EventQueries, FeedEvent, parse_feed_cursor

NEWEST: Final = 20
PAGE: Final = 1_000
PAUSE: Final = 0.5
"""Seconds between two reads with --follow."""

app = typer.Typer(no_args_is_help=True, help="Read the event feed.")


@app.command()
def tail(
    ctx: typer.Context,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            help=f"Start after this cursor of the feed, or this number of an event; default: the newest {NEWEST}"
            " events.",
            metavar="CURSOR",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more events until Ctrl-C.", show_default=False)
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the events of the market, oldest first, with all fields that staff may see.

    One event per line: number, time, topic and data; with --json one object per line. Numbers have no gaps. An
    event gets its number about a second after it happened, and is kept for `EVENT_RETENTION_DAYS`.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        queries = opened.market.queries
        place = _newest(queries) if after is None else _place(after)
        try:
            while True:
                page = queries.feed(place, PAGE, None)
                for event in page.events:
                    _print(_document(event) if as_json else _line(event))
                place = page.next_after
                if not page.events:
                    if not follow:
                        return
                    time.sleep(PAUSE)
        except KeyboardInterrupt as error:
            raise Interrupted(f"Continue with --after {place}.") from error


def _place(text: str) -> int:
    """The number of the event after which to read. Numbers are accepted because the command reads one database."""
    try:
        return parse_integer(text, least=0, most=MAX_NUMBER)
    except NotNumber as error:
        if text.lstrip("-").isdecimal():
            raise Invalid.field("after", str(error)) from None
    return parse_feed_cursor("after", text)


def _newest(queries: EventQueries) -> int:
    """The number after which the newest events follow; event numbers have no gaps."""
    page = queries.feed(None, 1, None)
    oldest = page.events[0].seq - 1 if page.events else page.last
    return max(oldest, page.last - NEWEST)


def _document(event: FeedEvent) -> str:
    document: dict[str, Any] = {
        "seq": event.seq, "topic": event.topic, "at": event.at, "data": event.data,
    }  # fmt: skip
    return json_text(document)


def _line(event: FeedEvent) -> str:
    return printable(f"{event.seq:>10}  {format_time(event.at)}  {event.topic:<18}  {json_text(event.data)}")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
