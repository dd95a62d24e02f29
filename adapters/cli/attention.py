"""`attention`, `backlogs`, and the retries of payments, refunds and e-mails."""

from typing import Annotated
from uuid import UUID

import typer
from attrs import asdict

from adapters.cli.failures import ExitCode
from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line
from adapters.cli.tables import columns, print_facts, print_table
from scalecommerce_core.domain.audit import OPERATOR
from scalecommerce_core.domain.identifiers import EmailId, PaymentId, RefundId
from scalecommerce_core.queries import MAX_COUNTED, Trouble, TroubleKind

COMMANDS = {
    TroubleKind.PARKED_ORDER: "orders requeue ORDER",
    TroubleKind.STUCK_PAYMENT: "payments check PAYMENT",
    TroubleKind.STUCK_REFUND: "payments send-refund REFUND",
    TroubleKind.PRICING_STOPPED: "pricing resume",
    TroubleKind.RUN_AWAITING_APPROVAL: "pricing approve RUN --by STAFF",
    TroubleKind.DISABLED_WEBHOOK: "webhooks enable ENDPOINT",
    TroubleKind.DELAYED_EMAIL: "emails send EMAIL",
}
"""The commands that solve a kind of trouble."""

payments = typer.Typer(no_args_is_help=True, help="Retry payments and refunds.")
emails = typer.Typer(no_args_is_help=True, help="Retry delayed e-mails.")


def attention(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Show at most N of each kind.")] = 10,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what needs a person, with causes and the commands that help.

    Parked orders, payments and refunds without an answer of the gateway, late workers, stopped pricing, runs that await
    approval or failed, disabled webhooks, delayed e-mails. Exits with 1 if there are any, so that a monitor can run it.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.troubles(opened.market.clock.now(), limit)
    if as_json:
        print_json(
            [
                asdict(trouble) | {"since": trouble.since, "meaning": trouble.meaning.sentence, **_command(trouble)}
                for trouble in found
            ]
        )
    elif not found:
        print_line("Nothing needs a person.")
    for trouble in () if as_json else found:
        _print(trouble)
    if found:
        raise typer.Exit(ExitCode.PROBLEM)


def _command(trouble: Trouble) -> dict[str, str | None]:
    return {"command": COMMANDS.get(trouble.kind)}


def _print(trouble: Trouble) -> None:
    count = f"{trouble.count:,} or more" if trouble.count == MAX_COUNTED else f"{trouble.count:,}"
    print_table(
        columns("id", "name", "since", "cause", "order", "account", "tries", "next try", prose=("name", "cause")),
        [
            [
                item.id,
                item.name,
                format_time(item.since),
                item.cause,
                item.order,
                item.account,
                item.tries,
                format_time(item.next_try_at),
            ]
            for item in trouble.items
        ],
        title=f"{trouble.kind.value.replace('_', ' ')}: {count}",
    )
    print_line(trouble.meaning.sentence)
    if trouble.kind in COMMANDS:
        print_line(f"Command: scalecommerce {COMMANDS[trouble.kind]}")
    print_line("")


def backlogs(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Count what waits for background work, and say since when.

    Undecided orders, events without a number, readers of events that are late, payments and refunds in progress,
    e-mails and webhooks. Numbers grow while no worker runs.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.backlogs()
    if as_json:
        print_json(asdict(found))
        return
    print_facts(
        [
            ("orders without a decision", _since(found.undecided_orders, format_time(found.oldest_undecided))),
            ("events without a number", _since(found.unnumbered_events, format_time(found.oldest_unnumbered))),
            *(
                (f"events not read by {each.name}", _since(each.events, format_time(each.oldest)))
                for each in found.consumers
            ),
            ("imported rows not in statistics", f"{found.pending_statistics:,}"),
            ("payments in progress", f"{found.open_payments:,}"),
            ("refunds in progress", f"{found.open_refunds:,}"),
            ("e-mails that wait", f"{found.waiting_emails:,}"),
            ("webhooks that wait", f"{found.waiting_deliveries:,}"),
        ]
    )


def _since(count: int, oldest: str) -> str:
    return f"{count:,}" + (f", since {oldest}" if oldest else "")


@payments.command()
def check(
    ctx: typer.Context,
    payment: Annotated[UUID, typer.Argument(help="Id of the payment, from `attention`.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look up a payment at the gateway within seconds, if its outcome is unknown.

    A worker asks the gateway; without this command it does so at the next scheduled time, at most an hour later.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        opened.market.payments.check_now(PaymentId(payment), OPERATOR)
    _confirm(as_json, "payment", str(payment), "is looked up at the gateway within seconds.")


@payments.command("send-refund")
def send_refund(
    ctx: typer.Context,
    refund: Annotated[UUID, typer.Argument(help="Id of the refund, from `attention`.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a refund to the gateway within seconds, if the gateway has not confirmed it.

    With the same key as before, so that the money goes back once. Without this command, a worker sends it at the next
    scheduled time, at most an hour later.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        opened.market.payments.send_refund_now(RefundId(refund), OPERATOR)
    _confirm(as_json, "refund", str(refund), "is sent to the gateway within seconds.")


@emails.command()
def send(
    ctx: typer.Context,
    email: Annotated[
        int,
        typer.Argument(min=1, max=MAX_BIGINT, help="Number of the e-mail, from `attention`.", show_default=False),
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a delayed e-mail within seconds.

    Without this command, a worker sends it at the next scheduled time, at most eight hours later.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        opened.market.emails.send_now(EmailId(email), OPERATOR)
    _confirm(as_json, "email", email, "is sent within seconds.")


def _confirm(as_json: bool, kind: str, id_: int | str, what: str) -> None:
    if as_json:
        print_json({kind: id_})
    else:
        print_line(f"{kind.capitalize().replace('Email', 'E-mail')} {id_} {what}")
