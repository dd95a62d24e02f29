"""Opens the file and checks its header."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from adapters.cli.csv_files import open_csv
from scalecommerce_core.services.product_files.csv_text import BadRow, Row, UnreadableFile

COLUMNS: Final = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip


@contextmanager
def open_rows(path: Path) -> Iterator[Iterator[Row | BadRow]]:
    """Yield the rows after the header; raise `UnreadableFile`."""
    with open_csv(path, COLUMNS) as file:
        if not file.header:
            raise UnreadableFile(f"{path} is empty.")
        if tuple(file.header) != COLUMNS:
            raise UnreadableFile(f"{path} is not an Online Retail file: its first line is not {','.join(COLUMNS)}.")
        yield iter(file)
