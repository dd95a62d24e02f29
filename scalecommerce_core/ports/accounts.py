"""Accounts and their sessions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.account import Account, Session
from scalecommerce_core.domain.identifiers import AccountId, SessionId


class AccountRepository(Protocol):
    def next_ids(self, count: int) -> Sequence[AccountId]: ...

    def add(self, accounts: Collection[Account]) -> None:
        """Raise `Duplicate("email")`."""
        ...

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]: ...

    def save(self, accounts: Collection[Account]) -> None: ...

    def by_email(self, emails: Collection[str]) -> Mapping[str, Account]:
        """Read without a lock, by normal (lower-case) address: for log-ins and imports."""
        ...


class SessionRepository(Protocol):
    def add(self, sessions: Collection[Session]) -> None: ...

    def lock(self, ids: Collection[SessionId]) -> Mapping[SessionId, Session]: ...

    def save(self, sessions: Collection[Session]) -> None: ...

    def revoke_all(self, account_id: AccountId, now: datetime, *, keep: SessionId | None = None) -> None: ...
