"""The connection of publishers, workers and beat to the broker."""

from typing import Final

from celery import Celery

QUEUE: Final = "scalecommerce"
MAX_QUEUED_MESSAGES: Final = 1_000
"""Publishers send no message while the queue holds this many: messages carry no data, so more would do no more work."""


def create_publisher(redis_url: str) -> Celery:
    """Return an application without tasks, which can send messages."""
    app = Celery("scalecommerce", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        # While the broker is away a publisher must fail at once instead of blocking its thread for seconds.
        broker_transport_options={"max_retries": 0, "socket_timeout": 5, "socket_connect_timeout": 2},
    )
    return app
