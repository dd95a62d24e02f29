"""Settings of Python's cyclic garbage collector for servers and workers."""

import gc
from typing import Final

_THRESHOLDS: Final = (10_000, 20, 20)


def reduce_gc_frequency() -> None:
    """Exclude all present objects from collection and raise the thresholds; call this once a process is wired.

    With Python's default thresholds, collections that traversed the loaded modules took 25 % of the time of placing
    orders. Objects of requests are mostly freed by reference counting; cycles are still collected, less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def share_with_forks() -> None:
    """Exclude all present objects from collection, so that processes forked later share their memory; call this last.

    A collection writes to every object that it examines, and a process that writes to a page gets a copy of it.
    """
    gc.collect()
    gc.freeze()
