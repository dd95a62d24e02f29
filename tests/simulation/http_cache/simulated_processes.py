"""Processes with caches over one database, whose steps are taken in a random order. A seed determines the order.

The database is a model of PostgreSQL: transactions get numbers when they begin and commit in any order.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from attrs import Factory, define, field

from adapters.http.cache.invalidation import CacheValidity
from scalecommerce_core.ports import CatalogChange

PROCESSES: Final = 3
STEPS: Final = 150


class SimulatedDatabase(Protocol):
    """`running` has the transactions in progress by number; `log` is the change log."""

    now: float
    next_number: int
    log: list[CatalogChange]

    @property
    def running(self) -> dict[int, Any]: ...

    def commit(self, number: int) -> CatalogChange: ...


D = TypeVar("D", bound=SimulatedDatabase)


@define
class CachingProcess(Generic[D]):
    """A process that reads the change log; `meanwhile` lets others take steps."""

    database: D
    meanwhile: Callable[[], None]
    place: int = 0
    """The part of the log that reads have returned."""
    read_begun_at: float | None = None
    inbox: deque[CatalogChange | float] = Factory(deque)
    """What a read returned: changes, and then the time at which it began."""
    validity: CacheValidity = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.validity = CacheValidity(self.clock)
        self.create_cache()
        self.connect()

    def clock(self) -> float:
        return self.database.now

    def create_cache(self) -> None:
        raise NotImplementedError

    def clear_cache(self) -> None:
        raise NotImplementedError

    def drop_changed(self, change: CatalogChange, *, is_local: bool) -> None:
        """Let the cache drop what a change concerns, in addition to `validity`."""
        raise NotImplementedError

    def connect(self) -> None:
        self.place = len(self.database.log)
        self.read_begun_at = None
        self.inbox.clear()
        self.validity.on_start(self.database.next_number)
        self.clear_cache()

    def read_log(self, chance: random.Random) -> None:
        """Begin a read of the change log, or end the one that was begun."""
        if self.read_begun_at is None:
            self.read_begun_at = self.database.now
            return
        found = self.database.log[self.place :]
        self.place += len(found)
        chance.shuffle(found)
        self.inbox.extend([*found, self.read_begun_at])
        self.read_begun_at = None

    def hear(self) -> None:
        if not self.inbox:
            return
        message = self.inbox.popleft()
        if isinstance(message, CatalogChange):
            self.validity.on_change(message, is_local=False)
            self.drop_changed(message, is_local=False)
        else:
            self.validity.on_heartbeat(message)

    def commit(self, number: int) -> CatalogChange:
        change = self.database.commit(number)
        self.validity.on_change(change, is_local=True)
        self.drop_changed(change, is_local=True)
        return change


class InterleavedSteps(Generic[D]):
    """Takes steps, which are the names of methods, in a random order."""

    between: Sequence[str] = ("begin", "commit", "hear", "hear", "read_log", "wait")
    """Steps that may be taken between two statements of a load."""
    steps: Sequence[str] = ("begin", "commit", "hear", "hear", "hear_all", *["read_log"] * 4, "wait", "reconnect")

    def __init__(self, seed: int, database: D, process: Callable[[D, Callable[[], None]], Any]) -> None:
        self.chance = random.Random(seed)
        self.database = database
        self.depth = 0
        self.processes = [process(database, self.meanwhile) for _ in range(PROCESSES)]

    def check(self) -> None:
        """Check the answers that have arrived."""
        raise NotImplementedError

    def meanwhile(self) -> None:
        """Run other processes and the feed between two statements of a load."""
        if self.depth == 0 and self.chance.random() < 0.5:
            self.depth += 1
            for _ in range(self.chance.randrange(4)):
                getattr(self, self.chance.choice(self.between))()
            self.depth -= 1

    def commit(self) -> None:
        if self.database.running:
            self.chance.choice(self.processes).commit(self.chance.choice(list(self.database.running)))

    def hear(self) -> None:
        self.chance.choice(self.processes).hear()

    def hear_all(self) -> None:
        process = self.chance.choice(self.processes)
        while process.inbox:
            process.hear()

    def read_log(self) -> None:
        self.chance.choice(self.processes).read_log(self.chance)

    def wait(self) -> None:
        self.database.now += self.chance.choice([0.001, 0.01, 0.05, 0.3])

    def reconnect(self) -> None:
        if self.chance.random() < 0.1:
            self.chance.choice(self.processes).connect()

    async def run(self) -> None:
        for _ in range(STEPS):
            getattr(self, self.chance.choice(self.steps))()
            for _ in range(self.chance.randrange(4)):
                await asyncio.sleep(0)
            self.check()
