"""The faults of the primary."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen

from tests.cluster.network import Side
from tests.cluster.node import Node
from tests.cluster.patroni_api import switch_over


@frozen
class Fault:
    """`begin` and `end` change the node of the primary. `moves`: whether another node must become the primary."""

    name: str
    description: str
    begin: Callable[[Node], None]
    end: Callable[[Node], None]
    moves: bool = True


def _nothing(_node: Node) -> None:
    """The node recovers by itself."""


def _switch_over(leader: Node) -> None:
    """Request a switchover, and do not wait for it. If it fails, no other leader is found, and the test fails."""

    def request() -> None:
        with suppress(OSError):
            switch_over(leader)

    threading.Thread(target=request, daemon=True).start()


FAULTS: Final = (
    Fault("kill", "SIGKILL of PostgreSQL, Patroni and etcd of the node", Node.kill, Node.start),
    Fault("crash", "SIGKILL of PostgreSQL, which Patroni starts again", Node.kill_postgres, _nothing, moves=False),
    Fault("freeze", "SIGSTOP of all processes of the node, later SIGCONT", Node.freeze, Node.thaw),
    Fault(
        "partition",
        "the node is cut off from clients and peers; packets are dropped",
        lambda node: node.cut(*Side),
        Node.heal,
    ),
    Fault(
        "isolation",
        "the node is cut off from its peers, clients reach the former primary",
        lambda node: node.cut(Side.PEERS),
        Node.heal,
    ),
    Fault(
        "zombie",
        "SIGSTOP of Patroni alone: the former primary continues beside the new one",
        Node.freeze_patroni,
        Node.thaw,
    ),
    Fault("switchover", "a planned change of the primary", _switch_over, _nothing),
)


def choose_faults(seed: int, names: Sequence[str]) -> Iterator[Fault]:
    """The faults with these names, each once before any is repeated, in an order that depends on the seed alone."""
    generator = random.Random(seed)
    chosen = [fault for fault in FAULTS if fault.name in names]
    while True:
        turn = chosen.copy()
        generator.shuffle(turn)
        yield from turn
