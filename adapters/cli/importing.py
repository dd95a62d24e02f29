"""`import`: products and the Online Retail data set from files."""

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.csv_files import TextEncoding, open_csv
from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, progress_bars
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.services.product_files.importing import KNOWN, ImportedProducts, ProductImport

ON_INTERRUPT = "Completed batches stay. Run the command again to import the rest."
SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="Import data from files.")


@app.command("online-retail")
def online_retail(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The data set as CSV, optionally compressed with gzip.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import one year of orders of a real shop: the UCI Online Retail data set.

    Stock codes become products of one seller, customers become accounts, invoices become settled orders, and returns
    become refunds. Prints how many lines were imported, refunded and refused. A second import changes nothing; after an
    interruption, it continues. Exits with 1 if the counts do not equal the number of lines.
    """
    from adapters.cli.online_retail.plan import CannotPlan
    from adapters.cli.online_retail.replay import OtherHistory, import_online_retail
    from adapters.cli.online_retail.report import show

    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, progress_bars(ON_INTERRUPT, quiet=as_json) as progress:
        try:
            report = import_online_retail(opened.market, file, progress)
        except (CannotPlan, OtherHistory) as error:
            raise CommandFailed(str(error)) from error
    if as_json:
        print_json(report.as_json())
    else:
        show(report)
    if not report.reconciles:
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def products(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file; its first line names the columns.")],
    *,
    seller: Annotated[str, seller_option("The seller of the products.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, but write nothing.", show_default=False)
    ] = False,
    encoding: Annotated[TextEncoding, typer.Option(help="Encoding of the file.")] = TextEncoding.UTF_8,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create or edit a seller's products from a CSV file. The column sku identifies existing products.

    Columns: sku; name, category and price, required for new products; stock, brand, description, cost, min_price,
    max_price, max_per_buyer, stock_until (the stock must last until then, such as 2030-01-31T18:00:00Z),
    competitor_price, competitor_price_at (when it was observed; default: now), is_active and currency; id, for existing
    products without a sku. Blank fields are not changed. The file may be compressed with gzip, with cells separated by
    comma, semicolon or tab. Numbers have a decimal point and no thousands separators.

    A file of `export products --seller` can be edited and imported. Fields that still have their exported value are
    not changed, even if the product's stock or price changed since. An edited stock is an error if the stock changed
    since the export. A line with another seller is an error. Lines with errors are listed, and the others are
    imported; exits with 1 if there were errors.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, open_csv(file, KNOWN, encoding=encoding) as table:
        work = ProductImport(opened.market, find_account(opened.market, seller), dry_run=dry_run)
        try:
            with progress_bars("Nothing was written." if dry_run else ON_INTERRUPT, quiet=as_json) as progress:
                work.run(table, progress)
        finally:
            # Interrupted and failed imports are reported too, because completed batches stay.
            imported = work.report()
            if imported.is_complete or imported.lines:
                _print(imported, as_json=as_json)
    if imported.errors:
        raise typer.Exit(ExitCode.PROBLEM)


def _print(imported: ImportedProducts, *, as_json: bool) -> None:
    if as_json:
        print_json(imported.as_json())
        return
    if imported.errors:
        print_table(
            columns("line", "sku", "error", numbers=["line"], prose=["error"]),
            [[error.line, error.sku, error.message] for error in imported.errors[:SHOWN]],
        )
        if len(imported.errors) > SHOWN:
            print_line(f"{len(imported.errors) - SHOWN:,} more errors; --json prints all.")
    would = " would be" if imported.dry_run else ""
    print_line(
        f"Lines read: {imported.lines:,}. Products{would} new: {imported.created:,}, edited: {imported.updated:,},"
        f" unchanged: {imported.unchanged:,}. Lines with errors: {len(imported.errors):,}."
    )
    if imported.in_doubt:
        print_line(
            f"{imported.in_doubt:,} of these lines were being written and may or may not be stored. Import the file"
            " again: nothing is written twice."
        )
    elif not imported.is_complete:
        print_line(
            "The rest of the file was not read." + ("" if imported.dry_run else " Rows written before are kept.")
        )
