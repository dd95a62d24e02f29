"""`stock repair` on PostgreSQL with concurrent orders."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.identifiers import CommandId
from scalecommerce_core.domain.order import Order, OrderStatus
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import CancelOrder, Ordering, OrderRules, PlaceOrder
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.stage import NOW, Stage
from tests.integration.engine_process import run


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


def change(database: str, statement: LiteralString, *parameters: int) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute(statement, parameters)


def test_rows_that_were_changed_by_sql_are_repaired(database: str, engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    buyer = stage.account()
    products = [stage.product(stock=20) for _ in range(4)]
    stage.order(buyer, dict.fromkeys(products, 3), OrderStatus.PENDING)
    paid = stage.order(buyer, dict.fromkeys(products, 2), OrderStatus.PAID)
    change(database, "UPDATE stock SET reserved = 0 WHERE product_id = %s", products[0])
    change(database, "UPDATE stock SET on_hand = on_hand + 5 WHERE product_id = %s", products[1])
    change(database, "DELETE FROM stock_movements WHERE kind = 'opening' AND product_id = %s", products[2])

    found = run("stock", "verify", "--json", cwd=tmp_path, DATABASE_URL=database)
    assert found.returncode == 1
    assert [(each["product_id"], each["figure"]) for each in json.loads(found.stdout)["discrepancies"]] == [
        (products[0], "reserved"), (products[1], "on_hand"), (products[2], "on_hand"),
    ]  # fmt: skip
    repaired = run("stock", "verify", "--repair", "--yes", "--json", cwd=tmp_path, DATABASE_URL=database)
    assert repaired.returncode == 0, repaired.stderr
    document = json.loads(repaired.stdout)
    assert document["clean"] is True
    assert [(each["product_id"], each["correction"]) for each in document["repaired"]] == [
        (products[0], 0), (products[1], 5), (products[2], 20),
    ]  # fmt: skip
    assert {"kind": "correction", "entries": 2, "units": 25} in document["movements"]

    change(database, "DELETE FROM stock_movements WHERE order_id = %s AND product_id = %s", paid, products[3])
    left = run("stock", "verify", "--repair", "--yes", cwd=tmp_path, DATABASE_URL=database)
    assert left.returncode == 1
    assert f"order {paid}: the ledger's sale differs from the line that was paid" in left.stdout


def test_orders_continue_during_a_repair(database: str, engine: Engine) -> None:
    store, clock = PostgresStore(engine), SettableClock(NOW)
    stage, ordering, catalog = (
        Stage(store),
        Ordering(store, clock, OrderRules(quotas=OrderQuotas(open_orders=0))),
        Catalog(store, clock),
    )
    buyer = stage.account()
    products = [stage.product(stock=1_000) for _ in range(3)]
    change(database, "UPDATE stock SET on_hand = on_hand - 7, reserved = 300")

    def trade() -> None:
        for _ in range(40):
            lines = [OrderLineRequest(product, 1) for product in products]
            placed = ordering.place([PlaceOrder(CommandId(uuid4()), buyer, lines) for _ in range(2)])
            while ordering.decide().total:
                pass
            first = placed[0]
            assert isinstance(first, Order)
            ordering.cancel([CancelOrder(first.id, buyer)])

    with ThreadPoolExecutor(3) as pool:
        trading = [pool.submit(trade) for _ in range(2)]
        repaired = [each for _ in range(30) for each in catalog.repair_stock(products) if each is not None]
        for each in trading:
            each.result()
    # One correction each: later repairs found no difference, although orders changed the stock all the time.
    assert sorted((each.product_id, each.correction) for each in repaired) == [(product, -7) for product in products]
    while ordering.decide().total:
        pass
    assert PostgresQueries(engine).stock_discrepancies() == []
