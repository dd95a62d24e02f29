"""Real servers for these tests: their own, never the ones that DATABASE_URL or REDIS_URL name."""

import itertools
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, LiteralString

import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import make_url

from adapters.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from tests.integration.bare_environment import Environments
from tests.integration.deployment import Deployment

# The files that take longest. With them first, all processes of pytest-xdist end at about the same time.
LONGEST: Final = (
    "test_bare_install",
    "test_repricing_processes",
    "test_alerts",
    "test_up",
    "test_failover",
    "test_cli",
    "test_search_oracle",
    "test_torture",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(LONGEST)))


# Nothing here has to survive a power failure.
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="scalecommerce-tests-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def postgres(server_directory: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(server_directory, SETTINGS) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """A server for the whole session, with an empty database that all tests share."""
    return postgres.url


@pytest.fixture(scope="session")
def administrator(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """A connection of the superuser."""
    with psycopg.connect(
        postgres.administrator_url_of(DATABASE).replace("+psycopg", ""), autocommit=True
    ) as connection:
        yield connection


@pytest.fixture(scope="session")
def administrator_url(postgres: EmbeddedPostgres) -> Callable[[str], str]:
    """Returns the superuser's URL for the database of a URL."""
    return lambda url: postgres.administrator_url_of(str(make_url(url).database))


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres, administrator: psycopg.Connection) -> Iterator[Callable[[], str]]:
    """Makes a migrated database per call and returns its URL, for databases that several tests share."""
    from adapters.db.migrate import upgrade

    template = "migrated"
    numbers = itertools.count(1)
    made: list[str] = []

    def make() -> str:
        if not made:
            _run(administrator, "CREATE DATABASE {} OWNER {}", template, ROLE)
            upgrade(postgres.url_of(template))
        name = f"test_{next(numbers)}"
        _run(administrator, "CREATE DATABASE {} OWNER {} TEMPLATE {}", name, ROLE, template)
        made.append(name)
        return postgres.url_of(name)

    yield make
    for name in made:
        _run(administrator, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def database(make_database: Callable[[], str], administrator: psycopg.Connection) -> Iterator[str]:
    """The URL of a migrated database with no rows in it, for this test alone."""
    url = make_database()
    yield url
    name = url.partition("@")[2].partition("?")[0].rpartition("/")[2]
    _run(administrator, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres, administrator: psycopg.Connection) -> Iterator[str]:
    """The URL of a database without tables, for this test alone."""
    name = f"empty_{secrets.token_hex(4)}"
    _run(administrator, "CREATE DATABASE {} OWNER {}", name, ROLE)
    yield postgres.url_of(name)
    _run(administrator, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(scope="session")
def bare_environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def redis_server(server_directory: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(server_directory) as server:
        yield server


@pytest.fixture(scope="session")
def deployment(server_directory: Path, make_database: Callable[[], str]) -> Iterator[Deployment]:
    """API, worker and beat with a separate Redis and database, because other tests empty the shared Redis."""
    directory = server_directory / "deployment"
    directory.mkdir()
    with EmbeddedRedis(directory) as redis_server, Deployment(directory, make_database(), redis_server.url) as running:
        yield running


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """A server for the whole session, emptied for this test."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


def _run(connection: psycopg.Connection, statement: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
