"""Idempotency keys, stored in the transaction of their effect. A claim never waits for another transaction."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, text

from adapters.db.core.advisory_locks import AdvisoryLock, first_lock_key
from adapters.db.core.bulk_statements import Insert, Update, int_array, text_array
from adapters.db.core.session import SqlSession
from adapters.db.schema import Moment, idempotency_keys
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import StoredOutcome
from scalecommerce_core.services.idempotency import KEY_LIFETIME

Key = tuple[AccountId, str]

# An INSERT would wait at the unique index for an uncommitted row with the same key. So an advisory lock on the hash of
# each key is tried first, and keys without the lock are skipped. If two keys have the same hash, one is reported as in
# flight, and its client retries. A row that is committed meanwhile is handled by ON CONFLICT, or read by the next
# statement. The difference of two times is IMMUTABLE, as Citus requires of ON CONFLICT; a time minus an interval is
# only STABLE.
_CLAIM: Final = Insert(idempotency_keys, "owner", "key", "fingerprint", "taken_at")
_CLAIM_STATEMENT: Final = f"""
INSERT INTO idempotency_keys ({_CLAIM.names})
SELECT {_CLAIM.names} FROM (
    SELECT {_CLAIM.selected},
        pg_try_advisory_xact_lock(
            {first_lock_key(AdvisoryLock.IDEMPOTENCY_KEY)}, hashtextextended(key, owner)::bit(32)::int
        ) AS is_locked
    FROM {_CLAIM.source}
    OFFSET 0
) AS tried
WHERE is_locked
ON CONFLICT (owner, key) DO UPDATE
SET fingerprint = excluded.fingerprint, body = NULL, taken_at = excluded.taken_at
WHERE excluded.taken_at - idempotency_keys.taken_at >= interval '{KEY_LIFETIME.total_seconds()} s'
RETURNING owner, key
"""  # noqa: S608 - names of tables and columns
_KEY_ROWS: Final = "unnest(CAST(:owners AS bigint[]), CAST(:keys AS text[])) AS given(owner, key)"
_STORED: Final = text(
    f"""
    SELECT owner, key, fingerprint, body, taken_at
    FROM idempotency_keys JOIN {_KEY_ROWS} USING (owner, key)
    """  # noqa: S608 - no values in it
)
_STORE: Final = Update(idempotency_keys, ["owner", "key"], "body")
_RELEASE: Final = text(
    f"""
    DELETE FROM idempotency_keys USING {_KEY_ROWS}
    WHERE idempotency_keys.owner = given.owner AND idempotency_keys.key = given.key
    """  # noqa: S608 - no values in it
)
_PURGE: Final = text(
    """
    DELETE FROM idempotency_keys WHERE (owner, key) IN (
        SELECT owner, key FROM idempotency_keys WHERE taken_at < :before
        ORDER BY taken_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    """
).bindparams(bindparam("before", type_=Moment))


class PostgresIdempotencyRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def claim(self, keys: Mapping[Key, bytes], now: datetime) -> Mapping[Key, StoredOutcome | None]:
        if not keys:
            return {}
        rows = [(owner, key, keys[owner, key], now) for owner, key in sorted(keys)]
        taken = {
            (owner, key) for owner, key in self._sql.fetch_returning(_CLAIM_STATEMENT, _CLAIM.array_literals(rows))
        }
        others = keys.keys() - taken
        return {**dict.fromkeys(others), **self.find(others, now)}

    def find(self, keys: Collection[Key], now: datetime) -> Mapping[Key, StoredOutcome]:
        if not keys:
            return {}
        return {
            (owner, key): StoredOutcome(fingerprint, body)
            for owner, key, fingerprint, body, taken_at in self._sql.fetch_all(_STORED, _key_arrays(keys))
            # An expired key still has its row while another transaction replaces it.
            if taken_at > now - KEY_LIFETIME
        }

    def store(self, bodies: Mapping[Key, bytes]) -> None:
        self._sql.update(_STORE, [(owner, key, body) for (owner, key), body in sorted(bodies.items())])

    def release(self, keys: Collection[Key]) -> None:
        if keys:
            self._sql.execute(_RELEASE, _key_arrays(keys))

    def purge(self, before: datetime, limit: int) -> int:
        return self._sql.execute(_PURGE, {"before": before, "limit": limit})


def _key_arrays(keys: Collection[Key]) -> dict[str, str]:
    return {"owners": int_array(owner for owner, _ in keys), "keys": text_array(key for _, key in keys)}
