"""CSV files on disk: all commands open them with this module, and read them with `CsvFile`.

A file may be compressed with gzip, which is detected by its first bytes. Text is UTF-8, unless the caller names another
encoding.
"""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, cast

from scalecommerce_core.services.product_files.csv_text import LINE_LIMIT, CsvFile, UnreadableFile


class TextEncoding(StrEnum):
    """Encodings of text files; the values are names of Python's codecs, too."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    WINDOWS_1250 = "windows-1250"
    WINDOWS_1251 = "windows-1251"
    WINDOWS_1252 = "windows-1252"


_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_OR_NAME_ENCODING: Final = f", or name its encoding with --encoding, such as {TextEncoding.WINDOWS_1252}"
_ENCODINGS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


@contextmanager
def open_csv(
    path: Path, known: Collection[str] = (), *, encoding: TextEncoding = TextEncoding.UTF_8
) -> Iterator[CsvFile]:
    """Open the file at `path`, plain or compressed; raise `UnreadableFile`."""
    with _open_content(path) as (raw, content):
        size = os.fstat(raw.fileno()).st_size
        if encoding is not TextEncoding.UTF_16:
            _check_is_text(_beginning(content, path), path)
        # With `surrogateescape`, bytes that are not UTF-8 make only their row a `BadRow`.
        errors = "surrogateescape" if encoding is TextEncoding.UTF_8 else "replace"
        with io.TextIOWrapper(content, encoding, errors, newline="") as text:
            yield CsvFile(
                text, str(path), known, done=lambda: raw.tell() / size if size else None, or_else=_OR_NAME_ENCODING
            )


def detect_encoding(path: Path) -> TextEncoding:
    """UTF-16 if the file begins with its byte order mark, UTF-8 if its bytes are, else Windows-1252, the usual encoding
    of older programs in western languages; raise `UnreadableFile`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _open_content(path) as (_, content):
        if _beginning(content, path).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return TextEncoding.UTF_16
        try:
            while part := content.read(LINE_LIMIT):
                decoder.decode(part)
        except UnicodeDecodeError:
            return TextEncoding.WINDOWS_1252
        except (gzip.BadGzipFile, EOFError, zlib.error, OSError):
            # Reading the rows reports the damage with its line.
            return TextEncoding.UTF_8
    return TextEncoding.UTF_8


@contextmanager
def _open_content(path: Path) -> Iterator[tuple[IO[bytes], io.BufferedReader]]:
    """The file, and its content, decompressed if necessary."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror or error}.") from error
    with raw:
        content = raw
        try:
            if raw.peek(2)[:2] == _GZIP:
                content = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=raw)))
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}.") from error
        yield raw, content


def _beginning(content: io.BufferedReader, path: Path) -> bytes:
    try:
        return content.peek(64)[:64]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{path} is damaged or cut short: {str(error).rstrip('.')}.") from error
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}.") from error


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet files do; raise `UnreadableFile`."""
    with _open_content(path) as (_, content):
        return _beginning(content, path).startswith(_PARQUET)


def _check_is_text(beginning: bytes, path: Path) -> None:
    if beginning.startswith(b"PK\x03\x04"):
        raise UnreadableFile(f"{path} is a workbook or another zip file, not CSV: export the sheet as CSV in UTF-8.")
    if beginning.startswith(_PARQUET):
        raise UnreadableFile(f"{path} is a Parquet file, not CSV: export it as CSV in UTF-8.")
    encoding = next((name for mark, name in _ENCODINGS if beginning.startswith(mark)), None)
    if encoding is None and b"\x00" in beginning:
        encoding = "UTF-16 without a byte order mark, or not text at all"
    if encoding is not None:
        raise UnreadableFile(f"{path} is {encoding}, but must be UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8).")
