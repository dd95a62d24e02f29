"""Searches, lists and facets over a million products, each alone and under an open load; their slowest, not their mean.

The catalogue's words are as uneven as a language's (Zipf), and so are the terms that are searched for: the most common
word of all is in a sixth of the products. Terms are drawn anew for every request, so that the rare ones are read from
where they lie and not out of a cache of answers.
"""

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from sqlalchemy import Engine

from adapters.db.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import EmbeddedPostgres
from bench.reads_load.catalogue import Words, fill, frequencies
from entrypoints.garbage import collect_seldom
from scalecommerce_core.queries import Facet, Ordering, PageRequest, ProductFilter
from scalecommerce_core.services.searching import Searching

SETTINGS: Final = {"shared_buffers": "2GB", "effective_cache_size": "3GB", "synchronous_commit": "off"}
DEEP: Final = 5_000
LIST_SIZE: Final = 20
RELEVANT: Final = Ordering.RELEVANCE
PARTS: Final = ("closed", "deep", "open")
ANY_WORD: Final = "search, any word"
TYPO: Final = "search, typo"

Read = Callable[[PostgresQueries], object]


@frozen
class Terms:
    """Draws what people type."""

    words: Words
    chance: random.Random
    cumulated: np.ndarray

    def word(self) -> str:
        return self.words.words[int(np.searchsorted(self.cumulated, self.chance.random()))]

    def common(self) -> str:
        return self.words.words[self.chance.randrange(20)]

    def typo(self) -> str:
        while len(word := self.word()) < 4:
            pass
        place = self.chance.randrange(len(word) - 1)
        return self.chance.choice((
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            word[:place] + word[place + 1 :],
            f"{word[:place]}x{word[place:]}",
        ))  # fmt: skip

    def filters(self) -> dict[str, object]:
        chosen: dict[str, object] = {}
        if self.chance.random() < 0.5:
            chosen["categories"] = [self.chance.randint(1, 20)]
        if self.chance.random() < 0.5:
            chosen["price_max"] = self.chance.choice((1000, 3000, 10_000))
        if self.chance.random() < 0.3:
            chosen["in_stock"] = True
        return chosen


