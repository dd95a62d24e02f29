"""Single-use tokens that prove control of an e-mail address. They are sent by e-mail and stored as digests."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId

TOKEN_BYTES: Final = 32
"""Random bytes of a token: 256 bits cannot be guessed, so a fast digest protects the stored ones."""


class TokenPurpose(StrEnum):
    """What the holder of a token may do."""

    VERIFY_EMAIL = "VERIFY_EMAIL"
    """Confirm that the address of the account is the holder's."""
    CHANGE_EMAIL = "CHANGE_EMAIL"
    """Make the address that the token was sent to the address of the account."""
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105 - not a password
    """Set a new password."""


@frozen
class AccountToken:
    """A token, identified by the `digest` of its text. It was sent to `email`."""

    digest: str
    account_id: AccountId
    purpose: TokenPurpose
    email: str
    account_state: str = field(repr=False)
    """`account_state` of the account when the token was made."""
    expires_at: datetime

    def is_valid(self, account: Account, now: datetime) -> bool:
        """Whether the token may be used: it has not expired, and the account is active and unchanged.

        A change of the password or of the e-mail address makes older tokens invalid. A token that verifies an address
        depends on the address alone.
        """
        if now >= self.expires_at or not account.is_active or account.id != self.account_id:
            return False
        if self.purpose is TokenPurpose.VERIFY_EMAIL:
            return account.email == self.email
        return account_state(account) == self.account_state


def token_digest(token: str) -> str:
    """The digest of a token's text, by which it is stored and found."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def account_state(account: Account) -> str:
    """A digest of what a token of the account depends on: its password and its address."""
    return hashlib.sha256(f"{account.password_hash}\n{account.email}".encode()).hexdigest()
