"""Alembic's environment. `migrate.py` passes a connection; the `alembic` command connects to DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import Connection

from adapters.db.core.engine import database_engine
from adapters.db.schema import metadata
from adapters.db.schema_version import compatibility_comment, read_revision


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
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
