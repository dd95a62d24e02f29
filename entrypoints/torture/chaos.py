"""The plan of kills, which depends on the seed alone, and their execution."""

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
from entrypoints.torture.engine_under_test import EngineUnderTest, children_of


class Victim(StrEnum):
    """The target of a kill, as named in the report; it gets SIGKILL unless the name says otherwise."""

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
"""All of these are killed in random order, then all again."""

AT_FAIL_POINT: Final = "the process at an armed fail-point"
FAIL_POINT_SHARE: Final = 0.6
MAX_SETTLE_WAIT: Final = 15.0
"""Seconds that the plan waits for a recovery before it continues."""


@frozen
class FailPoint:
    """A fail-point: the first process that reaches it kills itself (`scalecommerce_core.testing.failpoints`)."""

    name: str


@frozen
class Kill:
    """A planned kill. `after_settling`: first wait for the recovery from earlier kills; then wait `pause` seconds."""

    victim: Victim | FailPoint
    after_settling: bool
    pause: float


def plan(seed: int, seams: Sequence[str] = ()) -> Iterator[Kill]:
    """Yield kills without end: some after a recovery, some during one, some at the same time as others.

    After most kills a fail-point is armed (`FAIL_POINT_SHARE`). Each fail-point is armed once before any is repeated.
    """
    rng = random.Random(f"{seed} kills")  # noqa: S311 - a repeatable plan
    turns = _turns(rng, seams)
    while True:
        for victim in rng.sample(DECK, len(DECK)):
            yield _timed(victim, rng)
            if seams and rng.random() < FAIL_POINT_SHARE:
                yield Kill(next(turns), after_settling=False, pause=rng.uniform(0.0, 0.5))


def _turns(rng: random.Random, seams: Sequence[str]) -> Iterator[FailPoint]:
    while True:
        yield from map(FailPoint, rng.sample(seams, len(seams)))


def _timed(victim: Victim, rng: random.Random) -> Kill:
    match rng.choice(["alone", "soon", "soon", "soon", "at once"]):
        case "alone":
            return Kill(victim, after_settling=True, pause=rng.uniform(0.1, 1.0))
        case "soon":
            return Kill(victim, after_settling=False, pause=rng.uniform(0.3, 1.5))
        case _:
            return Kill(victim, after_settling=False, pause=rng.uniform(0.0, 0.05))


class ProcessKiller:
    """Executes kills; for the main thread."""

    def __init__(self, engine: EngineUnderTest, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self.armed: set[str] = set()
        self.reached_fail_points: set[str] = set()
        self._engine = engine
        self._rng = random.Random(f"{seed} victims")  # noqa: S311 - as above

    def kill(self, victim: Victim | FailPoint) -> bool:
        """Kill the victim or arm the fail-point; return whether a process was killed."""
        if isinstance(victim, FailPoint):
            (self._engine.armed / victim.name).touch()
            self.armed.add(victim.name)
            return False
        done = self._kill(victim)
        if done:
            self.killed[victim] += 1
        return done

    def take_reached(self) -> list[str]:
        """Return the fail-points at which processes have died since the last call."""
        names = [path.stem for path in self._engine.armed.glob("*.struck")]
        for name in names:
            (self._engine.armed / f"{name}.struck").unlink()
            self.killed[AT_FAIL_POINT] += 1
            self.reached_fail_points.add(name)
        return names

    def disarm(self) -> None:
        for path in self._engine.armed.iterdir():
            if path.suffix != ".struck":
                path.unlink(missing_ok=True)

    def _kill(self, victim: Victim) -> bool:
        engine = self._engine
        api = self._rng.choice(engine.apis)
        match victim:
            case Victim.API_SERVER:
                return _kill(api.pid)
            case Victim.API_WORKER:
                return _kill(self._one_of(api.pid))
            case Victim.API_ALL:
                return sum(_kill_all(child) for child in engine.apis) > 0
            case Victim.WORKER_CHILD:
                return _kill(self._one_of(engine.worker.pid))
            case Victim.WORKER_PARENT:
                return _kill(engine.worker.pid)
            case Victim.BEAT:
                return _kill(engine.beat.pid)
            case Victim.REDIS:
                return engine.redis.running and _kill(engine.redis.pid)
            case Victim.REDIS_FLUSHED:
                return engine.redis.running and self._flush() and _kill(engine.redis.pid)
            case Victim.POSTGRES:
                return engine.postgres.running and _kill(engine.postgres.pid)
            case Victim.POSTGRES_BACKEND:
                return engine.postgres.running and _kill(
                    self._one_of(engine.postgres.pid, "postgres: scalecommerce: scale")
                )
            case Victim.POSTGRES_QUIT:
                return engine.postgres.running and _kill(engine.postgres.pid, signal.SIGQUIT)

    def _one_of(self, parent: int | None, command: str = "") -> int | None:
        """Return a random child whose command line begins with `command`; never a resource tracker of Python."""
        if parent is None:
            return None
        found = sorted(
            pid for pid, line in children_of(parent) if line.startswith(command) and "resource_tracker" not in line
        )
        return self._rng.choice(found) if found else None

    def _flush(self) -> bool:
        try:
            with Redis.from_url(self._engine.servers.redis_url, socket_timeout=2, socket_connect_timeout=1) as client:
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