def kinds(terms: Terms) -> dict[str, Callable[[], Read]]:
    """What is asked, by name; each call draws anew."""

    def search(text: str, **more: object) -> Read:
        wanted = ProductFilter(search=text, **{"ordering": RELEVANT, **more})  # type: ignore[arg-type]
        return lambda queries: queries.search(wanted, PageRequest(LIST_SIZE))

    def listing(**conditions: object) -> Read:
        wanted = ProductFilter(**conditions)  # type: ignore[arg-type]
        return lambda queries: queries.search(wanted, PageRequest(LIST_SIZE))

    def facets(**conditions: object) -> Read:
        wanted = ProductFilter(**conditions)  # type: ignore[arg-type]
        return lambda queries: queries.facets(wanted, list(Facet))

    orders = [ordering for ordering in Ordering if ordering is not RELEVANT]
    return {
        ANY_WORD: lambda: search(terms.word()),
        "search, the 20 most common words": lambda: search(terms.common()),
        "search, two words": lambda: search(f"{terms.word()} {terms.word()}"),
        "search, word and filters": lambda: search(terms.word(), **terms.filters()),
        "search, word, another order": lambda: search(terms.word(), ordering=terms.chance.choice(orders)),
        TYPO: lambda: search(terms.typo()),
        "search, beginning of a word": lambda: search(terms.word()[:3]),
        "list, filters, any order": lambda: listing(ordering=terms.chance.choice(orders), **terms.filters()),
        "facets of a search": lambda: facets(search=terms.word()),
        "facets of a category": lambda: facets(categories=[terms.chance.randint(1, 20)]),
        "facets of everything": facets,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=500, help="of each kind")
    parser.add_argument("--directory", help="keeps the database there, and uses the one that is there already")
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="one part of the measurement; may be repeated (default: all)"
    )
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s of the open load; half of what is reached")
    arguments = parser.parse_args()
    with _directory(arguments.directory) as directory, EmbeddedPostgres(directory, SETTINGS) as server:
        engine = database_engine(server.url, statement_timeout=None)
        words = Words()
        if not (Path(directory) / "filled").exists():
            _filled(engine, server.url, arguments.products, words)
            (Path(directory) / "filled").touch()
        terms = Terms(words, random.Random(3), frequencies(len(words.words)))
        print(
            f"{arguments.products:,} products; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
        queries = PostgresQueries(engine)
        made = kinds(terms)
        _warm(queries, made, arguments.requests // 4)
        # As in the processes that serve.
        collect_seldom()
        parts = arguments.part or PARTS
        if "closed" in parts:
            _closed(queries, made, arguments.requests)
        if "deep" in parts:
            _deep_pages(queries, words)
        if "open" in parts:
            _open(queries, made, arguments.rate or _capacity(queries, made) / 2, arguments.requests)
        engine.dispose()


@contextmanager
def _directory(given: str | None) -> Iterator[str]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as directory:
        yield directory


def _filled(engine: Engine, url: str, products: int, words: Words) -> None:
    begun = time.perf_counter()
    upgrade(url)
    fill(engine, products, words)
    print(f"filled in {time.perf_counter() - begun:.0f} s")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    begun = time.perf_counter()
    Searching(PostgresStore(engine)).catch_up()
    print(f"words learned and products placed in {time.perf_counter() - begun:.0f} s")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _warm(queries: PostgresQueries, made: dict[str, Callable[[], Read]], requests: int) -> None:
    for draw in made.values():
        for _ in range(requests):
            draw()(queries)


def _closed(queries: PostgresQueries, made: dict[str, Callable[[], Read]], requests: int) -> None:
    print(f"\none after the other, {requests} of each, in ms:     p50      p95      p99  slowest")
    for name, draw in made.items():
        times = [_milliseconds(queries, draw()) for _ in range(requests)]
        print(f"  {name:42} {_row(times)}")


def _capacity(queries: PostgresQueries, made: dict[str, Callable[[], Read]]) -> float:
    """How many searches for any word a second are answered one after the other."""
    return 1000 / statistics.mean(_milliseconds(queries, made[ANY_WORD]()) for _ in range(200))


def _deep_pages(queries: PostgresQueries, words: Words) -> None:
    print(f"\npage 1 and page {DEEP:,}, median of 30, in ms")
    for name, wanted in {
        "newest": ProductFilter(),
        "cheapest": ProductFilter(ordering=Ordering.PRICE),
        "most viewed": ProductFilter(ordering=Ordering.VIEWED_DESC),
        "a common word, by relevance": ProductFilter(search=words.words[0], ordering=RELEVANT),
        "a common word, by price": ProductFilter(search=words.words[0], ordering=Ordering.PRICE),
    }.items():
        request = PageRequest(100)
        for _ in range(DEEP * LIST_SIZE // 100):
            request = PageRequest(100, after=queries.search(wanted, request).next)
        deep = PageRequest(LIST_SIZE, after=request.after)
        first, last = [], []
        for _ in range(30):
            first.append(_timed(partial(queries.search, wanted, PageRequest(LIST_SIZE))))
            last.append(_timed(partial(queries.search, wanted, deep)))
        one, far = statistics.median(first), statistics.median(last)
        print(f"  {name:42} {one:8.2f} {far:8.2f}   {far / one:.2f} x")


def _open(queries: PostgresQueries, made: dict[str, Callable[[], Read]], rate: float, requests: int) -> None:
    """Searches for any word and typos, nine to one, at moments that do not wait for answers."""
    chance = random.Random(4)
    waits: dict[str, list[float]] = {ANY_WORD: [], TYPO: []}
    threads = []
    begin = time.perf_counter() + 0.1
    at = 0.0

    def ask(name: str, read: Read, due: float) -> None:
        time.sleep(max(0.0, due - time.perf_counter()))
        read(queries)
        waits[name].append((time.perf_counter() - due) * 1000)

    for _ in range(requests):
        at += chance.expovariate(rate)
        name = TYPO if chance.random() < 0.1 else ANY_WORD
        threads.append(threading.Thread(target=ask, args=(name, made[name](), begin + at)))
    # No more than a few wait for their moment at a time.
    waiting: list[threading.Thread] = []
    for thread in threads:
        thread.start()
        waiting.append(thread)
        while len(waiting) > 16:
            waiting.pop(0).join()
    for thread in waiting:
        thread.join()
    print(f"\nopen load of {rate:.0f} searches/s, from the moment each was due, in ms:")
    for name, times in waits.items():
        print(f"  {name:42} {_row(times)}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


def _milliseconds(queries: PostgresQueries, read: Read) -> float:
    return _timed(lambda: read(queries))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _row(times: Sequence[float]) -> str:
    ordered = sorted(times)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return f"{at(0.5):8.1f} {at(0.95):8.1f} {at(0.99):8.1f} {ordered[-1]:8.1f}"


if __name__ == "__main__":
    main()
