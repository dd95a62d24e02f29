"""What the background does with views when the store fails it, or it dies."""

import pytest

from adapters.tasks.tasks import Jobs
from scalecommerce_core.domain.errors import ConnectionLost, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.ports import Store, ViewCounter
from scalecommerce_core.services.catalog import Catalog, CreateProduct
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import MemoryQueries, MemoryStore, MemoryViewCounter, SettableClock, in_memory_market
from scalecommerce_core.testing.failpoints import Crash, FailPoints, Seams, crash
from tests.unit.support.tampering import TamperedStore, failing


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def product(memory: MemoryStore) -> ProductId:
    made = Catalog(memory, SettableClock()).create_products(
        [CreateProduct(AccountId(1), CategoryId(1), "Tea pot", Money(1000, "USD"))]
    )
    return unwrap_single(made).product.id


def jobs(memory: MemoryStore, views: ViewCounter, store: Store | None = None) -> Jobs:
    return Jobs(in_memory_market(memory=memory, store=store or memory), views, lambda: None)


def counted(memory: MemoryStore, product: ProductId) -> int:
    return MemoryQueries(memory).products([product])[product].count_viewed


def test_views_that_cannot_be_written_wait(memory: MemoryStore, product: ProductId) -> None:
    views = MemoryViewCounter()
    views.record_view(product)
    jobs(memory, views, TamperedStore(memory, before=failing(Unavailable("away")))).flush_views()
    assert counted(memory, product) == 0
    views.record_view(product)
    jobs(memory, views).flush_views()
    assert counted(memory, product) == 2
    assert views.next_batch() is None


def test_a_lost_answer_to_the_commit_counts_nothing_twice(memory: MemoryStore, product: ProductId) -> None:
    views = MemoryViewCounter()
    views.record_view(product)
    store = TamperedStore(memory, after=failing(ConnectionLost("broken")))
    jobs(memory, views, store).flush_views()
    assert counted(memory, product) == 1
    assert views.next_batch() is None


@pytest.mark.parametrize(
    "seam",
    [
        "views.next_batch:before", "views.next_batch:after", "begin:before", "products.mark_batch_applied:after",
        "products.add_views:after", "commit:before", "commit:after",
        "views.acknowledge:before", "views.acknowledge:after",
    ],
)  # fmt: skip
def test_who_dies_anywhere_loses_nothing_and_counts_nothing_twice(
    memory: MemoryStore, product: ProductId, seam: str
) -> None:
    views = MemoryViewCounter()
    for _ in range(3):
        views.record_view(product)
    dying = Seams(FailPoints(lambda reached: reached == seam, crash))
    with pytest.raises(Crash):
        jobs(memory, dying.port("views", views), dying.store(memory)).flush_views()
    views.record_view(product)
    jobs(memory, views).flush_views()
    assert counted(memory, product) == 4
    assert views.next_batch() is None
