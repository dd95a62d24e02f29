"""The PostgreSQL server of the benchmarks."""

from typing import Self

from psycopg import sql

from adapters.db.core.connection_parameters import open_connection
from adapters.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres


class BenchPostgres(EmbeddedPostgres):
    """An embedded server whose role of the engine is a superuser.

    Benchmarks checkpoint, copy databases and create extensions. PostgreSQL skips permission checks for superusers, and
    otherwise executes the engine's statements as for its usual role.
    """

    def __enter__(self) -> Self:
        super().__enter__()
        with open_connection(self.administrator_url_of(DATABASE), autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(ROLE)))
        return self
