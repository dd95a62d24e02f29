"""What background jobs do when the store fails them."""

import pytest

from adapters.tasks.jobs import Jobs
from scalecommerce_core.domain.errors import ConnectionLost, Unavailable
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.testing import MemoryStore, MemoryViewCounter, in_memory_market
from tests.unit.core.tampering import TamperedStore, failing


def jobs_over(views: MemoryViewCounter, *errors: Exception) -> Jobs:
    memory = MemoryStore()
    market = in_memory_market(memory=memory, store=TamperedStore(memory, before=failing(*errors)))
    return Jobs(market, views, lambda: None)


def test_views_that_cannot_be_written_wait() -> None:
    views = MemoryViewCounter()
    jobs = jobs_over(views, Unavailable("away"))
    for product in (1, 1, 2):
        views.viewed(ProductId(product))
    jobs.flush_views()
    views.viewed(ProductId(2))
    assert views.drain() == {1: 2, 2: 2}


def test_views_that_may_have_been_written_are_not_written_again() -> None:
    views = MemoryViewCounter()
    jobs = jobs_over(views, ConnectionLost("broken"))
    views.viewed(ProductId(1))
    with pytest.raises(ConnectionLost):
        jobs.flush_views()
    assert views.drain() == {}
