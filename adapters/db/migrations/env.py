"""Alembic's environment. `migrate.py` passes a connection; the `alembic` command connects to DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import Connection, text

from adapters.db.core.engine import database_engine
from adapters.db.schema import metadata
from adapters.db.schema_version import compatibility_comment, read_revision

# The search path may also have the schema of another installation, so this schema is named, without quotes: SQLAlchemy
# adds them. Extensions that are outside of the search path are added to its end: only migrations need them there.
VERSION_SCHEMA = text(
    """
    SELECT coalesce(
        (
            SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = to_regclass('alembic_version')
        ),
        current_schema()
    )
    """
)
ADD_EXTENSIONS = text(
    """
    SELECT set_config('search_path', current_setting('search_path') || ', ' || string_agg(DISTINCT name, ', '), true)
    FROM (
        SELECT quote_ident(nspname) AS name FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname IN ('unaccent', 'pg_trgm') AND nspname <> ALL (current_schemas(false))
    ) AS elsewhere
    HAVING count(*) > 0
    """
)


def _run(connection: Connection) -> None:
    schema = connection.scalar(VERSION_SCHEMA)
    connection.execute(ADD_EXTENSIONS)
    context.configure(
        connection=connection,
        version_table_schema=schema,
        target_metadata=metadata,
        compare_server_default=True,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        context.run_migrations()
        if (revision := read_revision(connection)) is not None:
            comment = compatibility_comment(revision)
            connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{comment}'")


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    engine = database_engine(os.environ["DATABASE_URL"], statement_timeout=None)
    with engine.connect() as opened:
        _run(opened)
    engine.dispose()
