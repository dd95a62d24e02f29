"""Import of products from CSV files; `columns` describes the columns.

A line identifies a product of the seller by `sku`, or without it by `id`. Values in a file may be outdated: see
`_ImportLine.baseline`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from attrs import define, field, frozen

from scalecommerce_core.domain.account import matches_email
from scalecommerce_core.domain.category import name_key
from scalecommerce_core.domain.date_times import parse_date_time
from scalecommerce_core.domain.errors import Invalid, NotFound, StockMoved
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money, price_units
from scalecommerce_core.domain.numbers import parse_integer
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
from scalecommerce_core.queries import ProductView
from scalecommerce_core.services.catalog import CreateProduct, EditProduct, ProductWithStock
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.product_files.columns import (
    BASELINE,
    COLUMNS,
    READ_ONLY,
    checksum,
    parse_checksums,
    strip_formula_quote,
)
from scalecommerce_core.services.product_files.csv_text import BadRow, CsvFile, Row, UnreadableFile
from scalecommerce_core.services.progress import Progress, no_progress

KNOWN: Final = frozenset({*COLUMNS, *READ_ONLY, *BASELINE})
REQUIRED: Final = ("name", "category", "price")
BATCH: Final = 500
MAX_ID: Final = 2**63 - 1
WHOLE_LINE: Final = "line"
"""The key of messages that are about no single column."""

C_contra = TypeVar("C_contra", contravariant=True)
C = TypeVar("C")
T = TypeVar("T")


class LineFate(StrEnum):
    """What an import does with a line."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@frozen
class ImportedLine:
    """A line of the file. `line` is its number.

    `product` is the product's id, None for a refused line without a known product and for one that a dry run would
    create. `changes` are the columns of an existing product that change, `errors` the messages by column; those about
    the whole line are under `WHOLE_LINE`.
    """

    line: int
    sku: str
    fate: LineFate
    product: ProductId | None = None
    changes: Sequence[str] = ()
    errors: Mapping[str, Sequence[str]] = field(factory=dict)

    @property
    def message(self) -> str:
        """All messages, each after the name of its column."""
        return " ".join(
            said if column == WHOLE_LINE else f"{column}: {said}"
            for column, messages in self.errors.items()
            for said in messages
        )


@frozen
class LineError:
    """`line` is the number of the line in the file; `message` names the columns."""

    line: int
    sku: str
    message: str


@frozen
class ImportedProducts:
    """The result so far. Each line that was read is in exactly one of the counts; with `dry_run`, nothing was written.

    `in_doubt` counts the lines of the batch that was being written when the import stopped. They may or may not be
    written; importing the file again is safe. `is_complete`: the whole file was read.
    """

    lines: int
    created: int
    updated: int
    unchanged: int
    errors: tuple[LineError, ...]
    dry_run: bool
    in_doubt: int = 0
    is_complete: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "failed": len(self.errors),
            "in_doubt": self.in_doubt,
            "complete": self.is_complete,
            "dry_run": self.dry_run,
            "errors": [{"line": e.line, "sku": e.sku, "message": e.message} for e in self.errors],
        }


def import_products(
    market: Market, file: CsvFile, seller: AccountId, *, dry_run: bool = False, progress: Progress = no_progress
) -> ImportedProducts:
    """Create products that the seller does not have yet, and edit the others.

    Lines with errors are reported, and the others are written. Each batch is a transaction, and importing the file
    again is safe. Raise `UnreadableFile` if the rest of the file cannot be read; completed batches stay, and
    `ProductImport.report` counts them.
    """
    work = ProductImport(market, seller, dry_run=dry_run)
    work.run(file, progress)
    return work.report()


@frozen
class _ImportLine:
    """A valid line. `changes` holds the fields that are not blank.

    `baseline` holds the price and stock at the time of the export, and `exported` the checksums of the other fields.
    Fields that still have these values are not changed.
    """

    line: int
    sku: str
    product: ProductId | None
    changes: Mapping[str, Any]
    stock: int | None
    baseline: Mapping[str, Any]
    exported: Mapping[str, str]

    @property
    def name(self) -> str:
        """The product's name in messages."""
        return self.sku or f"id {self.product}"


def _ignore(_line: ImportedLine) -> None:
    """Keep no fates of lines."""


