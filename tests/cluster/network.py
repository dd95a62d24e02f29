"""The networks of the test: a namespace for each node, joined by two bridges.

Clients reach the nodes through one network, and the nodes each other through the other, so that a node can be cut off
from its peers, from the clients, or from both. The bridges are in the namespace of the test itself, which is private
(`sandbox`).
"""

import subprocess
from enum import Enum
from pathlib import Path
from typing import Final

from attrs import frozen

NODES: Final = (1, 2, 3)
NAMESPACES: Final = Path("/run/netns")
TEST_ADDRESS: Final = "10.77.0.1"
"""The address of engine and clients in the network of clients."""
FORWARDING: Final = 3
DISABLED: Final = 0
"""States of a port of a bridge. A disabled port drops all packets, and its link stays up, so neither
side detects it."""


class Side(Enum):
    """A network; the value is the third number of its addresses."""

    CLIENTS = 0
    PEERS = 1


@frozen
class Link:
    """The link of a node to a network."""

    node: int
    side: Side

    @property
    def address(self) -> str:
        return f"10.77.{self.side.value}.{10 + self.node}"

    @property
    def hardware_address(self) -> str:
        return f"02:00:00:77:{self.side.value:02x}:{10 + self.node:02x}"

    @property
    def port(self) -> str:
        """The interface at the bridge."""
        return f"{self.side.name.lower()}-{self.node}"

    @property
    def interface(self) -> str:
        """The interface inside the namespace of the node."""
        return f"eth{self.side.value}"


def namespace(node: int) -> str:
    return f"node-{node}"


def create() -> None:
    """Create all namespaces, bridges and links. They end with the namespace of the test."""
    NAMESPACES.mkdir(exist_ok=True)
    # `ip` binds each namespace to a name here; the kernel removes this file system with the namespace of mounts.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", NAMESPACES], check=True)
    lines = ["link set lo up"]
    for side in Side:
        bridge = side.name.lower()
        lines += [f"link add {bridge} address 02:00:00:77:{side.value:02x}:01 type bridge", f"link set {bridge} up"]
    lines += [f"addr add {TEST_ADDRESS}/24 dev {Side.CLIENTS.name.lower()}"]
    for node in NODES:
        lines += [f"netns add {namespace(node)}"]
        for side in Side:
            link = Link(node, side)
            lines += [
                f"link add {link.port} type veth peer name {link.interface} netns {namespace(node)}",
                f"link set {link.port} master {side.name.lower()} up",
            ]
        # Fixed neighbours: where packets are dropped, connecting must hang, and not fail because ARP has no answer.
        clients = Link(node, Side.CLIENTS)
        lines += [_neighbour(clients.address, clients.hardware_address, Side.CLIENTS.name.lower())]
    _ip(lines)
    for node in NODES:
        inside = ["link set lo up"]
        for side in Side:
            link = Link(node, side)
            inside += [
                f"link set {link.interface} address {link.hardware_address}",
                f"addr add {link.address}/24 dev {link.interface}",
                f"link set {link.interface} up",
            ]
        inside += [_neighbour(TEST_ADDRESS, "02:00:00:77:00:01", Link(node, Side.CLIENTS).interface)]
        for peer in (Link(other, Side.PEERS) for other in NODES if other != node):
            inside += [_neighbour(peer.address, peer.hardware_address, peer.interface)]
        _ip(inside, "-netns", namespace(node))


def set_link(link: Link, *, is_connected: bool) -> None:
    state = str(FORWARDING if is_connected else DISABLED)
    subprocess.run(["bridge", "link", "set", "dev", link.port, "state", state], check=True)


def process_ids(node: int) -> list[int]:
    """The processes in the namespace of a node."""
    listed = subprocess.run(["ip", "netns", "pids", namespace(node)], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


def _neighbour(address: str, hardware_address: str, interface: str) -> str:
    return f"neigh replace {address} lladdr {hardware_address} dev {interface} nud permanent"


def _ip(lines: list[str], *options: str) -> None:
    subprocess.run(["ip", *options, "-batch", "-"], input="\n".join(lines), text=True, check=True)
