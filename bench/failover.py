"""Fail over from a frozen, then from a cut-off primary to its standby under load. Measure the outage of intake, and
count lost and repeated orders, stale reads and late writes. The former primary returns before the end of each round.
"""

import argparse
import http.client
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from adapters.db.migrate import upgrade
from adapters.embedded.redis import EmbeddedRedis
from tests.integration.deployment import Deployment
from tests.integration.replicated_postgres import ReplicatedPostgres

FREEZE: Final = "frozen"
CUT: Final = "cut off"
BUYERS: Final = 8
CLIENT_TIMEOUT: Final = 5.0
"""Seconds after which a client gives a request up; a buyer then repeats it with its idempotency key."""
PROMISED_FRESHNESS: Final = 1.0
"""Seconds after which a change is visible to every reader."""
PAUSE: Final = 0.05


@frozen
class Answer:
    """`begun` and `ended` are in seconds of `time.monotonic`; `status` 0: no answer."""

    begun: float
    ended: float
    status: int
    body: Any = None


class Client:
    """One persistent HTTP connection, replaced after each error."""

    def __init__(self, url: str, token: str = "", timeout: float = CLIENT_TIMEOUT) -> None:
        self._address = url.removeprefix("http://")
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        begun = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._address, timeout=self._timeout)
            content = None if body is None else json.dumps(body)
            self._connection.request(method, path, content, {**self._headers, **headers})
            response = self._connection.getresponse()
            found = json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return Answer(begun, time.monotonic(), 0)
        return Answer(begun, time.monotonic(), response.status, found)

    def as_visitor(self) -> "Client":
        """A client without a token over the same connection; only one of the two may be used at a time."""
        visitor = Client(self._address, timeout=self._timeout)
        visitor._connection = self._connection
        return visitor

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@define
class Round:
    """One failover. Times are in seconds after the standby was promoted; None: not within the round.

    `first` is when an order was acknowledged again; `all_buyers` when each buyer had one acknowledged.
    """

    fault: str
    promoted_at: float = 0.0
    first: float | None = None
    all_buyers: float | None = None

    def __str__(self) -> str:
        times = (f"{seconds:.2f} s" if seconds is not None else "never" for seconds in (self.first, self.all_buyers))
        return f"{self.fault:8} first order after {next(times)}, every buyer after {next(times)}"


@define
class FailoverReport:
    rounds: list[Round] = field(factory=list)
    statuses: Counter[int] = field(factory=Counter)
    acknowledged: int = 0
    lost: int = 0
    repeated: int = 0
    stale_reads: int = 0
    late_writes: int = 0

    @property
    def is_clean(self) -> bool:
        counts = (self.lost, self.repeated, self.stale_reads, self.late_writes)
        return not any(counts) and all(each.all_buyers is not None for each in self.rounds)

    def __str__(self) -> str:
        lines = [str(each) for each in self.rounds]
        for fault in (FREEZE, CUT):
            rounds = [each for each in self.rounds if each.fault == fault]
            for what, times in (
                ("first order", [each.first for each in rounds]),
                ("every buyer", [each.all_buyers for each in rounds]),
            ):
                known = [seconds for seconds in times if seconds is not None]
                if known:
                    spread = f"median {statistics.median(known):.2f} s, {min(known):.2f} to {max(known):.2f} s"
                    lines.append(f"{fault:8} {what}: {spread}, {len(known)} of {len(times)} rounds")
        lines.append(
            f"{self.acknowledged:,} orders acknowledged, {self.lost} lost, {self.repeated} repeated,"
            f" {self.stale_reads} stale reads, {self.late_writes} late writes; responses {dict(self.statuses)}"
        )
        return "\n".join(lines)


