"""Builds the engine and its parts from the settings. Only this module names the adapters that implement ports."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

import psycopg
from attrs import frozen
from billiard import current_process
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown
from redis import Redis, RedisError
from sqlalchemy import Engine as DatabaseEngine

from adapters.db.core.change_notifications import PostgresCatalogFeed
from adapters.db.core.connection_parameters import describe_database, open_connection, standby_urls
from adapters.db.core.engine import database_engine
from adapters.db.core.errors import check_schema
from adapters.db.core.standby_freshness import Fallback, StandbyFreshness
from adapters.db.core.standby_monitor import Primary, Standby, StandbyMonitor
from adapters.db.core.timed_pool import TimedPool
from adapters.db.installation import read_installation
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.queries.search.index.files import IndexDirectory
from adapters.db.queries.search.index.freshness import FreshIndex
from adapters.db.queries.search.index.maintenance import IndexMaintainer
from adapters.db.queries.search.index.source import IndexSource
from adapters.db.queries.standby_products import StandbyProductQueries
from adapters.db.standby_waits import count_standby_waits
from adapters.db.store import PostgresStore
from adapters.db.validation_backlog import Backlog, read_backlog
from adapters.db.waiting_work import read_waiting_work
from adapters.email.console import ConsoleSender, NoSender
from adapters.email.smtp import SmtpSender, SmtpServer
from adapters.embedded.file_lock import FileLock
from adapters.metrics import definitions
from adapters.metrics.exporter import DatabaseCollector
from adapters.payments.sandbox import SandboxGateway
from adapters.redis.installation_lease import RedisInstallationLease
from adapters.redis.login_limiter import RedisLoginLimiter
from adapters.redis.rate_limiter import RedisRateLimiter
from adapters.redis.reachability import RedisState, answers_ping, check_redis, describe_error
from adapters.redis.restart_counter import RedisRestartCounter
from adapters.redis.security_counters import RedisSecurityCounters
from adapters.redis.servers import RedisServers
from adapters.redis.shared_cache import RedisSharedCache
from adapters.redis.view_counter import UNFLUSHED, RedisViewCounter
from adapters.security.one_time_passwords import TimeBasedPasswords
from adapters.security.passwords import Argon2Passwords
from adapters.security.quote_signer import HmacQuoteSigner
from adapters.security.secret_cipher import FernetCipher
from adapters.security.security_log import LoggingSecurityLog
from adapters.security.tokens import JwtTokens, secret_key
from adapters.system import RandomIds, SystemClock, SystemRandomness
from adapters.tasks.application import create_celery_app
from adapters.tasks.broker import Broker, create_publisher
from adapters.tasks.decide_notifier import CeleryWorkNotifier, request_decisions
from adapters.tasks.idle import IdleMonitor, RedisIdleMark, send_idle_tasks, send_repricing
from adapters.tasks.job_runner import ThreadRunner
from adapters.tasks.own_timer import SILENCE_SECONDS, MessageClock, OwnTimer
from adapters.tasks.tasks import BackgroundTasks
from adapters.tasks.worker_lock import worker_lock
from adapters.webhooks.sender import HttpWebhookSender
from entrypoints.gateways import SANDBOX, load_payment_gateway
from entrypoints.gc_tuning import reduce_gc_frequency
from entrypoints.installation import InstallationCheck
from entrypoints.metrics import ProcessMetrics
from entrypoints.policies import load_all
from entrypoints.settings import EMAIL_CONSOLE, MEMORY_INDEX, Settings, to_environment
from entrypoints.tracing import ProcessTracing, start_tracing
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.ports import (
    NO_MEASUREMENTS,
    DeliverySlots,
    EmailSender,
    Measurements,
    PaymentGateway,
    Store,
    WebhookSender,
)
from scalecommerce_core.pricing.runs import ApprovalLimits
from scalecommerce_core.services.account_limits import TokenLimits
from scalecommerce_core.services.accounts import SignUpLimits
from scalecommerce_core.services.build_market import MarketPorts, MarketRules, build_market
from scalecommerce_core.services.emails import EmailRules
from scalecommerce_core.services.login_throttle import LoginLimits
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import OrderRules
from scalecommerce_core.services.payments import PaymentRules
from scalecommerce_core.services.pricing import PricingRules
from scalecommerce_core.services.webhooks import WebhookRules

UNFLUSHED_VIEWS: Final = UNFLUSHED
"""Keys in Redis of which one exists while views wait to be written to the database."""
METRICS_TIMEOUT: Final = timedelta(seconds=2)
MAX_REPORTED_AGE: Final = 3600.0
RECENT_BUILD_SECONDS: Final = 5.0
"""A search index that was built more recently than this may not have been opened yet by the process that wants one."""
"""How long a statement for `/metrics` may take; a scrape usually has 10 s."""


@frozen
class Engine:
    """The market on its production adapters, and the connections that `close` closes."""

    settings: Settings
    market: Market
    database: DatabaseEngine
    redis: Redis
    passwords: Argon2Passwords
    views: RedisViewCounter
    notifier: CeleryWorkNotifier
    ids: RandomIds
    feed: PostgresCatalogFeed
    rate_limiter: RedisRateLimiter
    security_counters: RedisSecurityCounters
    security_log: LoggingSecurityLog
    background: ThreadPoolExecutor
    search_index: "MemoryIndex | None" = None
    """It must follow the feed of changes, and is started by the process that uses it."""

    @property
    def cursor_key(self) -> bytes:
        """The key that signs page cursors. It is derived from the token secret, so that no second secret is needed."""
        return _derive_key(self.settings, b"page cursors")

    def check_schema(self) -> None:
        """Raise `SchemaMismatch` or another `Unavailable` if the database is not usable by this release."""
        check_schema(self.database)

    def installation_check(self) -> InstallationCheck:
        """The check that Redis serves this installation alone."""
        return installation_check(self.settings, self.database, self.redis)

    def redis_state(self) -> tuple[RedisState, str]:
        """Ping Redis; return its state and a message, which is empty if Redis answers."""
        return check_redis(self.redis)

    def shared_cache(self, release: str, seconds: float) -> RedisSharedCache:
        """The cache that API processes of one release share; entries expire after `seconds`."""
        return RedisSharedCache.at(redis_servers(self.settings), release, seconds)

    def start(self) -> None:
        """Start the threads that the engine of an API process has."""
        if self.search_index is not None:
            self.search_index.maintainer.start()

    def close(self) -> None:
        self.background.shutdown()
        if self.search_index is not None:
            self.search_index.maintainer.close()
        self.feed.close()
        self.security_log.close()
        self.notifier.close()
        self.views.close()
        self.redis.close()
        self.database.dispose()


def wire(
    settings: Settings,
    process: str = "command",
    session: str = "scalecommerce",
    measurements: Measurements = NO_MEASUREMENTS,
    traces: ProcessTracing | None = None,
) -> Engine:
    """Build the engine; its clients connect when they are first used.

    `process` is the name by which fail-points select this process. `session` is the `application_name` of its
    PostgreSQL connections. `traces` records what the engine does.
    """
    tracing = None if traces is None else traces.tracing
    load_all(settings.pricing_policies)
    database = database_engine(
        settings.database_url.reveal(), pool_size=settings.database_pool_size, application_name=session
    )
    redis = redis_servers(settings).client(decode_responses=True, socket_timeout=2, socket_connect_timeout=1)
    clock, ids, passwords = SystemClock(), RandomIds(), Argon2Passwords()
    feed = PostgresCatalogFeed(database)
    store: Store = PostgresStore(database, feed.announce, feed.announce_access, tracing)
    search_index = _search_index(settings, database, feed) if process == "api" else None
    queries = PostgresQueries(
        database, currency=settings.market_currency, index=None if search_index is None else search_index.fresh
    )
    views = RedisViewCounter(
        redis, secret=_derive_key(settings, b"views"), window=settings.view_window, caps=settings.view_caps
    )
    notifier = CeleryWorkNotifier(create_publisher(broker_of(settings)), redis)
    rate_limiter, security_counters = RedisRateLimiter(redis), RedisSecurityCounters(redis)
    security_log = LoggingSecurityLog(security_counters)
    gateway: PaymentGateway = (
        SandboxGateway(database)
        if settings.payment_gateway == SANDBOX
        else load_payment_gateway(settings.payment_gateway)
    )
    sender: WebhookSender = HttpWebhookSender(allow_loopback=settings.webhooks_allow_loopback, tracing=tracing)
    email_sender = _email_sender(settings)
    if settings.failpoints:
        from scalecommerce_core.testing.failpoints import parse_failpoints  # noqa: PLC0415 - for self-tests only

        seams = parse_failpoints(settings.failpoints, process)
        store, views = seams.store(store), seams.port("views", views)
        gateway = seams.port("gateway", gateway)
        sender = seams.port("webhook_sender", sender)
        email_sender = seams.port("email_sender", email_sender)
        notifier = seams.port(
            "notifier", CeleryWorkNotifier(seams.broker(create_publisher(broker_of(settings))), redis)
        )
    if traces is not None:
        store, gateway = traces.wrap_store(store), traces.wrap_gateway(gateway, settings.payment_gateway)
    tokens = JwtTokens(
        secret_key(settings.jwt_secret.reveal()),
        [secret_key(secret.reveal()) for secret in settings.previous_secrets],
        issuer=settings.jwt_issuer,
        audience=settings.jwt_issuer,
        access_lifetime=settings.access_lifetime,
    )
    background = ThreadPoolExecutor(1, "background")
    market = build_market(
        MarketPorts(
            store=store,
            clock=clock,
            queries=queries,
            ids=ids,
            randomness=SystemRandomness(),
            passwords=passwords,
            one_time_passwords=TimeBasedPasswords(),
            tokens=tokens,
            cipher=FernetCipher(*_encryption_secrets(settings)),
            login_limiter=RedisLoginLimiter(redis),
            rate_limiter=rate_limiter,
            security_log=security_log,
            email_sender=email_sender,
            webhook_sender=sender,
            gateway=gateway,
            quote_signer=HmacQuoteSigner(_derive_key(settings, b"price quotes")),
            measurements=measurements,
            in_background=background.submit,
        ),
        _market_rules(settings),
    )
    return Engine(
        settings=settings,
        market=market,
        database=database,
        redis=redis,
        passwords=passwords,
        views=views,
        notifier=notifier,
        ids=ids,
        feed=feed,
        rate_limiter=rate_limiter,
        security_counters=security_counters,
        security_log=security_log,
        background=background,
        search_index=search_index,
    )


@frozen
class MemoryIndex:
    """The search index of a process and the thread that maintains it."""

    fresh: FreshIndex
    maintainer: IndexMaintainer


def _search_index(settings: Settings, database: DatabaseEngine, feed: PostgresCatalogFeed) -> MemoryIndex | None:
    if settings.search_index != MEMORY_INDEX:
        return None
    fresh = FreshIndex(lambda: feed.reported_below)
    fresh.keep_alive = feed.keep_alive
    maintainer = IndexMaintainer(
        fresh,
        IndexSource(database),
        feed,
        lambda: _index_directory(settings, database),
        partial(start_index_build, settings),
    )
    return MemoryIndex(fresh, maintainer)


def _index_directory(settings: Settings, database: DatabaseEngine) -> IndexDirectory:
    temporary = Path(tempfile.gettempdir()) / f"scalecommerce-search-{os.getuid()}"
    chosen = Path(settings.search_index_dir) if settings.search_index_dir else temporary
    return IndexDirectory(chosen, read_installation(database))


def start_index_build(settings: Settings, directory: IndexDirectory) -> "subprocess.Popen[bytes] | None":
    """Start `entrypoints.search_index_main`, unless another process of this host builds or has just built the index."""
    directory.prepare()
    lock = FileLock(directory.lock_path)
    try:
        if not lock.try_acquire() or time.time() - directory.last_built_at < RECENT_BUILD_SECONDS:
            return None
        command = [sys.executable, "-P", "-m", "entrypoints.search_index_main", str(os.getpid())]
        # The build inherits the lock, which is free when it ends.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    finally:
        lock.close()
    # If the build has ended already, its status says so.
    with suppress(BrokenPipeError), process.stdin as channel:  # type: ignore[union-attr] # it is a pipe
        channel.write(json.dumps(to_environment(settings)).encode())
    return process


def build_search_index(settings: Settings) -> None:
    """Build the index of this host; the caller holds the lock. Raise `MarketError` or OSError."""
    database = database_engine(
        settings.database_url.reveal(),
        pool_size=1,
        statement_timeout=None,
        idle_in_transaction_timeout=None,
        application_name="scalecommerce search index",
    )
    try:
        _index_directory(settings, database).build(database)
    finally:
        database.dispose()


@frozen
class StandbyReads:
    """Reads of the catalog from standbys. `freshness` must follow the feed of changes."""

    queries: StandbyProductQueries
    freshness: StandbyFreshness
    monitor: StandbyMonitor

    def close(self) -> None:
        self.monitor.close()


def standby_reads(settings: Settings, engine: Engine, session: str) -> StandbyReads | None:
    """The standbys of `DATABASE_READ_URL`; None without this setting. They are connected at the first read."""
    url = settings.database_read_url.reveal()
    if not url:
        return None
    standbys = [
        Standby(each, pool_size=settings.database_pool_size, application_name=session) for each in standby_urls(url)
    ]
    freshness = StandbyFreshness()
    freshness.keep_alive = engine.feed.keep_alive
    monitor = StandbyMonitor(standbys, Primary(engine.database), freshness.on_horizon)
    queries = StandbyProductQueries(
        engine.market.queries,
        monitor,
        freshness,
        currency=settings.market_currency,
        index=None if engine.search_index is None else engine.search_index.fresh,
    )
    return StandbyReads(queries, freshness, monitor)


def _market_rules(settings: Settings) -> MarketRules:
    return MarketRules(
        currency=settings.market_currency,
        issuer=settings.jwt_issuer,
        lifetimes=settings.lifetimes,
        login_limits=LoginLimits(
            settings.login_attempts,
            settings.login_window,
            account_attempts=settings.login_attempts_per_account,
            address_attempts=settings.login_attempts_per_address,
            device_lifetime=settings.device_lifetime,
        ),
        sign_up_limits=SignUpLimits(settings.sign_ups_per_address, settings.sign_ups_total, settings.sign_up_window),
        token_limits=TokenLimits(settings.email_requests_per_hour),
        require_verified_email=settings.require_verified_email,
        require_staff_second_factor=settings.require_staff_second_factor,
        api_key_rotation_grace=settings.api_key_rotation_grace,
        emails=_email_rules(settings),
        orders=OrderRules(
            settings.price_promise,
            settings.reservation,
            settings.order_quotas,
            settings.max_decision_wait,
            settings.decide_at_intake,
        ),
        payments=PaymentRules(settings.payment_deadline),
        pricing=PricingRules(
            settings.policies_per_account,
            settings.min_epoch,
            ApprovalLimits(settings.pricing_approval_prices, settings.pricing_approval_basis_points),
        ),
        webhooks=_webhook_rules(settings),
        session_retention=settings.session_retention,
        event_retention=settings.event_retention,
        decision_retention=settings.decision_retention,
        audit_retention=settings.audit_retention,
        orders_hot_time=settings.orders_hot_time,
    )


def _encryption_secrets(settings: Settings) -> tuple[str, Sequence[str]]:
    """The secret that encrypts, and those that only decrypt."""
    first, *others = (secret.reveal() for secret in settings.encryption_secrets)
    return first, others


def _email_sender(settings: Settings) -> EmailSender:
    url = settings.smtp_url.reveal()
    if not url:
        return NoSender()
    if url == EMAIL_CONSOLE:
        return ConsoleSender()
    return SmtpSender(SmtpServer.from_url(url), settings.email_from, timeout=settings.smtp_timeout_seconds)


def _email_rules(settings: Settings) -> EmailRules:
    return EmailRules(
        enabled=bool(settings.smtp_url),
        public_url=settings.public_url,
        verification=timedelta(seconds=settings.email_verification_seconds),
        reset=timedelta(seconds=settings.password_reset_seconds),
    )


def _webhook_rules(settings: Settings) -> WebhookRules:
    total = settings.webhook_concurrency
    return WebhookRules(
        slots=DeliverySlots(total, settings.webhook_concurrency_per_account, slow=max(1, total // 4)),
        endpoints_per_account=settings.webhook_endpoints_per_account,
        tests_per_account=settings.webhook_tests_per_account,
        tests_per_host=settings.webhook_tests_per_host,
        tests_total=settings.webhook_tests_total,
        retention=settings.event_retention,
        allow_loopback=settings.webhooks_allow_loopback,
    )


def _derive_key(settings: Settings, purpose: bytes) -> bytes:
    return hmac.new(settings.jwt_secret.reveal().encode(), purpose, hashlib.sha256).digest()


def redis_servers(settings: Settings) -> RedisServers:
    """The servers of `REDIS_URL`."""
    return RedisServers.parse(settings.redis_url.reveal())


def broker_of(settings: Settings) -> Broker:
    """The servers of `REDIS_URL` in the form of Celery."""
    servers = redis_servers(settings)
    return Broker(servers.broker_url, servers.broker_options)


def ping_redis(url: str) -> None:
    """Raise `Unavailable`, with a message that says what to check, if Redis does not answer; ValueError: no URL."""
    try:
        with RedisServers.parse(url).client(socket_timeout=3, socket_connect_timeout=3) as client:
            client.ping()
    except RedisError as error:
        raise Unavailable(describe_error(error)) from error


def database_connection(url: str, application_name: str) -> "psycopg.Connection[Any]":
    """A connection in autocommit mode, without a pool; raises `psycopg.Error`."""
    return open_connection(url, autocommit=True, application_name=application_name)


@contextmanager
def startup_checks(settings: Settings, session: str) -> Iterator[tuple[Callable[[], None], InstallationCheck]]:
    """Yield a function that raises as `Engine.check_schema` does, and the check of Redis."""
    database = database_engine(settings.database_url.reveal(), pool_size=1, application_name=session)
    redis = redis_servers(settings).client(socket_timeout=2, socket_connect_timeout=1)
    try:
        yield lambda: check_schema(database), installation_check(settings, database, redis)
    finally:
        database.dispose()


def installation_check(settings: Settings, database: DatabaseEngine, redis: Redis) -> InstallationCheck:
    """The check that Redis serves the installation of this database alone."""
    name = describe_database(settings.database_url.reveal())
    return InstallationCheck(
        partial(read_installation, database), lambda installation: RedisInstallationLease(redis, installation, name)
    )


class WorkerMonitor:
    """The connections of a worker's watchdog, separate from the worker's own; its methods raise `Unavailable`."""

    def __init__(self, settings: Settings, host: str) -> None:
        self._database = database_engine(
            settings.database_url.reveal(), pool_size=1, application_name="scalecommerce watchdog"
        )
        redis = redis_servers(settings).client(socket_timeout=2, socket_connect_timeout=1)
        self._broker = create_publisher(broker_of(settings))
        self.restart_counter = RedisRestartCounter(redis, host)
        self._idle_mark = RedisIdleMark(redis)

    def read_backlog(self) -> Backlog:
        """Read the backlog of undecided orders; raise `Unavailable` if PostgreSQL or Redis does not respond.

        PostgreSQL is not read while the idle mark is set: then no order is undecided.
        """
        return Backlog(None) if self._idle_mark.is_set() else read_backlog(self._database)

    def request_decision(self) -> None:
        request_decisions(self._broker)


class ApiMonitor:
    """What the watchdog of an API process asks other servers, by connections of its own."""

    def __init__(self, settings: Settings, session: str, host: str) -> None:
        self._database = database_engine(
            settings.database_url.reveal(), pool_size=1, application_name="scalecommerce watchdog"
        )
        self._session = session
        redis = redis_servers(settings).client(socket_timeout=2, socket_connect_timeout=1)
        self.restart_counter = RedisRestartCounter(redis, f"api:{host}")

    def find_outer_cause(self) -> str:
        """Why commands of this process do not end although it works; empty if PostgreSQL answers and nothing waits.

        Raises Unavailable if PostgreSQL accepts no connection.
        """
        waits = count_standby_waits(self._database, self._session)
        return f"{waits} of its commits wait for a synchronous standby of PostgreSQL" if waits else ""


def watch_pool(metrics: ProcessMetrics, database: DatabaseEngine) -> None:
    """Sample the connections of the pool, which `dispose` replaces."""

    def read(figure: Callable[[TimedPool], float]) -> Callable[[], float]:
        return lambda: figure(database.pool) if isinstance(database.pool, TimedPool) else 0.0

    watch = metrics.sampler.watch
    watch(definitions.POOL_CONNECTIONS, read(TimedPool.checkedout), "in_use")
    watch(definitions.POOL_CONNECTIONS, read(TimedPool.checkedin), "idle")
    watch(definitions.POOL_LIMIT, read(lambda pool: pool.limit))
    watch(definitions.POOL_CHECKOUTS, read(lambda pool: pool.checkouts))
    watch(definitions.POOL_WAIT_SECONDS, read(lambda pool: pool.wait_seconds))


def watch_reads(metrics: ProcessMetrics, standbys: StandbyReads | None, search_index: MemoryIndex | None) -> None:
    """Sample what standbys and the search index answer, if the process has them."""
    if standbys is not None:
        _watch_standbys(metrics, standbys)
    if search_index is not None:
        _watch_search_index(metrics, search_index)


def _watch_standbys(metrics: ProcessMetrics, reads: StandbyReads) -> None:
    """Sample how many reads of the catalog standbys and the primary answered."""
    watch, queries = metrics.sampler.watch, reads.queries
    watch(definitions.STANDBY_READS, lambda: queries.standby_reads)
    for reason in Fallback:
        watch(definitions.STANDBY_FALLBACKS, partial(queries.fallbacks.__getitem__, reason), reason.value)


def _watch_search_index(metrics: ProcessMetrics, index: MemoryIndex) -> None:
    """Sample the size and the age of the search index, and how often it answers."""
    watch, fresh = metrics.sampler.watch, index.fresh
    watch(definitions.SEARCH_INDEX_PRODUCTS, lambda: 0 if (found := fresh.index) is None else found.documents)
    watch(definitions.SEARCH_INDEX_BYTES, lambda: 0 if (found := fresh.index) is None else found.nbytes)
    watch(definitions.SEARCH_INDEX_PENDING, lambda: fresh.pending)
    # Before the first proof the age is infinite.
    watch(definitions.SEARCH_INDEX_AGE, lambda: 0 if fresh.index is None else min(fresh.age, MAX_REPORTED_AGE))
    watch(definitions.SEARCH_INDEX_ANSWERS, lambda: fresh.answers, "index")
    watch(definitions.SEARCH_INDEX_ANSWERS, lambda: fresh.refusals, "statement")


def database_figures(settings: Settings) -> DatabaseCollector:
    """Backlogs and troubles, read over a connection of its own, whose statements end after `METRICS_TIMEOUT`."""
    database = database_engine(
        settings.database_url.reveal(),
        pool_size=1,
        max_overflow=0,
        pool_timeout=METRICS_TIMEOUT,
        statement_timeout=METRICS_TIMEOUT,
        application_name="scalecommerce metrics",
    )
    return DatabaseCollector(PostgresQueries(database, currency=settings.market_currency), SystemClock())


def worker_application(
    settings: Settings,
    session: str,
    open_metrics: Callable[[], ProcessMetrics | None] = lambda: None,
    has_redis: Callable[[], bool] = lambda: True,
) -> Celery:
    """Celery's application. Each worker process builds its own engine at its first task, after the fork.

    `open_metrics` is called then, too. `has_redis` returns whether Redis serves this installation.
    """
    opened: list[ProcessMetrics] = []
    traced: list[ProcessTracing] = []
    deliveries: list[ThreadRunner] = []
    timers: list[OwnTimer | IdleMonitor] = []
    databases: list[DatabaseEngine] = []
    messages = MessageClock()

    def read_work() -> tuple[int, bool, bool]:
        tasks()
        return read_waiting_work(databases[0])

    def start_timers(**_sent: object) -> None:
        # One process of the pool has the timers. A process that replaces it gets its index.
        if getattr(current_process(), "index", 0) == 0:
            mark = RedisIdleMark(redis_servers(settings).client(socket_timeout=2, socket_connect_timeout=1))

            def is_broker_away() -> bool:
                return not (mark.responded_within(SILENCE_SECONDS) or answers_ping(redis_servers(settings)))

            timers.append(OwnTimer(messages, tasks, is_broker_away))
            publisher = create_publisher(broker_of(settings))
            timers.append(
                IdleMonitor(read_work, mark, lambda: send_idle_tasks(publisher), lambda: send_repricing(publisher))
            )
            for timer in timers:
                timer.start()

    def finish(**_sent: object) -> None:
        for timer in timers:
            timer.stop()
        for jobs in deliveries:
            jobs.close()
        for traces in traced:
            traces.close()

    # Sent in each process of the pool when it begins, and when it ends, unless it is killed.
    worker_process_init.connect(start_timers, weak=False)
    worker_process_shutdown.connect(finish, weak=False)
    wiring = Lock()

    def tasks() -> BackgroundTasks:
        # The timer may be first, or at the same time as the first message.
        with wiring:
            return build_tasks()

    @cache
    def build_tasks() -> BackgroundTasks:
        metrics = open_metrics()
        traces = start_tracing("worker")
        engine = wire(settings, "worker", session, NO_MEASUREMENTS if metrics is None else metrics.market, traces)
        databases.append(engine.database)
        if traces is not None:
            traced.append(traces)
        if metrics is not None:
            watch_pool(metrics, engine.database)
            metrics.sampler.start()
            opened.append(metrics)
        deliveries.append(ThreadRunner(settings.webhook_concurrency, "webhook"))
        reduce_gc_frequency()
        return BackgroundTasks(
            engine.market,
            engine.views,
            engine.notifier.acknowledge,
            delivery_lock=lambda: worker_lock(engine.redis, "deliver"),
            delivery_runner=deliveries[-1],
            repricing_lock=lambda: worker_lock(engine.redis, "reprice"),
            email_lock=lambda: worker_lock(engine.redis, "send e-mails"),
            has_redis=has_redis,
            tracing=None if traces is None else traces.tracing,
        )

    def on_task(name: str, seconds: float, failed: bool) -> None:
        for metrics in opened:
            metrics.on_task(name, seconds, failed)

    return create_celery_app(broker_of(settings), tasks, on_task, messages.touch)
