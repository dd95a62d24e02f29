"""Product views on their way to PostgreSQL: counted in the process, gathered in Redis, written in bulk by a task.

At a crash, an API process loses the views of its last `PUSH_SECONDS`, the task those that it had just drained.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from redis import Redis, RedisError

from scalecommerce_core.domain.identifiers import ProductId

logger = logging.getLogger(__name__)

PUSH_SECONDS: Final = 0.5
KEY: Final = "scalecommerce:views"


class RedisViewCounter:
    """`ports.ViewCounter`; without Redis, views wait in the process until it is back."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._counts: Counter[ProductId] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._pusher: threading.Thread | None = None

    def viewed(self, product_id: ProductId) -> None:
        with self._lock:
            self._counts[product_id] += 1
            if self._pusher is None:
                # Started by the first view and not by the constructor: processes that fork afterwards have none yet.
                self._pusher = threading.Thread(target=self._push_regularly, name="views", daemon=True)
                self._pusher.start()

    def drain(self) -> Mapping[ProductId, int]:
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(KEY)
            pipe.delete(KEY)
            counts, _ = pipe.execute()
        return {ProductId(int(product_id)): int(count) for product_id, count in counts.items()}

    def give_back(self, counts: Mapping[ProductId, int]) -> None:
        with self._lock:
            self._counts.update(counts)
        self.push()

    def push(self) -> None:
        """Hand what was counted here to Redis, or keep it when Redis is away."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                for product_id, count in counts.items():
                    pipe.hincrby(KEY, str(product_id), count)
                pipe.execute()
        except RedisError as error:
            logger.warning("views wait in this process while Redis is away: %s", error)
            with self._lock:
                self._counts.update(counts)

    def close(self) -> None:
        """Push what is left; for an orderly end of the process."""
        self._stopping.set()
        if self._pusher is not None:
            self._pusher.join(timeout=5)
        self.push()

    def _push_regularly(self) -> None:
        while not self._stopping.wait(PUSH_SECONDS):
            self.push()
