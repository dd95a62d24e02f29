"""The rule that an account confirms its e-mail address before it acts (`REQUIRE_VERIFIED_EMAIL`)."""

from collections.abc import Collection
from typing import Final

from scalecommerce_core.domain.errors import Forbidden
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import Transaction

MAX_KNOWN: Final = 100_000
"""Verified accounts that a process remembers: a few megabytes."""


class EmailNotVerified(Forbidden):
    """The account has to confirm its e-mail address first (`REQUIRE_VERIFIED_EMAIL`)."""

    code = "email_not_verified"

    def __init__(self) -> None:
        super().__init__(
            "Confirm your e-mail address first: open the link that was sent to you, or request another e-mail"
            " (POST /users/api/v1/email/verification/)."
        )


class VerifiedAccounts:
    """Checks that accounts have verified addresses, if the shop requires it.

    A process remembers accounts that are verified, because an account stays verified: an address is replaced only by a
    confirmed one.
    """

    def __init__(self, *, required: bool = False) -> None:
        self._required = required
        self._known: set[AccountId] = set()

    def unverified(self, tx: Transaction, account_ids: Collection[AccountId]) -> Collection[AccountId]:
        """The accounts of `account_ids` that must not act yet. Without the requirement, none, and nothing is read."""
        if not self._required:
            return ()
        unknown = set(account_ids) - self._known
        if not unknown:
            return ()
        found = tx.accounts.get_many(unknown)
        verified = {account.id for account in found.values() if account.email_verified_at is not None}
        if len(self._known) + len(verified) > MAX_KNOWN:
            self._known = set()
        self._known |= verified
        return unknown - verified


ALL_ACCOUNTS: Final = VerifiedAccounts()
"""Without the requirement."""
