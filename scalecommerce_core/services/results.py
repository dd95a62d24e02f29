"""Results of a batch of commands: one result or error per command, in order; a failed command affects no other."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from attrs import frozen

from scalecommerce_core.domain.errors import MarketError

C = TypeVar("C")
T = TypeVar("T")


@frozen
class Replayed:
    """The stored response `body` of an earlier request with the same idempotency key."""

    body: bytes


def apply_each(commands: Iterable[C], handle: Callable[[C], T]) -> list[T | MarketError]:
    """Call `handle` with each command; return its result, or the `MarketError` that it raised, in order."""
    results: list[T | MarketError] = []
    for command in commands:
        try:
            results.append(handle(command))
        except MarketError as error:
            results.append(error)
    return results


def succeeded(results: Iterable[T | MarketError]) -> list[T]:
    """The results that are not errors; an object that several commands returned is listed once."""
    return list({id(result): result for result in results if not isinstance(result, MarketError)}.values())


def unwrap_single(results: Sequence[T | Replayed | MarketError]) -> T:
    """The result of a batch of one command; raise it if it is an error.

    For commands without an idempotency key: raise `TypeError` for a `Replayed` result.
    """
    (result,) = results
    if isinstance(result, MarketError):
        raise result
    if isinstance(result, Replayed):
        raise TypeError("The result was replayed for an idempotency key: handle `Replayed` results yourself.")
    return result