class Load:
    """Buyers, a seller who raises one price again and again, and readers of it. Two API processes answer them."""

    def __init__(self, deployment: Deployment) -> None:
        self._url = deployment.url
        self._stopping = threading.Event()
        seller = deployment.person("seller")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 2**31 - 1}
        made = [seller.post("/products/api/v1/", json=product).raise_for_status().json()["id"] for _ in range(2)]
        self.sold, self.repriced = made
        self._token = str(seller.headers["Authorization"]).removeprefix("Bearer ")
        self._numbers = itertools.count()
        self.orders: list[tuple[int, Answer]] = []
        """The buyer and the answer, for each acknowledged order."""
        self.prices: list[tuple[int, Answer]] = []
        self.reads: list[Answer] = []
        self.statuses: Counter[int] = Counter()
        jobs: list[Callable[[], None]] = [*(lambda n=n: self._buy(n) for n in range(BUYERS)), self._reprice]
        jobs += [self._read, self._read, self._read]
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the load once every order that was sent has been acknowledged."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _buy(self, buyer: int) -> None:
        client = Client(self._url, self._token)
        while not self._stopping.is_set():
            key, answer = f"order-{next(self._numbers)}", None
            order = {"order_item": [{"product": self.sold, "quantity": 1}]}
            until = time.monotonic() + 120
            while (answer is None or answer.status not in {201, 202}) and time.monotonic() < until:
                answer = client.ask("POST", "/orders/api/v1/", order, **{"Idempotency-Key": key})
                self.statuses[answer.status] += 1
                time.sleep(PAUSE)
            if answer is not None:
                self.orders.append((buyer, answer))
        client.close()

    def _reprice(self) -> None:
        price = 1_000
        while not self._stopping.is_set():
            price += 1
            # A connection for each request, so that both processes write.
            client = Client(self._url, self._token)
            path = f"/products/api/v1/{self.repriced}/"
            self.prices.append((price, client.ask("PATCH", path, {"price": f"{price / 100:.2f}"})))
            client.close()
            time.sleep(0.2)

    def _read(self) -> None:
        while not self._stopping.is_set():
            client = Client(self._url)
            for _ in range(5):
                self.reads.append(client.ask("GET", f"/products/api/v1/{self.repriced}/"))
                time.sleep(PAUSE)
            client.close()

    def stale_reads(self) -> int:
        """Reads of a price below one that was acknowledged `PROMISED_FRESHNESS` before the read began."""
        acknowledged = [(answer.ended, price) for price, answer in self.prices if answer.status == 200]
        return sum(
            round(float(read.body["price"]) * 100)
            < max((price for ended, price in acknowledged if ended < read.begun - PROMISED_FRESHNESS), default=0)
            for read in self.reads
            if read.status == 200
        )


def fail_over(servers: ReplicatedPostgres, fault: str, *, calm: float, away: float, after: float) -> Round:
    """Let the primary fail, promote the standby, and bring the former primary back beside it."""
    found = Round(fault)
    time.sleep(calm)
    former = servers.proxy_of(servers.primary)
    if fault == FREEZE:
        servers.freeze()
    else:
        former.cut()
    time.sleep(away)
    servers.promote()
    found.promoted_at = time.monotonic()
    time.sleep(after)
    servers.thaw()
    former.heal()
    time.sleep(after)
    return found


def run(
    directory: Path, faults: Sequence[str], *, calm: float, away: float, after: float, **settings: str
) -> FailoverReport:
    """`calm`: seconds before each fault; `away`: until the promotion; `after`: until the former primary returns, and
    from then to the end of the round.
    """
    report = FailoverReport()
    with ReplicatedPostgres(directory) as servers, EmbeddedRedis(directory) as redis:
        upgrade(servers.direct_url(servers.primary))
        with Deployment(directory / "deployment", servers.url, redis.url, workers=2, **settings) as deployment:
            load = Load(deployment)
            for number, fault in enumerate(faults):
                if number:
                    servers.replace_former_primary()
                report.rounds.append(fail_over(servers, fault, calm=calm, away=away, after=after))
            load.stop()
            _count(servers, load, report)
    return report


def _count(servers: ReplicatedPostgres, load: Load, report: FailoverReport) -> None:
    answers = [(buyer, answer) for buyer, answer in load.orders if answer.status in {201, 202}]
    for each in report.rounds:
        until = min((later.promoted_at for later in report.rounds if later.promoted_at > each.promoted_at), default=1e9)
        # An order that was begun before the promotion may have been committed by the former primary.
        again = [(buyer, answer.ended) for buyer, answer in answers if each.promoted_at <= answer.ended < until]
        firsts = {buyer: ended - each.promoted_at for buyer, ended in reversed(again)}
        each.first = min(firsts.values(), default=None)
        each.all_buyers = max(firsts.values()) if len(firsts) == BUYERS else None
    with servers.administrator(servers.primary) as connection:
        stored = {number for (number,) in connection.execute("SELECT id FROM orders").fetchall()}
        history = connection.execute(
            "SELECT price FROM price_history WHERE product_id = %s ORDER BY valid_from", [load.repriced]
        ).fetchall()
    ids = [answer.body["id"] for _, answer in answers]
    report.acknowledged, report.statuses = len(ids), load.statuses
    report.lost = len(set(ids) - stored)
    report.repeated = max(0, len(stored) - len(load.orders)) + len(ids) - len(set(ids))
    report.stale_reads = load.stale_reads()
    # The seller only raises the price, so a lower price after a higher one was written late.
    report.late_writes = sum(later < earlier for (earlier,), (later,) in itertools.pairwise(history))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="failovers of each kind (default 5)")
    parser.add_argument("--calm", type=float, default=5.0, help="seconds before each fault (default 5)")
    parser.add_argument("--away", type=float, default=5.0, help="seconds from the fault to the promotion (default 5)")
    parser.add_argument("--after", type=float, default=10.0, help="seconds before and after the return (default 10)")
    chosen = parser.parse_args()
    faults = [FREEZE, CUT] * chosen.rounds
    with tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name:
        # Commands end before their clients give them up, so that what comes later is known to be late.
        deadline = f"{CLIENT_TIMEOUT - 1:.0f}"
        times = {"calm": chosen.calm, "away": chosen.away, "after": chosen.after}
        report = run(Path(name), faults, **times, COMMAND_DEADLINE_SECONDS=deadline)
    print(report)
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
