import signal
import time
from collections.abc import Iterator
from types import FrameType

import pytest
from granian.constants import HTTPModes
from granian.http import HTTP1Settings, HTTP2Settings

from adapters.http.framework.request_limits import HEADER_LIMIT
from entrypoints import settings
from entrypoints.serve import _WakeUp, serve_on


@pytest.fixture
def interrupted() -> Iterator[_WakeUp]:
    """Set by a signal handler many thousand times a second."""
    interrupt = _WakeUp()

    def hear(_number: int, _frame: FrameType | None) -> None:
        interrupt.set()

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.00002, 0.00002)
    yield interrupt
    signal.setitimer(signal.ITIMER_REAL, 0)
    # The last signal may still be on its way to another thread. Without a handler, Python would report an error.
    time.sleep(0.01)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_does_not_deadlock_at_any_moment(interrupted: _WakeUp) -> None:
    """This test hangs with a `threading.Event` instead."""
    for _ in range(5_000):
        interrupted.wait()
        interrupted.set()
        interrupted.clear()


class Started(Exception):
    """Raised instead of serving."""


@pytest.mark.parametrize(("http2", "mode"), [("false", HTTPModes.http1), ("true", HTTPModes.auto)])
def test_http2_is_off_unless_it_is_set(monkeypatch: pytest.MonkeyPatch, http2: str, mode: HTTPModes) -> None:
    given: dict[str, object] = {}

    def server(*_application: object, **options: object) -> None:
        given.update(options)
        raise Started

    monkeypatch.setattr("entrypoints.serve.Server", server)
    monkeypatch.setattr("resource.setrlimit", lambda *_limits: None)
    chosen = settings.load(
        {
            "DATABASE_URL": "postgresql://localhost/shop",
            "REDIS_URL": "redis://localhost",
            "JWT_SECRET": "s" * 32,
            "HTTP2": http2,
            "HEADER_SECONDS": "7",
        }
    )
    with pytest.raises(Started):
        serve_on(chosen, "127.0.0.1", 8000, workers=1)
    http1, bounded = given["http1_settings"], given["http2_settings"]
    assert isinstance(http1, HTTP1Settings)
    assert isinstance(bounded, HTTP2Settings)
    assert given["http"] is mode
    assert (http1.header_read_timeout, http1.max_buffer_size) == (7_000, HEADER_LIMIT)
    assert bounded.max_headers_size == HEADER_LIMIT
    assert bounded.max_concurrent_streams <= 100
