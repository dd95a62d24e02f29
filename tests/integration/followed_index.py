"""A search index that its own thread keeps up to date, as in an API process; it is built in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen
from sqlalchemy import Engine

from adapters.db.core.change_notifications import PostgresCatalogFeed
from adapters.db.installation import read_installation
from adapters.db.queries.search.index.files import IndexDirectory
from adapters.db.queries.search.index.freshness import FreshIndex
from adapters.db.queries.search.index.maintenance import IndexMaintainer
from adapters.db.queries.search.index.source import IndexSource
from adapters.db.store import PostgresStore
from tests.integration.engine_process import eventually


class ThreadBuild:
    """A build in a thread instead of a process."""

    def __init__(self, engine: Engine, directory: IndexDirectory) -> None:
        self._thread = threading.Thread(target=directory.build, args=(engine,))
        self._thread.start()

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def kill(self) -> None:
        """A thread cannot be ended."""

    def wait(self) -> int:
        self._thread.join()
        return 0


@frozen
class FollowedIndex:
    """`store` reports its changes as a process does its own; `fresh` is for queries."""

    store: PostgresStore
    feed: PostgresCatalogFeed
    fresh: FreshIndex
    maintainer: IndexMaintainer

    def await_ready(self) -> None:
        """Wait until the index answers."""
        eventually(lambda: self.fresh.current() is not None, "the index")


@contextmanager
def followed_index(engine: Engine, directory: Path) -> Iterator[FollowedIndex]:
    """Start the feed and the thread of an index whose files are in the directory."""
    feed = PostgresCatalogFeed(engine)
    fresh = FreshIndex(lambda: feed.reported_below)
    fresh.keep_alive = feed.keep_alive
    maintainer = IndexMaintainer(
        fresh,
        IndexSource(engine),
        feed,
        lambda: IndexDirectory(directory, read_installation(engine)),
        lambda found: ThreadBuild(engine, found),
    )
    feed.follow(fresh)
    maintainer.start()
    try:
        yield FollowedIndex(PostgresStore(engine, feed.announce, feed.announce_access), feed, fresh, maintainer)
    finally:
        maintainer.close()
        feed.close()
