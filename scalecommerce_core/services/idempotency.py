"""Idempotency keys: a repeated request has no second effect and gets the stored response.

The key, the fingerprint of the request and the response are stored in the transaction of the effect itself. Source:
draft-ietf-httpapi-idempotency-key-header.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from attrs import field, frozen

from scalecommerce_core.domain.errors import IdempotencyKeyInFlight, IdempotencyKeyReused, MarketError
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import StoredOutcome, Transaction
from scalecommerce_core.services.results import Replayed

KEY_LIFETIME: Final = timedelta(hours=24)
"""How long a key and its response are stored; afterwards the key is free again."""
_IN_FLIGHT: Final = "A request with this idempotency key is being processed: repeat it in a moment."


@frozen
class IdempotencyKey:
    """A key with the `fingerprint` of its request; `render` makes the response body to be stored from the use case's
    result.

    Keys outlive an upgrade: `previous_fingerprint` computes the fingerprint of the same request by the previous
    version's rule. It is called only if the stored fingerprint differs.
    """

    key: str
    fingerprint: bytes
    render: Callable[[Any], bytes]
    previous_fingerprint: Callable[[], bytes] | None = field(default=None, eq=False)

    def matches(self, stored: bytes) -> bool:
        """Whether a stored fingerprint belongs to this request."""
        previous = self.previous_fingerprint
        return stored == self.fingerprint or (previous is not None and stored == previous())


class IdempotentCommand(Protocol):
    """A command that may carry an idempotency key; the key belongs to the account `owner`."""

    @property
    def owner(self) -> AccountId: ...

    @property
    def idempotency(self) -> IdempotencyKey | None: ...


C = TypeVar("C", bound=IdempotentCommand)
T = TypeVar("T")


def run_idempotent(
    tx: Transaction,
    commands: Sequence[C],
    now: datetime,
    work: Callable[[Sequence[C]], Sequence[T | MarketError]],
) -> list[T | Replayed | MarketError]:
    """Run `work` on the commands whose keys are new (or that have none); return `Replayed` responses for the others.

    Errors are not stored: their keys are released. Two commands of one batch with the same key are run once. A command
    whose key a transaction in progress holds gets `IdempotencyKeyInFlight`; one whose key was used for another request
    gets `IdempotencyKeyReused`. The other commands of the batch are not affected.
    """
    # By position, because one command may occur in a batch twice.
    first: dict[tuple[AccountId, str], int] = {}
    for position, command in enumerate(commands):
        if command.idempotency is not None:
            first.setdefault(_key(command), position)
    claims = {key: _fingerprint(commands[position]) for key, position in first.items()}
    known = tx.idempotency.claim(claims, now) if claims else {}
    fresh = [
        position
        for position, command in enumerate(commands)
        if command.idempotency is None or ((key := _key(command)) not in known and first[key] == position)
    ]
    done = dict(zip(fresh, work([commands[position] for position in fresh]), strict=True))

    bodies: dict[tuple[AccountId, str], bytes] = {}
    for key, position in first.items():
        idempotency = commands[position].idempotency
        if key not in known and idempotency is not None:
            outcome = done[position]
            if not isinstance(outcome, MarketError):
                bodies[key] = idempotency.render(outcome)
    if bodies:
        tx.idempotency.store(bodies)
    if refused := first.keys() - known.keys() - bodies.keys():
        tx.idempotency.release(refused)

    def outcome_of(position: int, command: C) -> T | Replayed | MarketError:
        if position in done:
            return done[position]
        key = _key(command)
        if key in known:
            return _replay(command, known[key])
        if key not in bodies:
            # The first command with this key failed. The same request fails in the same way; another request must wait,
            # because this transaction still holds the key.
            first_result = done[first[key]]
            if _matches_request(command, claims[key]) and isinstance(first_result, MarketError):
                return first_result
            return IdempotencyKeyInFlight(_IN_FLIGHT)
        return _replay(command, StoredOutcome(claims[key], bodies[key]))

    return [outcome_of(position, command) for position, command in enumerate(commands)]


def replay_only(
    tx: Transaction, commands: Sequence[C], now: datetime, otherwise: Callable[[C], T | MarketError]
) -> list[T | Replayed | MarketError]:
    """Return the stored responses of commands whose keys were used, as `run_idempotent` does; claim no key, and return
    `otherwise` of the other commands.
    """
    known = tx.idempotency.find({_key(command) for command in commands if command.idempotency is not None}, now)

    def outcome_of(command: C) -> T | Replayed | MarketError:
        if command.idempotency is None or (key := _key(command)) not in known:
            return otherwise(command)
        return _replay(command, known[key])

    return [outcome_of(command) for command in commands]


def _replay(command: IdempotentCommand, earlier: StoredOutcome | None) -> Replayed | MarketError:
    """The answer to a command whose key is used; `earlier` is None while a transaction in progress holds the key."""
    if earlier is None:
        return IdempotencyKeyInFlight(_IN_FLIGHT)
    if not _matches_request(command, earlier.fingerprint):
        return IdempotencyKeyReused(
            "This idempotency key was used for another request: send a new key with a new request."
        )
    return IdempotencyKeyInFlight(_IN_FLIGHT) if earlier.body is None else Replayed(earlier.body)


def _key(command: IdempotentCommand) -> tuple[AccountId, str]:
    return command.owner, command.idempotency.key if command.idempotency is not None else ""


def _fingerprint(command: IdempotentCommand) -> bytes:
    return command.idempotency.fingerprint if command.idempotency is not None else b""


def _matches_request(command: IdempotentCommand, stored: bytes) -> bool:
    return command.idempotency is not None and command.idempotency.matches(stored)
