"""Execution of read statements: one at a time, in autocommit mode if possible, so that no transaction stays open."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import psycopg
from sqlalchemy import Engine, Executable, Row, text

from adapters.db.core.engine import PLAN_EACH_TIME, has_transaction_pooler
from adapters.db.core.errors import translate_errors
from adapters.db.queries.statement_cache import CachedStatement
from scalecommerce_core.domain.errors import ConnectionLost

Rows = Sequence[Row[*tuple[Any, ...]]]


class QueryExecutor:
    """Executes statements, each a second time if its connection is lost.

    The pool detects connections that a restart of the database has closed only when it uses them. Reads have no side
    effects, so that repeating one is safe.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # One round trip, unless the settings of the engine need a transaction.
        self._needs_transaction = has_transaction_pooler(engine)
        self._autocommit = engine if self._needs_transaction else engine.execution_options(isolation_level="AUTOCOMMIT")

    def fetch(
        self,
        statement: Executable | CachedStatement,
        parameters: Mapping[str, object] | None = None,
        *,
        plan_each_time: bool = False,
    ) -> Rows:
        """Return all rows of a statement.

        `plan_each_time` is for statements whose best plan depends on their values: no generic plan suits both a rare
        word and a common one.
        """
        if isinstance(statement, CachedStatement):
            sql, values = statement.bind(parameters or {})
            return _retry_once(lambda: self._fetch_by_driver(sql, values, plan_each_time=plan_each_time))
        options = {PLAN_EACH_TIME: True} if plan_each_time else {}

        def read() -> Rows:
            with translate_errors(self._engine), self._autocommit.connect() as connection:
                return connection.execute(statement, parameters, execution_options=options).all()

        return _retry_once(read)

    def _fetch_by_driver(self, sql: str, values: Mapping[str, object], *, plan_each_time: bool) -> Rows:
        """The rows without SQLAlchemy's execution and result objects, which take longer than the driver.

        SQLAlchemy's option for autocommit takes twice as long as the rest of a connection's check-out.
        """
        with translate_errors(self._engine), self._engine.connect() as connection:
            driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            if self._needs_transaction:
                # SQLAlchemy does not begin one for a statement of the driver, and so would set no limits.
                connection.begin()
            else:
                driver.autocommit = True
            try:
                prepare = False if plan_each_time else None
                return cast(Rows, driver.execute(sql.encode(), values, prepare=prepare).fetchall())
            except psycopg.Error:
                if driver.closed:
                    # SQLAlchemy replaces the connections of the pool after a statement of its own has failed.
                    connection.exec_driver_sql("SELECT 1")
                raise
            finally:
                if not self._needs_transaction and not driver.closed:
                    driver.autocommit = False

    def fetch_with_settings(
        self, settings: Mapping[str, str], statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Rows:
        """Return all rows of a statement that runs under other settings of the server."""

        def read() -> Rows:
            with translate_errors(self._engine), self._engine.begin() as connection:
                for name, value in settings.items():
                    connection.execute(_SET_LOCAL, {"name": name, "value": value})
                return connection.execute(statement, parameters).all()

        return _retry_once(read)

    def estimate_rows(self, statement: CachedStatement, parameters: Mapping[str, object]) -> int:
        """Return the planner's estimate of the number of rows. The statement does not run."""
        sql, values = statement.bind(parameters)
        explain = "EXPLAIN (FORMAT JSON) " + sql
        ((plan,),) = _retry_once(lambda: self._fetch_by_driver(explain, values, plan_each_time=True))
        return int(cast(Any, plan)[0]["Plan"]["Plan Rows"])


def _retry_once(read: Callable[[], Rows]) -> Rows:
    try:
        return read()
    except ConnectionLost:
        return read()


_SET_LOCAL: Final = text("SELECT set_config(:name, :value, true)")
