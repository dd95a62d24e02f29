"""Password reset by a single-use token that is sent by e-mail."""

from datetime import datetime

from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.account_token import AccountToken, TokenPurpose, token_digest
from scalecommerce_core.domain.errors import Invalid, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.ports import (
    Clock,
    Passwords,
    RateLimiter,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
    Transaction,
)
from scalecommerce_core.services.account_limits import DEFAULT_LIMITS, TokenLimits, acquire, per_client
from scalecommerce_core.services.accounts import disable_webhooks, has_doubtful_profile
from scalecommerce_core.services.emails import Emails, drop_email_changes
from scalecommerce_core.services.retry import retry_on

TOKEN_REFUSED = "This token is not valid: it was used, has expired, or the account has changed. Request a new e-mail."  # noqa: S105


class PasswordReset:
    """Request and confirm a new password. The answer to a request does not reveal which addresses have accounts."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        passwords: Passwords,
        emails: Emails,
        limiter: RateLimiter,
        security_log: SecurityLog,
        limits: TokenLimits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._emails = emails
        self._limiter = limiter
        self._security_log = security_log
        self._limits = limits

    def request(self, email: str, *, address: str | None = None) -> None:
        """Send a token to an address if it has an active account.

        The work is the same for every e-mail address: the account is looked up when the e-mail is sent. `address` is
        the client's, for limits; operators have none. Raise `Invalid`, `EmailDisabled` or `TooManyAttempts`.
        """
        now = self._clock.now()
        recipient = normal_email(email)
        self._emails.require()
        uses = [(self._limits.resets_per_recipient, recipient), *per_client(self._limits.per_address, address)]
        acquire(self._limiter, uses, now, "requests for e-mails")
        self._queue(recipient, now)
        self._security_log.record(SecurityEvent(SecurityEventKind.PASSWORD_RESET_REQUESTED, address=address or ""))

    @retry_on(TransactionAborted)
    def _queue(self, recipient: str, now: datetime) -> None:
        with self._store.begin() as tx:
            self._emails.queue(tx, EmailKind.RESET_PASSWORD, {recipient: None}, now)

    def confirm(self, token: str, new_password: str, *, address: str | None = None) -> None:
        """Set a new password, end all sessions, and make all tokens and API keys of the account invalid.

        The owner may have lost control of the account, and somebody else may have created keys.

        The address counts as verified afterwards. If it did not before, somebody else may have opened the account, so
        webhook endpoints are disabled and, unless the account is staff, the second factor is removed.

        Raise `Invalid`, which names `token` or `new_password`, or `TooManyAttempts`.
        """
        now = self._clock.now()
        acquire(self._limiter, per_client(self._limits.guesses_per_address, address), now, "attempts with tokens")
        digest = token_digest(token)
        with self._store.begin() as tx:
            found = tx.account_tokens.get_many([digest]).get(digest)
            account = None if found is None else tx.accounts.get_many([found.account_id]).get(found.account_id)
        account = usable(found, account, TokenPurpose.RESET_PASSWORD, now)
        if violations := self._passwords.find_violations(new_password, about=_words(account)):
            raise Invalid({"new_password": violations})
        # Outside the transaction: hashing takes long.
        hashed = self._passwords.hash(new_password)
        account, lost_factor = self._set_password(digest, account, hashed, now)
        self._record(SecurityEventKind.PASSWORD_RESET, account, address)
        if lost_factor:
            detail = "removed by the first proof of the e-mail address"
            self._record(SecurityEventKind.SECOND_FACTOR_CHANGED, account, address, detail)

    def _record(self, kind: SecurityEventKind, account: Account, address: str | None, detail: str = "") -> None:
        self._security_log.record(SecurityEvent(kind, account.id, address or "", detail))

    @retry_on(TransactionAborted)
    def _set_password(self, digest: str, account: Account, hashed: str, now: datetime) -> tuple[Account, bool]:
        """Return the account, and whether its second factor was removed."""
        with self._store.begin() as tx:
            account = lock_account_of_token(tx, digest, account.id, TokenPurpose.RESET_PASSWORD, now)
            account.password_hash = hashed
            # Somebody else may have opened the account, and must not keep access to it, or keep its owner out. Somebody
            # chose each account of staff, and its second factor protects the data of others.
            removes_factor = has_doubtful_profile(account)
            if is_doubtful := account.email_verified_at is None:
                account.email_verified_at = now
            tx.accounts.save([account])
            tx.sessions.revoke_all(account.id, now)
            if is_doubtful:
                disable_webhooks(tx, account.id, "The password was reset: check the URL, then enable the endpoint.")
            tx.account_tokens.delete_of(account.id)
            drop_email_changes(tx, account.id)
            self._emails.notify(tx, EmailKind.PASSWORD_RESET, account, now)
            removed = self._remove_second_factor(tx, account, now) if removes_factor else False
            tx.api_keys.delete_all(account.id)
        return account, removed

    def _remove_second_factor(self, tx: Transaction, account: Account, now: datetime) -> bool:
        """Remove the factor, also one that is not confirmed; return whether log-ins needed it."""
        factor = tx.second_factors.lock([account.id]).get(account.id)
        if factor is None:
            return False
        tx.second_factors.delete([account.id])
        if factor.is_enabled:
            self._emails.notify(tx, EmailKind.SECOND_FACTOR_DISABLED, account, now)
        return factor.is_enabled


def usable(token: AccountToken | None, account: Account | None, purpose: TokenPurpose, now: datetime) -> Account:
    """The account of a token that may be used for `purpose`; raise `Invalid`."""
    if token is None or account is None or token.purpose is not purpose or not token.is_valid(account, now):
        raise Invalid.field("token", TOKEN_REFUSED)
    return account


def lock_account_of_token(
    tx: Transaction, digest: str, account_id: AccountId, purpose: TokenPurpose, now: datetime
) -> Account:
    """Lock the account, and check the token again: a concurrent transaction may have used it. Raise `Invalid`."""
    locked = tx.accounts.lock([account_id]).get(account_id)
    return usable(tx.account_tokens.get_many([digest]).get(digest), locked, purpose, now)


def _words(account: Account) -> list[str]:
    """The texts that a password must not be similar to."""
    return [account.email, account.email.partition("@")[0], account.first_name, account.last_name]
