"""The message about a bad file says what is wrong with it."""

import gzip
from pathlib import Path

import pytest

from adapters.cli.online_retail.lines import Refusal, RefusedLine, read_lines
from adapters.cli.online_retail.source import open_rows
from scalecommerce_core.services.product_files.csv_text import BadRow, UnreadableFile
from tests.unit.adapters.cli.online_retail.builders import HEADER, row

LINE = ",".join(row()) + "\n"


def numbers(path: Path, content: bytes) -> list[int]:
    path.write_bytes(content)
    with open_rows(path) as rows:
        return [row.line for row in rows]


@pytest.mark.parametrize("name", ["file.csv", "file.gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_may_be_compressed_with_any_name(name: str, compress: type[bytes], mark: str, tmp_path: Path) -> None:
    assert numbers(tmp_path / name, compress((mark + HEADER + LINE + LINE).encode())) == [2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "its first line is not InvoiceNo,"),
        ((HEADER + LINE).encode("utf-16"), "is UTF-16"),
        (gzip.compress((HEADER + LINE * 5_000).encode(), mtime=0)[:-300], "cut short"),
        (gzip.compress((HEADER + LINE).encode(), mtime=0)[:12] + b"garbage", "damaged"),
    ],
)
def test_invalid_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=message):
        numbers(tmp_path / "file", content)


def test_missing_and_unreadable_files_are_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UnreadableFile, match=str(path)), open_rows(path) as rows:
            list(rows)


def test_bad_rows_are_refused_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    stray, foreign = '1,"never closed\n', b"536365,A,caf\xe9,6,2010-12-01 08:26:00,2.55,17850,France\n"
    path.write_bytes((HEADER + LINE + stray + LINE).encode() + foreign + b",,,,,,,\n" + LINE.encode())
    with open_rows(path) as rows:
        read = list(read_lines(rows))
    refused = [(line.number, line.why) for line in read if isinstance(line, RefusedLine)]
    assert refused == [(3, Refusal.UNREADABLE), (5, Refusal.UNREADABLE)]
    assert [line.number for line in read] == [2, 3, 4, 5, 7]
    path.write_text(HEADER.replace(",", ";") + LINE.replace(",", ";"))
    with open_rows(path) as rows:
        assert [row.line for row in rows if not isinstance(row, BadRow)] == [2]
