"""Orders with their lines, refunds and events. Partial indexes serve as queues of undecided and expiring orders."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Executable,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key_column
from adapters.db.core.bulk_statements import Insert, Row, Update, equals_any, id_array, text_array
from adapters.db.core.driver_statements import DriverStatement
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.repositories.order_archive import OrderArchive
from adapters.db.repositories.order_traces import OrderTraces
from adapters.db.repositories.outbox import append_events
from adapters.db.sales import is_sale
from adapters.db.schema import (
    Moment,
    all_order_lines,
    all_orders,
    archived_orders,
    order_ids,
    order_lines,
    orders,
    payments,
    price_history,
    products,
    refunds,
)
from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderLine, OrderOrigin, OrderStatus, Shortfall
from scalecommerce_core.domain.order_quotas import WithdrawnPrice
from scalecommerce_core.domain.payment import PaymentStatus
from scalecommerce_core.ports.orders import RECENT_ORDERS, QuotaFacts, RecentUnits, UnsettledOrder

_STATE: Final = (
    "status", "shortfalls", "updated_at", "expires_at", "paid_at", "decide_attempts", "decide_after",
    "decide_error", "decided_at", "has_expired", "is_cancelled_by_staff",
)  # fmt: skip
_FIXED: Final = ("id", "command_id", "buyer_id", "currency", "created_at", "origin")
_COLUMNS: Final = (*_FIXED, *_STATE)
_NOT_LOADED: Final[Sequence[Any]] = (object(),) * len(_STATE)
"""Differs from every state."""
_LINE: Final = ("order_id", "position", "product_id", "seller_id", "quantity", "price", "refunded")

_NUMBERS: Final = next_numbers_statement(order_ids)
_INSERT: Final = Insert(orders, *_COLUMNS)
_INSERT_LINES: Final = Insert(order_lines, *_LINE)
_INSERT_REFUNDS: Final = Insert(
    refunds, "order_id", "position", "quantity", "amount", "restocked", "occurred_at", "actor_id"
)
_UPDATE_LINES: Final = Update(order_lines, ["order_id", "position"], "refunded")

# One statement, so that the count costs no further round trip.
_BEGIN_INTAKE: Final = DriverStatement.compile(
    text(
        """
        SELECT CAST(NULL AS bigint), nextval('order_ids') FROM generate_series(1, :count)
        UNION ALL
        SELECT buyer_id, count(*) FROM orders
        WHERE status IN ('CREATED', 'PENDING') AND buyer_id = ANY (CAST(:buyers AS bigint[]))
        GROUP BY buyer_id
        """
    )
)
_QUOTA_FACTS: Final = DriverStatement.compile(
    text(
        """
        SELECT buyer_id, CAST(NULL AS bigint), count(*), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz)
        FROM orders WHERE status = 'PENDING' AND buyer_id = ANY (CAST(:buyers AS bigint[]))
        GROUP BY buyer_id
        UNION ALL
        SELECT NULL, id, max_per_buyer, NULL, NULL FROM products
        WHERE max_per_buyer IS NOT NULL AND id = ANY (CAST(:products AS bigint[]))
        UNION ALL
        SELECT NULL, product_id, price_history.price, valid_from, price_history.withdrawn_at
        FROM price_history JOIN products ON products.id = product_id AND products.price <> price_history.price
        WHERE price_history.withdrawn_at >= :since AND product_id = ANY (CAST(:products AS bigint[]))
        """
    ).bindparams(bindparam("since", type_=Moment))
)
# The inner LIMIT bounds the work for a buyer with many orders.
_RECENT_UNITS: Final = text(
    """
    WITH recent AS MATERIALIZED (
        SELECT of_buyer.* FROM unnest(CAST(:buyers AS bigint[])) AS buyer(id) CROSS JOIN LATERAL (
            SELECT orders.id, buyer_id, status, created_at FROM orders
            WHERE buyer_id = buyer.id ORDER BY orders.id DESC LIMIT :limit
        ) AS of_buyer
        WHERE created_at >= :since
    )
    SELECT buyer_id, CAST(NULL AS bigint), CAST(NULL AS bigint), count(*) FROM recent GROUP BY buyer_id
    UNION ALL
    SELECT buyer_id, product_id, price, sum(quantity) FROM recent JOIN order_lines ON order_id = recent.id
    WHERE status NOT IN ('REJECTED', 'CANCELLED')
    GROUP BY buyer_id, product_id, price
    """
).bindparams(bindparam("since", type_=Moment))
_UNPAID_UNITS: Final = DriverStatement.compile(
    text(
        """
        SELECT buyer_id, product_id, sum(quantity) FROM orders JOIN order_lines ON order_id = orders.id
        WHERE status = 'PENDING' AND buyer_id = ANY (CAST(:buyers AS bigint[]))
          AND product_id = ANY (CAST(:products AS bigint[]))
        GROUP BY buyer_id, product_id
        """
    )
)
_BOUGHT_UNITS: Final = DriverStatement.compile(
    text(
        """
        SELECT buyer_id, product_id, sum(quantity - refunded) FROM orders JOIN order_lines ON order_id = orders.id
        WHERE (status = 'PENDING' OR (status = 'PAID' AND created_at >= :since))
          AND buyer_id = ANY (CAST(:buyers AS bigint[])) AND product_id = ANY (CAST(:products AS bigint[]))
        GROUP BY buyer_id, product_id HAVING sum(quantity - refunded) > 0
        """
    ).bindparams(bindparam("since", type_=Moment))
)
_SELECTED: Final = select(*(orders.c[name] for name in _COLUMNS))
_LINES_OF: Final = (
    select(*(order_lines.c[name] for name in _LINE))
    .where(equals_any(order_lines.c.order_id))
    .order_by(order_lines.c.order_id, order_lines.c.position)
)
_LINES: Final = DriverStatement.compile(_LINES_OF)
_ALL_LINES: Final = DriverStatement.compile(
    select(*(all_order_lines.c[name] for name in _LINE))
    .where(equals_any(all_order_lines.c.order_id))
    .order_by(all_order_lines.c.order_id, all_order_lines.c.position)
)
# Whether `_QUOTA_FACTS` can find anything: the ends of two partial indexes, which are almost always empty.
# Only these indexes have this order, so the plan does not depend on statistics, as that of EXISTS would.
_HAS_QUOTA_FACTS: Final = (
    select(func.max(products.c.max_per_buyer)).scalar_subquery(),
    select(func.max(price_history.c.withdrawn_at)).scalar_subquery(),
)
_CLAIMED_LINES: Final = DriverStatement.compile(_LINES_OF.add_columns(*_HAS_QUOTA_FACTS))
_LOCK: Final = _SELECTED.where(equals_any(orders.c.id)).order_by(orders.c.id).with_for_update(key_share=True)
_SELECTED_ARCHIVED: Final = select(*(archived_orders.c[name] for name in _COLUMNS))
_LOCK_ARCHIVED: Final = (
    _SELECTED_ARCHIVED.where(equals_any(archived_orders.c.id)).order_by(archived_orders.c.id).with_for_update()
)
_BY_COMMAND: Final = union_all(
    _SELECTED.where(equals_any(orders.c.command_id)),
    _SELECTED_ARCHIVED.where(
        equals_any(archived_orders.c.command_id),
        archived_orders.c.origin != literal_column(f"'{OrderOrigin.API.value}'"),
    ),
)
_HAS_BOUGHT: Final = (
    select(all_orders.c.id)
    .where(
        all_orders.c.buyer_id == bindparam("buyer", type_=BigInteger),
        all_orders.c.status == OrderStatus.PAID.value,
        all_orders.c.paid_at < bindparam("before", type_=Moment),
        exists().where(all_order_lines.c.order_id == all_orders.c.id, is_sale(all_orders, all_order_lines)),
    )
    .limit(1)
)
# Reads the partial indexes of open orders, open attempts and open refunds, so the history of the account costs nothing.
_UNSETTLED: Final = text(
    """
    SELECT id, buyer_id = :account, status IN ('CREATED', 'PENDING') FROM (
        SELECT id, buyer_id, status FROM orders WHERE status IN ('CREATED', 'PENDING')
        UNION
        SELECT orders.id, buyer_id, orders.status FROM payments JOIN orders ON orders.id = order_id
        WHERE payments.status = 'OPEN'
        UNION
        SELECT orders.id, buyer_id, orders.status FROM payment_refunds
        JOIN payments ON payments.id = payment_id JOIN orders ON orders.id = order_id
        WHERE payment_refunds.status = 'OPEN'
    ) AS unsettled
    WHERE buyer_id = :account
        OR EXISTS (SELECT FROM order_lines WHERE order_id = unsettled.id AND seller_id = :account)
    ORDER BY id LIMIT :limit
    """
)
_TRY_LOCK: Final = DriverStatement.compile(
    select(func.pg_try_advisory_xact_lock(lock_key_column(AdvisoryLock.DECIDER)))
)
_EXPIRED: Final = (
    _SELECTED.where(
        orders.c.status == OrderStatus.PENDING.value,
        orders.c.expires_at <= bindparam("now", type_=Moment),
        ~exists().where(payments.c.order_id == orders.c.id, payments.c.status == PaymentStatus.OPEN.value),
    )
    .order_by(orders.c.expires_at, orders.c.id)
    .limit(bindparam("limit"))
    .with_for_update(key_share=True, skip_locked=True, of=orders)
)


# Literals and not parameters: PostgreSQL plans a statement with these parameters for each execution, because only their
# values show that the partial index serves it.
_IS_UNDECIDED: Final = and_(
    orders.c.status == literal_column(f"'{OrderStatus.CREATED.value}'"),
    orders.c.decide_attempts < literal_column(str(DECIDE_ATTEMPTS)),
    or_(orders.c.decide_after.is_(None), orders.c.decide_after <= bindparam("now", type_=Moment)),
)
_MOST_TRIED: Final = 500
"""`try_claim_undecided` claims no more orders, whatever its limit."""
_FIND_UNDECIDED: Final = DriverStatement.compile(
    select(
        func.array(
            select(orders.c.id)
            .where(_IS_UNDECIDED)
            .order_by(orders.c.id)
            .limit(literal_column(str(_MOST_TRIED + 1)))
            .scalar_subquery(),
            type_=ARRAY(BigInteger),
        ),
        *_HAS_QUOTA_FACTS,
    )
)
# A long backlog is left to the worker: transactions of intake that took the lock in turns would hold it nearly always.
_TRY_LOCK_UNLESS_LONG: Final = DriverStatement.compile(
    select(
        case(
            (
                select(func.count())
                .select_from(
                    select(orders.c.id).where(_IS_UNDECIDED).limit(literal_column(str(_MOST_TRIED + 1))).subquery()
                )
                .scalar_subquery()
                <= bindparam("limit", type_=BigInteger),
                func.pg_try_advisory_xact_lock(lock_key_column(AdvisoryLock.DECIDER)),
            ),
            else_=literal_column("false"),
        )
    )
)
_TRY_CLAIM: Final = DriverStatement.compile(
    _SELECTED.where(equals_any(orders.c.id), _IS_UNDECIDED)
    .order_by(orders.c.id)
    .with_for_update(key_share=True, skip_locked=True)
)


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    """An UPDATE of these columns of the state; the cache is bounded by the combinations that use cases change."""
    return Update(orders, ["id"], *columns)


@lru_cache(maxsize=64)
def _undecided(limit: int) -> DriverStatement:
    return DriverStatement.compile(
        _SELECTED.where(_IS_UNDECIDED)
        .order_by(orders.c.id)
        .limit(literal_column(str(int(limit))))
        .with_for_update(key_share=True)
    )


class PostgresOrderRepository:
    def __init__(self, sql: SqlSession, traces: OrderTraces | None = None) -> None:
        self._traces = traces
        self._sql = sql
        self._archive = OrderArchive(sql)
        self._loaded: dict[OrderId, Sequence[Any]] = {}
        """The state of orders as loaded; an order must be locked before it is saved."""
        self._tried_ids: set[OrderId] = set()
        """The undecided orders that `try_claim_undecided` claimed, until they are saved decided."""
        self._largest_limit: int | None = 1
        """The largest limit per buyer when orders were claimed; None if no product had one."""
        self._last_withdrawal: datetime | None = datetime.max.replace(tzinfo=UTC)
        """When a price was withdrawn last before orders were claimed; None if never."""

    def next_ids(self, count: int) -> Sequence[OrderId]:
        return [OrderId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def begin_intake(self, count: int, buyers: Collection[AccountId]) -> tuple[Sequence[OrderId], Counter[AccountId]]:
        rows = self._sql.fetch_fast(_BEGIN_INTAKE, {"count": count, "buyers": id_array(buyers)})
        ids = [OrderId(number) for buyer, number in rows if buyer is None]
        return ids, Counter({AccountId(buyer): number for buyer, number in rows if buyer is not None})

    def quota_facts(
        self, buyers: Collection[AccountId], products: Collection[ProductId], since: datetime
    ) -> QuotaFacts:
        last = self._last_withdrawal
        if self._largest_limit is None and (last is None or last < since):
            if not buyers:
                return QuotaFacts()
            products = ()
        pending: dict[AccountId, int] = {}
        limits: dict[ProductId, int] = {}
        withdrawn: dict[ProductId, list[WithdrawnPrice]] = {}
        parameters = {"buyers": id_array(buyers), "products": id_array(products), "since": since}
        for buyer, product, number, valid_from, withdrawn_at in self._sql.fetch_fast(_QUOTA_FACTS, parameters):
            if buyer is not None:
                pending[buyer] = number
            elif withdrawn_at is None:
                limits[product] = number
            else:
                withdrawn.setdefault(product, []).append(WithdrawnPrice(number, valid_from, withdrawn_at))
        return QuotaFacts(pending, limits, withdrawn)

    def recent_units(self, buyers: Collection[AccountId], since: datetime) -> RecentUnits:
        rows = self._sql.fetch_all(
            _RECENT_UNITS, {"buyers": id_array(set(buyers)), "since": since, "limit": RECENT_ORDERS}
        )
        units = {(AccountId(row[0]), ProductId(row[1]), row[2]): int(row[3]) for row in rows if row[1] is not None}
        return RecentUnits(
            units, frozenset(AccountId(row[0]) for row in rows if row[1] is None and row[3] >= RECENT_ORDERS)
        )

    def unpaid_units(
        self, buyers: Collection[AccountId], products: Collection[ProductId]
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        return self._units(_UNPAID_UNITS, {"buyers": id_array(buyers), "products": id_array(products)})

    def bought_units(
        self, buyers: Collection[AccountId], products: Collection[ProductId], since: datetime
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        return self._units(_BOUGHT_UNITS, {"buyers": id_array(buyers), "products": id_array(products), "since": since})

    def _units(
        self, statement: DriverStatement, parameters: Mapping[str, object]
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        return {(buyer, product): int(units) for buyer, product, units in self._sql.fetch_fast(statement, parameters)}

    def add(self, new: Collection[Order]) -> None:
        self._sql.insert(
            _INSERT,
            [(o.id, o.command_id, o.buyer_id, o.currency, o.created_at, o.origin, *_state(o)) for o in new],
        )
        self._sql.insert(
            _INSERT_LINES,
            [
                (order.id, line.position, line.product_id, line.seller_id, line.quantity, line.price, line.refunded)
                for order in new
                for line in order.lines
            ],
        )
        self._append(new)
        if self._traces is not None:
            self._traces.store(new)

    def lock(
        self, ids: Collection[OrderId], restores: Callable[[Order], bool] | None = None
    ) -> Mapping[OrderId, Order]:
        found = self._lock_hot(ids)
        while missing := set(ids) - found.keys():
            # If another transaction moves one first, this waits for its end: then it may be hot, or archived again.
            archived = {
                order.id: order for order in self._orders(_LOCK_ARCHIVED, {"ids": id_array(missing)}, _ALL_LINES)
            }
            if not archived and not self._archive.has_any(missing):
                break
            self._archive.restore([id_ for id_, order in archived.items() if restores is None or restores(order)])
            found |= archived
            if missing := missing - archived.keys():
                found |= self._lock_hot(missing)
        return dict(sorted(found.items()))

    def _lock_hot(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        return {order.id: order for order in self._orders(_LOCK, {"ids": id_array(ids)})}

    def archive(self, limit: int, settled_before: datetime) -> int:
        return self._archive.archive(limit, settled_before)

    def save(self, changed: Collection[Order]) -> None:
        self._update_state(changed)
        self._sql.update(
            _UPDATE_LINES,
            [(order.id, line.position, line.refunded) for order in changed if order.refunds for line in order.lines],
        )
        self._append(changed)
        # Intake that finds their stock locked leaves the orders that it tried to the worker, with their traces.
        if self._traces is not None and (
            decided := [order.id for order in changed if order.id in self._tried_ids and order.decided_at is not None]
        ):
            self._tried_ids.difference_update(decided)
            self._traces.take(decided)

    def _update_state(self, changed: Collection[Order]) -> None:
        """Write the columns in which an order of the batch differs from what was loaded, for all of them."""
        if not changed:
            return
        before = zip(*(self._loaded.get(order.id, _NOT_LOADED) for order in changed), strict=True)
        columns = [list(column) for column in zip(*map(_state, changed), strict=True)]
        names = tuple(name for name, old, new in zip(_STATE, before, columns, strict=True) if list(old) != new)
        if names:
            written = [columns[_STATE.index(name)] for name in names]
            self._sql.update(_update_of(names), list(zip((order.id for order in changed), *written, strict=True)))
            self._loaded.update((order.id, _state(order)) for order in changed)

    def _append(self, written: Collection[Order]) -> None:
        self._sql.insert(
            _INSERT_REFUNDS,
            [
                (r.order_id, r.position, r.quantity, r.amount, r.restocked, r.at, r.by)
                for order in written
                for r in order.refunds
            ],
        )
        append_events(self._sql, (event for order in written for event in order.events))

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        return {order.command_id: order for order in self._orders(_BY_COMMAND, {"ids": text_array(ids)}, _ALL_LINES)}

    def has_bought(self, buyer_id: AccountId, paid_before: datetime) -> bool:
        return bool(self._sql.fetch_all(_HAS_BOUGHT, {"buyer": buyer_id, "before": paid_before}))

    def unsettled(self, account_id: AccountId, limit: int) -> Sequence[UnsettledOrder]:
        rows = self._sql.fetch_all(_UNSETTLED, {"account": account_id, "limit": limit})
        return [UnsettledOrder(OrderId(id_), is_own=is_own, is_unpaid=is_unpaid) for id_, is_own, is_unpaid in rows]

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        # A separate statement, so that the snapshot of the next one includes the commit of the previous decider.
        ((is_locked,),) = self._sql.fetch_fast(_TRY_LOCK)
        claimed = self._claimed(self._sql.fetch_fast(_undecided(limit), {"now": now})) if is_locked else ()
        if claimed and self._traces is not None:
            self._traces.take([order.id for order in claimed])
        return claimed

    def try_claim_undecided(self, limit: int, now: datetime) -> Sequence[Order] | None:
        # Separate statements for the reason given in `claim_undecided`.
        limit = min(limit, _MOST_TRIED)
        ((is_locked,),) = self._sql.fetch_fast(_TRY_LOCK_UNLESS_LONG, {"limit": limit, "now": now})
        if not is_locked:
            return None
        ((ids, self._largest_limit, self._last_withdrawal),) = self._sql.fetch_fast(_FIND_UNDECIDED, {"now": now})
        if len(ids) > limit:
            return None
        rows = self._sql.fetch_fast(_TRY_CLAIM, {"ids": id_array(ids), "now": now}) if ids else ()
        self._sql.pending_changes.by_decision = True
        # Locked ones are left out, and so are those that were cancelled or deferred meanwhile.
        if len(rows) < len(ids):
            return None
        claimed = self._claimed(rows)
        self._tried_ids = {order.id for order in claimed}
        return claimed

    def _claimed(self, rows: Sequence[Row]) -> Sequence[Order]:
        if not rows:
            return ()
        lines: dict[OrderId, list[OrderLine]] = {row[0]: [] for row in rows}
        found = self._sql.fetch_fast(_CLAIMED_LINES, {"ids": id_array(lines)})
        for order_id, *line, _, _ in found:
            lines[order_id].append(OrderLine(*line))
        *_, self._largest_limit, self._last_withdrawal = found[-1]
        return self._load(rows, lines)

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        return self._orders(_EXPIRED, {"limit": limit, "now": now})

    def _orders(
        self, statement: Executable, parameters: Mapping[str, object], lines_statement: DriverStatement = _LINES
    ) -> Sequence[Order]:
        rows = self._sql.fetch_all(statement, parameters)
        if not rows:
            return ()
        lines: dict[OrderId, list[OrderLine]] = {row[0]: [] for row in rows}
        for order_id, *line in self._sql.fetch_fast(lines_statement, {"ids": id_array(lines)}):
            lines[order_id].append(OrderLine(*line))
        return self._load(rows, lines)

    def _load(self, rows: Sequence[Sequence[Any]], lines: Mapping[OrderId, Sequence[OrderLine]]) -> Sequence[Order]:
        self._loaded.update((row[0], row[len(_FIXED) :]) for row in rows)
        return [_order(row, tuple(lines[row[0]])) for row in rows]


def _state(order: Order) -> Row:
    shortfalls = [
        [s.product_id, s.wanted, s.available, s.reason, *([s.limit, s.held, s.days] if s.limit else [])]
        for s in order.shortfalls
    ]
    return (
        order.status,
        shortfalls or None,
        order.updated_at,
        order.expires_at,
        order.paid_at,
        order.decide_attempts,
        order.decide_after,
        order.decide_error,
        order.decided_at,
        order.has_expired,
        order.is_cancelled_by_staff,
    )


def _order(row: Sequence[Any], lines: tuple[OrderLine, ...]) -> Order:
    (
        id_, command_id, buyer_id, currency, created_at, origin, status, shortfalls, updated_at, expires_at, paid_at,
        decide_attempts, decide_after, decide_error, decided_at, has_expired, is_cancelled_by_staff,
    ) = row  # fmt: skip
    return Order(
        id=OrderId(id_),
        command_id=CommandId(command_id),
        buyer_id=AccountId(buyer_id),
        currency=currency,
        lines=lines,
        created_at=created_at,
        updated_at=updated_at,
        status=OrderStatus(status),
        shortfalls=tuple(Shortfall(*shortfall) for shortfall in shortfalls or ()),
        expires_at=expires_at,
        paid_at=paid_at,
        origin=OrderOrigin(origin),
        decide_attempts=decide_attempts,
        decide_after=decide_after,
        decide_error=decide_error,
        decided_at=decided_at,
        has_expired=has_expired,
        is_cancelled_by_staff=is_cancelled_by_staff,
    )
