"""Second factors of accounts: enrolment, recovery codes, switching off."""

from collections.abc import Sequence
from datetime import datetime

from attrs import field, frozen

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import OPERATOR, AuditAction, AuditEntry
from scalecommerce_core.domain.errors import Conflict, Invalid, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.domain.second_factor import (
    RECOVERY_CODE_BYTES,
    RECOVERY_CODES,
    SECRET_BYTES,
    SecondFactor,
    recovery_code,
)
from scalecommerce_core.domain.text import normal_reason
from scalecommerce_core.ports import (
    Clock,
    OneTimePasswords,
    Randomness,
    SecretCipher,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
)
from scalecommerce_core.services.accounts import Accounts
from scalecommerce_core.services.emails import Emails
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.second_factor_check import SecondFactorCheck, SecondFactorRejected
from scalecommerce_core.services.sessions import Identity, lock_open_session


class SecondFactorEnabled(Conflict):
    """The account has a second factor already: switch it off first."""

    code = "second_factor_enabled"

    def __init__(self) -> None:
        super().__init__("The account has a second factor already: switch it off before you set up another one.")


class SecondFactorNotEnabled(Conflict):
    """The account has no second factor, or none that is set up but not confirmed: set one up first."""

    code = "second_factor_not_enabled"

    def __init__(self, message: str = "The account has no second factor: set one up first.") -> None:
        super().__init__(message)


