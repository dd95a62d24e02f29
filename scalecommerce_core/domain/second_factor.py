"""The second factor of log-ins: time-based one-time passwords (RFC 6238) and recovery codes."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import define, field, setters

from scalecommerce_core.domain.identifiers import AccountId

SECRET_BYTES: Final = 20
"""RFC 4226, section 4: 160 bits are recommended."""
RECOVERY_CODES: Final = 10
RECOVERY_CODE_BYTES: Final = 15
"""120 random bits cannot be guessed, so a fast digest protects the stored codes."""
_GROUP: Final = 4


@define
class SecondFactor:
    """The second factor of an account; log-ins need it from `confirmed_at` on."""

    account_id: AccountId = field(on_setattr=setters.frozen)
    encrypted_secret: str = field(repr=False, on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    confirmed_at: datetime | None = None
    last_step: int = 0
    """The time step of the last accepted one-time password: it and older ones are refused, so none works twice."""
    recovery_codes: tuple[str, ...] = field(default=(), repr=False)
    """Digests of the unused recovery codes."""

    @property
    def is_enabled(self) -> bool:
        return self.confirmed_at is not None

    def use_recovery_code(self, code: str) -> bool:
        """Use up a recovery code; return False if it is none of the unused ones."""
        digest = recovery_code_digest(code)
        if digest not in self.recovery_codes:
            return False
        self.recovery_codes = tuple(each for each in self.recovery_codes if each != digest)
        return True

    def replace_recovery_codes(self, codes: Sequence[str]) -> None:
        """Make `codes` the only valid recovery codes."""
        self.recovery_codes = tuple(recovery_code_digest(code) for code in codes)


def recovery_code(random: bytes) -> str:
    """The text of a recovery code, such as `MZXW-6YTB-OI7G-CYLS-NFQW-4LB6`."""
    text = base64.b32encode(random).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def recovery_code_digest(code: str) -> str:
    """The digest by which a recovery code is stored; case, spaces and hyphens make no difference."""
    normal = "".join(code.split()).replace("-", "").upper()
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()
