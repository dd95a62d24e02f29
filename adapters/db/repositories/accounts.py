"""Accounts and log-in sessions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Text, bindparam, delete, select, text, update

from adapters.db.core.bulk_statements import Insert, Update, Upsert, equals_any, id_array, text_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import Moment, account_ids, account_tokens, accounts, second_factors, sessions
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import AccountToken, TokenPurpose
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.session import Session

_PROFILE: Final = (
    "email",
    "password_hash",
    "first_name",
    "last_name",
    "bio",
    "is_staff",
    "is_active",
    "email_verified_at",
    "display_name",
)
_COLUMNS: Final = ("id", *_PROFILE, "created_at")
_SELECTED: Final = select(*(accounts.c[name] for name in _COLUMNS))

_NUMBERS: Final = next_numbers_statement(account_ids)
_INSERT: Final = Insert(accounts, *_COLUMNS)
_UPDATE: Final = Update(accounts, ["id"], *_PROFILE)
_GET_MANY: Final = _SELECTED.where(equals_any(accounts.c.id)).order_by(accounts.c.id)
_LOCK: Final = _GET_MANY.with_for_update(key_share=True)
_LOCK_WITH_STAFF: Final = (
    _SELECTED.where((accounts.c.id == bindparam("id", type_=BigInteger)) | (accounts.c.is_staff & accounts.c.is_active))
    .order_by(accounts.c.id)
    .with_for_update(key_share=True)
)
_BY_EMAIL: Final = _SELECTED.where(equals_any(accounts.c.email, "emails"))


_STAFF_AMONG: Final = select(accounts.c.id).where(equals_any(accounts.c.id), accounts.c.is_staff)


class PostgresAccountRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql
        self._seller_fields: dict[AccountId, tuple[object, ...]] = {}
        self._rights: dict[AccountId, tuple[bool, bool]] = {}

    def next_ids(self, count: int) -> Sequence[AccountId]:
        return [AccountId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, new: Collection[Account]) -> None:
        self._sql.insert(_INSERT, [_row(account) for account in new])

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]:
        return self._locked(self._sql.fetch_all(_LOCK, {"ids": id_array(ids)}))

    def lock_with_staff(self, account_id: AccountId) -> Mapping[AccountId, Account]:
        return self._locked(self._sql.fetch_all(_LOCK_WITH_STAFF, {"id": account_id}))

    def _locked(self, rows: Iterable[Sequence[Any]]) -> Mapping[AccountId, Account]:
        found = {account.id: account for account in map(_account, rows)}
        self._seller_fields.update((account.id, _seller_fields(account)) for account in found.values())
        self._rights.update((account.id, _rights(account)) for account in found.values())
        return found

    def save(self, changed: Collection[Account]) -> None:
        self._sql.update(_UPDATE, [_row(account)[:-1] for account in changed])
        self._sql.pending_changes.sellers.update(
            a.id for a in changed if self._seller_fields.get(a.id) != _seller_fields(a)
        )
        self._sql.pending_changes.key_owners.update(a.id for a in changed if self._rights.get(a.id) != _rights(a))

    def get_many(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]:
        return {
            account.id: account for account in map(_account, self._sql.fetch_all(_GET_MANY, {"ids": id_array(ids)}))
        }

    def by_email(self, emails: Collection[str]) -> Mapping[str, Account]:
        found = map(_account, self._sql.fetch_all(_BY_EMAIL, {"emails": text_array(emails)}))
        return {account.email: account for account in found}

    def staff_among(self, ids: Collection[AccountId]) -> set[AccountId]:
        rows = self._sql.fetch_all(_STAFF_AMONG, {"ids": id_array(ids)}) if ids else ()
        return {AccountId(id_) for (id_,) in rows}


def _rights(account: Account) -> tuple[bool, bool]:
    """The fields of an account that decide about requests with its API keys."""
    return account.is_active, account.is_staff


def _seller_fields(account: Account) -> tuple[object, ...]:
    """The fields of an account that determine how its products are shown, and whether they are."""
    return account.first_name, account.last_name, account.email, account.display_name, account.is_active


def _row(account: Account) -> tuple[Any, ...]:
    return tuple(getattr(account, name) for name in _COLUMNS)


def _account(row: Sequence[Any]) -> Account:
    return Account(**dict(zip(_COLUMNS, row, strict=True)))


_STATE: Final = ("current", "expires_at", "revoked_at", "previous", "rotated_at")
_SESSION: Final = ("id", "account_id", "created_at", *_STATE, "network", "user_agent")
_INSERT_SESSION: Final = Insert(sessions, *_SESSION)
_UPDATE_SESSION: Final = Update(sessions, ["id"], *_STATE)
_LOCK_SESSIONS: Final = (
    select(*(sessions.c[name] for name in _SESSION))
    .where(equals_any(sessions.c.id))
    .order_by(sessions.c.id)
    .with_for_update(key_share=True)
)
_ERASE_CLIENTS: Final = (
    update(sessions)
    .where(sessions.c.account_id == bindparam("account", type_=BigInteger))
    .values(network="", user_agent="")
)
_SESSIONS_OF: Final = (
    select(*(sessions.c[name] for name in _SESSION))
    .where(sessions.c.account_id == bindparam("account", type_=BigInteger))
    .order_by(sessions.c.created_at, sessions.c.id)
)
_REVOKE_ALL: Final = (
    update(sessions)
    .where(
        sessions.c.account_id == bindparam("account"),
        sessions.c.revoked_at.is_(None),
        sessions.c.id.is_distinct_from(bindparam("kept", type_=Text)),
    )
    .values(revoked_at=bindparam("now", type_=Moment))
    .returning(sessions.c.id)
)


# Two indexes give the rows, so the conditions are not joined by OR.
_PURGE_SESSIONS: Final = text(
    """
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM (
            (SELECT id FROM sessions WHERE expires_at < :before LIMIT :limit)
            UNION (SELECT id FROM sessions WHERE revoked_at < :before LIMIT :limit)
        ) AS dead LIMIT :limit
    )
    """
).bindparams(bindparam("before", type_=Moment))


class PostgresSessionRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql
        self._revoked_before: set[SessionId] = set()

    def add(self, new: Collection[Session]) -> None:
        self._sql.insert(_INSERT_SESSION, [tuple(getattr(session, name) for name in _SESSION) for session in new])

    def lock(self, ids: Collection[SessionId]) -> Mapping[SessionId, Session]:
        rows = self._sql.fetch_all(_LOCK_SESSIONS, {"ids": text_array(ids)})
        found = {row[0]: Session(**dict(zip(_SESSION, row, strict=True))) for row in rows}
        self._revoked_before.update(id_ for id_, session in found.items() if session.revoked_at is not None)
        return found

    def save(self, changed: Collection[Session]) -> None:
        self._sql.update(
            _UPDATE_SESSION,
            [(session.id, *(getattr(session, name) for name in _STATE)) for session in changed],
        )
        revoked = {session.id for session in changed if session.revoked_at is not None}
        self._sql.pending_changes.revoked_sessions.update(revoked - self._revoked_before)

    def purge(self, before: datetime, limit: int) -> int:
        return self._sql.execute(_PURGE_SESSIONS, {"before": before, "limit": limit})

    def erase_clients(self, account_id: AccountId) -> None:
        self._sql.execute(_ERASE_CLIENTS, {"account": account_id})

    def of_account(self, account_id: AccountId) -> Sequence[Session]:
        rows = self._sql.fetch_all(_SESSIONS_OF, {"account": account_id})
        return [Session(**dict(zip(_SESSION, row, strict=True))) for row in rows]

    def revoke_all(self, account_id: AccountId, now: datetime, *, keep: SessionId | None = None) -> None:
        rows = self._sql.fetch_all(_REVOKE_ALL, {"account": account_id, "kept": keep, "now": now})
        self._sql.pending_changes.revoked_sessions.update(id_ for (id_,) in rows)


_TOKEN: Final = ("digest", "account_id", "purpose", "email", "account_state", "expires_at")
_INSERT_TOKENS: Final = Insert(account_tokens, *_TOKEN)
_GET_TOKENS: Final = select(*(account_tokens.c[name] for name in _TOKEN)).where(
    equals_any(account_tokens.c.digest, "digests")
)
_DELETE_TOKENS: Final = delete(account_tokens).where(
    account_tokens.c.account_id == bindparam("account", type_=BigInteger)
)
_PURGE_TOKENS: Final = text(
    """
    DELETE FROM account_tokens WHERE digest IN (
        SELECT digest FROM account_tokens WHERE expires_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    """
)


class PostgresAccountTokenRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def add(self, tokens: Collection[AccountToken]) -> None:
        self._sql.insert(_INSERT_TOKENS, [tuple(getattr(token, name) for name in _TOKEN) for token in tokens])

    def get_many(self, digests: Collection[str]) -> Mapping[str, AccountToken]:
        rows = self._sql.fetch_all(_GET_TOKENS, {"digests": text_array(digests)})
        return {row[0]: AccountToken(row[0], AccountId(row[1]), TokenPurpose(row[2]), *row[3:]) for row in rows}

    def delete_of(self, account_id: AccountId) -> None:
        self._sql.execute(_DELETE_TOKENS, {"account": account_id})

    def purge(self, before: datetime, limit: int) -> int:
        return self._sql.execute(_PURGE_TOKENS, {"before": before, "limit": limit})


_FACTOR: Final = ("account_id", "encrypted_secret", "created_at", "confirmed_at", "last_step", "recovery_codes")
_PUT_FACTORS: Final = Upsert(second_factors, ["account_id"], *_FACTOR[1:])
_GET_FACTORS: Final = (
    select(*(second_factors.c[name] for name in _FACTOR))
    .where(equals_any(second_factors.c.account_id))
    .order_by(second_factors.c.account_id)
)
_LOCK_FACTORS: Final = _GET_FACTORS.with_for_update(key_share=True)
_LOCK_FACTORS_AFTER: Final = (
    select(*(second_factors.c[name] for name in _FACTOR))
    .where(second_factors.c.account_id > bindparam("after", type_=BigInteger))
    .order_by(second_factors.c.account_id)
    .limit(bindparam("limit"))
    .with_for_update(key_share=True)
)
_DELETE_FACTORS: Final = delete(second_factors).where(equals_any(second_factors.c.account_id))


class PostgresSecondFactorRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql
        self._enabled: set[AccountId] = set()

    def get_many(self, ids: Collection[AccountId]) -> Mapping[AccountId, SecondFactor]:
        return {row[0]: _factor(row) for row in self._sql.fetch_all(_GET_FACTORS, {"ids": id_array(ids)})}

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, SecondFactor]:
        return {each.account_id: each for each in self._locked(_LOCK_FACTORS, {"ids": id_array(ids)})}

    def lock_after(self, account_id: AccountId, limit: int) -> Sequence[SecondFactor]:
        return self._locked(_LOCK_FACTORS_AFTER, {"after": account_id, "limit": limit})

    def _locked(self, statement: Any, parameters: Mapping[str, object]) -> Sequence[SecondFactor]:
        found = [_factor(row) for row in self._sql.fetch_all(statement, parameters)]
        self._enabled.update(each.account_id for each in found if each.is_enabled)
        return found

    def put(self, factors: Collection[SecondFactor]) -> None:
        self._sql.upsert(
            _PUT_FACTORS,
            [(*(getattr(each, name) for name in _FACTOR[:-1]), list(each.recovery_codes)) for each in factors],
        )
        self._sql.pending_changes.key_owners.update(
            each.account_id for each in factors if each.is_enabled is not (each.account_id in self._enabled)
        )

    def delete(self, ids: Collection[AccountId]) -> None:
        if self._sql.execute(_DELETE_FACTORS, {"ids": id_array(ids)}):
            self._sql.pending_changes.key_owners.update(ids)


def _factor(row: Sequence[Any]) -> SecondFactor:
    account_id, encrypted_secret, created_at, confirmed_at, last_step, codes = row
    return SecondFactor(AccountId(account_id), encrypted_secret, created_at, confirmed_at, last_step, tuple(codes))
