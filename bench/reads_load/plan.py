"""Servers with a seeded catalogue, and the runs: all sides in turns, so that what else the machine does meets all."""

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
import psycopg
from attrs import Factory, frozen

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from bench.orders_load.engine import Engine, running_engine
from bench.orders_load.market import SERVER_SETTINGS, access_tokens, plain
from bench.orders_load.saturation import Answers, find_wrk
from bench.orders_load.steady import Request, Taken, open_loop
from bench.reads_load.market import LARGE_SELLER, Sizes, Words, into_memory, seed
from bench.reads_load.processor import processor_seconds
from bench.reads_load.statements import SCRIPTS, statements_per_second
from entrypoints.processes.readiness_probe import api_answers

Say = Callable[[str], None]

KINDS: Final = ("detail_hot", "detail_cold", "list", "search", "facets", "seller_stats")
OPEN_KINDS: Final = ("search", "typo", "search_facets")
"""Whose answers are awaited by people who do not wait for each other."""
NOTHING: Final = "nothing"
HOT: Final = 1_000
"""Products that everybody looks at."""
TERMS: Final = 20_000
"""So many that a kept answer is met as often as chance has it: common words often, the others seldom."""
SETTLE_SECONDS: Final = 5
ROOT: Final = "/products/api/v1/"
SEEDED: Final = "seeded"


@frozen
class Plan:
    sizes: Sizes = Factory(Sizes)
    kinds: Sequence[str] = KINDS
    rounds: int = 5
    seconds: float = 8
    connections: int = 128
    clients: int = 8
    """Of pgbench."""
    open_kinds: Sequence[str] = OPEN_KINDS
    open_seconds: float = 30


@frozen
class Round:
    """Requests, or statements, per second."""

    kind: str
    answers: Answers
    cost: float
    """Processor time of the API per request, in microseconds."""
    nothing: float
    nothing_cost: float
    statements: float

    @property
    def rate(self) -> float:
        return self.answers.requests / self.answers.seconds


@frozen
class Steady:
    """An open loop at half of the requests per second that saturate the API; milliseconds from the planned moments."""

    kind: str
    saturated: float
    rate: float
    p50: float
    p95: float
    p99: float
    slowest: float
    late: float
    """The 99th percentile of how late the client itself was, which is part of all these."""
    failed: int


