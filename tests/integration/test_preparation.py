"""The process that migrates the database for `up` and creates the demo market."""

from collections.abc import Iterator

import psycopg
import pytest

from entrypoints.local.preparation import Migrated, Preparation, Status
from entrypoints.processes.errors import CannotRun
from scalecommerce_core.domain.errors import Unavailable

SETTINGS = {"REDIS_URL": "redis://127.0.0.1:1/0", "JWT_SECRET": "x" * 32}


@pytest.fixture
def preparation() -> Iterator[Preparation]:
    preparation = Preparation()
    preparation.start()
    yield preparation
    preparation.end()


def run(preparation: Preparation, database: str) -> list[Status | Migrated]:
    reported: list[Status | Migrated] = []
    settings = {**SETTINGS, "DATABASE_URL": database}
    assert preparation.run(settings, demo=False, report=reported.append) is None
    return reported


def test_an_empty_database_is_migrated(preparation: Preparation, empty_database: str) -> None:
    *migrations, last = run(preparation, empty_database)
    assert isinstance(last, Migrated)
    assert last.settings["DATABASE_URL"] == empty_database
    assert all(isinstance(each, Status) and each.line is None for each in migrations)
    assert len(migrations) > 2


def test_a_newer_database_is_refused_with_the_reason(preparation: Preparation, database: str) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("COMMENT ON TABLE alembic_version IS 'compatible since revision 9999'")
    with pytest.raises(CannotRun, match="9999"):
        run(preparation, database)


def test_a_database_that_does_not_answer_is_reported(preparation: Preparation) -> None:
    with pytest.raises(Unavailable):
        run(preparation, "postgresql://nobody@127.0.0.1:1/nothing")


def test_a_process_that_is_killed_is_reported(preparation: Preparation) -> None:
    process = preparation._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(CannotRun, match="ended unexpectedly"):
        run(preparation, "postgresql://nobody@127.0.0.1:1/nothing")
