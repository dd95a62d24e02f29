"""`ports.OneTimePasswords` by TOTP (RFC 6238): SHA-1, six digits and steps of 30 seconds, which every app supports."""

import base64
import hmac
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP

DIGITS: Final = 6
STEP_SECONDS: Final = 30
SKEW_STEPS: Final = 1
"""How many steps the clock of the device may be ahead or behind (RFC 6238, section 5.2)."""


class TimeBasedPasswords:
    """Uses `cryptography`. SHA-1 is safe here: HMAC does not depend on its resistance to collisions."""

    def find_step(self, secret: bytes, code: str, now: datetime, *, after: int) -> int | None:
        if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
            return None
        passwords, present = HOTP(secret, DIGITS, SHA1()), int(now.timestamp()) // STEP_SECONDS  # noqa: S303
        # Computes all steps, so that the time does not depend on the one that matches.
        found = [
            step
            for step in range(present - SKEW_STEPS, present + SKEW_STEPS + 1)
            if hmac.compare_digest(passwords.generate(step), code.encode()) and step > after
        ]
        return found[0] if found else None

    def uri(self, secret: bytes, account_name: str, issuer: str) -> str:
        return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS).get_provisioning_uri(account_name, issuer)  # noqa: S303

    def text(self, secret: bytes) -> str:
        return base64.b32encode(secret).decode().rstrip("=")
