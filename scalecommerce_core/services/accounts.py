"""Accounts: sign-up, log-in, profile and password."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, field, frozen

from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.account_token import account_state
from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction, AuditEntry
from scalecommerce_core.domain.base64url import to_base64url
from scalecommerce_core.domain.errors import (
    Invalid,
    MarketError,
    NotAuthenticated,
    NotFound,
    TokenNotValid,
    TooManyAttempts,
    TransactionAborted,
)
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.domain.secret import Secret, as_optional_secret
from scalecommerce_core.domain.session import SessionClient
from scalecommerce_core.domain.text import normal_reason
from scalecommerce_core.ports import (
    Claims,
    Clock,
    Duplicate,
    Ids,
    LoginLimiter,
    Passwords,
    RateLimit,
    RateLimiter,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
    TokenKind,
    Tokens,
    Transaction,
)
from scalecommerce_core.services.account_limits import per_client
from scalecommerce_core.services.emails import Emails, drop_email_changes
from scalecommerce_core.services.login_throttle import Admission, LoginClient, LoginLimits, LoginThrottle
from scalecommerce_core.services.rate_limiter import KnownRefusals
from scalecommerce_core.services.results import apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.second_factor_check import (
    SecondFactorCheck,
    SecondFactorRejected,
    SecondFactorRequired,
)
from scalecommerce_core.services.sessions import LOGIN_REFUSED, Identity, Sessions, TokenPair, lock_open_session

logger = logging.getLogger(__name__)

ATTEMPTS_FACTOR: Final = 10
"""Attempts to sign up for each allowed sign-up: people correct a password that is too weak a few times."""
APPOINTED_BY_OPERATOR = "Appointed by an operator."


@frozen
class SignUp:
    """Create an account; with `password` None it has no log-in (imported customers)."""

    email: str
    password: Secret | None = field(converter=as_optional_secret)
    first_name: str = ""
    last_name: str = ""
    bio: str = ""
    is_staff: bool = False
    verify_email: bool = False
    """Send an e-mail to confirm the address, if e-mails are on."""
    display_name: str = ""

    @property
    def profile(self) -> Mapping[str, str]:
        """The fields of `Account.edit`."""
        names = ("first_name", "last_name", "bio", "display_name")
        return {name: getattr(self, name) for name in names}


@frozen
class SignUpLimits:
    """Limits on sign-ups in `window`: `per_address` for each client address, and `total`; 0 switches a limit off.

    Attempts count too, with or without success, because the check of a password costs a millisecond: `ATTEMPTS_FACTOR`
    times `per_address`.
    """

    per_address: int = 20
    total: int = 1_000
    window: timedelta = timedelta(hours=1)

    def uses(self, address: str) -> list[tuple[RateLimit, str]]:
        """The limits and keys of one sign-up from `address`."""
        uses = [*per_client(RateLimit("sign-up per address", self.per_address, self.window), address)]
        uses.append((RateLimit("sign-up", self.total, self.window), ""))
        return [use for use in uses if use[0].events]

    def attempts(self, address: str) -> Sequence[tuple[RateLimit, str]]:
        """The limits and keys of an attempt from `address`, which may break the rules of passwords or names."""
        if not self.per_address:
            return ()
        events = ATTEMPTS_FACTOR * self.per_address
        return per_client(RateLimit("sign-up attempts per address", events, self.window), address)


class Accounts:
    """Use cases of accounts: sign-up, log-in, profile and password. `Sessions` has those of open sessions."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        ids: Ids,
        passwords: Passwords,
        tokens: Tokens,
        limiter: LoginLimiter,
        rate_limiter: RateLimiter,
        security_log: SecurityLog,
        sessions: Sessions,
        login_limits: LoginLimits | None = None,
        sign_up_limits: SignUpLimits | None = None,
        emails: Emails | None = None,
        second_factor: SecondFactorCheck | None = None,
    ) -> None:
        """Without `emails`, owners are not notified of changes to their accounts. Without `second_factor`, log-ins need
        the password only.
        """
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._tokens = tokens
        self._rate_limiter = rate_limiter
        self._security_log = security_log
        self._sessions = sessions
        self._emails = emails
        self._second_factor = second_factor
        self._login_limits = login_limits or LoginLimits()
        self._sign_up_limits = sign_up_limits or SignUpLimits()
        self._refused_sign_ups = KnownRefusals()
        self._log_ins = LoginThrottle(limiter, self._login_limits)
        self._password_checks = LoginThrottle(limiter, self._login_limits, "password check")

    def sign_up(self, commands: Sequence[SignUp], *, address: str | None = None) -> list[Account | MarketError]:
        """Create accounts; `Invalid` names the fields, `email` also for an address that has an account.

        With the network `address` of a client, `SignUpLimits` apply: to attempts before anything is checked, and to
        commands that are valid in themselves before their passwords are hashed: `TooManyAttempts`. An empty address is
        one that is unknown. Operators and imports pass None: no limits apply, and no event of a sign-up is recorded.
        """
        hashes = [self._checked_hash(command, address) for command in commands]
        outcomes = self._add_accounts(commands, hashes)
        if address is not None:
            for account in succeeded(outcomes):
                self._record(SecurityEventKind.SIGN_UP, account.id, address)
        return outcomes

    def check_sign_up(self, address: str) -> None:
        """Raise `TooManyAttempts` if this process knows that sign-ups of the address are refused; O(1), without I/O."""
        if wait := self._refused_sign_ups.wait(address, self._clock.now()):
            raise TooManyAttempts.of("sign-ups", wait)

    @retry_on(TransactionAborted)
    def _add_accounts(
        self, commands: Sequence[SignUp], hashes: Sequence[str | MarketError | None]
    ) -> list[Account | MarketError]:
        now = self._clock.now()
        try:
            with self._store.begin() as tx:
                ids = iter(tx.accounts.next_ids(len(commands)))
                emails = {email for email in (_email_or_none(c.email) for c in commands) if email is not None}
                taken = set(tx.accounts.by_email(emails))

                def create(hashed_command: tuple[SignUp, str | MarketError | None]) -> Account:
                    command, hashed = hashed_command
                    account_id = next(ids)
                    if isinstance(hashed, MarketError):
                        raise hashed
                    email = normal_email(command.email)
                    if email in taken:
                        raise _email_taken()
                    taken.add(email)
                    account = Account(account_id, email, hashed, now, is_staff=command.is_staff)
                    account.edit(**command.profile)
                    return account

                outcomes = apply_each(zip(commands, hashes, strict=True), create)
                created = succeeded(outcomes)
                tx.accounts.add(created)
                # Only operators create accounts that are staff.
                tx.audit.record([_appointment(account.id, now) for account in created if account.is_staff])
                if self._emails is not None:
                    asked = [a for a, c in zip(outcomes, commands, strict=True) if c.verify_email]
                    recipients = {account.email: account.id for account in succeeded(asked)}
                    self._emails.queue(tx, EmailKind.VERIFY_EMAIL, recipients, now)
        except Duplicate:
            # A concurrent sign-up used the same address between the read and the write above.
            if len(commands) == 1:
                return [_email_taken()]
            pairs = zip(commands, hashes, strict=True)
            return [outcome for command, hashed in pairs for outcome in self._add_accounts([command], [hashed])]
        return outcomes

    def log_in(
        self,
        email: str,
        password: str,
        *,
        code: str = "",
        address: str | None = None,
        device_token: str = "",
        user_agent: str = "",
    ) -> TokenPair:
        """Open a session and return its tokens.

        `address` is the client's network address, and `device_token` the one that an earlier log-in of this device
        returned. They decide which limits on failures apply (`services.login_throttle`). `code` is the one-time
        password or recovery code of an account with a second factor. Raise `TooManyAttempts`, or `NotAuthenticated`
        with one message for all reasons, so that it does not reveal which accounts exist; after the right password,
        also `SecondFactorRequired` or `SecondFactorRejected`. The session stores shortened forms of `address` and
        `user_agent`, by which its owner recognizes it.
        """
        now = self._clock.now()
        # An invalid e-mail address is not looked up: it may be of any length and content.
        name = _email_or_none(email)
        with self._store.begin() as tx:
            account = None if name is None else tx.accounts.by_email([name]).get(name)
        stamp = _password_stamp(account)
        device = self._read_device(device_token, account, stamp, now)
        admission = self._admit(self._log_ins, LoginClient(name, address, device, stamp), account, now)
        # Outside a transaction: hashing takes long and must not occupy a connection.
        right = self._passwords.verify(account.password_hash if account is not None else None, password)
        if account is None or not right or not account.is_active:
            self._log_ins.record_failure(admission, now)
            self._record(SecurityEventKind.LOG_IN_FAILED, None if account is None else account.id, address)
            raise NotAuthenticated(LOGIN_REFUSED)
        passed = ""
        if self._second_factor is not None:
            # Before the client counts as known: so far it knows the password only.
            passed = self._second_factor.check(account, code, address=address or "", device=device)
        if device is None or not device.startswith(passed):
            device = passed + self._ids.token()
        account = self._rehash(account, password)
        stamp = _password_stamp(account)
        self._log_ins.record_success(evolve(admission, client=evolve(admission.client, stamp=stamp)), now)
        pair = self._sessions.open(account, SessionClient.of(address or "", user_agent))
        self._record(SecurityEventKind.LOG_IN, account.id, address, "second factor" if passed else "")
        return evolve(pair, device=self._issue_device(device, account, stamp, now))

    @retry_on(TransactionAborted)
    def edit_profile(
        self,
        account_id: AccountId,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        bio: str | None = None,
        display_name: str | None = None,
    ) -> Account:
        """Change the given fields of the profile; raise `NotFound` or `Invalid`."""
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([account_id]).get(account_id), account_id)
            account.edit(first_name=first_name, last_name=last_name, bio=bio, display_name=display_name)
            tx.accounts.save([account])
        return account

    def change_password(
        self,
        who: Identity,
        old: str,
        new: str,
        *,
        code: str = "",
        revoke_api_keys: bool = False,
        address: str | None = None,
    ) -> None:
        """Replace the password and revoke all other sessions, and on request all API keys.

        An account with a second factor needs a `code`. Raise `Invalid`, which names the field, `TooManyAttempts` as
        `check_password` does, or `TokenNotValid` if the session was revoked meanwhile.
        """
        now = self._clock.now()
        account = self.check_password(who.account_id, old, field_name="old_password", address=address)
        complaints = self._passwords.find_violations(
            new, about=_words(account.email, account.first_name, account.last_name)
        )
        if complaints:
            raise Invalid({"new_password": complaints})
        self.check_code(account, code, address=address)
        hashed = self._passwords.hash(new)
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([who.account_id]).get(who.account_id), who.account_id)
            tx.accounts.save([evolve(account, password_hash=hashed)])
            tx.sessions.revoke_all(who.account_id, now, keep=who.session_id)
            own = lock_open_session(tx, who.session_id)
            own.end_grace()
            tx.sessions.save([own])
            drop_email_changes(tx, who.account_id)
            if self._emails is not None:
                self._emails.notify(tx, EmailKind.PASSWORD_CHANGED, account, now)
            if revoke_api_keys:
                tx.api_keys.delete_all(who.account_id)
        self._record(SecurityEventKind.PASSWORD_CHANGED, who.account_id, address)

    def check_password(
        self, account_id: AccountId, password: str, *, field_name: str = "password", address: str | None = None
    ) -> Account:
        """Confirm that an authenticated caller knows the password; return the account.

        Raise `Invalid` for a wrong one, naming the field, and `TooManyAttempts` after as many failures as log-ins may
        have. Both are counted apart, so that a stranger's failed log-ins do not stop the owner.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([account_id]).get(account_id), account_id)
        client = LoginClient(str(account_id), address, stamp=_password_stamp(account))
        admission = self._admit(self._password_checks, client, account, now)
        # Outside the transaction: hashing takes long.
        if not self._passwords.verify(account.password_hash, password):
            self._password_checks.record_failure(admission, now)
            self._record(SecurityEventKind.LOG_IN_FAILED, account_id, address, "password check")
            raise Invalid.field(field_name, "This is not your password.")
        self._password_checks.record_success(admission, now)
        return account

    def check_code(self, account: Account, code: str, *, address: str | None = None) -> None:
        """If an account, whose password was checked, has a second factor, check and use up a code of it.

        Raise `Invalid`, which names `code`, or `TooManyAttempts`.
        """
        if self._second_factor is None:
            return
        try:
            self._second_factor.check(account, code, address=address or "")
        except (SecondFactorRequired, SecondFactorRejected) as error:
            raise Invalid.field("code", str(error)) from None

    def check_owner(
        self, account_id: AccountId, password: str, code: str = "", *, address: str | None = None
    ) -> Account:
        """Confirm that an authenticated caller is the owner, before an action that would outlast the session.

        Errors are those of `check_password` and `check_code`.
        """
        account = self.check_password(account_id, password, address=address)
        self.check_code(account, code, address=address)
        return account

    def appoint_staff(
        self, email: str, password: str | None = None, *, reason: str = APPOINTED_BY_OPERATOR, by: Actor = OPERATOR
    ) -> Account:
        """Make an existing account staff and set its password, because somebody else may have opened the account.

        Everything by which that person could return ends: sessions, devices that may log in, single-use tokens, API
        keys. If the e-mail address was not verified, the names and the biography are emptied, active webhook endpoints
        disabled, and the second factor removed. An account that is staff already keeps these, and is unchanged if no
        password is given; only operators may set its password, since a member of staff could act as another one with
        it. Raise `NotFound`, `AccountDeleted`, or `Invalid` for a weak, missing or forbidden password.
        """
        normal = normal_email(email)
        with self._store.begin() as tx:
            found = tx.accounts.by_email([normal]).get(normal)
        if found is None:
            raise NotFound("account", email)
        found.check_not_deleted()
        if password is None:
            if found.is_staff:
                return found
            raise Invalid.field("password", "Give a new password: somebody else may know the present one.")
        _check_appointment(found, by.account_id)
        now = self._clock.now()
        entry = by.entry(
            AuditAction.ACCOUNT_STAFF_APPOINTED,
            found.id,
            now,
            before={"is_staff": found.is_staff},
            after={"is_staff": True},
            reason=normal_reason(reason),
        )
        about = _words(found.email, found.first_name, found.last_name)
        if violations := self._passwords.find_violations(password, about=about):
            raise Invalid({"password": violations})
        # Outside the transaction: hashing takes long.
        account = self._appoint(found.id, entry, self._passwords.hash(password))
        self._security_log.record(
            SecurityEvent(SecurityEventKind.STAFF_APPOINTED, account.id, by.address, actor_id=by.account_id)
        )
        return account

    @retry_on(TransactionAborted)
    def _appoint(self, account_id: AccountId, entry: AuditEntry, hashed: str) -> Account:
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([account_id]).get(account_id), account_id)
            account.check_not_deleted()
            _check_appointment(account, entry.actor_id)
            is_doubtful = has_doubtful_profile(account)
            account.password_hash = hashed
            account.is_staff = True
            if is_doubtful:
                account.edit(first_name="", last_name="", bio="", display_name="")
            tx.accounts.save([account])
            tx.audit.record([entry])
            tx.sessions.revoke_all(account_id, entry.occurred_at)
            if is_doubtful:
                because = "Your account became staff: check the URL, then enable the endpoint."
                disable_webhooks(tx, account_id, because)
            tx.account_tokens.delete_of(account_id)
            drop_email_changes(tx, account_id)
            if is_doubtful:
                tx.second_factors.delete([account_id])
            tx.api_keys.delete_all(account_id)
        return account

    def _admit(self, throttle: LoginThrottle, client: LoginClient, account: Account | None, now: datetime) -> Admission:
        try:
            return throttle.admit(client, now)
        except TooManyAttempts as error:
            error.is_recorded = True
            account_id = None if account is None else account.id
            self._record(SecurityEventKind.LOG_IN_LIMITED, account_id, client.address)
            raise

    def _rehash(self, account: Account, password: str) -> Account:
        """Replace a hash with outdated parameters. A failure is logged only: the log-in itself is valid.

        Raise `NotAuthenticated` if the password was changed meanwhile.
        """
        old = account.password_hash
        if old is None or not self._passwords.needs_rehash(old):
            return account
        try:
            hashed = self._passwords.hash(password)
            present = self._replace_hash(account, hashed)
        except (MarketError, ValueError) as error:
            logger.warning("the password hash of account %d was not renewed: %s", account.id, error)
            return account
        # A concurrent log-in may have renewed the hash as well.
        if present.password_hash != hashed and not self._passwords.verify(present.password_hash, password):
            raise NotAuthenticated(LOGIN_REFUSED)
        return present

    @retry_on(TransactionAborted)
    def _replace_hash(self, account: Account, hashed: str) -> Account:
        with self._store.begin() as tx:
            present = self._locked(tx.accounts.lock([account.id]).get(account.id), account.id)
            # The password may have been changed meanwhile.
            if present.password_hash == account.password_hash:
                present.password_hash = hashed
                tx.accounts.save([present])
        return present

    def _read_device(self, token: str, account: Account | None, stamp: str, now: datetime) -> str | None:
        """The id of a valid device token of this account and password; None: there is none."""
        if not token:
            return None
        try:
            claims = self._tokens.read(token, now)
        except TokenNotValid:
            return None
        is_theirs = account is not None and claims.account_id == account.id and claims.session_id == stamp
        return claims.id if is_theirs and claims.kind is TokenKind.DEVICE else None

    def _issue_device(self, device: str, account: Account, stamp: str, now: datetime) -> str:
        claims = Claims(
            kind=TokenKind.DEVICE,
            id=device,
            account_id=account.id,
            session_id=SessionId(stamp),
            is_staff=False,
            expires_at=now + self._login_limits.device_lifetime,
        )
        return self._tokens.issue(claims, now)

    def _record(
        self, kind: SecurityEventKind, account_id: AccountId | None, address: str | None, detail: str = ""
    ) -> None:
        self._security_log.record(SecurityEvent(kind, account_id, address or "", detail))

    def _checked_hash(self, command: SignUp, address: str | None) -> str | MarketError | None:
        if address is not None and (refused := self._limit(self._sign_up_limits.attempts(address), address)):
            return refused
        errors: dict[str, list[str]] = {}
        try:
            normal_email(command.email)
        except Invalid as error:
            errors |= error.errors
        try:
            Account(AccountId(0), "", None, self._clock.now()).edit(**command.profile)
        except Invalid as error:
            errors |= error.errors
        if command.password is not None:
            about = _words(command.email, command.first_name, command.last_name)
            if violations := self._passwords.find_violations(command.password.reveal(), about=about):
                errors["password"] = violations
        if errors:
            return Invalid(errors)
        if address is not None and (refused := self._limit(self._sign_up_limits.uses(address), address)):
            return refused
        return None if command.password is None else self._passwords.hash(command.password.reveal())

    def _limit(self, uses: Sequence[tuple[RateLimit, str]], address: str) -> TooManyAttempts | None:
        now = self._clock.now()
        wait = self._rate_limiter.acquire(uses, now)
        if wait is None:
            return None
        self._refused_sign_ups.add(address, now + wait)
        return TooManyAttempts.of("sign-ups", wait)

    @staticmethod
    def _locked(account: Account | None, account_id: AccountId) -> Account:
        if account is None:
            raise NotFound("account", account_id)
        return account


def check_unchanged(account: Account, checked: Account) -> None:
    """Raise `Invalid` if the password or the address of an account, locked now, changed after its owner was checked."""
    if account_state(account) != account_state(checked):
        raise Invalid.field("password", "The account has changed meanwhile: try again.")


def _appointment(account_id: AccountId, now: datetime) -> AuditEntry:
    return OPERATOR.entry(
        AuditAction.ACCOUNT_STAFF_APPOINTED, account_id, now, after={"is_staff": True}, reason=APPOINTED_BY_OPERATOR
    )


def has_doubtful_profile(account: Account) -> bool:
    """Whether a stranger may have opened the account, so that its promotion must empty its profile, and a reset of its
    password remove its second factor.
    """
    return not account.is_staff and account.email_verified_at is None


def _check_appointment(account: Account, actor_id: AccountId | None) -> None:
    if account.is_staff and actor_id is not None:
        raise Invalid.field("password", "This account is staff already: only its owner and operators set its password.")


def _email_or_none(email: str) -> str | None:
    try:
        return normal_email(email)
    except Invalid:
        return None


def _password_stamp(account: Account | None) -> str:
    """A text that changes with the stored hash of the password and does not reveal it."""
    if account is None or account.password_hash is None:
        return ""
    digest = hashlib.sha256(f"device {account.password_hash}".encode()).digest()[:16]
    return to_base64url(digest)


def disable_webhooks(tx: Transaction, owner: AccountId, because: str) -> None:
    """Disable the endpoints of an account that somebody else may have opened."""
    own = [endpoint.id for endpoint in tx.webhooks.subscribed([owner]) if endpoint.owner_id == owner]
    endpoints = list(tx.webhooks.lock(own).values())
    for endpoint in endpoints:
        endpoint.disable(because)
    tx.webhooks.save(endpoints)


def _email_taken() -> Invalid:
    return Invalid.field("email", "An account with this e-mail address exists already.")


def _words(email: str, *names: str) -> list[str]:
    return [email, email.partition("@")[0], *names]
