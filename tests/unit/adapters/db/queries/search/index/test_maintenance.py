"""Which files the maintainer of the search index opens, and when it has new ones built."""

from collections.abc import Callable, Collection
from typing import Any, cast

import numpy as np
import pytest
from attrs import define, field

from adapters.db.core.change_notifications import LogPosition
from adapters.db.queries.search.index.building import SegmentBuilder
from adapters.db.queries.search.index.files import IndexDirectory, IndexFiles
from adapters.db.queries.search.index.freshness import FreshIndex
from adapters.db.queries.search.index.maintenance import CHANGES_AT_OPENING, RETRY_SECONDS, IndexMaintainer
from adapters.db.queries.search.index.product_row import ProductRow
from adapters.db.queries.search.index.segment import Segment
from adapters.db.queries.search.index.source import IndexSource
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import CatalogChange, ChangeListener

MANY = range(1, CHANGES_AT_OPENING + 2)


def nothing() -> None:
    """What happens while files are opened."""


@define
class Files:
    """Files with the number of their snapshot; `during` is called while they are opened."""

    position: LogPosition
    path: Any
    during: Callable[[], None] = nothing
    built_at: float = 0.0

    def open(self) -> Segment:
        self.during()
        return SegmentBuilder().build()


@define
class FilePath:
    name: str


@define
class Site:
    """The maintainer of a process with a feed, a database and a directory that the test controls."""

    now: float = 100.0
    position: LogPosition | None = None
    log_is_complete: bool = True
    files: Files | None = None
    builds: int = 0
    failure: Exception | None = None
    read: list[int] = field(factory=list)
    fresh: FreshIndex = field(init=False)
    maintainer: IndexMaintainer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fresh = FreshIndex(lambda: None if self.position is None else self.position.number, lambda: self.now)
        self.maintainer = IndexMaintainer(
            self.fresh,
            cast(IndexSource, self),
            self,
            lambda: cast(IndexDirectory, self),
            self._start_build,
            clock=lambda: self.now,
        )

    # --- the log and the directory

    def report_since(self, _position: LogPosition, _listener: ChangeListener) -> bool:
        return self.log_is_complete

    def prepare(self) -> None:
        """The directory exists."""

    def newest(self, instance: bytes) -> IndexFiles | None:
        assert instance == b"server"
        return cast("IndexFiles | None", self.files)

    def _start_build(self, _directory: IndexDirectory) -> None:
        self.builds += 1

    # --- the database

    def read_products(self, ids: Collection[int]) -> list[ProductRow]:
        self.read += ids
        return [ProductRow(id_, 1, "", 1, 500, "USD", 1, 0, "'tea':1A") for id_ in ids]

    def read_tiers(self) -> tuple[np.ndarray, np.ndarray]:
        if self.failure is not None:
            raise self.failure
        return np.empty(0, np.int64), np.empty(0, np.uint8)

    # --- events

    def start(self, number: int) -> None:
        self.fresh.on_start(number)
        self.position = LogPosition(number, b"server")

    def beat(self, number: int) -> None:
        self.position = LogPosition(number, b"server")
        self.fresh.on_heartbeat(self.now)

    def built(self, number: int, during: Callable[[], None] = nothing) -> None:
        self.files = Files(LogPosition(number, b"server"), FilePath(f"files {number}"), during)

    def change(self, number: int, *products: int) -> None:
        self.fresh.on_change(CatalogChange(number, frozenset(map(ProductId, products))))

    def answers(self) -> bool:
        return self.fresh.current() is not None


@pytest.fixture
def site() -> Site:
    """A site with an index of number 20."""
    site = Site()
    site.start(10)
    site.built(20)
    site.maintainer.step()
    site.beat(30)
    assert site.answers()
    return site


def test_a_change_of_everything_needs_other_files(site: Site) -> None:
    site.change(31, *MANY)
    site.maintainer.step()
    site.fresh.on_change(CatalogChange(40, everything=True))
    site.beat(50)
    site.maintainer.step()
    assert not site.answers()
    assert site.builds == 1
    site.built(51)
    site.maintainer.step()
    site.beat(60)
    assert site.answers()


def test_a_process_that_starts_does_not_open_files_from_before_a_change_of_everything() -> None:
    site = Site()
    site.start(10)
    site.fresh.on_change(CatalogChange(40, everything=True))
    site.change(41, *MANY)
    site.beat(50)
    site.built(20)
    site.maintainer.step()
    assert (site.fresh.index, site.read) == (None, [])
    assert site.builds == 1


def test_a_change_during_an_interruption_while_files_are_opened_is_read() -> None:
    site = Site()
    site.start(10)
    site.change(21, *MANY)

    def interrupt() -> None:
        # The change 80 is reported by nobody.
        site.start(90)

    site.built(20, interrupt)
    site.maintainer.step()
    assert site.fresh.index is None
    assert not site.answers()
    # The log is asked for what the feed has missed.
    assert site.files is not None
    site.files.during = nothing
    asked: list[int] = []

    def report_since(position: LogPosition, _listener: ChangeListener) -> bool:
        asked.append(position.number)
        site.change(80, 7777)
        return True

    cast(Any, site.maintainer)._log = cast(Any, _Log(site, report_since))
    site.maintainer.step()
    site.maintainer.step()
    assert asked == [20]
    assert 7777 in site.read
    site.beat(100)
    assert site.answers()


@define
class _Log:
    site: Site
    report_since: Callable[[LogPosition, ChangeListener], bool]

    @property
    def position(self) -> LogPosition | None:
        return self.site.position


def test_a_failed_statement_does_not_discard_the_files() -> None:
    site = Site()
    site.start(10)
    site.built(20)
    site.failure = Unavailable("The database does not answer.")
    with pytest.raises(Unavailable):
        site.maintainer.step()
    site.failure = None
    site.maintainer.step()
    site.beat(30)
    assert site.answers()
    assert site.builds == 0


def test_a_failed_reading_of_the_tiers_is_repeated_later(site: Site) -> None:
    site.failure = Unavailable("The statement took too long.")
    with pytest.raises(Unavailable):
        site.maintainer.refresh_tiers()
    site.maintainer.step()
    site.now += RETRY_SECONDS
    with pytest.raises(Unavailable):
        site.maintainer.step()


def test_files_whose_later_changes_are_unknown_are_replaced() -> None:
    site = Site(log_is_complete=False)
    site.start(30)
    site.built(20)
    site.maintainer.step()
    assert site.fresh.index is None
    assert site.builds == 1
