"""A bad file is told by what is wrong with it."""

import gzip
from pathlib import Path

import pytest

from adapters.cli.online_retail.source import BadFile, rows_of
from tests.unit.online_retail.builders import HEADER, row

LINE = ",".join(row()) + "\n"


def numbers(path: Path, content: bytes) -> list[int]:
    path.write_bytes(content)
    with rows_of(path) as rows:
        return [number for number, _ in rows]


@pytest.mark.parametrize("name", ["file.csv", "file.gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_compressed_or_not_whatever_its_name(name: str, compress: type[bytes], mark: str, tmp_path: Path) -> None:
    assert numbers(tmp_path / name, compress((mark + HEADER + LINE + LINE).encode())) == [2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "its first line is not InvoiceNo,"),
        ((HEADER + LINE).encode() + b"\xff\xfe,\n", "not UTF-8"),
        ((HEADER + '1,"never closed\n' + LINE).encode(), "not CSV"),
        (gzip.compress((HEADER + LINE * 5_000).encode())[:-300], "cut short"),
        (gzip.compress((HEADER + LINE).encode())[:12] + b"garbage", "damaged"),
    ],
)
def test_bad_files(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=message):
        numbers(tmp_path / "file", content)


def test_no_file_and_no_permission_to_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(BadFile, match="cannot be read"), rows_of(path) as rows:
            list(rows)
