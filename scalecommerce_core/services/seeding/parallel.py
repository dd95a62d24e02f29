"""Two transactions side by side: a database takes rows in on one core per connection."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

SIDE_BY_SIDE: Final = 2

J = TypeVar("J")
R = TypeVar("R")


def side_by_side(work: Callable[[J], R], jobs: Sequence[J]) -> Generator[R]:
    """The results, in the order of the jobs. When one fails, or the caller closes the generator, those not begun are
    dropped and those that run come to their end.
    """
    threads = ThreadPoolExecutor(SIDE_BY_SIDE, "seeding")
    try:
        yield from threads.map(work, jobs)
    finally:
        threads.shutdown(cancel_futures=True)
