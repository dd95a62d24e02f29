"""Read the catalog from a standby while prices change. Print which share of the reads the standby answered, their
latency, and how far their answers were behind the last acknowledged price.

Both servers and two API processes run on this machine, so the figures contain neither a network nor the relief of the
primary, which is the purpose of a standby. Responses are cached for a second instead of five, so that more reads reach
a database.
"""

import argparse
import itertools
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from attrs import define, field, frozen
from prometheus_client.parser import text_string_to_metric_families

from adapters.db.migrate import upgrade
from adapters.embedded.redis import EmbeddedRedis
from adapters.metrics import definitions
from bench.failover import Answer, Client
from tests.integration.deployment import Deployment
from tests.integration.replicated_postgres import ReplicatedPostgres

PRODUCTS: Final = 60
CATEGORY: Final = 5
ROOT: Final = "/products/api/v1/"
PROMISED_FRESHNESS: Final = 1.0
"""Seconds after which a change is visible to every reader."""
KINDS: Final = ("product", "list", "search", "history", "baskets")


@frozen
class Read:
    """A read of prices, in minor units by product."""

    kind: str
    begun: float
    seconds: float
    prices: dict[int, int]


@define
class Shares:
    """Reads of the catalog that standbys answered, and those that the primary answered, by reason."""

    standby: float = 0.0
    fallbacks: dict[str, float] = field(factory=dict)

    def __sub__(self, other: "Shares") -> "Shares":
        reasons = {reason: count - other.fallbacks.get(reason, 0.0) for reason, count in self.fallbacks.items()}
        return Shares(self.standby - other.standby, {reason: count for reason, count in reasons.items() if count})

    @property
    def total(self) -> float:
        return self.standby + sum(self.fallbacks.values())

    @property
    def share(self) -> float:
        return self.standby / self.total if self.total else 0.0

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count:.0f}" for reason, count in sorted(self.fallbacks.items()))
        return f"{self.share:.1%} of {self.total:,.0f} from the standby; from the primary: {reasons or 'none'}"


@define
class ReadReport:
    delay: float
    writes: int = 0
    reads: list[Read] = field(factory=list)
    failures: int = 0
    shares: Shares = field(factory=Shares)
    stale: list[tuple[Read, float]] = field(factory=list)
    """Reads whose price had been replaced before they began, and for how many seconds."""
    own_stale: int = 0
    """Reads over the connection of a change, hence in its process, that did not show it."""

    @property
    def too_old(self) -> list[tuple[Read, float]]:
        return [(read, age) for read, age in self.stale if age > PROMISED_FRESHNESS]

    @property
    def is_clean(self) -> bool:
        return not self.too_old and not self.own_stale and not self.failures and bool(self.reads)

    def __str__(self) -> str:
        oldest = max((age for _, age in self.stale), default=0.0)
        share = len(self.stale) / max(1, len(self.reads))
        lines = [
            f"delay {self.delay:g} s: {self.writes:,} changes, {len(self.reads):,} requests, {self.failures} failed",
            f"  database reads: {self.shares}",
            f"  behind an acknowledged price: {len(self.stale)} answers ({share:.2%}), by up to {oldest * 1000:.0f} ms",
            f"  by more than a second: {len(self.too_old)}; in the process of the change: {self.own_stale}",
        ]
        for kind in KINDS:
            times = sorted(read.seconds * 1000 for read in self.reads if read.kind == kind)
            if times:
                late = times[int(len(times) * 0.99)]
                median = statistics.median(times)
                lines.append(f"  {kind:8} {len(times):6,} requests, median {median:.1f} ms, 99 % {late:.1f} ms")
        return "\n".join(lines)


class Site:
    """A replicated database, and two API processes that read from its standby."""

    def __init__(self, servers: ReplicatedPostgres, deployment: Deployment, metrics_port: int) -> None:
        self.servers = servers
        self.deployment = deployment
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._seller = deployment.person("seller")
        self.token = str(self._seller.headers["Authorization"]).removeprefix("Bearer ")
        self.products = [self._create(number) for number in range(PRODUCTS)]

    def _create(self, number: int) -> int:
        product = {"name": f"Tea pot {number}", "category_id": CATEGORY, "price": "10.00", "stock": 5}
        return int(self._seller.post(ROOT, json=product).raise_for_status().json()["id"])

    def shares(self) -> Shares:
        text = httpx2.get(self._metrics).raise_for_status().text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = Shares()
        for sample in samples:
            if sample.name == definitions.STANDBY_READS.name:
                found.standby += sample.value
            elif sample.name == definitions.STANDBY_FALLBACKS.name:
                reason = sample.labels["reason"]
                found.fallbacks[reason] = found.fallbacks.get(reason, 0.0) + sample.value
        return found

    def delay(self, seconds: float) -> None:
        """Make the standby replay each commit `seconds` after the primary."""
        with self.servers.administrator(self.servers.standby) as connection:
            connection.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{seconds * 1000:.0f}ms'".encode())
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def site(directory: Path, *, through_proxies: bool = False, **settings: str) -> Iterator[Site]:
    """`through_proxies`: the API reaches both servers through proxies that can be cut off, at the cost of speed."""
    port = settings.pop("METRICS_PORT")
    with ReplicatedPostgres(directory) as servers, EmbeddedRedis(directory / "redis") as redis:
        upgrade(servers.direct_url(servers.primary))
        deployment = Deployment(
            directory / "deployment",
            servers.url if through_proxies else servers.direct_url(servers.primary),
            redis.url,
            workers=2,
            DATABASE_READ_URL=servers.read_url if through_proxies else servers.direct_url(servers.standby),
            CACHE_SECONDS="1",
            METRICS_PORT=port,
            **settings,
        )
        try:
            deployment.start("serve")
            deployment.find()
            yield Site(servers, deployment, int(port))
        finally:
            deployment.end()


