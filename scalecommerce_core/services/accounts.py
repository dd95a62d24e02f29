"""Accounts: sign-up, log-in, token refresh, profile and password."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve, field, frozen

from scalecommerce_core.domain.account import Account, Session, normal_email
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
from scalecommerce_core.domain.product_views import ESTABLISHED_AFTER, ViewerTrust
from scalecommerce_core.domain.secret import Secret, as_optional_secret
from scalecommerce_core.ports import (
    Claims,
    Clock,
    Duplicate,
    Ids,
    LoginLimiter,
    Passwords,
    Store,
    TokenKind,
    Tokens,
    Transaction,
)
from scalecommerce_core.services.results import apply_each, succeeded
from scalecommerce_core.services.retry import retry_on

LOGIN_REFUSED = "No active account has this e-mail address and password."


@frozen
class SignUp:
    """Create an account; with `password` None it has no log-in (imported customers)."""

    email: str
    password: Secret | None = field(converter=as_optional_secret)
    first_name: str = ""
    last_name: str = ""
    bio: str = ""
    is_staff: bool = False


@frozen
class TokenPair:
    """An access token and a refresh token."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


@frozen
class Identity:
    """The account and session that an access token was issued to."""

    account_id: AccountId
    session_id: SessionId
    is_staff: bool
    trust: ViewerTrust = ViewerTrust.UNKNOWN
    """When the token was issued."""


@frozen
class Lifetimes:
    """Lifetimes of tokens. For `refresh_grace` after its exchange, a refresh token returns the same new pair again."""

    access: timedelta = timedelta(minutes=10)
    refresh: timedelta = timedelta(days=14)
    refresh_grace: timedelta = timedelta(seconds=10)


