"""Session queries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, bindparam, func, select, text

from adapters.db.core.bulk_statements import equals_any, text_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.repositories.api_keys import OPEN_KEYS, to_api_key, to_scopes
from adapters.db.schema import Moment, accounts, api_keys, sessions
from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.queries import MAX_SESSIONS, ApiKeyState, SessionState, SessionView

_STATES: Final = select(
    sessions.c.id,
    sessions.c.account_id,
    sessions.c.revoked_at.is_(None) & accounts.c.is_active,
    accounts.c.is_staff,
).where(sessions.c.account_id == accounts.c.id, equals_any(sessions.c.id))
_REVOKED: Final = select(sessions.c.id).where(sessions.c.revoked_at >= bindparam("since", type_=Moment))


_OPEN: Final = (
    select(
        sessions.c.id,
        sessions.c.created_at,
        func.coalesce(sessions.c.rotated_at, sessions.c.created_at),
        sessions.c.expires_at,
        sessions.c.network,
        sessions.c.user_agent,
    )
    .where(
        sessions.c.account_id == bindparam("account", type_=BigInteger),
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > bindparam("now", type_=Moment),
    )
    .order_by(sessions.c.created_at.desc(), sessions.c.id)
    .limit(MAX_SESSIONS)
)


_KEYS: Final = OPEN_KEYS.order_by(api_keys.c.id.desc())
# Two look-ups in unique indexes. `least` ignores nulls.
_KEY_STATES: Final = text(
    """
    SELECT found.digest, found.id, api_keys.account_id, scopes, revoked_at IS NULL AND is_active, is_staff,
           found.ends_at, confirmed_at IS NOT NULL
    FROM (
        SELECT id, digest, expires_at AS ends_at FROM api_keys WHERE digest = ANY (CAST(:digests AS text[]))
        UNION ALL
        SELECT id, previous_digest, least(expires_at, previous_until) FROM api_keys
        WHERE previous_digest = ANY (CAST(:digests AS text[]))
    ) AS found
    JOIN api_keys ON api_keys.id = found.id JOIN accounts ON accounts.id = api_keys.account_id
    LEFT JOIN second_factors ON second_factors.account_id = api_keys.account_id
    """
)


class SessionQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def session_states(self, ids: Collection[SessionId]) -> Mapping[SessionId, SessionState]:
        rows = self._executor.fetch(_STATES, {"ids": text_array(ids)})
        return {id_: SessionState(account_id, is_open, is_staff) for id_, account_id, is_open, is_staff in rows}

    def open_sessions(self, account_id: AccountId, now: datetime) -> Sequence[SessionView]:
        return [SessionView(*row) for row in self._executor.fetch(_OPEN, {"account": account_id, "now": now})]

    def api_keys(self, account_id: AccountId) -> Sequence[ApiKey]:
        return [to_api_key(row) for row in self._executor.fetch(_KEYS, {"account": account_id})]

    def api_key_states(self, digests: Collection[str]) -> Mapping[str, ApiKeyState]:
        rows = self._executor.fetch(_KEY_STATES, {"digests": text_array(digests)})
        return {
            digest: ApiKeyState(id_, account_id, to_scopes(scopes), is_open, is_staff, ends_at, has_second_factor)
            for digest, id_, account_id, scopes, is_open, is_staff, ends_at, has_second_factor in rows
        }

    def revoked_sessions(self, since: datetime) -> Sequence[SessionId]:
        return [SessionId(id_) for (id_,) in self._executor.fetch(_REVOKED, {"since": since})]
