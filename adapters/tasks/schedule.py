"""The tasks, what each does, and how often beat asks for it: one table."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from adapters.tasks.tasks import Jobs


@frozen
class Task:
    """`name` is what messages say; `job` is what a worker then does, at least `every` so often."""

    name: str
    job: Callable[[Jobs], None]
    every: timedelta


DECIDE: Final = "scalecommerce.decide_orders"

# A job deletes `BATCHES` batches at most, so what is forgotten must come up often enough to outrun what is written.
TASKS: Final = (
    # The sweep behind the wake-ups: it finds what a lost message left.
    Task(DECIDE, Jobs.decide_orders, timedelta(seconds=1)),
    Task("scalecommerce.expire_reservations", Jobs.expire_reservations, timedelta(seconds=5)),
    Task("scalecommerce.reconcile_payments", Jobs.reconcile_payments, timedelta(seconds=5)),
    Task("scalecommerce.send_refunds", Jobs.send_refunds, timedelta(seconds=5)),
    Task("scalecommerce.flush_views", Jobs.flush_views, timedelta(seconds=2)),
    Task("scalecommerce.forget_idempotency_keys", Jobs.forget_idempotency_keys, timedelta(minutes=1)),
    Task("scalecommerce.number_events", Jobs.number_events, timedelta(seconds=1)),
    Task("scalecommerce.deliver_webhooks", Jobs.deliver_webhooks, timedelta(seconds=1)),
    Task("scalecommerce.forget_webhooks", Jobs.forget_webhooks, timedelta(minutes=1)),
    Task("scalecommerce.fold_statistics", Jobs.fold_statistics, timedelta(seconds=2)),
    Task("scalecommerce.reprice", Jobs.reprice, timedelta(seconds=1)),
    Task("scalecommerce.forget_decisions", Jobs.forget_decisions, timedelta(minutes=1)),
    Task("scalecommerce.move_prices", Jobs.move_prices, timedelta(seconds=1)),
    Task("scalecommerce.learn_words", Jobs.learn_words, timedelta(seconds=2)),
    # It reads all products, to find the few whose prominence has changed.
    Task("scalecommerce.place_products", Jobs.place_products, timedelta(minutes=10)),
    Task("scalecommerce.forget_events", Jobs.forget_events, timedelta(minutes=1)),
)

PATIENCE: Final = timedelta(seconds=60)
"""Expiry is a time of day, read by another machine: more than any clocks differ."""


def beat_schedule() -> dict[str, dict[str, Any]]:
    """`TASKS` as Celery wants them. What no worker took in time is dropped by the first that comes.

    How much may wait for it is bounded by `PatientScheduler`.
    """
    return {
        task.name: {
            "task": task.name,
            "schedule": task.every,
            "options": {"expires": max(task.every, PATIENCE).total_seconds()},
        }
        for task in TASKS
    }
