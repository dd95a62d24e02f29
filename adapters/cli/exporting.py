"""`export`: products and orders as files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Protocol, TypeAlias

import typer

from adapters.cli.failures import CommandFailed
from adapters.cli.options import DataOption
from adapters.cli.options import seller as seller_option
from adapters.cli.product_files import ExportFormat, export_orders, export_products
from adapters.cli.runtime import Runtime
from adapters.cli.screen import progress_bars, stderr_console
from adapters.cli.sellers import find_account
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.progress import Progress

ON_INTERRUPT_FILE = "No file was written."
ON_INTERRUPT_STDOUT = "The export is incomplete."

app = typer.Typer(no_args_is_help=True, help="Export data to files.")

FormatOption: TypeAlias = Annotated[
    ExportFormat, typer.Option("--format", help="CSV with a header, or JSON lines (one object per line).")
]
OutputOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        dir_okay=False,
        help="Write to this file instead of standard output; it appears when it is complete.",
        show_default=False,
    ),
]


@app.command()
def products(
    ctx: typer.Context,
    written_as: FormatOption = ExportFormat.CSV,
    file: OutputOption = None,
    seller: Annotated[str | None, seller_option("Export only this seller's products.")] = None,
    data: DataOption = None,
) -> None:
    """Export all products that were not withdrawn, active or not, including cost and price limits."""

    def export(market: Market, file: IO[str], written_as: ExportFormat, *, progress: Progress) -> int:
        owner = None if seller is None else find_account(market, seller)
        return export_products(market, file, written_as, seller=owner, progress=progress)

    _export(ctx.obj, export, written_as, file, data)


@app.command()
def orders(
    ctx: typer.Context,
    written_as: FormatOption = ExportFormat.CSV,
    file: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Export all orders: one CSV line per order line, or one JSON object per order with its lines.

    `quantity` is the number of units ordered, `units` the number sold: 0 unless the order was paid.
    `pricing evaluate FILE --period created_at` reads the CSV.
    """
    _export(ctx.obj, export_orders, written_as, file, data)


class Export(Protocol):
    def __call__(self, market: Market, file: IO[str], written_as: ExportFormat, *, progress: Progress) -> int: ...


def _export(runtime: Runtime, export: Export, written_as: ExportFormat, file: Path | None, data: Path | None) -> None:
    with (
        runtime.open(data) as opened,
        _destination(file) as destination,
        # No bars if the export itself is printed on the terminal.
        progress_bars(
            ON_INTERRUPT_FILE if file else ON_INTERRUPT_STDOUT, quiet=file is None and sys.stdout.isatty()
        ) as progress,
    ):
        count = export(opened.market, destination, written_as, progress=progress)
    if file is not None:
        stderr_console().print(f"{count:,} written to {file}.")


@contextmanager
def _destination(file: Path | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
        sys.stdout.flush()  # raises BrokenPipeError here, where it is handled
        return
    draft = file.with_name(f".{file.name}.part")
    try:
        text = draft.open("w", encoding="utf-8", newline="")
    except OSError as error:
        # Report the named file, not the draft.
        raise CommandFailed(f"{file}: {error.strerror}.") from error
    try:
        with text:
            yield text
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
