"""Sessions: tokens, their exchange, and the check that a session still allows access."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve, field, frozen

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.base64url import to_base64url
from scalecommerce_core.domain.errors import NotAuthenticated, NotFound, TokenNotValid, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.product_views import ESTABLISHED_AFTER, ViewerTrust
from scalecommerce_core.domain.session import Lifetimes, Session, SessionClient
from scalecommerce_core.ports import (
    Claims,
    Clock,
    Ids,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
    TokenKind,
    Tokens,
    Transaction,
)
from scalecommerce_core.queries import SessionQueries, SessionState, SessionView
from scalecommerce_core.services.retry import retry_on

DEFAULT_LIFETIMES = Lifetimes()
UNKNOWN_CLIENT = SessionClient()
LOGIN_REFUSED = "No active account has this e-mail address and password."
CLOCK_SKEW = timedelta(minutes=5)
"""How far the clocks of a process that revokes a session and of one that reads this may differ."""


@frozen
class TokenPair:
    """An access token and a refresh token; a log-in also returns the device token that later log-ins should send."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    device: str = field(default="", repr=False)


@frozen
class BrowserAccess:
    """An access token of a browser session, with its content."""

    token: str = field(repr=False)
    identity: "Identity"
    expires_at: datetime
    """When the token expires; the session may be continued then."""


@frozen
class Identity:
    """The account and session that an access token was issued to."""

    account_id: AccountId
    session_id: SessionId
    is_staff: bool
    trust: ViewerTrust = ViewerTrust.UNKNOWN
    """When the token was issued."""
    scopes: frozenset[Scope] | None = None
    """The scopes of an API key; None for a session, which has no such limit."""


