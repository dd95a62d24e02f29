"""Runs the statements of the read side: one at a time, in autocommit, so that no transaction is held open."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import Engine, Executable, Row, Select, text

from adapters.db.core.engine import EXPLAIN_ONLY, PLAN_EACH_TIME
from adapters.db.core.errors import translate_errors
from scalecommerce_core.domain.errors import ConnectionLost

Rows = Sequence[Row[*tuple[Any, ...]]]


class Reader:
    """Reads again, once, when the connection turns out to be broken: after a restart of the database the pool learns
    only by use, and reading twice is harmless.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def rows(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Rows:

        def read() -> Rows:
            with translate_errors(self._engine), self._autocommit.connect() as connection:
                return connection.execute(statement, parameters).all()

        return _twice(read)

    def rows_with(
        self, settings: Mapping[str, str], statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Rows:
        """As `rows`, under other settings of the server, for this statement only."""

        def read() -> Rows:
            with translate_errors(self._engine), self._engine.begin() as connection:
                for name, value in settings.items():
                    connection.execute(_SET, {"name": name, "value": value})
                return connection.execute(statement, parameters).all()

        return _twice(read)

    def rows_planned(
        self, statement: Executable, parameters: Mapping[str, object] | None = None, **options: bool
    ) -> Rows:
        """As `rows`, planned for these very values: what is best for a rare word is bad for a common one."""

        def read() -> Rows:
            with translate_errors(self._engine), self._autocommit.connect() as connection:
                return connection.execute(
                    statement, parameters, execution_options={PLAN_EACH_TIME: True, **options}
                ).all()

        return _twice(read)

    def estimate(self, statement: Select[tuple[int]], parameters: Mapping[str, object]) -> int:
        """How many rows the planner expects of a query of one column, which is not run."""
        ((plan,),) = self.rows_planned(statement, parameters, **{EXPLAIN_ONLY: True})
        return int(cast(Any, plan)[0]["Plan"]["Plan Rows"])


def _twice(read: Callable[[], Rows]) -> Rows:
    try:
        return read()
    except ConnectionLost:
        return read()


_SET: Final = text("SELECT set_config(:name, :value, true)")
