"""Statements of frequent transactions, compiled once and executed by the driver itself.

SQLAlchemy's execution and result objects take about 40 µs per statement, twice as long as the driver.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import Select, TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

PSYCOPG_DIALECT: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy does not type it
"""Compiles statements to the form that psycopg executes."""


@frozen(eq=False)
class DriverStatement:
    """The SQL of a statement in the form of psycopg, and the values of its parameters that never change.

    Columns and parameters must have types that the driver converts itself: numbers, texts, timestamps and JSON.
    """

    sql: bytes = field(repr=False)
    constants: Mapping[str, object]

    @classmethod
    def compile(cls, statement: Select[*tuple[Any, ...]] | TextClause) -> "DriverStatement":
        compiled = statement.compile(dialect=PSYCOPG_DIALECT)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return cls(str(compiled).encode(), constants)

    def bind(self, values: Mapping[str, object]) -> Mapping[str, object]:
        """The parameters of an execution with these values."""
        return {**self.constants, **values} if self.constants else values
