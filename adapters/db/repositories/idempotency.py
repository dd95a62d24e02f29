"""Idempotency keys, in the transaction of their effect: a twin waits for the first to commit, and finds its answer."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, text

from adapters.db.batches import Insert, Update, int_array, text_array
from adapters.db.errors import LockTimeout
from adapters.db.sql import Sql
from adapters.db.tables import Moment, idempotency_keys
from scalecommerce_core.domain.errors import IdempotencyKeyInFlight
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import StoredOutcome
from scalecommerce_core.services.idempotency import LIFETIME

Key = tuple[AccountId, str]

# Rows go in as they come, which is sorted: the global order of locks. A key that another transaction is taking makes
# this statement wait for it; one that was taken long ago is taken over.
_CLAIM: Final = Insert(idempotency_keys, "owner", "key", "fingerprint", "taken_at")
_CLAIM_STATEMENT: Final = f"""
{_CLAIM.statement}
ON CONFLICT (owner, key) DO UPDATE
SET fingerprint = excluded.fingerprint, body = NULL, taken_at = excluded.taken_at
WHERE idempotency_keys.taken_at <= excluded.taken_at - interval '{LIFETIME.total_seconds()} s'
RETURNING owner, key
"""
_GIVEN: Final = "unnest(CAST(:owners AS bigint[]), CAST(:keys AS text[])) AS given(owner, key)"
_STORED: Final = text(
    f"""
    SELECT owner, key, fingerprint, body
    FROM idempotency_keys JOIN {_GIVEN} USING (owner, key)
    """  # noqa: S608 - no values in it
)
_STORE: Final = Update(idempotency_keys, ["owner", "key"], "body")
_RELEASE: Final = text(
    f"""
    DELETE FROM idempotency_keys USING {_GIVEN}
    WHERE idempotency_keys.owner = given.owner AND idempotency_keys.key = given.key
    """  # noqa: S608 - no values in it
)
_FORGET: Final = text(
    """
    DELETE FROM idempotency_keys WHERE (owner, key) IN (
        SELECT owner, key FROM idempotency_keys WHERE taken_at < :before
        ORDER BY taken_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    """
).bindparams(bindparam("before", type_=Moment))


class IdempotencyKeys:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def claim(self, keys: Mapping[Key, bytes], now: datetime) -> Mapping[Key, StoredOutcome]:
        if not keys:
            return {}
        rows = [(owner, key, keys[owner, key], now) for owner, key in sorted(keys)]
        try:
            taken = {(owner, key) for owner, key in self._sql.returning(_CLAIM_STATEMENT, _CLAIM.arrays(rows))}
        except LockTimeout as error:
            raise IdempotencyKeyInFlight("The same request is being worked on: ask again in a moment.") from error
        if not (known := keys.keys() - taken):
            return {}
        found = self._sql.rows(_STORED, _given(known))
        return {(owner, key): StoredOutcome(fingerprint, body) for owner, key, fingerprint, body in found}

    def store(self, bodies: Mapping[Key, bytes]) -> None:
        self._sql.update(_STORE, [(owner, key, body) for (owner, key), body in sorted(bodies.items())])

    def release(self, keys: Collection[Key]) -> None:
        if keys:
            self._sql.run(_RELEASE, _given(keys))

    def forget(self, before: datetime, limit: int) -> int:
        return self._sql.run(_FORGET, {"before": before, "limit": limit})


def _given(keys: Collection[Key]) -> dict[str, str]:
    return {"owners": int_array(owner for owner, _ in keys), "keys": text_array(key for _, key in keys)}
