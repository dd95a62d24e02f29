"""CSV format of products for export and import, and export of products and orders as CSV or JSON lines.

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
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, Any, Final

from adapters.cli.formats import rfc3339
from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.money import Money, decimal_text
from scalecommerce_core.domain.order import OrderStatus, is_sale
from scalecommerce_core.domain.text import normal_text
from scalecommerce_core.queries import OrderLineView, OrderView, ProductView
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.progress import Progress, no_progress

COLUMNS: Final = (
    "sku", "name", "category", "price", "stock", "brand", "description", "cost", "min_price", "max_price",
    "max_per_buyer", "stock_until", "competitor_price", "competitor_price_at", "is_active",
    "currency",
)  # fmt: skip
READ_ONLY: Final = ("id", "seller", "created_at", "count_viewed")
"""Columns of an export that an import ignores."""
BASELINE: Final = ("price_expected", "stock_expected", "exported")
"""Columns with the values at the time of the export."""
STEP: Final = 500
"""Rows between two progress reports."""


class ExportFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"


def export_products(
    market: Market,
    file: IO[str],
    written_as: ExportFormat = ExportFormat.CSV,
    *,
    seller: AccountId | None = None,
    progress: Progress = no_progress,
) -> int:
    """Write all products that were not withdrawn, or those of one seller, by id; return the number of products.

    Cost and price limits are included: the export is for operators, and for sellers' own products.
    """
    shown = _product_row if written_as is ExportFormat.CSV else _product
    rows = ([shown(product)] for product in market.queries.iter_products(seller))
    return _write(file, written_as, "products", _PRODUCT_COLUMNS, rows, progress=progress)


def export_orders(
    market: Market, file: IO[str], written_as: ExportFormat = ExportFormat.CSV, *, progress: Progress = no_progress
) -> int:
    """Write all orders by id; return the number of orders. CSV has a line per order line, JSON lines one per order."""
    if written_as is ExportFormat.CSV:
        rows = ([_order_line(order, line) for line in order.lines] for order in market.queries.iter_orders())
    else:
        rows = ([_order(order)] for order in market.queries.iter_orders())
    return _write(file, written_as, "orders", _ORDER_COLUMNS, rows, progress=progress)


_PRODUCT_COLUMNS: Final = (*COLUMNS, *READ_ONLY, *BASELINE)
_ORDER_COLUMNS: Final = (
    "order", "status", "buyer", "created_at", "currency", "line", "product", "name", "quantity", "price", "amount",
    "refunded", "units",
)  # fmt: skip


def _write(
    file: IO[str],
    written_as: ExportFormat,
    step: str,
    columns: Sequence[str],
    things: Iterable[Sequence[Mapping[str, Any]]],
    *,
    progress: Progress,
) -> int:
    table = csv.DictWriter(file, columns, lineterminator="\n")
    # The csv module quotes cells with a line feed, but not with a carriage return, which also ends a line.
    quoted = csv.DictWriter(file, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    if written_as is ExportFormat.CSV:
        table.writeheader()
    done = 0
    for rows in things:
        if written_as is ExportFormat.CSV:
            for row in rows:
                cells = {name: _cell(value) for name, value in row.items()}
                breaks = any(isinstance(cell, str) and "\r" in cell for cell in cells.values())
                (quoted if breaks else table).writerow(cells)
        else:
            file.writelines(f"{json_text(row)}\n" for row in rows)
        done += 1
        if done % STEP == 0:
            progress(step, done, None)
    progress(step, done, done)
    return done


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


def _product_row(product: ProductView) -> dict[str, Any]:
    row = _product(product)
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


def _product(product: ProductView) -> dict[str, Any]:
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


def _units_sold(order: OrderView, line: OrderLineView) -> int:
    """Units that statistics count as sold: those of paid orders, also if refunded, without sellers' own purchases."""
    is_paid = order.status in {OrderStatus.PAID, OrderStatus.REFUNDED}
    return line.quantity if is_paid and is_sale(order.user, line.seller) else 0


def _order_line(order: OrderView, line: OrderLineView) -> dict[str, Any]:
    return {
        "order": order.id,
        "status": order.status.value,
        "buyer": order.user,
        "created_at": rfc3339(order.created_at),
        "currency": order.currency,
        "line": line.id,
        "product": line.product,
        "name": line.name,
        "quantity": line.quantity,
        "price": decimal_text(line.price, order.currency),
        "amount": decimal_text(line.quantity * line.price, order.currency),
        "refunded": line.refunded,
        "units": _units_sold(order, line),
    }


def _order(order: OrderView) -> dict[str, Any]:
    return {
        "id": order.id,
        "status": order.status.value,
        "buyer": order.user,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
        "currency": order.currency,
        "total": decimal_text(order.total, order.currency),
        "lines": [
            {
                "id": line.id,
                "product": line.product,
                "name": line.name,
                "quantity": line.quantity,
                "price": decimal_text(line.price, order.currency),
                "refunded": line.refunded,
                "units": _units_sold(order, line),
            }
            for line in order.lines
        ],
    }
