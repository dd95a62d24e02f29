"""Exactly one effect per idempotency key (draft-ietf-httpapi-idempotency-key-header).

The key, the request's fingerprint and the answer are kept in the transaction of the effect itself.
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
_IN_FLIGHT: Final = "A request with this idempotency key is being worked on: ask again in a moment."


@frozen
class IdempotencyKey:
    """`fingerprint` identifies the request; `render` makes the stored response body from the use case's outcome.

    Keys live longer than an upgrade takes: `previous_fingerprint` computes the fingerprint of the same request by the
    previous version's rule. It is called only when the stored fingerprint differs.
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
    """A command that may carry a key; keys belong to the account that sends them."""

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
    """Run `work` on the commands whose keys are new (or that have none) and replay the others.

    Refusals are not stored: their keys are free again. Two commands of one batch with the same key are one. Whose
    key another transaction holds is answered `IdempotencyKeyInFlight`: it may try again, the others do not notice.
    """
    # By position: the same command may stand in a batch twice.
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
            earlier = known[key]
        elif key in bodies:
            earlier = StoredOutcome(claims[key], bodies[key])
        else:
            # Its twin was refused, and the same request would be. Another request has the key for itself now.
            twin = done[first[key]]
            same = _matches_request(command, claims[key])
            return twin if same and isinstance(twin, MarketError) else IdempotencyKeyInFlight(_IN_FLIGHT)
        if earlier is None:
            return IdempotencyKeyInFlight(_IN_FLIGHT)
        if not _matches_request(command, earlier.fingerprint):
            return IdempotencyKeyReused(
                "This idempotency key was used for another request: send a new key with a new request."
            )
        return IdempotencyKeyInFlight(_IN_FLIGHT) if earlier.body is None else Replayed(earlier.body)

    return [outcome_of(position, command) for position, command in enumerate(commands)]


def _key(command: IdempotentCommand) -> tuple[AccountId, str]:
    return command.owner, command.idempotency.key if command.idempotency is not None else ""


def _fingerprint(command: IdempotentCommand) -> bytes:
    return command.idempotency.fingerprint if command.idempotency is not None else b""


def _matches_request(command: IdempotentCommand, stored: bytes) -> bool:
    return command.idempotency is not None and command.idempotency.matches(stored)
