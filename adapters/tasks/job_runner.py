"""Work that mostly waits, in threads that outlive the task which started it."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from adapters.tasks.repeated_warnings import RepeatedWarnings
from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(logger)


class JobRunner(Protocol):
    """Runs jobs, possibly concurrently."""

    def start(self, job: Callable[[], object]) -> None:
        """Run a job, now or soon. A failure of the job is logged."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until a job ends, for at most `seconds`; return whether jobs are running."""
        ...


class InlineRunner:
    """Runs each job at once in the caller's thread, for simulations and tests."""

    def start(self, job: Callable[[], object]) -> None:
        job()

    def wait(self, seconds: float) -> bool:
        del seconds
        return False


class ThreadRunner:
    """Runs at most `threads` jobs at once; threads start when they are needed. To be made after a fork."""

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._running = 0
        self._changed = threading.Condition()

    def start(self, job: Callable[[], object]) -> None:
        with self._changed:
            self._running += 1
        self._executor.submit(job).add_done_callback(self._end)

    def wait(self, seconds: float) -> bool:
        with self._changed:
            if self._running:
                self._changed.wait(seconds)
            return self._running > 0

    def close(self) -> None:
        """Wait for the running jobs; start no others."""
        self._executor.shutdown()

    def _end(self, future: "Future[object]") -> None:
        error = future.exception()
        if isinstance(error, Unavailable):
            _warnings.warn(f"background work is delayed: {error}")
        elif error is not None:
            logger.error("a background job failed", exc_info=error)
        with self._changed:
            self._running -= 1
            self._changed.notify_all()
