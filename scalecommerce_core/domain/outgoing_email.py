"""E-mails that wait to be sent. Their texts are written when they are sent, so no token is stored with them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, field, setters

from scalecommerce_core.domain.identifiers import AccountId, EmailId

RETRY_DELAYS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (0.5, 2, 5, 15, 30, 60, 120, 240, 480, 480)
)  # about a day in total
"""Time from a failed attempt to the next one."""
MAX_ATTEMPTS: Final = len(RETRY_DELAYS) + 1


class EmailKind(StrEnum):
    """What an e-mail says. `TOKEN_PURPOSES` lists the kinds that contain a token."""

    VERIFY_EMAIL = "VERIFY_EMAIL"
    CHANGE_EMAIL = "CHANGE_EMAIL"
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105 - not a password
    EMAIL_CHANGE_REQUESTED = "EMAIL_CHANGE_REQUESTED"
    EMAIL_CHANGED = "EMAIL_CHANGED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - not a password
    SECOND_FACTOR_ENABLED = "SECOND_FACTOR_ENABLED"
    SECOND_FACTOR_DISABLED = "SECOND_FACTOR_DISABLED"
    RECOVERY_CODE_USED = "RECOVERY_CODE_USED"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105 - not a password


@define
class OutgoingEmail:
    """An e-mail to `recipient`; it is deleted as soon as it was sent.

    `account_id` is None for the reset of a password: whether the address has an account is looked up when the e-mail is
    sent, so that a request takes the same time for all addresses.
    """

    id: EmailId = field(on_setattr=setters.frozen)
    kind: EmailKind = field(on_setattr=setters.frozen)
    recipient: str = field(on_setattr=setters.frozen)
    account_id: AccountId | None = field(on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    try_at: datetime
    attempts: int = 0

    def lease(self, until: datetime) -> None:
        """Count an attempt. If the process dies before it records the result, the next one begins at `until`."""
        self.attempts += 1
        self.try_at = until

    def retry(self, now: datetime) -> bool:
        """Schedule the next attempt; return False after the last one."""
        if self.attempts >= MAX_ATTEMPTS:
            return False
        self.try_at = now + RETRY_DELAYS[self.attempts - 1]
        return True
