"""The fixtures of the integration tests."""

import psycopg
import pytest
import redis


def test_each_test_has_its_own_migrated_database(database: str) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        connection.execute("CREATE TABLE mine ()")  # and again in the next test


def test_the_next_database_is_empty(database: str) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE mine ()")


@pytest.mark.parametrize("_turn", [1, 2])
def test_redis_is_empty(redis_url: str, _turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("mine", 1)
