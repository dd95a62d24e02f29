"""The table of tasks: the Celery name, the method and the interval of each."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from adapters.tasks.tasks import BackgroundTasks


@frozen
class ScheduledTask:
    """Beat sends a message with `name` every `every`; the worker that receives it calls `run`.

    Workers and beats of two releases share a queue during an upgrade, so a name stays when its method is renamed.
    """

    name: str
    run: Callable[[BackgroundTasks], None]
    every: timedelta


DECIDE: Final = "scalecommerce.decide_orders"
NUMBER_EVENTS: Final = "scalecommerce.number_events"
REPRICE: Final = "scalecommerce.reprice"
FLUSH_VIEWS: Final = "scalecommerce.flush_views"
_PURGE_KEYS: Final = "scalecommerce.forget_idempotency_keys"

# A purge deletes `MAX_BATCHES` batches per run, so its interval must be short enough to delete rows faster than they
# are added.
TASKS: Final = (
    # The sweep: it decides orders whose message was lost.
    ScheduledTask(DECIDE, BackgroundTasks.decide_orders, timedelta(seconds=1)),
    ScheduledTask("scalecommerce.expire_reservations", BackgroundTasks.expire_reservations, timedelta(seconds=5)),
    ScheduledTask("scalecommerce.reconcile_payments", BackgroundTasks.reconcile_payments, timedelta(seconds=5)),
    ScheduledTask("scalecommerce.send_refunds", BackgroundTasks.send_refunds, timedelta(seconds=5)),
    ScheduledTask(FLUSH_VIEWS, BackgroundTasks.flush_views, timedelta(seconds=2)),
    ScheduledTask(_PURGE_KEYS, BackgroundTasks.purge_idempotency_keys, timedelta(minutes=1)),
    ScheduledTask("scalecommerce.purge_sessions", BackgroundTasks.purge_sessions, timedelta(minutes=10)),
    ScheduledTask(NUMBER_EVENTS, BackgroundTasks.number_events, timedelta(seconds=1)),
    ScheduledTask("scalecommerce.deliver_webhooks", BackgroundTasks.deliver_webhooks, timedelta(seconds=1)),
    ScheduledTask("scalecommerce.forget_webhooks", BackgroundTasks.purge_webhooks, timedelta(minutes=1)),
    ScheduledTask("scalecommerce.send_emails", BackgroundTasks.send_emails, timedelta(seconds=2)),
    ScheduledTask("scalecommerce.fold_statistics", BackgroundTasks.fold_statistics, timedelta(seconds=2)),
    ScheduledTask(REPRICE, BackgroundTasks.reprice, timedelta(seconds=1)),
    # Each experiment is measured once in an hour; this also finds those that have just ended.
    ScheduledTask("scalecommerce.measure_experiments", BackgroundTasks.measure_experiments, timedelta(minutes=1)),
    ScheduledTask("scalecommerce.forget_decisions", BackgroundTasks.purge_decisions, timedelta(minutes=1)),
    ScheduledTask("scalecommerce.sweep_promotions", BackgroundTasks.sweep_promotions, timedelta(seconds=1)),
    ScheduledTask("scalecommerce.move_prices", BackgroundTasks.sync_price_index, timedelta(seconds=1)),
    ScheduledTask("scalecommerce.learn_words", BackgroundTasks.update_vocabulary, timedelta(seconds=2)),
    # It reads all products to find those whose popularity tier has changed.
    ScheduledTask("scalecommerce.place_products", BackgroundTasks.refresh_popularity, timedelta(minutes=10)),
    ScheduledTask("scalecommerce.archive_orders", BackgroundTasks.archive_orders, timedelta(minutes=1)),
    ScheduledTask("scalecommerce.purge_audit_log", BackgroundTasks.purge_audit_log, timedelta(minutes=10)),
    ScheduledTask("scalecommerce.forget_events", BackgroundTasks.purge_events, timedelta(minutes=1)),
)

MESSAGE_TTL: Final = timedelta(seconds=60)
"""How long a message of beat waits for a worker (Celery's `expires`). A worker drops an older message unread.

A message carries no data: PostgreSQL holds the work, and each task queries for it. So a message that expires, or that
is lost while Redis is away, delays work and loses none. While Redis is away:

- the notifier of new orders logs a warning and drops its message (`decide_notifier`);
- beat logs one warning and skips its ticks (`bounded_beat`);
- a worker finishes its task; the acknowledgement is lost with the connection, so the task may run again
  (`redis_transport`);
- a worker runs the tasks on which orders depend on its own timer (`own_timer`).

When Redis is back, beat's next tick, at most one interval later, starts the tasks that find the delayed work. While no
worker runs, the queue holds at most `broker.MAX_QUEUED_MESSAGES`. Messages for new orders have no TTL; at most one of
them is queued.

`expires` is a time of day, so the TTL must exceed the difference between the clocks of two hosts.
"""


def beat_schedule() -> dict[str, dict[str, Any]]:
    """`TASKS` as Celery's `beat_schedule`. Messages of rare tasks live as long as their interval."""
    return {
        task.name: {
            "task": task.name,
            "schedule": task.every,
            "options": {"expires": max(task.every, MESSAGE_TTL).total_seconds()},
        }
        for task in TASKS
    }
