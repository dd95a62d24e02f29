"""A lease that reserves a Redis database for one installation.

The keys and queues in Redis contain ids of accounts and products. In another installation, these are other accounts and
products.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from redis import Redis, RedisError

from adapters.redis.reachability import describe_error
from scalecommerce_core.domain.errors import Unavailable

KEY: Final = "scalecommerce:installation"
LEASE_SECONDS: Final = 30
"""The lease ends this long after the last process of the installation has renewed it."""

# Arguments: id, name, milliseconds, and 1 if the lease may be taken while nobody has it. Returns the name of the holder
# if it is another installation, and 1 if nobody has the lease.
_RENEW: Final = """
local holder = redis.call('HMGET', KEYS[1], 'id', 'name')
if holder[1] and holder[1] ~= ARGV[1] then return holder[2] end
if not holder[1] and ARGV[4] == '0' then return 1 end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'name', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return false
"""


class RedisInstallationLease:
    """The lease of one installation; `name` describes it for operators, without a password.

    After a refusal, this object takes the lease only when Redis has answered for more than `LEASE_SECONDS` that nobody
    has it. The key also vanishes when Redis is emptied, restarts or fails over; the holder then renews it first.
    """

    seconds: Final = LEASE_SECONDS

    def __init__(self, redis: Redis, installation: str, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds."""
        self._renew: Any = redis.register_script(_RENEW)
        self._installation = installation
        self._name = name
        self._clock = clock
        self._refused_by = ""
        self._free_since: float | None = None

    def renew(self) -> str:
        """Take or renew the lease; return the name of another installation that holds it, or an empty string.

        Raise `Unavailable` if Redis does not answer.
        """
        try:
            answer = self._renew(
                keys=[KEY], args=[self._installation, self._name, LEASE_SECONDS * 1000, int(self._may_take())]
            )
        except RedisError as error:
            # The holder cannot renew the lease meanwhile.
            self._free_since = None
            raise Unavailable(describe_error(error)) from error
        if answer == 1:
            if self._free_since is None:
                self._free_since = self._clock()
        else:
            self._free_since = None
            self._refused_by = answer.decode() if isinstance(answer, bytes) else answer or ""
        return self._refused_by

    def _may_take(self) -> bool:
        since = self._free_since
        return not self._refused_by or (since is not None and self._clock() - since > LEASE_SECONDS)
