"""Error messages for a Redis that does not answer. They say what to check, without host, user or password."""

import socket
import ssl
from typing import Final, Literal

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from adapters.redis.servers import RedisServers

PING_SECONDS: Final = 0.5
RedisState = Literal["ok", "away", "wrong_password"]

WRONG_PASSWORD: Final = "Redis refuses the user name or the password in REDIS_URL, or REDIS_URL has none."  # noqa: S105 - a sentence


def check_redis(redis: Redis) -> tuple[RedisState, str]:
    """Ping Redis; return its state and an error message, which is empty if the state is `ok`."""
    try:
        redis.ping()
    except RedisError as error:
        return ("wrong_password" if isinstance(error, AuthenticationError) else "away"), describe_error(error)
    return "ok", ""


def answers_ping(servers: RedisServers) -> bool:
    """Whether Redis answers on a new connection within `PING_SECONDS`, without further attempts."""
    with servers.client(
        socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS, retry=Retry(NoBackoff(), 0)
    ) as redis:
        return check_redis(redis)[0] == "ok"


def describe_error(error: RedisError) -> str:
    """Return one sentence that says what to check."""
    # redis-py wraps the operating system's error, which says more.
    cause = error.__cause__ or error.__context__
    match error:
        case AuthenticationError():
            return WRONG_PASSWORD
        case NoPermissionError():
            return "The Redis user in REDIS_URL lacks a permission that the engine needs."
        case BusyLoadingError():
            return "Redis is loading its data."
        case RedisTimeoutError():
            return "Redis cannot be reached: the host in REDIS_URL did not answer in time."
        case ResponseError() if "DB index" in str(error):
            return "Redis has no database of the number in REDIS_URL."
        case ResponseError():
            return "Redis refuses a command that the engine needs."
    match cause:
        case ssl.SSLCertVerificationError():
            return "Redis cannot be reached: its certificate is not trusted, or not valid for the host in REDIS_URL."
        case socket.gaierror():
            return "Redis cannot be reached: the host name in REDIS_URL is not known."
        case ConnectionRefusedError() | FileNotFoundError():
            return "Redis cannot be reached: nothing accepts connections at the address in REDIS_URL."
        case _:
            return "Redis does not answer."
