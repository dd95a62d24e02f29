"""Passwords, hashed with Argon2id."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from attrs import frozen

from adapters.security.password_rules import MAX_LENGTH, complaints


@frozen
class Cost:
    """What one hash costs. The default is OWASP's: 19 MiB for some 20 ms."""

    iterations: int = 2
    memory_kib: int = 19_456
    parallelism: int = 1


CHEAP: Final = Cost(iterations=1, memory_kib=8)
"""For tests and seeded accounts: a thousand hashes in some milliseconds, worthless against an attacker."""


class Argon2Passwords:
    """Hashes that were made at another cost stay valid."""

    def __init__(self, cost: Cost | None = None) -> None:
        cost = cost or Cost()
        self._hasher = PasswordHasher(
            time_cost=cost.iterations, memory_cost=cost.memory_kib, parallelism=cost.parallelism
        )
        # Checked for accounts that do not exist, so that an answer takes as long as for those that do.
        self._decoy = self._hasher.hash("nobody's password")

    def hash(self, password: str) -> str:
        if len(password) > MAX_LENGTH:
            raise ValueError(f"A password has at most {MAX_LENGTH} characters.")
        return self._hasher.hash(_bytes(password))

    def verify(self, password_hash: str | None, password: str) -> bool:
        # An endless password cannot be right, but neither may it be refused sooner than a wrong one.
        guess = _bytes(password[:MAX_LENGTH])
        if password_hash is None:
            self._matches(self._decoy, guess)
            return False
        return self._matches(password_hash, guess) and len(password) <= MAX_LENGTH

    def complaints(self, password: str, *, about: Iterable[str]) -> list[str]:
        return complaints(password, about=about)

    def _matches(self, password_hash: str, guess: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, guess)
        except (Argon2Error, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    """The same bytes for the same characters, however a keyboard composed them (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
