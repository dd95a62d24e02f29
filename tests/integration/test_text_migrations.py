"""Migrations of texts: normal forms, and products indexed again by new rules."""

import logging
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine

from adapters.db import migrate
from adapters.db.core.connection_parameters import database_url
from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.embedded.postgres import ROLE
from scalecommerce_core.queries import Facet, FacetValue, PageRequest, ProductFilter

BEFORE = "0013"

SELLER = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
VALUES (%s, %s, %s, 'Sexton', %s, false, true, now())
"""
PRODUCT = """
INSERT INTO products (id, seller_id, category_id, name, brand, description, sku, price, currency, is_active,
    created_at, updated_at, priced_at, version)
VALUES (%s, %s, 1, %s, %s, %s, %s, 100, 'USD', true, now(), now(), now(), 1)
"""
POLICY = """
INSERT INTO pricing_policies (id, seller_id, name, created_at, is_active, version, document)
VALUES (1, 1, E'Mine\u200b ', now(), true, 1, jsonb_build_object('name', E'Mine\u200b ', 'fee', 0))
"""
ENDPOINT = """
INSERT INTO webhook_endpoints (id, owner_id, url, topics, secrets, description, all_events, is_active, failures,
    created_at, version)
VALUES (1, 1, 'https://example.com', '[]', '[]', E' one\r\ntwo ', false, true, 0, now(), 1)
"""


@pytest.fixture
def engine(postgres_url: str, administrator: psycopg.Connection) -> Iterator[Engine]:
    """A database of revision 0013 that has only the default categories."""
    name = "release_before"
    administrator.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE)))
    engine = database_engine(database_url(postgres_url).set(database=name).render_as_string(hide_password=False))
    with engine.begin() as connection:
        migrate.migrate_to(connection, BEFORE)
    yield engine
    engine.dispose()
    administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _product(
    connection: Connection, id_: int, name: str, sku: str | None = None, *, seller: int = 1, brand: str = "",
    description: str = "",
) -> None:  # fmt: skip
    connection.exec_driver_sql(PRODUCT, (id_, seller, name, brand, description, sku))


def _upgrade(engine: Engine) -> None:
    with engine.begin() as connection:
        migrate.migrate_to(connection, "head")


def test_texts_are_normalized_and_collisions_are_logged(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(SELLER, (1, "kara@example.com", " Kara\u200b", "Tea\r\nand cups \u2028"))
        connection.exec_driver_sql(SELLER, (2, "omar@example.com", "Omar", ""))
        for id_, text in enumerate(["T1 ", "T1", " T1", "T1\n", "T1\u200b"], 1):
            _product(connection, id_, f"{text} cup", text, brand=text)
        _product(connection, 6, "Cafe\u0301\u00a0 cup", "T1 ", seller=2, description="One\r\ntwo\u202e ")
        _product(connection, 7, "\u200b", "A", brand="Plain")
        _product(connection, 9_000, "Plain", "B", brand="Plain")
        connection.exec_driver_sql("INSERT INTO categories (id, name, slug) VALUES (21, 'Tea', 'tea'),"
                                   " (22, E'Te\u200ba', 'te-a'), (23, E'Cups ', 'cups'),"
                                   " (24, 'Küche', 'kuche'), (25, E'\\u200b', 'x')")  # fmt: skip
        connection.exec_driver_sql(POLICY)
        connection.exec_driver_sql(ENDPOINT)
    with caplog.at_level(logging.WARNING, "alembic.runtime.migration"):
        _upgrade(engine)
    with engine.connect() as connection:

        def rows(statement: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(statement).all()]

        assert rows("SELECT id, name, brand, sku, version FROM products ORDER BY id") == [
            (1, "T1 cup", "T1", "T1 ", 2),
            (2, "T1 cup", "T1", "T1", 1),
            (3, "T1 cup", "T1", " T1", 2),
            (4, "T1 cup", "T1", "T1\n", 2),
            (5, "T1 cup", "T1", "T1\u200b", 2),
            (6, "Café cup", "", "T1", 2),
            (7, "\u200b", "Plain", "A", 1),
            (9_000, "Plain", "Plain", "B", 1),
        ]
        assert rows("SELECT description FROM products WHERE id = 6") == [("One\ntwo",)]
        assert rows("SELECT first_name, bio FROM accounts WHERE id = 1") == [("Kara", "Tea\nand cups")]
        assert rows("SELECT name, slug FROM categories WHERE id > 20 ORDER BY id") == [
            ("Tea", "tea"),
            ("Te\u200ba", "te-a"),
            ("Cups", "cups"),
            ("Küche", "kuche"),
            ("\u200b", "x"),
        ]
        assert rows("SELECT name, document ->> 'name', document ->> 'fee' FROM pricing_policies") == [
            ("Mine", "Mine", "0")
        ]
        assert rows("SELECT description FROM webhook_endpoints") == [("one\ntwo",)]
    logged = [record.getMessage() for record in caplog.records]
    assert [message for message in logged if message.startswith("Product ")] == [
        f"Product {id_} keeps its sku: in its normal form it is that of product 2." for id_ in (1, 3, 4, 5)
    ]
    assert "Row 7 of products keeps its name: its normal form is empty or too long." in logged
    assert "Category 22 keeps its name: in its normal form it is that of category 21." in logged
    facets = PostgresQueries(engine).facets(ProductFilter(), [Facet.BRAND])
    assert list(facets.values[Facet.BRAND]) == [FacetValue("T1", "T1", 5), FacetValue("Plain", "Plain", 2)]


def test_existing_products_are_found_by_the_new_rules(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(SELLER, (1, "kara@example.com", "Kara", ""))
        for id_, name in enumerate(["Cream 500ml", "Wi-Fi router", "Bottle 1,5 l", "Tea\u00adpot", "Plain cup"], 1):
            _product(connection, id_, name, description="<strong>Fine</strong>" if id_ == 5 else "")
    _upgrade(engine)
    queries = PostgresQueries(engine)

    def found(search: str) -> list[int]:
        return [view.id for view in queries.search(ProductFilter(search=search), PageRequest()).rows]

    searches = {"500 ml": [1], "wifi": [2], "1.5": [3], "teapot": [4], "strong": [], "fine": [5], "wfii": [2]}
    assert {search: found(search) for search in searches} == searches


def test_a_dump_can_be_restored(engine: Engine) -> None:
    """pg_restore evaluates generated columns with an empty search path."""
    _upgrade(engine)
    arguments = ("Wi-Fi x200 500ml 1,5 &eacute; <b>b</b>", "A", "B")
    with engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT search_document(%s, %s, %s)::text", arguments).scalar()
    with engine.connect() as connection:
        connection.exec_driver_sql("SET search_path = ''")
        after = connection.exec_driver_sql("SELECT public.search_document(%s, %s, %s)::text", arguments).scalar()
    assert before == after is not None
