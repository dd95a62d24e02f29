"""The thread of a process that opens the search index, keeps it up to date, and has it built when none is usable."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import psycopg

from adapters.db.core.change_notifications import LogPosition
from adapters.db.queries.search.index.files import IndexDirectory, IndexFiles
from adapters.db.queries.search.index.freshness import FreshIndex
from adapters.db.queries.search.index.product_index import ProductIndex
from adapters.db.queries.search.index.source import IndexSource
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import ChangeListener

logger = logging.getLogger(__name__)

TIERS_SECONDS: Final = 300.0
"""Interval at which the popularity tiers are read again: their changes are not notified. A task changes them every ten
minutes."""
LOOK_SECONDS: Final = 5.0
"""Interval at which a process with an index looks for a newer one."""
WAIT_SECONDS: Final = 0.5
"""The same for a process without an index."""
RETRY_SECONDS: Final = 30.0
"""Pause between two attempts to build."""
REBUILD_SECONDS: Final = 3600.0
REBUILD_SHARE: Final = 0.02
"""An index of this age is rebuilt if more than this share of its products has changed."""
REBUILD_SHARE_AT_ONCE: Final = 0.1
"""An index of any age is rebuilt if more than this share of its products has changed."""
MIN_CHANGED: Final = 2_000
"""An index is not rebuilt for fewer changed products."""
CHANGES_AT_OPENING: Final = 500
"""An index that lacks more changes than this is brought up to date before it replaces the former one."""


MAX_ROUNDS: Final = 3
"""How often the changes during the reading of the changes before are read, before an index is used."""


class CatalogLog(Protocol):
    """What the index needs of `PostgresCatalogFeed`."""

    @property
    def position(self) -> LogPosition | None: ...

    def report_since(self, position: LogPosition, listener: ChangeListener) -> bool: ...


class Build(Protocol):
    """A running build: a `subprocess.Popen`."""

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class IndexMaintainer:
    """Changes `fresh`, which must follow the same feed as `log`.

    `open_directory` returns where the files are, or raises `MarketError` or OSError. `start_build` starts a process
    that calls `IndexDirectory.build`; it returns None if another process of this host builds at the moment.
    """

    def __init__(
        self,
        fresh: FreshIndex,
        source: IndexSource,
        log: CatalogLog,
        open_directory: Callable[[], IndexDirectory],
        start_build: Callable[[IndexDirectory], Build | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fresh = fresh
        self._source = source
        self._log = log
        self._open_directory = open_directory
        self._start_build = start_build
        self._clock = clock
        self._directory: IndexDirectory | None = None
        self._opened: IndexFiles | None = None
        self._unusable: set[str] = set()
        self._build: Build | None = None
        self._build_at = float("-inf")
        self._tiers_at = float("-inf")
        self._look_at = float("-inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_error = ""

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="search-index", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and a build that it has started."""
        self._stopping.set()
        self._fresh.stop()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._build is not None:
            self._build.kill()
            self._build.wait()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step()
                self._last_error = ""
            except (MarketError, psycopg.Error, OSError, ValueError) as error:
                self._report(error)
                self._stopping.wait(WAIT_SECONDS)
            except Exception as error:
                # No caller could handle the error. Searches are answered by statements meanwhile.
                if str(error) != self._last_error:
                    logger.exception("the search index failed and is rebuilt")
                self._last_error = str(error)
                self._discard()
                self._stopping.wait(WAIT_SECONDS)
            else:
                self._fresh.wait_for_work(LOOK_SECONDS if self._fresh.index is not None else WAIT_SECONDS)

    def _report(self, error: Exception) -> None:
        if str(error) != self._last_error:
            logger.warning("the search index is not updated; searches run in PostgreSQL: %s", error)
        self._last_error = str(error)

    def step(self) -> None:
        """Do what is due now."""
        if self._log.position is None:
            return
        if self._fresh.has_gap:
            self._fill_gap()
        self._apply_changes()
        if self._fresh.index is not None and self._clock() >= self._tiers_at:
            self.refresh_tiers()
        if self._fresh.index is None or self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_SECONDS
            self._open_newer()
            self._build_if_due()

    def refresh_tiers(self) -> None:
        """Read the popularity tiers of all products."""
        # A failed reading is not repeated at once.
        self._tiers_at = self._clock() + RETRY_SECONDS
        index = self._fresh.index
        if index is not None:
            self._fresh.replace(index.with_tiers(*self._source.read_tiers()))
        self._tiers_at = self._clock() + TIERS_SECONDS

    def _apply_changes(self) -> None:
        while (due := self._fresh.take()) is not None:
            index = self._fresh.index
            if index is None:
                self._fresh.give_back(due)
                return
            try:
                index = self._read_again(index, due.products)
                if due.prices:
                    index = index.with_prices(*self._source.read_prices(due.prices))
            except BaseException:
                self._fresh.give_back(due)
                raise
            self._fresh.finish(due, index)

    def _read_again(self, index: ProductIndex, products: frozenset[ProductId]) -> ProductIndex:
        if not products:
            return index
        rows = self._source.read_products(products)
        return index.with_changes(rows, products.difference(row[0] for row in rows))

    def _fill_gap(self) -> None:
        """Read the changes that the feed has missed; discard the index if they are unknown."""
        if self._opened is None:
            return
        starts = self._fresh.feed_starts
        position = LogPosition(self._fresh.horizon, self._opened.position.instance)
        if self._log.report_since(position, self._fresh):
            self._fresh.fill_gap(position.number, starts)
        else:
            logger.info("the search index is rebuilt, because changes may have been missed")
            self._discard()

    def _discard(self) -> None:
        self._fresh.close()
        if self._opened is not None:
            self._unusable.add(self._opened.path.name)
            self._opened = None

    # --- files

    def _open_newer(self) -> None:
        """Open the newest files, unless they are in use or too old."""
        position = self._log.position
        if self._directory is None:
            self._directory = self._open_directory()
            self._directory.prepare()
        found = None if position is None else self._directory.newest(position.instance)
        if found is None or found.path.name in self._unusable:
            return
        opened = self._opened if self._fresh.index is not None else None
        if opened is not None and found.position.number <= opened.position.number:
            return
        starts = self._fresh.feed_starts
        try:
            is_open = self._open(found, starts)
        except (MarketError, psycopg.Error):
            # The next attempt may succeed.
            raise
        except Exception:
            # Damaged files are not opened twice: others are built.
            self._unusable.add(found.path.name)
            raise
        if is_open:
            self._opened = found
            self._unusable.clear()
        elif starts == self._fresh.feed_starts:
            self._unusable.add(found.path.name)

    def _open(self, files: IndexFiles, starts: int) -> bool:
        """Replace the index by that of the files; return whether the changes that they lack are known.

        Without success if the feed does not have the given number of starts any more: the changes that it has missed
        could be among them.
        """
        begun, base = self._clock(), files.position.number
        if self._fresh.is_too_old(base):
            return False
        if not self._fresh.records_from(base):
            if not self._log.report_since(files.position, self._fresh):
                return False
            self._fresh.fill_gap(base, starts)
        if self._fresh.is_too_old(base):
            return False
        index, horizon = ProductIndex.of(files.open()), base
        for _ in range(MAX_ROUNDS):
            # Everything below this number has been reported before the products are chosen.
            position = self._log.position
            changed = self._fresh.changed_since(horizon)
            if position is None or position.instance != files.position.instance or len(changed) <= CHANGES_AT_OPENING:
                break
            index = self._read_again(index, changed)
            horizon = max(horizon, position.number)
        index = index.with_tiers(*self._source.read_tiers())
        if not self._fresh.open_at(horizon, index, base=base, feed_starts=starts):
            return False
        self._tiers_at = self._clock() + TIERS_SECONDS
        logger.info(
            "the search index is ready: %d products, %.0f MB, opened in %.1f s",
            index.documents, index.nbytes / 1e6, self._clock() - begun,
        )  # fmt: skip
        return True

    def _build_if_due(self) -> None:
        if self._build is not None:
            status = self._build.poll()
            if status is None:
                return
            self._build = None
            if status != 0:
                logger.error("the search index was not built (exit status %d); the next attempt follows", status)
        is_due = self._is_build_due() and self._clock() >= self._build_at
        if is_due and self._directory is not None and not self._stopping.is_set():
            self._build_at = self._clock() + RETRY_SECONDS
            self._build = self._start_build(self._directory)

    def _is_build_due(self) -> bool:
        index = self._fresh.index
        if index is None or self._opened is None:
            return True
        changed = max(index.added, index.deleted)
        if changed < MIN_CHANGED:
            return False
        is_old = time.time() - self._opened.built_at > REBUILD_SECONDS
        return changed > index.documents * (REBUILD_SHARE if is_old else REBUILD_SHARE_AT_ONCE)
