"""The sequence of runs. The two sides alternate, so that other load on the machine affects both."""

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from attrs import frozen

from adapters.embedded.redis import EmbeddedRedis
from bench.orders_load.checkout import THIS, Checkout
from bench.orders_load.engine import EngineFailed, MeasuredEngine, running_engine
from bench.orders_load.figures import Window, percentiles, undecided, unnumbered, verdict_milliseconds, window
from bench.orders_load.market import (
    SERVER_SETTINGS,
    MarketSize,
    access_tokens,
    fresh_database,
    seed,
    settle_database,
    write_tokens,
)
from bench.orders_load.rush import Rush, rush
from bench.orders_load.saturation import Answers, order_once, saturate
from bench.orders_load.server import BenchPostgres
from bench.orders_load.steady import steady_load
from bench.orders_load.transactions import CLIENTS, run_pgbench, write_engine_rows_script, write_script

Say = Callable[[str], None]

WARM_SECONDS: Final = 3.0
"""Load before each window, of both sides alike; a run of the same length precedes the first window of a process."""
SETTLE_SECONDS: Final = 60.0


@frozen
class OrderBenchOptions:
    runs: int = 5
    seconds: float = 30
    search_seconds: float = 5
    connections: int = 256
    products: int = 100_000
    buyers: int = 10_000
    rush_buyers: int = 10_000
    rush_units: int = 100
    overload_seconds: float = 60
    api_processes: int = 1
    """API processes of all parts but the overload."""
    overload_processes: int = 2
    """API processes of the overload."""
    checkout: Checkout = THIS
    """The engine that is measured."""


@frozen
class OrderRound:
    """One run of each side, one after the other. Both windows are counted by the same query, in the same way."""

    transactions: float
    """Orders per second of pgbench."""
    engine_rows: float
    """Orders per second of pgbench if it writes all rows that the engine writes."""
    window: Window
    answers: Answers
    unnumbered: int
    """Events without a number when the load ended."""

    @property
    def ratio(self) -> float:
        return self.window.decided_per_second / self.transactions

    @property
    def ratio_of_rows(self) -> float:
        return self.window.decided_per_second / self.engine_rows


@frozen
class Saturated:
    mode: str
    clients: int
    rounds: list[OrderRound]


@frozen
class Latency:
    """At `rate` orders per second; milliseconds."""

    mode: str
    rate: float
    answer_p50: float
    answer_p99: float
    verdict_p50: float
    verdict_p99: float
    late_p99: float
    """By how many milliseconds the client sent late; the other figures contain it."""
    unnumbered: int
    refused: int


@frozen
class Overload:
    """More orders than can be decided, from the beginning of the load."""

    window: Window
    answers: Answers

    @property
    def backlog_seconds(self) -> float:
        """The time in which the orders are decided that were undecided at the end of the window."""
        return self.window.behind_at_last / self.window.decided_per_second


