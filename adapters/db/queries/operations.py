"""Queries for staff and operators: troubles that need a person, and backlogs of background work.

Each is one statement, which counts up to a limit along partial indexes of open work, so that its time is bounded.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Integer, bindparam, text

from adapters.db.queries.executor import QueryExecutor
from adapters.db.schema import Moment
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS
from scalecommerce_core.queries import (
    MAX_BACKLOG,
    MAX_COUNTED,
    Backlogs,
    ConsumerLag,
    Trouble,
    TroubleItem,
    TroubleKind,
)
from scalecommerce_core.queries.operations import (
    CONSUMER_LATE_AFTER,
    DECISION_LATE_AFTER,
    EVENT_LATE_AFTER,
    FAILED_RUN_WINDOW,
    REFUND_TRIES,
    STUCK_AFTER,
    trouble_cause,
)

# --- troubles


def _items(rows: str, id_: str, since: str, cause: str = "CAST(NULL AS text)", **columns: str) -> str:
    """The statement of the items of a kind of trouble; `rows` are read along a partial index, up to a limit."""
    wanted = {
        "name": "''",
        "order_id": "CAST(NULL AS bigint)",
        "account_id": "CAST(NULL AS bigint)",
        "tries": "CAST(NULL AS integer)",
        "next_try_at": "CAST(NULL AS timestamptz)",
        **columns,
    }
    others = ", ".join(f"{expression} AS {name}" for name, expression in wanted.items())
    return f"SELECT CAST({id_} AS text) AS id, {since} AS since, {cause} AS cause, {others} FROM {rows}"  # noqa: S608 - constants


_UNDECIDED: Final = f"orders WHERE status = 'CREATED' AND decide_attempts < {DECIDE_ATTEMPTS}"
_TROUBLES: Final[Mapping[TroubleKind, str]] = {
    TroubleKind.PARKED_ORDER: _items(
        f"orders WHERE status = 'CREATED' AND decide_attempts >= {DECIDE_ATTEMPTS} ORDER BY orders.id",
        "orders.id", "updated_at", "decide_error", order_id="orders.id", account_id="buyer_id", tries="decide_attempts",
    ),
    TroubleKind.STUCK_PAYMENT: _items(
        "payments WHERE check_at IS NOT NULL AND status = 'OPEN' AND deadline < :stuck_before"
        " ORDER BY check_at, payments.id",
        "payments.id", "deadline", "trouble", order_id="payments.order_id", tries="checks", next_try_at="check_at",
    ),
    TroubleKind.STUCK_REFUND: _items(
        "payment_refunds AS stuck JOIN payments ON payments.id = payment_id"
        f" WHERE stuck.status = 'OPEN' AND stuck.tries > {REFUND_TRIES} ORDER BY try_at, stuck.id",
        "stuck.id", "stuck.created_at", "stuck.trouble", order_id="payments.order_id", tries="stuck.tries",
        next_try_at="try_at",
    ),
    TroubleKind.LATE_DECISION: _items(
        f"{_UNDECIDED} AND created_at < :undecided_before ORDER BY orders.id",
        "orders.id", "created_at", "decide_error", order_id="orders.id", account_id="buyer_id", tries="decide_attempts",
        next_try_at="decide_after",
    ),
    TroubleKind.LATE_EVENT: _items(
        "outbox WHERE occurred_at < :unnumbered_before ORDER BY outbox.id", "outbox.id", "occurred_at", "topic"
    ),
    TroubleKind.LATE_CONSUMER: _items(
        "event_consumers AS consumers CROSS JOIN event_counter JOIN events ON events.seq = consumers.seq + 1"
        " WHERE occurred_at < :unread_before ORDER BY consumers.name",
        "consumers.name", "occurred_at", "CAST(last - consumers.seq AS text)",
    ),
    TroubleKind.PRICING_STOPPED: _items("pricing_stops", "'all'", "CAST(NULL AS timestamptz)"),
    TroubleKind.RUN_AWAITING_APPROVAL: _items(
        "pricing_runs AS runs JOIN pricing_policies AS policies ON policies.id = policy_id"
        " WHERE status = 'AWAITING_APPROVAL' ORDER BY runs.id",
        "runs.id", "started_at", "CAST(moves AS text)", name="policies.name", account_id="runs.seller_id",
        next_try_at="approval_until",
    ),
    TroubleKind.FAILED_RUN: _items(
        "pricing_runs AS runs JOIN pricing_policies AS policies ON policies.id = policy_id AND is_active"
        " WHERE status IN ('FAILED', 'STOPPED') AND started_at >= :failed_since AND NOT EXISTS ("
        " SELECT FROM pricing_runs AS later WHERE later.policy_id = runs.policy_id AND later.id > runs.id"
        ") ORDER BY runs.id DESC",
        "runs.id", "started_at", "note", name="policies.name", account_id="runs.seller_id",
    ),
    TroubleKind.DISABLED_WEBHOOK: _items(
        "webhook_endpoints WHERE disabled_because IS NOT NULL AND deleted_at IS NULL ORDER BY webhook_endpoints.id",
        "webhook_endpoints.id", "failing_since", "disabled_because", name="url", account_id="owner_id",
        tries="failures",
    ),
    TroubleKind.DELAYED_EMAIL: _items(
        "outgoing_emails AS emails WHERE trouble IS NOT NULL ORDER BY try_at, emails.id",
        "emails.id", "created_at", "trouble", name="kind || ' to ' || recipient", account_id="emails.account_id",
        tries="attempts", next_try_at="try_at",
    ),
}  # fmt: skip
_ALL_TROUBLES: Final = text(
    " UNION ALL ".join(
        f"(SELECT '{kind}', count(*) OVER (), items.* FROM ({items} LIMIT {MAX_COUNTED}) AS items"  # noqa: S608 - constants
        " ORDER BY since, id LIMIT :limit)"
        for kind, items in _TROUBLES.items()
    )
).bindparams(
    bindparam("limit", type_=Integer),
    *(
        bindparam(name, type_=Moment)
        for name in ("stuck_before", "undecided_before", "unnumbered_before", "unread_before", "failed_since")
    ),
)

# --- backlogs

_BACKLOGS: Final = text(
    f"""
    SELECT
        (SELECT count(*) FROM (SELECT FROM {_UNDECIDED} LIMIT :most) AS each),
        (SELECT created_at FROM {_UNDECIDED} ORDER BY id LIMIT 1),
        (SELECT count(*) FROM (SELECT FROM outbox LIMIT :most) AS each),
        (SELECT occurred_at FROM outbox ORDER BY id LIMIT 1),
        (SELECT count(*) FROM (SELECT FROM statistics_pending LIMIT :most) AS each),
        (SELECT count(*) FROM (SELECT FROM payments WHERE status = 'OPEN' LIMIT :most) AS each),
        (SELECT count(*) FROM (SELECT FROM payment_refunds WHERE status = 'OPEN' LIMIT :most) AS each),
        (SELECT count(*) FROM (SELECT FROM outgoing_emails LIMIT :most) AS each),
        (SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE status = 'PENDING' LIMIT :most) AS each),
        consumers.name, last - consumers.seq, occurred_at
    FROM (VALUES (0)) AS always
    LEFT JOIN (event_consumers AS consumers CROSS JOIN event_counter) ON true
    LEFT JOIN events ON events.seq = consumers.seq + 1
    ORDER BY consumers.name
    """  # noqa: S608 - constants
).bindparams(bindparam("most", type_=Integer))


class OperationsQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def troubles(self, now: datetime, limit: int) -> Sequence[Trouble]:
        moments = {
            "stuck_before": now - STUCK_AFTER,
            "undecided_before": now - DECISION_LATE_AFTER,
            "unnumbered_before": now - EVENT_LATE_AFTER,
            "unread_before": now - CONSUMER_LATE_AFTER,
            "failed_since": now - FAILED_RUN_WINDOW,
        }
        counts: dict[TroubleKind, int] = {}
        items: dict[TroubleKind, list[TroubleItem]] = {}
        for name, count, *item in self._executor.fetch(_ALL_TROUBLES, {"limit": limit, **moments}):
            kind = TroubleKind(name)
            counts[kind] = count
            items.setdefault(kind, []).append(_trouble_item(kind, item))
        return [Trouble(kind, counts[kind], tuple(items[kind])) for kind in TroubleKind if kind in counts]

    def backlogs(self) -> Backlogs:
        rows = self._executor.fetch(_BACKLOGS, {"most": MAX_BACKLOG})
        consumers = tuple(ConsumerLag(name, lag, oldest) for *_, name, lag, oldest in rows if name is not None)
        undecided, oldest, unnumbered, first, pending, payments, refunds, emails, deliveries, *_ = rows[0]
        return Backlogs(undecided, oldest, unnumbered, first, pending, payments, refunds, emails, deliveries, consumers)


def _trouble_item(kind: TroubleKind, row: Sequence[Any]) -> TroubleItem:
    id_, since, cause, name, order, account, tries, next_try_at = row
    return TroubleItem(id_, since, trouble_cause(kind, cause), name, order, account, tries, next_try_at)
