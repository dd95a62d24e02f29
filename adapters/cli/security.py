"""`security events`: the counters of security events."""

from typing import Annotated

import typer

from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json
from adapters.cli.tables import columns, print_table

MAX_DAYS = 30
"""As long as the counters are kept."""

app = typer.Typer(no_args_is_help=True, help="Security events.")


@app.command()
def events(
    ctx: typer.Context,
    days: Annotated[
        int, typer.Option("--days", min=1, max=MAX_DAYS, help="Number of days, with today as the last.", metavar="DAYS")
    ] = 7,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count log-ins, failed log-ins, refused requests, exceeded limits and other security events by day (UTC).

    The log has a line for each event, with the logger `scalecommerce.security`; of a flood of events it has the first
    ones and their number. Counters are kept for 30 days.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        counts = opened.count_security_events(days)
    rows = [(day, kind, count) for day, of_day in sorted(counts.items()) for kind, count in sorted(of_day.items())]
    if as_json:
        print_json([{"day": day.isoformat(), "event": kind, "count": count} for day, kind, count in rows])
        return
    print_table(
        columns("day (UTC)", "event", "count", numbers=["count"]),
        [[day.isoformat(), kind, count] for day, kind, count in rows],
        nothing=f"There were no security events in the last {days} days.",
    )