class _UseCase(Protocol[C_contra]):
    def __call__(self, commands: Sequence[C_contra], /, *, dry_run: bool) -> Sequence[object]: ...


@define
class ProductImport:
    """Import of one file. `report` may be called at any time, also after an error or an interruption.

    A dry run checks each line as the import would, and writes nothing. `by_operator`: an operator imports for the
    seller, which the audit log records. `on_line` is called with the fate of each line, batch by batch.
    """

    market: Market
    seller: AccountId
    dry_run: bool = field(kw_only=True)
    by_operator: bool = field(default=True, kw_only=True)
    on_line: Callable[[ImportedLine], None] = field(default=_ignore, kw_only=True)
    lines: int = field(default=0, init=False)
    _created: int = field(default=0, init=False)
    _updated: int = field(default=0, init=False)
    _unchanged: int = field(default=0, init=False)
    _errors: list[LineError] = field(factory=list, init=False)
    _is_complete: bool = field(default=False, init=False)
    _email: str = field(init=False)
    _categories: dict[str, CategoryId] = field(init=False)
    _first_lines: dict[str, int] = field(factory=dict, init=False)
    _lines_of_products: dict[ProductId, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        account = self.market.queries.account(self.seller)
        if account is None:
            raise NotFound("account", self.seller)
        self._email = account.email
        categories = self.market.queries.categories()
        # Exports contain names, so names take precedence over slugs, and slugs over ids.
        self._categories = {str(category.id): category.id for category in categories}
        self._categories |= {category.slug: category.id for category in categories}
        self._categories |= {name_key(category.name): category.id for category in categories}

    def run(self, file: CsvFile, progress: Progress = no_progress) -> None:
        """Import the file. Raise `UnreadableFile`, and errors of the store; completed batches stay."""
        header = [name.lower() for name in file.header]
        _check_header(header, file)
        for batch in _batches(file, BATCH):
            self._import_batch(batch, header)
            share = file.done()
            progress("lines read", self.lines, max(self.lines, round(self.lines / share)) if share else None)
        self._is_complete = True
        progress("lines read", self.lines, self.lines)

    def report(self) -> ImportedProducts:
        counted = self._created + self._updated + self._unchanged + len(self._errors)
        return ImportedProducts(
            self.lines,
            self._created,
            self._updated,
            self._unchanged,
            tuple(sorted(self._errors, key=_by_line)),
            self.dry_run,
            self.lines - counted,
            self._is_complete,
        )

    # --- lines

    def _import_batch(self, batch: Sequence[Row | BadRow], header: Sequence[str]) -> None:
        self.lines += len(batch)
        wanted = [read for row in batch if (read := self._read(row, header)) is not None]
        queries = self.market.queries
        by_sku = queries.ids_by_sku(self.seller, [w.sku for w in wanted if w.sku]) if wanted else {}
        named = {w.product for w in wanted if w.product is not None} | {*by_sku.values()}
        views = {
            id_: view
            for id_, view in (queries.products(named) if named else {}).items()
            if view.seller.id == self.seller
        }
        new, known = [], []
        for w in wanted:
            found = self._product_of(w, by_sku, views)
            if found is not None:
                known.append((w, found))
            elif w.sku:
                new.append(w)
            else:
                self._fail(w, {"id": [f"{self._email} has no product {w.product}."]})
        self._list(new)
        self._edit(known)

    def _product_of(
        self, wanted: _ImportLine, by_sku: Mapping[str, ProductId], views: Mapping[ProductId, ProductView]
    ) -> ProductView | None:
        if wanted.sku in by_sku:
            return views.get(by_sku[wanted.sku])
        view = None if wanted.product is None else views.get(wanted.product)
        # A line may set the SKU of a product that has none; a line with another SKU is another product.
        return view if view is not None and (not wanted.sku or view.sku is None) else None

    def _read(self, row: Row | BadRow, header: Sequence[str]) -> _ImportLine | None:
        if isinstance(row, BadRow):
            self._refuse(row.line, "", {WHOLE_LINE: [row.message]})
            return None
        cells = row.cells
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        if len(cells) != len(header):
            said = f"This line has {len(cells)} cells, but the header has {len(header)}."
            self._refuse(row.line, "", {WHOLE_LINE: [said]})
            return None
        return self._parse_fields(row.line, dict(zip(header, map(strip_formula_quote, cells), strict=True)))

    def _parse_fields(self, line: int, fields: Mapping[str, str]) -> _ImportLine | None:
        sku, problems = self._identify(fields)
        product: ProductId | None = None
        changes: dict[str, Any] = {}
        baseline: dict[str, Any] = {}
        currency = fields.get("currency", "").strip() or self.market.currency
        for name, text in fields.items():
            if not normal_line(text):
                continue
            try:
                if name == "id":
                    product = ProductId(parse_integer(text.strip(), least=1, most=MAX_ID))
                elif name in {"price_expected", "stock_expected"}:
                    figure = name.removesuffix("_expected")
                    baseline[figure] = self._value(figure, text.strip(), currency)
                elif name in _VALUES:
                    changes[name] = self._value(name, text.strip(), currency)
            except ValueError as error:
                problems.setdefault(name, []).append(str(error))
        bounds = changes.get("min_price"), changes.get("max_price")
        if bounds[0] is not None and bounds[1] is not None and bounds[1] < bounds[0]:
            problems["max_price"] = ["Must not be below min_price."]
        if problems:
            self._refuse(line, sku, problems)
            return None
        if sku:
            self._first_lines[sku] = line
        stock, exported = changes.pop("stock", None), parse_checksums(fields.get("exported", ""))
        return _ImportLine(line, sku, product, changes, stock, baseline, exported)

    def _identify(self, fields: Mapping[str, str]) -> tuple[str, dict[str, list[str]]]:
        """Return the sku of the line, and errors of its identification by column."""
        sku = normal_line(fields.get("sku", ""))
        problems = list(text_errors(sku, at_most=SKU_LENGTH))
        if not sku and not fields.get("id", "").strip():
            problems.append("Must not be blank unless id identifies the product.")
        if first := self._first_lines.get(sku):
            problems.append(f"Line {first} has the same sku.")
        errors = {"sku": problems} if problems else {}
        owner = fields.get("seller", "").strip()
        if owner and not matches_email(owner, self._email):
            errors["seller"] = [f"This is a product of {owner}, not of {self._email}."]
        return sku, errors

    def _value(self, name: str, text: str, currency: str) -> object:
        """Parse the value of a field; raise `ValueError` with a message."""
        match name:
            case "price" | "cost" | "min_price" | "max_price" | "competitor_price":
                return Money(price_units(text, currency), currency)
            case "stock":
                return parse_integer(text, least=0, most=MAX_STOCK)
            case "max_per_buyer":
                return parse_integer(text, least=1, most=MAX_STOCK)
            case "stock_until" | "competitor_price_at":
                return parse_date_time(text)
            case "is_active":
                if text.lower() not in _TRUTH:
                    raise ValueError("Must be true or false.")
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

    # --- products

    def _list(self, wanted: Sequence[_ImportLine]) -> None:
        complete = []
        for new in wanted:
            missing = [name for name in REQUIRED if name not in new.changes]
            if missing:
                self._fail(new, {WHOLE_LINE: [f"A new product needs {', '.join(missing)}."]})
            else:
                complete.append(new)
        commands = [
            CreateProduct(
                owner=self.seller,
                category_id=new.changes["category"],
                sku=new.sku,
                stock=new.stock or 0,
                by_operator=self.by_operator,
                **{name: value for name, value in new.changes.items() if name != "category"},
            )
            for new in complete
        ]
        for new, product in self._run(complete, commands, self.market.catalog.create_products):
            self._created += 1
            # The numbers that a dry run drew identify nothing.
            self.on_line(ImportedLine(new.line, new.sku, LineFate.CREATED, None if self.dry_run else product))

    def _edit(self, known: Sequence[tuple[_ImportLine, ProductView]]) -> None:
        edits: list[_ImportLine] = []
        commands: list[EditProduct] = []
        for wanted, view in known:
            if first := self._lines_of_products.get(view.id):
                self._fail(wanted, {"id": [f"Line {first} refers to the same product."]})
                continue
            self._lines_of_products[view.id] = wanted.line
            changes, stock = _changes(wanted, view)
            if not changes and stock is None:
                self._unchanged += 1
                self.on_line(ImportedLine(wanted.line, wanted.name, LineFate.UNCHANGED, view.id))
                continue
            edits.append(wanted)
            editor = None if self.by_operator else self.seller
            commands.append(
                EditProduct(view.id, editor, changes, stock=stock, as_staff=self.by_operator, baseline=wanted.baseline)
            )
        columns = {
            command.product_id: [
                *(_COLUMN_OF.get(name, name) for name in command.changes),
                *(() if command.stock is None else ("stock",)),
            ]
            for command in commands
        }
        for edit, product in self._run(edits, commands, self.market.catalog.edit_products):
            self._updated += 1
            self.on_line(ImportedLine(edit.line, edit.name, LineFate.UPDATED, product, columns[product]))

    def _run(
        self, wanted: Sequence[_ImportLine], commands: Sequence[C], use_case: _UseCase[C]
    ) -> Iterator[tuple[_ImportLine, ProductId]]:
        """Run the commands, or try them in a dry run; return the lines that succeeded. The others are refused."""
        if not commands:
            return
        for line, outcome in zip(wanted, use_case(commands, dry_run=self.dry_run), strict=True):
            match outcome:
                case ProductWithStock():
                    yield line, outcome.product.id
                case StockMoved():
                    self._fail(line, {"stock": [_moved(outcome.expected, outcome.actual)]})
                case Invalid():
                    self._fail(line, {_COLUMN_OF.get(name, name): said for name, said in outcome.errors.items()})
                case _:
                    self._fail(line, {WHOLE_LINE: [str(outcome)]})

    def _fail(self, wanted: _ImportLine, errors: Mapping[str, Sequence[str]]) -> None:
        self._refuse(wanted.line, wanted.name, errors)

    def _refuse(self, line: int, name: str, errors: Mapping[str, Sequence[str]]) -> None:
        refused = ImportedLine(line, name, LineFate.REFUSED, errors=errors)
        self._errors.append(LineError(line, name, refused.message))
        self.on_line(refused)


def _changes(wanted: _ImportLine, view: ProductView) -> tuple[dict[str, Any], int | None]:
    """Changes of a line: values that differ from the exported and from the current ones, and the new stock."""
    changes: dict[str, Any] = {}
    for name, value in wanted.changes.items():
        if name in wanted.baseline and wanted.baseline[name] == value:
            continue
        if name in wanted.exported and wanted.exported[name] == checksum(name, value):
            continue
        if value != (view.category.id if name == "category" else getattr(view, name)):
            changes["category_id" if name == "category" else name] = value
    if wanted.sku and wanted.sku != view.sku:
        changes["sku"] = wanted.sku
    stock = None if wanted.stock in {wanted.baseline.get("stock"), view.stock} else wanted.stock
    return changes, stock


def _moved(exported: int, now: int) -> str:
    return (
        f"It was {exported} in the export and is {now} now, so this line was skipped. Export the products again,"
        " or leave stock blank."
    )


def _check_header(header: Sequence[str], file: CsvFile) -> None:
    known = ", ".join(COLUMNS)
    if not header:
        raise UnreadableFile(f"{file.name} is empty. Its first line must name the columns: {known}.")
    unknown = [name for name in header if name not in KNOWN]
    if "sku" not in header and "id" not in header:
        raise UnreadableFile(
            f"{file.name}: The first line names the columns, and sku (or id) must be one of them: {known}."
            f" It has {', '.join(map(repr, header[:20]))}, read as separated by {file.separator}."
        )
    if unknown:
        raise UnreadableFile(f"{file.name}: Unknown columns: {', '.join(unknown)}. Known columns: {known}.")
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UnreadableFile(f"{file.name}: The column {twice} is named twice.")


_COLUMN_OF: Final = {"category_id": "category"}
"""Columns by the fields of products that have another name."""
_VALUES: Final = frozenset(COLUMNS) - {"sku", "currency"}
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LENGTHS: Final = {"name": NAME_LENGTH, "brand": BRAND_LENGTH, "description": DESCRIPTION_LENGTH}


def _by_line(error: LineError) -> int:
    return error.line


def _batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
    except UnreadableFile:
        # Rows before the unreadable part are valid.
        if batch:
            yield batch
        raise
    if batch:
        yield batch
