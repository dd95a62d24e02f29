"""`webhooks`: list endpoints and deliveries, and repeat deliveries."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption, moment
from adapters.cli.options import account as account_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import format_counts, on_interrupt, print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.errors import Invalid, MarketError, NotFound
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries import DeliveryView, EndpointView, PageRequest
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import EditEndpoint, Redeliver

BATCH: Final = 500
ON_INTERRUPT: Final = "Deliveries queued so far will be sent. Run the command again for the rest."
OPERATOR: Final = AccountId(0)
"""Commands act as staff. No account has this id."""

app = typer.Typer(no_args_is_help=True, help="Inspect and repeat outgoing webhooks.")

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show at most N.")]
EndpointOption = Annotated[
    int | None,
    typer.Option("--endpoint", min=1, max=MAX_BIGINT, help="Select deliveries of this endpoint.", show_default=False),
]


@app.command("list")
def list_endpoints(  # noqa: PLR0917 - options
    ctx: typer.Context,
    account: Annotated[str | None, account_option("Select endpoints of this account.")] = None,
    inactive: Annotated[
        bool, typer.Option("--inactive", help="Select endpoints that are disabled.", show_default=False)
    ] = False,
    limit: LimitOption = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List endpoints with their owners and topics, and whether they are active, failing or disabled."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        owner = None if account is None else find_account(opened.market, account)
        page = opened.market.queries.endpoints(owner, PageRequest(limit), is_active=False if inactive else None)
        endpoints = page.rows
    if as_json:
        print_json([asdict(endpoint) for endpoint in endpoints])
        return
    print_table(
        columns("id", "owner", "url", "topics", "state", numbers=("id", "owner"), prose=("topics", "state")),
        [[each.id, each.owner, each.url, ", ".join(each.topics) or "all", _state(each)] for each in endpoints],
        nothing="There are no endpoints.",
    )


@app.command()
def enable(
    ctx: typer.Context,
    endpoint: Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the endpoint.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enable a disabled endpoint again: its failures are forgotten, and the deliveries that waited are sent."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        command = EditEndpoint(EndpointId(endpoint), OPERATOR, {"is_active": True}, as_staff=True)
        enabled = unwrap_single(opened.market.webhooks.edit([command]))
    if as_json:
        print_json({"id": enabled.id, "is_active": enabled.is_active})
        return
    print_line(f"Endpoint {enabled.id} is active.")


@app.command()
def deliveries(  # noqa: PLR0917 - options
    ctx: typer.Context,
    endpoint: EndpointOption = None,
    account: Annotated[str | None, account_option("Select deliveries to endpoints of this account.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Select deliveries that failed permanently.", show_default=False)
    ] = False,
    limit: LimitOption = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest deliveries with their number of attempts and the last response of the receiver."""
    runtime: Runtime = ctx.obj
    to = None if endpoint is None else EndpointId(endpoint)
    with runtime.open(data) as opened:
        if to is not None and account is not None:
            raise CommandFailed("Pass either --endpoint or --account.", ExitCode.USAGE)
        owner = None if account is None else find_account(opened.market, account)
        if to is not None and opened.market.queries.endpoint(to) is None:
            raise NotFound("endpoint", to)
        page = opened.market.queries.deliveries(
            to, PageRequest(limit), status=DeliveryStatus.FAILED if failed else None, owner=owner
        )
    if as_json:
        print_json([asdict(delivery) for delivery in page.rows])
        return
    print_table(
        columns(
            "id", "endpoint", "topic", "created", "status", "attempts", "last response", "next attempt",
            numbers=("id", "endpoint", "attempts"), prose=["last response"],
        ),
        [
            [row.id, row.endpoint, row.topic, row.created_at, row.status, len(row.log), _last(row), row.try_at]
            for row in page.rows
        ],
        nothing="There are no such deliveries.",
    )  # fmt: skip


