"""The SQLAlchemy engine: a pool of psycopg connections with timeouts for connecting, waiting and statements."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event

from adapters.db.core.connection_parameters import (
    PRIMARY_ONLY,
    connection_parameters,
    database_url,
    single_hosts,
)
from adapters.db.core.primary_monitor import connect_through, shared_monitor
from adapters.db.core.timed_pool import TimedPool

PLAN_EACH_TIME: Final = "planned_each_time"
"""Execution option of statements whose best plan depends on their parameters: they are planned each time."""
EXPLAIN_ONLY: Final = "explained"
"""Execution option, used with `PLAN_EACH_TIME`: return the plan (EXPLAIN as JSON) instead of the rows."""


def database_engine(
    url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 10,
    pool_timeout: timedelta = timedelta(seconds=5),
    statement_timeout: timedelta | None = timedelta(seconds=30),
    lock_timeout: timedelta = timedelta(seconds=5),
    application_name: str = "scalecommerce",
) -> Engine:
    """An engine whose sessions use UTC, have timeouts, and show `application_name` in pg_stat_activity.

    Parameters of the URL take precedence, except for an `application_name`. Of several hosts in the URL only the
    primary is used, see `primary_monitor`.

    Connections are not pinged before use, which would cost a round trip. A broken connection fails one transaction;
    the pool then replaces all older connections, and the services retry.
    """
    parsed = database_url(url)
    options = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": _milliseconds(lock_timeout),
        # JIT compilation takes longer than the queries.
        "jit": "off",
        # Starting parallel workers takes longer too, and they would take processors from other sessions.
        "max_parallel_workers_per_gather": "0",
        # Enough for the bitmap of rows that the most common words match. A bitmap that does not fit becomes lossy: it
        # keeps pages instead of rows, and rechecking their rows triples the time of a search.
        "work_mem": "32MB",
    }
    given = connection_parameters(parsed)
    set_options = " ".join(f"-c {name}={value}" for name, value in options.items())
    connect_args = {
        **given,
        # Options of the URL come last and take precedence.
        "options": f"{set_options} {given.get('options', '')}".strip(),
        # Sessions are told apart by this name, also by the watchdog of workers.
        "application_name": application_name,
    }
    engine = create_engine(
        parsed,
        connect_args=connect_args,
        poolclass=TimedPool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout.total_seconds(),
        # Parameters hold texts of users and password hashes, which must not be logged with errors.
        hide_parameters=True,
        # Reuse the most recent connections, so that the others become idle.
        pool_use_lifo=True,
    )
    event.listen(engine, "do_execute", _execute)
    if len(single_hosts(given)) > 1 and given["target_session_attrs"] in PRIMARY_ONLY:
        connect_through(engine, shared_monitor(given))
    return engine


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute statements with `PLAN_EACH_TIME` unprepared."""
    if not context.execution_options.get(PLAN_EACH_TIME):
        return False
    explain = "EXPLAIN (FORMAT JSON) " if context.execution_options.get(EXPLAIN_ONLY) else ""
    cursor.execute(explain + statement, parameters, prepare=False)
    return True


def _milliseconds(timeout: timedelta | None) -> int:
    return 0 if timeout is None else round(timeout.total_seconds() * 1000)
