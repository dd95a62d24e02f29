"""Accounts and sessions in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import AccountToken
from scalecommerce_core.domain.identifiers import AccountId, EmailId, SessionId
from scalecommerce_core.domain.outgoing_email import OutgoingEmail
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.session import Session
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

    get_many = lock

    def lock_with_staff(self, account_id: AccountId) -> Mapping[AccountId, Account]:
        staff = {account.id for account in self._tables.accounts.all() if account.is_staff and account.is_active}
        return self.lock(staff | {account_id})

    def save(self, accounts: Collection[Account]) -> None:
        for account in accounts:
            before = self._tables.accounts.get(account.id)
            if (before is None or before.email != account.email) and self.by_email([account.email]):
                raise Duplicate("email")
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

    def purge(self, before: datetime, limit: int) -> int:
        dead = [
            session.id
            for session in self._sessions.all()
            if session.expires_at < before or (session.revoked_at is not None and session.revoked_at < before)
        ][:limit]
        for id_ in dead:
            self._sessions.delete(id_)
        return len(dead)

    def erase_clients(self, account_id: AccountId) -> None:
        for session in self.of_account(account_id):
            self._sessions.put(session.id, evolve(session, network="", user_agent=""))

    def of_account(self, account_id: AccountId) -> Sequence[Session]:
        found = [evolve(session) for session in self._sessions.all() if session.account_id == account_id]
        return sorted(found, key=lambda session: (session.created_at, session.id))

    def revoke_all(self, account_id: AccountId, now: datetime, *, keep: SessionId | None = None) -> None:
        for session in [evolve(session) for session in self._sessions.all()]:
            if session.account_id == account_id and session.id != keep:
                session.revoke(now)
                self._sessions.put(session.id, session)


class MemoryAccountTokens:
    def __init__(self, tables: Tables) -> None:
        self._tokens = tables.account_tokens

    def add(self, tokens: Collection[AccountToken]) -> None:
        for token in tokens:
            self._tokens.put(token.digest, token)

    def get_many(self, digests: Collection[str]) -> Mapping[str, AccountToken]:
        return self._tokens.get_many(digests)

    def delete_of(self, account_id: AccountId) -> None:
        self._delete([token.digest for token in self._tokens.all() if token.account_id == account_id])

    def purge(self, before: datetime, limit: int) -> int:
        return self._delete([token.digest for token in self._tokens.all() if token.expires_at < before][:limit])

    def _delete(self, digests: Sequence[str]) -> int:
        for digest in digests:
            self._tokens.delete(digest)
        return len(digests)


class MemoryEmails:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._emails = tables.emails
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[EmailId]:
        return [EmailId(number) for number in self._numbers("emails", count)]

    def add(self, emails: Collection[OutgoingEmail]) -> None:
        for email in emails:
            self._emails.put(email.id, email)

    save = add

    def claim_due(self, limit: int, now: datetime) -> Sequence[OutgoingEmail]:
        due = sorted((email.try_at, email.id) for email in self._emails.all() if email.try_at <= now)
        return list(self._emails.get_many(id_ for _, id_ in due[:limit]).values())

    def lock(self, ids: Collection[EmailId]) -> Mapping[EmailId, OutgoingEmail]:
        return self._emails.get_many(sorted(ids))

    def delete(self, ids: Collection[EmailId]) -> None:
        for id_ in ids:
            self._emails.delete(id_)

    def of_account(self, account_id: AccountId) -> Sequence[OutgoingEmail]:
        found = sorted(email.id for email in self._emails.all() if email.account_id == account_id)
        return list(self._emails.get_many(found).values())


class MemorySecondFactors:
    def __init__(self, tables: Tables) -> None:
        self._factors = tables.second_factors

    def get_many(self, ids: Collection[AccountId]) -> Mapping[AccountId, SecondFactor]:
        return self._factors.get_many(sorted(ids))

    lock = get_many

    def lock_after(self, account_id: AccountId, limit: int) -> Sequence[SecondFactor]:
        following = sorted(each.account_id for each in self._factors.all() if each.account_id > account_id)
        return list(self._factors.get_many(following[:limit]).values())

    def put(self, factors: Collection[SecondFactor]) -> None:
        for factor in factors:
            self._factors.put(factor.account_id, factor)

    def delete(self, ids: Collection[AccountId]) -> None:
        for id_ in ids:
            self._factors.delete(id_)
