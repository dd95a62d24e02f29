"""The check of the second factor of an account, with limits on wrong codes."""

from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import NotAuthenticated, TooManyAttempts, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.ports import (
    Clock,
    DecryptionFailed,
    LoginLimiter,
    OneTimePasswords,
    RateLimit,
    SecretCipher,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
    Transaction,
)
from scalecommerce_core.services.emails import Emails
from scalecommerce_core.services.retry import retry_on

MAX_CODE: Final = 64
"""Characters of a code; longer ones are wrong."""


class SecondFactorRequired(NotAuthenticated):
    """The password is right, and the account has a second factor: send the one-time password or a recovery code."""

    code = "second_factor_required"

    def __init__(self) -> None:
        super().__init__(
            "This account has a second factor: log in with `code`, the one-time password of the authenticator app or a"
            " recovery code."
        )


class SecondFactorRejected(NotAuthenticated):
    """The code is wrong, has expired or was used before."""

    code = "second_factor_rejected"

    def __init__(self) -> None:
        super().__init__("The code is wrong, has expired or was used before.")


@frozen
class SecondFactorLimits:
    """How many codes may be wrong.

    `attempts` in `window` are allowed for each pair of account and client address, or for each device that has passed
    this second factor before. Unknown devices share `account_attempts` in `account_window` for each account: with them,
    a guess of one of three valid codes among a million succeeds with a probability below 0.01 % a day. Only somebody
    who knows the password can cause failures.
    """

    attempts: int = 5
    window: timedelta = timedelta(minutes=5)
    account_attempts: int = 30
    account_window: timedelta = timedelta(days=1)

    def uses(self, account_id: AccountId, address: str, device: str | None) -> list[tuple[RateLimit, str]]:
        if device is not None:
            return [(RateLimit("second factor per device", self.attempts, self.window), device)]
        return [
            (RateLimit("second factor per account and address", self.attempts, self.window), f"{account_id} {address}"),
            (RateLimit("second factor per account", self.account_attempts, self.account_window), str(account_id)),
        ]


class SecondFactorCheck:
    """Checks codes. A one-time password or recovery code is accepted once, also by concurrent requests."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        passwords: OneTimePasswords,
        cipher: SecretCipher,
        limiter: LoginLimiter,
        security_log: SecurityLog,
        emails: Emails | None = None,
        limits: SecondFactorLimits | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._cipher = cipher
        self._limiter = limiter
        self._security_log = security_log
        self._emails = emails
        self._limits = limits or SecondFactorLimits()

    def check(self, account: Account, code: str, *, address: str = "", device: str | None = None) -> str:
        """Return "" if the account has no second factor. Otherwise check the code, which uses it up, and return how the
        ids of devices that have passed this second factor begin.

        `device` is the id of a device that has logged in to the account before. Raise `SecondFactorRequired` without a
        code, `SecondFactorRejected` or `TooManyAttempts`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            factor = tx.second_factors.get_many([account.id]).get(account.id)
        if factor is None or factor.confirmed_at is None:
            return ""
        if not code:
            raise SecondFactorRequired
        passed = f"{int(factor.confirmed_at.timestamp())}."
        # A device that knew the password only, before the second factor was set up, has no limit of its own: somebody
        # else could have collected thousands of them.
        known = device if device is not None and device.startswith(passed) else None
        self.verify(account, code, now, address=address, device=known)
        return passed

    def verify(
        self,
        account: Account,
        code: str,
        now: datetime,
        *,
        address: str = "",
        device: str | None = None,
        may_recover: bool = True,
    ) -> SecondFactor:
        """Use up a code of a second factor, enabled or not, and return the factor; errors as those of `check`."""
        uses = self._limits.uses(account.id, address, device)
        if wait := self._limiter.retry_after(uses, now):
            raise TooManyAttempts.of("wrong codes", wait)
        factor = self._use(account, code, now, may_recover=may_recover)
        if factor is None:
            self._limiter.record_failure(uses, now)
            self._security_log.record(
                SecurityEvent(SecurityEventKind.LOG_IN_FAILED, account.id, address, "second factor rejected")
            )
            raise SecondFactorRejected
        return factor

    @retry_on(TransactionAborted)
    def _use(self, account: Account, code: str, now: datetime, *, may_recover: bool) -> SecondFactor | None:
        with self._store.begin() as tx:
            factor = tx.second_factors.lock([account.id]).get(account.id)
            if factor is None or len(code) > MAX_CODE:
                return None
            step = self._find_step(factor, code, now)
            if step is not None:
                factor.last_step = step
            elif may_recover and factor.use_recovery_code(code):
                self._notify(tx, account, now)
            else:
                return None
            tx.second_factors.put([factor])
        return factor

    def _find_step(self, factor: SecondFactor, code: str, now: datetime) -> int | None:
        try:
            secret = self._cipher.decrypt(factor.encrypted_secret)
        except DecryptionFailed:
            # The key was replaced without keeping the former one: recovery codes still work.
            return None
        return self._passwords.find_step(secret, "".join(code.split()), now, after=factor.last_step)

    def _notify(self, tx: Transaction, account: Account, now: datetime) -> None:
        self._security_log.record(
            SecurityEvent(SecurityEventKind.SECOND_FACTOR_CHANGED, account.id, detail="recovery code used")
        )
        if self._emails is not None:
            self._emails.notify(tx, EmailKind.RECOVERY_CODE_USED, account, now)
