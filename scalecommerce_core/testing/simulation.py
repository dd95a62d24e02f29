"""Deterministic simulation: process crashes, clock skew and lost messages, all drawn from one seed.

Everything runs in one thread. Actors take turns in an order drawn from a seeded generator. At the seams of the ports
(see `failpoints`), the same generator decides whether the process dies, whether the store fails, and, outside of
transactions, whether other actors go first. The same seed makes the same run, step by step:

    def shop(simulation: Simulation) -> None:
        memory = MemoryStore()
        server = simulation.process(
            "server",
            lambda life: in_memory_market(life.clock, memory=memory, store=life.seams.store(memory)),
        )
        simulation.actor("buyer", lambda: server.do(...))
        simulation.run(200)
        simulation.calm()
        ...  # finish all work, and assert the invariants

    explore(range(1000), shop)  # an error shows its seed, which repeats the run

A process keeps the value that its function returned until it dies; its next life starts with the stored data only.
Interleaved steps end before the interrupted step continues, so not every schedule of real threads is tried.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Final, Generic, TypeVar
from uuid import UUID

from attrs import frozen

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.domain.identifiers import CommandId
from scalecommerce_core.ports import Clock
from scalecommerce_core.services.retry import no_backoff
from scalecommerce_core.testing.failpoints import REPOSITORIES, Crash, FailPoints, Seams
from scalecommerce_core.testing.fakes import SettableClock

M = TypeVar("M")
T = TypeVar("T")

MAX_DEPTH: Final = 3
"""At most this many steps may be interrupted by one another."""
TRACE_LINES: Final = 60
"""An error shows this many of the last lines of the trace."""


@frozen
class Faults:
    """Probabilities of faults at each seam; the clocks of two processes differ by at most `skew`.

    With `only_at`, processes crash only at the seam of this name.
    """

    crash: float = 0.004
    aborted: float = 0.004
    connection_lost: float = 0.01
    interleaved: float = 0.05
    skew: timedelta = timedelta(seconds=2)
    only_at: str | None = None


NO_FAULTS: Final = Faults(0, 0, 0, 0, timedelta())


class ProcessDied(Exception):
    """The process died before it returned; its work may have taken effect or not."""


class Simulation:
    """One run. All random decisions are drawn from `random`."""

    def __init__(self, seed: int, faults: Faults = Faults()) -> None:
        self.seed = seed
        self.faults = faults
        self.random = Random(seed)  # noqa: S311 - must be repeatable
        self.clock = SettableClock()
        self.ids = SeededIds(seed)
        self.trace: list[str] = []
        self._names: list[str] = []
        self._steps: list[Callable[[], object]] = []
        self._weights: list[float] = []
        self._depth = 0

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return probability > 0 and self.random.random() < probability

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(what)

    def actor(self, name: str, step: Callable[[], object], weight: float = 1) -> None:
        """Add an actor, which does `step` in its turns; turns are drawn by `weight`."""
        self._names.append(name)
        self._steps.append(step)
        self._weights.append(weight)

    def process(self, name: str, start: Callable[["Life"], M]) -> "Process[M]":
        """Add a process; `start` builds what it works with."""
        return Process(self, name, start)

    def run(self, steps: int, after_each: Callable[[], object] = lambda: None) -> None:
        """Let actors have `steps` turns; `after_each` is called after each turn, to check invariants."""
        for _ in range(steps):
            self.step()
            after_each()

    def step(self) -> None:
        """Let one actor have a turn."""
        (turn,) = self.random.choices(range(len(self._steps)), self._weights)
        self.note(f"-- {self._names[turn]}")
        self._steps[turn]()

    def calm(self) -> None:
        """Stop all faults, and stop tracing seams."""
        self.faults = NO_FAULTS

    @property
    def is_calm(self) -> bool:
        return self.faults is NO_FAULTS

    def interrupt(self) -> None:
        """Maybe let other actors go first; called at seams outside of transactions."""
        if self._depth < MAX_DEPTH and self._steps and self.chance(self.faults.interleaved):
            self._depth += 1
            try:
                for _ in range(self.random.randint(1, 3)):
                    self.step()
            finally:
                self._depth -= 1


class Life(FailPoints):
    """A process from its start to its death: wrap its ports with `seams`, and give it `clock`."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        super().__init__(lambda _seam: False, lambda _seam: None)
        self._simulation = simulation
        self.name = name
        self.is_over = False
        self.seams = Seams(self)
        skew = simulation.faults.skew.total_seconds()
        offset = timedelta(seconds=simulation.random.uniform(-skew, skew)) if skew else timedelta()
        self.clock: Clock = SkewedClock(simulation.clock, offset)

    def reach(self, seam: str) -> None:
        simulation, faults = self._simulation, self._simulation.faults
        if simulation.is_calm:
            return
        simulation.note(f"{self.name} {seam}")
        if self.is_over or (faults.only_at in {None, seam} and simulation.chance(faults.crash)):
            simulation.note(f"{self.name} dies at {seam}")
            self.is_over = True
            raise Crash(seam)
        if seam.startswith("commit:") and simulation.chance(faults.connection_lost):
            simulation.note(f"{self.name} loses its connection at {seam}")
            raise ConnectionLost(f"The connection was lost at {seam}.")
        if seam == "commit:before" or seam.partition(".")[0] in REPOSITORIES:
            if seam.endswith(":before") and simulation.chance(faults.aborted):
                simulation.note(f"{self.name} is aborted at {seam}")
                raise TransactionAborted(f"The transaction was aborted at {seam}.")
            return
        # Outside of transactions.
        simulation.interrupt()
        if self.is_over:
            raise Crash(seam)


