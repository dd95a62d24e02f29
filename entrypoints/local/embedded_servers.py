"""PostgreSQL and Redis for `up`: those that the environment names, else embedded ones."""

from contextlib import ExitStack
from pathlib import Path

from attrs import field, frozen

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from entrypoints.processes.errors import CannotRun, NotReachable


@frozen
class Servers:
    """Where both are; `embedded` holds those that were started here."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    embedded: tuple[EmbeddedPostgres | EmbeddedRedis, ...]

    def stopped_servers(self) -> list[EmbeddedPostgres | EmbeddedRedis]:
        return [server for server in self.embedded if not server.running]


def start_servers(stack: ExitStack, data: Path, *, database_url: str | None, redis_url: str | None) -> Servers:
    """Start what no URL is given for; `stack` stops it, Redis first."""
    embedded: list[EmbeddedPostgres | EmbeddedRedis] = []
    if not database_url:
        postgres = stack.enter_context(EmbeddedPostgres(data))
        embedded.append(postgres)
        database_url = postgres.url
    if redis_url:
        _check_redis(redis_url)
    else:
        redis = stack.enter_context(EmbeddedRedis(data))
        embedded.append(redis)
        redis_url = redis.url
    return Servers(database_url, redis_url, tuple(embedded))


def restart_server(server: EmbeddedPostgres | EmbeddedRedis) -> None:
    """Start a server again that has ended by itself; raise `CannotRun` if it is not where it was."""
    url = server.url
    server.stop()
    server.start()
    if server.url != url:
        raise CannotRun(f"{server.name} had to move to another port: start the engine again.")


def _check_redis(redis_url: str) -> None:
    """The engine takes orders without Redis, but a start is the time to notice a wrong URL."""
    from redis import Redis, RedisError

    from adapters.redis.reachability import describe_error

    try:
        with Redis.from_url(redis_url, socket_timeout=3, socket_connect_timeout=3) as client:
            client.ping()
    except RedisError as error:
        raise NotReachable(describe_error(error)) from error
    except ValueError as error:
        # Its text is not repeated: it may be a part of the URL.
        raise CannotRun("REDIS_URL is no URL such as redis://:password@host:6379/0.") from error
