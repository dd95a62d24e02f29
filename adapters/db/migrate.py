"""Migrates a database to the tables of this release; several processes may try at the same time."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from attrs import evolve, frozen
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key
from adapters.db.core.connection_parameters import describe_database, schema_of
from adapters.db.core.engine import database_engine
from adapters.db.core.errors import check_schema, translate_errors
from adapters.db.schema_version import read_mismatch, read_revision, release_revisions
from scalecommerce_core.domain.errors import Unavailable

__all__ = ["Migration", "check", "current", "describe_database", "migrate_to", "pending_migrations", "upgrade"]

LOCK_TIMEOUT: Final = timedelta(minutes=10)
# All schemas of the database share the second lock.
_TRY_LOCKS: Final = text(
    f"SELECT pg_try_advisory_xact_lock({lock_key(AdvisoryLock.MIGRATION)}) AND"
    " (to_regclass('alembic_version') IS NOT NULL"
    f" OR pg_try_advisory_xact_lock({AdvisoryLock.FIRST_MIGRATION.value}))"
)
EXTENSIONS: Final = ("unaccent", "pg_trgm")
_HAS_SCHEMA: Final = text("SELECT oid FROM pg_namespace WHERE nspname = :schema")
_MAY_CREATE_IN_PUBLIC: Final = text(
    "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'"
)
_MISSING_EXTENSIONS: Final = text(
    """
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
    WHERE name NOT IN (SELECT extname FROM pg_extension)
    """
)


@frozen
class Migration:
    """Progress of one migration, `number` of `total`; `seconds` is None while it runs."""

    revision: str
    name: str
    number: int
    total: int
    seconds: float | None = None


OnProgress = Callable[[Migration], None]


def _ignore_progress(_migration: Migration) -> None: ...


def upgrade(url: str, on_progress: OnProgress = _ignore_progress) -> None:
    """Run the missing migrations in one transaction, in the `schema` of the URL, which is created if it is missing.

    `on_progress` is called before and after each migration. Raise `Unavailable`, also for a standby, or
    `SchemaMismatch` if the database has the tables of a newer release that this one cannot use.
    """
    with _connect(url) as connection:
        _create_shared_objects(connection, schema_of(url))
        with _migration_lock(connection):
            _upgrade(connection, on_progress)


def _upgrade(connection: Connection, on_progress: OnProgress) -> None:
    revision = read_revision(connection)
    if revision is not None and revision not in release_revisions().known:
        # A newer release has migrated the database. That is no error if this release can use its tables, so that a
        # deployment can go back to it.
        if (newer := read_mismatch(connection)) is not None:
            raise newer
        return
    migrate_to(connection, "head", on_progress)


def current(url: str) -> str | None:
    """The revision of the database; None before the first migration. Raise `Unavailable`."""
    with _connect(url) as connection:
        return read_revision(connection)


def check(url: str) -> None:
    """Raise `SchemaMismatch` unless this release can use the tables of the database; raise `Unavailable`."""
    engine = _engine(url)
    try:
        check_schema(engine)
    finally:
        engine.dispose()


def pending_migrations(connection: Connection) -> list[Script]:
    """The migrations that `upgrade` would run, in order."""
    scripts = ScriptDirectory.from_config(_config())
    head = scripts.get_current_head()
    missing = scripts.iterate_revisions(head, read_revision(connection) or "base") if head else ()
    return list(reversed(list(missing)))


def migrate_to(connection: Connection, revision: str, on_progress: OnProgress = _ignore_progress) -> None:
    """Upgrade or downgrade to a revision; "head" is the newest, and "base" the empty database."""
    config = _config()
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = _Progress(pending_migrations(connection), on_progress).on_version_apply
    # Revisions are numbers of four digits.
    is_older = revision == "base" or (revision != "head" and revision < (read_revision(connection) or ""))
    (command.downgrade if is_older else command.upgrade)(config, revision)


def _config() -> Config:
    config = Config()
    # Alembic interpolates "%" as configuration files do.
    location = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", location)
    return config


class _Progress:
    """Reports the start of a migration when the previous one ends: Alembic only has a hook for the end."""

    def __init__(self, missing: Sequence[Script], on_progress: OnProgress) -> None:
        self._waiting = deque(
            Migration(script.revision, _name(script), number, len(missing))
            for number, script in enumerate(missing, start=1)
        )
        self._on_progress = on_progress
        self._begin()

    def on_version_apply(self, **_from_alembic: Any) -> None:
        """Alembic's hook, called at the end of each migration."""
        if self._waiting:
            migration = self._waiting.popleft()
            self._on_progress(evolve(migration, seconds=time.monotonic() - self._began))
            self._begin()

    def _begin(self) -> None:
        self._began = time.monotonic()
        if self._waiting:
            self._on_progress(self._waiting[0])


def _name(script: Script) -> str:
    """The name of a migration, from the name of its file."""
    return Path(script.path).stem.partition("_")[2].replace("_", " ")


def _engine(url: str) -> Engine:
    return database_engine(
        url,
        pool_size=1,
        statement_timeout=None,
        idle_in_transaction_timeout=None,
        application_name="scalecommerce migrate",
    )


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
    engine = _engine(url)
    try:
        with translate_errors(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _create_shared_objects(connection: Connection, schema: str | None) -> None:
    """Create the schema, and the extensions, which all installations of a database share.

    Extensions belong to no single installation, so they are created in `public`, unless they are elsewhere already or
    the role may not create anything there. Each object is committed at once: several installations may be migrated at
    the same time.

    Raise `Unavailable` on a standby, and for a search path without a schema that exists.
    """
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        raise Unavailable(
            "The database is a standby, which cannot be migrated: name the primary in DATABASE_URL, or all hosts."
        )
    if schema is not None and connection.scalar(_HAS_SCHEMA, {"schema": schema}) is None:
        _create(connection, f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    if connection.scalar(text("SELECT current_schema()")) is None:
        raise Unavailable(
            "No schema of the search path exists: name the schema of this installation as `schema` in DATABASE_URL, as"
            " in postgresql://user@host/name?schema=eu."
        )
    place = " SCHEMA public" if connection.scalar(_MAY_CREATE_IN_PUBLIC) else ""
    for extension in connection.scalars(_MISSING_EXTENSIONS, {"names": list(EXTENSIONS)}).all():
        _create(connection, f"CREATE EXTENSION IF NOT EXISTS {extension}{place}")
    connection.rollback()


def _create(connection: Connection, statement: str) -> None:
    try:
        connection.exec_driver_sql(statement)
        connection.commit()
    except IntegrityError:
        # IF NOT EXISTS does not find what another transaction has not committed yet, and then waits for it.
        connection.rollback()


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    """Run the block in one transaction with the locks for migrations, and commit it.

    The locks end with the transaction: a pooler in transaction mode would keep a session lock. They are polled, so
    that `LOCK_TIMEOUT` is that of the whole wait.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT.total_seconds()
    while not connection.scalar(_TRY_LOCKS):
        connection.rollback()
        if time.monotonic() > deadline:
            raise Unavailable("Another process is still migrating this database.")
        time.sleep(0.1)
    try:
        yield
        connection.commit()
    finally:
        connection.rollback()
