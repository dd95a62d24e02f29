"""`export`: products and orders as files."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Protocol, TypeAlias

import typer

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, moment
from adapters.cli.options import seller as seller_option
from adapters.cli.product_files import (
    ArchivedOrders,
    ExportFormat,
    OrderFormat,
    export_orders,
    export_orders_to_parquet,
    export_products,
)
from adapters.cli.runtime import Runtime
from adapters.cli.screen import progress_bars, stderr_console
from adapters.cli.sellers import find_account
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.ranges import check_ranges
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

    _export(ctx.obj, export, written_as, file, data, rows="products")


@app.command()
def orders(  # noqa: PLR0917 - Typer's options have names
    ctx: typer.Context,
    written_as: Annotated[
        OrderFormat,
        typer.Option(
            "--format",
            help="CSV with a header, JSON lines (one object per line), or Parquet with the columns of the CSV, which"
            " needs --output and pip install 'scalecommerce[parquet]'.",
        ),
    ] = OrderFormat.CSV,
    file: OutputOption = None,
    archived: Annotated[
        bool,
        typer.Option(
            "--archived", help="Export only archived orders, in the order of their times.", show_default=False
        ),
    ] = False,
    since: Annotated[
        datetime | None, moment("--since", "Only archived orders that were placed at this time or later.")
    ] = None,
    until: Annotated[
        datetime | None, moment("--until", "Only archived orders that were placed before this time.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Export all orders: one line per order line, or one JSON object per order with its lines.

    `quantity` is the number of units ordered, `units` the number sold: 0 unless the order was paid.
    `pricing evaluate FILE --period created_at` reads the CSV and the Parquet file.
    """
    if not archived and (since or until):
        raise CommandFailed("--since and --until need --archived.", ExitCode.USAGE)
    try:
        check_ranges(("--since", since, "--until", until))
    except Invalid as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from None
    chosen = ArchivedOrders(since, until) if archived else None
    if written_as is OrderFormat.PARQUET:
        _export_parquet(ctx.obj, chosen, file, data)
        return

    def export(market: Market, file: IO[str], written_as: ExportFormat, *, progress: Progress) -> int:
        return export_orders(market, file, written_as, archived=chosen, progress=progress)

    _export(ctx.obj, export, ExportFormat(written_as), file, data, rows="orders")


def _export_parquet(runtime: Runtime, archived: ArchivedOrders | None, file: Path | None, data: Path | None) -> None:
    if file is None:
        raise CommandFailed("Parquet cannot be written to standard output: name a file with --output.", ExitCode.USAGE)
    if importlib.util.find_spec("pyarrow") is None:
        raise CommandFailed(
            "To write Parquet files, run pip install 'scalecommerce[parquet]', or use --format csv.", ExitCode.USAGE
        )
    with (
        runtime.open(data) as opened,
        _draft(file) as draft,
        progress_bars(ON_INTERRUPT_FILE) as progress,
        draft.open("wb") as binary,
    ):
        count = export_orders_to_parquet(opened.market, binary, archived=archived, progress=progress)
    stderr_console().print(f"{count:,} orders written to {file}.")


class Export(Protocol):
    def __call__(self, market: Market, file: IO[str], written_as: ExportFormat, *, progress: Progress) -> int: ...


def _export(
    runtime: Runtime, export: Export, written_as: ExportFormat, file: Path | None, data: Path | None, *, rows: str
) -> None:
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
        stderr_console().print(f"{count:,} {rows} written to {file}.")


@contextmanager
def _destination(file: Path | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
        sys.stdout.flush()  # raises BrokenPipeError here, where it is handled
        return
    with _draft(file) as draft, draft.open("w", encoding="utf-8", newline="") as text:
        yield text


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """Yield an empty file that replaces `file` at the end, unless there is an error."""
    draft = file.with_name(f".{file.name}.part")
    try:
        draft.touch()
    except OSError as error:
        # Report the named file, not the draft.
        raise CommandFailed(f"{file}: {error.strerror}.") from error
    try:
        yield draft
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
