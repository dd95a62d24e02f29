"""Accounts and sessions in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from attrs import evolve

from scalecommerce_core.domain.account import Account, Session
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.testing.memory.tables import Tables


class MemoryAccounts:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[AccountId]:
        return [AccountId(number) for number in self._numbers("accounts", count)]

    def add(self, accounts: Collection[Account]) -> None:
        taken = {account.email for account in self._tables.accounts.all()}
        for account in accounts:
            if account.email in taken:
                raise Duplicate("email")
            taken.add(account.email)
            self._tables.accounts.put(account.id, account)

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]:
        return self._tables.accounts.get_many(sorted(ids))

    def save(self, accounts: Collection[Account]) -> None:
        for account in accounts:
            self._tables.accounts.put(account.id, account)

    def by_email(self, emails: Collection[str]) -> Mapping[str, Account]:
        given = set(emails)
        return {account.email: evolve(account) for account in self._tables.accounts.all() if account.email in given}

    def staff_among(self, ids: Collection[AccountId]) -> set[AccountId]:
        return {account.id for account in self._tables.accounts.get_many(ids).values() if account.is_staff}


class MemorySessions:
    def __init__(self, tables: Tables) -> None:
        self._sessions = tables.sessions

    def add(self, sessions: Collection[Session]) -> None:
        for session in sessions:
            self._sessions.put(session.id, session)

    save = add

    def lock(self, ids: Collection[SessionId]) -> Mapping[SessionId, Session]:
        return self._sessions.get_many(sorted(ids))

    def revoke_all(self, account_id: AccountId, now: datetime, *, keep: SessionId | None = None) -> None:
        for session in [evolve(session) for session in self._sessions.all()]:
            if session.account_id == account_id and session.id != keep:
                session.revoke(now)
                self._sessions.put(session.id, session)
