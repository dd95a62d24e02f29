"""E-mails that wait to be sent. Their texts are written when they are sent, so no token is stored with them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, field, setters

from scalecommerce_core.domain.errors import NothingToRetry
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
    trouble: str | None = None
    """Why the last attempt failed, while the e-mail waits for the next one; None during an attempt."""

    def lease(self, until: datetime) -> None:
        """Count an attempt. If the process dies before it records the result, the next one begins at `until`."""
        self.attempts += 1
        self.try_at = until
        self.trouble = None

    def retry(self, now: datetime, trouble: str) -> bool:
        """Schedule the next attempt, because the last one failed (`trouble`); return False after the last one."""
        if self.attempts >= MAX_ATTEMPTS:
            return False
        self.try_at = now + RETRY_DELAYS[self.attempts - 1]
        self.trouble = trouble
        return True

    def send_now(self, now: datetime) -> None:
        """Make the next attempt due; raise `NothingToRetry` unless the e-mail is delayed by a failed attempt."""
        if self.trouble is None:
            raise NothingToRetry(f"E-mail {self.id} is not delayed: it is being sent, or will be in a moment.")
        self.try_at = min(self.try_at, now)
