"""The pool of connections writes no log at INFO."""

import logging

import pytest

from adapters.db.core.timed_pool import TimedPool


def test_events_of_the_pool_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pool = TimedPool(lambda: pytest.fail("no connection is needed"))
    pool.dispose()
    pool.recreate()
    assert caplog.messages == []
