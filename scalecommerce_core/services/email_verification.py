"""Verification and change of the e-mail address of an account, by single-use tokens that are sent to the address."""

from collections.abc import Collection
from datetime import datetime

from attrs import evolve

from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.account_token import TokenPurpose, token_digest
from scalecommerce_core.domain.errors import Invalid, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.ports import (
    Clock,
    Duplicate,
    RateLimiter,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
)
from scalecommerce_core.services.account_limits import DEFAULT_LIMITS, TokenLimits, acquire, per_client
from scalecommerce_core.services.accounts import Accounts, check_unchanged
from scalecommerce_core.services.emails import Emails, drop_email_changes
from scalecommerce_core.services.password_reset import TOKEN_REFUSED, lock_account_of_token
from scalecommerce_core.services.retry import retry_on


class EmailVerification:
    """Request and confirm the verification of an address, or its change."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        accounts: Accounts,
        emails: Emails,
        limiter: RateLimiter,
        security_log: SecurityLog,
        limits: TokenLimits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._emails = emails
        self._limiter = limiter
        self._security_log = security_log
        self._limits = limits

    def request(self, account_id: AccountId, *, address: str | None = None) -> None:
        """Send a token to the address of the account; does nothing if the address is verified.

        Raise `NotFound`, `EmailDisabled` or `TooManyAttempts`.
        """
        now = self._clock.now()
        self._emails.require()
        account = self._account(account_id)
        if account.email_verified_at is None:
            self._count([account.email], address, now)
            self._queue(EmailKind.VERIFY_EMAIL, account.email, account_id, now)

    def request_change(
        self, account_id: AccountId, email: str, password: str, *, code: str = "", address: str | None = None
    ) -> None:
        """Send a token to a new address, and a notice to the present one; the address changes when it is confirmed.

        An account with a second factor needs a `code`. The answer does not reveal whether the new address has an
        account. Raise `Invalid`, which names `email`, `password` or `code`, `NotFound`, `EmailDisabled` or
        `TooManyAttempts`.
        """
        now = self._clock.now()
        self._emails.require()
        recipient = normal_email(email)
        account = self._account(account_id)
        if recipient == account.email:
            raise Invalid.field("email", "This is your address already.")
        account = self._accounts.check_owner(account_id, password, code, address=address)
        self._count([recipient, account.email], address, now)
        self._queue_change(recipient, account, now)

    def confirm(self, token: str, *, address: str | None = None) -> Account:
        """Confirm an address: the present one of the account, or the new one, which replaces it.

        A change of the address makes all tokens of the account invalid. Raise `Invalid`, which names `token`, or
        `TooManyAttempts`.
        """
        now = self._clock.now()
        acquire(self._limiter, per_client(self._limits.guesses_per_address, address), now, "attempts with tokens")
        try:
            account, kind = self._confirm(token_digest(token), now)
        except Duplicate:
            raise Invalid.field("token", "Another account has this e-mail address now.") from None
        self._security_log.record(SecurityEvent(kind, account.id, address or ""))
        return account

    @retry_on(TransactionAborted)
    def _confirm(self, digest: str, now: datetime) -> tuple[Account, SecurityEventKind]:
        with self._store.begin() as tx:
            token = tx.account_tokens.get_many([digest]).get(digest)
            if token is None or token.purpose is TokenPurpose.RESET_PASSWORD:
                raise Invalid.field("token", TOKEN_REFUSED)
            account = lock_account_of_token(tx, digest, token.account_id, token.purpose, now)
            tx.account_tokens.delete_of(account.id)
            drop_email_changes(tx, account.id)
            if token.purpose is TokenPurpose.VERIFY_EMAIL:
                account.email_verified_at = now
                tx.accounts.save([account])
                return account, SecurityEventKind.EMAIL_VERIFIED
            if tx.accounts.by_email([token.email]):
                raise Duplicate("email")
            self._emails.notify(tx, EmailKind.EMAIL_CHANGED, account, now)
            account = evolve(account, email=token.email, email_verified_at=now)
            tx.accounts.save([account])
            return account, SecurityEventKind.EMAIL_CHANGED

    def _account(self, account_id: AccountId) -> Account:
        with self._store.begin() as tx:
            account = tx.accounts.get_many([account_id]).get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        return account

    def _count(self, recipients: Collection[str], address: str | None, now: datetime) -> None:
        uses = [(self._limits.per_recipient, recipient) for recipient in recipients]
        acquire(self._limiter, [*uses, *per_client(self._limits.per_address, address)], now, "requests for e-mails")

    @retry_on(TransactionAborted)
    def _queue(self, kind: EmailKind, recipient: str, account_id: AccountId, now: datetime) -> None:
        with self._store.begin() as tx:
            self._emails.queue(tx, kind, {recipient: account_id}, now)

    @retry_on(TransactionAborted)
    def _queue_change(self, recipient: str, checked: Account, now: datetime) -> None:
        with self._store.begin() as tx:
            account = tx.accounts.lock([checked.id]).get(checked.id)
            # A reset of the password drops earlier requests; none with the former password may follow it.
            if account is None:
                raise NotFound("account", checked.id)
            check_unchanged(account, checked)
            self._emails.queue(tx, EmailKind.CHANGE_EMAIL, {recipient: account.id}, now)
            self._emails.notify(tx, EmailKind.EMAIL_CHANGE_REQUESTED, account, now)
