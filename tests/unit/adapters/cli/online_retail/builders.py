"""Files and purchases of a few lines."""

from datetime import UTC, datetime

from adapters.cli.online_retail.lines import Line, RefusedLine, read_lines
from adapters.cli.online_retail.plan import ReplayPlan, build_plan
from scalecommerce_core.services.product_files.csv_text import Row

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def row(
    invoice: str = "536365",
    code: str = "85123A",
    quantity: int | str = 6,
    price: str = "2.55",
    *,
    at: str = "2010-12-01 08:26:00",
    customer: str = "17850.0",
    description: str = "WHITE HANGING HEART",
) -> list[str]:
    return [invoice, code, description, str(quantity), at, price, customer, "United Kingdom"]


def read(*rows: list[str]) -> list[Line | RefusedLine]:
    return list(read_lines(Row(line, cells) for line, cells in enumerate(rows, 2)))


def planned(*rows: list[str]) -> ReplayPlan:
    return build_plan(read(*rows))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
