"""Brings a database to the tables of this release; any number of processes may start and try at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from adapters.db.engine import database_engine
from adapters.db.errors import translated
from scalecommerce_core.domain.errors import Unavailable

LOCK: Final = 7_265_001
"""Of pg_advisory_lock: whoever holds it migrates."""
PATIENCE: Final = timedelta(minutes=10)


def upgrade(url: str) -> None:
    """Run the migrations that are missing; a no-op when none are. Raise `Unavailable`."""
    with _connected(url) as connection, _turn(connection):
        run_to(connection, "head")
        connection.commit()


def current(url: str) -> str | None:
    """The revision of the database; None before the first migration. Raise `Unavailable`."""
    with _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_current(url: str) -> bool:
    """Whether `upgrade` would have nothing to do. Raise `Unavailable`."""
    return current(url) == ScriptDirectory.from_config(_config()).get_current_head()


def run_to(connection: Connection, revision: str) -> None:
    """Up to "head", the newest, or another revision; down to "base", before the first."""
    config = _config()
    config.attributes["connection"] = connection
    (command.downgrade if revision == "base" else command.upgrade)(config, revision)


def _config() -> Config:
    config = Config()
    # "%" begins an interpolation in configuration files, which Alembic imitates.
    location = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", location)
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = database_engine(url, pool_size=1, statement_timeout=None, application_name="scalecommerce migrate")
    try:
        with translated(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _turn(connection: Connection) -> Iterator[None]:
    """Hold the lock of the session, by asking again and again: a transaction that waits for it would block
    an index that is built concurrently by the one who holds it.
    """
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        connection.rollback()
        if time.monotonic() > deadline:
            raise Unavailable("Another process has been migrating this database for too long.")
        time.sleep(0.1)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()
