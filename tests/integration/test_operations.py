"""What staff see on PostgreSQL: the number of statements, and the work of each with many orders and troubles."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.queries import MAX_COUNTED, MAX_SCANNED, OrderFilter, PageRequest, TroubleKind
from scalecommerce_core.testing.contracts.stage import Stage
from tests.integration.recorded_statements import most_rows, recorded_statements

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDERS: Final = 60_000
# Of each hundred orders one is rejected; the newest 1,500 are parked. The rare buyer and seller have the oldest orders.
FILL: Final = """
INSERT INTO orders (id, command_id, buyer_id, currency, status, shortfalls, created_at, updated_at, paid_at, origin,
    decide_attempts, decide_error)
SELECT n, gen_random_uuid(), CASE WHEN n <= 3 THEN :rare ELSE :buyer END, 'USD', status,
    CASE WHEN status = 'REJECTED' THEN '[[1, 2, 1]]'::jsonb END, at, at, CASE WHEN status = 'PAID' THEN at END, 'api',
    CASE WHEN status = 'CREATED' THEN 5 ELSE 0 END, CASE WHEN status = 'CREATED' THEN 'KeyError: 7' END
FROM (
    SELECT n,
        CASE WHEN n > :orders - 1500 THEN 'CREATED' WHEN mod(n, 100) = 0 THEN 'REJECTED' ELSE 'PAID' END AS status,
        CAST(:now AS timestamptz) - (:orders - n) * interval '1 second' AS at
    FROM generate_series(1, :orders) AS n
) AS numbered;
INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
SELECT n, 1, CASE WHEN n <= 3 THEN :rare_product ELSE :product END, CASE WHEN n <= 3 THEN :rare ELSE :seller END, 1,
    1000, 0
FROM generate_series(1, :orders) AS n;
"""


class Crowd:
    """A market with very many orders, most of them of one buyer and one seller."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.queries = engine, PostgresQueries(engine)
        stage = Stage(PostgresStore(engine))
        self.buyer, self.seller, self.rare = stage.account(), stage.account(), stage.account()
        self.product = stage.product(self.seller, name="Tea pot")
        self.rare_product = stage.product(self.rare, name="Rare teapot")
        values = {
            "orders": ORDERS,
            "now": NOW,
            **{name: getattr(self, name) for name in ("buyer", "seller", "rare", "product", "rare_product")},
        }
        sql = re.sub(r":(orders|now|buyer|seller|rare_product|rare|product)\b", lambda m: _literal(values[m[1]]), FILL)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(sql)
            connection.exec_driver_sql("VACUUM ANALYZE")


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, datetime) else str(value)


@pytest.fixture(scope="module")
def crowd(make_database: Callable[[], str]) -> Iterator[Crowd]:
    engine = database_engine(make_database(), statement_timeout=None)
    yield Crowd(engine)
    engine.dispose()


def read_rows(crowd: Crowd, sql: str, parameters: Any) -> int:
    return most_rows(crowd.engine, sql, parameters)


def filters(crowd: Crowd) -> dict[str, OrderFilter]:
    return {
        "all": OrderFilter(),
        "paid": OrderFilter(status=OrderStatus.PAID),
        "rejected": OrderFilter(status=OrderStatus.REJECTED),
        "refunded, of which there are none": OrderFilter(status=OrderStatus.REFUNDED),
        "parked": OrderFilter(is_parked=True),
        "frequent buyer": OrderFilter(buyer=crowd.buyer),
        "rare buyer": OrderFilter(buyer=crowd.rare),
        "frequent seller": OrderFilter(seller=crowd.seller),
        "rare seller": OrderFilter(seller=crowd.rare),
        "frequent product": OrderFilter(product=crowd.product),
        "frequent words": OrderFilter(search="pot"),
        "rare words": OrderFilter(search="rare"),
        "number": OrderFilter(search="7"),
        "old times": OrderFilter(created_before=NOW - timedelta(seconds=ORDERS - 100)),
        "a total that no order has": OrderFilter(total_min=Money(10**9, "USD")),
        "a rare status of a frequent seller": OrderFilter(seller=crowd.seller, status=OrderStatus.CANCELLED),
        "rejected of a frequent buyer in old times": OrderFilter(
            buyer=crowd.buyer, status=OrderStatus.REJECTED, created_before=NOW - timedelta(seconds=ORDERS - 500)
        ),
    }


def test_a_page_of_all_orders_is_one_statement_of_bounded_work(crowd: Crowd) -> None:
    for name, criteria in filters(crowd).items():
        with recorded_statements() as statements:
            first = crowd.queries.all_orders(PageRequest(100), criteria)
        ((sql, parameters),) = statements
        # The nodes that join two lists of the examined orders read each once.
        assert read_rows(crowd, sql, parameters) <= 2 * MAX_SCANNED + 100, name
        if first.next is not None:
            with recorded_statements() as statements:
                crowd.queries.all_orders(PageRequest(100, after=first.next), criteria)
            ((sql, parameters),) = statements
            assert read_rows(crowd, sql, parameters) <= 2 * MAX_SCANNED + 100, name


def test_following_the_pages_finds_rare_orders_behind_many_others(crowd: Crowd) -> None:
    criteria = OrderFilter(
        buyer=crowd.buyer, status=OrderStatus.REJECTED, created_before=NOW - timedelta(seconds=ORDERS - 500)
    )
    page, found, pages = crowd.queries.all_orders(PageRequest(100), criteria), list[OrderId](), 1
    while True:
        found += [view.order.id for view in page.rows]
        if page.next is None:
            break
        page, pages = crowd.queries.all_orders(PageRequest(100, after=page.next), criteria), pages + 1
    assert found == [400, 300, 200, 100]
    assert pages == ORDERS // MAX_SCANNED


def test_the_rare_are_found_at_once(crowd: Crowd) -> None:
    for criteria in (OrderFilter(buyer=crowd.rare), OrderFilter(seller=crowd.rare), OrderFilter(search="rare")):
        page = crowd.queries.all_orders(PageRequest(10), criteria)
        assert ([view.order.id for view in page.rows], page.next) == ([3, 2, 1], None)


def test_troubles_are_one_statement_that_counts_up_to_a_limit(crowd: Crowd) -> None:
    with recorded_statements() as statements:
        found = crowd.queries.troubles(NOW, 20)
    ((sql, parameters),) = statements
    (parked,) = [trouble for trouble in found if trouble.kind is TroubleKind.PARKED_ORDER]
    assert (parked.count, len(parked.items)) == (MAX_COUNTED, 20)
    assert parked.items[0].cause == "KeyError: 7"
    assert read_rows(crowd, sql, parameters) <= 3 * MAX_COUNTED


def test_backlogs_and_details_take_few_statements(crowd: Crowd) -> None:
    with recorded_statements() as statements:
        crowd.queries.backlogs()
    assert len(statements) == 1
    with recorded_statements() as statements:
        details = crowd.queries.order_details(OrderId(ORDERS - 2_000))
    assert len(statements) == 4
    assert details is not None
    assert all(read_rows(crowd, sql, parameters) <= 10 for sql, parameters in statements)
    assert [line.product for line in details.view.order.lines] == [ProductId(crowd.product)]
    assert details.view.order.user == AccountId(crowd.buyer)