class Sessions:
    """Use cases of sessions.

    A signed access token proves who logged in; `check` finds out in the store whether access has ended since:
    by log-out, a change of the password, or deactivation or demotion of the account. API processes make most
    of these checks in memory, with `recent_revocations` and the change feed. A refresh token is checked in the store at
    each use.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        queries: SessionQueries,
        *,
        ids: Ids,
        tokens: Tokens,
        security_log: SecurityLog,
        lifetimes: Lifetimes = DEFAULT_LIFETIMES,
        retention: timedelta = timedelta(days=30),
        staff_need_second_factor: bool = False,
    ) -> None:
        """Ended sessions are purged after `retention`.

        With `staff_need_second_factor`, staff without a second factor have the rights of other accounts only.
        """
        self._store = store
        self._clock = clock
        self._queries = queries
        self._ids = ids
        self._tokens = tokens
        self._security_log = security_log
        self._lifetimes = lifetimes
        self._retention = retention
        self._staff_need_second_factor = staff_need_second_factor

    @property
    def revocation_lifetime(self) -> timedelta:
        """How long a revocation must be remembered: until all access tokens of the session have expired."""
        return self._lifetimes.access + CLOCK_SKEW

    def recent_revocations(self) -> Sequence[SessionId]:
        """The revoked sessions that an access token may still name."""
        return self._queries.revoked_sessions(self._clock.now() - self.revocation_lifetime)

    def refused(self, identities: Sequence[Identity]) -> Sequence[TokenNotValid | None]:
        """For each identity, the error if its session was revoked or the rights of its account changed, else None."""
        states = self._queries.session_states({identity.session_id for identity in identities})
        return [
            None if allows(states.get(identity.session_id), identity) else session_ended() for identity in identities
        ]

    def open(self, account: Account, client: SessionClient = UNKNOWN_CLIENT) -> TokenPair:
        """Open a session and return its tokens. The caller has verified the credentials of `account`.

        Raise `NotAuthenticated` if the account was deactivated, or its password changed, since `account` was read.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            # The lock orders this log-in before or after a deactivation, which revokes all sessions that it sees.
            current = tx.accounts.lock([account.id]).get(account.id)
            if current is None or not current.is_active or current.password_hash != account.password_hash:
                raise NotAuthenticated(LOGIN_REFUSED)
            ends_at = self._lifetimes.end_of_session(now, now, is_staff=current.is_staff)
            session = Session(
                SessionId(self._ids.token()),
                account.id,
                self._ids.token(),
                now,
                ends_at,
                network=client.network,
                user_agent=client.user_agent,
            )
            tx.sessions.add([session])
            trust = _viewer_trust(tx, current, session)
            is_staff = self._has_staff_rights(tx, current)
        return self._issue_tokens(session, trust, is_staff=is_staff)

    @retry_on(TransactionAborted)
    def refresh(self, token: str, *, address: str = "") -> TokenPair:
        """Exchange a refresh token for a new pair; raise `TokenNotValid`.

        Within `Lifetimes.refresh_grace` after its exchange, a token returns the same pair, byte for byte. Later reuse
        revokes the session (`domain.session.Session.exchange`).
        """
        now = self._clock.now()
        claims = self._tokens.read(token, now)
        if claims.kind is not TokenKind.REFRESH:
            raise TokenNotValid("This is not a refresh token.")
        with self._store.begin() as tx:
            # Accounts before sessions: the lock order of `ports.unit_of_work`.
            account = tx.accounts.lock([claims.account_id]).get(claims.account_id)
            session = tx.sessions.lock([claims.session_id]).get(claims.session_id)
            valid, trust, is_staff = False, ViewerTrust.UNKNOWN, False
            was_revoked = session is None or session.revoked_at is not None
            if session is not None and account is not None and account.is_active:
                valid = session.exchange(
                    claims.id,
                    self._ids.token(),
                    now,
                    ends_at=self._lifetimes.end_of_session(session.created_at, now, is_staff=account.is_staff),
                    grace=self._lifetimes.refresh_grace,
                )
                tx.sessions.save([session])
                trust = _viewer_trust(tx, account, session)
                is_staff = self._has_staff_rights(tx, account)
        if not valid or session is None or account is None:
            if session is not None and session.revoked_at is not None and not was_revoked:
                self._record(SecurityEventKind.REFRESH_TOKEN_REUSED, claims.account_id, address)
            raise session_ended()
        return self._issue_tokens(session, trust, is_staff=is_staff)

    @retry_on(TransactionAborted)
    def bind_cookie(self, who: Identity) -> str:
        """Make the caller's session a browser session; return the value of its cookie for `continue_by_cookie`.

        The refresh token of the session becomes invalid: the cookie replaces it. Raise `TokenNotValid` if the session
        has ended.
        """
        secret = self._ids.token()
        with self._store.begin() as tx:
            session = lock_open_session(tx, who.session_id)
            session.bind_cookie(secret, self._clock.now())
            tx.sessions.save([session])
        return f"{who.session_id}.{secret}"

    @retry_on(TransactionAborted)
    def continue_by_cookie(self, cookie: str) -> BrowserAccess:
        """An access token for the browser session with this cookie; raise `TokenNotValid` if it has ended.

        The session lasts as long as one whose refresh token is exchanged now (`domain.session.Lifetimes`).
        """
        now = self._clock.now()
        name, _, secret = cookie.partition(".")
        session_id = SessionId(name)
        state = self._queries.session_states({session_id}).get(session_id)
        if state is None:
            raise session_ended()
        with self._store.begin() as tx:
            # Accounts before sessions: the lock order of `ports.unit_of_work`.
            account = tx.accounts.lock([state.account_id]).get(state.account_id)
            session = tx.sessions.lock([session_id]).get(session_id)
            if session is None or account is None or not account.is_active:
                raise session_ended()
            is_continued = session.continue_by_cookie(
                secret,
                now,
                ends_at=self._lifetimes.end_of_session(session.created_at, now, is_staff=account.is_staff),
                reuse=self._lifetimes.access / 2,
            )
            if not is_continued:
                raise session_ended()
            tx.sessions.save([session])
            trust = _viewer_trust(tx, account, session)
            is_staff = self._has_staff_rights(tx, account)
        token = self._issue_tokens(session, trust, is_staff=is_staff).access
        expires_at = min(session.issued_at + self._lifetimes.access, session.expires_at)
        return BrowserAccess(token, Identity(account.id, session.id, is_staff, trust), expires_at)

    def identify(self, access: str) -> Identity:
        """The caller that an access token was issued to; raise `TokenNotValid`, also if access has ended since."""
        identity = self.read(access)
        self.check(identity)
        return identity

    def verify(self, token: str) -> Claims:
        """The claims of an access or refresh token; raise `TokenNotValid`, also if its session has ended."""
        claims = self._tokens.read(token, self._clock.now())
        if claims.kind is TokenKind.DEVICE:
            raise TokenNotValid("This is not an access or refresh token.")
        self.check(Identity(claims.account_id, claims.session_id, claims.is_staff))
        return claims

    def read(self, access: str) -> Identity:
        """The content of an access token, without a look-up; raise `TokenNotValid`.

        Access may have ended since the token was issued: `check` it, or `identify` the caller instead.
        """
        now = self._clock.now()
        claims = self._tokens.read(access, now)
        if claims.kind is not TokenKind.ACCESS:
            raise TokenNotValid("This is not an access token.")
        return Identity(claims.account_id, claims.session_id, claims.is_staff, claims.trust)

    def check(self, identity: Identity) -> None:
        """Raise `TokenNotValid` if the session was revoked, or the rights of its account changed."""
        (error,) = self.refused([identity])
        if error is not None:
            raise error

    def log_out(self, who: Identity, *, address: str = "") -> None:
        """Revoke the session: its tokens become invalid."""
        self._revoke(who.session_id)
        self._record(SecurityEventKind.SESSION_REVOKED, who.account_id, address, "logged out")

    def list_open(self, account_id: AccountId) -> Sequence[SessionView]:
        """The open sessions of an account, the newest first."""
        return self._queries.open_sessions(account_id, self._clock.now())

    def revoke(self, who: Identity, number: int, *, address: str = "") -> None:
        """Revoke one of the caller's sessions by its `SessionView.number`; raise `NotFound`."""
        found = [session for session in self.list_open(who.account_id) if session.number == number]
        if not found:
            raise NotFound("session", number)
        self._revoke(found[0].id)
        self._record(SecurityEventKind.SESSION_REVOKED, who.account_id, address)

    @retry_on(TransactionAborted)
    def revoke_others(self, who: Identity, *, address: str = "") -> None:
        """Revoke all of the caller's sessions except the present one."""
        with self._store.begin() as tx:
            tx.sessions.revoke_all(who.account_id, self._clock.now(), keep=who.session_id)
        self._record(SecurityEventKind.SESSION_REVOKED, who.account_id, address, "all others")

    def purge(self, limit: int = 2_000) -> int:
        """Delete up to `limit` sessions that ended longer ago than the retention; return their number."""
        # A revoked session must be known for as long as its access token may be valid.
        age = max(self._retention, self.revocation_lifetime)
        with self._store.begin() as tx:
            return tx.sessions.purge(self._clock.now() - age, limit)

    @retry_on(TransactionAborted)
    def _revoke(self, session_id: SessionId) -> None:
        now = self._clock.now()
        with self._store.begin() as tx:
            sessions = tx.sessions.lock([session_id])
            for session in sessions.values():
                session.revoke(now)
            tx.sessions.save(list(sessions.values()))

    def _record(self, kind: SecurityEventKind, account_id: AccountId, address: str, detail: str = "") -> None:
        self._security_log.record(SecurityEvent(kind, account_id, address, detail))

    def _has_staff_rights(self, tx: Transaction, account: Account) -> bool:
        if not account.is_staff or not self._staff_need_second_factor:
            return account.is_staff
        factor = tx.second_factors.get_many([account.id]).get(account.id)
        return factor is not None and factor.is_enabled

    def _issue_tokens(self, session: Session, trust: ViewerTrust, *, is_staff: bool) -> TokenPair:
        """The current tokens of a session. They depend on stored fields only, so that they can be issued again."""
        issued = session.issued_at
        access = Claims(
            kind=TokenKind.ACCESS,
            id=_access_id(session.current),
            account_id=session.account_id,
            session_id=session.id,
            is_staff=is_staff,
            expires_at=min(issued + self._lifetimes.access, session.expires_at),
            trust=trust,
        )
        refresh = evolve(
            access, kind=TokenKind.REFRESH, id=session.current, expires_at=session.expires_at, trust=ViewerTrust.UNKNOWN
        )
        return TokenPair(self._tokens.issue(access, issued), self._tokens.issue(refresh, issued))


