"""Many buyers order few units over HTTP: a smaller version of the benchmark's rush."""

import secrets
from collections.abc import Callable
from pathlib import Path

from adapters.embedded.redis import EmbeddedRedis
from bench.orders_load.engine import running_engine
from bench.orders_load.market import MarketSize, access_tokens, fill
from bench.orders_load.rush import rush

BUYERS = 600
UNITS = 40


def test_a_rush_sells_every_unit_once_and_the_ledger_agrees(tmp_path: Path, make_database: Callable[[], str]) -> None:
    url, secret, market = make_database(), secrets.token_urlsafe(48), MarketSize(products=3, buyers=BUYERS)
    fill(url, market)
    tokens = access_tokens(secret, range(market.first_buyer, market.last_buyer + 1))
    with EmbeddedRedis(tmp_path) as redis_server:
        settings = {"DATABASE_URL": url, "REDIS_URL": redis_server.url, "JWT_SECRET": secret}
        with running_engine(tmp_path, settings) as engine:
            outcome = rush(engine, url, tokens, units=UNITS, connections=100)
    assert (outcome.accepted, outcome.sold, outcome.rejected) == (BUYERS, UNITS, BUYERS - UNITS)
    assert outcome.samples > 5
    assert outcome.wrong == []
    assert outcome.deadlocks == 0
    assert outcome.holds
