"""`statistics`: the sales of a seller; check rollups against their sources, and rebuild them."""

from datetime import datetime
from typing import Annotated, Any, Final

import typer
from attrs import asdict

from adapters.cli.failures import ExitCode
from adapters.cli.options import DataOption, JsonOption, moment
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import on_interrupt, print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.queries import Interval, SalesFigures, SalesReport, series_range

SHOWN = 100
FIGURES: Final = ("orders", "units", "views", "conversion", "revenue", "refunded")

app = typer.Typer(no_args_is_help=True, help="Show the sales of a seller, and audit the statistics.")


@app.command()
def sales(
    ctx: typer.Context,
    *,
    seller: Annotated[str, seller_option("The seller whose sales are shown.")],
    interval: Annotated[Interval, typer.Option(help="Length of the points of the series (UTC).")] = Interval.DAY,
    since: Annotated[
        datetime | None, moment("--from", "Start of the range; by default, 30 days or 48 hours before its end.")
    ] = None,
    until: Annotated[datetime | None, moment("--to", "End of the range; by default, now.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the sales of a seller in a range, compared with the range of the same length before it.

    The range is made of whole hours or days (UTC). Sales count when they are paid, refunds when they are made.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        begin, end = series_range(interval, since, until, market.clock.now())
        report = market.queries.sales_report(find_account(market, seller), interval, begin, end)
    if as_json:
        print_json(_report_document(report))
        return
    _print_report(report)


def _print_report(report: SalesReport) -> None:
    head = columns("from", *FIGURES, numbers=FIGURES)
    rows = [[point.start, *_cells(point.sales, report.currency)] for point in report.points]
    rows.append(["whole range", *_cells(report.total, report.currency)])
    rows.append(["range before", *_cells(report.previous, report.currency)])
    print_table(head, rows, title=f"Sales in {report.currency}")
    print_table(
        columns("product", "name", *FIGURES, numbers=("product", *FIGURES)),
        [[top.id, top.name, *_cells(top.sales, report.currency)] for top in report.top_products],
        title="Products of the highest revenue",
        nothing="No product was sold in this range.",
    )


def _cells(sold: SalesFigures, currency: str) -> list[str | int | datetime]:
    return [
        f"{sold.orders:,}", f"{sold.units:,}", f"{sold.views:,}", f"{sold.conversion_rate:.1%}",
        decimal_text(sold.revenue, currency), decimal_text(sold.refunded_amount, currency),
    ]  # fmt: skip


def _report_document(report: SalesReport) -> dict[str, Any]:
    currency = report.currency
    return {
        "currency": currency, "interval": report.interval.value, "starts_at": report.since, "ends_at": report.until,
        "previous_starts_at": report.previous_since, "total": _figures(report.total, currency),
        "previous": _figures(report.previous, currency),
        "series": [{"start": point.start, **_figures(point.sales, currency)} for point in report.points],
        "top_products": [
            {"product": top.id, "name": top.name, **_figures(top.sales, currency)} for top in report.top_products
        ],
    }  # fmt: skip


def _figures(sold: SalesFigures, currency: str) -> dict[str, Any]:
    amounts = {name: decimal_text(getattr(sold, name), currency) for name in ("revenue", "refunded_amount")}
    return asdict(sold) | amounts | {"conversion_rate": sold.conversion_rate}


@app.command()
def verify(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check that statistics equal orders, refunds and products.

    Events that are not aggregated yet (those of a few seconds) are left out, so the check may run at any time. Exits
    with 1 and a table of the first 100 differences if there are any.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        differing = opened.market.queries.statistics_discrepancies(SHOWN)
    if as_json:
        print_json({"clean": not differing, "discrepancies": [asdict(each) for each in differing]})
    elif differing:
        print_table(
            columns(
                "rollup", "key", "figure", "stored", "expected", "difference",
                numbers=("stored", "expected", "difference"),
            ),
            [
                [
                    each.rollup, each.key, each.figure, f"{each.stored:,}", f"{each.expected:,}",
                    f"{each.stored - each.expected:+,}",
                ]
                for each in differing
            ],
            title=f"{len(differing)}{' or more' if len(differing) == SHOWN else ''} figures differ from their source",
        )  # fmt: skip
        print_line("`scalecommerce statistics rebuild` rebuilds them.")
    else:
        print_line("Clean: statistics equal orders, refunds and products.")
    if differing:
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def rebuild(
    ctx: typer.Context,
    seller: Annotated[str | None, seller_option("Rebuild only this seller's statistics.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild statistics from orders, refunds and products.

    Safe while the engine runs: events in the meantime are counted once, and new views are counted afterwards. Views
    and times out of stock are kept, because they have no other source.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        account = None if seller is None else find_account(opened.market, seller)
        with on_interrupt("Statistics are unchanged."):
            opened.market.statistics.rebuild(account)
        with on_interrupt("Statistics are rebuilt; workers will add the events since then."):
            opened.market.statistics.catch_up()
    if as_json:
        print_json({"rebuilt": True, "seller": account})
    else:
        print_line(f"The statistics of {f'seller {seller}' if seller else 'all sellers'} are rebuilt.")
