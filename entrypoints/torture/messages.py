"""Faulty messages that a broker may deliver: duplicate, late, reordered, unknown or malformed."""

import json
import random
from collections import Counter
from typing import Final

from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from adapters.tasks.broker import QUEUE, create_publisher
from adapters.tasks.schedule import TASKS

KEPT: Final = 20


class FaultyMessages:
    """Sends faulty messages and counts them by kind; not thread-safe."""

    def __init__(self, redis_url: str, rng: random.Random) -> None:
        self.sent: Counter[str] = Counter()
        self._rng = rng
        self._app = create_publisher(redis_url)
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=1)
        self._stale: list[bytes | str] = []

    def send_random(self) -> None:
        """Send messages of one random kind; without effect while the broker is down."""
        kinds = (self._duplicate, self._late, self._reordered, self._unknown_task, self._wrong_arguments, self._broken)
        kind = self._rng.choice(kinds)
        try:
            kind()
        except (RedisError, OperationalError, OSError):  # the broker has been killed
            return
        self.sent[f"messages: {kind.__name__.strip('_').replace('_', ' ')}"] += 1

    def close(self) -> None:
        self._redis.close()
        self._app.close()

    def _duplicate(self) -> None:
        task = self._rng.choice(TASKS)
        for _ in range(self._rng.randint(2, 6)):
            self._app.send_task(task.name, retry=False)

    def _late(self) -> None:
        """Send messages again that waited in the queue earlier."""
        waiting = self._redis.lrange(QUEUE, 0, 3)
        self._stale = [*self._stale, *waiting][-KEPT:]
        if self._stale:
            self._redis.rpush(QUEUE, *self._rng.sample(self._stale, min(3, len(self._stale))))

    def _reordered(self) -> None:
        for _ in range(3):
            self._redis.lmove(QUEUE, QUEUE, "RIGHT", "LEFT")

    def _unknown_task(self) -> None:
        self._app.send_task("scalecommerce.no_such_task", retry=False)

    def _wrong_arguments(self) -> None:
        self._app.send_task(self._rng.choice(TASKS).name, args=[1, "two", None], kwargs={"x": 3}, retry=False)

    def _broken(self) -> None:
        """Send a valid envelope with an invalid body, or an invalid envelope."""
        if self._rng.random() < 0.4:
            self._redis.lpush(QUEUE, self._rng.choice([b"", b"{", b"\x80\xff", b"[]", b"null", b'{"body": 1}']))
            return
        envelope = {
            "body": self._rng.choice(["!!!", "bm8ganNvbg==", ""]),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": self._rng.choice([{}, {"task": TASKS[0].name, "id": "x"}]),
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "delivery_tag": f"{self._rng.random()}",
            },
        }
        self._redis.lpush(QUEUE, json.dumps(envelope))
