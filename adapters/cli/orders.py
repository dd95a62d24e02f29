"""`orders`: list and show the orders of all accounts, requeue parked ones, and archive and verify settled ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption, ReasonOption, moment
from adapters.cli.options import buyer as buyer_option
from adapters.cli.options import limit as limit_option
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, progress_bars
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_facts, print_table
from scalecommerce_core.domain.audit import OPERATOR
from scalecommerce_core.domain.errors import Invalid, MarketError, NotFound
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import ArchivedMonth, OrderDetails, OrderFilter, PageRequest, StaffOrderView
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.services.results import unwrap_single

app = typer.Typer(
    no_args_is_help=True, help="Find orders of all accounts, requeue parked, cancel unpaid and archive settled ones."
)

BATCH: Final = 500
"""Orders that are archived in one transaction."""
SHOWN: Final = 100
"""Discrepancies that `verify` shows."""

OrderArgument = Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the order.", show_default=False)]


@app.command("list")
def list_orders(  # noqa: PLR0917 - Typer's options have names
    ctx: typer.Context,
    search: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]",
            help="Number of an order, or words in the name of a product of the order.",
            show_default=False,
        ),
    ] = None,
    status: Annotated[
        OrderStatus | None, typer.Option(help="Select orders with this status.", show_default=False)
    ] = None,
    buyer: Annotated[str | None, buyer_option("Select orders of this buyer.")] = None,
    seller: Annotated[str | None, seller_option("Select orders with products of this seller.")] = None,
    product: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_BIGINT, metavar="ID", help="Select orders of this product.", show_default=False),
    ] = None,
    since: Annotated[datetime | None, moment("--since", "Select orders placed after this time.")] = None,
    until: Annotated[datetime | None, moment("--until", "Select orders placed before this time.")] = None,
    parked: Annotated[
        bool, typer.Option("--parked", help="Select orders that are not decided any more.", show_default=False)
    ] = False,
    limit: Annotated[int, limit_option()] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List orders of all accounts, newest first, with their lines.

    An order is parked when its decision has failed five times; the last failure is shown.
    """
    try:
        check_ranges(("--since", since, "--until", until))
    except Invalid as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from None
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        criteria = OrderFilter(
            status=status,
            buyer=None if buyer is None else find_account(market, buyer),
            seller=None if seller is None else find_account(market, seller),
            product=None if product is None else ProductId(product),
            created_after=since,
            created_before=until,
            is_parked=parked,
            search=search,
        )
        found: list[StaffOrderView] = []
        page = market.queries.all_orders(PageRequest(limit), criteria)
        found += page.rows
        # A page examines a limited number of orders, so more pages may be needed.
        while page.next is not None and len(found) < limit:
            page = market.queries.all_orders(PageRequest(limit - len(found), after=page.next), criteria)
            found += page.rows
    if as_json:
        print_json([asdict(view) for view in found])
        return
    print_table(
        columns("id", "buyer", "placed", "status", "total", "lines", numbers=("id", "buyer"), prose=("lines",)),
        [
            [
                view.order.id,
                view.order.user,
                view.order.created_at,
                "parked" if view.is_parked else view.order.status,
                str(Money(view.order.total, view.order.currency)),
                _lines(view),
            ]
            for view in found
        ],
        nothing="There are no such orders.",
    )


