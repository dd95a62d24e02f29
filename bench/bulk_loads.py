"""Measure rows per second of `seed` and lines per second of `import online-retail`, each on a new PostgreSQL."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from adapters.cli.online_retail.replay import import_online_retail
from adapters.cli.vocabulary import vocabulary
from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from entrypoints.settings import Settings
from entrypoints.wiring import Engine, wire
from scalecommerce_core.domain.secret import Secret
from scalecommerce_core.services.seeding import Seeding

RNG_SEED: Final = 42


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--orders", type=int, default=500_000)
    parser.add_argument("--online-retail", type=Path, metavar="FILE", help="the data set as CSV or CSV.gz")
    arguments = parser.parse_args()
    if arguments.online_retail is not None:
        with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(directory) as server:
            _import(_engine(server), arguments.online_retail)
    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(directory) as server:
        _seed(_engine(server), arguments.users, arguments.products, arguments.orders)


def _engine(server: EmbeddedPostgres) -> Engine:
    upgrade(server.url)
    # Redis is not used here: the URL is a placeholder.
    return wire(
        Settings(
            database_url=Secret(server.url), redis_url=Secret("redis://127.0.0.1:1/0"), jwt_secret=Secret("x" * 32)
        )
    )


def _import(engine: Engine, file: Path) -> None:
    begun = time.perf_counter()
    report = import_online_retail(engine.market, file)
    seconds = time.perf_counter() - begun
    lines = report.as_json()
    print(f"import: {seconds:.1f} s; reconciles: {report.reconciles}; {lines}")
    print(f"stock verify: {len(engine.market.queries.stock_discrepancies())} discrepancies")
    engine.close()


def _seed(engine: Engine, users: int, products: int, orders: int) -> None:
    market = engine.market
    seeding = Seeding(
        market.store,
        market.queries,
        market.clock,
        engine.passwords,
        vocabulary=vocabulary(RNG_SEED),
        currency=market.currency,
    )
    begun = time.perf_counter()
    made = seeding.everything(users=users, products=products, orders=orders, rng_seed=RNG_SEED)
    seconds = time.perf_counter() - begun
    print(f"seed: {made.rows:,} rows in {seconds:.1f} s: {made.rows / seconds:,.0f} rows/s; {made}")
    print(f"stock verify: {len(engine.market.queries.stock_discrepancies())} discrepancies")
    engine.close()


if __name__ == "__main__":
    main()