class OrderBench:
    """Servers with a seeded market; created by `prepared`."""

    def __init__(
        self, options: OrderBenchOptions, server: BenchPostgres, redis: EmbeddedRedis, directory: Path, say: Say
    ) -> None:
        self._options = options
        self._server = server
        self._redis = redis
        self._directory = directory
        self._say = say
        self._secret = secrets.token_urlsafe(48)
        self._market = MarketSize(products=options.products, buyers=max(options.buyers, options.rush_buyers))
        say(f"Seeding {options.products:,} products …")
        seed(server, self._market, options.checkout)
        first = self._market.first_buyer
        self._tokens = access_tokens(self._secret, range(first, first + self._market.buyers))
        self._buyers = write_tokens(directory / "tokens.txt", self._tokens[: options.buyers])

    # --- saturated

    def saturated(self, mode: str) -> Saturated:
        theirs, ours = fresh_database(self._server, "transactions"), fresh_database(self._server, "engine")
        script = write_script(self._directory, self._market, mode, theirs)
        clients = self._best_clients(mode, theirs, script)
        same_rows = fresh_database(self._server, "engine_rows")
        rows_script = write_engine_rows_script(self._directory, self._market, mode, same_rows)
        rounds = []
        for number in range(1, self._options.runs + 1):
            transactions = self._pgbench_run(theirs, script, clients, self._options.seconds)
            engine_rows = self._pgbench_run(same_rows, rows_script, clients, self._options.seconds)
            rounds.append(OrderRound(transactions, engine_rows, *self._engine_run(mode, ours)))
            measured, answers = rounds[-1].window, rounds[-1].answers
            self._say(
                f"{mode} {number}: pgbench {transactions:,.0f}/s, with the engine's rows {engine_rows:,.0f}/s, "
                f"engine {measured.decided_per_second:,.0f}/s decided, "
                f"{measured.accepted / measured.seconds:,.0f}/s accepted, undecided at the end "
                f"{measured.behind_at_last:,}, events without a number {rounds[-1].unnumbered:,}, "
                f"refused {answers.refused + answers.broken}; ratio {rounds[-1].ratio:.2f}"
            )
        return Saturated(mode, clients, rounds)

    def _best_clients(self, mode: str, url: str, script: Path) -> int:
        found = {}
        for clients in CLIENTS:
            found[clients] = self._pgbench_run(url, script, clients, self._options.search_seconds)
        self._say(f"{mode}: pgbench with " + ", ".join(f"{n} clients {rate:,.0f}/s" for n, rate in found.items()))
        return max(found, key=lambda clients: found[clients])

    def _pgbench_run(self, url: str, script: Path, clients: int, seconds: float) -> float:
        """Orders per second of pgbench, measured as `_engine_run` measures the engine."""
        run_pgbench(url, script, clients=clients, seconds=WARM_SECONDS)
        settle_database(url)
        begun = datetime.now(UTC) + timedelta(seconds=WARM_SECONDS)
        run_pgbench(url, script, clients=clients, seconds=seconds + WARM_SECONDS + 1)
        return window(url, begun, begun + timedelta(seconds=seconds)).decided_per_second

    def _engine_run(self, mode: str, url: str) -> tuple[Window, Answers, int]:
        with self._engine(url) as engine:
            self._saturate(engine, mode, WARM_SECONDS)
            self._settle(url)
            settle_database(url)
            # The window ends before the load does, so orders are decided while others arrive.
            begun = datetime.now(UTC) + timedelta(seconds=WARM_SECONDS)
            answers = self._saturate(engine, mode, self._options.seconds + WARM_SECONDS + 1)
            waiting = unnumbered(url)
            self._settle(url)
            return window(url, begun, begun + timedelta(seconds=self._options.seconds)), answers, waiting

    def _saturate(self, engine: MeasuredEngine, mode: str, seconds: float) -> Answers:
        answers = saturate(
            engine,
            tokens=self._buyers,
            products=self._options.products,
            mode=mode,
            connections=self._options.connections,
            seconds=seconds,
        )
        if answers.requests and answers.refused == answers.requests:
            raise EngineFailed(f"The engine refuses all orders: {order_once(engine, self._tokens[0])}")
        return answers

    def _settle(self, url: str) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := undecided(url)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if left:
            self._say(f"{left:,} orders are still undecided {SETTLE_SECONDS:.0f} s after the load")

    # --- more orders than can be decided

    def overload(self) -> Overload:
        """Let several API processes take as many orders as they can."""
        url, seconds = fresh_database(self._server, "engine"), self._options.overload_seconds
        with self._engine(url, self._options.overload_processes) as engine:
            self._saturate(engine, "uniform", WARM_SECONDS)
            self._settle(url)
            settle_database(url)
            begun = datetime.now(UTC)
            answers = self._saturate(engine, "uniform", seconds + 1)
            self._settle(url)
        return Overload(window(url, begun, begun + timedelta(seconds=seconds)), answers)

    # --- at half of the saturating rate

    def latency(self, mode: str, rate: float) -> Latency:
        url = fresh_database(self._server, "engine")
        with self._engine(url) as engine:
            self._saturate(engine, mode, WARM_SECONDS)
            self._settle(url)
            settle_database(url)
            taken = steady_load(
                engine,
                tokens=self._tokens[: self._options.buyers],
                products=self._options.products,
                mode=mode,
                rate=rate,
                seconds=self._options.seconds,
            )
            waiting = unnumbered(url)
            self._settle(url)
            late = percentiles(taken.late)[1]
            answer, verdict = percentiles(taken.milliseconds), percentiles(verdict_milliseconds(url, taken.accepted))
        refused = len(taken.milliseconds) - taken.statuses.get(202, 0)
        found = Latency(mode, rate, *answer, *verdict, late, waiting, refused)
        self._say(
            f"{mode} at {rate:,.0f}/s: 202 p50 {found.answer_p50:.1f} ms, p99 {found.answer_p99:.1f} ms; verdict p50 "
            f"{found.verdict_p50:.1f} ms, p99 {found.verdict_p99:.1f} ms; the client itself late by p99 {late:.1f} ms; "
            f"events without a number {waiting:,}; "
            f"refused {refused}"
        )
        return found

    # --- a rush: many buyers, few units

    def rush(self) -> Rush:
        url = fresh_database(self._server, "engine")
        with self._engine(url) as engine:
            return rush(engine, url, self._tokens[: self._options.rush_buyers], units=self._options.rush_units)

    @contextmanager
    def _engine(self, url: str, api_processes: int | None = None) -> Iterator[MeasuredEngine]:
        settings: Mapping[str, str] = {
            "DATABASE_URL": url,
            "REDIS_URL": self._redis.url,
            "JWT_SECRET": self._secret,
        }
        with running_engine(
            self._directory, settings, self._options.checkout, api_processes or self._options.api_processes
        ) as engine:
            yield engine


@contextmanager
def prepared(options: OrderBenchOptions, say: Say) -> Iterator[OrderBench]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-orders-") as name,
        BenchPostgres(name, SERVER_SETTINGS) as server,
        EmbeddedRedis(name) as redis,
    ):
        yield OrderBench(options, server, redis, Path(name), say)
