"""`import`: data from files. What is heavy (numpy) is imported by who needs it."""

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.options import seller as seller_option
from adapters.cli.product_files import BadProductFile, ImportedProducts, import_products
from adapters.cli.runtime import Runtime
from adapters.cli.screen import long_work, print_json, print_line
from adapters.cli.sellers import account_of
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
    with runtime.open(data) as opened, long_work(RESUMES, quiet=as_json) as progress:
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
    max_price, is_active, currency. A blank field leaves what it was. What `export products --seller` writes can
    be edited and imported again; a line that names another seller is an error. Lines with errors are listed, and the
    others written; exits with 1 if there were any.
    """
    runtime: Runtime = ctx.obj
    with (
        runtime.open(data) as opened,
        file.open(encoding="utf-8", newline="") as text,
        long_work("Nothing was written." if dry_run else RESUMES, quiet=as_json) as progress,
    ):
        owner = account_of(opened.market, seller)
        try:
            imported = import_products(opened.market, text, owner, dry_run=dry_run, progress=progress)
        except BadProductFile as error:
            raise CommandFailed(f"{file}: {error}") from error
    if as_json:
        print_json(imported.as_json())
    else:
        _print(imported)
    if imported.errors:
        raise typer.Exit(ExitCode.PROBLEM)


def _print(imported: ImportedProducts) -> None:
    if imported.errors:
        print_table(
            columns("line", "sku", "error", numbers=["line"], prose=["error"]),
            [[error.line, error.sku, error.message] for error in imported.errors[:SHOWN]],
        )
        if len(imported.errors) > SHOWN:
            print_line(f"And {len(imported.errors) - SHOWN:,} more; --json has all.")
    would = " would be" if imported.dry_run else ""
    print_line(
        f"Lines read: {imported.lines:,}. Products{would} new: {imported.created:,}, edited: {imported.updated:,}."
        f" Lines with errors: {len(imported.errors):,}."
    )
