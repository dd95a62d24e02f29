"""The clock and the randomness of the machine."""

import random
import secrets
from datetime import UTC, datetime
from uuid import uuid4

from scalecommerce_core.domain.identifiers import CommandId


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class RandomIds:
    def command(self) -> CommandId:
        return CommandId(uuid4())

    def token(self) -> str:
        return secrets.token_urlsafe(24)


class SystemRandomness:
    def fraction(self) -> float:
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    def secret(self, count: int) -> bytes:
        return secrets.token_bytes(count)
