"""The ASGI application of one API process, as a factory for the server's workers."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.http.app import create_app
from adapters.http.cache.catalog_cache import CacheLimits
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION
from adapters.http.dependencies import Dependencies, Readiness
from adapters.http.execution.progress import LongestRunning
from adapters.http.framework.application import path_templates
from adapters.http.framework.body_reception import BodyLimits
from adapters.http.framework.client_address import ForwardedRequests, ProxyHeaders, TrustedProxies
from adapters.http.framework.cors import CorsPolicy
from adapters.http.framework.host import Hosts
from adapters.http.framework.middleware import UNOBSERVED, RequestPolicy, ResponseListener
from adapters.metrics import definitions
from adapters.web.app import build_pages
from adapters.web.framework.demo import DemoMarket
from adapters.web.framework.page import Features
from adapters.web.live.hub import LiveHub, SharedFeed
from adapters.web.live.stream import LiveStreams, StreamLimits
from entrypoints import logs, settings
from entrypoints.api_watchdog import ApiWatchdog
from entrypoints.connection_limits import build_connection_limiter
from entrypoints.gateways import SANDBOX
from entrypoints.gc_tuning import reduce_gc_frequency
from entrypoints.installation import InstallationCheck
from entrypoints.metrics import ProcessMetrics, open_process_metrics
from entrypoints.processes.shutdown_signals import call_on_stop_signal
from entrypoints.settings import Settings
from entrypoints.tracing import ProcessTracing, start_tracing
from entrypoints.wiring import (
    ApiMonitor,
    Engine,
    MemoryIndex,
    StandbyReads,
    standby_reads,
    watch_pool,
    watch_reads,
    wire,
)
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.ports import NO_MEASUREMENTS, ChangeListener

logger = logging.getLogger(__name__)


def create() -> ASGIApp:
    """Read the environment, wire the engine, build the application."""
    chosen = settings.load()
    logs.configure(chosen, "api")
    traces = start_tracing("api")
    app = build(chosen, traces)
    return app if traces is None else traces.wrap_application(app)


def build(chosen: Settings, traces: ProcessTracing | None = None) -> Starlette:
    """Build the application; its clients connect when they are first used."""
    host = socket.gethostname()
    session = f"scalecommerce api {os.getpid()} {host}"[:63]  # PostgreSQL truncates longer names
    metrics, release = open_process_metrics(), version("scalecommerce")
    engine = wire(chosen, "api", session, NO_MEASUREMENTS if metrics is None else metrics.market, traces)
    hub = LiveHub(engine.market.queries, engine.feed.keep_alive)
    standbys = standby_reads(chosen, engine, session)
    installation = engine.installation_check()
    readiness = ReadinessCheck(engine, installation, chosen.command_deadline_seconds)
    features = Features(
        shop=chosen.shop,
        demo=DemoMarket.from_text(chosen.demo_market) if chosen.demo_market else None,
        version=release,
        currency=engine.market.currency,
        promise=chosen.price_promise,
        takes_sandbox_payments=chosen.payment_gateway == SANDBOX,
    )
    pages = build_pages(engine.market, hub, features, StreamLimits(chosen.live_streams, chosen.live_streams_per_client))
    dependencies = Dependencies(
        engine.market,
        notifier=engine.notifier,
        views=engine.views,
        ids=engine.ids,
        cursor_key=engine.cursor_key,
        ready=readiness.check,
        security_log=engine.security_log,
        rate_limiter=engine.rate_limiter,
        intake_queue=chosen.intake_queue,
        reads_per_client=chosen.reads_per_client,
        bots=chosen.bots,
        catalog_queries=None if standbys is None else standbys.queries,
        feed=SharedFeed(engine.feed, _listeners(hub, standbys, engine.search_index)),
        shared=engine.shared_cache(release, SHARED_TTL_FRACTION * chosen.cache_seconds)
        if chosen.cache_megabytes
        else None,
        cache_limits=CacheLimits(chosen.cache_megabytes, chosen.cache_seconds),
        seller_email_public=chosen.seller_email_public,
        command_seconds=chosen.command_deadline_seconds,
        tracing=None if traces is None else traces.tracing,
    )
    readiness.longest_running = dependencies.progress.longest
    limiter = build_connection_limiter(chosen, engine.security_log)

    watchdogs: list[ApiWatchdog] = []

    def start() -> None:
        _log_errors_of_loop()
        watchdogs.append(_create_watchdog(chosen, dependencies, session, host))
        watchdogs[-1].start()
        installation.start()
        hub.start()
        engine.start()
        # The server waits for open requests, and streams would stay open.
        call_on_stop_signal(hub.close)
        if limiter is not None:
            limiter.start()

    def close() -> None:
        for watchdog in watchdogs:
            watchdog.stop()
        installation.stop()
        hub.close()
        if limiter is not None:
            limiter.stop()
        if standbys is not None:
            standbys.close()
        engine.close()
        if traces is not None:
            traces.close()

    app = create_app(
        dependencies,
        version=release,
        policy=request_policy(chosen),
        on_start=start,
        on_close=close,
        pages=pages.routes,
        on_response=_response_listener(metrics, traces),
    )
    pages.api.app = _unobserved(app)
    if metrics is not None:
        metrics.recorder.name_routes(path_templates(app.routes))
        watch_pool(metrics, engine.database)
        watch_reads(metrics, standbys, engine.search_index)
        _watch(metrics, dependencies, pages.streams)
        metrics.sampler.start()
    reduce_gc_frequency()
    readiness.check_in_background()
    return app


def _listeners(
    hub: LiveHub, standbys: StandbyReads | None, search_index: MemoryIndex | None
) -> Sequence[ChangeListener]:
    """The parts of the process that follow the feed besides its caches."""
    found: list[ChangeListener] = [hub]
    if standbys is not None:
        found.append(standbys.freshness)
    if search_index is not None:
        found.append(search_index.fresh)
    return found


def request_policy(chosen: Settings) -> RequestPolicy:
    """The proxies, hosts, origins and limits of the settings."""
    proxies, hosts = TrustedProxies.parse(chosen.trusted_proxies), Hosts(chosen.hosts)
    forwarded = ForwardedRequests(proxies, ProxyHeaders(chosen.proxy_headers), with_host=bool(hosts))
    bodies = BodyLimits(chosen.body_seconds, chosen.body_megabytes * 1024 * 1024)
    cors = CorsPolicy(chosen.origins)
    return RequestPolicy(forwarded if proxies else None, hosts, cors or None, bodies, chosen.hsts_seconds)


def _create_watchdog(chosen: Settings, dependencies: Dependencies, session: str, host: str) -> ApiWatchdog:
    """The watchdog of the event loop in which it is created."""
    monitor = ApiMonitor(chosen, session, host)
    return ApiWatchdog(
        chosen.api_stall_timeout_seconds,
        dependencies.progress.longest,
        asyncio.get_running_loop().call_soon_threadsafe,
        monitor.find_outer_cause,
        monitor.restart_counter,
    )


def _response_listener(metrics: ProcessMetrics | None, traces: ProcessTracing | None) -> ResponseListener | None:
    if metrics is None or traces is None:
        return metrics.http if metrics is not None else traces.record_response if traces is not None else None
    count, record = metrics.http, traces.record_response

    def both(route: str | None, method: str, status: int, seconds: float) -> None:
        count(route, method, status, seconds)
        record(route, method, status, seconds)

    return both


def _unobserved(app: ASGIApp) -> ASGIApp:
    """The application for calls of the pages, which are part of a request that is measured."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, UNOBSERVED: True}, receive, send)

    return call


