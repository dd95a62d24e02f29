"""Which process dies when: a plan of the seed alone, and the kills themselves."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

from attrs import frozen
from redis import Redis, RedisError

from entrypoints.processes.child_process import ChildProcess
from entrypoints.torture.engine_under_test import Site, children_of


class Victim(StrEnum):
    """What is killed, as the report names it; by SIGKILL where it does not say otherwise."""

    API_SERVER = "API: the server process"
    API_WORKER = "API: the process that answers"
    API_ALL = "API: both at once"
    WORKER_CHILD = "worker: the child that works"
    WORKER_PARENT = "worker: the parent"
    BEAT = "beat"
    REDIS = "Redis"
    REDIS_FLUSHED = "Redis, after FLUSHALL"
    POSTGRES = "PostgreSQL: the postmaster"
    POSTGRES_BACKEND = "PostgreSQL: a session's process"
    POSTGRES_QUIT = "PostgreSQL: SIGQUIT"


DECK: Final = (
    *(Victim.API_SERVER, Victim.API_WORKER, Victim.API_WORKER, Victim.API_ALL),
    *(Victim.WORKER_CHILD, Victim.WORKER_CHILD, Victim.WORKER_CHILD, Victim.WORKER_PARENT, Victim.WORKER_PARENT),
    *(Victim.BEAT, Victim.REDIS, Victim.REDIS_FLUSHED),
    *(Victim.POSTGRES, Victim.POSTGRES_BACKEND, Victim.POSTGRES_QUIT),
)
"""Dealt to its end, then shuffled again: every process has its share."""

AT_SEAM: Final = "whoever came by an armed fail-point"
SEAM_SHARE: Final = 0.6
LONGEST_WAIT: Final = 15.0
"""Seconds that a plan waits for settling, before it goes on regardless."""


@frozen
class Seam:
    """A fail-point: the first process that comes by dies there (`scalecommerce_core.testing.failpoints`)."""

    name: str


@frozen
class Kill:
    """`after_settling`: wait until the kills before have settled (not for ever); then `pause` seconds."""

    victim: Victim | Seam
    after_settling: bool
    pause: float


def plan(seed: int, seams: Sequence[str] = ()) -> Iterator[Kill]:
    """Without end; some kills come alone, some into the recovery from the one before, some at once.

    Between two of them a fail-point is armed as often as not, until each seam had its turn; then all over again.
    """
    rng = random.Random(f"{seed} kills")  # noqa: S311 - a plan that can be repeated
    turns = _turns(rng, seams)
    while True:
        for victim in rng.sample(DECK, len(DECK)):
            yield _timed(victim, rng)
            if seams and rng.random() < SEAM_SHARE:
                yield Kill(next(turns), after_settling=False, pause=rng.uniform(0.0, 0.5))


def _turns(rng: random.Random, seams: Sequence[str]) -> Iterator[Seam]:
    while True:
        yield from map(Seam, rng.sample(seams, len(seams)))


def _timed(victim: Victim, rng: random.Random) -> Kill:
    match rng.choice(["alone", "soon", "soon", "soon", "at once"]):
        case "alone":
            return Kill(victim, after_settling=True, pause=rng.uniform(0.1, 1.0))
        case "soon":
            return Kill(victim, after_settling=False, pause=rng.uniform(0.3, 1.5))
        case _:
            return Kill(victim, after_settling=False, pause=rng.uniform(0.0, 0.05))


class Killer:
    """Used by the main thread."""

    def __init__(self, site: Site, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self.armed: set[str] = set()
        self.struck_seams: set[str] = set()
        self._site = site
        self._rng = random.Random(f"{seed} victims")  # noqa: S311 - as above

    def kill(self, victim: Victim | Seam) -> bool:
        """Whether that killed something: what has just died cannot die again, and a fail-point waits for somebody."""
        if isinstance(victim, Seam):
            (self._site.armed / victim.name).touch()
            self.armed.add(victim.name)
            return False
        done = self._kill(victim)
        if done:
            self.killed[victim] += 1
        return done

    def struck(self) -> list[str]:
        """The seams at which somebody has died since the last call."""
        names = [path.stem for path in self._site.armed.glob("*.struck")]
        for name in names:
            (self._site.armed / f"{name}.struck").unlink()
            self.killed[AT_SEAM] += 1
            self.struck_seams.add(name)
        return names

    def disarm(self) -> None:
        for path in self._site.armed.iterdir():
            if path.suffix != ".struck":
                path.unlink(missing_ok=True)

    def _kill(self, victim: Victim) -> bool:
        site = self._site
        api = self._rng.choice(site.apis)
        match victim:
            case Victim.API_SERVER:
                return _kill(api.pid)
            case Victim.API_WORKER:
                return _kill(self._one_of(api.pid))
            case Victim.API_ALL:
                return sum(_kill_all(child) for child in site.apis) > 0
            case Victim.WORKER_CHILD:
                return _kill(self._one_of(site.worker.pid))
            case Victim.WORKER_PARENT:
                return _kill(site.worker.pid)
            case Victim.BEAT:
                return _kill(site.beat.pid)
            case Victim.REDIS:
                return site.redis.running and _kill(site.redis.pid)
            case Victim.REDIS_FLUSHED:
                return site.redis.running and self._flush() and _kill(site.redis.pid)
            case Victim.POSTGRES:
                return site.postgres.running and _kill(site.postgres.pid)
            case Victim.POSTGRES_BACKEND:
                return site.postgres.running and _kill(
                    self._one_of(site.postgres.pid, "postgres: scalecommerce: scale")
                )
            case Victim.POSTGRES_QUIT:
                return site.postgres.running and _kill(site.postgres.pid, signal.SIGQUIT)

    def _one_of(self, parent: int | None, command: str = "") -> int | None:
        """A child of that process whose command line begins so; never one that only keeps track of resources."""
        if parent is None:
            return None
        found = sorted(
            pid for pid, line in children_of(parent) if line.startswith(command) and "resource_tracker" not in line
        )
        return self._rng.choice(found) if found else None

    def _flush(self) -> bool:
        try:
            with Redis.from_url(self._site.servers.redis_url, socket_timeout=2, socket_connect_timeout=1) as client:
                client.flushall()
        except RedisError:
            return False
        return True


def _kill(pid: int | None, number: int = signal.SIGKILL) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _kill_all(child: ChildProcess) -> bool:
    pid = child.pid
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return True
