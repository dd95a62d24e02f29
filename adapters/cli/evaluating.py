"""`pricing evaluate`: evaluate past prices and sales as data for estimating elasticities."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import asdict

from adapters.cli.csv_files import TextEncoding
from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import JsonOption
from adapters.cli.panel_options import DateOrder, DecimalSign, PanelFormat
from adapters.cli.screen import print_json, print_line, progress_bars, stdout_console
from adapters.cli.tables import Cell, columns, print_facts, print_table

if TYPE_CHECKING:
    from adapters.cli.panels import PanelFile
    from scalecommerce_core.pricing.evaluation.demand_curve import DemandCurve
    from scalecommerce_core.pricing.evaluation.report import Errors, EvaluationReport

app = typer.Typer(no_args_is_help=True, help="Inspect, stop and evaluate pricing.")


@app.callback()
def pricing() -> None:
    """Inspect, stop and evaluate pricing."""


@app.command()
def evaluate(  # noqa: PLR0917 - Typer's options have names
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            help="CSV file, optionally compressed with gzip, or Parquet file (pip install 'scalecommerce[parquet]').",
        ),
    ],
    cell: Annotated[
        str, typer.Option(help="Columns that identify whatever has its own price, for example store,brand.")
    ] = "product",
    group: Annotated[
        str, typer.Option(help="Columns of the category, within which elasticities are combined.", show_default="none")
    ] = "",
    period: Annotated[
        str, typer.Option(help="Column with dates, times, weeks (2026-W05), months (2026-01) or whole numbers.")
    ] = "period",
    units: Annotated[str, typer.Option(help="Column with the units sold.")] = "units",
    log_units: Annotated[
        bool, typer.Option("--log-units", help="The units column holds natural logarithms.", show_default=False)
    ] = False,
    price: Annotated[
        str, typer.Option(help="Column with the price; price{brand} reads the column price7 in a row of brand 7.")
    ] = "price",
    orders: Annotated[
        str | None,
        typer.Option(
            help="Column with the number of orders that a row sums up; it shows quantity discounts.",
            show_default="orders, if there is such a column",
        ),
    ] = None,
    bucket: Annotated[
        int, typer.Option(min=1, help="Number of periods to combine, for example 7 to make weeks of days.")
    ] = 1,
    held_back: Annotated[
        float, typer.Option(min=0.05, max=0.9, help="Share of the periods to test on, at the end.")
    ] = 0.2,
    cold_start: Annotated[int, typer.Option(min=2, help="Number of training periods of the cold-start test.")] = 8,
    dates: Annotated[
        DateOrder | None,
        typer.Option(help="Order of day and month in dates such as 03/04/2026.", show_default="detected"),
    ] = None,
    decimal: Annotated[
        DecimalSign | None, typer.Option(help="Decimal sign of prices and units.", show_default="detected")
    ] = None,
    encoding: Annotated[
        TextEncoding | None, typer.Option(help="Encoding of a CSV file.", show_default="detected")
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Category or cell whose demand curve is drawn; values of several columns joined by commas.",
            show_default="the category with the median elasticity",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate whether elasticities can be estimated from past prices and sales, and how well they predict sales.

    Each row is a sale, or the sales of a period. Elasticities are fitted on the first periods and tested on the last
    ones: without prices, for each cell alone, and shrunk towards the category. The demand filter of the engine predicts
    each of the last periods from all earlier ones. Exits with 1 and the reasons if the data are not suitable: prices
    that depend on the quantity bought, that follow demand (low in busy periods), that hardly change, or that predict
    nothing.
    """
    # Imported here, because numpy slows the start of other commands.
    from adapters.cli.panels import PanelColumns, read_panel
    from scalecommerce_core.pricing.evaluation.report import evaluate_panel

    named = PanelColumns(_names(cell), _names(group), period, units, price, log_units, orders)
    with progress_bars("Nothing was changed.", quiet=as_json) as progress:
        progress("reading", 0, None)
        panel = read_panel(file, named, PanelFormat(dates, decimal, encoding))
        progress("reading", len(panel.lines), len(panel.lines))
        report = evaluate_panel(
            panel.lines,
            periods_in_one=bucket,
            held_back=held_back,
            cold_periods=cold_start,
            period_days=_period_days(panel.period_days, bucket),
        )
    name, drawn = _curve(report, panel, curve)
    if as_json:
        print_json(_document(report, panel, name, drawn))
    else:
        _print(report, panel, name, drawn)
    if not report.supports_learning:
        raise typer.Exit(ExitCode.PROBLEM)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _period_days(days: float | None, bucket: int) -> float:
    """Days of a combined period. Numbers may be days combined to weeks, Unix seconds, or weeks."""
    if days is not None:
        return days * bucket
    return bucket / 86_400 if bucket % 3_600 == 0 else 7.0


