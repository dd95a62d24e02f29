"""CPU time of orders over HTTP with and without metrics, in one process on the in-memory adapters, in alternation.

`python -m bench.metrics`. It prints the ratio of orders per second of CPU, and the time of one observation beside that
of the multiprocess mode of `prometheus-client`.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Scope

from adapters.http.app import create_app
from adapters.http.dependencies import Dependencies, Readiness
from adapters.http.framework.application import path_templates
from adapters.http.framework.middleware import ResponseListener
from adapters.metrics.recorder import HttpMeasurements, MarketMeasurements, Recorder
from scalecommerce_core.domain.identifiers import AccountId, CategoryId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.ports import NO_MEASUREMENTS, Tracing
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import Catalog, CreateProduct
from scalecommerce_core.services.ordering import OrderRules
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryRateLimiter,
    MemoryViewCounter,
    RecordedSecurityEvents,
    SettableClock,
    in_memory_market,
)

CLIENTS: Final = 50
"""Orders that are sent at once, so that the intake has batches of this size."""
PASSWORD: Final = "a long password"  # noqa: S105 - of an account in memory
ORDERS: Final = "/orders/api/v1/"
_LIBRARY: Final = """
import time
from prometheus_client import Histogram
h = Histogram("seconds", "Help.", ["route", "method"], buckets=[0.001, 0.01, 0.1, 1, 10]).labels("/", "GET")
for count in (1000, COUNT):
    begun = time.process_time()
    for _ in range(count):
        h.observe(0.02)
    took = time.process_time() - begun
print(took / COUNT)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--orders", type=int, default=1_000)
    chosen = parser.parse_args()
    without, with_metrics, ratios = [], [], []
    for number in range(chosen.rounds + 1):
        # Which one is first alternates, too.
        order = (False, True) if number % 2 else (True, False)
        took = {measured: asyncio.run(cpu_of_orders(chosen.orders, measured=measured)) for measured in order}
        if number:
            without.append(took[False])
            with_metrics.append(took[True])
            ratios.append(took[False] / took[True])
    print(f"CPU per order: {median(without) * 1e6:.1f} µs without, {median(with_metrics) * 1e6:.1f} µs with metrics")
    print(f"orders per second of CPU, with to without: median {median(ratios):.3f}, of {chosen.rounds} rounds")
    print(f"one request: {cpu_of_request() * 1e6:.2f} µs; a histogram of the library: {cpu_of_library() * 1e6:.2f} µs")


async def cpu_of_orders(
    count: int,
    *,
    measured: bool,
    tracing: Tracing | None = None,
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    on_response: ResponseListener | None = None,
) -> float:
    """Seconds of CPU per order, with its decision. `wrap` is put around the application."""
    recorder, clock = Recorder(), SettableClock()
    market = in_memory_market(
        clock,
        order_rules=OrderRules(quotas=OrderQuotas(open_orders=0, unpaid_share=0)),
        measurements=MarketMeasurements(recorder) if measured else NO_MEASUREMENTS,
    )
    seller = unwrap_single(market.accounts.sign_up([SignUp("seller@example.com", PASSWORD)]))
    product = _list_product(market.catalog, seller.id)
    token = market.accounts.log_in(seller.email, PASSWORD).access
    dependencies = Dependencies(
        market,
        notifier=CountingWorkNotifier(),
        views=MemoryViewCounter(clock),
        ids=CountingIds(),
        cursor_key=b"k" * 32,
        ready=lambda: Readiness(redis="ok", oldest_undecided_seconds=None),
        security_log=RecordedSecurityEvents(),
        rate_limiter=MemoryRateLimiter(),
        tracing=tracing,
    )
    app = create_app(dependencies, version="1", on_response=HttpMeasurements(recorder) if measured else on_response)
    served = wrap(app)
    recorder.name_routes(path_templates(app.routes))
    body = msgspec.json.encode({"order_item": [{"product": product, "quantity": 1}]})
    left = count

    async def send_orders() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await _post(served, body, token)

    begun = time.process_time()
    async with app.router.lifespan_context(app):
        await asyncio.gather(*(send_orders() for _ in range(CLIENTS)))
        while market.ordering.decide().total:
            pass
    return (time.process_time() - begun) / count


def _list_product(catalog: Catalog, seller: AccountId) -> int:
    command = CreateProduct(
        seller, category_id=CategoryId(1), name="Tea pot", price=Money.of("10.00", "USD"), stock=1_000_000
    )
    return int(unwrap_single(catalog.create_products([command])).product.id)


async def _post(app: ASGIApp, body: bytes, token: str) -> None:
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": ORDERS, "raw_path": ORDERS.encode(), "root_path": "", "query_string": b"", "client": ("192.0.2.1", 1),
        "server": ("shop.example", 80),
        "headers": [
            (b"host", b"shop.example"), (b"content-type", b"application/json"), (b"accept", b"*/*"),
            (b"content-length", b"%d" % len(body)), (b"authorization", b"Bearer " + token.encode()),
        ],
    }  # fmt: skip
    sent: list[Message] = []
    unread = [body]

    async def receive() -> Message:
        return {"type": "http.request", "body": unread.pop() if unread else b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if sent[0]["status"] != 202:
        raise RuntimeError(f"An order was refused: {sent}")


def cpu_of_request(count: int = 200_000) -> float:
    """Seconds of CPU to count one request: a counter and a histogram."""
    recorder = Recorder()
    recorder.name_routes([ORDERS])
    record = HttpMeasurements(recorder)
    record(ORDERS, "POST", 202, 0.02)
    begun = time.process_time()
    for _ in range(count):
        record(ORDERS, "POST", 202, 0.02)
    return (time.process_time() - begun) / count


def cpu_of_library(count: int = 200_000) -> float:
    """Seconds of CPU for one observation of a histogram in the multiprocess mode of the library, without a counter."""
    with tempfile.TemporaryDirectory() as directory:
        result = subprocess.run(
            [sys.executable, "-c", _LIBRARY.replace("COUNT", str(count))],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": directory},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(result.stdout)


if __name__ == "__main__":
    main()