@app.command()
def verify(
    ctx: typer.Context,
    endpoint: Annotated[
        int, typer.Argument(metavar="ENDPOINT", min=1, max=MAX_BIGINT, help="Id of the endpoint.", show_default=False)
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send events to an endpoint whose receiver cannot return a challenge, because you know this receiver."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        verified = unwrap_single(opened.market.webhooks.mark_verified([EndpointId(endpoint)]))
    if as_json:
        print_json({"verified": verified.id})
    else:
        print_line(f"Endpoint {verified.id} receives events from now on.")


@app.command()
def redeliver(  # noqa: PLR0917 - options
    ctx: typer.Context,
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[DELIVERY]...", min=1, max=MAX_BIGINT, help="Ids of deliveries.", show_default=False),
    ] = None,
    endpoint: EndpointOption = None,
    since: Annotated[
        datetime | None,
        moment(
            "--since",
            "Select deliveries created at or after this time, such as 2026-01-31T12:00:00Z (default: a day before"
            " --until).",
        ),
    ] = None,
    until: Annotated[
        datetime | None, moment("--until", "Select deliveries created before this time (default: now).")
    ] = None,
    delivered_too: Annotated[
        bool, typer.Option("--delivered-too", help="Include deliveries that succeeded.", show_default=False)
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat deliveries, selected by id, or by endpoint and time.

    Messages keep their ids, by which receivers recognize repetitions. Exits with 1 if some cannot be repeated.
    """
    if bool(ids) == (endpoint is not None):
        raise CommandFailed("Pass either ids of deliveries or --endpoint.", ExitCode.USAGE)
    if ids and (since is not None or until is not None or delivered_too):
        raise CommandFailed(
            "--since, --until and --delivered-too require --endpoint; they do not apply to ids.",
            ExitCode.USAGE,
        )
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        now = market.clock.now()
        if endpoint is None:
            sent, refused = _redeliver(market, [DeliveryId(each) for each in ids or ()])
        else:
            try:
                end = until if until is not None else now
                begin = since if since is not None else end - timedelta(days=1)
                check_ranges(("--since", begin, "--until" if until is not None else "now", end))
            except Invalid as error:
                raise CommandFailed(str(error), ExitCode.USAGE) from None
            except OverflowError:
                raise CommandFailed("--until: The calendar has no day before this time.", ExitCode.USAGE) from None
            with on_interrupt(ON_INTERRUPT):
                sent, refused = _redeliver_range(market, EndpointId(endpoint), begin, end, delivered_too=delivered_too)
    if as_json:
        print_json({"redelivered": sent, "refused": refused})
    else:
        if sent or not refused:
            print_line(f"Queued again: {format_counts({'deliveries': sent})}.")
        for sentence in refused:
            print_line(sentence)
    if refused:
        raise typer.Exit(ExitCode.PROBLEM)


def _redeliver(market: Market, ids: Sequence[DeliveryId]) -> tuple[int, list[str]]:
    outcomes = market.webhooks.redeliver([Redeliver(each, OPERATOR, as_staff=True) for each in ids])
    refused = [str(outcome) for outcome in outcomes if isinstance(outcome, MarketError)]
    return len(outcomes) - len(refused), refused


def _redeliver_range(
    market: Market, endpoint: EndpointId, since: datetime, until: datetime, *, delivered_too: bool
) -> tuple[int, list[str]]:
    statuses = {DeliveryStatus.FAILED, DeliveryStatus.DELIVERED} if delivered_too else {DeliveryStatus.FAILED}
    sent, refused, after = 0, list[str](), None
    while True:
        with market.store.begin() as tx:
            ids = tx.deliveries.settled_ids(endpoint, since, until, statuses, after=after, limit=BATCH)
        if not ids:
            return sent, refused
        more, complaints = _redeliver(market, ids)
        sent, after = sent + more, ids[-1]
        refused += [complaint for complaint in complaints if complaint not in refused]


def _state(endpoint: EndpointView) -> str:
    if not endpoint.is_active:
        return f"disabled: {endpoint.disabled_because}" if endpoint.disabled_because else "inactive"
    if not endpoint.is_verified:
        return "not verified"
    return f"failing since {format_time(endpoint.failing_since)}" if endpoint.failing_since else "active"


def _last(delivery: DeliveryView) -> str:
    if not delivery.log:
        return ""
    last = delivery.log[-1]
    return last.error if last.error is not None else f"{last.status} in {last.took} ms"
