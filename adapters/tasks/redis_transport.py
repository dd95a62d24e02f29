"""Kombu's Redis transport, which survives what is no message, and the end of its connection.

Whatever stands in the queue and is not what Celery writes (a stray `LPUSH`, half a message of another program) would
end the worker with a traceback, or stay unacknowledged and take the place of all that comes later. Messages only say
that there is work, so such a thing is logged and dropped.

When Redis goes away, Celery closes the connection; what was in hand then is acknowledged later, or given back while it
closes. Kombu looks for a new connection for that, but the closed one has forgotten its address: an `AttributeError`,
which ends the worker.
"""

import logging
from queue import Empty
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as RedisConnectionError

logger = logging.getLogger(__name__)

# Not those of a connection, which must reach Celery: it then connects again.
_NO_MESSAGE: Final = (ValueError, TypeError, LookupError, AttributeError)


class Channel(redis.Channel):
    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            # An error of a connection, which everybody who acknowledges or closes is prepared for.
            raise RedisConnectionError("the connection has been closed, and the message in hand was lost with it")
        return super()._get_pool(asynchronous)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: object) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        except _NO_MESSAGE:
            # Redis has given it out already: it does not come again.
            logger.exception("what stood in the queue is not JSON: dropped")
            raise Empty from None


class Transport(redis.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except _NO_MESSAGE:
            logger.exception("what stood in the queue is no message: dropped")
            self._drop(message)

    def _drop(self, message: Any) -> None:
        """Forget one that was taken in before it failed: unacknowledged ones count against the prefetch limit."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        for channel in self.channels:
            if isinstance(tag, str) and tag in channel.qos._delivered:  # noqa: SLF001 - the queue behind has no question for it
                channel.basic_reject(tag, requeue=False)


def install() -> None:
    """Let `redis://` and `rediss://` mean this transport in this process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
