"""API keys of accounts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, delete, select, text

from adapters.db.core.bulk_statements import Insert, Update, id_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import api_key_ids, api_keys
from scalecommerce_core.domain.api_key import ApiKey, Scope
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId

_CHANGED: Final = ("prefix", "digest", "revoked_at", "previous_digest", "previous_until")
COLUMNS: Final = ("id", "account_id", "name", "scopes", "created_at", "expires_at", "used_at", *_CHANGED)
_NUMBERS: Final = next_numbers_statement(api_key_ids)
_INSERT: Final = Insert(api_keys, *COLUMNS)
_UPDATE: Final = Update(api_keys, ["id"], *_CHANGED)
_OF_ACCOUNT: Final = api_keys.c.account_id == bindparam("account", type_=BigInteger)
OPEN_KEYS: Final = select(*(api_keys.c[name] for name in COLUMNS)).where(_OF_ACCOUNT, api_keys.c.revoked_at.is_(None))
_LOCK_ALL: Final = OPEN_KEYS.order_by(api_keys.c.id).with_for_update(key_share=True)
_DELETE_ALL: Final = delete(api_keys).where(_OF_ACCOUNT)
# Locked in the order of ids, as elsewhere.
_RECORD_USES: Final = text(
    """
    WITH uses AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:moments AS timestamptz[])) AS use(id, at)
    ), locked AS (
        SELECT api_keys.id, at FROM api_keys JOIN uses ON uses.id = api_keys.id
        ORDER BY api_keys.id FOR NO KEY UPDATE OF api_keys
    )
    UPDATE api_keys SET used_at = locked.at FROM locked
    WHERE api_keys.id = locked.id AND (api_keys.used_at IS NULL OR api_keys.used_at < locked.at)
    """
)


class PostgresApiKeyRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[ApiKeyId]:
        return [ApiKeyId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, keys: Collection[ApiKey]) -> None:
        self._sql.insert(_INSERT, [tuple(_value(key, name) for name in COLUMNS) for key in keys])

    def lock_all(self, account_id: AccountId) -> Sequence[ApiKey]:
        return [to_api_key(row) for row in self._sql.fetch_all(_LOCK_ALL, {"account": account_id})]

    def save(self, keys: Collection[ApiKey]) -> None:
        self._sql.update(_UPDATE, [(key.id, *(_value(key, name) for name in _CHANGED)) for key in keys])
        self._sql.pending_changes.key_owners.update(key.account_id for key in keys)

    def record_uses(self, uses: Mapping[ApiKeyId, datetime]) -> None:
        moments = ",".join(moment.isoformat() for moment in uses.values())
        self._sql.execute(_RECORD_USES, {"ids": id_array(uses), "moments": f"{{{moments}}}"})

    def delete_all(self, account_id: AccountId) -> None:
        if self._sql.execute(_DELETE_ALL, {"account": account_id}):
            self._sql.pending_changes.key_owners.add(account_id)


def _value(key: ApiKey, name: str) -> Any:
    return " ".join(sorted(key.scopes)) if name == "scopes" else getattr(key, name)


def to_scopes(text: str) -> frozenset[Scope]:
    """Parse the column `scopes`; scopes of a later release are left out."""
    known = {scope.value for scope in Scope}
    return frozenset(Scope(word) for word in text.split() if word in known)


def to_api_key(row: Sequence[Any]) -> ApiKey:
    """A row of `COLUMNS` as a key."""
    values = dict(zip(COLUMNS, row, strict=True))
    return ApiKey(**{**values, "scopes": to_scopes(values["scopes"])})
