"""The connection of publishers to the broker."""

import kombu.transport
import pytest

from adapters.tasks import redis_transport
from adapters.tasks.broker import create_publisher


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kombu knows its own transports only, and has resolved none."""
    for alias in ("redis", "rediss"):
        monkeypatch.setitem(kombu.transport.TRANSPORT_ALIASES, alias, "kombu.transport.redis:Transport")
    monkeypatch.setitem(kombu.transport.TRANSPORT_ALIASES, "sentinel", "kombu.transport.redis:SentinelTransport")
    monkeypatch.setattr(kombu.transport, "_transport_cache", {})


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://localhost/0", redis_transport.Transport),
        ("rediss://localhost/0", redis_transport.Transport),
        ("sentinel://localhost/0", redis_transport.SentinelTransport),
    ],
)
def test_publishers_use_the_transport_of_workers(url: str, transport: type) -> None:
    """A process that publishes first and consumes later keeps the transport of its first connection."""
    assert create_publisher(url).connection_for_write().get_transport_cls() is transport
