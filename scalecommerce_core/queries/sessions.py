"""Queries of sessions: whether one still allows access."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.api_key import ApiKey, Scope
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId, SessionId
from scalecommerce_core.domain.session import session_number


@frozen
class SessionState:
    """`is_open`: the session is not revoked and its account is active. `is_staff`: whether the account is staff now."""

    account_id: AccountId
    is_open: bool
    is_staff: bool


@frozen
class SessionView:
    """An open session. `used_at` is when its tokens were last refreshed."""

    id: SessionId
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    network: str
    user_agent: str

    @property
    def number(self) -> int:
        return session_number(self.id)


@frozen
class ApiKeyState:
    """What decides about a request with a key. `is_open`: it is not revoked and its account is active; `ends_at`: when
    the secret in question ends to be valid; `is_staff`, `has_second_factor`: of the account, now.
    """

    id: ApiKeyId
    account_id: AccountId
    scopes: frozenset[Scope]
    is_open: bool
    is_staff: bool
    ends_at: datetime | None
    has_second_factor: bool = False


MAX_SESSIONS: Final = 200
"""Most sessions that a list shows."""


class SessionQueries(Protocol):
    def open_sessions(self, account_id: AccountId, now: datetime) -> Sequence[SessionView]:
        """Return the open sessions of an account, the newest first, at most `MAX_SESSIONS`."""
        ...

    def session_states(self, ids: Collection[SessionId]) -> Mapping[SessionId, SessionState]:
        """Return the states of sessions, without unknown ids."""
        ...

    def api_keys(self, account_id: AccountId) -> Sequence[ApiKey]:
        """Return the keys of an account that are not revoked, the newest first."""
        ...

    def api_key_states(self, digests: Collection[str]) -> Mapping[str, ApiKeyState]:
        """Return the states of keys by their digests, present or previous ones, without unknown digests."""
        ...

    def revoked_sessions(self, since: datetime) -> Sequence[SessionId]:
        """Return the sessions that were revoked at `since` or later."""
        ...
