"""The connection of publishers, workers and beat to the broker."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from attrs import field, frozen
from celery import Celery

from adapters.tasks import redis_transport

QUEUE: Final = "scalecommerce"
MAX_QUEUED_MESSAGES: Final = 1_000
"""Publishers send no message while the queue holds this many: messages carry no data, so more would do no more work."""
_VERIFIED: Final = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}


@frozen
class Broker:
    """The URL of the broker in Celery's form, and `broker_transport_options` that belong to it."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, broker: "Broker | str") -> "Broker":
        """The broker of a URL."""
        return cls(broker) if isinstance(broker, str) else broker


def create_publisher(broker: Broker | str) -> Celery:
    """Return an application without tasks, which can send messages. It verifies the certificate of `rediss://` URLs."""
    # Before the first connection: kombu keeps the transport that it finds then for the rest of the process.
    redis_transport.install()
    broker = Broker.of(broker)
    app = Celery("scalecommerce", broker=_verified(broker.url), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        # While the broker is away a publisher must fail at once instead of blocking its thread for seconds.
        broker_transport_options={
            "max_retries": 0,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            **broker.options,
        },
    )
    return app


def worker_name(host: str) -> str:
    """The node name of the worker of a host."""
    return f"scalecommerce@{host}"


def is_worker_alive(broker: Broker | str, name: str, timeout: float) -> bool:
    """Whether the worker with this node name answers within `timeout` seconds."""
    with create_publisher(broker) as app, app.connection_for_write() as connection:
        return bool(app.control.ping([name], timeout=timeout, connection=connection))


def _verified(url: str) -> str:
    """The URL with the parameters that make Celery verify certificate and host name, as redis-py does without them.

    Parameters that it has already have precedence.
    """
    if not url.startswith("rediss:"):
        return url
    parts = urlsplit(url)
    given = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = urlencode({name: value for name, value in _VERIFIED.items() if name not in given})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))
