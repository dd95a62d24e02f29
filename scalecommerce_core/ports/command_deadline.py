"""The deadline of a command: after it, the command is neither begun nor retried nor committed.

The code that waits for a command runs it inside `use_deadline`. Every `Store` runs its transactions inside
`commit_in_time`, so that services need no code for deadlines. Workers and commands of the command line have none.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from scalecommerce_core.domain.errors import ConnectionLost, DeadlineExceeded, Effect, MarketError

_current: Final[ContextVar["CommandDeadline | None"]] = ContextVar("command_deadline", default=None)


class CommandDeadline:
    """The deadline of one command or batch of commands, and whether the commands may have had an effect.

    The thread that runs the commands calls `check` and `commit`, and any other thread may call `expire`. Either the
    commit is sent first, and `expire` returns `Effect.UNKNOWN`, or `expire` is first and nothing is ever committed.
    """

    def __init__(self, at: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`at` is in seconds of `clock`."""
        self.at = at
        self._clock = clock
        self._lock = threading.Lock()
        self._is_expired = False
        self._effect = Effect.NONE

    @property
    def effect(self) -> Effect:
        """What is known of the commands so far: a commit that was sent counts as unknown, also after its success."""
        return self._effect

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the deadline has passed or `expire` was called."""
        if self._is_expired or self._clock() >= self.at:
            raise DeadlineExceeded(self.expire())

    def expire(self) -> Effect:
        """End the deadline now; return whether the commands may have had an effect."""
        with self._lock:
            self._is_expired = True
            return self._effect

    def begin_commit(self) -> None:
        """Call this before a commit is sent; raises `DeadlineExceeded` as `check` does, and nothing is committed."""
        with self._lock:
            if self._is_expired or self._clock() >= self.at:
                self._is_expired = True
                raise DeadlineExceeded(self._effect)
            self._effect = Effect.UNKNOWN

    @contextmanager
    def follow_transaction(self) -> Iterator[Callable[[], None]]:
        """Around a transaction: yield `begin_commit`; raise `DeadlineExceeded` at once as `check` does.

        An error that proves a rollback (every `MarketError` but `ConnectionLost`) leaves the effect as it was.
        """
        self.check()
        before = self._effect
        try:
            yield self.begin_commit
        except ConnectionLost:
            raise
        except MarketError:
            with self._lock:
                self._effect = before
            raise


@contextmanager
def commit_in_time() -> Iterator[Callable[[], None]]:
    """Around a transaction of a store: yield a function to call before the commit is sent.

    Both raise `DeadlineExceeded` if the deadline of this context has passed.
    """
    deadline = _current.get()
    if deadline is None:
        yield _no_deadline
    else:
        with deadline.follow_transaction() as begin_commit:
            yield begin_commit


def _no_deadline() -> None:
    """The commands have no deadline."""


@contextmanager
def use_deadline(deadline: CommandDeadline) -> Iterator[None]:
    """Run the commands of this context under the deadline."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)
