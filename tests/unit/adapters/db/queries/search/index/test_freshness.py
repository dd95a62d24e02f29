"""When the search index of a process may answer, and what it reads again."""

import random
import threading
from collections.abc import Callable, Iterable
from typing import Final, cast

import pytest

from adapters.db.queries.search.index.freshness import MAX_INDEX_AGE, MAX_PENDING, FreshIndex
from adapters.db.queries.search.index.product_index import ProductIndex
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange, ProductAspect

INDEX: Final = cast(ProductIndex, object())
ANY_PRODUCT: Final = None


class Site:
    """A feed whose reads report everything below `position`, and the index of one process."""

    def __init__(self) -> None:
        self.now = 100.0
        self.position: int | None = None
        self.fresh = FreshIndex(lambda: self.position, lambda: self.now)

    def start(self, number: int = 10) -> None:
        self.position = number
        self.fresh.on_start(number)

    def beat(self, position: int) -> None:
        self.position = position
        self.fresh.on_heartbeat(self.now)

    def open(self, horizon: int = 10) -> None:
        assert self.opens_at(horizon)

    def opens_at(self, horizon: int, base: int | None = None) -> bool:
        files = horizon if base is None else base
        return self.fresh.open_at(horizon, INDEX, base=files, feed_starts=self.fresh.feed_starts)

    def apply(self) -> None:
        due = self.fresh.take()
        assert due is not None
        self.fresh.finish(due, INDEX)

    def answers(self) -> bool:
        return self.fresh.current() is not None

    def has_gap(self) -> bool:
        return self.fresh.has_gap


def change(number: int, *products: int, aspects: Iterable[ProductAspect] | None = None) -> CatalogChange:
    scopes = None if aspects is None else dict.fromkeys(aspects, ANY_PRODUCT)
    return CatalogChange(number, frozenset(map(ProductId, products)), aspects=scopes)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def ready(site: Site) -> Site:
    """A site whose index has the horizon 20."""
    site.start()
    site.open()
    site.beat(20)
    assert site.answers()
    return site


def test_nothing_is_answered_before_a_heartbeat(site: Site) -> None:
    assert not site.opens_at(10)
    site.start()
    site.open()
    assert not site.answers()
    site.beat(20)
    assert site.answers()
    assert site.fresh.horizon == 20


def test_a_heartbeat_is_valid_for_a_time(ready: Site) -> None:
    ready.now += MAX_INDEX_AGE
    assert ready.answers()
    ready.now += 0.01
    assert not ready.answers()
    ready.beat(20)
    assert ready.answers()


def test_readers_request_heartbeats(ready: Site) -> None:
    requests: list[int] = []
    ready.fresh.keep_alive = lambda: requests.append(1)
    ready.fresh.current()
    ready.fresh.choose_list_horizon()
    assert len(requests) == 2


def test_a_change_by_another_process_may_be_missing_for_a_time(ready: Site) -> None:
    ready.fresh.on_change(change(25, 1))
    assert ready.answers()
    ready.beat(30)
    assert ready.answers()
    ready.now += MAX_INDEX_AGE + 0.01
    ready.beat(31)
    assert not ready.answers()
    ready.apply()
    assert ready.answers()
    assert ready.fresh.horizon == 31


def test_a_change_by_this_process_is_included_at_once(ready: Site) -> None:
    ready.fresh.on_local_change(change(25, 1))
    assert not ready.answers()
    ready.apply()
    assert ready.answers()
    # Only a heartbeat proves that no other change is missing.
    assert ready.fresh.horizon == 20


def test_a_change_by_this_process_is_read_once(ready: Site) -> None:
    ready.fresh.on_local_change(change(25, 1))
    ready.apply()
    ready.fresh.on_change(change(25, 1))
    assert ready.fresh.take() is None
    ready.fresh.on_change(change(26, 1))
    assert ready.fresh.take() is not None


