"""A market to order from, made in bulk by SQL: both sides get the same one, as copies of one template."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from attrs import frozen
from psycopg import sql
from sqlalchemy import make_url

from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.security.tokens import JwtTokens, secret_key
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.ports import Claims, TokenKind

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
    # Says when a verdict became visible, to the microsecond.
    "track_commit_timestamp": "on",
}
"""The same server, with these settings, serves both sides."""

# Seller and price follow from the number of a product, so that the other side need not look them up.
_SEED: Final[Sequence[LiteralString]] = (
    """
    INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
    SELECT nextval('account_ids'), 'person-' || n || '@example.com', 'Ada', 'Lovelace', '', false, true, now()
    FROM generate_series(1, {people}) AS n
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
class Market:
    """Who orders what: accounts from `first_buyer` on, products from 1 on."""

    products: int
    buyers: int
    first_buyer: int = SELLERS + 1

    @property
    def last_buyer(self) -> int:
        return self.first_buyer + self.buyers - 1


def seed(server: EmbeddedPostgres, market: Market) -> None:
    """Make the template that `fresh_database` copies."""
    with administrator(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    upgrade(server.url_of(TEMPLATE))
    fill(server.url_of(TEMPLATE), market)


def fill(url: str, market: Market) -> None:
    """Make sellers, buyers and products in a migrated database that has none yet."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for statement in _SEED:
            connection.execute(
                sql.SQL(statement).format(
                    people=sql.Literal(SELLERS + market.buyers),
                    products=sql.Literal(market.products),
                    sellers=sql.Literal(SELLERS),
                    stock=sql.Literal(STOCK),
                )
            )


def fresh_database(server: EmbeddedPostgres, name: str) -> str:
    """The URL of a new copy of the template, in place of an older one."""
    with administrator(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    return server.url_of(name)


def settle_database(url: str) -> None:
    """Before each run, on either side: no run pays for what the one before it left."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def administrator(server: EmbeddedPostgres) -> "psycopg.Connection":
    return psycopg.connect(plain(server.url_of("postgres")), autocommit=True)


def plain(url: str) -> str:
    """SQLAlchemy's URL as libpq wants it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def access_tokens(secret: str, accounts: Sequence[int]) -> list[str]:
    """Real ones, signed as the engine signs them, good for a day."""
    tokens, now = JwtTokens(secret_key(secret)), datetime.now(UTC)
    return [
        tokens.issue(
            Claims(
                kind=TokenKind.ACCESS,
                id=secrets.token_urlsafe(12),
                account_id=AccountId(account),
                session_id=SessionId(secrets.token_urlsafe(12)),
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
