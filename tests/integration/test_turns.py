"""One process of a worker at a time."""

from collections.abc import Iterator

import pytest
import redis

from adapters.tasks.worker_lock import turn_of_worker


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def test_a_turn_is_one_process_s_until_it_ends(client: "redis.Redis") -> None:
    with turn_of_worker(client, "deliver") as mine:
        assert mine
        with turn_of_worker(client, "deliver") as also_mine, turn_of_worker(client, "sing") as other:
            assert (also_mine, other) == (False, True)
        with turn_of_worker(client, "deliver") as also_mine:
            assert not also_mine, "who had no turn must not end another's"
    with turn_of_worker(client, "deliver") as mine:
        assert mine


def test_a_turn_ends_by_itself(client: "redis.Redis") -> None:
    with turn_of_worker(client, "deliver"):
        (name,) = client.keys("scalecommerce:turn:*")
        assert 0 < client.pttl(name) <= 30_000
        # As if it had taken too long: the next one's turn is not ended with this one's.
        client.set(name, "somebody else's")
    assert client.get(name) == "somebody else's"


def test_without_redis_nobody_has_a_turn() -> None:
    away = redis.Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    with turn_of_worker(away, "deliver") as mine:
        assert not mine
