"""Order queries: orders of a buyer and sales of a seller. One statement fetches a page, its order lines included."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import combinations
from typing import Any, Final

from attrs import asdict, frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
    true,
    union_all,
)

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.queries.executor import QueryExecutor, Rows
from adapters.db.queries.keyset import Keyset, build_page, decode_key, page_direction, page_statements
from adapters.db.sales import is_sale
from adapters.db.schema import ARCHIVED, Moment, all_orders, lines_of, order_lines, orders, products
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, LINE_ID_SPAN, OrderStatus, Shortfall
from scalecommerce_core.queries import (
    ALL_SALES,
    MAX_UNDECIDED,
    Key,
    OrderLineView,
    OrderView,
    Page,
    PageRequest,
    SaleFilter,
    SaleView,
    ValidationBacklog,
)

# --- orders

_ORDER: Final = (
    all_orders.c.id,
    all_orders.c.buyer_id,
    all_orders.c.currency,
    all_orders.c.status,
    all_orders.c.shortfalls,
    all_orders.c.created_at,
    all_orders.c.updated_at,
    all_orders.c.expires_at,
    all_orders.c.is_cancelled_by_staff,
)


def _with_lines(chosen: Select[*tuple[Any, ...]], *, newest_first: bool) -> Select[*tuple[Any, ...]]:
    """Return a row for each line of the chosen orders."""
    # MATERIALIZED: the page is chosen before its lines are joined.
    page = chosen.add_columns(all_orders.c.is_archived).cte("page").prefix_with("MATERIALIZED", dialect="postgresql")
    lines = lines_of(page)
    return (
        select(
            *(page.c[column.name] for column in _ORDER),
            lines.c.position,
            lines.c.product_id,
            lines.c.seller_id,
            products.c.name,
            lines.c.quantity,
            lines.c.price,
            lines.c.refunded,
        )
        .select_from(page)
        .outerjoin(lines, true())
        .outerjoin(products, products.c.id == lines.c.product_id)
        .order_by(page.c.id.desc() if newest_first else page.c.id, lines.c.position)
    )


_NEWEST_FIRST: Final = Keyset((all_orders.c.id,), descending=True)
_OF_BUYER: Final = page_statements(
    lambda request: _with_lines(
        _NEWEST_FIRST.page_statement(
            select(*_ORDER).where(all_orders.c.buyer_id == bindparam("buyer", type_=BigInteger)), request
        ),
        newest_first=request.before is None,
    )
)
_BY_ID: Final = _with_lines(select(*_ORDER).where(equals_any(all_orders.c.id)), newest_first=False)
# A generic plan for `= ANY(array)` assumes ten ids and looks more expensive than a plan for one id, so PostgreSQL would
# plan every execution.
_ONE_BY_ID: Final = _with_lines(
    select(*_ORDER).where(all_orders.c.id == bindparam("id", type_=BigInteger)), newest_first=False
)
# OFFSET 0 keeps the planner from searching the first undecided order in the index on `created_at`, which contains all
# settled orders.
_UNDECIDED: Final = (
    select(orders.c.created_at)
    .where(orders.c.status == OrderStatus.CREATED.value, orders.c.decide_attempts < DECIDE_ATTEMPTS)
    .offset(0)
    .subquery()
)
# Literals, so that the plan uses the partial index whatever the parameters are.
_VALIDATION_BACKLOG: Final = text(
    f"""
    SELECT count(*), count(*) FILTER (WHERE id <= :upto), min(id), max(id), min(created_at) FROM (
        SELECT id, created_at FROM orders WHERE status = 'CREATED' AND decide_attempts = 0
        ORDER BY id LIMIT {MAX_UNDECIDED}
    ) AS undecided
    """  # noqa: S608 - constants
).bindparams(bindparam("upto", type_=BigInteger))
_OLDEST_UNDECIDED: Final = select(func.min(_UNDECIDED.c.created_at))

# --- sales

_CONDITIONS: Final[Mapping[str, Callable[[Table, Table], ColumnElement[bool]]]] = {
    "status": lambda orders, _: orders.c.status == bindparam("status", type_=Text),
    "product": lambda _, lines: lines.c.product_id == bindparam("product", type_=BigInteger),
    "since": lambda orders, _: orders.c.created_at >= bindparam("since", type_=Moment),
    "until": lambda orders, _: orders.c.created_at < bindparam("until", type_=Moment),
}


def _newest_first(lines: Table | Subquery) -> Keyset:
    return Keyset((lines.c.order_id, lines.c.position), descending=True)


def _sales(request: PageRequest, conditions: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Return the statement of one page of sales, merged from the hot and the archived tables.

    Hot lines are joined with hot orders and archived with archived: for a join with `all_orders`, the planner
    overestimates the rows and does not choose the seller's index.
    """
    parts = [
        _newest_first(lines).page_statement(_sales_of(orders, lines, conditions), request) for orders, lines in _PLACES
    ]
    sale = union_all(*parts).subquery("sale")
    page = select(*sale.c, products.c.name).join(products, products.c.id == sale.c.product_id)
    return _newest_first(sale).slice_statement(page, has_cursor=False, backwards=request.before is not None)


