"""The reader of CSV files: it reads all dialects of spreadsheets, and continues after a bad row."""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.cli.csv_files import open_csv
from scalecommerce_core.services.product_files.csv_text import (
    CELL_LIMIT,
    LINE_LIMIT,
    BadRow,
    CsvFile,
    Row,
    UnreadableFile,
)

KNOWN = {"sku", "name", "price"}


def read(text: str, known: set[str] | None = None) -> list[Row | BadRow]:
    return list(CsvFile(io.StringIO(text, newline=""), "file.csv", KNOWN if known is None else known))


def lines_of(rows: list[Row | BadRow]) -> list[tuple[int, object]]:
    return [(row.line, row.cells if isinstance(row, Row) else "bad") for row in rows]


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
@example([['a"b', '"', "x\ny"]], ",", "\n", False)
def test_files_of_the_csv_module_are_read_like_the_csv_module_does(
    rows: list[list[str]], separator: str, ending: str, quote_all: bool
) -> None:
    text = io.StringIO(newline="")
    # The csv module quotes only its own line ending, not other line breaks.
    quote_all = quote_all or any({"\r", "\n"} & set(cell) for row in rows for cell in row)
    writer = csv.writer(
        text, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    )
    writer.writerows([["sku", "name", "price"], *rows])
    found = read(text.getvalue())
    assert all(isinstance(row, Row) for row in found)
    wanted = [row for row in rows if any(cell and not cell.isspace() for cell in row)]
    assert [row.cells for row in found if isinstance(row, Row)] == wanted


@pytest.mark.parametrize(
    "header", ["sku,name,price", '"sku","name","price"', "\ufeffsku,name,price", '\ufeff"sku","name","price"',
               " sku ,name , price", "sku;name;price", '\ufeff"sku";"name";"price"', "sku\tname\tprice",
               "sku|name|price", "sep=;\nsku;name;price", '\ufeff"sep=;"\r\nsku;name;price', "\n \nsku,name,price"],
)  # fmt: skip
def test_headers_are_parsed_with_marks_quotes_and_any_separator(header: str) -> None:
    separator = next((each for each in ";\t|" if each in header), ",")
    file = CsvFile(io.StringIO(f"{header}\nA{separator}B{separator}1\n", newline=""), "file.csv", KNOWN)
    assert list(file.header) == ["sku", "name", "price"]
    assert [row.cells for row in file if isinstance(row, Row)] == [["A", "B", "1"]]


def test_the_known_names_decide_the_separator_before_the_number_of_cells() -> None:
    file = CsvFile(io.StringIO("sku;name, long, and, short\n"), "file.csv", KNOWN)
    assert file.separator == "semicolon"
    assert CsvFile(io.StringIO("alpha;beta;gamma,delta\n"), "file.csv").separator == "semicolon"


def test_rows_without_text_are_left_out_and_lines_are_numbered_as_editors_do() -> None:
    rows = read('sku,name,price\nA,"two\nlines",1\n,,\n\n  , ,\nB,C,2\n,,\n,,\n')
    assert lines_of(rows) == [(2, ["A", "two\nlines", "1"]), (7, ["B", "C", "2"])]


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    good = "".join(f"A{n},Cup,{n}\n" for n in range(2000))
    rows = read(f'sku,name,price\n{good}X,"Cup,1\n{good}')
    assert len(rows) == 4001
    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    assert bad.line == 2002
    assert "A quote that opens a cell here is never closed" in bad.message


def test_a_stray_quote_that_the_next_quote_closes_costs_one_row() -> None:
    rows = read('sku,name,price\nX,"Cup,1\nB,Pot,2\nC,"Tea, green",3\nD,E,4\n')
    assert lines_of(rows) == [(2, "bad"), (3, ["B", "Pot", "2"]), (4, ["C", "Tea, green", "3"]), (5, ["D", "E", "4"])]
    assert isinstance(rows[0], BadRow)
    assert "in the middle of a cell" in rows[0].message
    swallowed = read('sku,name,price\nX,"Cup,1\nB,Pot,2\nC,"\nD,E,4\n')
    assert lines_of(swallowed) == [(2, "bad"), (3, ["B", "Pot", "2"]), (4, "bad"), (5, ["D", "E", "4"])]


def test_a_stray_quote_after_a_multi_line_cell_does_not_split_that_cell() -> None:
    rows = read('sku,name,price\nX,"two\nlines","1\nD,E,4\n')
    assert lines_of(rows) == [(2, "bad"), (4, ["D", "E", "4"])]
    assert isinstance(rows[0], BadRow)
    assert "opens a cell in line 3 is never closed" in rows[0].message


