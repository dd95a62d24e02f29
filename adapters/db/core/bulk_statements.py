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


def _printed(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _moments(values: Sequence[Any]) -> list[str | None]:
    # A batch usually holds one moment many times, and printing it is the dearest conversion.
    known = {value: None if value is None else value.isoformat(" ") for value in set(values)}
    return [known[value] for value in values]


_ENCODER: Final = msgspec.json.Encoder()


def _json(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else _ENCODER.encode(value).decode() for value in values]


def _hex(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else f"\\x{value.hex()}" for value in values]


def _int_arrays(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else int_array(value) for value in values]


Printer = Callable[[Sequence[Any]], list[str | None]]

# By column type: the type to send, how to print it, and whether its text may hold letters that need quoting.
_TRANSPORT: Final[Sequence[tuple[type[TypeEngine[Any]], str, Printer, bool]]] = (
    (SmallInteger, "smallint", _printed, False),
    (BigInteger, "bigint", _printed, False),
    (Integer, "integer", _printed, False),
    (Boolean, "boolean", _printed, False),
    (Double, "double precision", _printed, False),
    (Numeric, "numeric", _printed, False),
    (Uuid, "uuid", _printed, False),
    (TIMESTAMP, "timestamptz", _moments, False),
    (LargeBinary, "bytea", _hex, True),
    # unnest would take an array of arrays apart, so each travels as text.
    (ARRAY, "text", _int_arrays, True),
    (JSONB, "text", _json, True),
    # Never varchar(n): a cast to it cuts what is too long, the column refuses it.
    (String, "text", _printed, True),
    (Text, "text", _printed, True),
)
_AFTER: Final[Mapping[type[TypeEngine[Any]], str]] = {ARRAY: "::bigint[]", JSONB: "::jsonb"}


class Batch:
    """The columns of a table that a statement fills, and how their values travel."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self.table = table.name
        self.columns = columns
        self._printers: list[Printer] = []
        self._quoted: list[bool] = []
        parameters, selected = [], []
        for name in columns:
            kind = table.c[name].type
            sent, printer, quoted = next(
                (sent, printer, quoted) for known, sent, printer, quoted in _TRANSPORT if isinstance(kind, known)
            )
            self._printers.append(printer)
            self._quoted.append(quoted)
            parameters.append(f"%({name})s::{sent}[]")
            after = next((after for known, after in _AFTER.items() if isinstance(kind, known)), "")
            selected.append(f"given.{name}{after}")
        self.names = ", ".join(columns)
        self.selected = ", ".join(selected)
        self.source = f"unnest({', '.join(parameters)}) AS given({self.names})"

    def arrays(self, rows: Sequence[Row]) -> dict[str, str]:
        """The statement's parameters: one array literal per column."""
        literals = {}
        for name, printer, quoted, values in zip(
            self.columns, self._printers, self._quoted, zip(*rows, strict=True), strict=True
        ):
            printed = printer(values)
            if quoted:
                parts = ["NULL" if p is None else _array_quoted(p) for p in printed]
            else:
                parts = ["NULL" if p is None else p for p in printed]
            literals[name] = f"{{{','.join(parts)}}}"
        return literals

    def lines(self, rows: Sequence[Row]) -> str:
        """The rows in COPY's text format."""
        columns = []
        for printer, quoted, values in zip(self._printers, self._quoted, zip(*rows, strict=True), strict=True):
            printed = printer(values)
            if quoted:
                columns.append(["\\N" if p is None else p.translate(_COPY_ESCAPES) for p in printed])
            else:
                columns.append(["\\N" if p is None else p for p in printed])
        return "\n".join(map("\t".join, zip(*columns, strict=True))) + "\n"


_COPY_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _array_quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Insert(Batch):
    """INSERT of many rows, by `unnest` or by COPY."""

    def __init__(self, table: Table, *columns: str) -> None:
        super().__init__(table, columns)
        self.statement = f"INSERT INTO {self.table} ({self.names}) SELECT {self.selected} FROM {self.source}"  # noqa: S608 - names of our own tables
        self.copy = f"COPY {self.table} ({self.names}) FROM STDIN"


class Update(Batch):
    """UPDATE of many rows, each with values of its own, found by `keys`."""

    def __init__(self, table: Table, keys: Sequence[str], *columns: str) -> None:
        super().__init__(table, [*keys, *columns])
        selected = dict(zip(self.columns, self.selected.split(", "), strict=True))
        assignments = ", ".join(f"{name} = {selected[name]}" for name in columns)
        found = " AND ".join(f"{self.table}.{name} = given.{name}" for name in keys)
        self.statement = f"UPDATE {self.table} SET {assignments} FROM {self.source} WHERE {found}"  # noqa: S608 - names of our own tables


class Upsert(Batch):
    """INSERT of many rows, or, where their `keys` are there already, an update; in the order of the keys."""

    def __init__(self, table: Table, keys: Sequence[str], *columns: str) -> None:
        super().__init__(table, [*keys, *columns])
        found = ", ".join(keys)
        assignments = ", ".join(f"{name} = {self.updated(name)}" for name in columns)
        self.statement = (
            f"INSERT INTO {self.table} ({self.names}) SELECT {self.selected} FROM {self.source}"  # noqa: S608 - names of our own tables
            f" ORDER BY {found} ON CONFLICT ({found}) DO UPDATE SET {assignments}"
        )

    def updated(self, column: str) -> str:
        return f"excluded.{column}"


class Increment(Upsert):
    """As `Upsert`, adding to what is there."""

    def updated(self, column: str) -> str:
        return f"{self.table}.{column} + excluded.{column}"


# --- arrays in conditions


def int_array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


def id_array(ids: Iterable[int]) -> str:
    """Without the numbers that no row can have: they come from outside, and are simply not found."""
    return int_array(id_ for id_ in ids if -(2**63) <= id_ < 2**63)


def moment_array(moments: Sequence[datetime]) -> str:
    return f"{{{','.join(filter(None, _moments(moments)))}}}"


def text_array(texts: Iterable[object]) -> str:
    return f"{{{','.join(_array_quoted(str(text)) for text in texts)}}}"


def among(column: ColumnElement[Any], parameter: str = "ids") -> ColumnElement[bool]:
    """`column = ANY(:parameter)`, for a parameter made by `id_array` or `text_array`."""
    # The widest type of its kind: a value that does not fit the column is not found, rather than cut or refused.
    kind = (
        Text() if isinstance(column.type, String) else BigInteger() if isinstance(column.type, Integer) else column.type
    )
    return column == any_(cast(bindparam(parameter, type_=Text), ARRAY(kind)))
