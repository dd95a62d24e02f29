"""Measure orders over HTTP, alternately with and without runs of pricing policies, on the same database."""

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen

from adapters.db.core.connection_parameters import open_connection
from adapters.db.core.engine import database_engine
from adapters.db.store import PostgresStore
from adapters.embedded.redis import EmbeddedRedis
from adapters.system import SystemClock
from bench.orders_load.engine import MeasuredEngine, running_engine
from bench.orders_load.figures import window
from bench.orders_load.market import (
    SELLERS,
    SERVER_SETTINGS,
    TEMPLATE,
    MarketSize,
    access_tokens,
    seed,
    settle_database,
    write_tokens,
)
from bench.orders_load.saturation import saturate
from bench.orders_load.server import BenchPostgres
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.pricing import CreatePolicy, Pricing

BUYERS: Final = 10_000
WARM: Final = 4.0
"""Seconds of load before the measured interval, in which the first runs begin."""
# Products with a history of three months, so that policies decide their prices.
OLD: Final = """
UPDATE products SET created_at = now() - interval '95 days', priced_at = now() - interval '95 days',
    cost = greatest(1, price * 6 / 10);
DELETE FROM price_history;
INSERT INTO price_history (product_id, valid_from, price, currency, cause)
SELECT id, priced_at, price, currency, 'listed' FROM products;
UPDATE product_views SET views = 400 + product_id % 400;
"""
DUE: Final = "UPDATE pricing_schedules SET ends_at = now(), is_done = true"
STOP: Final = "INSERT INTO pricing_stops (name) VALUES ('everything') ON CONFLICT DO NOTHING"
GO: Final = "DELETE FROM pricing_stops"
REPRICED: Final = """
SELECT coalesce(sum(products) FILTER (WHERE decided_at BETWEEN %(begun)s AND %(ended)s), 0)::bigint,
       coalesce(sum(written) FILTER (WHERE written_at BETWEEN %(begun)s AND %(ended)s), 0)::bigint
FROM pricing_ranges
"""
UNFINISHED: Final = "SELECT count(*) FROM pricing_runs WHERE status IN ('DECIDING', 'WRITING')"


@frozen
class LoadInterval:
    """Figures of one interval of load."""

    accepted: float
    decided: float
    """Orders per second."""
    repriced: float
    """Products per second: the mean of decided and written ones."""
    is_busy: bool
    """Whether runs were still in progress at the end, so that the whole interval had both loads."""


def orders(products: int, rounds: int, seconds: float) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name,
        BenchPostgres(name, SERVER_SETTINGS) as server,
        EmbeddedRedis(name) as redis,
    ):
        market = MarketSize(products=products, buyers=BUYERS)
        seed(server, market)
        url, secret = server.url_of(TEMPLATE), secrets.token_urlsafe(48)
        execute(url, OLD, STOP)
        make_policies(url)
        tokens = access_tokens(secret, range(market.first_buyer, market.first_buyer + BUYERS))
        buyers = write_tokens(Path(name) / "tokens.txt", tokens)
        settings = {"DATABASE_URL": url, "REDIS_URL": redis.url, "JWT_SECRET": secret}
        intervals: dict[bool, list[LoadInterval]] = {False: [], True: []}
        with running_engine(Path(name), settings) as engine:
            load_orders(engine, url, buyers, products, WARM)
            for number in range(2 * rounds):
                # The order without, with, with, without distributes the growth of tables evenly.
                runs = number % 4 in {1, 2}
                with repricing(url) if runs else quiet(url):
                    interval = load_orders(engine, url, buyers, products, seconds)
                intervals[runs].append(interval)
                print(
                    f"{'with runs' if runs else 'without  '}: {interval.accepted:7,.0f} orders/s accepted, "
                    f"{interval.decided:7,.0f}/s decided; {interval.repriced:7,.0f} products/s repriced"
                    f"{'' if interval.is_busy or not runs else ' (runs ended early)'}",
                    flush=True,
                )
        for what in ("accepted", "decided"):
            rates = {runs: median(getattr(each, what) for each in found) for runs, found in intervals.items()}
            print(
                f"orders {what}: {rates[False]:,.0f}/s without runs, {rates[True]:,.0f}/s with runs: "
                f"{rates[True] / rates[False]:.0%} kept"
            )


def make_policies(url: str, strategy: str = "elasticity_learning") -> None:
    """A policy of each seller for all of its products."""
    engine = database_engine(url)
    rails = {
        "breaker_share": 1,
        "breaker_mean": 1,
        "dead_band": 0,
        "cooldown_days": 0,
        "day_range": 0.9,
        "month_range": 0.9,
    }
    commands = [
        CreatePolicy(AccountId(1 + seller), {"name": "Learn", "policy": strategy, "guardrails": rails})
        for seller in range(SELLERS)
    ]
    made = Pricing(PostgresStore(engine), SystemClock()).create(commands)
    engine.dispose()
    if any(isinstance(each, Exception) for each in made):
        raise SystemExit(str(made))


def load_orders(engine: MeasuredEngine, url: str, buyers: Path, products: int, seconds: float) -> LoadInterval:
    begun = datetime.now(UTC) + timedelta(seconds=WARM)
    saturate(engine, tokens=buyers, products=products, mode="uniform", connections=256, seconds=seconds + WARM + 1)
    ended = begun + timedelta(seconds=seconds)
    measured = window(url, begun, ended)
    with open_connection(url) as connection:
        ((decided, written),) = connection.execute(REPRICED, {"begun": begun, "ended": ended}).fetchall()
        ((left,),) = connection.execute(UNFINISHED).fetchall()
    return LoadInterval(
        measured.accepted / seconds, measured.decided / seconds, (decided + written) / 2 / seconds, is_busy=bool(left)
    )


@contextmanager
def repricing(url: str) -> Iterator[None]:
    """Make all policies due before the block, and stop pricing after it."""
    execute(url, "UPDATE products SET priced_at = now() - interval '95 days'", STOP, DUE)
    settle_database(url)
    execute(url, GO)
    yield
    execute(url, STOP)
    # Workers cancel their runs; the next interval starts without them.
    deadline = time.monotonic() + 30
    with open_connection(url, autocommit=True) as connection:
        while connection.execute(UNFINISHED).fetchall()[0][0] and time.monotonic() < deadline:
            time.sleep(0.2)


@contextmanager
def quiet(url: str) -> Iterator[None]:
    execute(url, "UPDATE products SET priced_at = now() - interval '95 days'", STOP)
    settle_database(url)
    yield


def execute(url: str, *statements: str) -> None:
    with open_connection(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
