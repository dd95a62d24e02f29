"""A primary that is frozen or cut off, its standby that is promoted, and the former primary that returns."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from adapters.db import migrate
from adapters.db.core.engine import database_engine
from adapters.db.core.errors import translate_errors
from adapters.db.queries.postgres_queries import PostgresQueries
from bench.failover import CUT, FREEZE, run
from scalecommerce_core.domain.errors import ConnectionLost, Unavailable
from tests.integration.replicated_postgres import ReplicatedPostgres

HANG = 30.0
"""Seconds after a promotion in which even a busy machine takes orders again, unless something hangs."""


def test_a_failover_loses_and_repeats_no_order_and_no_former_primary_is_used(tmp_path: Path) -> None:
    """The short form of `python -m bench.failover`. A client waits for longer than a command may take."""
    report = run(tmp_path, [FREEZE, CUT], calm=1, away=3, after=2.5, COMMAND_DEADLINE_SECONDS="3")
    assert report.is_clean, str(report)
    assert report.acknowledged, str(report)
    assert all(each.all_buyers is not None and each.all_buyers < HANG for each in report.rounds), str(report)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = database_engine(url, statement_timeout=None)
    try:
        yield engine
    finally:
        engine.dispose()


def test_a_standby_is_not_migrated_and_a_statement_on_a_former_primary_ends(tmp_path: Path) -> None:
    with ReplicatedPostgres(tmp_path) as servers:
        with pytest.raises(Unavailable, match="is a standby, which cannot be migrated"):
            migrate.upgrade(servers.direct_url(servers.standby))
        with opened(servers.direct_url(servers.standby)) as engine:
            with pytest.raises(Unavailable, match="The database is a standby"):
                PostgresQueries(engine).visibility_horizon()
            with (
                pytest.raises(Unavailable, match="name the primary in DATABASE_URL"),
                translate_errors(engine),
                engine.begin() as connection,
            ):
                connection.execute(text("CREATE TABLE written ()"))
        with opened(servers.url) as engine:
            with pytest.raises(ConnectionLost):
                _wait_for_a_server_that_is_cut_off(engine, servers)
            servers.proxy_of(servers.standby).heal()
            with servers.administrator(servers.standby) as former:
                # It still believes that it is the primary.
                assert former.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
            for _ in range(5):
                with engine.connect() as connection:
                    port = connection.scalar(text("SHOW port"))
                    connection.invalidate()
                assert port == str(servers.primary.port)


def _wait_for_a_server_that_is_cut_off(engine: Engine, servers: ReplicatedPostgres) -> None:
    with translate_errors(), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        servers.proxy_of(servers.primary).cut()
        servers.promote()
        # Only the monitor ends this wait: the network drops all packets, and there is no time limit.
        connection.execute(text("SELECT 1"))
