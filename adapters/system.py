"""`ports.Clock`, `ports.Ids` and `ports.Randomness` of the operating system."""

import os
import random
import secrets
import threading
import time
import weakref
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from scalecommerce_core.domain.identifiers import CommandId


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class RandomIds:
    """Command ids are version 7 UUIDs (RFC 9562): milliseconds since 1970, then random bits. Ids of the same time are
    neighbours in an index, which is smaller and changes fewer pages than with random ids.

    Random bytes are read for many ids at once, because the system call takes longer than the rest of an id.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bits = b""
        # A forked process must not repeat its parent's ids.
        discard = weakref.WeakMethod(self._discard_bits)
        os.register_at_fork(after_in_child=lambda: (method := discard()) and method())

    def command(self) -> CommandId:
        with self._lock:
            if not self._bits:
                self._bits = os.urandom(_BYTES * _AT_ONCE)
            bits, self._bits = self._bits[:_BYTES], self._bits[_BYTES:]
        random_bits = int.from_bytes(bits, "big") & ~_FIXED_BITS
        return CommandId(UUID(int=time.time_ns() // 1_000_000 << 80 | _VERSION_AND_VARIANT | random_bits))

    def token(self) -> str:
        return secrets.token_urlsafe(24)

    def _discard_bits(self) -> None:
        self._lock = threading.Lock()
        self._bits = b""


class SystemRandomness:
    def fraction(self) -> float:
        return random.random()  # noqa: S311 - it spreads retries and protects nothing

    def secret(self, count: int) -> bytes:
        return secrets.token_bytes(count)


_BYTES: Final = 10
_FIXED_BITS: Final = 0xF << 76 | 0b11 << 62
_VERSION_AND_VARIANT: Final = 7 << 76 | 0b10 << 62
_AT_ONCE: Final = 128
