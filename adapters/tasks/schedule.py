"""What beat does and how often: one table."""

from datetime import timedelta
from typing import Any, Final

DECIDE: Final = "scalecommerce.decide_orders"
EXPIRE: Final = "scalecommerce.expire_reservations"
FLUSH_VIEWS: Final = "scalecommerce.flush_views"
FORGET_KEYS: Final = "scalecommerce.forget_idempotency_keys"

SCHEDULE: Final = {
    # The sweep behind the wake-ups: it finds what a lost message left.
    DECIDE: timedelta(seconds=1),
    EXPIRE: timedelta(seconds=5),
    FLUSH_VIEWS: timedelta(seconds=2),
    FORGET_KEYS: timedelta(hours=1),
}

PATIENCE: Final = timedelta(seconds=60)
"""Expiry is a time of day, read by another machine: more than any clocks differ."""


def beat_schedule() -> dict[str, dict[str, Any]]:
    """`SCHEDULE` as Celery wants it. What no worker took is dropped after a while, so that nothing piles up."""
    return {
        task: {"task": task, "schedule": every, "options": {"expires": max(every, PATIENCE).total_seconds()}}
        for task, every in SCHEDULE.items()
    }