def _sales_of(orders: Table, lines: Table, conditions: Sequence[str]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            lines.c.order_id,
            lines.c.position,
            lines.c.product_id,
            lines.c.quantity,
            lines.c.price,
            lines.c.refunded,
            orders.c.currency,
            orders.c.status,
            orders.c.created_at,
        )
        .join(orders, orders.c.id == lines.c.order_id)
        .where(
            lines.c.seller_id == bindparam("seller", type_=BigInteger),
            # Purchases of own products are no sales (ADR 34).
            is_sale(orders, lines),
            *(_CONDITIONS[name](orders, lines) for name in conditions),
        )
    )


# Where orders and their lines are: hot and archived.
_PLACES: Final = ((orders, order_lines), (ARCHIVED[orders], ARCHIVED[order_lines]))
_SALES: Final = {
    chosen: page_statements(partial(_sales, conditions=chosen))
    for size in range(len(_CONDITIONS) + 1)
    for chosen in combinations(_CONDITIONS, size)
}


class OrderQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def orders_of_buyer(self, buyer_id: AccountId, page: PageRequest) -> Page[OrderView]:
        parameters = {"buyer": buyer_id, **_NEWEST_FIRST.page_params(page)}
        views = _views(self._executor.fetch(_OF_BUYER[page_direction(page)], parameters))
        return build_page(views, page, lambda view: view, lambda view: (view.id,))

    def orders(self, ids: Collection[OrderId]) -> Mapping[OrderId, OrderView]:
        if len(ids) == 1:
            (id_,) = ids
            rows = self._executor.fetch(_ONE_BY_ID, {"id": id_})
        else:
            rows = self._executor.fetch(_BY_ID, {"ids": id_array(ids)})
        return {view.id: view for view in _views(rows)}

    def sales(self, seller_id: AccountId, page: PageRequest, criteria: SaleFilter = ALL_SALES) -> Page[SaleView]:
        values = asdict(criteria) | {"status": None if criteria.status is None else criteria.status.value}
        given = {name: values[name] for name in _CONDITIONS if values[name] is not None}
        parameters = {"seller": seller_id, **given, **_newest_first(order_lines).page_params(_with_index_keys(page))}
        # The best plan depends on the seller: a generic one would walk all orders for a seller with few old sales.
        fetched = self._executor.fetch(_SALES[tuple(given)][page_direction(page)], parameters, plan_each_time=True)
        return build_page(fetched, page, _sale, lambda row: (_line_id(row[0], row[1]),))

    def oldest_undecided(self) -> datetime | None:
        ((oldest,),) = self._executor.fetch(_OLDEST_UNDECIDED)
        moment: datetime | None = oldest
        return moment

    def validation_backlog(self, upto: OrderId | None = None) -> ValidationBacklog:
        ((undecided, remaining, first, last, oldest),) = self._executor.fetch(_VALIDATION_BACKLOG, {"upto": upto or 0})
        return ValidationBacklog(undecided, remaining, first, last, oldest)


def _views(rows: Rows) -> list[OrderView]:
    """Group rows by order, in the order of the first rows."""
    found: dict[OrderId, _GroupedOrder] = {}
    for row in rows:
        if (grouped := found.get(row[0])) is None:
            grouped = found[row[0]] = _GroupedOrder(row[: len(_ORDER)], [])
        if row[len(_ORDER)] is not None:
            grouped.lines.append(_line(row[0], row[len(_ORDER) :]))
    return [grouped.view() for grouped in found.values()]


@frozen
class _GroupedOrder:
    order: Sequence[Any]
    lines: list[OrderLineView]

    def view(self) -> OrderView:
        id_, buyer_id, currency, status, shortfalls, created_at, updated_at, expires_at, by_staff = self.order
        return OrderView(
            id=id_,
            user=buyer_id,
            lines=tuple(self.lines),
            total=sum(line.quantity * line.price for line in self.lines),
            currency=currency,
            status=OrderStatus(status),
            shortfalls=tuple(Shortfall(*shortfall) for shortfall in shortfalls or ()),
            created_at=created_at,
            updated_at=updated_at,
            expires_at=expires_at,
            is_cancelled_by_staff=by_staff,
        )


def _line(order_id: int, row: Sequence[Any]) -> OrderLineView:
    position, product_id, seller_id, name, quantity, price, refunded = row
    return OrderLineView(_line_id(order_id, position), product_id, seller_id, name, quantity, price, refunded)


def _sale(row: Sequence[Any]) -> SaleView:
    order_id, position, product_id, quantity, price, refunded, currency, status, created_at, name = row
    return SaleView(
        id=_line_id(order_id, position),
        order=order_id,
        product=product_id,
        name=name,
        quantity=quantity,
        price=price,
        refunded=refunded,
        currency=currency,
        status=OrderStatus(status),
        created_at=created_at,
    )


def _line_id(order_id: int, position: int) -> int:
    return order_id * LINE_ID_SPAN + position


def _with_index_keys(page: PageRequest) -> PageRequest:
    """Replace the keys, which hold a line's id, by the columns of the index: order and position."""
    return PageRequest(page.size, _split_line_id(page.after), _split_line_id(page.before))


def _split_line_id(key: Key | None) -> Key | None:
    if key is None:
        return None
    (line_id,) = decode_key(key, [int])
    order_id, position = divmod(line_id, LINE_ID_SPAN)
    return order_id, position
