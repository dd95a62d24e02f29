"""A market to order from, made in bulk by SQL. Both sides get copies of the same template database."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from attrs import frozen
from psycopg import sql

from adapters.db.core.connection_parameters import open_connection
from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.store import PostgresStore
from adapters.security.tokens import JwtTokens, secret_key
from adapters.system import SystemClock
from bench.orders_load.checkout import THIS, Checkout
from bench.orders_load.server import BenchPostgres
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.ports import Claims, TokenKind
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.services.statistics import Statistics

SELLERS: Final = 50
STOCK: Final = 100_000_000
TEMPLATE: Final = "seeded"

SERVER_SETTINGS: Final[Mapping[str, str]] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
    # Gives the time of a decision's commit, to the microsecond.
    "track_commit_timestamp": "on",
}
"""Settings of PostgreSQL, for both sides alike."""

# Seller and price are functions of a product's id, so that pgbench need not look them up.
_SEED: Final[Sequence[LiteralString]] = (
    """
    INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
    SELECT nextval('account_ids'), 'person-' || n || '@example.com', 'Ada', 'Lovelace', '', false, true, now()
    FROM generate_series(1, {people}) AS n
    """,
    """
    INSERT INTO sessions (id, account_id, current, created_at, expires_at)
    SELECT 'session-of-' || id, id, 'none', now(), now() + interval '1 day' FROM accounts
    """,
    """
    INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, is_active,
                          created_at, updated_at, priced_at, version)
    SELECT nextval('product_ids'), 1 + (n - 1) % {sellers}, 1 + n % 20, 'Product ' || n, 'Brand ' || n % 100,
           'One of many', 100 + n % 1000, 'USD', true, now(), now(), now(), 1
    FROM generate_series(1, {products}) AS n
    """,
    """
    INSERT INTO price_history (product_id, valid_from, price, currency, cause)
    SELECT id, priced_at, price, currency, 'listed' FROM products
    """,
    "INSERT INTO stock (product_id, on_hand, reserved) SELECT id, {stock}, 0 FROM products",
    """
    INSERT INTO stock_movements (product_id, quantity, kind, occurred_at)
    SELECT product_id, on_hand, 'opening', now() FROM stock
    """,
    "VACUUM (ANALYZE)",
)


@frozen
class MarketSize:
    """The sizes of a market: `buyers` accounts from `first_buyer` on, and `products` from id 1 on."""

    products: int
    buyers: int
    first_buyer: int = SELLERS + 1

    @property
    def last_buyer(self) -> int:
        return self.first_buyer + self.buyers - 1


def seed(server: BenchPostgres, market: MarketSize, checkout: Checkout = THIS) -> None:
    """Make the template that `fresh_database` copies, for the engine of this checkout.

    All background work that new products cause (vocabulary, popularity, statistics) is done here. Otherwise the worker
    would do it during the first measured run.
    """
    with administrator(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    url = server.url_of(TEMPLATE)
    upgrade(url)
    fill(url, market)
    catch_up(url)
    checkout.migrate(url)
    settle_database(url)


def catch_up(url: str) -> None:
    """Do the background work that the rows of a new market cause."""
    engine = database_engine(url, statement_timeout=None)
    try:
        store = PostgresStore(engine)
        SearchIndex(store).catch_up()
        Statistics(store, SystemClock()).rebuild()
    finally:
        engine.dispose()


def fill(url: str, market: MarketSize) -> None:
    """Insert sellers, buyers and products into a migrated database that has none."""
    with open_connection(url, autocommit=True) as connection:
        for statement in _SEED:
            connection.execute(
                sql.SQL(statement).format(
                    people=sql.Literal(SELLERS + market.buyers),
                    products=sql.Literal(market.products),
                    sellers=sql.Literal(SELLERS),
                    stock=sql.Literal(STOCK),
                )
            )


def fresh_database(server: BenchPostgres, name: str) -> str:
    """Replace the database of this name by a new copy of the template; return its URL."""
    with administrator(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    return server.url_of(name)


def settle_database(url: str) -> None:
    """Vacuum, analyze and checkpoint, before each run of either side: no run does the work that an earlier one left."""
    with open_connection(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def administrator(server: BenchPostgres) -> "psycopg.Connection":
    return open_connection(server.url_of("postgres"), autocommit=True)


def existing_column(url: str, table: str, *names: str) -> str:
    """Return the one of these columns that the table has: their names differ between revisions."""
    with open_connection(url) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name = ANY (%s)",
            [table, list(names)],
        ).fetchall()
    ((name,),) = rows
    return str(name)


def access_tokens(secret: str, accounts: Sequence[int]) -> list[str]:
    """Access tokens as the engine signs them with this secret, valid for a day, for the sessions of the seed."""
    tokens, now = JwtTokens(secret_key(secret)), datetime.now(UTC)
    return [
        tokens.issue(
            Claims(
                kind=TokenKind.ACCESS,
                id=secrets.token_urlsafe(12),
                account_id=AccountId(account),
                session_id=SessionId(f"session-of-{account}"),
                is_staff=False,
                expires_at=now + timedelta(days=1),
            ),
            now,
        )
        for account in accounts
    ]


def write_tokens(path: Path, tokens: Sequence[str]) -> Path:
    path.write_text("\n".join(tokens) + "\n")
    return path