def session_ended() -> TokenNotValid:
    return TokenNotValid("The session has ended: log in again.")


def lock_open_session(tx: Transaction, session_id: SessionId) -> Session:
    """Lock the session of a caller, before a change that would outlast it; raise `TokenNotValid` if it was revoked
    after the caller was identified, such as by a reset of the password.
    """
    session = tx.sessions.lock([session_id]).get(session_id)
    if session is None or session.revoked_at is not None:
        raise session_ended()
    return session


def allows(state: SessionState | None, identity: Identity) -> bool:
    """Whether a session in this state still gives the rights of `identity`; None: there is no such session."""
    return (
        state is not None
        and state.is_open
        and state.account_id == identity.account_id
        # Staff without a second factor may have a token without rights of staff.
        and (state.is_staff or not identity.is_staff)
    )


def _viewer_trust(tx: Transaction, account: Account, session: Session) -> ViewerTrust:
    """Trust in the account at the time of issue of the session's current tokens."""
    issued = session.issued_at
    return ViewerTrust.of(
        issued - account.created_at, lambda: tx.orders.has_bought(account.id, issued - ESTABLISHED_AFTER)
    )


def _access_id(refresh_id: str) -> str:
    """The `jti` of the access token issued with this refresh token: 128 bits that do not reveal the refresh token's."""
    return to_base64url(hashlib.sha256(f"access {refresh_id}".encode()).digest()[:16])
