"""Whether background work waits, read by one statement that takes no locks."""

from typing import NamedTuple

from sqlalchemy import Engine, text

from adapters.db.core.errors import translate_errors
from adapters.db.repositories.policies import DUE_POLICIES

# Every part reads one entry of an index, or a table that is empty when its task has done its work. Deliveries count
# until they end, because finding those that are due reads all that wait.
_WORK = text(
    f"""
    SELECT
        coalesce((SELECT max(last) FROM event_counter), 0),
        EXISTS (SELECT FROM outbox)
        OR EXISTS (SELECT FROM event_consumers JOIN event_counter ON event_consumers.seq < event_counter.last)
        OR EXISTS (SELECT FROM statistics_pending)
        OR EXISTS (SELECT FROM product_prices_pending)
        OR EXISTS (SELECT FROM vocabulary_changes)
        OR EXISTS (SELECT FROM webhook_deliveries WHERE status = 'PENDING')
        OR EXISTS (SELECT FROM outgoing_emails WHERE try_at <= now())
        OR EXISTS (SELECT FROM orders WHERE status = 'CREATED')
        OR EXISTS (SELECT FROM orders WHERE status = 'PENDING' AND expires_at <= now())
        OR EXISTS (SELECT FROM payments WHERE check_at <= now())
        OR EXISTS (SELECT FROM payment_refunds WHERE status = 'OPEN' AND try_at <= now())
        OR EXISTS (SELECT FROM promotions WHERE due_at <= now())
        OR EXISTS (SELECT FROM promoted_products WHERE due_at <= now())
        OR EXISTS (SELECT FROM pricing_runs WHERE status IN ('DECIDING', 'WRITING', 'ROLLING_BACK'))
        OR EXISTS (SELECT FROM pricing_runs WHERE status = 'AWAITING_APPROVAL' AND approval_until <= now()),
        EXISTS (
            -- While pricing is stopped, due policies are not work.
            SELECT FROM {DUE_POLICIES.format(now="now()")} WHERE NOT EXISTS (SELECT FROM pricing_stops)
        )
    """  # noqa: S608 - constants
)


class WaitingWork(NamedTuple):
    """What the tasks have to do: `has_other_work` says whether anything but a due pricing policy waits."""

    last_event: int
    """Its number."""
    has_other_work: bool
    is_policy_due: bool


def read_waiting_work(engine: Engine) -> WaitingWork:
    """Read whether background work waits, in one statement without locks.

    It can miss work, so beat must also start each task without it. Raises `Unavailable`.
    """
    # Committed, because psycopg drops its prepared statements when it rolls back.
    with translate_errors(engine), engine.begin() as connection:
        last_event, has_other_work, is_policy_due = connection.execute(_WORK).one()
    return WaitingWork(int(last_event), bool(has_other_work), bool(is_policy_due))
