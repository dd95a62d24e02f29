"""Exactly one effect per idempotency key (draft-ietf-httpapi-idempotency-key-header).

The key, the request's fingerprint and the answer are kept in the transaction of the effect itself.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from attrs import frozen

from scalecommerce_core.domain.errors import IdempotencyKeyInFlight, IdempotencyKeyReused, MarketError
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import Transaction
from scalecommerce_core.services.outcomes import Replayed

LIFETIME: Final = timedelta(hours=24)


@frozen
class IdempotencyKey:
    """`fingerprint` tells requests apart; `render` makes the bytes that a replay gets from the use case's outcome."""

    key: str
    fingerprint: bytes
    render: Callable[[Any], bytes]


class Keyed(Protocol):
    """A command that may carry a key; keys belong to the account that sends them."""

    @property
    def owner(self) -> AccountId: ...

    @property
    def idempotency(self) -> IdempotencyKey | None: ...


C = TypeVar("C", bound=Keyed)
T = TypeVar("T")


def once(
    tx: Transaction,
    commands: Sequence[C],
    now: datetime,
    work: Callable[[Sequence[C]], Sequence[T | MarketError]],
) -> list[T | Replayed | MarketError]:
    """Run `work` on the commands whose keys are new (or that have none) and replay the others.

    Refusals are not stored: their keys are free again. Two commands of one batch with the same key are one.
    """
    first: dict[tuple[AccountId, str], C] = {}
    for command in commands:
        if command.idempotency is not None:
            first.setdefault((command.owner, command.idempotency.key), command)
    known = tx.idempotency.claim({key: _fingerprint(command) for key, command in first.items()}, now) if first else {}
    fresh = [c for c in commands if c.idempotency is None or ((k := _key(c)) not in known and first[k] is c)]
    done = dict(zip(map(id, fresh), work(fresh), strict=True))

    bodies: dict[tuple[AccountId, str], bytes] = {}
    for key, command in first.items():
        if key not in known and command.idempotency is not None:
            outcome = done[id(command)]
            if not isinstance(outcome, MarketError):
                bodies[key] = command.idempotency.render(outcome)
    if bodies:
        tx.idempotency.store(bodies)
    if refused := first.keys() - known.keys() - bodies.keys():
        tx.idempotency.release(refused)

    def outcome_of(command: C) -> T | Replayed | MarketError:
        if id(command) in done:
            return done[id(command)]
        key = _key(command)
        earlier = known.get(key)
        fingerprint = earlier.fingerprint if earlier is not None else _fingerprint(first[key])
        body = earlier.body if earlier is not None else bodies.get(key)
        if fingerprint != _fingerprint(command):
            return IdempotencyKeyReused(
                "This idempotency key was used for another request: send a new key with a new request."
            )
        if body is not None:
            return Replayed(body)
        twin = done.get(id(first[key]))
        if isinstance(twin, MarketError):
            return twin
        return IdempotencyKeyInFlight("The same request is being worked on: ask again in a moment.")

    return [outcome_of(command) for command in commands]


def _key(command: Keyed) -> tuple[AccountId, str]:
    return command.owner, command.idempotency.key if command.idempotency is not None else ""


def _fingerprint(command: Keyed) -> bytes:
    return command.idempotency.fingerprint if command.idempotency is not None else b""
