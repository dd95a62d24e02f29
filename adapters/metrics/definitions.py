"""All metrics of the project. `docs/operations.md` explains them; the dashboard and the alert rules name no others."""

from collections.abc import Sequence
from typing import Final

from adapters.metrics.series import OTHER, ROUTE, Kind, Layout, Merge, Metric, Program, Scope
from scalecommerce_core.domain.order import RejectionReason
from scalecommerce_core.ports import STATISTICS_CONSUMER
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import UNFINISHED, RunStatus
from scalecommerce_core.queries import TroubleKind
from scalecommerce_core.services.webhooks import WEBHOOKS_CONSUMER

PREFIX: Final = "scalecommerce_"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER)
STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
ACCEPTED: Final = "accepted"
REPLAYED: Final = "replayed"
ANSWERS: Final = (
    ACCEPTED, REPLAYED, "invalid", "not_found", "price_moved", "too_many_open_orders", "email_not_verified",
    "idempotency_key_reused", "idempotency_key_in_flight", "order_backlog_full", "unavailable", OTHER,
)  # fmt: skip
"""Answers of the intake to an order: accepted, replayed for an idempotency key, or the code of the refusal."""
TASKS: Final = tuple(
    f"scalecommerce.{name}"
    for name in (
        "decide_orders", "expire_reservations", "reconcile_payments", "send_refunds", "flush_views",
        "forget_idempotency_keys", "purge_sessions", "number_events", "deliver_webhooks", "forget_webhooks",
        "send_emails", "fold_statistics", "reprice", "measure_experiments", "forget_decisions", "sweep_promotions",
        "move_prices", "learn_words", "place_products", "archive_orders", "purge_audit_log", "forget_events",
    )
)  # fmt: skip
"""Names of Celery tasks; a test compares them with the schedule."""
PROCESSES: Final = ("main", *map(str, range(128)))
"""Names of the main process of a program and of the processes that it starts, by their row (`shared_file`)."""

_REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BATCH_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_BATCH_ORDERS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_VERDICT_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_TASK_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


_API: Final = frozenset({Program.API})
_WORKER: Final = frozenset({Program.WORKER})
_BEAT: Final = frozenset({Program.BEAT})
_API_AND_WORKER: Final = _API | _WORKER


def _counter(programs: frozenset[Program], name: str, help_: str, **labels: Sequence[str]) -> Metric:
    return Metric(PREFIX + name, Kind.COUNTER, help_, labels, programs=programs)


def _gauge(
    programs: frozenset[Program], name: str, help_: str, merge: Merge = Merge.SUM, **labels: Sequence[str]
) -> Metric:
    return Metric(PREFIX + name, Kind.GAUGE, help_, labels, merge=merge, programs=programs)


def _histogram(
    programs: frozenset[Program], name: str, help_: str, buckets: Sequence[float], **labels: Sequence[str]
) -> Metric:
    return Metric(PREFIX + name, Kind.HISTOGRAM, help_, labels, buckets, programs=programs)


def _database(name: str, help_: str, **labels: Sequence[str]) -> Metric:
    return Metric(PREFIX + name, Kind.GAUGE, help_, labels, scope=Scope.DATABASE, programs=_API_AND_WORKER)


def _system(name: str, kind: Kind, help_: str) -> Metric:
    return Metric(f"{PREFIX}process_{name}", kind, help_, {"process": PROCESSES}, scope=Scope.SYSTEM)


# HTTP
REQUESTS: Final = _counter(
    _API,
    "http_requests_total",
    "Requests from outside by template of the path, method and class of the status.",
    **{ROUTE: ()},
    method=METHODS,
    status=STATUS_CLASSES,
)
RESPONSE_SECONDS: Final = _histogram(
    _API,
    "http_response_seconds",
    "Time from the headers of a request to the beginning of its response.",
    _REQUEST_SECONDS,
    **{ROUTE: ()},
    method=METHODS,
)
LIVE_STREAMS: Final = _gauge(_API, "live_streams_open", "Open streams of Server-Sent Events.")
CACHE_LOOKUPS: Final = _counter(
    _API,
    "cache_lookups_total",
    "Look-ups in the response caches of the API processes.",
    cache=("product", "list"),
    result=("hit", "miss"),
)
CACHE_INVALIDATIONS: Final = _counter(
    _API,
    "cache_invalidations_total",
    "Changes of the catalog that removed entries from response caches: at once after a change by the same process, and"
    " for each change that the feed reports.",
    origin=("local", "feed"),
)

