"""What a batch of commands comes back as: one outcome per command, in order; a failing command fails alone."""

from collections.abc import Sequence
from typing import TypeVar

from attrs import frozen

from scalecommerce_core.domain.errors import MarketError

T = TypeVar("T")


@frozen
class Replayed:
    """The command's idempotency key was used before, for the same request: `body` is the answer it got."""

    body: bytes


def unwrap_single(outcomes: Sequence[T | Replayed | MarketError]) -> T:
    """The outcome of a batch of one; raise it if it is an error. For commands without an idempotency key."""
    (outcome,) = outcomes
    if isinstance(outcome, MarketError):
        raise outcome
    if isinstance(outcome, Replayed):
        raise TypeError("A command with an idempotency key may be a replay: look at its outcome.")
    return outcome