def _watch(metrics: ProcessMetrics, dependencies: Dependencies, streams: LiveStreams) -> None:
    """Sample the caches, the intake and the streams."""
    watch, cache = metrics.sampler.watch, dependencies.cache
    for name, each in (("product", cache.products), ("list", cache.lists)):
        watch(definitions.CACHE_LOOKUPS, partial(getattr, each, "hits"), name, "hit")
        watch(definitions.CACHE_LOOKUPS, partial(getattr, each, "misses"), name, "miss")
    watch(definitions.CACHE_INVALIDATIONS, lambda: cache.local_changes, "local")
    watch(definitions.CACHE_INVALIDATIONS, lambda: cache.feed_changes, "feed")
    watch(definitions.INTAKE_WAITING, lambda: dependencies.place_order.waiting)
    watch(definitions.LIVE_STREAMS, lambda: streams.open_streams)


def _log_errors_of_loop() -> None:
    asyncio.get_running_loop().set_exception_handler(logs.log_loop_error)


class ReadinessCheck:
    """Computes `/readyz`, and logs each change between ready and not ready."""

    def __init__(self, engine: Engine, installation: InstallationCheck, command_seconds: float) -> None:
        """A process is not ready while a command, or an overdue call, has been running for longer than
        `command_seconds`.
        """
        self._engine = engine
        self._installation = installation
        self._command_seconds = command_seconds
        self._last_problem = ""
        self.longest_running: Callable[[], LongestRunning | None] = lambda: None

    def check_in_background(self) -> None:
        """Check once in a thread: a process that starts before its servers must answer `/healthz` at once."""

        def run() -> None:
            with suppress(Unavailable):
                self.check()

        threading.Thread(target=run, name="readiness", daemon=True).start()

    def check(self) -> Readiness:
        """Return the readiness of this process.

        Raises Unavailable, with a message that names the remedy, when no request can be answered.
        """
        try:
            self._check_progress()
            self._engine.check_schema()
            oldest = self._engine.market.queries.oldest_undecided()
            redis, problem = self._engine.redis_state()
            if redis == "ok":
                self._installation.check()
        except Unavailable as error:
            self._log_change(str(error))
            raise
        self._log_change(problem)
        accepts_orders = self._engine.market.ordering.refusal() is None
        return Readiness(redis, None if oldest is None else self._age(oldest), accepts_orders)

    def _check_progress(self) -> None:
        longest = self.longest_running()
        if longest is not None and longest.seconds > self._command_seconds:
            raise Unavailable(f"This process is stuck: {longest}.")

    def _log_change(self, problem: str) -> None:
        if problem and problem != self._last_problem:
            logger.warning("not ready: %s", problem)
        elif self._last_problem and not problem:
            logger.info("ready")
        self._last_problem = problem

    def _age(self, moment: datetime) -> float:
        return max(0.0, (self._engine.market.clock.now() - moment).total_seconds())
