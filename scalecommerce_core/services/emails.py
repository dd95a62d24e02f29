"""Outgoing e-mails: queued in the transaction that causes them, sent in the background, repeated after failures."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import TOKEN_BYTES, AccountToken, TokenPurpose, account_state, token_digest
from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.base64url import to_base64url
from scalecommerce_core.domain.errors import Conflict, ConnectionLost, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, EmailId
from scalecommerce_core.domain.outgoing_email import EmailKind, OutgoingEmail
from scalecommerce_core.domain.text import cause_text
from scalecommerce_core.ports import (
    Clock,
    Email,
    EmailFailure,
    EmailSender,
    Randomness,
    RateLimit,
    RateLimiter,
    Store,
    Transaction,
)
from scalecommerce_core.services.email_texts import TOKEN_PURPOSES, email_subject, email_text
from scalecommerce_core.services.rate_limiter import MemoryRateLimiter
from scalecommerce_core.services.retry import retry_on

logger = logging.getLogger(__name__)


class EmailDisabled(Conflict):
    """No e-mail is sent by this installation: ask its operator."""

    code = "email_disabled"

    def __init__(self) -> None:
        super().__init__("This shop sends no e-mail: ask its operator for help with your account.")


@frozen
class EmailRules:
    """Settings of e-mails. Without `enabled`, notices are dropped; use cases that need e-mail raise `EmailDisabled`."""

    enabled: bool = False
    public_url: str = ""
    """URL of the shop's pages, which links in e-mails begin with."""
    verification: timedelta = timedelta(days=3)
    """Lifetime of a token that confirms an address."""
    reset: timedelta = timedelta(minutes=30)
    """Lifetime of a token that resets a password."""
    per_recipient: int = 10
    """E-mails of one kind, and notices of all kinds together, that are sent to one address in an hour."""
    lease: timedelta = timedelta(minutes=5)
    """How long a claimed e-mail is reserved for its sender; longer than the sending of a batch can take."""

    def lifetime(self, purpose: TokenPurpose) -> timedelta:
        return self.reset if purpose is TokenPurpose.RESET_PASSWORD else self.verification


@frozen
class EmailSummary:
    """E-mails of one batch: `sent`, `failed` ones, which may be repeated, and `dropped` ones without a recipient or
    beyond `EmailRules.per_recipient`.
    """

    sent: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def total(self) -> int:
        return self.sent + self.failed + self.dropped