@frozen
class Enrolment:
    """What an authenticator app needs: the secret in base32, and the same as an `otpauth:` URI for a QR code."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@frozen
class SecondFactorState:
    """`is_required`: the account is staff and has staff rights only with a second factor."""

    is_enabled: bool
    is_required: bool
    recovery_codes_left: int


class SecondFactors:
    """Use cases of second factors. Each change ends the other sessions of the account and notifies its owner."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        accounts: Accounts,
        check: SecondFactorCheck,
        passwords: OneTimePasswords,
        cipher: SecretCipher,
        randomness: Randomness,
        emails: Emails,
        security_log: SecurityLog,
        issuer: str = "scalecommerce",
        required_for_staff: bool = False,
    ) -> None:
        """`issuer` is the name of the shop in authenticator apps."""
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._check = check
        self._passwords = passwords
        self._cipher = cipher
        self._randomness = randomness
        self._emails = emails
        self._security_log = security_log
        self._issuer = issuer
        self._required_for_staff = required_for_staff

    def state(self, account_id: AccountId) -> SecondFactorState:
        """The state of an account's second factor; raise `NotFound`."""
        with self._store.begin() as tx:
            account = tx.accounts.get_many([account_id]).get(account_id)
            factor = tx.second_factors.get_many([account_id]).get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        enabled = factor is not None and factor.is_enabled
        left = len(factor.recovery_codes) if factor is not None and enabled else 0
        return SecondFactorState(enabled, account.is_staff and self._required_for_staff, left)

    def begin(self, account_id: AccountId, password: str, *, address: str = "") -> Enrolment:
        """Make a secret, which has no effect before `confirm`.

        Raise `SecondFactorEnabled` or errors of `check_password`.
        """
        account = self._accounts.check_password(account_id, password, address=address)
        secret = self._randomness.secret(SECRET_BYTES)
        self._store_secret(account_id, secret, self._clock.now())
        return Enrolment(self._passwords.text(secret), self._passwords.uri(secret, account.email, self._issuer))

    @retry_on(TransactionAborted)
    def _store_secret(self, account_id: AccountId, secret: bytes, now: datetime) -> None:
        with self._store.begin() as tx:
            present = tx.second_factors.lock([account_id]).get(account_id)
            if present is not None and present.is_enabled:
                raise SecondFactorEnabled
            tx.second_factors.put([SecondFactor(account_id, self._cipher.encrypt(secret), now)])

    def confirm(self, who: Identity, code: str, *, address: str = "") -> Sequence[str]:
        """Switch the second factor on with a code of the app; return the recovery codes, which are shown only here.

        Raise `Invalid` for a wrong code, `SecondFactorEnabled`, `SecondFactorNotEnabled` or `TooManyAttempts`.
        """
        now = self._clock.now()
        account, factor = self._read(who.account_id)
        if factor is None:
            raise SecondFactorNotEnabled
        if factor.is_enabled:
            raise SecondFactorEnabled
        verified = self._verify(account, code, now, address, may_recover=False)
        codes = self._new_codes()
        self._enable(account, verified, codes, who.session_id, now)
        self._record(account.id, address, "switched on")
        return codes

    @retry_on(TransactionAborted)
    def _enable(
        self, account: Account, verified: SecondFactor, codes: Sequence[str], session_id: SessionId, now: datetime
    ) -> None:
        with self._store.begin() as tx:
            # Others may have logged in with the password alone.
            tx.sessions.revoke_all(account.id, now, keep=session_id)
            lock_open_session(tx, session_id)
            self._emails.notify(tx, EmailKind.SECOND_FACTOR_ENABLED, account, now)
            factor = tx.second_factors.lock([account.id]).get(account.id)
            if factor is None or factor.is_enabled:
                raise SecondFactorEnabled if factor is not None else SecondFactorNotEnabled
            if factor.encrypted_secret != verified.encrypted_secret:
                raise Invalid.field("code", "Another secret was set up meanwhile: send a code of the new one.")
            factor.confirmed_at = now
            factor.replace_recovery_codes(codes)
            tx.second_factors.put([factor])

    def renew_recovery_codes(self, who: Identity, password: str, code: str, *, address: str = "") -> Sequence[str]:
        """Replace all recovery codes; errors as those of `disable`."""
        account = self._check_both(who, password, code, address)
        codes = self._new_codes()
        self._replace_codes(account.id, codes)
        self._record(account.id, address, "recovery codes renewed")
        return codes

    @retry_on(TransactionAborted)
    def _replace_codes(self, account_id: AccountId, codes: Sequence[str]) -> None:
        with self._store.begin() as tx:
            factor = tx.second_factors.lock([account_id]).get(account_id)
            if factor is None:
                raise SecondFactorNotEnabled
            factor.replace_recovery_codes(codes)
            tx.second_factors.put([factor])

    def disable(self, who: Identity, password: str, code: str, *, address: str = "") -> None:
        """Switch the second factor off; a recovery code is accepted as well.

        Raise `Invalid`, which names `password` or `code`, `SecondFactorNotEnabled` or `TooManyAttempts`.
        """
        account = self._check_both(who, password, code, address)
        # Staff that need a second factor lose their rights with it, so their tokens end too.
        keep = None if account.is_staff and self._required_for_staff else who.session_id
        self._remove(account, keep, self._clock.now())
        self._record(account.id, address, "switched off")

    def reset(self, account_id: AccountId, reason: str) -> Account:
        """For operators: remove the second factor of an account whose owner lost it, and end all sessions.

        The reason is kept in the audit log. Raise `NotFound`, `SecondFactorNotEnabled`, or `Invalid` for the
        reason.
        """
        now = self._clock.now()
        action = AuditAction.ACCOUNT_SECOND_FACTOR_RESET
        entry = OPERATOR.entry(action, account_id, now, reason=normal_reason(reason))
        account, factor = self._read(account_id)
        if factor is None or not factor.is_enabled:
            raise SecondFactorNotEnabled("There is no second factor to remove.")
        self._remove(account, None, now, entry)
        self._record(account.id, "", "removed by an operator")
        return account

    @retry_on(TransactionAborted)
    def _remove(self, account: Account, keep: SessionId | None, now: datetime, entry: AuditEntry | None = None) -> None:
        with self._store.begin() as tx:
            if entry is not None:
                tx.audit.record([entry])
            tx.sessions.revoke_all(account.id, now, keep=keep)
            self._emails.notify(tx, EmailKind.SECOND_FACTOR_DISABLED, account, now)
            factor = tx.second_factors.lock([account.id]).get(account.id)
            if factor is None or not factor.is_enabled:
                raise SecondFactorNotEnabled
            tx.second_factors.delete([account.id])
            if account.is_staff and self._required_for_staff:
                # Keys with the scope of staff were created with the rights that end here.
                tx.api_keys.delete_all(account.id)

    def _check_both(self, who: Identity, password: str, code: str, address: str) -> Account:
        _, factor = self._read(who.account_id)
        if factor is None or not factor.is_enabled:
            raise SecondFactorNotEnabled
        account = self._accounts.check_password(who.account_id, password, address=address)
        self._verify(account, code, self._clock.now(), address)
        return account

    def _read(self, account_id: AccountId) -> tuple[Account, SecondFactor | None]:
        with self._store.begin() as tx:
            account = tx.accounts.get_many([account_id]).get(account_id)
            factor = tx.second_factors.get_many([account_id]).get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        return account, factor

    def _verify(
        self, account: Account, code: str, now: datetime, address: str, *, may_recover: bool = True
    ) -> SecondFactor:
        try:
            return self._check.verify(account, code, now, address=address, may_recover=may_recover)
        except SecondFactorRejected as rejected:
            raise Invalid.field("code", str(rejected)) from None

    def _new_codes(self) -> Sequence[str]:
        return [recovery_code(self._randomness.secret(RECOVERY_CODE_BYTES)) for _ in range(RECOVERY_CODES)]

    def _record(self, account_id: AccountId, address: str, detail: str) -> None:
        self._security_log.record(SecurityEvent(SecurityEventKind.SECOND_FACTOR_CHANGED, account_id, address, detail))
