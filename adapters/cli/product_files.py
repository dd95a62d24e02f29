"""Export of products and orders as CSV or JSON lines, and of orders as Parquet.

`product_files.columns` in the core describes the columns of products.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import IO, Any, Final

from attrs import frozen

from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.date_times import rfc3339
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.order import OrderStatus, is_sale
from scalecommerce_core.queries import OrderLineView, OrderView
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.product_files.columns import EXPORTED, CsvWriter, product_fields, product_row
from scalecommerce_core.services.progress import Progress, no_progress

STEP: Final = 500
"""Rows between two progress reports."""


class ExportFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"


class OrderFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


@frozen
class ArchivedOrders:
    """Archived orders that were placed at `since` or later and before `until`."""

    since: datetime | None = None
    until: datetime | None = None


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
    shown = product_row if written_as is ExportFormat.CSV else product_fields
    rows = ([shown(product)] for product in market.queries.iter_products(seller))
    return _write(file, written_as, "products", EXPORTED, rows, progress=progress)


def export_orders(
    market: Market,
    file: IO[str],
    written_as: ExportFormat = ExportFormat.CSV,
    *,
    archived: ArchivedOrders | None = None,
    progress: Progress = no_progress,
) -> int:
    """Write all orders by id, or the `archived` ones by time; return the number of orders.

    CSV has a line per order line, JSON lines one per order.
    """
    orders = _orders(market, archived)
    if written_as is ExportFormat.CSV:
        rows = ([_order_line(order, line) for line in order.lines] for order in orders)
    else:
        rows = ([_order(order)] for order in orders)
    return _write(file, written_as, "orders", _ORDER_COLUMNS, rows, progress=progress)


def export_orders_to_parquet(
    market: Market, file: IO[bytes], *, archived: ArchivedOrders | None = None, progress: Progress = no_progress
) -> int:
    """As `export_orders`, to a Parquet file with the columns of the CSV file. Needs the extra `parquet`."""
    from adapters.cli.parquet_files import ParquetWriter  # noqa: PLC0415 - an extra

    done = 0
    with ParquetWriter(file, _order_schema()) as writer:
        for order in _orders(market, archived):
            for line in order.lines:
                row = _order_line(order, line)
                money = {name: Decimal(row[name]) for name in ("price", "amount")}
                writer.write(row | money | {"created_at": order.created_at})
            done += 1
            if done % STEP == 0:
                progress("orders", done, None)
    progress("orders", done, done)
    return done


def _order_schema() -> Mapping[str, str]:
    types = {"status": "text", "created_at": "time", "currency": "text", "name": "text"}
    types |= {"price": "decimal", "amount": "decimal"}
    return {name: types.get(name, "integer") for name in _ORDER_COLUMNS}


def _orders(market: Market, archived: ArchivedOrders | None) -> Iterator[OrderView]:
    if archived is None:
        return market.queries.iter_orders()
    return market.queries.iter_archived_orders(archived.since, archived.until)


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
    writer = CsvWriter(columns)
    if written_as is ExportFormat.CSV:
        file.write(writer.header())
    done = 0
    for rows in things:
        if written_as is ExportFormat.CSV:
            file.writelines(map(writer.line, rows))
        else:
            file.writelines(f"{json_text(row)}\n" for row in rows)
        done += 1
        if done % STEP == 0:
            progress(step, done, None)
    progress(step, done, done)
    return done


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
