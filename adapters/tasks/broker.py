"""The connection of publishers, workers and beat to the broker."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from celery import Celery

QUEUE: Final = "scalecommerce"
MAX_QUEUED_MESSAGES: Final = 1_000
"""Publishers send no message while the queue holds this many: messages carry no data, so more would do no more work."""
_VERIFIED: Final = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}


def create_publisher(redis_url: str) -> Celery:
    """Return an application without tasks, which can send messages. It verifies the certificate of `rediss://` URLs."""
    app = Celery("scalecommerce", broker=_verified(redis_url), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        # While the broker is away a publisher must fail at once instead of blocking its thread for seconds.
        broker_transport_options={"max_retries": 0, "socket_timeout": 5, "socket_connect_timeout": 2},
    )
    return app


def worker_name(host: str) -> str:
    """The node name of the worker of a host."""
    return f"scalecommerce@{host}"


def is_worker_alive(redis_url: str, name: str, timeout: float) -> bool:
    """Whether the worker with this node name answers within `timeout` seconds."""
    with create_publisher(redis_url) as app, app.connection_for_write() as connection:
        return bool(app.control.ping([name], timeout=timeout, connection=connection))


def _verified(url: str) -> str:
    """The URL with the parameters that make Celery verify certificate and host name, as redis-py does without them.

    Parameters that it has already have precedence.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    given = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = urlencode({name: value for name, value in _VERIFIED.items() if name not in given})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))
