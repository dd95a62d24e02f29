"""The clock and the randomness of the machine."""

import os
import random
import secrets
import threading
import weakref
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from scalecommerce_core.domain.identifiers import CommandId


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class RandomIds:
    """Command ids are UUIDs of version 4, whose bits are fetched from the system for many of them at once: asking it
    costs more than all else that an id takes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bits = b""
        # A process that was forked must not hand out its parent's ids again.
        forget = weakref.WeakMethod(self._forget)
        os.register_at_fork(after_in_child=lambda: (found := forget()) and found())

    def command(self) -> CommandId:
        with self._lock:
            if not self._bits:
                self._bits = os.urandom(_BYTES * _AT_ONCE)
            bits, self._bits = self._bits[:_BYTES], self._bits[_BYTES:]
        return CommandId(UUID(bytes=bits, version=4))

    def token(self) -> str:
        return secrets.token_urlsafe(24)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._bits = b""


class SystemRandomness:
    def fraction(self) -> float:
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    def secret(self, count: int) -> bytes:
        return secrets.token_bytes(count)


_BYTES: Final = 16
_AT_ONCE: Final = 128
