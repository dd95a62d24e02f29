"""Stop Redis, then kill PostgreSQL, under load. Measure responses, lost orders and the time to decide the backlog."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

import psycopg
from attrs import define, field

from adapters.db.core.connection_parameters import open_connection
from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from bench.idempotency import ORDERS, Connection, ReceivedResponse, prepare
from tests.integration.deployment import Deployment

CLIENTS: Final = 16
SETTLED_SECONDS: Final = 180.0
PAUSE: Final = 0.02
"""Seconds that a buyer waits after a failed request, shorter than Retry-After."""


@define
class Phase:
    """Part of the test. `answers` counts responses by status (0: broken connection); `slowest` is in seconds.

    `settled` is the number of seconds until all orders accepted before were decided.
    """

    name: str
    seconds: float = 0.0
    answers: Counter[int] = field(factory=Counter)
    slowest: float = 0.0
    settled: float | None = None

    def row(self) -> str:
        answered = ", ".join(f"{count:,} x {status or 'broken'}" for status, count in sorted(self.answers.items()))
        settled = "" if self.settled is None else f"{self.settled:.1f} s"
        rate = self.answers[202] / self.seconds
        return f"{self.name:28} {self.seconds:7.1f} s {rate:9,.0f} {self.slowest:9.2f} s {settled:>9}  {answered}"


@define
class OutageReport:
    phases: list[Phase]
    acknowledged: set[int] = field(factory=set)
    lost: set[int] = field(factory=set)
    undecided: int = 0
    restarted: list[str] = field(factory=list)
    """Processes that ended during the test."""

    def __str__(self) -> str:
        head = f"{'':28} {'time':>9} {'orders/s':>9} {'slowest':>11} {'settled':>9}  responses"
        rows = "\n".join(phase.row() for phase in self.phases)
        return (
            f"{head}\n{rows}\n{len(self.acknowledged):,} orders acknowledged, {len(self.lost)} lost,"
            f" {self.undecided} undecided; processes that ended: {', '.join(self.restarted) or 'none'}"
        )

    @property
    def is_clean(self) -> bool:
        return not self.lost and not self.undecided and not self.restarted


class Load:
    """Buyers that send order after order, each over one connection. Responses are counted in the current phase."""

    def __init__(self, deployment: Deployment) -> None:
        self._url = deployment.url
        self._token, bodies = prepare(deployment)
        self._body = bodies[0]
        self.acknowledged: set[int] = set()
        self.phase = Phase("")

    async def buy(self, stop: asyncio.Event) -> None:
        connection: Connection | None = None
        while not stop.is_set():
            begun = time.perf_counter()
            try:
                connection = connection or await Connection.to(self._url)
                answer = await connection.post(ORDERS, self._body, {"Authorization": f"Bearer {self._token}"})
            except (OSError, EOFError, TimeoutError):
                if connection is not None:
                    await connection.close()
                connection, answer = None, ReceivedResponse(0, "", b"")
            phase = self.phase
            phase.slowest = max(phase.slowest, time.perf_counter() - begun)
            phase.answers[answer.status] += 1
            if answer.status == 202:
                self.acknowledged.add(json.loads(answer.body)["id"])
            else:
                await asyncio.sleep(PAUSE)
        if connection is not None:
            await connection.close()


async def outages(
    deployment: Deployment, postgres: EmbeddedPostgres, redis: EmbeddedRedis, *, calm: float, away: float, killed: float
) -> OutageReport:
    load, stop = Load(deployment), asyncio.Event()
    buyers = [asyncio.create_task(load.buy(stop)) for _ in range(CLIENTS)]
    report = OutageReport([])

    async def phase(name: str, seconds: float) -> Phase:
        load.phase = Phase(name)
        report.phases.append(load.phase)
        begun = time.perf_counter()
        await asyncio.sleep(seconds)
        load.phase.seconds = time.perf_counter() - begun
        return load.phase

    def kill_postgres() -> None:
        os.kill(postgres.pid, signal.SIGKILL)
        postgres.stop()

    await phase("calm", calm)
    await asyncio.to_thread(redis.stop)
    await phase("Redis away", away)
    await asyncio.to_thread(redis.start)
    (await phase("Redis back", calm)).settled = await _settled(deployment, load)
    await asyncio.to_thread(kill_postgres)
    await phase("PostgreSQL killed", killed)
    await asyncio.to_thread(postgres.start)
    (await phase("PostgreSQL back", calm)).settled = await _settled(deployment, load)
    stop.set()
    await asyncio.gather(*buyers)
    await _settled(deployment, load)
    report.acknowledged = load.acknowledged
    with open_connection(deployment.database_url) as connection:
        rows = connection.execute("SELECT id, status FROM orders").fetchall()
    report.lost = load.acknowledged - {number for number, _ in rows}
    report.undecided = sum(status == "CREATED" for _, status in rows)
    report.restarted = [name for name, command in deployment.commands.items() if command.process.poll() is not None]
    return report


async def _settled(deployment: Deployment, load: Load) -> float:
    """Wait until all orders acknowledged so far are decided; return the seconds."""
    last = max(load.acknowledged, default=0)
    begun = time.perf_counter()
    while time.perf_counter() - begun < SETTLED_SECONDS:
        if await asyncio.to_thread(_decided_up_to, deployment.database_url, last):
            break
        await asyncio.sleep(0.1)
    return time.perf_counter() - begun


def _decided_up_to(database_url: str, last: int) -> bool:
    try:
        with open_connection(database_url) as connection:
            (waiting,) = connection.execute(
                "SELECT count(*) FROM orders WHERE status = 'CREATED' AND id <= %s", [last]
            ).fetchone() or (1,)
    except psycopg.OperationalError:
        return False
    return bool(waiting == 0)


def run(directory: Path, *, calm: float, away: float, killed: float) -> OutageReport:
    with EmbeddedPostgres(directory) as postgres, EmbeddedRedis(directory) as redis:
        upgrade(postgres.url)
        with Deployment(directory / "deployment", postgres.url, redis.url) as deployment:
            return asyncio.run(outages(deployment, postgres, redis, calm=calm, away=away, killed=killed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calm", type=float, default=15.0, help="seconds before and after each outage (default 15)")
    parser.add_argument("--redis", type=float, default=60.0, help="seconds without Redis (default 60)")
    parser.add_argument("--postgres", type=float, default=20.0, help="seconds without PostgreSQL (default 20)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name:
        report = run(Path(name), calm=chosen.calm, away=chosen.redis, killed=chosen.postgres)
    print(report)
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
