"""Statements sent to the server: their number does not depend on the number of rows, and hot ones use an index."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen
from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderLine, OrderStatus
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import policy_scope
from scalecommerce_core.queries import Facet, Interval, PageRequest, ProductFilter, SaleFilter, SortOrder
from scalecommerce_core.services.price_explanation import explain_price
from scalecommerce_core.services.search_index import SearchIndex
from tests.integration.recorded_statements import recorded_statements

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PEOPLE, PRODUCTS, ORDERS = 400, 20_000, 20_000
WORDS = (
    "tea", "pot", "kettle", "copper", "steel", "garden", "chair", "wireless", "lamp", "cable", "desk", "running",
    "shoe", "winter", "jacket", "leather", "bag", "чайник", "лампа", "стул", "беспроводные", "наушники", "ботинки",
)  # fmt: skip

EVENTS = """
INSERT INTO outbox (topic, occurred_at, audience, payload)
SELECT 'order.placed', orders.created_at, buyer_id || array_agg(DISTINCT seller_id), jsonb_build_object(
    'order_id', orders.id, 'buyer_id', buyer_id, 'status', status, 'seller_ids', array_agg(DISTINCT seller_id))
FROM orders JOIN order_lines ON order_id = orders.id GROUP BY orders.id ORDER BY orders.id
"""


@frozen
class FilledDatabase:
    """A database with 20,000 products, orders and events, spread evenly; some orders are CREATED or PENDING."""

    engine: Engine
    people: list[AccountId]
    products: list[ProductId]
    orders: list[OrderId]

    @property
    def store(self) -> PostgresStore:
        return PostgresStore(self.engine)

    @property
    def queries(self) -> PostgresQueries:
        return PostgresQueries(self.engine)


@pytest.fixture(scope="module")
def filled(make_database: Callable[[], str]) -> Iterator[FilledDatabase]:
    engine = database_engine(make_database())
    store = PostgresStore(engine)
    with store.bulk() as tx:
        people = list(tx.accounts.next_ids(PEOPLE))
        tx.accounts.add([Account(id_, f"person-{id_}@example.com", None, NOW) for id_ in people])
        products = list(tx.products.next_ids(PRODUCTS))
        tx.products.add([_product(id_, people) for id_ in products])
        tx.stock.add([Stock.opened(id_, 100, NOW) for id_ in products])
        orders = list(tx.orders.next_ids(ORDERS))
        tx.orders.add([_order(id_, people, products) for id_ in orders])
    with engine.begin() as connection:
        connection.execute(text(EVENTS))
    with store.begin() as tx:
        # The newest 2,000 events remain unnumbered.
        tx.events.assign_sequence(ORDERS - 2_000)
    SearchIndex(store).catch_up()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield FilledDatabase(engine, people, products, orders)
    engine.dispose()


def _product(id_: ProductId, people: list[AccountId]) -> Product:
    words = [WORDS[id_ * step % len(WORDS)] for step in (1, 3, 7)]
    product = Product.listed(
        id=id_,
        seller_id=people[id_ % 40],
        category_id=CategoryId(id_ % 20 + 1),
        name=f"{' '.join(words)} {id_:06}",
        price=Money(100 + id_ % 5_000, "USD"),
        now=NOW + id_ * SECOND,
        brand=f"Brand {id_ % 200}",
        description=" ".join(WORDS[id_ * step % len(WORDS)] for step in range(2, 12)),
        sku=f"SKU-{id_}",
    )
    product.events.clear()
    return product


def _order(
    id_: OrderId, people: list[AccountId], products: list[ProductId], status: OrderStatus | None = None
) -> Order:
    lines = []
    for position in range(3):
        product = products[(id_ * 7 + position * 131) % len(products)]
        lines.append(OrderLine(position, product, people[product % 40], 1, 500))
    open_status = {0: OrderStatus.CREATED, 1: OrderStatus.PENDING}
    status = status or open_status.get(id_ % 100, OrderStatus.PAID)
    return Order(
        id=id_,
        command_id=CommandId(uuid4()),
        buyer_id=people[id_ % len(people)],
        currency="USD",
        lines=tuple(lines),
        created_at=NOW + id_ * SECOND,
        updated_at=NOW,
        status=status,
        expires_at=NOW + id_ * SECOND if status is OrderStatus.PENDING else None,
        paid_at=NOW + id_ * SECOND if status is OrderStatus.PAID else None,
    )


# --- constant statement counts

Read = Callable[[FilledDatabase, int], Any]
READS: dict[str, tuple[int, Read]] = {
    "accounts": (1, lambda s, n: s.queries.accounts(PageRequest(n)).rows),
    "orders of a buyer": (1, lambda s, n: s.queries.orders_of_buyer(s.people[0], PageRequest(n)).rows),
    "orders": (1, lambda s, n: s.queries.orders(s.orders[:n])),
    "sales": (1, lambda s, n: s.queries.sales(s.people[0], PageRequest(n)).rows),
    # The page, the views of its products, the size of the catalog and the number of matches. The last two are cached
    # for `COUNT_STALENESS_SECONDS`.
    "newest products": (4, lambda s, n: s.queries.search(ProductFilter(), PageRequest(n)).rows),
    # Of a text, the statistics and the lexemes of its words are read instead of the number of matches.
    "search by words": (5, lambda s, n: s.queries.search(ProductFilter(search="kettle"), PageRequest(n)).rows),
    # The search for the typed words, the search for the corrected words, and two look-ups in the vocabulary.
    "search by spelling": (8, lambda s, n: s.queries.search(ProductFilter(search="kettel"), PageRequest(n)).rows),
    "products": (1, lambda s, n: s.queries.products(s.products[:n])),
    "events": (2, lambda s, n: s.queries.feed(None, n, None).events),
    "events of an account": (2, lambda s, n: s.queries.feed(None, n, s.people[0]).events),
    "codes": (1, lambda s, n: s.queries.ids_by_sku(s.people[0], [f"SKU-{40 * k}" for k in range(1, n + 1)])),
}


@pytest.mark.parametrize("name", READS)
def test_a_list_takes_as_many_statements_for_a_hundred_rows_as_for_one(filled: FilledDatabase, name: str) -> None:
    expected, read = READS[name]
    for size in (1, 50, 100):
        with recorded_statements() as statements:
            found = read(filled, size)
        assert 1 <= len(found) <= size
        assert len(found) in {size, 50}  # a buyer has fifty orders
        assert len(statements) == expected


def test_facets_take_at_most_four_statements_and_statistics_one(filled: FilledDatabase) -> None:
    with recorded_statements() as statements:
        filled.queries.facets(ProductFilter(search="kettle"), list(Facet))
        filled.queries.seller_stats(filled.people[0])
        filled.queries.price_history(filled.products[0], NOW)
    # The size of the catalog, the statistics and the lexemes are cached.
    assert len(statements) == 6


def test_a_report_of_sales_takes_two_statements_and_the_stock_outlook_one(filled: FilledDatabase) -> None:
    with recorded_statements() as statements:
        filled.queries.sales_report(filled.people[0], Interval.DAY, NOW - timedelta(days=400), NOW)
        filled.queries.stock_outlook(filled.people[0], NOW, PageRequest())
    assert len(statements) == 3


def test_the_explanation_of_a_price_takes_two_statements_without_policies(filled: FilledDatabase) -> None:
    product = filled.queries.products(filled.products[:1])[filled.products[0]]
    with recorded_statements() as statements:
        explain_price(filled.queries, product, NOW)
    assert len(statements) == 2


class _Undone(Exception):
    pass


def test_a_batch_of_orders_takes_as_many_statements_as_one(filled: FilledDatabase) -> None:
    counts = set()
    for size in (1, 100):

        def place_and_decide(tx: Transaction, size: int = size) -> None:
            ids = tx.orders.next_ids(size)
            tx.orders.add([_order(id_, filled.people, filled.products, OrderStatus.CREATED) for id_ in ids])
            orders = tx.orders.lock(ids)
            stock = tx.stock.lock({line.product_id for order in orders.values() for line in order.lines})
            for order in orders.values():
                order.decide(stock, NOW, NOW)
            tx.orders.save(list(orders.values()))
            tx.stock.save(list(stock.values()))
            # Writes are buffered until the next read or the commit.
            tx.events.last_seq()
            raise _Undone

        with recorded_statements() as statements, pytest.raises(_Undone), filled.store.begin() as tx:
            place_and_decide(tx)
        counts.add(len(statements))
    assert counts == {10}


# --- plans

LAST = PRODUCTS // 2
FIRST = PageRequest()


def _search(wanted: ProductFilter, page: PageRequest = FIRST) -> Callable[[FilledDatabase], object]:
    return lambda filled: filled.queries.search(wanted, page)


def _in_transaction(work: Callable[[Transaction, FilledDatabase], object]) -> Callable[[FilledDatabase], object]:
    def run(filled: FilledDatabase) -> None:
        with filled.store.begin() as tx:
            work(tx, filled)

    return run


def _signals(tx: Transaction, filled: FilledDatabase) -> None:
    policy = PricingPolicy(tx.policies.next_ids(1)[0], filled.people[3], "keep cover", NOW)
    first, last = filled.products[LAST], filled.products[LAST + 20]
    tx.runs.facts(policy_scope(policy, [policy]), first, last, NOW)
    since = NOW - 90 * 86_400 * SECOND
    tx.runs.price_intervals(first, last, since, counted_after=since)


DEEP = PageRequest(after=((NOW + LAST * SECOND).isoformat(), LAST))
HOT: dict[str, tuple[Callable[[FilledDatabase], object], set[str]]] = {
    "newest products": (_search(ProductFilter()), {"products_newest_idx"}),
    "a page deep down": (_search(ProductFilter(), DEEP), {"products_newest_idx"}),
    "oldest products": (_search(ProductFilter(sort_order=SortOrder.CREATED)), {"products_newest_idx"}),
    "products of a category": (_search(ProductFilter(categories=["sports"])), {"products_category_newest_idx"}),
    "products of a brand": (_search(ProductFilter(brands=["Brand 7"])), {"products_brand_newest_idx"}),
    "rare words": (_search(ProductFilter(search="004711", sort_order=SortOrder.RELEVANCE)), {"products_document_idx"}),
    "misspelt words": (_search(ProductFilter(search="wirelexss")), {"vocabulary_variants_idx", "vocabulary_typos_idx"}),
    "details": (lambda filled: filled.queries.products(filled.products[:20]), {"products_pk", "stock_pk"}),
    "codes": (
        lambda filled: filled.queries.ids_by_sku(filled.people[1], ["SKU-1", "SKU-41"]),
        {"products_seller_id_sku_key"},
    ),
    "price history": (lambda filled: filled.queries.price_history(filled.products[9], NOW), {"price_history_pk"}),
    "orders of a buyer": (
        lambda filled: filled.queries.orders_of_buyer(filled.people[7], PageRequest()),
        {"orders_buyer_id_id_idx", "order_lines_pk"},
    ),
    "an order": (lambda filled: filled.queries.orders(filled.orders[:1]), {"orders_pk", "order_lines_pk"}),
    "sales": (lambda filled: filled.queries.sales(filled.people[7], PageRequest()), {"order_lines_sales_idx"}),
    "liveness": (lambda filled: filled.queries.oldest_undecided(), {"orders_undecided_idx"}),
    "the backlog": (lambda filled: filled.queries.validation_backlog(filled.orders[0]), {"orders_undecided_idx"}),
    "offers": (_in_transaction(lambda tx, filled: tx.products.offers(filled.products[:20])), {"products_pk"}),
    "stock": (_in_transaction(lambda tx, filled: tx.stock.lock(filled.products[:20])), {"stock_pk"}),
    "promises": (
        _in_transaction(lambda tx, filled: tx.products.prices_since(filled.products[:20], NOW)),
        {"price_history_pk"},
    ),
    "deciding": (
        _in_transaction(lambda tx, _: tx.orders.claim_undecided(20, NOW)),
        {"orders_undecided_idx", "order_lines_pk", "products_limited_idx", "price_history_withdrawn_idx"},
    ),
    "expiring": (
        _in_transaction(lambda tx, _: tx.orders.claim_expired(20, NOW + 1000 * SECOND)),
        {"orders_expires_at_idx", "order_lines_pk"},
    ),
    "commands": (
        _in_transaction(lambda tx, _: tx.orders.by_command([CommandId(uuid4()) for _ in range(20)])),
        {"orders_command_id_key"},
    ),
    "log-in": (_in_transaction(lambda tx, _: tx.accounts.by_email(["person-7@example.com"])), {"accounts_email_key"}),
    "numbering": (_in_transaction(lambda tx, _: tx.events.assign_sequence(100)), {"outbox_pk"}),
    "a consumer of some topics": (
        _in_transaction(lambda tx, _: tx.events.read_topics_after(0, 20, ["order.paid"])),
        {"events_pk"},
    ),
    "a consumer": (_in_transaction(lambda tx, _: tx.events.read_after(0, 20)), {"events_pk"}),
    "forgetting": (
        _in_transaction(lambda tx, _: tx.events.purge(NOW + 1000 * SECOND, 20)),
        {"events_pk", "event_audience_seq_idx"},
    ),
    "lines of events": (
        lambda filled: filled.queries.visible_events(range(LAST, LAST + 20), None),
        {"events_pk", "order_lines_pk"},
    ),
    "lines of events of an account": (
        lambda filled: filled.queries.visible_events(range(LAST, LAST + 20), filled.people[3]),
        {"events_pk"},
    ),
    "signals": (_in_transaction(_signals), {"products_pk", "price_history_pk", "stock_pk"}),
}
BIG = {
    "products", "orders", "order_lines", "stock", "price_history", "accounts", "outbox", "events", "event_audience",
}  # fmt: skip


@pytest.mark.parametrize("name", HOT)
def test_hot_statements_use_their_index(filled: FilledDatabase, name: str) -> None:
    work, indexes = HOT[name]
    with recorded_statements() as statements:
        work(filled)
    used: set[str] = set()
    scanned: set[str] = set()
    for statement, parameters in statements:
        if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
            continue
        with filled.engine.connect() as connection:
            (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).one()
        for node in nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]):
            used.add(node.get("Index Name", ""))
            if node["Node Type"] == "Seq Scan":
                scanned.add(node["Relation Name"])
    assert indexes <= used
    # 400 accounts fit on a few pages, so that scanning all of them is the better plan.
    assert not scanned & BIG - {"accounts"}


def test_statements_of_orders_are_not_planned_each_time(filled: FilledDatabase) -> None:
    engine = database_engine(filled.engine.url.render_as_string(hide_password=False), pool_size=1, max_overflow=0)
    store = PostgresStore(engine)
    # psycopg prepares a statement at its sixth execution; PostgreSQL plans the first five of a prepared one.
    for _ in range(15):
        with store.begin() as tx:
            tx.products.offers(filled.products[:8])
            tx.orders.begin_intake(8, filled.people[:8])
            tx.stock.lock(filled.products[:8])
            tx.orders.claim_undecided(20, NOW)
    with engine.connect() as connection:
        prepared = connection.execute(text("SELECT statement, generic_plans FROM pg_prepared_statements")).all()
    engine.dispose()
    assert len(prepared) == 6
    assert [statement for statement, generic_plans in prepared if generic_plans == 0] == []


def test_sales_are_planned_for_each_seller(filled: FilledDatabase) -> None:
    """A generic plan for average sellers would walk all orders for one with few old sales."""
    engine = database_engine(filled.engine.url.render_as_string(hide_password=False), pool_size=1, max_overflow=0)
    queries = PostgresQueries(engine)
    for _ in range(15):
        assert queries.sales(filled.people[0], PageRequest()).rows
        queries.sales(filled.people[0], PageRequest(), SaleFilter(status=OrderStatus.PENDING))
    with engine.connect() as connection:
        prepared = connection.execute(text("SELECT statement FROM pg_prepared_statements")).scalars().all()
    engine.dispose()
    assert [statement for statement in prepared if "order_lines" in statement] == []


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
