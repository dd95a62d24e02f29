"""The SQLAlchemy engine: one pool of psycopg connections with limits on everything that could hang."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

DRIVER: Final = "postgresql+psycopg"
PLAN_EACH_TIME: Final = "planned_each_time"
"""The execution option of statements whose best plan depends on their values."""
EXPLAIN_ONLY: Final = "explained"
"""The execution option, beside `PLANNED`, of statements whose plan is wanted instead of their rows."""


def database_url(text: str) -> URL:
    """`postgresql://` and `postgres://` as SQLAlchemy wants them; raise `ValueError` for anything else."""
    try:
        url = make_url(text)
    except ArgumentError:
        # The text is not repeated: it may hold a password.
        raise ValueError("This is not a database URL such as postgresql://user:password@host:5432/name.") from None
    if url.drivername not in {"postgres", "postgresql", DRIVER}:
        raise ValueError(f"PostgreSQL is the database here, not {url.drivername}: postgresql://user@host:5432/name.")
    return url.set(drivername=DRIVER)


def database_engine(
    url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 10,
    pool_timeout: timedelta = timedelta(seconds=5),
    connect_timeout: timedelta = timedelta(seconds=5),
    statement_timeout: timedelta | None = timedelta(seconds=30),
    lock_timeout: timedelta = timedelta(seconds=5),
    application_name: str = "scalecommerce",
) -> Engine:
    """An engine whose sessions speak UTC, give up waiting, and can be told apart in pg_stat_activity.

    No ping before use: it would cost a round trip each time. A broken connection fails one transaction, the pool
    then drops all its older ones, and the services try again.
    """
    parsed = database_url(url)
    options = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": _milliseconds(lock_timeout),
        # Compiling a plan costs more than any of our queries takes.
        "jit": "off",
        # So does starting parallel workers, and there are others who want the processors.
        "max_parallel_workers_per_gather": "0",
        # Room for a bitmap of what the most common words match. One that has none forgets which rows of a page it
        # means, and all of the page are compared again: three times as long.
        "work_mem": "32MB",
    }
    given = parsed.query.get("options", "")
    set_options = " ".join(f"-c {name}={value}" for name, value in options.items())
    connect_args: dict[str, Any] = {
        # What the URL says comes last, so that it wins.
        "options": f"{set_options} {given if isinstance(given, str) else ' '.join(given)}".strip(),
        "connect_timeout": max(2, round(connect_timeout.total_seconds())),
        "application_name": application_name,
        # A peer that vanished is noticed within a minute.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    engine = create_engine(
        parsed.difference_update_query(["options"]),
        connect_args=connect_args,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout.total_seconds(),
        # Errors are logged; what people wrote, and hashes of their passwords, are not.
        hide_parameters=True,
        # Under load the same few connections are used again and again; the others may go idle.
        pool_use_lifo=True,
    )
    event.listen(engine, "do_execute", _execute)
    return engine


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Keep the driver from preparing what is to be planned each time."""
    if not context.execution_options.get(PLAN_EACH_TIME):
        return False
    explain = "EXPLAIN (FORMAT JSON) " if context.execution_options.get(EXPLAIN_ONLY) else ""
    cursor.execute(explain + statement, parameters, prepare=False)
    return True


def _milliseconds(timeout: timedelta | None) -> int:
    return 0 if timeout is None else round(timeout.total_seconds() * 1000)
