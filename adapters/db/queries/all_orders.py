"""Orders as staff see them: the list of all orders with filters, and one order with all that belongs to it.

A page of the list examines at most `MAX_SCANNED` entries of one index, which the filter chooses (`OrderFilter.route`),
so its time is bounded whatever the number of orders and the filter.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attrs import Factory, define
from sqlalchemy import BigInteger, Integer, Text, bindparam, text
from sqlalchemy.types import TypeEngine

from adapters.db.queries.executor import QueryExecutor, Rows
from adapters.db.queries.keyset import decode_key, encode_key
from adapters.db.schema import (
    ARCHIVED,
    Moment,
    all_rows_of,
    order_lines,
    orders,
    payment_refunds,
    payments,
    refunds,
    stock_movements,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, LINE_ID_SPAN, OrderOrigin, OrderStatus, Shortfall
from scalecommerce_core.domain.payment import PaymentStatus, RefundStatus
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import (
    ANY_ORDER,
    MAX_ORDER_ROWS,
    MAX_SCANNED,
    Key,
    MovementView,
    OrderDetails,
    OrderFilter,
    OrderLineView,
    OrderRoute,
    OrderView,
    Page,
    PageRequest,
    PaymentRefundView,
    PaymentView,
    RefundView,
    StaffOrderView,
)
from scalecommerce_core.queries.operations import MAX_FOUND_PRODUCTS, scanned_page

# Hot and archived rows. The CHECK on the status of archived orders leaves them out of a list of open orders.
_ORDERS: Final = all_rows_of(orders)
_LINES: Final = all_rows_of(order_lines)

# The columns that `_staff_view` and `_staff_views` read.
_ORDER: Final = (
    "orders.id", "buyer_id", "orders.currency", "orders.status", "shortfalls", "orders.created_at", "orders.updated_at",
    "expires_at", "origin", "decide_attempts", "decide_error", "decided_at", "paid_at", "has_expired",
    "is_cancelled_by_staff",
)  # fmt: skip
_LINE: Final = (
    "position", "order_lines.product_id", "order_lines.seller_id", "products.name", "quantity", "order_lines.price",
    "refunded",
)  # fmt: skip

# --- the list

_PARKED: Final = f"orders.status = 'CREATED' AND decide_attempts >= {DECIDE_ATTEMPTS}"
# A product is found if its name has all words of the search: words of names have the weight A.
_FOUND_PRODUCTS: Final = f"""
    SELECT id FROM products
    WHERE document @@ CAST(
        regexp_replace(
            CAST(plainto_tsquery('market', search_terms(folded(:search))) AS text), '''(?= |$)', '''\\:A', 'g'
        ) AS tsquery
    )
    ORDER BY id DESC LIMIT {MAX_FOUND_PRODUCTS}
