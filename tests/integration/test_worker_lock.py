"""A worker lock on a real Redis."""

from collections.abc import Iterator

import pytest
import redis

from adapters.tasks.worker_lock import LOCK_TTL, worker_lock


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def test_the_lock_has_one_holder_until_its_block_ends(client: "redis.Redis") -> None:
    with worker_lock(client, "deliver") as acquired:
        assert acquired
        with worker_lock(client, "deliver") as again, worker_lock(client, "reprice") as other_work:
            assert (again, other_work) == (False, True)
        with worker_lock(client, "deliver") as again:
            assert not again, "a failed attempt must not release the lock"
    with worker_lock(client, "deliver") as acquired:
        assert acquired


def test_the_lock_expires_and_its_late_holder_does_not_release_the_next_one(client: "redis.Redis") -> None:
    with worker_lock(client, "deliver"):
        (name,) = client.keys("scalecommerce:turn:*")
        assert 0 < client.pttl(name) <= LOCK_TTL.total_seconds() * 1000
        # As if the lock had expired and another process had acquired it.
        client.set(name, "another holder")
    assert client.get(name) == "another holder"


def test_without_redis_the_lock_is_not_acquired() -> None:
    away = redis.Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    with worker_lock(away, "deliver") as acquired:
        assert not acquired
