"""The task that flushes views, when the store fails or the process dies."""

import pytest
from attrs import evolve

from adapters.tasks.tasks import BackgroundTasks
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


def tasks(memory: MemoryStore, views: ViewCounter, store: Store | None = None) -> BackgroundTasks:
    return BackgroundTasks(in_memory_market(memory=memory, store=store or memory), views, lambda: None)


def counted(memory: MemoryStore, product: ProductId) -> int:
    return MemoryQueries(memory).products([product])[product].count_viewed


def test_views_wait_while_the_store_is_away(memory: MemoryStore, product: ProductId) -> None:
    views = MemoryViewCounter()
    views.record_view(product)
    tasks(memory, views, TamperedStore(memory, before=failing(Unavailable("away")))).flush_views()
    assert counted(memory, product) == 0
    views.record_view(product)
    tasks(memory, views).flush_views()
    assert counted(memory, product) == 2
    assert views.next_batch() is None


def test_views_in_the_redis_of_another_installation_stay_there(memory: MemoryStore, product: ProductId) -> None:
    views = MemoryViewCounter()
    views.record_view(product)
    is_ours = [False]
    flushing = evolve(tasks(memory, views), has_redis=lambda: is_ours[0])
    flushing.flush_views()
    assert counted(memory, product) == 0
    is_ours[0] = True
    flushing.flush_views()
    assert counted(memory, product) == 1


def test_a_batch_counts_once_when_the_reply_to_its_commit_is_lost(memory: MemoryStore, product: ProductId) -> None:
    views = MemoryViewCounter()
    views.record_view(product)
    store = TamperedStore(memory, after=failing(ConnectionLost("broken")))
    tasks(memory, views, store).flush_views()
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
def test_a_batch_counts_once_when_the_process_dies_at_any_seam(
    memory: MemoryStore, product: ProductId, seam: str
) -> None:
    views = MemoryViewCounter()
    for _ in range(3):
        views.record_view(product)
    dying = Seams(FailPoints(lambda reached: reached == seam, crash))
    with pytest.raises(Crash):
        tasks(memory, dying.port("views", views), dying.store(memory)).flush_views()
    views.record_view(product)
    tasks(memory, views).flush_views()
    assert counted(memory, product) == 4
    assert views.next_batch() is None