class Market:
    """A seller who raises prices one after the other, and readers. Prices of a product only rise."""

    def __init__(self, chosen: Site, *, readers: int, pause: float) -> None:
        self._site = chosen
        self._pause = pause
        self._stopping = threading.Event()
        self._prices = itertools.count(1_001)
        self.acknowledged: dict[int, list[tuple[float, int]]] = defaultdict(list)
        """For each product the time of the acknowledgement and the price."""
        self.reads: list[Read] = []
        self.failures = 0
        self.own_stale = 0
        jobs: list[Callable[[], None]] = [self._write, *([self._read] * readers)]
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def stale(self) -> list[tuple[Read, float]]:
        found = []
        for read in self.reads:
            ages = [
                read.begun - ended
                for product, price in read.prices.items()
                for ended, newer in self.acknowledged[product]
                if newer > price and ended < read.begun
            ]
            if ages:
                found.append((read, max(ages)))
        return found

    def _write(self) -> None:
        choice = random.Random(1)
        while not self._stopping.is_set():
            # A connection for each change, so that both processes write.
            with closing(Client(self._site.deployment.url, self._site.token)) as client:
                product, price = choice.choice(self._site.products), next(self._prices)
                answer = client.ask("PATCH", f"{ROOT}{product}/", {"price": f"{price / 100:.2f}"})
                if answer.status != 200:
                    self.failures += 1
                    continue
                self.acknowledged[product].append((answer.ended, price))
                # The change must be visible at once in its process, which the same connection leads to. The seller
                # reads as a visitor.
                visitor = client.as_visitor()
                for kind, path in (("product", f"{ROOT}{product}/"), ("history", f"{ROOT}{product}/price-history/")):
                    seen = self._prices_of(kind, product, visitor.ask("GET", path))
                    self.own_stale += seen.get(product, price) < price
            self._stopping.wait(self._pause)

    def _read(self) -> None:
        choice = random.Random(threading.get_ident())
        while not self._stopping.is_set():
            with closing(Client(self._site.deployment.url)) as client:
                for _ in range(5):
                    kind, product = choice.choice(KINDS), choice.choice(self._site.products)
                    answer = client.ask("GET", self._path(kind, product, choice))
                    prices = self._prices_of(kind, product, answer)
                    if prices:
                        self.reads.append(Read(kind, answer.begun, answer.ended - answer.begun, prices))
                    else:
                        self.failures += 1

    def _path(self, kind: str, product: int, choice: random.Random) -> str:
        match kind:
            case "product":
                return f"{ROOT}{product}/"
            case "history":
                return f"{ROOT}{product}/price-history/"
            case "baskets":
                return f"{ROOT}by-id/?id={product}&id={choice.choice(self._site.products)}"
            case "list":
                return f"{ROOT}?page_size={choice.randrange(20, 60)}&facets=brand"
            case _:
                return f"{ROOT}?search=tea&page_size={choice.randrange(20, 60)}"

    @staticmethod
    def _prices_of(kind: str, product: int, answer: Answer) -> dict[int, int]:
        if answer.status != 200:
            return {}
        body: Any = answer.body
        if kind == "product":
            return {product: _minor(body["price"])}
        if kind == "history":
            return {product: _minor(body["intervals"][0]["price"])}
        return {each["id"]: _minor(each["price"]) for each in body["results"]}


def _minor(price: str) -> int:
    return round(float(price) * 100)


def measure(chosen: Site, delay: float, seconds: float, *, readers: int = 4, pause: float = 0.02) -> ReadReport:
    """Load the site for `seconds`; `pause` is that between two changes."""
    chosen.delay(delay)
    market = Market(chosen, readers=readers, pause=pause)
    # The first reads start the monitor of standbys and are not counted.
    time.sleep(1.0)
    before = chosen.shares()
    time.sleep(seconds)
    after = chosen.shares()
    market.stop()
    return ReadReport(
        delay,
        sum(map(len, market.acknowledged.values())),
        market.reads,
        market.failures,
        after - before,
        market.stale(),
        market.own_stale,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration for each delay (default 20)")
    parser.add_argument("--delays", type=float, nargs="+", default=[0.0, 2.0], help="of the standby, in seconds")
    parser.add_argument("--readers", type=int, default=4, help="clients that read without a pause (default 4)")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two changes (default 0.02)")
    parser.add_argument("--metrics-port", type=int, default=9464, help="a free port for the API's metrics")
    given = parser.parse_args()
    is_clean = True
    with (
        tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name,
        site(Path(name), METRICS_PORT=str(given.metrics_port)) as chosen,
    ):
        for delay in given.delays:
            report = measure(chosen, delay, given.seconds, readers=given.readers, pause=given.pause)
            is_clean = is_clean and report.is_clean
            print(report, flush=True)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
