"""Many rows in one statement: arrays that `unnest` makes rows of again, or COPY for very many.

The statements are text, built once from the tables. Arrays travel as PostgreSQL's own literals, which are made
column by column here: psycopg's dumpers, made for lists of anything, take five times as long.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.types import TIMESTAMP

Row = tuple[Any, ...]


# --- values as text


def _encode_plain(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _encode_timestamps(values: Sequence[Any]) -> list[str | None]:
    # A batch usually holds one moment many times, and printing it is the dearest conversion.
    known = {value: None if value is None else value.isoformat(" ") for value in set(values)}
    return [known[value] for value in values]


_ENCODER: Final = msgspec.json.Encoder()


def _encode_json(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else _ENCODER.encode(value).decode() for value in values]


def _encode_bytes(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else f"\\x{value.hex()}" for value in values]


def _encode_int_arrays(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else int_array(value) for value in values]


Encoder = Callable[[Sequence[Any]], list[str | None]]

# By column type: the type to send, how to print it, and whether its text may hold letters that need quoting.
_ENCODINGS: Final[Sequence[tuple[type[TypeEngine[Any]], str, Encoder, bool]]] = (
    (SmallInteger, "smallint", _encode_plain, False),
    (BigInteger, "bigint", _encode_plain, False),
    (Integer, "integer", _encode_plain, False),
    (Boolean, "boolean", _encode_plain, False),
    (Double, "double precision", _encode_plain, False),
    (Numeric, "numeric", _encode_plain, False),
    (Uuid, "uuid", _encode_plain, False),
    (TIMESTAMP, "timestamptz", _encode_timestamps, False),
    (LargeBinary, "bytea", _encode_bytes, True),
    # unnest would take an array of arrays apart, so each travels as text.
    (ARRAY, "text", _encode_int_arrays, True),
    (JSONB, "text", _encode_json, True),
    # Never varchar(n): a cast to it cuts what is too long, the column refuses it.
    (String, "text", _encode_plain, True),
    (Text, "text", _encode_plain, True),
)
_CASTS: Final[Mapping[type[TypeEngine[Any]], str]] = {ARRAY: "::bigint[]", JSONB: "::jsonb"}


class BulkStatement:
    """The columns of a table that a statement fills, and how their values travel."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self.table = table.name
        self.columns = columns
        self._encoders: list[Encoder] = []
        self._needs_quotes: list[bool] = []
        parameters, selected = [], []
        for name in columns:
            kind = table.c[name].type
            sent, printer, quoted = next(
                (sent, printer, quoted) for known, sent, printer, quoted in _ENCODINGS if isinstance(kind, known)
            )
            self._encoders.append(printer)
            self._needs_quotes.append(quoted)
            parameters.append(f"%({name})s::{sent}[]")
            after = next((after for known, after in _CASTS.items() if isinstance(kind, known)), "")
            selected.append(f"given.{name}{after}")
        self.names = ", ".join(columns)
        self.selected = ", ".join(selected)
        self.source = f"unnest({', '.join(parameters)}) AS given({self.names})"

    def array_literals(self, rows: Sequence[Row]) -> dict[str, str]:
        """The statement's parameters: one array literal per column."""
        literals = {}
        for name, printer, quoted, values in zip(
            self.columns, self._encoders, self._needs_quotes, zip(*rows, strict=True), strict=True
        ):
            printed = printer(values)
            if quoted:
                parts = ["NULL" if p is None else _quote_array_element(p) for p in printed]
            else:
                parts = ["NULL" if p is None else p for p in printed]
            literals[name] = f"{{{','.join(parts)}}}"
        return literals

    def copy_text(self, rows: Sequence[Row]) -> str:
        """The rows in COPY's text format."""
        columns = []
        for printer, quoted, values in zip(self._encoders, self._needs_quotes, zip(*rows, strict=True), strict=True):
            printed = printer(values)
            if quoted:
                columns.append(["\\N" if p is None else p.translate(_COPY_ESCAPES) for p in printed])
            else:
                columns.append(["\\N" if p is None else p for p in printed])
        return "\n".join(map("\t".join, zip(*columns, strict=True))) + "\n"


_COPY_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _quote_array_element(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Insert(BulkStatement):
    """INSERT of many rows, by `unnest` or by COPY."""

    def __init__(self, table: Table, *columns: str) -> None:
        super().__init__(table, columns)
        self.statement = f"INSERT INTO {self.table} ({self.names}) SELECT {self.selected} FROM {self.source}"  # noqa: S608 - names of our own tables
        self.copy = f"COPY {self.table} ({self.names}) FROM STDIN"


class Update(BulkStatement):
    """UPDATE of many rows, each with values of its own, found by `keys`."""

    def __init__(self, table: Table, keys: Sequence[str], *columns: str) -> None:
        super().__init__(table, [*keys, *columns])
        selected = dict(zip(self.columns, self.selected.split(", "), strict=True))
        assignments = ", ".join(f"{name} = {selected[name]}" for name in columns)
        found = " AND ".join(f"{self.table}.{name} = given.{name}" for name in keys)
        self.statement = f"UPDATE {self.table} SET {assignments} FROM {self.source} WHERE {found}"  # noqa: S608 - names of our own tables


class Upsert(BulkStatement):
    """INSERT of many rows, or, where their `keys` are there already, an update; in the order of the keys."""

    def __init__(self, table: Table, keys: Sequence[str], *columns: str) -> None:
        super().__init__(table, [*keys, *columns])
        found = ", ".join(keys)
        assignments = ", ".join(f"{name} = {self.new_value(name)}" for name in columns)
        self.statement = (
            f"INSERT INTO {self.table} ({self.names}) SELECT {self.selected} FROM {self.source}"  # noqa: S608 - names of our own tables
            f" ORDER BY {found} ON CONFLICT ({found}) DO UPDATE SET {assignments}"
        )

    def new_value(self, column: str) -> str:
        return f"excluded.{column}"


class Increment(Upsert):
    """As `Upsert`, adding to what is there."""

    def new_value(self, column: str) -> str:
        return f"{self.table}.{column} + excluded.{column}"


# --- arrays in conditions


def int_array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


def id_array(ids: Iterable[int]) -> str:
    """Without the numbers that no row can have: they come from outside, and are simply not found."""
    return int_array(id_ for id_ in ids if -(2**63) <= id_ < 2**63)


def timestamp_array(moments: Sequence[datetime]) -> str:
    return f"{{{','.join(filter(None, _encode_timestamps(moments)))}}}"


def text_array(texts: Iterable[object]) -> str:
    return f"{{{','.join(_quote_array_element(str(text)) for text in texts)}}}"


def equals_any(column: ColumnElement[Any], parameter: str = "ids") -> ColumnElement[bool]:
    """`column = ANY(:parameter)`, for a parameter made by `id_array` or `text_array`."""
    # The widest type of its kind: a value that does not fit the column is not found, rather than cut or refused.
    kind = (
        Text() if isinstance(column.type, String) else BigInteger() if isinstance(column.type, Integer) else column.type
    )
    return column == any_(cast(bindparam(parameter, type_=Text), ARRAY(kind)))
