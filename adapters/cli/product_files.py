"""Products in from CSV; products and orders out as CSV or JSON lines. Plain functions over open files.

`import_products` reads these columns, in any order; the header names them:

    sku          the seller's own code, which decides between a new product and an edit      required
    name         at most 100 characters                                                      required for new ones
    category     a category's name, slug or number                                           required for new ones
    price        a decimal number with a point, such as 9.99                                 required for new ones
    stock        units that can be promised
    brand, description, cost, min_price, max_price
    is_active    true or false (also yes/no, 1/0)
    currency     of the line's amounts, such as USD; the market's own without it

An export puts ' before text that a spreadsheet would take for a formula (=, +, -, @ at its beginning), and an import
takes it away. A blank field, or a column that the file does not have, leaves an edited product as it is.
`export_products` writes these columns and more, so that what was exported can be edited and imported again.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import IO, Any, Final, TypeVar

from attrs import define, field, frozen

from adapters.cli.formats import rfc3339
from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.account import is_address_of
from scalecommerce_core.domain.category import name_key
from scalecommerce_core.domain.errors import MarketError, NotFound
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money, decimal_text, price_units
from scalecommerce_core.domain.numbers import parse_whole
from scalecommerce_core.domain.order import OrderStatus, is_sale
from scalecommerce_core.domain.stock import MAX_STOCK
from scalecommerce_core.domain.text import (
    BRAND_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    SKU_LENGTH,
    normal_line,
    normal_text,
    text_errors,
)
from scalecommerce_core.queries import OrderLineView, OrderView, ProductView
from scalecommerce_core.services.catalog import EditProduct, ListProduct
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.progress import Progress, silent

COLUMNS: Final = (
    "sku", "name", "category", "price", "stock", "brand", "description", "cost", "min_price", "max_price", "is_active",
    "currency",
)  # fmt: skip
READ_ONLY: Final = ("id", "seller", "created_at", "count_viewed")
"""Columns of an export that an import passes over, so that an edited export comes in as it is."""
REQUIRED: Final = ("name", "category", "price")
BATCH: Final = 500

T = TypeVar("T")


class BadProductFile(Exception):
    """The file as a whole cannot be read; the message says why, and where."""


# --- import


@frozen
class LineError:
    """`line` is the number of the line in the file; `message` names the columns."""

    line: int
    sku: str
    message: str


@frozen
class ImportedProducts:
    """Every line of the file is in exactly one of the figures. With `dry_run` nothing was written."""

    lines: int
    created: int
    updated: int
    errors: tuple[LineError, ...]
    dry_run: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "created": self.created,
            "updated": self.updated,
            "failed": len(self.errors),
            "dry_run": self.dry_run,
            "errors": [{"line": e.line, "sku": e.sku, "message": e.message} for e in self.errors],
        }


def import_products(
    market: Market, file: IO[str], seller: AccountId, *, dry_run: bool = False, progress: Progress = silent
) -> ImportedProducts:
    """List the products that the seller does not have yet (by sku) and edit the others; `file` opened with newline="".

    Lines that fail are reported and the others written; each batch is a transaction, and importing the file again is
    harmless. Raise `BadProductFile` when there is no reading on: what came before the bad place stands.
    """
    reading = _Reading(market, seller, dry_run=dry_run)
    for batch in _batches(_rows(file), BATCH):
        reading.take(batch)
        progress("products", reading.lines, None)
    progress("products", reading.lines, reading.lines)
    return ImportedProducts(
        reading.lines, reading.created, reading.updated, tuple(sorted(reading.errors, key=_by_line)), dry_run
    )  # fmt: skip


def _by_line(error: LineError) -> int:
    return error.line


def _rows(file: IO[str]) -> Iterator[tuple[int, dict[str, str] | None]]:
    """(line number, fields by column); None for a line with more or fewer fields than the header."""
    reader = csv.reader(file, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if header:
            header[0] = header[0].removeprefix("\ufeff")
        _check_header(header)
        for row in reader:
            if row:
                fields = dict(zip(header, map(_as_written, row), strict=True)) if len(row) == len(header) else None
                yield reader.line_num, fields
    except UnicodeDecodeError as error:
        raise BadProductFile(f"Not UTF-8 text (near line {reader.line_num + 1}): {error.reason}.") from error
    except csv.Error as error:
        raise BadProductFile(f"Not CSV (line {reader.line_num}): {error}.") from error


def _check_header(header: Sequence[str]) -> None:
    if "sku" not in header:
        raise BadProductFile(f"The first line names the columns, and sku must be one of them: {', '.join(COLUMNS)}.")
    unknown = [name for name in header if name not in COLUMNS and name not in READ_ONLY]
    if unknown:
        raise BadProductFile(f"Unknown columns: {', '.join(unknown)}. Known are {', '.join(COLUMNS)}.")
    if len(set(header)) != len(header):
        raise BadProductFile("A column is named twice.")


@frozen
class _Wanted:
    """A line that can be read: `changes` holds the fields that are not blank."""

    line: int
    sku: str
    changes: Mapping[str, Any]
    stock: int | None


@define
class _Reading:
    market: Market
    seller: AccountId
    dry_run: bool = field(kw_only=True)
    lines: int = 0
    created: int = 0
    updated: int = 0
    errors: list[LineError] = field(factory=list)
    _email: str = field(init=False)
    _categories: dict[str, CategoryId] = field(init=False)
    _first_lines: dict[str, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        account = self.market.queries.account(self.seller)
        if account is None:
            raise NotFound("account", self.seller)
        self._email = account.email
        self._categories = {}
        for category in self.market.queries.categories():
            self._categories |= dict.fromkeys((str(category.id), category.slug, name_key(category.name)), category.id)

    def take(self, batch: Sequence[tuple[int, dict[str, str] | None]]) -> None:
        self.lines += len(batch)
        wanted = [read for line, fields in batch if (read := self._read(line, fields)) is not None]
        known = self.market.queries.by_sku(self.seller, [w.sku for w in wanted]) if wanted else {}
        self._list([w for w in wanted if w.sku not in known])
        self._edit([(w, known[w.sku]) for w in wanted if w.sku in known])

    def _read(self, line: int, fields: Mapping[str, str] | None) -> _Wanted | None:
        if fields is None:
            self._fail(line, "", "This line has more or fewer fields than the first.")
            return None
        sku = normal_line(fields["sku"])
        problems = [f"sku: {said}" for said in text_errors(sku, at_most=SKU_LENGTH, at_least=1)]
        if not sku:
            problems = ["sku: This must not be blank: it tells which product is meant. PATCH one that has none."]
        if first := self._first_lines.get(sku):
            problems.append(f"sku: line {first} has it too.")
        owner = fields.get("seller", "").strip()
        if owner and not is_address_of(owner, self._email):
            problems.append(f"seller: This is a product of {owner}, not of {self._email}.")
        changes: dict[str, Any] = {}
        currency = fields.get("currency", "").strip() or self.market.currency
        for name, text in fields.items():
            if name in _VALUES and normal_line(text):
                try:
                    changes[name] = self._value(name, text.strip(), currency)
                except ValueError as error:
                    problems.append(f"{name}: {error}")
        bounds = changes.get("min_price"), changes.get("max_price")
        if bounds[0] is not None and bounds[1] is not None and bounds[1] < bounds[0]:
            problems.append("max_price: The highest price must not be below the lowest.")
        if problems:
            self._fail(line, sku, " ".join(problems))
            return None
        self._first_lines[sku] = line
        return _Wanted(line, sku, changes, changes.pop("stock", None))

    def _value(self, name: str, text: str, currency: str) -> object:
        """Raise `ValueError` with what is wrong."""
        match name:
            case "price" | "cost" | "min_price" | "max_price":
                return Money(price_units(text), currency)
            case "stock":
                return parse_whole(text, least=0, most=MAX_STOCK)
            case "is_active":
                if text.lower() not in _TRUTH:
                    raise ValueError("true or false is wanted.")
                return _TRUTH[text.lower()]
            case "category":
                category = self._categories.get(name_key(text))
                if category is None:
                    raise ValueError(f"There is no category {text}.")
                return category
            case _:
                text = normal_text(text) if name == "description" else normal_line(text)
                if said := text_errors(text, at_most=_LENGTHS[name]):
                    raise ValueError(" ".join(said))
                return text

    def _list(self, wanted: Sequence[_Wanted]) -> None:
        complete = []
        for new in wanted:
            missing = [name for name in REQUIRED if name not in new.changes]
            if missing:
                self._fail(new.line, new.sku, f"A new product needs {', '.join(missing)}.")
            else:
                complete.append(new)
        commands = [
            ListProduct(
                owner=self.seller,
                category_id=new.changes["category"],
                sku=new.sku,
                stock=new.stock or 0,
                **{name: value for name, value in new.changes.items() if name != "category"},
            )
            for new in complete
        ]
        self.created += self._run(complete, commands, self.market.catalog.list_products)

    def _edit(self, wanted: Sequence[tuple[_Wanted, ProductId]]) -> None:
        commands = [
            EditProduct(
                product_id=product_id,
                editor=self.seller,
                changes={"category_id" if name == "category" else name: value for name, value in edit.changes.items()},
                stock=edit.stock,
            )
            for edit, product_id in wanted
        ]
        self.updated += self._run([edit for edit, _ in wanted], commands, self.market.catalog.edit_products)

    def _run(
        self, wanted: Sequence[_Wanted], commands: Sequence[T], use_case: Callable[[Sequence[T]], Sequence[object]]
    ) -> int:
        """How many commands succeeded, or would probably; the errors of the others are kept."""
        if self.dry_run or not commands:
            return len(commands)
        done = 0
        for line, outcome in zip(wanted, use_case(commands), strict=True):
            if isinstance(outcome, MarketError):
                self._fail(line.line, line.sku, str(outcome))
            else:
                done += 1
        return done

    def _fail(self, line: int, sku: str, message: str) -> None:
        self.errors.append(LineError(line, sku, message))


_VALUES: Final = frozenset(COLUMNS) - {"sku", "currency"}
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LENGTHS: Final = {"name": NAME_LENGTH, "brand": BRAND_LENGTH, "description": DESCRIPTION_LENGTH}


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


# --- export


class ExportFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"


def export_products(
    market: Market,
    file: IO[str],
    written_as: ExportFormat = ExportFormat.CSV,
    *,
    seller: AccountId | None = None,
    progress: Progress = silent,
) -> int:
    """Write every product that was not withdrawn, or those of one seller, by id; return how many.

    The owner's figures (cost and bounds) are included: this is for operators, and for sellers' own files.
    """
    rows = ([_product(product)] for product in market.queries.every_product(seller))
    return _write(file, written_as, "products", _PRODUCT_COLUMNS, rows, progress=progress)


def export_orders(
    market: Market, file: IO[str], written_as: ExportFormat = ExportFormat.CSV, *, progress: Progress = silent
) -> int:
    """Write every order, by id; return how many. CSV has a line for each order line, JSON lines one for each order."""
    if written_as is ExportFormat.CSV:
        rows = ([_order_line(order, line) for line in order.lines] for order in market.queries.every_order())
    else:
        rows = ([_order(order)] for order in market.queries.every_order())
    return _write(file, written_as, "orders", _ORDER_COLUMNS, rows, progress=progress)


_PRODUCT_COLUMNS: Final = (*COLUMNS, *READ_ONLY)
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
    if written_as is ExportFormat.CSV:
        table.writeheader()
    done = 0
    for rows in things:
        if written_as is ExportFormat.CSV:
            table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        else:
            file.writelines(f"{json_text(row)}\n" for row in rows)
        done += 1
        if done % BATCH == 0:
            progress(step, done, None)
    progress(step, done, done)
    return done


# What a spreadsheet takes for the beginning of a formula; our own ' before it, any number of times, is text.
_FORMULA: Final = re.compile("'*[=+\\-@\t\r]")


def _cell(value: object) -> object:
    """A value as CSV: text that a stranger wrote must not be run by whoever opens the file in a spreadsheet."""
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return str(value).lower() if isinstance(value, bool) else value


def _as_written(text: str) -> str:
    """Before `_cell` made text of it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _product(product: ProductView) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.name,
        "category": product.category.name,
        "price": decimal_text(product.price.minor),
        "stock": product.stock,
        "brand": product.brand,
        "description": product.description,
        "cost": _decimal(product.cost),
        "min_price": _decimal(product.min_price),
        "max_price": _decimal(product.max_price),
        "is_active": product.is_active,
        "currency": product.price.currency,
        "id": product.id,
        "seller": product.seller.email,
        "created_at": rfc3339(product.created_at),
        "count_viewed": product.count_viewed,
    }


def _decimal(money: Money | None) -> str | None:
    return None if money is None else decimal_text(money.minor)


def _units_sold(order: OrderView, line: OrderLineView) -> int:
    """What statistics and pricing policies count as sold: of paid orders, refunded later or not; own purchases not."""
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
        "price": decimal_text(line.price),
        "amount": decimal_text(line.quantity * line.price),
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
        "total": decimal_text(order.total),
        "lines": [
            {
                "id": line.id,
                "product": line.product,
                "name": line.name,
                "quantity": line.quantity,
                "price": decimal_text(line.price),
                "refunded": line.refunded,
                "units": _units_sold(order, line),
            }
            for line in order.lines
        ],
    }
