"""Clock, ids, randomness and wake-ups."""

from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import CommandId


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
        ...


class Ids(Protocol):
    """Randomness for identifiers, as a port so that a simulation can replay it."""

    def command(self) -> CommandId: ...

    def token(self) -> str:
        """At least 128 random bits, URL-safe."""
        ...


class Randomness(Protocol):
    """As a port, so that a simulation can replay it."""

    def fraction(self) -> float:
        """From 0 up to, not including, 1."""
        ...

    def secret(self, count: int) -> bytes:
        """So many bytes that nobody can guess."""
        ...


class WorkNotifier(Protocol):
    """Tells background workers that there is work; never raises, never blocks. A sweep finds what a lost call left."""

    def orders_placed(self) -> None: ...
