"""PostgreSQL and Redis for `up`: the servers that the environment names, or else embedded ones."""

from contextlib import ExitStack
from pathlib import Path

from attrs import field, frozen

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from entrypoints.processes.errors import CannotRun, NotReachable
from scalecommerce_core.domain.errors import Unavailable


@frozen
class Servers:
    """The URLs of both servers; `embedded` are those that were started here."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    embedded: tuple[EmbeddedPostgres | EmbeddedRedis, ...]

    def stopped_servers(self) -> list[EmbeddedPostgres | EmbeddedRedis]:
        return [server for server in self.embedded if not server.running]


def start_servers(stack: ExitStack, data: Path, *, database_url: str | None, redis_url: str | None) -> Servers:
    """Start an embedded server for each URL that is not given; closing `stack` stops them, Redis first."""
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
    """Restart a server that has ended; raises CannotRun if its former port is taken."""
    url = server.url
    server.stop()
    server.start()
    if server.url != url:
        raise CannotRun(f"{server.name} moved to another port, since its former one is taken: start the engine again.")


def _check_redis(redis_url: str) -> None:
    """Report a wrong URL at the start, although the engine would take orders without Redis."""
    from entrypoints.wiring import ping_redis

    try:
        ping_redis(redis_url)
    except Unavailable as error:
        raise NotReachable(str(error)) from error
    except ValueError as error:
        # The text of the error may contain a part of the URL, so it is not repeated.
        raise CannotRun("REDIS_URL is not a URL such as redis://:password@host:6379/0.") from error
