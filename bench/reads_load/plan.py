"""Servers with a seeded catalog, and the sequence of runs: all sides alternate, since other load varies with time."""

import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import numpy as np
from attrs import Factory, evolve, frozen

from adapters.db.core.connection_parameters import open_connection
from adapters.embedded.redis import EmbeddedRedis
from bench.orders_load.checkout import ROOT as ROOT_DIRECTORY
from bench.orders_load.checkout import THIS, Checkout
from bench.orders_load.engine import EngineFailed, MeasuredEngine, running_engine
from bench.orders_load.market import SERVER_SETTINGS, access_tokens
from bench.orders_load.saturation import Answers, find_wrk
from bench.orders_load.server import BenchPostgres
from bench.orders_load.steady import Request, Taken, open_loop
from bench.reads_load.edits import EDITS_PER_SECOND, editing
from bench.reads_load.market import LARGE_SELLER, Sizes, Words, into_memory, seed
from bench.reads_load.processor import processor_seconds, run_queue_wait_seconds
from bench.reads_load.statements import statements_per_second, write_scripts
from bench.reads_load.yardstick import GRANIAN, PATH, STARLETTE
from entrypoints.processes.readiness_probe import api_answers

Say = Callable[[str], None]

KINDS: Final = ("detail_hot", "detail_cold", "list", "search", "facets", "seller_stats")
OPEN_KINDS: Final = ("search", "typo", "search_facets")
"""Reads that are measured in an open loop too, since their clients do not wait for each other."""
EDITED_KINDS: Final = frozenset({"list", "facets", "search", "typo", "search_facets"})
"""Reads that are measured with edits too: an edit invalidates the cached answers that it concerns."""
YARDSTICKS: Final = (GRANIAN, STARLETTE)
HOT: Final = 1_000
"""Products in the hot set."""
TERMS: Final = 20_000
"""Search terms, drawn as often as the words occur: common ones hit the cache often, rare ones seldom."""
EDITED: Final = 500
"""Products that the edits change in turns."""
INDEX_READY: Final = "the search index is ready"
INDEX_SECONDS: Final = 900.0
SETTLE_SECONDS: Final = 5
WARM_SECONDS: Final = 2
ROOT: Final = "/products/api/v1/"
SEEDED: Final = "seeded"


@frozen
class ReadBenchOptions:
    sizes: Sizes = Factory(Sizes)
    kinds: Sequence[str] = KINDS
    rounds: int = 5
    seconds: float = 8
    connections: int = 128
    clients: int = 8
    """Connections of pgbench."""
    open_kinds: Sequence[str] = OPEN_KINDS
    open_seconds: float = 30
    checkout: Checkout = THIS
    """The engine that is measured."""
    search_indexes: Sequence[str] = ("postgresql",)
    """Values of `SEARCH_INDEX`. The open loops are measured with each of them, the rounds with the first."""


@frozen
class ReadRound:
    """One run of each side. Rates are requests (or statements) per second.

    Costs are microseconds of processor time of the serving processes per request.
    """

    kind: str
    answers: Answers
    cost: float
    granian: float
    granian_cost: float
    starlette: float
    starlette_cost: float
    statements: float
    """Statements per second of pgbench."""
    edits_per_second: float = 0.0
    failed_edits: int = 0

    @property
    def rate(self) -> float:
        return _rate(self.answers)


@frozen
class Steady:
    """An open loop at half of the saturating rate; milliseconds from the planned moment of each request.

    `cost` is the processor time of the API per request, in microseconds.
    """

    kind: str
    saturated: float
    rate: float
    cost: float
    p50: float
    p95: float
    p99: float
    slowest: float
    late: float
    """The 99th percentile of how late the client itself sent; the others but `p99_from_sending` contain the delays."""
    p99_from_sending: float
    """Milliseconds from the moment at which the client wrote the request to a connection."""
    run_queue_wait_ms: float
    """Milliseconds per request for which threads of the API and of PostgreSQL were ready to run, and had no core."""
    failed: int
    edits_per_second: float = 0.0
    failed_edits: int = 0
    search_index: str = ""