class Process(Generic[M]):
    """Calls functions with the object that `start` returned; the first call after a crash starts the process again."""

    def __init__(self, simulation: Simulation, name: str, start: Callable[[Life], M]) -> None:
        self._simulation = simulation
        self._start = start
        self.name = name
        self._lives = 0
        self._running: tuple[Life, M] | None = None

    def do(self, work: Callable[[M], T]) -> T:
        """Run `work`; raise `ProcessDied` if the process died before it returned."""
        life, memory = self._alive()
        try:
            answer = work(memory)
        except Crash:
            if not life.is_over:
                raise
            raise ProcessDied(f"{self.name} died.") from None
        if life.is_over:
            raise ProcessDied(f"{self.name} was killed.")
        return answer

    def kill(self) -> None:
        """End the process at its next seam; interrupted work is not continued."""
        if self._running is not None:
            self._simulation.note(f"{self._running[0].name} is killed")
            self._running[0].is_over = True

    def _alive(self) -> tuple[Life, M]:
        if self._running is None or self._running[0].is_over:
            self._lives += 1
            life = Life(self._simulation, f"{self.name}#{self._lives}")
            self._running = life, self._start(life)
        return self._running


class Broker(Generic[M]):
    """A message queue without order: messages may be `lost` or `doubled`, and `flush` loses all of them."""

    def __init__(self, simulation: Simulation, *, lost: float = 0.05, doubled: float = 0.05) -> None:
        self._simulation = simulation
        self._lost = lost
        self._doubled = doubled
        self.under_way: list[M] = []

    def publish(self, message: M) -> None:
        """Queue a message, or lose it."""
        if not self._simulation.chance(self._lost):
            self.under_way.append(message)

    def take(self) -> M | None:
        """Take any message, not necessarily the first; None if there is none."""
        if not self.under_way:
            return None
        place = self._simulation.random.randrange(len(self.under_way))
        if self._simulation.chance(self._doubled):
            return self.under_way[place]
        return self.under_way.pop(place)

    def flush(self) -> None:
        """Lose all messages."""
        self.under_way.clear()


class SkewedClock:
    """The clock of a machine that is ahead of `clock` by `offset`."""

    def __init__(self, clock: Clock, offset: timedelta) -> None:
        self._clock = clock
        self._offset = offset

    def now(self) -> datetime:
        return self._clock.now() + self._offset


class SeededIds:
    """Identifiers that depend on the seed only."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"ids {seed}")  # noqa: S311 - must be repeatable

    def command(self) -> CommandId:
        return CommandId(UUID(int=self._random.getrandbits(128), version=4))

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


def explore(seeds: Iterable[int], run: Callable[[Simulation], object], faults: Faults = Faults()) -> int:
    """Run `run` once with each seed; return how many runs there were.

    An exception gets a note with the seed and the end of the trace.
    """
    count = 0
    for seed in seeds:
        simulation = Simulation(seed, faults)
        try:
            with no_backoff():
                run(simulation)
        except Exception as error:
            last = "\n  ".join(simulation.trace[-TRACE_LINES:])
            error.add_note(f"This was seed {seed}: explore([{seed}], …) replays it. Its trace ends with:\n  {last}")
            raise
        count += 1
    return count