def test_a_reader_waits_for_a_change_by_this_process(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.db.queries.search.index.freshness.LOCAL_CHANGE_SECONDS", 60.0)
    ready.fresh.on_local_change(change(25, 1))
    due = ready.fresh.take()
    assert due is not None
    found: list[ProductIndex | None] = []
    reader = threading.Thread(target=lambda: found.append(ready.fresh.current()))
    reader.start()
    ready.fresh.finish(due, INDEX)
    reader.join()
    assert found == [INDEX]


def test_a_heartbeat_during_the_reading_counts_afterwards(ready: Site) -> None:
    ready.fresh.on_change(change(25, 1))
    due = ready.fresh.take()
    assert due is not None
    ready.beat(30)
    assert ready.fresh.horizon == 20
    ready.fresh.finish(due, INDEX)
    assert ready.fresh.horizon == 30


def test_changes_during_the_reading_keep_the_horizon(ready: Site) -> None:
    ready.fresh.on_change(change(25, 1))
    due = ready.fresh.take()
    assert due is not None
    ready.fresh.on_change(change(28, 2))
    ready.beat(30)
    ready.fresh.finish(due, INDEX)
    assert ready.fresh.horizon == 20
    ready.apply()
    assert ready.fresh.horizon == 30


def test_changes_that_could_not_be_made_are_given_back(ready: Site) -> None:
    ready.fresh.on_change(change(25, 1))
    ready.fresh.on_change(change(26, 2, aspects=[ProductAspect.PRICE]))
    due = ready.fresh.take()
    assert due is not None
    ready.fresh.give_back(due)
    again = ready.fresh.take()
    assert again is not None
    assert set(again.products) == {1}
    assert set(again.prices) == {2}


@pytest.mark.parametrize("aspects", [[], [ProductAspect.SOLD_OUT], [ProductAspect.RESTOCKED, ProductAspect.SOLD_OUT]])
def test_changes_of_stock_do_not_concern_the_index(ready: Site, aspects: list[ProductAspect]) -> None:
    ready.fresh.on_local_change(change(25, 1, aspects=aspects))
    assert ready.answers()
    assert ready.fresh.take() is None


def test_only_the_price_is_read_again_if_nothing_else_changed(ready: Site) -> None:
    ready.fresh.on_change(change(25, 1, 2, aspects=[ProductAspect.PRICE, ProductAspect.SOLD_OUT]))
    ready.fresh.on_change(change(26, 2, aspects=[ProductAspect.TEXT]))
    due = ready.fresh.take()
    assert due is not None
    assert set(due.products) == {2}
    assert set(due.prices) == {1}


def test_a_seller_does_not_concern_the_index(ready: Site) -> None:
    ready.fresh.on_local_change(CatalogChange(25, sellers=frozenset([AccountId(1)])))
    assert ready.answers()


def _change_everything(site: Site) -> None:
    site.fresh.on_change(CatalogChange(25, everything=True))


def _change_too_many(site: Site) -> None:
    site.fresh.on_change(change(25, *range(MAX_PENDING + 1)))


@pytest.mark.parametrize("act", [_change_everything, _change_too_many])
def test_an_index_that_lacks_too_much_is_replaced(ready: Site, act: Callable[[Site], None]) -> None:
    act(ready)
    assert not ready.answers()
    assert ready.fresh.index is None
    assert not ready.opens_at(25)
    assert ready.opens_at(26)
    ready.beat(30)
    assert ready.answers()


def test_files_from_before_a_change_of_everything_are_not_opened(ready: Site) -> None:
    _change_everything(ready)
    ready.fresh.on_change(change(27, 1))
    ready.beat(30)
    assert ready.fresh.is_too_old(20)
    # Although the products that are known to have changed were read again.
    assert not ready.opens_at(30, base=20)


def test_an_index_is_not_opened_if_the_feed_was_interrupted_meanwhile(ready: Site) -> None:
    starts = ready.fresh.feed_starts
    ready.start(40)
    ready.beat(40)
    assert not ready.fresh.open_at(40, INDEX, base=20, feed_starts=starts)


def test_a_change_of_everything_during_the_reading_does_not_block_the_next_index(ready: Site) -> None:
    ready.fresh.on_change(change(24, 1))
    assert ready.fresh.take() is not None
    _change_everything(ready)
    ready.open(26)
    ready.beat(30)
    assert ready.answers()


def test_too_many_recorded_changes_leave_the_index_open(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.db.queries.search.index.freshness.MAX_RECORDED", 3)
    for number in range(21, 26):
        ready.fresh.on_change(change(number, number, aspects=[ProductAspect.PRICE]))
        ready.apply()
    ready.beat(30)
    assert ready.answers()
    assert not ready.fresh.records_from(21)
    assert ready.fresh.records_from(30)


def test_a_new_index_lacks_the_changes_since_it_was_built(ready: Site) -> None:
    for number in (21, 25, 29):
        ready.fresh.on_change(change(number, number))
        ready.apply()
    assert ready.fresh.changed_since(25) == {25, 29}
    assert ready.opens_at(25)
    due = ready.fresh.take()
    assert due is not None
    assert due.products == {25, 29}
    assert not ready.opens_at(9)


def test_an_interruption_of_the_feed_leaves_a_gap(ready: Site) -> None:
    ready.start(40)
    ready.beat(41)
    assert ready.has_gap()
    assert not ready.answers()
    starts = ready.fresh.feed_starts
    ready.fresh.on_change(change(35, 7))
    ready.fresh.fill_gap(20, starts)
    assert not ready.has_gap()
    ready.apply()
    ready.beat(42)
    assert ready.answers()


def test_a_second_interruption_leaves_a_second_gap(ready: Site) -> None:
    ready.start(40)
    starts = ready.fresh.feed_starts
    ready.start(50)
    ready.fresh.fill_gap(20, starts)
    assert ready.has_gap()


def test_lists_that_are_cached_include_what_their_horizon_says(ready: Site) -> None:
    assert ready.fresh.choose_list_horizon() == 20
    ready.fresh.use_list_horizon(25)
    assert not ready.answers()
    assert ready.fresh.choose_list_horizon() is None
    ready.beat(24)
    assert not ready.answers()
    ready.beat(25)
    assert ready.answers()
    assert ready.fresh.choose_list_horizon() == 25


def test_the_horizon_is_never_above_a_change_that_is_missing() -> None:
    """Random orders of commits, reports, heartbeats, readings and new indexes."""
    for seed in range(200):
        chance = random.Random(seed)
        site, included = Site(), dict[int, int]()
        site.start(1)
        committed: list[tuple[int, int]] = []
        reported, number = 0, 1
        due, contents = None, dict[int, int]()
        site.open(1)
        for _ in range(60):
            act = chance.randrange(5)
            if act == 0:
                number += 1
                committed.append((number, chance.randrange(4)))
            elif act == 1:
                # A read of the log reports everything that was committed before it, and is a heartbeat.
                for each, product in committed[reported:]:
                    site.fresh.on_change(change(each, product))
                reported = len(committed)
                site.beat(number + 1)
            elif act == 2 and due is None:
                due = site.fresh.take()
                contents = dict(included)
                for each, product in committed:
                    if due is not None and product in due.products:
                        contents[product] = each
            elif act == 3 and due is not None:
                included = contents
                site.fresh.finish(due, INDEX)
                due = None
            elif act == 4 and due is None and chance.random() < 0.2:
                snapshot = chance.randint(max(1, site.fresh.horizon - 5), number + 1)
                if site.opens_at(snapshot):
                    included = {product: each for each, product in committed if each < snapshot}
            for each, product in committed:
                assert each >= site.fresh.horizon or included.get(product, -1) >= each, seed
