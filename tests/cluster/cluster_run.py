"""Runs one fault after the other under load, and waits after each until the cluster is healthy again."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import define, field

from tests.cluster import network
from tests.cluster.engine import Engine
from tests.cluster.faults import Fault
from tests.cluster.load import Load
from tests.cluster.node import Node, Programs
from tests.cluster.patroni_api import NotHealthy, await_healthy, fetch_members, is_primary, reinitialize
from tests.cluster.services import Supervisor

CALM: Final = 2.0
"""Seconds of load before a fault, in which buyers order the product with few units that was just listed."""
HOLD: Final = 6.0
"""Seconds from the election to the end of the fault, in which the former primary is still away."""
SETTLE: Final = 3.0
"""Seconds of load after the cluster is healthy again, which belong to the round."""
SCARCE_UNITS: Final = 150
ELECTION_SECONDS: Final = 120.0
HEALTHY_SECONDS: Final = 300.0
REINITIALIZE_SECONDS: Final = 90.0
"""Seconds after which a member that does not follow is copied anew, as the runbook says."""


class NoElection(Exception):
    """No node became the primary in time."""


@define
class Round:
    """One fault. Times are in seconds of `time.monotonic`. `elected_at`: when the new leader took writes; `over_at`:
    the end of the round, with some seconds after the cluster was healthy again.
    """

    number: int
    fault: str
    moment: str
    former: str
    leader: str = ""
    begun: float = 0.0
    elected_at: float = 0.0
    ended_at: float = 0.0
    healthy_at: float = 0.0
    over_at: float = 0.0
    reinitialized: list[str] = field(factory=list)
    restarts: dict[str, int] = field(factory=dict)
    """How often each process of the engine ended by itself, if it did."""

    @property
    def election(self) -> float:
        return self.elected_at - self.begun


class ClusterRun:
    """A cluster, an engine and its clients; `rounds` are the faults that are over."""

    def __init__(self, nodes: Sequence[Node], engine: Engine, load: Load, say: Callable[[str], None]) -> None:
        self.nodes = nodes
        self.engine = engine
        self.load = load
        self._report = say
        self.label = ""
        """The beginning of each line of progress."""
        self.rounds: list[Round] = []

    def run_round(self, number: int, fault: Fault) -> Round:
        self._say("waiting for a healthy cluster")
        leader = await_healthy(self.nodes, HEALTHY_SECONDS)
        self.load.offer_scarce(SCARCE_UNITS)
        time.sleep(CALM)
        ends = {service.name: service.ends for service in self.engine.services}
        found = Round(number, fault.name, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", leader.name)
        self._say(f"{fault.name} of {leader.name}, waiting for a leader")
        found.begun = time.monotonic()
        fault.begin(leader)
        try:
            candidates = [node for node in self.nodes if not fault.moves or node is not leader]
            elected, found.elected_at = await_election(candidates)
            found.leader = elected.name
            self._say(f"{elected.name} is the leader after {found.election:.1f} s")
            time.sleep(HOLD)
        finally:
            fault.end(leader)
        found.ended_at = time.monotonic()
        self._say("the fault is over, waiting for a healthy cluster")
        found.reinitialized = self._recover()
        found.healthy_at = time.monotonic()
        time.sleep(SETTLE)
        found.over_at = time.monotonic()
        found.restarts = {
            service.name: service.ends - ends[service.name]
            for service in self.engine.services
            if service.ends > ends[service.name]
        }
        self.rounds.append(found)
        return found

    def _say(self, text: str) -> None:
        self._report(self.label + text)

    def _recover(self) -> list[str]:
        """Wait until the cluster is healthy; return the members that had to be copied anew."""
        try:
            await_healthy(self.nodes, REINITIALIZE_SECONDS)
        except NotHealthy:
            stuck = {
                member.name for member in fetch_members(self.nodes) if member.state not in {"running", "streaming"}
            }
            for node in self.nodes:
                if node.name in stuck:
                    reinitialize(node)
            await_healthy(self.nodes, HEALTHY_SECONDS)
            return sorted(stuck)
        return []


def await_election(candidates: Sequence[Node]) -> tuple[Node, float]:
    """The first of the nodes that Patroni says is the primary and that takes writes, and the time of this."""
    found: list[tuple[float, Node]] = []
    over = threading.Event()

    def watch(node: Node) -> None:
        # A thread for each node, because one that is frozen or cut off answers nothing.
        while not over.is_set():
            if is_primary(node):
                found.append((time.monotonic(), node))
                over.set()
            over.wait(0.05)

    until = threading.Timer(ELECTION_SECONDS, over.set)
    until.start()
    with ThreadPoolExecutor(len(candidates)) as pool:
        list(pool.map(watch, candidates))
    until.cancel()
    if not found:
        raise NoElection(f"No leader after {ELECTION_SECONDS:.0f} s: {fetch_members(candidates)}")
    moment, node = min(found, key=lambda each: each[0])
    return node, moment


@contextmanager
def cluster(directory: Path, programs: Programs, logs: Path) -> Iterator[list[Node]]:
    """Three nodes that are healthy."""
    nodes = []
    for number in network.NODES:
        home = directory / f"node-{number}"
        nodes.append(Node(number, home, programs, logs))
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.kill)
        stack.enter_context(Supervisor([service for node in nodes for service in node.services]))
        for node in nodes:
            node.start()
        await_healthy(nodes, HEALTHY_SECONDS)
        yield nodes