# Orders
ORDERS_RECEIVED: Final = _counter(_API, "orders_received_total", "Orders by the answer of the intake.", answer=ANSWERS)
INTAKE_ORDERS: Final = _histogram(_API, "intake_batch_orders", "Orders in one batch of the intake.", _BATCH_ORDERS)
INTAKE_SECONDS: Final = _histogram(
    _API, "intake_batch_seconds", "Duration of one batch of the intake, with its commit.", _BATCH_SECONDS
)
INTAKE_WAITING: Final = _gauge(_API, "intake_waiting_orders", "Orders that wait for the next batch of the intake.")
VERDICT_SECONDS: Final = _histogram(
    _API_AND_WORKER,
    "order_verdict_seconds",
    "Time from the order to the decision on it.",
    _VERDICT_SECONDS,
    verdict=("reserved", "rejected"),
)
ORDERS_DEFERRED: Final = _counter(
    _WORKER, "orders_deferred_total", "Decisions on an order that failed and are repeated later."
)
REJECTIONS: Final = _counter(
    _API_AND_WORKER,
    "order_rejections_total",
    "Rejected orders by reason; an order with several reasons counts for each.",
    reason=[reason.value for reason in RejectionReason],
)

# Pricing
RUNS_ENDED: Final = _counter(
    _API_AND_WORKER,
    "pricing_runs_ended_total",
    "Pricing runs that ended, by outcome.",
    outcome=[status.value.lower() for status in RunStatus if status not in UNFINISHED],
)
PRICES_DECIDED: Final = _counter(_WORKER, "pricing_decisions_total", "Decisions of pricing runs about a price.")
GUARDRAILS: Final = _counter(
    _WORKER,
    "pricing_guardrail_actions_total",
    "Decisions of pricing runs in which a guardrail acted.",
    guardrail=[str(rail.name).lower() for rail in Guardrail],
)

# Connections, tasks, beat
POOL_CONNECTIONS: Final = _gauge(
    _API_AND_WORKER, "database_pool_connections", "Connections to the database.", state=("in_use", "idle")
)
POOL_LIMIT: Final = _gauge(
    _API_AND_WORKER, "database_pool_limit", "Most connections to the database that the processes may open."
)
POOL_CHECKOUTS: Final = _counter(
    _API_AND_WORKER, "database_pool_checkouts_total", "Connections that were taken from a pool."
)
POOL_WAIT_SECONDS: Final = _counter(
    _API_AND_WORKER,
    "database_pool_wait_seconds_total",
    "Time until a pool had a connection: waiting for a free one, and opening a new one.",
)
STANDBY_READS: Final = _counter(_API, "standby_reads_total", "Reads of the catalog that standbys answered.")
STANDBY_FALLBACKS: Final = _counter(
    _API,
    "standby_fallbacks_total",
    "Reads of the catalog that the primary answered although `DATABASE_READ_URL` is set, by reason.",
    reason=("feed", "behind", "away", "missing", "failed"),
)
SEARCH_INDEX_PRODUCTS: Final = _gauge(
    _API,
    "search_index_products",
    "Products in the search index (`SEARCH_INDEX=memory`), of all API processes together.",
)
SEARCH_INDEX_BYTES: Final = _gauge(
    _API,
    "search_index_bytes",
    "Size of the search index, of all API processes together; those of a host share most of it.",
)
SEARCH_INDEX_PENDING: Final = _gauge(
    _API, "search_index_pending_products", "Changed products that the search index has not read again yet."
)
SEARCH_INDEX_AGE: Final = _gauge(
    _API,
    "search_index_age_seconds",
    "Time since the search index was last known to have all changes, of the API process that is furthest behind; at"
    " most an hour, and 0 without an index. It grows while nobody searches.",
    Merge.MAX,
)
SEARCH_INDEX_ANSWERS: Final = _counter(
    _API,
    "search_index_answers_total",
    "Steps of searches (page, total, facets) that used the search index, and those that ran as a statement in"
    " PostgreSQL because the index was not ready or lacked recent changes.",
    by=("index", "statement"),
)
TASK_SECONDS: Final = _histogram(_WORKER, "task_seconds", "Duration of background tasks.", _TASK_SECONDS, task=TASKS)
TASK_FAILURES: Final = _counter(
    _WORKER, "task_failures_total", "Background tasks that ended with an exception.", task=TASKS
)
BEAT_MESSAGES: Final = _counter(_BEAT, "beat_messages_total", "Messages that beat has sent to the workers.", task=TASKS)
BEAT_SENT_AT: Final = _gauge(
    _BEAT, "beat_last_message_timestamp_seconds", "When beat last sent a message; seconds since 1970.", Merge.MAX
)