class Bench:
    def __init__(self, plan: Plan, url: str, redis_url: str, directory: Path, say: Say) -> None:
        self._plan = plan
        self.url = url
        self._redis_url = redis_url
        self._directory = directory
        self._say = say
        self._secret = secrets.token_urlsafe(48)
        self._words = Words()
        self._terms = self._words.pick(TERMS, seed=3)

    def rounds(self) -> list[Round]:
        plan = self._plan
        if not plan.kinds:
            return []
        self._write()
        found = []
        with self.engine() as engine, self._nothing() as nothing:
            for kind in plan.kinds:
                self._read(engine, kind, 2)
            self._read(nothing, NOTHING, 2)
            for number in range(1, plan.rounds + 1):
                for kind in plan.kinds:
                    least, least_cost = self._costed(nothing, NOTHING)
                    answers, cost = self._costed(engine, kind)
                    statements = statements_per_second(
                        self.url, self._script(kind), clients=plan.clients, seconds=plan.seconds
                    )
                    made = Round(kind, answers, cost, least.requests / least.seconds, least_cost, statements)
                    found.append(made)
                    self._say(
                        f"{number} {kind}: {made.rate:,.0f}/s, {cost:.0f} µs, p99 {answers.p99:.1f} ms, "
                        f"failed {answers.refused + answers.broken}; nothing {made.nothing:,.0f}/s, "
                        f"{least_cost:.0f} µs; pgbench {statements:,.0f}/s"
                    )
        return found

    def steady(self) -> list[Steady]:
        plan = self._plan
        if not plan.open_kinds:
            return []
        self._write()
        found = []
        with self.engine() as engine:
            for kind in plan.open_kinds:
                paths = _lines(self._directory / f"{kind}.txt")
                self._read(engine, kind, 2)
                answers = self._read(engine, kind, plan.seconds)
                rate = answers.requests / answers.seconds / 2
                # What wrk has left behind is answered first, to nobody.
                time.sleep(SETTLE_SECONDS)
                chance = random.Random(9)

                def request(paths: Sequence[str] = paths, chance: random.Random = chance) -> Request:
                    return get_request(engine, chance.choice(paths))

                taken = open_loop(engine, request, rate=rate, seconds=plan.open_seconds)
                found.append(_steady(kind, rate, taken))
                self._say(f"{kind}: {2 * rate:,.0f}/s saturate it; at {rate:,.0f}/s p99 {found[-1].p99:.1f} ms")
        return found

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        settings = {"DATABASE_URL": self.url, "REDIS_URL": self._redis_url, "JWT_SECRET": self._secret}
        with running_engine(self._directory, settings) as engine:
            yield engine

    @contextmanager
    def _nothing(self) -> Iterator[Engine]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"DATABASE_URL": self.url, "REDIS_URL": self._redis_url, "JWT_SECRET": self._secret}
        with (self._directory / "nothing.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.reads_load.nothing", str(port), str(os.getpid())],
                env={**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            engine = Engine("127.0.0.1", port, {NOTHING: process.pid})
            deadline = time.monotonic() + 30
            while not api_answers(engine.host, engine.port, "/nothing/"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._directory / "nothing.log").read_text())
                time.sleep(0.05)
            yield engine
        finally:
            process.terminate()
            process.wait(30)

    def _costed(self, engine: Engine, kind: str) -> tuple[Answers, float]:
        """What a run answered, and what each answer cost the API in microseconds."""
        process = engine.processes.get("serve") or engine.processes[NOTHING]
        before = processor_seconds(process)
        answers = self._read(engine, kind, self._plan.seconds)
        return answers, (processor_seconds(process) - before) / max(1, answers.requests) * 1e6

    def _read(self, engine: Engine, kind: str, seconds: float) -> Answers:
        host = f"{engine.host}:{engine.port}"
        if kind == "detail_hot":
            given = ["ids", "1", str(HOT), host]
        elif kind == "detail_cold":
            given = ["ids", "1", str(self._plan.sizes.products), host]
        else:
            given = ["paths", str(self._directory / f"{kind}.txt"), host]
        if kind == "seller_stats":
            given += access_tokens(self._secret, [LARGE_SELLER])
        output = subprocess.run(
            [
                find_wrk(), "--threads", "1", "--connections", str(self._plan.connections),
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
            NOTHING: ["/nothing/"],
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
        for kind in SCRIPTS:
            self._script(kind).write_text(
                SCRIPTS[kind].format(products=self._plan.sizes.products, first=1, hot=HOT, terms=len(self._terms))
            )
        with psycopg.connect(plain(self.url)) as connection:
            connection.execute("DROP TABLE IF EXISTS bench_terms")
            connection.execute("CREATE TABLE bench_terms (n integer PRIMARY KEY, word text)")
            with connection.cursor() as cursor, cursor.copy("COPY bench_terms FROM STDIN") as copy:
                for row in enumerate(self._terms):
                    copy.write_row(row)

    def _script(self, kind: str) -> Path:
        return self._directory / f"{kind}.pgbench"


def get_request(engine: Engine, path: str) -> Request:
    return f"GET {path} HTTP/1.1\r\nHost: {engine.host}:{engine.port}\r\n\r\n".encode()


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def _steady(kind: str, rate: float, taken: Taken) -> Steady:
    failed = sum(count for status, count in taken.statuses.items() if status != 200)
    p50, p95, p99, slowest = map(float, np.percentile(taken.milliseconds, (50, 95, 99, 100)))
    late = float(np.percentile(taken.late, 99))
    return Steady(kind, 2 * rate, rate, p50, p95, p99, slowest, late, failed)


@contextmanager
def prepared(plan: Plan, say: Say, keep: Path | None = None) -> Iterator[Bench]:
    """In `keep`, a catalogue that was seeded there before is read again; else all is made anew, and gone afterwards."""
    with ExitStack() as stack:
        directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-reads-")))
        directory.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(EmbeddedPostgres(directory, {**SERVER_SETTINGS, "shared_buffers": "2GB"}))
        redis = stack.enter_context(EmbeddedRedis(directory))
        mark = directory / SEEDED
        if not mark.exists():
            begun = time.monotonic()
            say(f"Seeding {plan.sizes.products:,} products and {plan.sizes.orders:,} orders …")
            seed(server.url, plan.sizes, Words(), say)
            say(f"Seeded in {time.monotonic() - begun:,.0f} s.")
            mark.touch()
        into_memory(server.url)
        yield Bench(plan, server.url, redis.url, directory, say)
