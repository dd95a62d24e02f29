"""The Celery application and its tasks."""

import logging
from collections.abc import Callable
from typing import Final

from celery import Celery
from redis import Redis, RedisError

from adapters.tasks.broker import connected
from adapters.tasks.schedule import DECIDE, EXPIRE, FLUSH_VIEWS, FORGET_KEYS, beat_schedule
from adapters.tasks.wakeups import WAKEUP_KEY
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.services.market import Market

logger = logging.getLogger(__name__)

BATCH: Final = 500
BATCHES: Final = 200
"""A task ends after so many, so that a shutdown need not wait for a whole backlog; the sweep goes on with it."""


def application(
    redis_url: str, market: Callable[[], Market], views: Callable[[], ViewCounter], redis: Callable[[], Redis]
) -> Celery:
    """The application of worker and beat. The callables are asked in the process that runs a task, after a fork."""
    app = connected(redis_url)
    app.conf.update(
        task_ignore_result=True,
        # A message is worth nothing by itself, so it may be lost or repeated; late acks only repeat sooner.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        beat_schedule=beat_schedule(),
        beat_max_loop_interval=1,
        timezone="UTC",
        enable_utc=True,
    )

    @app.task(name=DECIDE)  # type: ignore[untyped-decorator]  # Celery has no types
    def decide_orders() -> None:
        # Forgotten first: an order that comes in from now on wakes somebody up again.
        try:
            redis().delete(WAKEUP_KEY)
        except RedisError as error:
            logger.warning("the wake-up could not be taken off Redis: %s", error)
        _repeat(lambda: market().ordering.decide(BATCH).total)

    @app.task(name=EXPIRE)  # type: ignore[untyped-decorator]
    def expire_reservations() -> None:
        _repeat(lambda: market().ordering.expire(BATCH))

    @app.task(name=FLUSH_VIEWS)  # type: ignore[untyped-decorator]
    def flush_views() -> None:
        if counts := views().drain():
            market().catalog.record_views(counts)

    @app.task(name=FORGET_KEYS)  # type: ignore[untyped-decorator]
    def forget_idempotency_keys() -> None:
        _repeat(lambda: market().ordering.forget_keys(BATCH))

    return app


def _repeat(batch: Callable[[], int]) -> None:
    """Run a batch until one finds nothing to do."""
    for _ in range(BATCHES):
        try:
            if batch() == 0:
                return
        except Unavailable as error:
            # The schedule tries again; a traceback per second would only hide the sentence.
            logger.warning("background work waits: %s", error)
            return
