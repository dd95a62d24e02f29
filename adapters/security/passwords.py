"""`ports.Passwords` with Argon2id."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError
from attrs import frozen

from adapters.security.password_rules import MAX_LENGTH, find_violations


@frozen
class Cost:
    """Argon2 parameters. The default is OWASP's minimum (Password Storage Cheat Sheet): 19 MiB, about 20 ms."""

    iterations: int = 2
    memory_kib: int = 19_456
    parallelism: int = 1


CHEAP: Final = Cost(iterations=1, memory_kib=8)
"""For tests and seeded accounts: microseconds per hash, and no protection against an attacker."""


class Argon2Passwords:
    """Verifies hashes of any cost; creates hashes of the given one."""

    def __init__(self, cost: Cost | None = None) -> None:
        cost = cost or Cost()
        self._hasher = PasswordHasher(
            time_cost=cost.iterations, memory_cost=cost.memory_kib, parallelism=cost.parallelism
        )
        # Verified for accounts that do not exist, so that timing does not reveal which accounts exist.
        self._decoy = self._hasher.hash("nobody's password")

    def hash(self, password: str) -> str:
        if len(password) > MAX_LENGTH:
            raise ValueError(f"A password has at most {MAX_LENGTH} characters.")
        return self._hasher.hash(_bytes(password))

    def verify(self, password_hash: str | None, password: str) -> bool:
        # Too long a password is always wrong, but must take as long as any wrong one.
        guess = _bytes(password[:MAX_LENGTH])
        if password_hash is None:
            self._matches(self._decoy, guess)
            return False
        return self._matches(password_hash, guess) and len(password) <= MAX_LENGTH

    def needs_rehash(self, password_hash: str) -> bool:
        try:
            found = extract_parameters(password_hash)
        except InvalidHashError:
            return False
        # Seeded accounts share a published password, which no hash protects. Their log-ins stay cheap.
        is_seeded = (found.time_cost, found.memory_cost) == (CHEAP.iterations, CHEAP.memory_kib)
        return not is_seeded and self._hasher.check_needs_rehash(password_hash)

    def find_violations(self, password: str, *, about: Iterable[str]) -> list[str]:
        return find_violations(password, about=list(about))

    def _matches(self, password_hash: str, guess: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, guess)
        except (Argon2Error, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    """Return UTF-8 after NFKC normalization: keyboards compose characters differently (NIST SP 800-63B-4, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
