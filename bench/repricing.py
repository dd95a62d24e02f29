"""A repricing run over many products against a bare UPDATE of the same prices in the same server."""

import argparse
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from adapters.db.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.system import SystemClock
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.services.outcomes import one
from scalecommerce_core.services.pricing import CreatePolicy, Pricing
from scalecommerce_core.services.repricing import Repricing

SEED = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_active, is_staff, created_at)
VALUES (1, 'seller@example.com', 'S', 'S', '', true, false, now()) ON CONFLICT DO NOTHING;
INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, cost, is_active,
                      created_at, updated_at, priced_at, version)
SELECT n, 1, 1 + n % 16, 'Product ' || n, '', '', 1000 + n % 5000, 'USD', 700 + n % 3500, true,
       now() - interval '100 days', now(), now() - interval '95 days', 1 FROM generate_series(1, {count}) n;
INSERT INTO price_history (product_id, valid_from, price, currency, cause)
SELECT id, priced_at, price, currency, 'listed' FROM products;
INSERT INTO stock (product_id, on_hand, reserved) SELECT id, 50, 0 FROM products;
INSERT INTO product_views (product_id, views) SELECT id, 500 FROM products;
CREATE TABLE bare (LIKE products INCLUDING ALL);
INSERT INTO bare (id, seller_id, category_id, name, brand, description, price, currency, cost, is_active, created_at,
    updated_at, priced_at, version)
SELECT id, seller_id, category_id, name, brand, description, price, currency, cost, is_active, created_at,
    updated_at, priced_at, version FROM products;
"""
BARE = """
UPDATE bare SET price = decision.{column}, priced_at = now() FROM pricing_decisions decision
WHERE decision.run_id = %s AND decision.product_id = bare.id AND decision.new_price <> decision.old_price
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as directory:
        settings = {"shared_buffers": "512MB", "max_wal_size": "8GB"}
        with EmbeddedPostgres(Path(directory), settings) as server:
            _measure(server.url, arguments.products, arguments.rounds)


def _measure(url: str, products: int, rounds: int) -> None:
    upgrade(url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(SEED.format(count=products))
        connection.execute("VACUUM ANALYZE")
        engine = database_engine(url)
        store, clock = PostgresStore(engine), SystemClock()
        rails = {"breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
        command = CreatePolicy(AccountId(1), {"name": "Learn", "guardrails": rails})
        policy = one(Pricing(store, clock).create([command]))
        repricing, ratios = Repricing(store, clock), []
        for _ in range(rounds):
            begun = time.perf_counter()
            run = repricing.run(policy.id)
            ours = run.written / (time.perf_counter() - begun)
            if run.status is not RunStatus.DONE:
                raise SystemExit(run.note)
            begun = time.perf_counter()
            rows = connection.execute(BARE.format(column="new_price"), [run.id]).rowcount
            bare = rows / (time.perf_counter() - begun)
            ratios.append(ours / bare)
            print(
                f"{run.written:,} written: {ours:,.0f}/s, bare UPDATE {bare:,.0f}/s, ratio {ratios[-1]:.2f}", flush=True
            )
            repricing.rollback(run.id)
            connection.execute(BARE.format(column="old_price"), [run.id])
            # The next round is an epoch of its own, with prices that nobody has touched.
            connection.execute("UPDATE pricing_schedules SET ends_at = now(), is_done = true")
            connection.execute("UPDATE products SET priced_at = now() - interval '95 days'")
            connection.execute("DELETE FROM price_history WHERE cause <> 'listed'")
            connection.execute("DELETE FROM pricing_memory")
            connection.execute("TRUNCATE outbox")
            connection.execute("VACUUM")
        hot = connection.execute(
            "SELECT n_tup_hot_upd::float / nullif(n_tup_upd, 0) FROM pg_stat_user_tables WHERE relname = 'products'"
        ).fetchone()
        print(f"median ratio {statistics.median(ratios):.2f}, HOT share of products {hot[0] if hot else None}")
        engine.dispose()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(datetime.now(UTC).isoformat(timespec="seconds"))
    main()
