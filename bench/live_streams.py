"""Measure open streams of live figures on one API process: what they cost, and how soon they report a run of prices.

Three figures:

- orders per second over HTTP, alternately without and with open streams; the reader of the streams shares the cores
- memory of the API process per stream (PSS, from before the streams open to after all have their first state)
- seconds from the last write of a run of pricing policies until the last stream has the final price of each of its
  products, and the longest response of `/healthz` meanwhile, which shows stalls of the event loop

The readers are this program's own sockets on loopback; browsers would take their time elsewhere.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final

from attrs import define, field

from adapters.db.core.connection_parameters import open_connection
from adapters.embedded.redis import EmbeddedRedis
from bench.orders_load.engine import MeasuredEngine, running_engine
from bench.orders_load.market import (
    SERVER_SETTINGS,
    TEMPLATE,
    MarketSize,
    access_tokens,
    seed,
    settle_database,
    write_tokens,
)
from bench.orders_load.server import BenchPostgres
from bench.repricing_orders import DUE, GO, OLD, STOP, UNFINISHED, WARM, execute, load_orders, make_policies, quiet

BUYERS: Final = 1_000
PRODUCTS_PER_STREAM: Final = 24
"""As many as a page of the shop shows."""
TIMEOUT: Final = 120.0


@define
class StreamReader:
    """One stream: the newest price of each product, and when it arrived (`time.monotonic`)."""

    products: list[int]
    prices: dict[int, str] = field(factory=dict)
    arrived: dict[int, float] = field(factory=dict)

    async def read(self, host: str, port: int) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                query = "&".join(f"product={product}" for product in self.products)
                writer.write(f"GET /live/?{query} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                while line := await reader.readline():
                    if line.startswith(b"data: "):
                        self._receive(json.loads(line[6:]))
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.5)

    def _receive(self, event: Mapping[str, Any]) -> None:
        if "amount" in event:
            self.prices[event["id"]] = event["amount"]
            self.arrived[event["id"]] = time.monotonic()


def read_streams(host: str, port: int, streams: int, products: int, pipe: Connection) -> None:
    """Keep the streams open until `stop` is received; answer `state` with all prices and times."""
    chosen = random.Random(1)
    readers = [StreamReader(chosen.sample(range(1, products + 1), PRODUCTS_PER_STREAM)) for _ in range(streams)]

    async def serve() -> None:
        tasks = [asyncio.create_task(reader.read(host, port)) for reader in readers]
        while True:
            asked = await asyncio.to_thread(pipe.recv)
            if asked == "stop":
                break
            pipe.send([(reader.prices, reader.arrived) for reader in readers])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(serve())


@define
class OpenStreams:
    """The process that reads the streams."""

    pipe: Connection

    def state(self) -> list[tuple[dict[int, str], dict[int, float]]]:
        self.pipe.send("state")
        found: list[tuple[dict[int, str], dict[int, float]]] = self.pipe.recv()
        return found

    def wait_until_open(self) -> None:
        """Wait until each stream has the first price of each of its products."""
        deadline = time.monotonic() + TIMEOUT
        while any(len(prices) < PRODUCTS_PER_STREAM for prices, _ in self.state()):
            if time.monotonic() > deadline:
                raise SystemExit("Not all streams got their first state.")
            time.sleep(0.2)


@contextmanager
def open_streams(engine: MeasuredEngine, streams: int, products: int) -> Iterator[OpenStreams]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=read_streams, args=(engine.host, engine.port, streams, products, theirs))
    process.start()
    try:
        opened = OpenStreams(ours)
        opened.wait_until_open()
        yield opened
    finally:
        ours.send("stop")
        process.join(10)
        process.kill()


class LoopProbe:
    """The longest response of `/healthz`, measured by another process every 20 ms."""

    def __init__(self, engine: MeasuredEngine) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=probe_loop, args=(engine.host, engine.port, theirs))
        self._process.start()

    def finish(self) -> float:
        """Seconds."""
        self._ours.send("stop")
        slowest: float = self._ours.recv()
        self._process.join()
        return slowest


def probe_loop(host: str, port: int, pipe: Connection) -> None:
    async def probe() -> float:
        slowest = 0.0
        reader, writer = await asyncio.open_connection(host, port)
        while not pipe.poll():
            begun = time.monotonic()
            writer.write(f"GET /healthz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")
            )
            await reader.readexactly(length)
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(0.02)
        writer.close()
        return slowest

    pipe.send(asyncio.run(probe()))


def memory_of(engine: MeasuredEngine) -> int:
    """PSS of `serve` and its worker, in bytes."""
    total = 0
    for pid in [engine.processes["serve"], *children_of(engine.processes["serve"])]:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def measure_run(url: str, engine: MeasuredEngine, streams: OpenStreams) -> None:
    """Run all policies, and print how soon the streams have the new prices."""
    execute(url, "UPDATE products SET priced_at = now() - interval '95 days'", STOP, DUE)
    settle_database(url)
    before = [dict(prices) for prices, _ in streams.state()]
    probe = LoopProbe(engine)
    begun = time.monotonic()
    execute(url, GO)
    with open_connection(url, autocommit=True) as connection:
        while not connection.execute(
            "SELECT count(*) FROM pricing_runs WHERE started_at > now() - interval '1 minute'"
        ).fetchall()[0][0]:
            time.sleep(0.02)
        written_at, left = time.monotonic(), 1
        while left:
            ((left,),) = connection.execute(UNFINISHED).fetchall()
            written_at = time.monotonic()
            time.sleep(0.02)
        execute(url, STOP)
        final = {
            id_: f"{price / 100:.2f}" for id_, price in connection.execute("SELECT id, price FROM products").fetchall()
        }
        ((moved,),) = connection.execute("SELECT sum(written) FROM pricing_ranges").fetchall()
    deadline = time.monotonic() + TIMEOUT
    state = streams.state()
    while any(prices[each] != final[each] for prices, _ in state for each in prices):
        if time.monotonic() > deadline:
            raise SystemExit("A stream did not get the final prices.")
        time.sleep(0.05)
        state = streams.state()
    slowest = probe.finish()
    latest = max(
        arrived[each]
        for (prices, arrived), old in zip(state, before, strict=True)
        for each in prices
        if prices[each] != old[each]
    )
    changed = sum(prices[each] != old[each] for (prices, _), old in zip(state, before, strict=True) for each in prices)
    print(
        f"run: {moved:,} prices written in {written_at - begun:.1f} s; {changed:,} changes on {len(state):,} streams; "
        f"the last one {latest - written_at:+.2f} s after the last write; slowest /healthz meanwhile {slowest:.3f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.live_streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of intervals without and with streams (default 3)")
    parser.add_argument("--seconds", type=float, default=8, help="seconds of each interval (default 8)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name,
        BenchPostgres(name, SERVER_SETTINGS) as server,
        EmbeddedRedis(name) as redis,
    ):
        market = MarketSize(products=options.products, buyers=BUYERS)
        seed(server, market)
        url, secret = server.url_of(TEMPLATE), secrets.token_urlsafe(48)
        execute(url, OLD, STOP)
        # Its first run moves every price; learning strategies keep prices until they have evidence.
        make_policies(url, "hill_climb")
        tokens = access_tokens(secret, range(market.first_buyer, market.first_buyer + BUYERS))
        buyers = write_tokens(Path(name) / "tokens.txt", tokens)
        settings = {
            "DATABASE_URL": url,
            "REDIS_URL": redis.url,
            "JWT_SECRET": secret,
            "LIVE_STREAMS_PER_CLIENT": str(options.streams),
        }
        with running_engine(Path(name), settings) as engine:
            measure_orders(engine, url, buyers, options)
            before = memory_of(engine)
            with open_streams(engine, options.streams, options.products) as streams:
                used = memory_of(engine) - before
                print(f"memory: {used / options.streams / 1024:.1f} KiB a stream ({used / 2**20:.0f} MiB in all)")
                measure_run(url, engine, streams)


def measure_orders(engine: MeasuredEngine, url: str, buyers: Path, options: argparse.Namespace) -> None:
    """Print the rates of orders without and with streams."""
    load_orders(engine, url, buyers, options.products, WARM)
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * options.rounds):
        # The order without, with, with, without distributes the growth of tables evenly.
        has_streams = number % 4 in {1, 2}
        with quiet(url):
            if has_streams:
                with open_streams(engine, options.streams, options.products):
                    interval = load_orders(engine, url, buyers, options.products, options.seconds)
            else:
                interval = load_orders(engine, url, buyers, options.products, options.seconds)
        rates[has_streams].append(interval.accepted)
        print(f"{'with streams' if has_streams else 'without     '}: {interval.accepted:7,.0f} orders/s", flush=True)
    without, with_streams = median(rates[False]), median(rates[True])
    print(f"orders: {without:,.0f}/s without, {with_streams:,.0f}/s with streams: {with_streams / without:.1%} kept")


if __name__ == "__main__":
    main()
