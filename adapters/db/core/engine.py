"""The SQLAlchemy engine: a pool of psycopg connections with timeouts for connecting, waiting and statements.

Settings such as `statement_timeout` are set by statements, not by a parameter of the connection, which poolers refuse
or ignore. With `pool_mode=transaction` in the URL each transaction sets them, because the next transaction may have
another connection to PostgreSQL.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

import msgspec
import psycopg
from sqlalchemy import Connection, Engine, create_engine, event

from adapters.db.core.connect_errors import UNDECLARED_POOLER
from adapters.db.core.connection_parameters import (
    PRIMARY_ONLY,
    PoolerParameters,
    PoolMode,
    connection_parameters,
    database_url,
    driver_url,
    pooler_parameters,
    single_hosts,
    split_options,
)
from adapters.db.core.primary_monitor import connect_through, shared_monitor
from adapters.db.core.timed_pool import TimedPool

PLAN_EACH_TIME: Final = "planned_each_time"
"""Execution option of statements whose best plan depends on their parameters: they are planned each time."""
_POOL_MODE: Final = "pool_mode"
_SET_ALL: Final = (
    "SELECT pg_backend_pid(), array_agg(set_config(name, value, %(local)s))"
    " FROM unnest(%(names)s::text[], %(values)s::text[]) AS given (name, value)"
)
IDLE_IN_TRANSACTION_TIMEOUT: Final = timedelta(seconds=60)
"""PostgreSQL ends a session that is idle in a transaction for longer. A COMMIT that was sent before the deadline of its
command, and that the network delays for longer, has no effect, and a suspended process loses its row locks. Only bulk
transactions may compute for longer between two statements; they have no limit.
"""


def database_engine(
    url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 10,
    pool_timeout: timedelta = timedelta(seconds=5),
    statement_timeout: timedelta | None = timedelta(seconds=30),
    lock_timeout: timedelta = timedelta(seconds=5),
    idle_in_transaction_timeout: timedelta | None = IDLE_IN_TRANSACTION_TIMEOUT,
    application_name: str = "scalecommerce",
) -> Engine:
    """An engine whose sessions use UTC, have timeouts, and show `application_name` in pg_stat_activity.

    Parameters of the URL take precedence, except for an `application_name`. Of several hosts in the URL only the
    primary is used, see `primary_monitor`. A connection through a pooler is refused unless the URL has its `pool_mode`.

    Connections are not pinged before use, which would cost a round trip. A broken connection fails one transaction;
    the pool then replaces all older connections, and the services retry.
    """
    parsed = database_url(url)
    settings = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": _milliseconds(lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(idle_in_transaction_timeout),
        # JIT compilation takes longer than the queries.
        "jit": "off",
        # Starting parallel workers takes longer too, and they would take processors from other sessions.
        "max_parallel_workers_per_gather": "0",
        # Enough for the bitmap of rows that the most common words match. A bitmap that does not fit becomes lossy: it
        # keeps pages instead of rows, and rechecking their rows triples the time of a search.
        "work_mem": "32MB",
    }
    given = connection_parameters(parsed)
    chosen, other_options = split_options(given.get("options", ""))
    connect_args = {
        **given,
        "options": other_options,
        # Sessions are told apart by this name, also by the watchdog of workers.
        "application_name": application_name,
    }
    pooler = pooler_parameters(parsed)
    engine = create_engine(
        driver_url(parsed),
        execution_options={_POOL_MODE: pooler.pool_mode},
        connect_args=connect_args,
        poolclass=TimedPool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout.total_seconds(),
        # Parameters hold texts of users and password hashes, which must not be logged with errors.
        hide_parameters=True,
        # Several times as fast as the standard library; consumers of events spend much of their time in parsing.
        json_deserializer=msgspec.json.decode,
        # Reuse the most recent connections, so that the others become idle.
        pool_use_lifo=True,
    )
    event.listen(engine, "do_execute", _execute)
    _apply_settings(engine, pooler, {**{name: str(value) for name, value in settings.items()}, **chosen})
    if len(single_hosts(given)) > 1 and given["target_session_attrs"] in PRIMARY_ONLY:
        connect_through(engine, shared_monitor(given))
    return engine


def _apply_settings(engine: Engine, pooler: PoolerParameters, settings: Mapping[str, str]) -> None:
    """Set settings of the server for each session or, with a pooler of transactions, for each transaction."""
    parameters = {"names": list(settings), "values": list(settings.values())}

    def on_connect(connection: "psycopg.Connection[Any]", _record: Any) -> None:
        connection.prepare_threshold = pooler.prepare_threshold
        if pooler.pool_mode is PoolMode.TRANSACTION:
            return
        try:
            # Settings of a transaction would be undone by its rollback.
            connection.autocommit = True
            row = connection.execute(_SET_ALL, {**parameters, "local": False}, prepare=False).fetchone()
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        # The process id that a client gets from a pooler is not that of the PostgreSQL process.
        if pooler.pool_mode is None and row is not None and row[0] != connection.info.backend_pid:
            connection.close()
            raise psycopg.OperationalError(UNDECLARED_POOLER)

    def on_begin(connection: Connection) -> None:
        driver_connection = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        if not driver_connection.autocommit:
            # By SQLAlchemy, which replaces all connections of the pool if this one is broken. It begins no other
            # transaction for a statement of this event.
            connection.exec_driver_sql(
                _SET_ALL, {**parameters, "local": True}, execution_options={PLAN_EACH_TIME: True}
            ).close()

    event.listen(engine, "connect", on_connect)
    if pooler.pool_mode is PoolMode.TRANSACTION:
        event.listen(engine, "begin", on_begin)


def has_transaction_pooler(engine: Engine) -> bool:
    """Whether connections to PostgreSQL change between transactions, so that settings need a transaction."""
    return engine.get_execution_options().get(_POOL_MODE) is PoolMode.TRANSACTION


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute statements with `PLAN_EACH_TIME` unprepared."""
    if not context.execution_options.get(PLAN_EACH_TIME):
        return False
    cursor.execute(statement, parameters, prepare=False)
    return True


def _milliseconds(timeout: timedelta | None) -> int:
    return 0 if timeout is None else round(timeout.total_seconds() * 1000)
