"""A cache of the SQL of statements that is bounded by bytes.

Building and compiling a statement takes longer than PostgreSQL takes to plan it. Its objects take up to a megabyte and
refer to each other, so that they occupy memory until the next collection of cycles. Clients choose the shapes of
searches. The cache therefore keeps the SQL and no objects of SQLAlchemy.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from attrs import field, frozen
from cachetools import LRUCache
from sqlalchemy import Select, TextClause

from adapters.db.core.driver_statements import PSYCOPG_DIALECT

STATEMENT_CACHE_BYTES: Final = 16 * 1024 * 1024
ENTRY_OVERHEAD: Final = 4_000
"""Bytes per statement beside its SQL: the key, the parameters and the slot in the cache."""

P = ParamSpec("P")
Subject = TypeVar("Subject", bound=Hashable)

_LIST: Final = re.compile(r"__\[POSTCOMPILE_(\w+)\]")
"""The place of a list of values, which SQLAlchemy expands when it executes a statement."""


@frozen(eq=False)
class CachedStatement:
    """The SQL of a statement in the form of psycopg, and the values of its parameters that never change.

    `lists` holds the names of parameters that are lists of values, with the types of these values.
    """

    sql: str = field(repr=False)
    constants: Mapping[str, object]
    lists: Sequence[tuple[str, str]] = ()

    @classmethod
    def compile(cls, statement: Select[*tuple[Any, ...]] | TextClause) -> "CachedStatement":
        compiled = statement.compile(dialect=PSYCOPG_DIALECT)
        sql = str(compiled)
        binds = cast(Any, compiled).binds
        lists = [
            (each, binds[each].type.compile(dialect=PSYCOPG_DIALECT)) for each in dict.fromkeys(_LIST.findall(sql))
        ]
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return cls(sql, constants, lists)

    def bind(self, values: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """Return the SQL and the parameters of an execution with these values."""
        sql, parameters = self.sql, {**self.constants, **values}
        for name, type_ in self.lists:
            items = cast(Sequence[object], parameters.pop(name))
            named = {f"{name}_{position}": item for position, item in enumerate(items)}
            parameters |= named
            sql = sql.replace(f"__[POSTCOMPILE_{name}]", ", ".join(f"%({item})s::{type_}" for item in named))
        return sql, parameters


class StatementCache:
    """Evicts the least recently used statements beyond `limit` bytes. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._statements: LRUCache[Hashable, CachedStatement] = LRUCache(limit, getsizeof=_size)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._statements)

    @property
    def size_bytes(self) -> int:
        return int(self._statements.currsize)

    def get(self, key: Hashable) -> CachedStatement | None:
        with self._lock:
            return self._statements.get(key)

    def put(self, key: Hashable, statement: CachedStatement) -> None:
        """Keep a statement, unless it alone exceeds the limit."""
        if _size(statement) <= self._statements.maxsize:
            with self._lock:
                self._statements[key] = statement


def _size(statement: CachedStatement) -> int:
    return 2 * len(statement.sql) + ENTRY_OVERHEAD


STATEMENTS: Final = StatementCache(STATEMENT_CACHE_BYTES)
"""The statements of this process."""
_COMPILING: Final = Lock()
"""One thread compiles at a time: several would only contend with the event loop for the GIL."""


def compiled_once(
    build: Callable[Concatenate[Subject, P], Select[*tuple[Any, ...]]],
) -> Callable[Concatenate[Subject, P], CachedStatement]:
    """Compile the statement that a function builds for a shape and its other arguments, and keep it in `STATEMENTS`."""

    @wraps(build)
    def get_or_compile(shape: Subject, /, *args: P.args, **options: P.kwargs) -> CachedStatement:
        key = build, shape, args, tuple(options.items())
        found = STATEMENTS.get(key)
        if found is None:
            with _COMPILING:
                found = STATEMENTS.get(key) or CachedStatement.compile(build(shape, *args, **options))
            STATEMENTS.put(key, found)
        return found

    return get_or_compile
