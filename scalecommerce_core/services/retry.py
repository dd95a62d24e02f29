"""Retry on deadlock, serialization failure or a lost connection: `retry_on` repeats the whole use case."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from scalecommerce_core.domain.errors import MarketError

P = ParamSpec("P")
T = TypeVar("T")

MAX_ATTEMPTS: Final = 3
"""Calls of a use case, the first one included."""
BACKOFF: Final = timedelta(milliseconds=10)
"""Longest delay before the first retry; it doubles with each further retry."""

_sleep: Final[ContextVar[Callable[[float], object]]] = ContextVar("sleep", default=time.sleep)


def backoff(retry: int, fraction: float) -> timedelta:
    """Delay before retry number `retry` (from 1): `fraction`, from 0 to 1, of a maximum that doubles each time.

    A random fraction ("full jitter") keeps transactions that blocked each other from meeting again. Source: M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return BACKOFF * (1 << (retry - 1)) * fraction


@contextmanager
def no_backoff() -> Iterator[None]:
    """Retry without delay in this context, for simulations and tests."""
    token = _sleep.set(lambda _seconds: None)
    try:
        yield
    finally:
        _sleep.reset(token)


def retry_on(*errors: type[MarketError]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: call the use case up to `MAX_ATTEMPTS` times while it raises one of `errors`, with `backoff` between.

    `TransactionAborted` is safe for every use case: nothing was written. `ConnectionLost` is safe only for use cases
    that recognise their own earlier effect, by command ids or by transitions that are harmless to repeat.
    """

    def decorate(use_case: Callable[P, T]) -> Callable[P, T]:
        @wraps(use_case)
        def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
            for retry in range(1, MAX_ATTEMPTS):
                try:
                    return use_case(*args, **kwargs)
                except errors:
                    _sleep.get()(backoff(retry, random.random()).total_seconds())  # noqa: S311 - no secret
            return use_case(*args, **kwargs)

        return attempt

    return decorate