@app.command()
def show(ctx: typer.Context, order: OrderArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show an order with its timeline, payments, refunds and stock movements."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        details = opened.market.queries.order_details(OrderId(order))
    if details is None:
        raise NotFound("order", order)
    if as_json:
        print_json(asdict(details) | {"timeline": [asdict(entry) for entry in details.timeline]})
        return
    _print_details(details)


@app.command()
def requeue(
    ctx: typer.Context,
    orders: Annotated[
        list[int],
        typer.Argument(metavar="ORDER...", min=1, max=MAX_BIGINT, help="Numbers of parked orders.", show_default=False),
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let parked orders be decided again; a worker does so within a second.

    Remove the cause of the failures first: `orders show` shows it. Exits with 1 if some orders are not parked.
    """
    requeued, refused = list[int](), list[str]()
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        for order in orders:
            try:
                requeued.append(opened.market.ordering.requeue(OrderId(order), OPERATOR).id)
            except MarketError as error:
                refused.append(str(error))
    if as_json:
        print_json({"requeued": requeued, "refused": refused})
    else:
        if requeued:
            print_line(f"Requeued: {', '.join(map(str, requeued))}.")
        for sentence in refused:
            print_line(sentence)
    if refused:
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def cancel(
    ctx: typer.Context, order: OrderArgument, reason: ReasonOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Cancel an unpaid order of anybody and release its reservation.

    The buyer sees that staff cancelled it; the audit log keeps the reason.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        command = CancelOrder(OrderId(order), AccountId(0), reason, as_staff=True)
        cancelled = unwrap_single(opened.market.ordering.cancel([command]))
    if as_json:
        print_json({"id": cancelled.id, "status": cancelled.status})
        return
    print_line(f"Order {cancelled.id} is cancelled.")


@app.command()
def archive(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Move the orders that have been settled for ORDERS_HOT_DAYS to the archive.

    A task of the workers does so every minute; this command archives all such orders at once, for example after the
    setting was introduced. Reads find archived orders as before, and a refund moves one back. Each batch is a
    transaction of its own, so Ctrl-C keeps what was archived, and the command can be repeated.
    """
    runtime: Runtime = ctx.obj
    done = 0
    with runtime.open(data) as opened:
        archiving = opened.market.archiving
        if not archiving.is_on:
            raise CommandFailed(
                "No orders are archived: ORDERS_HOT_DAYS is not set. Set it for this command and for the workers. If"
                " `scalecommerce up` is running, restart it with ORDERS_HOT_DAYS."
            )
        with progress_bars("Completed batches stay archived.", quiet=as_json) as progress:
            while archived := archiving.archive(BATCH):
                done += archived
                progress("orders", done, None)
    if as_json:
        print_json({"archived": done})
    else:
        print_line(f"{done:,} orders archived.")


@app.command()
def verify(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Compare the archive with its checksums and sums; list its months.

    Each order has a checksum of all its rows, each month the number of orders, the units and the money of its orders,
    and each product the units that its archived orders moved. Exits with 1 and the first 100
    differences if any exist. `stock verify` checks the orders that are not archived.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        queries = opened.market.queries
        found = queries.archive_discrepancies(SHOWN + 1)
        months = queries.archived_months()
    differing, has_more = found[:SHOWN], len(found) > SHOWN
    if as_json:
        discrepancies = [asdict(each) for each in differing]
        document = {"clean": not differing, "discrepancies": discrepancies, "has_more": has_more}
        print_json(document | {"months": [asdict(each) for each in months]})
    elif differing:
        print_table(
            columns("figure", "of", "stored", "expected", numbers=("stored", "expected")),
            [[each.figure, each.key, each.stored, each.expected] for each in differing],
        )
        if has_more:
            print_line(f"These are the first {SHOWN} discrepancies; there are more.")
    else:
        _print_months(months)
        print_line("Clean: the rows of the archive have the stored checksums and sums.")
    if differing:
        raise typer.Exit(ExitCode.PROBLEM)


def _print_months(months: Sequence[ArchivedMonth]) -> None:
    numbers = "orders", "units", "amount", "refunded units", "refunded"
    print_table(
        columns("month", *numbers, numbers=numbers),
        [
            [
                f"{each.month:%Y-%m}",
                each.orders,
                each.units,
                str(Money(each.amount, each.currency)),
                each.refunded_units,
                str(Money(each.refunded_amount, each.currency)),
            ]
            for each in months
        ],
        nothing="The archive is empty.",
    )


def _lines(view: StaffOrderView) -> str:
    said = ", ".join(f"{line.quantity} x {line.name}" for line in view.order.lines)
    return f"{said} - {view.decide_error}" if view.is_parked and view.decide_error else said


def _print_details(details: OrderDetails) -> None:
    view, currency = details.view, details.view.order.currency
    print_facts(
        [
            ("order", view.order.id),
            ("buyer", view.order.user),
            ("status", "parked" if view.is_parked else view.order.status.value),
            ("total", str(Money(view.order.total, currency))),
            ("last failure", view.decide_error),
        ]
    )
    print_table(
        columns("product", "name", "seller", "quantity", "price", "refunded", numbers=("quantity",), prose=("name",)),
        [
            [line.product, line.name, line.seller, line.quantity, str(Money(line.price, currency)), line.refunded]
            for line in view.order.lines
        ],
        title="Lines",
    )
    print_table(
        columns("time", "what", "amount", "by", "details", prose=("details",)),
        [
            [
                entry.at,
                entry.moment.value.replace("_", " "),
                "" if entry.amount is None else str(Money(entry.amount, currency)),
                entry.by,
                entry.text,
            ]
            for entry in details.timeline
        ],
        title="Timeline",
    )
    if details.payments:
        print_table(
            columns("payment", "status", "reference", "cause", prose=("reference", "cause")),
            [[str(each.id), each.status, each.reference, each.trouble or each.reason] for each in details.payments],
            title="Payments",
        )
    refunds = [refund for payment in details.payments for refund in payment.refunds]
    if refunds:
        print_table(
            columns("refund", "status", "amount", "tries", "cause", prose=("cause",)),
            [
                [str(each.id), each.status, str(Money(each.amount, currency)), each.tries, each.trouble]
                for each in refunds
            ],
            title="Money that goes back",
        )
    if details.movements:
        print_table(
            columns("time", "product", "stock", "kind", numbers=("stock",)),
            [[each.at, each.product, f"{each.quantity:+}", each.kind] for each in details.movements],
            title="Stock movements",
        )
