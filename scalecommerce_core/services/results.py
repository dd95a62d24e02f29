"""What a batch of commands comes back as: one outcome per command, in order; a failing command fails alone."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from attrs import frozen

from scalecommerce_core.domain.errors import MarketError

T = TypeVar("T")
P = ParamSpec("P")

ATTEMPTS = 3


@frozen
class Replayed:
    """The command's idempotency key was used before, for the same request: `body` is the answer it got."""

    body: bytes


def one(outcomes: Sequence[T | Replayed | MarketError]) -> T:
    """The outcome of a batch of one; raise it if it is an error. For commands without an idempotency key."""
    (outcome,) = outcomes
    if isinstance(outcome, MarketError):
        raise outcome
    if isinstance(outcome, Replayed):
        raise TypeError("A command with an idempotency key may be a replay: look at its outcome.")
    return outcome


def retried(*errors: type[MarketError]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Call a use case again, a bounded number of times, when it fails with one of `errors`.

    `TransactionAborted` is safe for all: nothing was written. `ConnectionLost` only for use cases that find
    their own earlier effect (command ids, transitions that are harmless to repeat).
    """

    def decorate(use_case: Callable[P, T]) -> Callable[P, T]:
        @wraps(use_case)
        def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
            for _ in range(ATTEMPTS - 1):
                try:
                    return use_case(*args, **kwargs)
                except errors:
                    continue
            return use_case(*args, **kwargs)

        return attempt

    return decorate
