"""`security`: counters of security events, and encryption of stored secrets with the present key."""

from typing import Annotated

import typer
from attrs import asdict

from adapters.cli.failures import ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, progress_bars
from adapters.cli.tables import columns, print_table

MAX_DAYS = 30
"""As long as the counters are kept."""
MAX_OWNERS = 20
"""Most ids of accounts or endpoints in one line of the output; `--json` has all."""
ON_INTERRUPT = "Completed batches stay. Run the command again for the rest."

app = typer.Typer(no_args_is_help=True, help="Security events, encryption of stored secrets.")


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


@app.command()
def reencrypt(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Encrypt stored secrets with the present key, so that former keys can be removed from the settings.

    First start all processes with the new ENCRYPTION_SECRET (or JWT_SECRET) and the former one among the previous
    secrets. The command is safe beside them, and may be repeated. Exits with 1 if a secret cannot be decrypted by
    any of the keys.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, progress_bars(ON_INTERRUPT, quiet=as_json) as progress:
        results = opened.market.reencryption.run(progress)
    if as_json:
        print_json([asdict(each) for each in results])
    else:
        numbers = ("checked", "encrypted again", "cannot be decrypted")
        print_table(
            columns("secrets", *numbers, numbers=numbers),
            [[each.kind, each.checked, each.changed, each.unreadable] for each in results],
        )
        for each in results:
            if each.owners:
                of = "accounts" if each.kind == "second factors" else "endpoints"
                more = ", …" if len(each.owners) > MAX_OWNERS else ""
                ids = ", ".join(map(str, each.owners[:MAX_OWNERS]))
                print_line(f"No key decrypts the {each.kind} of {of} {ids}{more}.")
        if not any(each.unreadable for each in results):
            print_line("All stored secrets are encrypted with the present key.")
    if any(each.unreadable for each in results):
        raise typer.Exit(ExitCode.PROBLEM)
