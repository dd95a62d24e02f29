"""`pricing evaluate`: evaluate past prices and sales as data for estimating elasticities."""

from pathlib import Path
from typing import Annotated

import typer
from attrs import asdict

from adapters.cli.failures import ExitCode
from adapters.cli.options import JsonOption
from adapters.cli.screen import print_json, print_line, progress_bars
from adapters.cli.tables import Cell, columns, print_facts, print_table

app = typer.Typer(no_args_is_help=True, help="Inspect, stop and evaluate pricing.")


@app.callback()
def pricing() -> None:
    """Inspect, stop and evaluate pricing."""


@app.command()
def evaluate(  # noqa: PLR0917 - Typer's options have names
    file: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="CSV file, optionally compressed with gzip.")
    ],
    cell: Annotated[
        str, typer.Option(help="Columns that identify whatever has its own price, for example store,brand.")
    ] = "product",
    group: Annotated[
        str, typer.Option(help="Columns of the category, within which elasticities are combined.", show_default="none")
    ] = "",
    period: Annotated[str, typer.Option(help="Column with whole numbers, dates, or times.")] = "period",
    units: Annotated[str, typer.Option(help="Column with the units sold.")] = "units",
    log_units: Annotated[
        bool, typer.Option("--log-units", help="The units column holds natural logarithms.", show_default=False)
    ] = False,
    price: Annotated[
        str, typer.Option(help="Column with the price; price{brand} reads the column price7 in a row of brand 7.")
    ] = "price",
    bucket: Annotated[
        int, typer.Option(min=1, help="Number of periods to combine, for example 7 to make weeks of days.")
    ] = 1,
    held_back: Annotated[
        float, typer.Option(min=0.05, max=0.9, help="Share of the periods to test on, at the end.")
    ] = 0.2,
    cold_start: Annotated[int, typer.Option(min=2, help="Number of training periods of the cold-start test.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Evaluate whether elasticities can be estimated from past prices and sales, and how well they predict sales.

    Each row is a sale, or the sales of a period. Elasticities are fitted on the first periods and tested on the last
    ones: without prices, for each cell alone, and shrunk towards the category. Exits with 1 and the reasons if the
    data are not suitable: prices that depend on the quantity bought, or that hardly change.
    """
    # Imported here, because numpy slows the start of other commands.
    from adapters.cli.panels import PanelColumns, read_lines
    from scalecommerce_core.pricing.evaluation.report import evaluate_panel

    named = PanelColumns(_names(cell), _names(group), period, units, price, log_units)
    with progress_bars("Nothing was changed.", quiet=as_json) as progress:
        progress("reading", 0, None)
        lines, left_out = read_lines(file, named)
        progress("reading", len(lines), len(lines))
        report = evaluate_panel(lines, periods_in_one=bucket, held_back=held_back, cold_periods=cold_start)
    if as_json:
        facts = asdict(report) | {
            "advice": report.advice,
            "supports_learning": report.supports_learning,
            "verdict": report.verdict,
        }
        print_json({"rows_left_out": left_out, **facts})
    else:
        unknown = "unknown: prices hardly change"
        median, quartiles, negative = report.elasticity_median, report.elasticity_quartiles, report.negative_share
        print_facts(
            [
                ("rows used, left out", f"{report.rows:,}, {left_out:,}"),
                ("cells, categories, periods", f"{report.cells:,}, {report.groups:,}, {report.periods:,}"),
                (
                    "elasticity, median (quartiles)",
                    unknown
                    if median is None or quartiles is None
                    else f"{median:.2f} ({quartiles[0]:.2f} to {quartiles[1]:.2f})",
                ),
                ("elasticities below 0", unknown if negative is None else f"{negative:.1%}"),
                ("cells with a flat price", f"{report.flat_share:.1%}"),
                ("cells' days with several prices", f"{report.mixed_share:.1%} of those with several sales"),
            ]
        )
        rows: list[list[Cell]] = []
        for forecast in (report.forecast, report.cold_start):
            if forecast is not None:
                for name, errors in (
                    ("without prices", forecast.without_price),
                    ("each cell alone", forecast.alone),
                    ("shrunk to categories", forecast.shrunk),
                ):
                    rows.append([
                        f"{forecast.train_periods:,} periods", f"{forecast.test_rows:,} rows", name,
                        f"{errors.log_rmse:.3f}", f"{errors.wape:.1%}",
                    ])  # fmt: skip
        if rows:
            print_table(
                columns("trained on", "tested on", "model", "log-RMSE", "WAPE", numbers=("log-RMSE", "WAPE")), rows
            )
        if report.advice:
            print_line(report.advice, style="yellow")
        print_line(report.verdict, style="green" if report.supports_learning else "red")
    if not report.supports_learning:
        raise typer.Exit(ExitCode.PROBLEM)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