class Accounts:
    """Use cases of accounts.

    An access token is valid until it expires, without a look-up; a refresh token is checked in the store at each use.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        ids: Ids,
        passwords: Passwords,
        tokens: Tokens,
        limiter: LoginLimiter,
        lifetimes: Lifetimes = Lifetimes(),
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._tokens = tokens
        self._limiter = limiter
        self._lifetimes = lifetimes

    @retry_on(TransactionAborted)
    def sign_up(self, commands: Sequence[SignUp]) -> list[Account | MarketError]:
        """Create accounts; `Invalid` names the fields, `email` also for an address that has an account."""
        now = self._clock.now()
        hashes = [self._checked_hash(command) for command in commands]
        try:
            with self._store.begin() as tx:
                ids = iter(tx.accounts.next_ids(len(commands)))
                emails = {email for email in (_email_or_none(c.email) for c in commands) if email is not None}
                taken = set(tx.accounts.by_email(emails))

                def create(hashed_command: tuple[SignUp, str | Invalid | None]) -> Account:
                    command, hashed = hashed_command
                    account_id = next(ids)
                    if isinstance(hashed, Invalid):
                        raise hashed
                    email = normal_email(command.email)
                    if email in taken:
                        raise _email_taken()
                    taken.add(email)
                    account = Account(account_id, email, hashed, now, is_staff=command.is_staff)
                    account.edit(first_name=command.first_name, last_name=command.last_name, bio=command.bio)
                    return account

                outcomes = apply_each(zip(commands, hashes, strict=True), create)
                tx.accounts.add(succeeded(outcomes))
        except Duplicate:
            # A concurrent sign-up used the same address between the read and the write above.
            if len(commands) == 1:
                return [_email_taken()]
            return [outcome for command in commands for outcome in self.sign_up([command])]
        return outcomes

    def log_in(self, email: str, password: str, *, address: str = "") -> TokenPair:
        """Open a session and return its tokens.

        `address` is the client's network address; failures are counted per address and per account. Raise
        `TooManyAttempts`, or `NotAuthenticated` with one message for all reasons, so that it does not reveal which
        accounts exist.
        """
        now = self._clock.now()
        # An invalid e-mail address is not looked up: it may be of any length and content.
        name = _email_or_none(email)
        keys = [key for key, given in ((f"account:{name}", name), (f"address:{address}", address)) if given]
        if wait := self._limiter.retry_after(keys, now):
            seconds = max(1, round(wait.total_seconds()))
            raise TooManyAttempts(f"Too many failed log-ins: try again in {seconds} s.", wait)
        with self._store.begin() as tx:
            account = None if name is None else tx.accounts.by_email([name]).get(name)
        # Outside the transaction: hashing takes long and must not occupy a connection.
        right = self._passwords.verify(account.password_hash if account is not None else None, password)
        if account is None or not right or not account.is_active:
            self._limiter.record_failure(keys, now)
            raise NotAuthenticated(LOGIN_REFUSED)
        self._limiter.reset([f"account:{name}"])
        session = Session(
            SessionId(self._ids.token()), account.id, self._ids.token(), now, now + self._lifetimes.refresh
        )
        with self._store.begin() as tx:
            tx.sessions.add([session])
            trust = _viewer_trust(tx, account, session)
        return self._issue_tokens(account, session, trust)

    @retry_on(TransactionAborted)
    def refresh(self, token: str) -> TokenPair:
        """Exchange a refresh token for a new pair; raise `TokenNotValid`.

        Within `Lifetimes.refresh_grace` after its exchange, a token returns the same pair, byte for byte. Later reuse
        revokes the session (`domain.account.Session.exchange`).
        """
        now = self._clock.now()
        claims = self._tokens.read(token, now)
        if claims.kind is not TokenKind.REFRESH:
            raise TokenNotValid("This is not a refresh token.")
        with self._store.begin() as tx:
            # Accounts before sessions: the lock order of `ports.unit_of_work`.
            account = tx.accounts.lock([claims.account_id]).get(claims.account_id)
            session = tx.sessions.lock([claims.session_id]).get(claims.session_id)
            valid, trust = False, ViewerTrust.UNKNOWN
            if session is not None and account is not None and account.is_active:
                valid = session.exchange(
                    claims.id,
                    self._ids.token(),
                    now,
                    lifetime=self._lifetimes.refresh,
                    grace=self._lifetimes.refresh_grace,
                )
                tx.sessions.save([session])
                trust = _viewer_trust(tx, account, session)
        if not valid or session is None or account is None:
            raise TokenNotValid("The session is over: log in again.")
        return self._issue_tokens(account, session, trust)

    def verify(self, token: str) -> Claims:
        """The claims of an access or refresh token; raise `TokenNotValid`. Its session is not checked."""
        return self._tokens.read(token, self._clock.now())

    def identify(self, access: str) -> Identity:
        """The caller that an access token was issued to; raise `TokenNotValid`."""
        claims = self.verify(access)
        if claims.kind is not TokenKind.ACCESS:
            raise TokenNotValid("This is not an access token.")
        return Identity(claims.account_id, claims.session_id, claims.is_staff, claims.trust)

    @retry_on(TransactionAborted)
    def log_out(self, who: Identity) -> None:
        """Revoke the session: its refresh tokens become invalid; its access token stays valid until it expires."""
        now = self._clock.now()
        with self._store.begin() as tx:
            sessions = tx.sessions.lock([who.session_id])
            for session in sessions.values():
                session.revoke(now)
            tx.sessions.save(list(sessions.values()))

    @retry_on(TransactionAborted)
    def edit_profile(
        self,
        account_id: AccountId,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        bio: str | None = None,
    ) -> Account:
        """Change the given fields of the profile; raise `NotFound` or `Invalid`."""
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([account_id]).get(account_id), account_id)
            account.edit(first_name=first_name, last_name=last_name, bio=bio)
            tx.accounts.save([account])
        return account

    def change_password(self, who: Identity, old: str, new: str) -> None:
        """Replace the password and revoke all other sessions; raise `Invalid`."""
        now = self._clock.now()
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([who.account_id]).get(who.account_id), who.account_id)
        if not self._passwords.verify(account.password_hash, old):
            raise Invalid.field("old_password", "This is not your password.")
        complaints = self._passwords.find_violations(
            new, about=_words(account.email, account.first_name, account.last_name)
        )
        if complaints:
            raise Invalid({"new_password": complaints})
        hashed = self._passwords.hash(new)
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([who.account_id]).get(who.account_id), who.account_id)
            tx.accounts.save([evolve(account, password_hash=hashed)])
            tx.sessions.revoke_all(who.account_id, now, keep=who.session_id)
            own = list(tx.sessions.lock([who.session_id]).values())
            for session in own:
                session.end_grace()
            tx.sessions.save(own)

    def appoint_staff(self, email: str, password: str | None = None) -> Account:
        """Make an existing account staff, set its password if one is given, and revoke all of its sessions.

        Sessions are revoked so that no earlier token gains staff rights. An account that is staff already is unchanged
        if no password is given. Raise `NotFound`, or `Invalid` for a weak password, or if the account has no password
        and none is given.
        """
        address = normal_email(email)
        with self._store.begin() as tx:
            found = tx.accounts.by_email([address]).get(address)
        if found is None:
            raise NotFound("account", email)
        if password is None and found.password_hash is None:
            raise Invalid.field("password", "This account has no password, so it cannot log in: give a password.")
        hashed = None
        if password is not None:
            about = _words(found.email, found.first_name, found.last_name)
            if violations := self._passwords.find_violations(password, about=about):
                raise Invalid({"password": violations})
            # Outside the transaction: hashing takes long.
            hashed = self._passwords.hash(password)
        return self._appoint(found.id, hashed, self._clock.now())

    @retry_on(TransactionAborted)
    def _appoint(self, account_id: AccountId, hashed: str | None, now: datetime) -> Account:
        with self._store.begin() as tx:
            account = self._locked(tx.accounts.lock([account_id]).get(account_id), account_id)
            if account.is_staff and hashed is None:
                return account
            account.is_staff = True
            if hashed is not None:
                account.password_hash = hashed
            tx.accounts.save([account])
            tx.sessions.revoke_all(account_id, now)
        return account

    def _checked_hash(self, command: SignUp) -> str | Invalid | None:
        errors: dict[str, list[str]] = {}
        try:
            normal_email(command.email)
        except Invalid as error:
            errors |= error.errors
        try:
            Account(AccountId(0), "", None, self._clock.now()).edit(
                first_name=command.first_name, last_name=command.last_name, bio=command.bio
            )
        except Invalid as error:
            errors |= error.errors
        if command.password is not None:
            about = _words(command.email, command.first_name, command.last_name)
            if violations := self._passwords.find_violations(command.password.reveal(), about=about):
                errors["password"] = violations
        if errors:
            return Invalid(errors)
        return None if command.password is None else self._passwords.hash(command.password.reveal())

    def _issue_tokens(self, account: Account, session: Session, trust: ViewerTrust) -> TokenPair:
        """The current tokens of a session. They depend on stored fields only, so that they can be issued again."""
        issued = session.issued_at
        access = Claims(
            kind=TokenKind.ACCESS,
            id=_access_id(session.current),
            account_id=account.id,
            session_id=session.id,
            is_staff=account.is_staff,
            expires_at=issued + self._lifetimes.access,
            trust=trust,
        )
        refresh = evolve(
            access, kind=TokenKind.REFRESH, id=session.current, expires_at=session.expires_at, trust=ViewerTrust.UNKNOWN
        )
        return TokenPair(self._tokens.issue(access, issued), self._tokens.issue(refresh, issued))

    @staticmethod
    def _locked(account: Account | None, account_id: AccountId) -> Account:
        if account is None:
            raise NotFound("account", account_id)
        return account


def _viewer_trust(tx: Transaction, account: Account, session: Session) -> ViewerTrust:
    """Trust in the account at the time of issue of the session's current tokens."""
    issued = session.issued_at
    return ViewerTrust.of(
        issued - account.created_at, lambda: tx.orders.has_bought(account.id, issued - ESTABLISHED_AFTER)
    )


def _email_or_none(email: str) -> str | None:
    try:
        return normal_email(email)
    except Invalid:
        return None


def _access_id(refresh_id: str) -> str:
    """The `jti` of the access token issued with this refresh token: 128 bits that do not reveal the refresh token's."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"access {refresh_id}".encode()).digest()[:16]).rstrip(b"=").decode()


def _email_taken() -> Invalid:
    return Invalid.field("email", "An account with this e-mail address exists already.")


def _words(email: str, *names: str) -> list[str]:
    return [email, email.partition("@")[0], *names]
