"""How publishers, workers and beat reach the broker."""

from typing import Final

from celery import Celery

QUEUE: Final = "scalecommerce"
MOST_WAITING: Final = 1_000
"""Messages in the queue. They only say that there is work, so beyond that none more is sent."""


def connected(redis_url: str) -> Celery:
    """An application without tasks: enough to send messages."""
    app = Celery("scalecommerce", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        # With the broker down a publisher must fail at once instead of holding its thread for seconds.
        broker_transport_options={"max_retries": 0, "socket_timeout": 5, "socket_connect_timeout": 2},
    )
    return app
