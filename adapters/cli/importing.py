"""`import`: data from files. What is heavy (numpy) is imported by who needs it."""

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.csv_files import open_csv
from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.options import seller as seller_option
from adapters.cli.product_import import KNOWN, ImportedProducts, ProductImport
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, progress_bars
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table

RESUMES = "Whole batches were recorded and stay; the same command goes on with the rest."
SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="Bring data in from files.")


@app.command("online-retail")
def online_retail(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The data set as CSV, plain or compressed with gzip.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the year of a real shop: the UCI Online Retail data set.

    Stock codes become products of one seller, customers accounts, invoices settled orders, returns refunds. Prints
    what became of every line. A second run changes nothing, a run after an interrupted one goes on with it. Exits
    with 1 if the lines do not add up.
    """
    from adapters.cli.online_retail.plan import CannotPlan
    from adapters.cli.online_retail.replay import OtherHistory, import_online_retail
    from adapters.cli.online_retail.report import show

    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, progress_bars(RESUMES, quiet=as_json) as progress:
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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file whose first line names the columns.")],
    *,
    seller: Annotated[str, seller_option("Whose products these are.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, but write nothing.", show_default=False)
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a seller's products from a CSV file, or edit them: sku decides which it is.

    Columns: sku; for new products name, category and price; and stock, brand, description, cost, min_price,
    max_price, is_active, currency; id names a product that has no sku. A blank field is not changed. The file may
    be compressed with gzip, and separate its cells by comma, semicolon or tab. Numbers are digits with a decimal
    point, without group separators.

    What `export products --seller` writes can be edited and imported again. A field that still has its exported
    value is not changed, even if units were sold or prices moved since; an edited stock is an error if the stock moved
    since the export. A line that names another seller is an error. Lines with errors are listed, and the others
    written; exits with 1 if there were any.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, open_csv(file, KNOWN) as table:
        work = ProductImport(opened.market, find_account(opened.market, seller), dry_run=dry_run)
        try:
            with progress_bars("Nothing was written." if dry_run else RESUMES, quiet=as_json) as progress:
                work.run(table, progress)
        finally:
            # Report interrupted and failed imports too: batches written before stay written.
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
            print_line(f"And {len(imported.errors) - SHOWN:,} more; --json has all.")
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