def _curve(report: "EvaluationReport", panel: "PanelFile", wanted: str | None) -> tuple[str, "DemandCurve"]:
    """The chosen demand curve and its name; raise `CommandFailed` for a name that is neither category nor cell."""
    if wanted is None:
        name = panel.groups[report.median_group] if report.groups else ""
        return (f"category {name}" if name else "all cells"), report.curve_of_group(report.median_group)
    if wanted in panel.groups:
        return f"category {wanted}", report.curve_of_group(panel.groups.index(wanted))
    if wanted in panel.cells:
        return wanted, report.curve_of_cell(panel.cells.index(wanted))
    examples = ", ".join([*[name for name in panel.groups if name][:2], *panel.cells[:3]])
    raise CommandFailed(
        f"--curve {wanted}: there is no such category or cell. Names are, for example: {examples}.", ExitCode.USAGE
    )


def _document(report: "EvaluationReport", panel: "PanelFile", name: str, curve: "DemandCurve") -> dict[str, Any]:
    """The JSON document; docs/pricing.md describes it."""
    facts = asdict(report, filter=lambda attribute, _: not attribute.name.startswith("_"))
    return {
        "rows_left_out": panel.left_out,
        **facts,
        "mixed_share": report.quantity_discounts.mixed_share,
        "quantity_slope": report.quantity_discounts.line_slope.value,
        "curve": {"name": name, **asdict(curve)},
        "encoding": panel.encoding,
        "advice": report.advice,
        "tuning": report.tuning,
        "supports_learning": report.supports_learning,
        "verdict": report.verdict,
    }


def _print(report: "EvaluationReport", panel: "PanelFile", name: str, curve: "DemandCurve") -> None:
    print_facts(_facts(report, panel))
    if rows := _forecast_rows(report):
        print_table(columns("trained on", "tested on", "model", "log-RMSE", "WAPE", numbers=("log-RMSE", "WAPE")), rows)
    if report.elasticity_median is not None and len(curve.points) > 1:
        from adapters.cli.curves import FITTED, OBSERVED, curve_lines

        console = stdout_console()
        print_line(f"Demand of {name}: {OBSERVED} observed, {FITTED} fitted, elasticity {curve.elasticity:.2f}")
        for line in curve_lines(curve):
            console.print(line, soft_wrap=True)
    for hint in filter(None, (report.advice, report.tuning)):
        print_line(hint, style="yellow")
    if report.supports_learning:
        print_line(report.verdict, style="green")
        return
    print_line("These data are not suitable for estimating elasticities:", style="red")
    for objection in report.objections:
        print_line(f"- {objection}", style="red")


def _facts(report: "EvaluationReport", panel: "PanelFile") -> list[tuple[str, Cell]]:
    unknown = "unknown: prices hardly change"
    is_guessed = panel.encoding is TextEncoding.WINDOWS_1252
    median, quartiles, negative = report.elasticity_median, report.elasticity_quartiles, report.negative_share
    return [
        *([("encoding", f"{panel.encoding} (other encodings: --encoding)")] if is_guessed else []),
        ("rows used, left out", f"{report.rows:,}, {panel.left_out:,}"),
        ("cells, categories, periods", f"{report.cells:,}, {report.groups:,}, {report.periods:,}"),
        (
            "elasticity, median (quartiles)",
            unknown
            if median is None or quartiles is None
            else f"{median:.2f} ({quartiles[0]:.2f} to {quartiles[1]:.2f})",
        ),
        ("elasticities below 0", unknown if negative is None else f"{negative:.1%}"),
        ("cells with a flat price", f"{report.flat_share:.1%}"),
        (
            "cells' days with several prices",
            f"{report.quantity_discounts.mixed_share:.1%} of those with several sales",
        ),
        (
            "level of demand",
            f"drifts (autocorrelation {report.autocorrelation:.2f}): each category and period has its own level"
            if report.has_period_effects
            else f"steady (autocorrelation {report.autocorrelation:.2f})",
        ),
        ("variance of sales / Poisson", f"{report.dispersion:,.1f}"),
    ]


def _forecast_rows(report: "EvaluationReport") -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for forecast in (report.forecast, report.cold_start):
        if forecast is not None:
            for model, errors in (
                ("without prices", forecast.without_price),
                ("each cell alone", forecast.alone),
                ("shrunk to categories", forecast.shrunk),
            ):
                trained, tested = f"{forecast.train_periods:,} periods", f"{forecast.test_rows:,} rows"
                rows.append([trained, tested, model, *_format_errors(errors)])
    if (found := report.filter_forecast) is not None:
        for model, errors in (
            ("demand filter without prices", found.without_price),
            ("demand filter", found.with_price),
            (f"demand filter, dispersion {found.dispersion:g}", found.adjusted),
        ):
            rows.append(["all before", f"{found.test_rows:,} rows", model, *_format_errors(errors)])
    return rows


def _format_errors(errors: "Errors") -> list[Cell]:
    from scalecommerce_core.pricing.evaluation.report import MOST_WAPE

    wape = f"{errors.wape:.1%}" if errors.wape < MOST_WAPE else f"> {MOST_WAPE:,.0%}"
    return [f"{errors.log_rmse:.3f}", wape]