class Emails:
    """Queues and sends e-mails.

    An e-mail is leased, sent outside any transaction, and then deleted. If the process dies in between, the lease ends
    and it is sent again.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        randomness: Randomness,
        sender: EmailSender,
        limiter: RateLimiter | None = None,
        rules: EmailRules = EmailRules(),
    ) -> None:
        """Without a `limiter`, the e-mails of each recipient are counted in this process alone."""
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._sender = sender
        self._limiter = limiter or MemoryRateLimiter()
        self._rules = rules

    @property
    def enabled(self) -> bool:
        """Whether e-mails are sent at all."""
        return self._rules.enabled

    def require(self) -> None:
        """Raise `EmailDisabled` unless e-mails are sent."""
        if not self.enabled:
            raise EmailDisabled

    def queue(
        self, tx: Transaction, kind: EmailKind, recipients: Mapping[str, AccountId | None], now: datetime
    ) -> None:
        """Queue an e-mail to each address, as a part of the transaction; does nothing if e-mails are off."""
        if not self.enabled or not recipients:
            return
        ids = tx.emails.next_ids(len(recipients))
        tx.emails.add(
            [
                OutgoingEmail(id_, kind, recipient, account_id, now, now)
                for id_, (recipient, account_id) in zip(ids, recipients.items(), strict=True)
            ]
        )

    def notify(self, tx: Transaction, kind: EmailKind, account: Account, now: datetime) -> None:
        """Queue an e-mail to the address of an account."""
        self.queue(tx, kind, {account.email: account.id}, now)

    def deliver(self, limit: int = 10) -> EmailSummary:
        """Send up to `limit` due e-mails."""
        if not self.enabled:
            return EmailSummary()
        now = self._clock.now()
        claimed, texts = self._claim(limit, now)
        emails = {each.id: texts[each.id] for each in claimed if each.id in texts and self._is_allowed(each, now)}
        results = dict(zip(emails, self._sender.send(list(emails.values())), strict=True)) if emails else {}
        failures = {id_: failure for id_, failure in results.items() if failure is not None}
        self._record([each.id for each in claimed if each.id not in failures], failures)
        return EmailSummary(len(results) - len(failures), len(failures), len(claimed) - len(results))

    def _is_allowed(self, email: OutgoingEmail, now: datetime) -> bool:
        """Whether the recipient may get the e-mail: anybody can open an account at an address of somebody else, and
        cause notices to it by changing its password again and again. Repeated attempts do not count.
        """
        if email.attempts > 1:
            return True
        kind = email.kind if email.kind in TOKEN_PURPOSES else "notice"
        limit = RateLimit(f"e-mails sent per recipient ({kind})", self._rules.per_recipient, timedelta(hours=1))
        if self._limiter.acquire([(limit, email.recipient)], now) is None:
            return True
        logger.warning("e-mail %s (%s) is dropped: its recipient got too many", email.id, email.kind)
        return False

    @retry_on(TransactionAborted, ConnectionLost)
    def _claim(self, limit: int, now: datetime) -> tuple[Sequence[OutgoingEmail], Mapping[EmailId, Email]]:
        """The claimed e-mails, and the texts of those that have a recipient. Their tokens are made here."""
        emails: dict[EmailId, Email] = {}
        tokens: list[AccountToken] = []
        with self._store.begin() as tx:
            claimed = tx.emails.claim_due(limit, now)
            for each in claimed:
                each.lease(now + self._rules.lease)
            tx.emails.save(claimed)
            accounts = _accounts_of(tx, claimed)
            for each in claimed:
                reference = f"{each.id}.{each.attempts}.{int(each.created_at.timestamp())}"
                purpose, account = TOKEN_PURPOSES.get(each.kind), accounts.get(each.id)
                if purpose is None:
                    text = email_text(each.kind)
                elif account is None or not account.is_active:
                    continue
                else:
                    token = self._new_token()
                    lifetime = self._rules.lifetime(purpose)
                    tokens.append(
                        AccountToken(
                            token_digest(token),
                            account.id,
                            purpose,
                            each.recipient,
                            account_state(account),
                            now + lifetime,
                        )
                    )
                    text = email_text(each.kind, token=token, public_url=self._rules.public_url, lifetime=lifetime)
                emails[each.id] = Email(each.recipient, email_subject(each.kind), text, reference)
            tx.account_tokens.add(tokens)
        return claimed, emails

    @retry_on(TransactionAborted, ConnectionLost)
    def _record(self, done: Sequence[EmailId], failures: Mapping[EmailId, EmailFailure]) -> None:
        if not done and not failures:
            return
        now = self._clock.now()
        with self._store.begin() as tx:
            found = tx.emails.lock([*done, *failures])
            over = [id_ for id_ in done if id_ in found]
            again = []
            for id_, failure in failures.items():
                email = found.get(id_)
                if email is None:
                    continue
                if failure.permanent or not email.retry(now, cause_text(failure.reason)):
                    logger.warning("e-mail %s (%s) is given up: %s", id_, email.kind, failure.reason)
                    over.append(id_)
                else:
                    logger.warning("e-mail %s (%s) is delayed: %s", id_, email.kind, failure.reason)
                    again.append(email)
            tx.emails.save(again)
            tx.emails.delete(over)

    @retry_on(TransactionAborted, ConnectionLost)
    def send_now(self, email_id: EmailId, by: Actor) -> OutgoingEmail:
        """For staff: let the next sweep send a delayed e-mail, instead of waiting for its `try_at`.

        Errors: `NotFound`, also for an e-mail that was sent or given up; `NothingToRetry`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            email = tx.emails.lock([email_id]).get(email_id)
            if email is None:
                raise NotFound("e-mail", email_id)
            before = {"try_at": email.try_at, "trouble": email.trouble}
            email.send_now(now)
            tx.emails.save([email])
            after = {"try_at": email.try_at}
            tx.audit.record([by.entry(AuditAction.EMAIL_SENT, email_id, now, before=before, after=after)])
            return email

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 500) -> int:
        """Delete up to `limit` expired tokens; return how many."""
        with self._store.begin() as tx:
            return tx.account_tokens.purge(self._clock.now(), limit)

    def _new_token(self) -> str:
        return to_base64url(self._randomness.secret(TOKEN_BYTES))


def drop_email_changes(tx: Transaction, account_id: AccountId) -> None:
    """Drop the changes of an account's address that wait to be sent.

    Their tokens are made when they are sent, so they would be valid although the account has changed since the request.
    """
    waiting = [each.id for each in tx.emails.of_account(account_id) if each.kind is EmailKind.CHANGE_EMAIL]
    if waiting:
        tx.emails.delete(list(tx.emails.lock(waiting)))


def _accounts_of(tx: Transaction, claimed: Collection[OutgoingEmail]) -> Mapping[EmailId, Account]:
    """The accounts by e-mail: the one that the e-mail names, or else the one of its recipient."""
    named = {each.account_id for each in claimed if each.account_id is not None and each.kind in TOKEN_PURPOSES}
    asked = {each.recipient for each in claimed if each.account_id is None and each.kind in TOKEN_PURPOSES}
    by_id = tx.accounts.get_many(named) if named else {}
    by_email = tx.accounts.by_email(asked) if asked else {}
    accounts = {}
    for each in claimed:
        account = by_email.get(each.recipient) if each.account_id is None else by_id.get(each.account_id)
        if account is not None:
            accounts[each.id] = account
    return accounts
