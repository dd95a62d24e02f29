"""The progress of background validation for the watchdog, read by one statement that takes no locks."""

from datetime import timedelta

from attrs import frozen
from sqlalchemy import Engine, text

from adapters.db.core.advisory_locks import KEY_SPACE, AdvisoryLock
from adapters.db.core.errors import translate_errors
from scalecommerce_core.domain.identifiers import OrderId


@frozen
class LockHolder:
    """The session that holds the decider lock; `age` is how long its transaction has been open."""

    pid: int
    application: str
    age: timedelta


@frozen
class Backlog:
    """`oldest` is the first order without any decision attempt, or None; `age` is how long it has been waiting.

    Orders whose decision failed are not counted; they are retried. `lock_holder` is None while nothing is decided.
    """

    oldest: OrderId | None
    age: timedelta = timedelta()
    lock_holder: LockHolder | None = None


_BACKLOG = text(
    f"""
    SELECT undecided.id, now() - undecided.created_at, holder.pid, holder.application_name, now() - holder.xact_start
    FROM (VALUES (0)) AS always
    LEFT JOIN (
        SELECT id, created_at FROM orders WHERE status = 'CREATED' AND decide_attempts = 0 ORDER BY id LIMIT 1
    ) AS undecided ON true
    LEFT JOIN (
        SELECT pid, application_name, xact_start FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND objid = :decider AND objsubid = 1
        AND classid = CAST({KEY_SPACE} AS oid)
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        LIMIT 1
    ) AS holder ON true
    """  # noqa: S608 - constants
)


def read_backlog(engine: Engine) -> Backlog:
    """Read the backlog; raise `Unavailable`. The connection is closed, so that forked processes do not share it."""
    try:
        with translate_errors(engine), engine.connect() as connection:
            oldest, age, session, application, open_for = connection.execute(
                _BACKLOG, {"decider": AdvisoryLock.DECIDER.value}
            ).one()
    finally:
        engine.dispose()
    holder = None if session is None else LockHolder(session, application or "", open_for or timedelta())
    return Backlog(None if oldest is None else OrderId(oldest), age or timedelta(), holder)
