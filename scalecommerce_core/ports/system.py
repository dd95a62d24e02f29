"""Clock, ids, random numbers and the notifier of workers."""

from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import CommandId


class Clock(Protocol):
    """The present time."""

    def now(self) -> datetime:
        """The present time in UTC, timezone-aware."""
        ...


class Ids(Protocol):
    """Random identifiers; a port, so that a simulation can repeat them."""

    def command(self) -> CommandId:
        """A random UUID."""
        ...

    def token(self) -> str:
        """A URL-safe random text of at least 128 bits."""
        ...


class Randomness(Protocol):
    """Random numbers; a port, so that a simulation can repeat them."""

    def fraction(self) -> float:
        """A random number from 0 up to, but not including, 1."""
        ...

    def secret(self, count: int) -> bytes:
        """`count` cryptographically random bytes."""
        ...


class WorkNotifier(Protocol):
    """Notifies background workers. Calls never raise and never block; a lost notification only delays the work."""

    def orders_placed(self) -> None:
        """Orders were committed that wait for their decision."""
        ...
