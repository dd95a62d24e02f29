"""Queries of sessions: whether one still allows access."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, SessionId


@frozen
class SessionState:
    """`is_open`: the session is not revoked and its account is active. `is_staff`: whether the account is staff now."""

    account_id: AccountId
    is_open: bool
    is_staff: bool


class SessionQueries(Protocol):
    def session_states(self, ids: Collection[SessionId]) -> Mapping[SessionId, SessionState]:
        """Return the states of sessions, without unknown ids."""
        ...

    def revoked_sessions(self, since: datetime) -> Sequence[SessionId]:
        """Return the sessions that were revoked at `since` or later."""
        ...
