"""Kombu's Redis transport, with two failures handled that would end the worker.

- A queue entry that Celery did not write (a stray `LPUSH`, a truncated message) is logged and dropped. Kombu would
  raise, or leave the entry unacknowledged, where it counts against the prefetch limit for ever. No work is lost, since
  messages carry no data (see `schedule.MESSAGE_TTL`).
- When Redis goes away, Celery closes the connection, and acknowledges or requeues the messages in progress later.
  Kombu then reads the address of the closed connection, which raises an `AttributeError`; here it is a connection
  error, which Celery handles by reconnecting.
"""

import logging
from queue import Empty
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as RedisConnectionError

logger = logging.getLogger(__name__)

# Connection errors must reach Celery, which reconnects.
_MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError)


class _Failures:
    """Mixed into channels of kombu."""

    connection: Any

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection has been closed; its unacknowledged message may run again")
        return super()._get_pool(asynchronous)  # type: ignore[misc]  # a method of the other base

    def _brpop_read(self, **options: object) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except _MALFORMED:
            # Redis has removed the entry from the queue already.
            logger.exception("dropped a queue entry that is not JSON")
            raise Empty from None


class Channel(_Failures, redis.Channel):
    """The channel to one server."""


class SentinelChannel(_Failures, redis.SentinelChannel):
    """The channel to the master that Sentinel names."""


class Transport(redis.Transport):
    Channel: Any = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except _MALFORMED:
            logger.exception("dropped a queue entry that is not a Celery message")
            self._drop(message)

    def _drop(self, message: Any) -> None:
        """Reject a message that failed after delivery: unacknowledged messages count against the prefetch limit."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        for channel in self.channels:
            if isinstance(tag, str) and tag in channel.qos._delivered:  # noqa: SLF001 - kombu has no public query for it
                channel.basic_reject(tag, requeue=False)


class SentinelTransport(Transport):
    default_port: Any = redis.SentinelTransport.default_port
    Channel = SentinelChannel


def install() -> None:
    """Register these transports for `redis://`, `rediss://` and `sentinel://` URLs in this process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
