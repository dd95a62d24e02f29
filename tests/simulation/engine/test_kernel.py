"""The simulation kernel: deaths of processes, interleaved steps, and the message queue."""

from datetime import timedelta

import pytest

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.testing import MemoryStore
from scalecommerce_core.testing.failpoints import Crash
from scalecommerce_core.testing.simulation import NO_FAULTS, Broker, Faults, Life, ProcessDied, Simulation


def only(crash: float = 0, aborted: float = 0, connection_lost: float = 0, interleaved: float = 0) -> Faults:
    return Faults(crash, aborted, connection_lost, interleaved, timedelta())


class Memory:
    """The objects of a process: a list in memory, and a store."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.notes: list[str] = []
        self.store = life.seams.store(MemoryStore())

    def work(self) -> None:
        with self.store.begin() as tx:
            tx.categories.all()


def test_a_new_life_starts_without_the_memory_of_the_last() -> None:
    process = Simulation(1, NO_FAULTS).process("server", Memory)
    process.do(lambda memory: memory.notes.append("first"))
    assert process.do(lambda memory: memory.notes) == ["first"]
    process.kill()
    assert process.do(lambda memory: memory.notes) == []
    assert process.do(lambda memory: memory.life.name) == "server#2"


def test_work_of_a_crashed_process_raises_process_died() -> None:
    process = Simulation(1, only(crash=1)).process("server", Memory)
    with pytest.raises(ProcessDied, match="server died"):
        process.do(Memory.work)


@pytest.mark.parametrize(
    ("faults", "error"), [(only(aborted=1), TransactionAborted), (only(connection_lost=1), ConnectionLost)]
)
def test_the_store_raises_its_faults(faults: Faults, error: type[Exception]) -> None:
    simulation = Simulation(1, faults)
    process = simulation.process("server", Memory)
    with pytest.raises(error):
        process.do(Memory.work)
    simulation.calm()
    process.do(Memory.work)


def test_others_go_on_before_who_is_interrupted_and_a_killed_one_does_not_go_on_at_all() -> None:
    simulation = Simulation(1, only(interleaved=1))
    victim = simulation.process("victim", Memory)
    seen: list[str] = []

    def kill() -> None:
        seen.append("killed")
        victim.kill()

    simulation.actor("killer", kill)

    def work(memory: Memory) -> None:
        with memory.store.begin():
            seen.append("began")

    with pytest.raises(ProcessDied):
        victim.do(work)
    assert set(seen) == {"killed"}


def test_a_process_killed_after_its_last_effect_does_not_answer() -> None:
    process = Simulation(1, NO_FAULTS).process("server", Memory)
    with pytest.raises(ProcessDied, match="was killed"):
        process.do(lambda _memory: process.kill())


def test_a_crash_outside_of_a_process_is_raised() -> None:
    process = Simulation(1, NO_FAULTS).process("server", Memory)

    def crash(_memory: Memory) -> None:
        raise Crash("elsewhere")

    with pytest.raises(Crash):
        process.do(crash)


def test_clocks_of_processes_differ() -> None:
    simulation = Simulation(1, Faults(skew=timedelta(seconds=5)))
    clocks = [simulation.process(name, lambda life: life.clock).do(lambda clock: clock) for name in ("one", "two")]
    apart = [abs(clock.now() - simulation.clock.now()) for clock in clocks]
    assert all(timedelta() < each <= timedelta(seconds=5) for each in apart)
    assert clocks[0].now() != clocks[1].now()


def test_messages_get_lost_doubled_and_reordered() -> None:
    simulation = Simulation(1)
    lossy, doubling, plain = (Broker[int](simulation, lost=p, doubled=d) for p, d in ((1, 0), (0, 1), (0, 0)))
    for number in range(10):
        for broker in (lossy, doubling, plain):
            broker.publish(number)
    assert lossy.take() is None
    assert doubling.take() is not None
    assert len(doubling.under_way) == 10
    taken = [plain.take() for _ in range(10)]
    assert sorted(filter(None, taken)) == list(range(1, 10))
    assert taken != sorted(range(10))
    doubling.flush()
    assert doubling.take() is None
