"""How background validation is doing, as its watchdog wants to know it: one statement, which waits for nobody."""

from datetime import timedelta

from attrs import frozen
from sqlalchemy import Engine, text

from adapters.db.core.advisory_locks import AdvisoryLock
from adapters.db.core.errors import translate_errors
from scalecommerce_core.domain.identifiers import OrderId


@frozen
class LockHolder:
    """A session that holds the decider's lock, and for how long its transaction has been open."""

    pid: int
    application: str
    age: timedelta


@frozen
class Backlog:
    """`oldest` is the first order that waits for its first decision, None without one; `turn` is who decides now.

    Orders that were put aside after an error are left out: they come up again by themselves.
    """

    oldest: OrderId | None
    age: timedelta = timedelta()
    lock_holder: LockHolder | None = None


_BACKLOG = text(
    """
    SELECT waiting.id, now() - waiting.created_at, turn.pid, turn.application_name, now() - turn.xact_start
    FROM (VALUES (0)) AS always
    LEFT JOIN (
        SELECT id, created_at FROM orders WHERE status = 'CREATED' AND decide_attempts = 0 ORDER BY id LIMIT 1
    ) AS waiting ON true
    LEFT JOIN (
        SELECT pid, application_name, xact_start FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = :decider AND objsubid = 1
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        LIMIT 1
    ) AS turn ON true
    """
)


def read_backlog(engine: Engine) -> Backlog:
    """Look; raise `Unavailable`. No connection is kept, so that a process that forks has none to share."""
    try:
        with translate_errors(engine), engine.connect() as connection:
            oldest, age, session, application, open_for = connection.execute(
                _BACKLOG, {"decider": AdvisoryLock.DECIDER.value}
            ).one()
    finally:
        engine.dispose()
    turn = None if session is None else LockHolder(session, application or "", open_for or timedelta())
    return Backlog(None if oldest is None else OrderId(oldest), age or timedelta(), turn)