def test_text_after_a_quoted_cell_is_a_bad_row_and_a_quote_inside_a_cell_is_text() -> None:
    rows = read('sku,name,price\nX,"Cup" red,1\nY,5" pipe,2\n')
    assert lines_of(rows) == [(2, "bad"), (3, ["Y", '5" pipe', "2"])]


@pytest.mark.parametrize(
    "cell", ["x" * (CELL_LIMIT + 1), f'"{"x" * (CELL_LIMIT + 1)}"', '"' + "x\n" * CELL_LIMIT + '"']
)
def test_a_cell_that_is_too_long_costs_one_row(cell: str) -> None:
    rows = read(f"sku,name,price\nA,{cell},1\nB,C,2\n")
    assert [isinstance(row, BadRow) for row in rows] == [True, False]
    assert isinstance(rows[0], BadRow)
    assert "at most 131,072 are read" in rows[0].message
    assert read(f"sku,name,price\nA,{'x' * CELL_LIMIT},1\n")[0].line == 2


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_line_without_an_end_is_not_kept_in_memory(quote: str) -> None:
    rows = read(f"sku,name,price\nA,{quote}{'x' * (3 * LINE_LIMIT)}\nB,C,2\n")
    assert lines_of(rows) == [(2, "bad"), (3, ["B", "C", "2"])]


# --- bytes


def at(path: Path, content: bytes) -> list[Row | BadRow]:
    path.write_bytes(content)
    with open_csv(path, KNOWN) as file:
        return list(file)


@pytest.mark.parametrize("name", ["file.csv", "file.gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_files_may_be_compressed_and_have_a_byte_order_mark(
    name: str, compress: Callable[[bytes], bytes], mark: bytes, tmp_path: Path
) -> None:
    rows = at(tmp_path / name, compress(mark + b'"sku","name"\nA,B\n'))
    assert lines_of(rows) == [(2, ["A", "B"])]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "is UTF-16, but must be UTF-8"),
        ("utf-16-le", "is UTF-16 without a byte order mark"),
        ("utf-16-be", "is UTF-16 without a byte order mark"),
        ("utf-32", "is UTF-32"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_unsupported_encodings_are_named(
    encoding: str, said: str, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    with pytest.raises(UnreadableFile, match=said) as caught:
        at(tmp_path / "file.csv", compress("sku,name\nA,B\n".encode(encoding)))
    assert str(tmp_path / "file.csv") in str(caught.value)


def test_a_workbook_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="is a workbook"):
        at(tmp_path / "file.csv", b"PK\x03\x04\x14\x00")


def test_bytes_that_are_not_utf8_cost_one_row(tmp_path: Path) -> None:
    rows = at(tmp_path / "file.csv", b'sku,name,price\nA,caf\xe9,1\nB,"caf\xe9\n x",1\nC,caf\xc3\xa9,2\n')
    assert lines_of(rows) == [(2, "bad"), (3, "bad"), (5, ["C", "café", "2"])]
    assert isinstance(rows[0], BadRow)
    assert "The byte 0xe9 is not UTF-8 text" in rows[0].message


def test_a_damaged_gz_file_is_reported_with_its_last_readable_line(tmp_path: Path) -> None:
    path = tmp_path / "file.csv.gz"
    whole = gzip.compress(b"sku,name\n" + b"".join(b"A%d,%d\n" % (n, n * n) for n in range(50_000)))
    for damaged in (whole[:-5], whole[: len(whole) // 2], whole[:-8] + b"\x00" * 8):
        path.write_bytes(damaged)
        before: list[int] = []
        with open_csv(path, KNOWN) as file, pytest.raises(UnreadableFile, match=r"damaged or cut short after line \d"):
            before.extend(row.line for row in file)
        assert len(before) > 1000
    for nothing in (whole[:15], whole[:12] + b"garbage, not deflated", b"\x1f\x8b"):
        with pytest.raises(UnreadableFile, match="damaged or cut short"):
            at(path, nothing)


def test_missing_files_are_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UnreadableFile, match=str(path)), open_csv(path):
            pass


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    for content in (b"", b"\n\n", b"\xef\xbb\xbf", gzip.compress(b"")):
        path.write_bytes(content)
        with open_csv(path, KNOWN) as file:
            assert (list(file.header), list(file)) == ([], [])
