"""The PostgreSQL server of the benchmarks."""

from typing import Self

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from adapters.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres


class BenchPostgres(EmbeddedPostgres):
    """An embedded server whose role of the engine is a superuser.

    Benchmarks checkpoint, copy databases and create extensions. PostgreSQL skips permission checks for superusers, and
    otherwise executes the engine's statements as for its usual role.
    """

    def __enter__(self) -> Self:
        super().__enter__()
        url = make_url(self.administrator_url_of(DATABASE)).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(ROLE)))
        return self
