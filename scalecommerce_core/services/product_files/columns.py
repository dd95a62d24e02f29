"""CSV format of products for export and import.

Columns, in any order:

    sku          the seller's own code; identifies existing products
    name         at most 100 characters                                                      required for new ones
    category     a category's name, slug or number                                           required for new ones
    price        a decimal number with a point, such as 9.99                                 required for new ones
    stock        units that can be promised
    brand, description, cost, min_price, max_price
    max_per_buyer
                 most units of one buyer
    stock_until  the stock must last until then, such as 2030-01-31T18:00:00Z
    competitor_price, competitor_price_at
                 lowest price of a competitor, and when it was observed; by default at the time of the import
    is_active    true or false (also yes/no, 1/0)
    currency     currency of the amounts, such as USD; default: the market's currency
    id           identifies the product if sku is blank; with sku, sets the code of a product that has none

Blank fields and missing columns do not change an existing product. An export puts ' before text that a spreadsheet
would interpret as a formula (beginning with =, +, - or @), and an import removes it.

Sales and pricing policies may change a product between export and import. An export therefore records in

    price_expected, stock_expected    price and stock
    exported                          checksums of the other fields

and an import does not change fields that still have the exported value. An edited stock is set only if the current
stock is still the exported one; otherwise the line is an error. Without these columns, price and stock are set as
given. In both cases importing a file twice has the same effect as importing it once.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from scalecommerce_core.domain.date_times import rfc3339
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.text import normal_text
from scalecommerce_core.queries import ProductView

COLUMNS: Final = (
    "sku", "name", "category", "price", "stock", "brand", "description", "cost", "min_price", "max_price",
    "max_per_buyer", "stock_until", "competitor_price", "competitor_price_at", "is_active",
    "currency",
)  # fmt: skip
READ_ONLY: Final = ("id", "seller", "created_at", "count_viewed")
"""Columns of an export that an import ignores."""
BASELINE: Final = ("price_expected", "stock_expected", "exported")
"""Columns with the values at the time of the export."""
EXPORTED: Final = (*COLUMNS, *READ_ONLY, *BASELINE)
"""Columns of an export, in this order."""


class CsvWriter:
    """Formats rows as lines of CSV, each ending with a line feed."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._text = io.StringIO(newline="")
        self._table = csv.DictWriter(self._text, columns, lineterminator="\n")
        # The csv module quotes cells with a line feed, but not with a carriage return, which also ends a line.
        self._quoted = csv.DictWriter(self._text, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def header(self) -> str:
        self._table.writeheader()
        return self._take()

    def line(self, row: Mapping[str, Any]) -> str:
        """The line of a row, with its cells by column; absent columns are blank."""
        cells = {name: _cell(value) for name, value in row.items()}
        breaks = any(isinstance(cell, str) and "\r" in cell for cell in cells.values())
        (self._quoted if breaks else self._table).writerow(cells)
        return self._take()

    def _take(self) -> str:
        line = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return line


def product_csv(products: Iterable[ProductView]) -> Iterator[str]:
    """The export of products as CSV, line by line."""
    writer = CsvWriter(EXPORTED)
    yield writer.header()
    for product in products:
        yield writer.line(product_row(product))


# Beginning of a formula in spreadsheets, also after any number of quotes that exports added. Some spreadsheets accept
# full-width and small forms of the signs.
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n＝＋－＠﹢﹣﹦﹫]")


def _cell(value: object) -> object:
    """Format a value as a CSV cell; text of users that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return str(value).lower() if isinstance(value, bool) else value


def strip_formula_quote(text: str) -> str:
    """Inverse of the quoting of `_cell`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def checksum(name: str, value: object) -> str:
    """Checksum of a column's value in its normal form."""
    text = normal_text(value) if isinstance(value, str) else str(value)
    return hashlib.blake2b(f"{name}\0{text}".encode(), digest_size=5).hexdigest()


def parse_checksums(cell: str) -> dict[str, str]:
    """Parse a cell of the column `exported` into checksums by column; malformed parts are ignored."""
    pairs = (part.partition(":") for part in cell.split())
    return {name: value for name, colon, value in pairs if colon}


def product_row(product: ProductView) -> dict[str, Any]:
    """The cells of a product, by column."""
    row = product_fields(product)
    kept: dict[str, object] = {
        "name": product.name,
        "category": product.category.id,
        "brand": product.brand,
        "description": product.description,
        "cost": product.cost,
        "min_price": product.min_price,
        "max_price": product.max_price,
        "max_per_buyer": product.max_per_buyer,
        "stock_until": _utc(product.stock_until),
        "competitor_price": product.competitor_price,
        "competitor_price_at": _utc(product.competitor_price_at),
        "is_active": product.is_active,
    }
    exported = " ".join(f"{name}:{checksum(name, value)}" for name, value in kept.items() if value not in {None, ""})
    return row | {"price_expected": row["price"], "stock_expected": row["stock"], "exported": exported}


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC)


def product_fields(product: ProductView) -> dict[str, Any]:
    """The columns of a product without those of `BASELINE`; amounts are text."""
    return {
        "sku": product.sku,
        "name": product.name,
        "category": product.category.name,
        "price": product.price.text,
        "stock": product.stock,
        "brand": product.brand,
        "description": product.description,
        "cost": _decimal(product.cost),
        "min_price": _decimal(product.min_price),
        "max_price": _decimal(product.max_price),
        "max_per_buyer": product.max_per_buyer,
        "stock_until": None if product.stock_until is None else rfc3339(product.stock_until),
        "competitor_price": _decimal(product.competitor_price),
        "competitor_price_at": None if product.competitor_price_at is None else rfc3339(product.competitor_price_at),
        "is_active": product.is_active,
        "currency": product.price.currency,
        "id": product.id,
        "seller": product.seller.email,
        "created_at": rfc3339(product.created_at),
        "count_viewed": product.count_viewed,
    }


def _decimal(money: Money | None) -> str | None:
    return None if money is None else money.text
