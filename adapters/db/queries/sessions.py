"""Session queries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, bindparam, func, select

from adapters.db.core.bulk_statements import equals_any, text_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.schema import Moment, accounts, sessions
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.queries import MAX_SESSIONS, SessionState, SessionView

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


class SessionQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def session_states(self, ids: Collection[SessionId]) -> Mapping[SessionId, SessionState]:
        rows = self._executor.fetch(_STATES, {"ids": text_array(ids)})
        return {id_: SessionState(account_id, is_open, is_staff) for id_, account_id, is_open, is_staff in rows}

    def open_sessions(self, account_id: AccountId, now: datetime) -> Sequence[SessionView]:
        return [SessionView(*row) for row in self._executor.fetch(_OPEN, {"account": account_id, "now": now})]

    def revoked_sessions(self, since: datetime) -> Sequence[SessionId]:
        return [SessionId(id_) for (id_,) in self._executor.fetch(_REVOKED, {"since": since})]
