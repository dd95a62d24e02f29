"""How often the workers of a host have ended themselves because nothing was decided; forgotten within a day."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis, RedisError

from adapters.redis.reachability import sentence_of
from scalecommerce_core.domain.errors import Unavailable

KEPT_SECONDS: Final = 86_400


class RedisStalls:
    """`entrypoints.watchdog.Memory`."""

    def __init__(self, redis: Redis, host: str) -> None:
        self._redis = redis
        self._key = f"scalecommerce:stalls:{host}"

    def ping(self) -> None:
        with _translated():
            self._redis.ping()

    def restarts(self) -> int:
        with _translated():
            return int(self._redis.get(self._key) or 0)

    def restarting(self) -> None:
        with _translated(), self._redis.pipeline() as together:
            together.incr(self._key)
            together.expire(self._key, KEPT_SECONDS)
            together.execute()

    def forget(self) -> None:
        with _translated():
            self._redis.delete(self._key)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise Unavailable(sentence_of(error)) from error