"""  # noqa: S608 - constants
_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "search": Text(),
    "total_currency": Text(),
    "created_after": Moment,
    "created_before": Moment,
    "key_time": Moment,
}
"""Types of the parameters that are no integers."""


@define
class _PageStatement:
    """The statement of a page. `values` gets the value of each parameter that the statement uses."""

    criteria: OrderFilter
    page: PageRequest
    values: dict[str, object] = Factory(dict)

    @property
    def direction(self) -> str:
        return "DESC" if self.page.before is None else "ASC"

    @property
    def compared(self) -> str:
        return "<" if self.page.before is None else ">"

    def build(self, scan: int) -> str:
        """Return the SQL. Its rows are lines of orders, nearest to the cursor first; each row begins with the number of
        examined orders, and the id and time of the last one.
        """
        self._read_cursor()
        conditions = self._conditions()
        self.values["limit"] = self.page.size + 1
        # Without conditions to check, each examined order is a row of the page.
        self.values["scan"] = scan if conditions else min(scan, self.page.size + 1)
        columns = ("created_at", "id") if self.criteria.is_by_time else ("id",)
        onward = ", ".join(f"page.{column} {self.direction}" for column in columns)
        last_first = ", ".join(f"{column} {'ASC' if self.page.before is None else 'DESC'}" for column in columns)
        return f"""
            WITH scanned AS MATERIALIZED ({self._scanned()}), examined AS MATERIALIZED (
                SELECT {", ".join(_ORDER)} FROM scanned JOIN {_ORDERS} ON orders.id = scanned.id
            ), last AS (
                SELECT id, created_at FROM examined ORDER BY {last_first} LIMIT 1
            ), page AS MATERIALIZED (
                SELECT page.* FROM examined AS page WHERE {" AND ".join(conditions) or "true"}
                ORDER BY {onward} LIMIT :limit
            )
            SELECT (SELECT count(*) FROM scanned), last.id, last.created_at, page.*, {", ".join(_LINE)}
            FROM last LEFT JOIN page ON true
            LEFT JOIN {_LINES} ON order_id = page.id LEFT JOIN products ON products.id = product_id
            ORDER BY {onward}, position
        """  # noqa: S608 - constants and names of parameters

    def _read_cursor(self) -> None:
        cursor = self.page.after if self.page.before is None else self.page.before
        if cursor is None:
            return
        if self.criteria.is_by_time:
            self.values["key_time"], self.values["key_id"] = decode_key(cursor, (datetime, int))
        else:
            (self.values["key_id"],) = decode_key(cursor, (int,))

    def _scanned(self) -> str:
        """The statement of the ids to examine, along one index."""
        match self.criteria.route:
            case OrderRoute.SEARCH:
                return self._of_search()
            case OrderRoute.PRODUCT:
                return self._of_lines("product_id = :product")
            case OrderRoute.SELLER:
                return self._of_lines("seller_id = :seller")
            case OrderRoute.BUYER:
                return self._of_orders("buyer_id = :buyer")
            case OrderRoute.PARKED:
                return self._of_orders(_PARKED)
            case OrderRoute.STATUS:
                return self._of_orders(_status(self.criteria))
            case OrderRoute.TIME:
                return self._of_orders_by_time()
            case OrderRoute.ALL:
                return self._of_orders("true")

    def _of_search(self) -> str:
        self.values["search"] = self.criteria.search
        # Of each product, enough orders for the page, whichever products have the nearest.
        found = f"""
            SELECT each.id FROM ({_FOUND_PRODUCTS}) AS found(product)
            CROSS JOIN LATERAL ({self._of_lines("product_id = found.product")}) AS each
        """  # noqa: S608 - constants
        if self.criteria.number is not None:
            self.values["number"] = self.criteria.number
            found += f" UNION SELECT id FROM {_ORDERS} WHERE id = :number{self._beyond('id')}"  # noqa: S608 - constants
        return f"SELECT DISTINCT id FROM ({found}) AS found ORDER BY id {self.direction} LIMIT :scan"  # noqa: S608 - constants

    def _of_lines(self, condition: str) -> str:
        """Each table is read along its index up to the limit. PostgreSQL has no statistics of a union: it would expect
        few different orders, and read all lines of the seller or product.
        """
        parts = [
            f"(SELECT DISTINCT order_id AS id FROM {lines.name} WHERE {condition}{self._beyond('order_id')}"  # noqa: S608 - constants
            f" ORDER BY order_id {self.direction} LIMIT :scan)"
            for lines in (order_lines, ARCHIVED[order_lines])
        ]
        return f"SELECT id FROM ({' UNION ALL '.join(parts)}) AS parts ORDER BY id {self.direction} LIMIT :scan"  # noqa: S608 - constants

    def _of_orders(self, condition: str) -> str:
        return (
            f"SELECT id FROM {_ORDERS} WHERE {condition}{self._beyond('id')}"  # noqa: S608 - constants
            f" ORDER BY id {self.direction} LIMIT :scan"
        )

    def _of_orders_by_time(self) -> str:
        conditions = self._times("orders")
        if "key_time" in self.values:
            conditions.append(f"(created_at, id) {self.compared} (:key_time, :key_id)")
        return (
            f"SELECT id FROM {_ORDERS} WHERE {' AND '.join(conditions)}"  # noqa: S608 - constants
            f" ORDER BY created_at {self.direction}, id {self.direction} LIMIT :scan"
        )

    def _beyond(self, column: str) -> str:
        return f" AND {column} {self.compared} :key_id" if "key_id" in self.values else ""

    def _conditions(self) -> list[str]:
        """The conditions that each examined order is checked for: all but that of the index."""
        criteria, values = self.criteria, self.values
        conditions: list[tuple[OrderRoute | None, str]] = []
        if criteria.status is not None:
            conditions.append((OrderRoute.STATUS, _status(criteria)))
        if criteria.is_parked:
            conditions.append((OrderRoute.PARKED, _PARKED))
        if criteria.buyer is not None:
            values["buyer"] = criteria.buyer
            conditions.append((OrderRoute.BUYER, "buyer_id = :buyer"))
        if criteria.seller is not None:
            values["seller"] = criteria.seller
            conditions.append((OrderRoute.SELLER, _HAS_SELLER))
        if criteria.product is not None:
            values["product"] = criteria.product
            conditions.append((OrderRoute.PRODUCT, _HAS_PRODUCT))
        conditions += [(OrderRoute.TIME, condition) for condition in self._times("page")]
        for name, compared, money in (("total_min", ">=", criteria.total_min), ("total_max", "<=", criteria.total_max)):
            if money is not None:
                values |= {name: money.minor, "total_currency": money.currency}
                conditions.append((None, f"currency = :total_currency AND {_TOTAL} {compared} :{name}"))
        return [condition.replace("orders.", "page.") for route, condition in conditions if route is not criteria.route]

    def _times(self, table: str) -> list[str]:
        conditions = []
        if self.criteria.created_after is not None:
            self.values["created_after"] = self.criteria.created_after
            conditions.append(f"{table}.created_at > :created_after")
        if self.criteria.created_before is not None:
            self.values["created_before"] = self.criteria.created_before
            conditions.append(f"{table}.created_at < :created_before")
        return conditions


_HAS_SELLER: Final = f"EXISTS (SELECT FROM {_LINES} WHERE order_id = page.id AND seller_id = :seller)"
_HAS_PRODUCT: Final = f"EXISTS (SELECT FROM {_LINES} WHERE order_id = page.id AND product_id = :product)"
_TOTAL: Final = f"(SELECT sum(quantity * price) FROM {_LINES} WHERE order_id = page.id)"  # noqa: S608 - constants


def _status(criteria: OrderFilter) -> str:
    # A literal, which shows the planner that a partial index contains the rows.
    return "true" if criteria.status is None else f"orders.status = '{criteria.status.value}'"


# --- one order

_ONE_ORDER: Final = text(
    f"""
    SELECT {", ".join((*_ORDER, *_LINE))} FROM {_ORDERS} LEFT JOIN {_LINES} ON order_id = orders.id
    LEFT JOIN products ON products.id = product_id WHERE orders.id = :id ORDER BY position
    """  # noqa: S608 - constants
).bindparams(bindparam("id", type_=BigInteger))
_PAYMENTS: Final = text(
    f"""
    SELECT paid.id, paid.amount, paid.currency, paid.method, paid.status, paid.checks, paid.reference, paid.reason,
        paid.trouble, paid.created_at, paid.updated_at, paid.deadline, paid.check_at,
        back.id, back.amount, back.status, back.tries, back.trouble, back.created_at, back.try_at, back.done_at
    FROM (SELECT * FROM {all_rows_of(payments)} WHERE order_id = :id ORDER BY created_at, id LIMIT :most) AS paid
    LEFT JOIN (SELECT * FROM {all_rows_of(payment_refunds)}) AS back ON payment_id = paid.id
    ORDER BY paid.created_at, paid.id, back.created_at, back.id LIMIT :most
    """  # noqa: S608 - constants
).bindparams(bindparam("id", type_=BigInteger), bindparam("most", type_=Integer))
_REFUNDS: Final = text(
    f"""
    SELECT product_id, refunds.quantity, amount, restocked, occurred_at, actor_id
    FROM {all_rows_of(refunds)} JOIN {_LINES} USING (order_id, position)
    WHERE order_id = :id ORDER BY refunds.id LIMIT :most
    """  # noqa: S608 - constants
).bindparams(bindparam("id", type_=BigInteger), bindparam("most", type_=Integer))
_MOVEMENTS: Final = text(
    f"""
    SELECT product_id, quantity, kind, occurred_at FROM {all_rows_of(stock_movements)}
    WHERE order_id = :id ORDER BY id LIMIT :most
    """  # noqa: S608 - constants
).bindparams(bindparam("id", type_=BigInteger), bindparam("most", type_=Integer))


class AllOrderQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def all_orders(
        self, page: PageRequest, criteria: OrderFilter = ANY_ORDER, *, scan: int = MAX_SCANNED
    ) -> Page[StaffOrderView]:
        statement = _PageStatement(criteria, page)
        sql = statement.build(scan)
        typed = [bindparam(name, type_=_TYPES.get(name, BigInteger())) for name in statement.values]
        # The best plan depends on the values: how frequent a status, buyer or seller is.
        rows = self._executor.fetch(text(sql).bindparams(*typed), statement.values, plan_each_time=True)
        if not rows:
            return Page(())
        scanned, last_id, last_time, *_ = rows[0]
        views = _staff_views([row[3:] for row in rows])
        last = encode_key((last_time, last_id) if criteria.is_by_time else (last_id,))
        return scanned_page(
            [(_key(view, criteria), view) for view in views],
            page,
            stopped_at=last if scanned == statement.values["scan"] else None,
        )

    def order_details(self, order_id: OrderId) -> OrderDetails | None:
        views = _staff_views(self._executor.fetch(_ONE_ORDER, {"id": order_id}))
        if not views:
            return None
        limited = {"id": order_id, "most": MAX_ORDER_ROWS}
        return OrderDetails(
            views[0],
            _payments(self._executor.fetch(_PAYMENTS, limited)),
            tuple(RefundView(*row) for row in self._executor.fetch(_REFUNDS, limited)),
            tuple(
                MovementView(product, quantity, MovementKind(kind), at)
                for product, quantity, kind, at in self._executor.fetch(_MOVEMENTS, limited)
            ),
        )


def _key(view: StaffOrderView, criteria: OrderFilter) -> Key:
    order = view.order
    return encode_key((order.created_at, order.id) if criteria.is_by_time else (order.id,))


def _staff_views(rows: Sequence[Sequence[Any]]) -> list[StaffOrderView]:
    """Group rows by order, in the order of the first rows."""
    orders: dict[int, Sequence[Any]] = {}
    lines: dict[int, list[OrderLineView]] = {}
    for row in rows:
        order_id = row[0]
        if order_id is None:
            continue
        if order_id not in orders:
            orders[order_id], lines[order_id] = row[: len(_ORDER)], []
        position, product, seller, name, quantity, price, refunded = row[len(_ORDER) :]
        if position is not None:
            line_id = order_id * LINE_ID_SPAN + position
            lines[order_id].append(OrderLineView(line_id, product, seller, name, quantity, price, refunded))
    return [_staff_view(row, lines[order_id]) for order_id, row in orders.items()]


def _staff_view(row: Sequence[Any], lines: Sequence[OrderLineView]) -> StaffOrderView:
    (
        id_, buyer, currency, status, shortfalls, created_at, updated_at, expires_at, origin, attempts, error,
        decided_at, paid_at, has_expired, is_cancelled_by_staff,
    ) = row  # fmt: skip
    order = OrderView(
        id=OrderId(id_),
        user=AccountId(buyer),
        lines=tuple(lines),
        total=sum(line.quantity * line.price for line in lines),
        currency=currency,
        status=OrderStatus(status),
        shortfalls=tuple(Shortfall(*shortfall) for shortfall in shortfalls or ()),
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at,
        is_cancelled_by_staff=is_cancelled_by_staff,
    )
    is_parked = order.status is OrderStatus.CREATED and attempts >= DECIDE_ATTEMPTS
    return StaffOrderView(order, OrderOrigin(origin), attempts, error, decided_at, paid_at, has_expired, is_parked)


def _payments(rows: Rows) -> tuple[PaymentView, ...]:
    payments: dict[Any, tuple[Sequence[Any], list[PaymentRefundView]]] = {}
    for row in rows:
        refunds = payments.setdefault(row[0], (row[:13], []))[1]
        if row[13] is not None:
            id_, amount, status, tries, trouble, created_at, try_at, done_at = row[13:]
            refunds.append(
                PaymentRefundView(id_, int(amount), RefundStatus(status), tries, trouble, created_at, try_at, done_at)
            )
    return tuple(_payment(row, refunds) for row, refunds in payments.values())


def _payment(row: Sequence[Any], refunds: Sequence[PaymentRefundView]) -> PaymentView:
    id_, amount, currency, method, status, *rest = row
    columns: Any = (id_, int(amount), currency, method, PaymentStatus(status), *rest, tuple(refunds))
    return PaymentView(*columns)
