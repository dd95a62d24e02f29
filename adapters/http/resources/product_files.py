"""`products/api/v1/import/` and `products/api/v1/export/`: the products of a seller as CSV."""

import io
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.download import DownloadResponse, next_chunk
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.resources.products import ROOT, TAG
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.product_files.columns import product_csv
from scalecommerce_core.services.product_files.csv_text import CsvFile, UnreadableFile
from scalecommerce_core.services.product_files.importing import KNOWN, ImportedLine, LineFate, ProductImport

MAX_CSV: Final = 1_000_000
"""Characters of one import."""
MAX_IMPORT_BYTES: Final = 1024 * 1024
"""Bytes of the body, the most that the server receives; line feeds and quotes are two bytes of JSON each."""
MAX_LINES: Final = 5_000
"""Lines of one import: it ends before proxies give up, and its response stays below about 1 MB."""
FILE: Final = "The file"
"""The name of the file in messages."""


class ProductImportBody(msgspec.Struct, omit_defaults=True):
    csv: Annotated[
        str,
        msgspec.Meta(
            max_length=MAX_CSV,
            description=f"The text of the file, at most {MAX_LINES:,} lines of products. The first line names the"
            " columns, as those of `exportProducts`.",
            examples=["sku,name,category,price,stock\nA1,Tea pot,home_appliances,19.90,3\n"],
        ),
    ]
    dry_run: Annotated[bool, msgspec.Meta(description="Check every line, and write nothing.")] = False


class ImportedLineSchema(msgspec.Struct):
    """The fate of a line: `line` is its number in the file.

    `product` is the id of the product; null for a refused line without one, and for one that a dry run would create.
    `changes` are the columns that change. `errors` are messages by column; `line` is the key of those that are about
    the whole line.
    """

    line: int
    sku: str
    fate: LineFate
    product: int | None
    changes: list[str]
    errors: dict[str, list[str]]


class ProductImportSchema(msgspec.Struct):
    """`lines` is the number of lines that were read; each has one of the fates that are counted."""

    dry_run: bool
    lines: int
    created: int
    updated: int
    unchanged: int
    refused: int
    results: list[ImportedLineSchema]


class ProductFileResource:
    """Import and export of the caller's own products."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="POST",
        path=f"{ROOT}import/",
        name="importProducts",
        summary="Create or edit the caller's products from CSV, or check the file",
        description="The column `sku` identifies existing products, and `id` those without one. Blank cells change"
        " nothing. Lines with errors are refused, and the others are written; sending the file again changes nothing"
        " more. A file of `exportProducts` changes only what was edited in it: fields that sales or pricing policies"
        " changed meanwhile stay as they are.",
        responses={200: ResponseSpec(ProductImportSchema, "The fate of each line.")},
        tag=TAG,
        max_body_bytes=MAX_IMPORT_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
    )
    async def import_products(self, call: Call[ProductImportBody, None]) -> Response:
        result = await self._dependencies.run_long(
            self._import, call.identity.account_id, call.body.csv, dry_run=call.body.dry_run
        )
        return json_response(result)

    @OperationSpec(
        method="GET",
        path=f"{ROOT}export/",
        name="exportProducts",
        summary="Download the caller's products as CSV",
        description="All products that were not withdrawn, active or not, in UTF-8. `importProducts` reads the file. A"
        " cell that a spreadsheet would run as a formula begins with an apostrophe, which the import removes. The"
        " columns `price_expected`, `stock_expected` and `exported` tell the import what was edited: leave them as"
        " they are.",
        responses={200: ResponseSpec(str, "The products by id.", media_type="text/csv")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_READ,
    )
    async def export_products(self, call: Call[None, None]) -> Response:
        lines = product_csv(self._market.queries.iter_products(call.identity.account_id))
        return DownloadResponse(self._chunks(lines), "products.csv", "text/csv")

    async def _chunks(self, lines: Iterator[str]) -> AsyncIterator[bytes]:
        while chunk := await self._dependencies.run_in_thread(next_chunk, lines):
            yield chunk

    def _import(self, seller: AccountId, text: str, *, dry_run: bool) -> ProductImportSchema:
        """Raise `Invalid` for a text that is no table of products; nothing is written then."""
        fates: list[ImportedLine] = []
        work = ProductImport(self._market, seller, dry_run=dry_run, by_operator=False, on_line=fates.append)
        try:
            if sum(1 for _ in _open(text)) > MAX_LINES:
                raise Invalid.field("csv", f"At most {MAX_LINES:,} lines are imported at once: split the file.")
            work.run(_open(text))
        except UnreadableFile as error:
            raise Invalid.field("csv", str(error)) from None
        report = work.report()
        return ProductImportSchema(
            dry_run,
            report.lines,
            report.created,
            report.updated,
            report.unchanged,
            len(report.errors),
            [_to_line_schema(fate) for fate in sorted(fates, key=_by_line)],
        )


def _open(text: str) -> CsvFile:
    return CsvFile(io.StringIO(text, newline=""), FILE, KNOWN)


def _by_line(fate: ImportedLine) -> int:
    return fate.line


def _to_line_schema(fate: ImportedLine) -> ImportedLineSchema:
    errors = {column: list(messages) for column, messages in fate.errors.items()}
    return ImportedLineSchema(fate.line, fate.sku, fate.fate, fate.product, list(fate.changes), errors)
