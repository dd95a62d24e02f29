"""A lease that reserves a Redis database for one installation.

The keys and queues in Redis contain ids of accounts and products. In another installation, these are other accounts and
products.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from redis import Redis, RedisError

from adapters.redis.reachability import describe_error
from scalecommerce_core.domain.errors import Unavailable

KEY: Final = "scalecommerce:installation"
LEASE_SECONDS: Final = 30
"""The lease ends this long after the last process of the installation has renewed it."""

# Arguments: id, name and milliseconds. Returns the name of the holder if it is another installation.
_RENEW: Final = """
local holder = redis.call('HMGET', KEYS[1], 'id', 'name')
if holder[1] and holder[1] ~= ARGV[1] then return holder[2] end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'name', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return false
"""


class RedisInstallationLease:
    """The lease of one installation; `name` describes it for operators, without a password."""

    seconds: Final = LEASE_SECONDS

    def __init__(self, redis: Redis, installation: UUID, name: str) -> None:
        self._renew: Any = redis.register_script(_RENEW)
        self._arguments: Sequence[str | int] = (str(installation), name, LEASE_SECONDS * 1000)

    def renew(self) -> str:
        """Take or renew the lease; return the name of another installation that holds it, or an empty string.

        Raise `Unavailable` if Redis does not answer.
        """
        try:
            holder = self._renew(keys=[KEY], args=self._arguments)
        except RedisError as error:
            raise Unavailable(describe_error(error)) from error
        return holder.decode() if isinstance(holder, bytes) else holder or ""
