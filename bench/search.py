"""Measure latencies of searches, lists and facets over a million products, one query at a time.

Word frequencies in the catalog and in the search terms follow Zipf's law, as in a language: the most common word occurs
in a sixth of the products. Each query has new random terms. All tables are in the memory of PostgreSQL, as after some
hours of service. The queries run without HTTP and without response caches; only the engine's cache of estimated facets
is active. `bench.reads` measures both, with an open load.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from attrs import frozen

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from bench.orders_load.server import BenchPostgres
from bench.reads_load.market import Sizes, Words, into_memory, seed
from bench.reads_load.plan import SEEDED
from entrypoints.gc_tuning import reduce_gc_frequency
from scalecommerce_core.queries import Facet, PageRequest, ProductFilter, SortOrder

SETTINGS: Final = {"shared_buffers": "2GB", "effective_cache_size": "3GB", "synchronous_commit": "off"}
DEEP: Final = 5_000
LIST_SIZE: Final = 20
RELEVANT: Final = SortOrder.RELEVANCE
PARTS: Final = ("closed", "deep")

Read = Callable[[PostgresQueries], object]


@frozen
class Terms:
    """Draws random search terms and filters."""

    words: Words
    chance: random.Random

    def word(self) -> str:
        return self.words.draw(self.chance)

    def common(self) -> str:
        return self.words.words[self.chance.randrange(20)]

    def typo(self) -> str:
        return self.words.misspelt(self.chance)

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
    """Return generators of queries by name; each call returns a new random query."""

    def search(text: str, **more: object) -> Read:
        product_filter = ProductFilter(search=text, **{"sort_order": RELEVANT, **more})  # type: ignore[arg-type]
        return lambda queries: queries.search(product_filter, PageRequest(LIST_SIZE))

    def listing(**conditions: object) -> Read:
        product_filter = ProductFilter(**conditions)  # type: ignore[arg-type]
        return lambda queries: queries.search(product_filter, PageRequest(LIST_SIZE))

    def facets(**conditions: object) -> Read:
        product_filter = ProductFilter(**conditions)  # type: ignore[arg-type]
        return lambda queries: queries.facets(product_filter, list(Facet))

    orders = [order for order in SortOrder if order is not RELEVANT]
    return {
        "search, any word": lambda: search(terms.word()),
        "search, the 20 most common words": lambda: search(terms.common()),
        "search, two words": lambda: search(f"{terms.word()} {terms.word()}"),
        "search, word and filters": lambda: search(terms.word(), **terms.filters()),
        "search, word, another order": lambda: search(terms.word(), sort_order=terms.chance.choice(orders)),
        "search, typo": lambda: search(terms.typo()),
        "search, first letters of a word": lambda: search(terms.word()[:3]),
        "list, filters, any order": lambda: listing(sort_order=terms.chance.choice(orders), **terms.filters()),
        "facets of a search": lambda: facets(search=terms.word()),
        "facets of a category": lambda: facets(categories=[terms.chance.randint(1, 20)]),
        "facets of everything": facets,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=500, help="queries of each kind (default 500)")
    parser.add_argument("--directory", help="keep the database in this directory, and use an existing one")
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="one part of the measurement; may be repeated (default: all)"
    )
    arguments = parser.parse_args()
    with _directory(arguments.directory) as directory, BenchPostgres(directory, SETTINGS) as server:
        engine = database_engine(server.url, statement_timeout=None)
        words = Words()
        if not (Path(directory) / SEEDED).exists():
            begun = time.perf_counter()
            seed(server.url, Sizes(arguments.products, 0), words, print)
            print(f"seeded in {time.perf_counter() - begun:.0f} s")
            (Path(directory) / SEEDED).touch()
        into_memory(server.url)
        terms = Terms(words, random.Random(3))
        print(f"{arguments.products:,} products; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        queries = PostgresQueries(engine)
        made = kinds(terms)
        _warm(queries, made, arguments.requests // 4)
        # The API processes have the same setting.
        reduce_gc_frequency()
        parts = arguments.part or PARTS
        if "closed" in parts:
            _closed(queries, made, arguments.requests)
        if "deep" in parts:
            _deep_pages(queries, words)
        engine.dispose()


@contextmanager
def _directory(given: str | None) -> Iterator[str]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as directory:
        yield directory


def _warm(queries: PostgresQueries, made: dict[str, Callable[[], Read]], requests: int) -> None:
    for draw in made.values():
        for _ in range(requests):
            draw()(queries)


def _closed(queries: PostgresQueries, made: dict[str, Callable[[], Read]], requests: int) -> None:
    print(f"\none query at a time, {requests} of each kind, ms:    p50      p95      p99  slowest")
    for name, draw in made.items():
        times = [_milliseconds(queries, draw()) for _ in range(requests)]
        print(f"  {name:42} {_row(times)}")


def _deep_pages(queries: PostgresQueries, words: Words) -> None:
    print(f"\npage 1 and page {DEEP:,}, median of 30, in ms")
    for name, product_filter in {
        "newest": ProductFilter(),
        "cheapest": ProductFilter(sort_order=SortOrder.PRICE),
        "most viewed": ProductFilter(sort_order=SortOrder.VIEWED_DESC),
        "a common word, by relevance": ProductFilter(search=words.words[0], sort_order=RELEVANT),
        "a common word, by price": ProductFilter(search=words.words[0], sort_order=SortOrder.PRICE),
    }.items():
        request = PageRequest(100)
        for _ in range(DEEP * LIST_SIZE // 100):
            request = PageRequest(100, after=queries.search(product_filter, request).next)
        deep = PageRequest(LIST_SIZE, after=request.after)
        first, last = [], []
        for _ in range(30):
            first.append(_timed(partial(queries.search, product_filter, PageRequest(LIST_SIZE))))
            last.append(_timed(partial(queries.search, product_filter, deep)))
        near, far = statistics.median(first), statistics.median(last)
        print(f"  {name:42} {near:8.2f} {far:8.2f}   {far / near:.2f} x")


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