# The database
FIGURES_READ: Final = _database("database_figures_read", "1 if the figures of the database could be read, else 0.")
UNDECIDED: Final = _database("undecided_orders", "Orders that wait for their decision.")
OLDEST_UNDECIDED: Final = _database(
    "oldest_undecided_order_age_seconds", "Age of the oldest order without a decision; 0 without such an order."
)
OUTBOX: Final = _database("outbox_events", "Events that have no number yet, so that nobody sees them.")
OLDEST_OUTBOX: Final = _database("oldest_outbox_event_age_seconds", "Age of the oldest event without a number.")
CONSUMERS: Final = (STATISTICS_CONSUMER, WEBHOOKS_CONSUMER, OTHER)
CONSUMER_EVENTS: Final = _database(
    "event_consumer_lag_events", "Numbered events that a consumer has not read.", consumer=CONSUMERS
)
CONSUMER_SECONDS: Final = _database(
    "event_consumer_lag_seconds", "Age of the first event that a consumer has not read.", consumer=CONSUMERS
)
PENDING_STATISTICS: Final = _database(
    "pending_statistics_facts", "Imported orders and products that the statistics do not count yet."
)
OPEN_PAYMENTS: Final = _database("open_payments", "Payments whose result is not known yet.")
OPEN_REFUNDS: Final = _database("open_refunds", "Refunds that the gateway has not confirmed yet.")
WAITING_EMAILS: Final = _database("waiting_emails", "E-mails that are not sent yet.")
WAITING_DELIVERIES: Final = _database(
    "waiting_webhook_deliveries", "Webhooks that are not delivered yet, also those that wait for their next try."
)
TROUBLES: Final = _database(
    "troubles",
    "What may need a person, by kind; counted up to 1,000 of each.",
    kind=[kind.value for kind in TroubleKind],
)

# Processes
_SYSTEM: Final = (
    _system("cpu_seconds_total", Kind.COUNTER, "Total user and system CPU time spent in seconds."),
    _system("resident_memory_bytes", Kind.GAUGE, "Resident memory size in bytes."),
    _system("virtual_memory_bytes", Kind.GAUGE, "Virtual memory size in bytes."),
    _system("start_time_seconds", Kind.GAUGE, "Start time of the process since unix epoch in seconds."),
    _system("open_fds", Kind.GAUGE, "Number of open file descriptors."),
    _system("max_fds", Kind.GAUGE, "Maximum number of open file descriptors."),
)

METRICS: Final = (
    ORDERS_RECEIVED, INTAKE_ORDERS, INTAKE_SECONDS, INTAKE_WAITING, VERDICT_SECONDS, ORDERS_DEFERRED, REJECTIONS,
    UNDECIDED, OLDEST_UNDECIDED, REQUESTS, RESPONSE_SECONDS, LIVE_STREAMS, CACHE_LOOKUPS, CACHE_INVALIDATIONS,
    POOL_CONNECTIONS, POOL_LIMIT, POOL_CHECKOUTS, POOL_WAIT_SECONDS, STANDBY_READS,
    STANDBY_FALLBACKS, SEARCH_INDEX_PRODUCTS, SEARCH_INDEX_BYTES, SEARCH_INDEX_PENDING, SEARCH_INDEX_AGE,
    SEARCH_INDEX_ANSWERS,
    OUTBOX, OLDEST_OUTBOX, CONSUMER_EVENTS,
    CONSUMER_SECONDS, PENDING_STATISTICS, OPEN_PAYMENTS, OPEN_REFUNDS, WAITING_EMAILS, WAITING_DELIVERIES, TROUBLES,
    FIGURES_READ,
    RUNS_ENDED, PRICES_DECIDED, GUARDRAILS, TASK_SECONDS, TASK_FAILURES, BEAT_MESSAGES, BEAT_SENT_AT, *_SYSTEM,
)  # fmt: skip
"""In the order of the documentation."""
LAYOUT: Final = Layout.of(METRICS)