class ReadBench:
    def __init__(self, options: ReadBenchOptions, url: str, redis_url: str, directory: Path, say: Say) -> None:
        self._options = options
        self.url = url
        self._redis_url = redis_url
        self._directory = directory
        self._say = say
        self._secret = secrets.token_urlsafe(48)
        self._words = Words()
        self._terms = self._words.pick(TERMS, seed=3)
        # Every tenth product belongs to the large seller.
        self._edited = range(10, 10 * (min(EDITED, options.sizes.products // 10) + 1), 10)

    @property
    def _seller_token(self) -> str:
        return access_tokens(self._secret, [LARGE_SELLER])[0]

    def rounds(self) -> list[ReadRound]:
        options = self._options
        if not options.kinds:
            return []
        self._write()
        found = []
        with self.engine(options.search_indexes[0]) as engine, ExitStack() as stack:
            yardsticks = {name: stack.enter_context(self._yardstick(name)) for name in YARDSTICKS}
            for kind in options.kinds:
                self._read(engine, kind, WARM_SECONDS)
            for name in YARDSTICKS:
                self._read(yardsticks[name], name, WARM_SECONDS)
            for number in range(1, options.rounds + 1):
                for kind in options.kinds:
                    least = {name: self._measure(yardsticks[name], name) for name in YARDSTICKS}
                    answers, cost = self._measure(engine, kind)
                    statements = statements_per_second(
                        self.url, self._script(kind), clients=options.clients, seconds=options.seconds
                    )
                    made = ReadRound(
                        kind,
                        answers,
                        cost,
                        granian=_rate(least[GRANIAN][0]),
                        granian_cost=least[GRANIAN][1],
                        starlette=_rate(least[STARLETTE][0]),
                        starlette_cost=least[STARLETTE][1],
                        statements=statements,
                    )
                    found.append(made)
                    self._report(number, made)
                    if kind in EDITED_KINDS:
                        found.append(self._round_with_edits(engine, made))
                        self._report(number, found[-1])
        return found

    def _round_with_edits(self, engine: MeasuredEngine, without: ReadRound) -> ReadRound:
        """Measure the same read again while products are edited; the other sides were measured just before."""
        begun = time.monotonic()
        with editing(engine, self._seller_token, self._edited) as edits:
            answers, cost = self._measure(engine, without.kind)
        rate = edits.done / (time.monotonic() - begun)
        return evolve(
            without,
            kind=with_edits(without.kind),
            answers=answers,
            cost=cost,
            edits_per_second=rate,
            failed_edits=edits.failed,
        )

    def _report(self, number: int, made: ReadRound) -> None:
        self._say(
            f"{number} {made.kind}: {made.rate:,.0f}/s, {made.cost:.0f} µs, p99 {made.answers.p99:.1f} ms, "
            f"failed {made.answers.refused + made.answers.broken}; Granian {made.granian:,.0f}/s, "
            f"{made.granian_cost:.0f} µs; Starlette {made.starlette:,.0f}/s, {made.starlette_cost:.0f} µs; "
            f"pgbench {made.statements:,.0f}/s"
            + (f"; edits {made.edits_per_second:.1f}/s, failed {made.failed_edits}" if made.edits_per_second else "")
        )

    def steady(self) -> list[Steady]:
        options = self._options
        if not options.open_kinds:
            return []
        self._write()
        found = []
        with ExitStack() as stack:
            engines = {index: stack.enter_context(self.engine(index)) for index in options.search_indexes}
            for kind in options.open_kinds:
                for index, engine in engines.items():
                    for each in self._steady_pair(engine, kind):
                        found.append(evolve(each, search_index=index))
                        self._say(
                            f"{each.kind}, {index}: {each.saturated:,.0f}/s saturate it; at {each.rate:,.0f}/s "
                            f"p99 {each.p99:.1f} ms, {each.cost:.0f} µs of the API"
                        )
        return found

    def _steady_pair(self, engine: MeasuredEngine, kind: str) -> Iterator[Steady]:
        """Measure a read without edits and with them."""
        self._read(engine, kind, WARM_SECONDS)
        yield self._steady(engine, kind, kind)
        begun = time.monotonic()
        with editing(engine, self._seller_token, self._edited) as edits:
            made = self._steady(engine, kind, with_edits(kind))
        per_second = edits.done / (time.monotonic() - begun)
        yield evolve(made, edits_per_second=per_second, failed_edits=edits.failed)

    def _steady(self, engine: MeasuredEngine, kind: str, name: str) -> Steady:
        """Measure the saturating rate of a read, and its latencies at half of it."""
        rate = _rate(self._read(engine, kind, self._options.seconds)) / 2
        api, database = engine.processes["serve"], _postmaster(self.url)

        def waited() -> float:
            return run_queue_wait_seconds(api) + run_queue_wait_seconds(database)

        before, waited_before = processor_seconds(api), waited()
        taken = self._open_loop(engine, kind, rate)
        requests = max(1, len(taken.milliseconds))
        spent, run_queue_wait_ms = processor_seconds(api) - before, waited() - waited_before
        return _steady(name, rate, spent / requests * 1e6, run_queue_wait_ms / requests * 1e3, taken)

    def _open_loop(self, engine: MeasuredEngine, kind: str, rate: float) -> Taken:
        paths = (self._directory / f"{kind}.txt").read_text().splitlines()
        # The engine first answers the requests that earlier load left behind.
        time.sleep(SETTLE_SECONDS)
        chance = random.Random(9)
        return open_loop(
            engine, lambda: get_request(engine, chance.choice(paths)), rate=rate, seconds=self._options.open_seconds
        )

    @contextmanager
    def engine(self, search_index: str = "postgresql") -> Iterator[MeasuredEngine]:
        settings = {"DATABASE_URL": self.url, "REDIS_URL": self._redis_url, "JWT_SECRET": self._secret}
        if search_index != "postgresql":
            settings |= {"SEARCH_INDEX": search_index, "SEARCH_INDEX_DIR": str(self._directory / "search-index")}
        directory = self._directory / f"engine-{search_index}"
        directory.mkdir(exist_ok=True)
        begun = time.monotonic()
        with running_engine(directory, settings, self._options.checkout) as engine:
            if search_index != "postgresql":
                self._await_index(directory / "serve.log")
                self._say(f"The search index was ready after {time.monotonic() - begun:,.0f} s.")
            yield engine

    def _await_index(self, log: Path) -> None:
        deadline = time.monotonic() + INDEX_SECONDS
        while INDEX_READY not in (text := log.read_text(errors="replace")):
            if time.monotonic() > deadline:
                raise EngineFailed(f"The search index was not ready after {INDEX_SECONDS:,.0f} s:\n{text[-4000:]}")
            time.sleep(0.5)

    @contextmanager
    def _yardstick(self, name: str) -> Iterator[MeasuredEngine]:
        """Serve an endpoint that does nothing, as the engine is served."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"DATABASE_URL": self.url, "REDIS_URL": self._redis_url, "JWT_SECRET": self._secret}
        path = self._directory / f"{name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.reads_load.yardstick", name, str(port), str(os.getpid())],
                env={**os.environ, **settings, "PYTHONPATH": str(ROOT_DIRECTORY)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            engine = MeasuredEngine("127.0.0.1", port, {name: process.pid})
            deadline = time.monotonic() + 30
            while not api_answers(engine.host, engine.port, PATH):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(path.read_text())
                time.sleep(0.05)
            yield engine
        finally:
            process.terminate()
            process.wait(30)

    def _measure(self, engine: MeasuredEngine, kind: str) -> tuple[Answers, float]:
        """Run one read; return its answers and the processor time of the API per answer, in microseconds."""
        process = engine.processes.get("serve") or engine.processes[kind]
        before = processor_seconds(process)
        answers = self._read(engine, kind, self._options.seconds)
        return answers, (processor_seconds(process) - before) / max(1, answers.requests) * 1e6

    def _read(self, engine: MeasuredEngine, kind: str, seconds: float) -> Answers:
        host = f"{engine.host}:{engine.port}"
        if kind == "detail_hot":
            given = ["ids", "1", str(HOT), host]
        elif kind == "detail_cold":
            given = ["ids", "1", str(self._options.sizes.products), host]
        else:
            given = ["paths", str(self._directory / f"{kind}.txt"), host]
        if kind == "seller_stats":
            given.append(self._seller_token)
        output = subprocess.run(
            [
                find_wrk(), "--threads", "1", "--connections", str(self._options.connections),
                "--duration", f"{round(seconds)}s", "--timeout", "10s",
                "--script", str(Path(__file__).with_name("read.lua")), engine.url, "--", *given,
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout  # fmt: skip
        return Answers(**json.loads(output.strip().rpartition("\n")[2]))

    def _write(self) -> None:
        chance = random.Random(4)
        categories = [f"{ROOT}?category={number}" for number in range(1, 21)]
        paths = {
            **{name: [PATH] for name in YARDSTICKS},
            "list": [ROOT, f"{ROOT}?page_size=50", *categories],
            "facets": [f"{path}&facets=brand&facets=price" for path in categories],
            "search": [f"{ROOT}?{urlencode({'search': term})}" for term in self._terms],
            "typo": [f"{ROOT}?{urlencode({'search': self._words.misspelt(chance)})}" for _ in range(TERMS)],
            "search_facets": [
                f"{ROOT}?{urlencode({'search': term})}&facets=category&facets=brand&facets=price"
                for term in self._terms
            ],
            "seller_stats": [f"{ROOT}seller-stats/"],
        }
        for kind, lines in paths.items():
            (self._directory / f"{kind}.txt").write_text("\n".join(lines) + "\n")
        write_scripts(self._directory, self.url, products=self._options.sizes.products, hot=HOT, terms=len(self._terms))
        with open_connection(self.url, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS bench_terms")
            connection.execute("CREATE TABLE bench_terms (n integer PRIMARY KEY, word text)")
            with connection.cursor() as cursor, cursor.copy("COPY bench_terms FROM STDIN") as copy:
                for row in enumerate(self._terms):
                    copy.write_row(row)
            # Without this, pgbench plans by guesses and pays for the hint bits and the visibility of fresh rows.
            connection.execute("VACUUM (ANALYZE) bench_terms")

    def _script(self, kind: str) -> Path:
        return self._directory / f"{kind}.pgbench"


def get_request(engine: MeasuredEngine, path: str) -> Request:
    return f"GET {path} HTTP/1.1\r\nHost: {engine.host}:{engine.port}\r\n\r\n".encode()


def with_edits(kind: str) -> str:
    """The name of a read that is measured while products are edited."""
    return f"{kind}, {EDITS_PER_SECOND} edits/s"


def _rate(answers: Answers) -> float:
    return answers.requests / answers.seconds


def _postmaster(url: str) -> int:
    """The process id of the server, whose sessions are its descendants."""
    with open_connection(url, autocommit=True) as connection:
        first_line = "SELECT CAST(split_part(pg_read_file('postmaster.pid'), chr(10), 1) AS int)"
        ((process,),) = connection.execute(first_line).fetchall()
    return int(process)


def _steady(kind: str, rate: float, cost: float, run_queue_wait_ms: float, taken: Taken) -> Steady:
    failed = sum(count for status, count in taken.statuses.items() if status != 200)
    p50, p95, p99, slowest = map(float, np.percentile(taken.milliseconds, (50, 95, 99, 100)))
    late = float(np.percentile(taken.late, 99))
    sent = float(np.percentile(taken.from_sending, 99))
    return Steady(kind, 2 * rate, rate, cost, p50, p95, p99, slowest, late, sent, run_queue_wait_ms, failed)


@contextmanager
def prepared(options: ReadBenchOptions, say: Say, keep: Path | None = None) -> Iterator[ReadBench]:
    """Start the servers. A catalog that an earlier run has kept in `keep` is used again; else a new one is seeded.

    Without `keep`, everything is deleted at the end.
    """
    with ExitStack() as stack:
        directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-reads-")))
        directory.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(BenchPostgres(directory, {**SERVER_SETTINGS, "shared_buffers": "2GB"}))
        redis = stack.enter_context(EmbeddedRedis(directory))
        mark = directory / SEEDED
        if not mark.exists():
            begun = time.monotonic()
            say(f"Seeding {options.sizes.products:,} products and {options.sizes.orders:,} orders …")
            seed(server.url, options.sizes, Words(), say)
            say(f"Seeded in {time.monotonic() - begun:,.0f} s.")
            mark.touch()
        options.checkout.migrate(server.url)
        into_memory(server.url)
        yield ReadBench(options, server.url, redis.url, directory, say)
