"""The work of lists for staff on PostgreSQL: it does not grow with the number of rows."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries import AccountFilter, AllProductsFilter, Page, PageRequest
from tests.integration.recorded_statements import most_rows, recorded_statements

PAGE: Final = 50
DEACTIVATED: Final = 20
# Of the products every hundredth is paused and every two-hundredth withdrawn. 20 of the 1,000 sellers are deactivated,
# and seller 1 has as many products as all others.
FILL: Final = """
INSERT INTO accounts (id, email, password_hash, first_name, last_name, bio, is_staff, is_active, created_at)
SELECT n, 'person-' || n || '@example.com', 'hash', 'Kara', 'Lind', '', false, mod(n, 50) <> 7, now()
FROM generate_series(1, 1000) AS n;
INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, is_active, created_at,
    updated_at, priced_at, version, withdrawn_at)
SELECT n, CASE WHEN mod(n, 2) = 0 THEN 1 ELSE 1 + mod(n / 2, 1000) END, 1 + mod(n, 20), 'Tea pot', '', '', 100, 'USD',
    mod(n, 100) <> 0, now() - n * interval '1 minute', now(), now(), 1, CASE WHEN mod(n, 200) = 0 THEN now() END
FROM generate_series(1, 20000) AS n;
INSERT INTO stock SELECT id, 5, 0 FROM products;
INSERT INTO stock_movements (product_id, quantity, kind, occurred_at)
SELECT CASE WHEN mod(n, 2) = 0 THEN 1 ELSE 1 + mod(n, 20000) END, 1, 'adjustment', now()
FROM generate_series(1, 20000) AS n;
INSERT INTO webhook_endpoints (id, owner_id, url, topics, secrets, description, all_events, is_active, failures,
    created_at, version, verified_at)
SELECT n, 1 + n / 10, 'https://example.com/', '[]', '[]', '', false, mod(n, 100) <> 0, 0, now(), 1, now()
FROM generate_series(1, 5000) AS n;
INSERT INTO webhook_deliveries (id, endpoint_id, seq, message_id, topic, body, status, attempts, logged, revision,
    created_at)
SELECT n, 1 + mod(n, 5000), n, 'msg_' || n, 'order.paid', '{}', CASE WHEN n <= 200 THEN 'FAILED' ELSE 'DELIVERED' END,
    0, 0, 1, now()
FROM generate_series(1, 20000) AS n;
"""


@pytest.fixture(scope="module")
def engine(make_database: Callable[[], str]) -> Iterator[Engine]:
    engine = database_engine(make_database(), statement_timeout=None)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(FILL)
        connection.exec_driver_sql("VACUUM ANALYZE")
    yield engine
    engine.dispose()


def work(engine: Engine, read: Callable[[PostgresQueries, PageRequest], Page[Any]]) -> list[int]:
    """The most rows that a part of the plan reads for the first page and for the one after it."""
    queries, request, most = PostgresQueries(engine), PageRequest(PAGE), []
    for _ in range(2):
        with recorded_statements() as statements:
            page = read(queries, request)
        ((sql, parameters),) = statements
        most.append(most_rows(engine, sql, parameters))
        if page.next is None:
            break
        request = PageRequest(PAGE, after=page.next)
    return most


@pytest.mark.parametrize(
    "criteria",
    [
        AllProductsFilter(),
        AllProductsFilter(is_on_sale=True),
        AllProductsFilter(is_on_sale=False),
        *(AllProductsFilter(is_on_sale, AccountId(1)) for is_on_sale in (None, True, False)),
        *(AllProductsFilter(is_on_sale, AccountId(7)) for is_on_sale in (None, False)),
    ],
)
def test_a_page_of_all_products_reads_few_rows(engine: Engine, criteria: AllProductsFilter) -> None:
    # The newest products of each deactivated seller, then those of the page in each index.
    bound = (DEACTIVATED + 3) * (PAGE + 1)
    assert max(work(engine, lambda queries, page: queries.all_products(page, criteria))) <= bound


@pytest.mark.parametrize("search", ["person-77@", "nobody", "person-", "kara lind"])
def test_a_page_of_accounts_by_a_fragment_reads_few_rows(engine: Engine, search: str) -> None:
    read = work(engine, lambda queries, page: queries.accounts(page, AccountFilter(search=search)))
    assert max(read) <= 2 * PAGE


@pytest.mark.parametrize("product", [1, 2])
def test_a_page_of_stock_movements_reads_few_rows(engine: Engine, product: int) -> None:
    read = work(engine, lambda queries, page: queries.stock_movements(ProductId(product), page))
    assert max(read) <= PAGE + 1


@pytest.mark.parametrize("is_active", [None, True, False])
@pytest.mark.parametrize("owner", [None, AccountId(7)])
def test_a_page_of_endpoints_reads_few_rows(engine: Engine, owner: AccountId | None, is_active: bool | None) -> None:
    read = work(engine, lambda queries, page: queries.endpoints(owner, page, is_active=is_active))
    assert max(read) <= 2 * PAGE


@pytest.mark.parametrize("status", [None, *DeliveryStatus])
@pytest.mark.parametrize("owner", [None, AccountId(7)])
def test_a_page_of_deliveries_reads_few_rows(
    engine: Engine, owner: AccountId | None, status: DeliveryStatus | None
) -> None:
    read = work(engine, lambda queries, page: queries.deliveries(None, page, status=status, owner=owner))
    # The account has ten endpoints.
    assert max(read) <= 11 * (PAGE + 1)
