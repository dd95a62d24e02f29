"""The ASGI application of one API process, as a factory for the server's workers."""

from datetime import datetime
from importlib.metadata import version

from redis import RedisError
from starlette.applications import Starlette

from adapters.http.app import create_app
from adapters.http.backend import Backend, Readiness
from adapters.http.cache.catalog import CacheLimits
from adapters.http.cache.shared import SHARED
from adapters.redis.shared_copies import RedisSharedCopies
from entrypoints import logs, settings
from entrypoints.garbage import collect_seldom
from entrypoints.wiring import Engine, wire


def create() -> Starlette:
    """Read the environment, wire the engine, build the application."""
    chosen = settings.load()
    logs.configure(chosen, "api")
    engine, release = wire(chosen, "api"), version("scalecommerce")
    backend = Backend(
        engine.market,
        wakeups=engine.wakeups,
        views=engine.views,
        ids=engine.ids,
        cursor_key=engine.cursor_key,
        ready=lambda: _readiness(engine),
        intake_queue=chosen.intake_queue,
        bots=chosen.bots,
        feed=engine.feed if chosen.cache_megabytes else None,
        shared=RedisSharedCopies.at(chosen.redis_url, release, SHARED * chosen.cache_seconds)
        if chosen.cache_megabytes
        else None,
        cache_limits=CacheLimits(chosen.cache_megabytes, chosen.cache_seconds),
    )
    app = create_app(backend, version=release, on_close=engine.close)
    collect_seldom()
    return app


def _readiness(engine: Engine) -> Readiness:
    # Raises `Unavailable` when PostgreSQL does not answer.
    oldest = engine.market.queries.oldest_undecided()
    return Readiness(_answers(engine), None if oldest is None else _age(engine, oldest))


def _answers(engine: Engine) -> bool:
    try:
        return bool(engine.redis.ping())
    except RedisError:
        return False


def _age(engine: Engine, moment: datetime) -> float:
    return max(0.0, (engine.market.clock.now() - moment).total_seconds())
