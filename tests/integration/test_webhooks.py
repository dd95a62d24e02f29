"""Webhooks on real servers: two fan-outs at once, and a worker that is killed between sending and recording."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from adapters.embedded.redis import EmbeddedRedis
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.ports import DeliverySlots
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import CreateEndpoint
from scalecommerce_core.testing.contracts.transactions import run_in_threads
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.real_market import real_market
from tests.integration.receiver import Receiver, receiving
from tests.unit.support.shop import MarketActions

WEBHOOKS = "/webhooks/api/v1/"
URL = "https://example.com/hooks"
LEASE = timedelta(seconds=30)


# --- many at once


@pytest.fixture
def market(database: str) -> Iterator[Market]:
    with real_market(database) as market:
        yield market


def seller_with_products(market: Market, count: int) -> AccountId:
    """A seller with an endpoint, and `count` events of new products."""
    actions = MarketActions(market)
    seller = actions.person("sam")
    made = unwrap_single(market.webhooks.create([CreateEndpoint(seller.id, URL)]))
    unwrap_single(market.webhooks.mark_verified([made.endpoint.id]))
    for _ in range(count):
        actions.list(seller)
    market.relay.assign_sequence()
    return seller.id


def test_concurrent_fan_outs_make_one_delivery_of_each_event(market: Market) -> None:
    seller_with_products(market, 60)

    def fan_out() -> None:
        for _ in range(12):
            market.webhooks.fan_out(10)

    run_in_threads(*[fan_out] * 4)
    while market.webhooks.fan_out().events:
        pass
    rows = market.queries.deliveries(None, PageRequest(100)).rows
    assert sorted(row.seq for row in rows if row.seq is not None) == list(range(1, 61))


def test_concurrent_claims_share_what_is_due(market: Market) -> None:
    seller_with_products(market, 20)
    market.webhooks.fan_out()
    now = market.clock.now()
    claimed: list[int] = []
    holding = threading.Barrier(2)

    def claim() -> None:
        with market.store.begin() as tx:
            mine = tx.deliveries.claim_due(100, now, lease_ends=now + LEASE, slots=DeliverySlots())
            claimed.extend(delivery.id for delivery in mine)
            holding.wait(30)

    # The second claim skips the first ten deliveries, which the first claim has locked, and gets none.
    run_in_threads(claim, claim)
    assert len(claimed) == len(set(claimed)) == 10


# --- a whole deployment


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def answer(response: Any, status: int) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def test_a_worker_that_is_killed_after_sending_sends_again_under_the_same_id(
    tmp_path: Path, make_database: Callable[[], str], receiver: Receiver
) -> None:
    armed = tmp_path / "armed"
    armed.mkdir()
    with (
        EmbeddedRedis(tmp_path) as redis_server,
        Deployment(
            tmp_path / "deployment",
            make_database(),
            redis_server.url,
            WEBHOOKS_ALLOW_LOOPBACK="true",
            FAILPOINTS=f"arm={armed}",
        ) as running,
    ):
        seller = running.person("seller")
        made = answer(seller.post(WEBHOOKS, json={"url": f"http://localhost:{receiver.port}/hooks"}), 201)
        eventually(lambda: answer(seller.get(f"{WEBHOOKS}{made['id']}/"), 200)["is_verified"], "the verification")
        (armed / "webhook_sender.send:after").touch()
        product = answer(
            seller.post("/products/api/v1/", json={"name": "Tea pot", "category_id": 1, "price": "1.00", "stock": 1}),
            201,
        )
        eventually((armed / "webhook_sender.send:after.struck").exists, "the death of a worker's process")
        assert len(receiver.received) == 1

        # Without waiting a minute, end the lease of the delivery and the worker lock.
        url = running.database_url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE webhook_deliveries SET try_at = now() WHERE try_at IS NOT NULL")
        with redis.Redis.from_url(redis_server.url) as client:
            for key in client.scan_iter("scalecommerce:turn:*"):
                client.delete(key)

        def delivered() -> Any:
            row, _verification = answer(seller.get(f"{WEBHOOKS}{made['id']}/deliveries/"), 200)["results"]
            return row if row["status"] == DeliveryStatus.DELIVERED else None

        row = eventually(delivered, "the second attempt")
        (_, first, first_body), (_, second, second_body) = receiver.received
        assert first["webhook-id"] == second["webhook-id"] == row["message_id"]
        assert first_body == second_body
        assert f'"product":{product["id"]}'.encode() in first_body
        assert [attempt["status"] for attempt in row["attempts"]] == [200]
