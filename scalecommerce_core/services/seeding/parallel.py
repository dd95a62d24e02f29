"""Work in two threads, because a database writes rows of two connections on two cores."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

THREADS: Final = 2
"""Transactions at a time."""

J = TypeVar("J")
R = TypeVar("R")


def map_in_threads(work: Callable[[J], R], jobs: Sequence[J]) -> Generator[R]:
    """The results of `work`, in the order of the jobs.

    If a job fails or the caller closes the generator, running jobs are finished and the others are dropped.
    """
    threads = ThreadPoolExecutor(THREADS, "seeding")
    try:
        yield from threads.map(work, jobs)
    finally:
        threads.shutdown(cancel_futures=True)
