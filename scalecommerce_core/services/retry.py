"""Repeating a use case after a transient failure of the store."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.services.results import T

P = ParamSpec("P")

MAX_ATTEMPTS = 3


def retry_on(*errors: type[MarketError]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Call a use case again, a bounded number of times, when it fails with one of `errors`.

    `TransactionAborted` is safe for all: nothing was written. `ConnectionLost` only for use cases that find
    their own earlier effect (command ids, transitions that are harmless to repeat).
    """

    def decorate(use_case: Callable[P, T]) -> Callable[P, T]:
        @wraps(use_case)
        def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
            for _ in range(MAX_ATTEMPTS - 1):
                try:
                    return use_case(*args, **kwargs)
                except errors:
                    continue
            return use_case(*args, **kwargs)

        return attempt

    return decorate
