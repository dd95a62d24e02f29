"""Accounts and their sessions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import AccountToken
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.session import Session


class AccountRepository(Protocol):
    """Accounts, by id."""

    def next_ids(self, count: int) -> Sequence[AccountId]:
        """Draw `count` new ids."""
        ...

    def add(self, accounts: Collection[Account]) -> None:
        """Insert accounts; raise `Duplicate("email")`."""
        ...

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]:
        """Lock and read accounts."""
        ...

    def lock_with_staff(self, account_id: AccountId) -> Mapping[AccountId, Account]:
        """Lock and read an account and all active staff accounts, so that none of them changes meanwhile."""
        ...

    def save(self, accounts: Collection[Account]) -> None:
        """Update accounts that this transaction has locked."""
        ...

    def get_many(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]:
        """Read accounts without a lock."""
        ...

    def by_email(self, emails: Collection[str]) -> Mapping[str, Account]:
        """Read accounts without a lock, by normalised (lower-case) address, for log-ins and imports."""
        ...

    def staff_among(self, ids: Collection[AccountId]) -> set[AccountId]:
        """Which of these accounts are staff, read without a lock."""
        ...


class SessionRepository(Protocol):
    """Log-in sessions, by id.

    A commit that revokes sessions is reported to the change feed. A revoked session must stay stored for as long as its
    access token may be valid.
    """

    def add(self, sessions: Collection[Session]) -> None:
        """Insert sessions."""
        ...

    def lock(self, ids: Collection[SessionId]) -> Mapping[SessionId, Session]:
        """Lock and read sessions."""
        ...

    def save(self, sessions: Collection[Session]) -> None:
        """Update sessions that this transaction has locked."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` sessions that were revoked or expired before this time; return their number."""
        ...

    def erase_clients(self, account_id: AccountId) -> None:
        """Empty what the sessions of an account tell about their clients: networks and user agents."""
        ...

    def of_account(self, account_id: AccountId) -> Sequence[Session]:
        """Read the sessions of an account without a lock, oldest first."""
        ...

    def revoke_all(self, account_id: AccountId, now: datetime, *, keep: SessionId | None = None) -> None:
        """Revoke all sessions of an account except `keep`."""
        ...


class AccountTokenRepository(Protocol):
    """Single-use tokens, by digest. A transaction locks the account before it reads tokens that it will use."""

    def add(self, tokens: Collection[AccountToken]) -> None:
        """Insert tokens."""
        ...

    def get_many(self, digests: Collection[str]) -> Mapping[str, AccountToken]:
        """Read tokens without a lock."""
        ...

    def delete_of(self, account_id: AccountId) -> None:
        """Delete all tokens of an account that this transaction has locked."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` tokens that expired before this time; return how many."""
        ...


class SecondFactorRepository(Protocol):
    """Second factors, by account. A commit that switches one on or off is reported to the change feed, because staff
    may have their rights only with one.
    """

    def get_many(self, ids: Collection[AccountId]) -> Mapping[AccountId, SecondFactor]:
        """Read second factors without a lock."""
        ...

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, SecondFactor]:
        """Lock and read second factors."""
        ...

    def lock_after(self, account_id: AccountId, limit: int) -> Sequence[SecondFactor]:
        """Lock and read the next `limit` second factors after an account, by account."""
        ...

    def put(self, factors: Collection[SecondFactor]) -> None:
        """Insert second factors, or replace those of the same accounts."""
        ...

    def delete(self, ids: Collection[AccountId]) -> None:
        """Delete the second factors of accounts."""
        ...
