"""What Patroni and etcd report about the cluster, by their HTTP interfaces."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from tests.cluster.node import Node
from tests.project.compose_files import HA, environment

TIMEOUT: Final = 2.0
SWITCHOVER_TIMEOUT: Final = 60.0
PAUSE: Final = 0.1
# No proxy between the test and the nodes.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotHealthy(Exception):
    """The cluster did not become healthy in time; the message has its state."""


@frozen
class Member:
    name: str
    role: str
    state: str

    @property
    def is_leader(self) -> bool:
        return self.role == "leader" and self.state == "running"


def fetch_members(nodes: Sequence[Node]) -> list[Member]:
    """The members by the first node that answers; empty if none does."""
    for node in nodes:
        document = _get(f"http://{node.address}:8008/cluster")
        if document is not None:
            return [Member(each["name"], each["role"], each.get("state", "")) for each in document["members"]]
    return []


def find_leader(nodes: Sequence[Node]) -> Node | None:
    leaders = [member.name for member in fetch_members(nodes) if member.is_leader]
    return next((node for node in nodes if [node.name] == leaders), None)


def is_healthy(nodes: Sequence[Node]) -> bool:
    """Whether there are a leader and two standbys that follow it, one of them synchronous, and all members of etcd."""
    members = fetch_members(nodes)
    roles = sorted(member.role for member in members)
    return (
        roles == ["leader", "replica", "sync_standby"]
        and all(member.state == ("running" if member.is_leader else "streaming") for member in members)
        and all(_get(f"http://{node.address}:2379/health") == {"health": "true"} for node in nodes)
    )


def is_primary(node: Node) -> bool:
    """Whether Patroni of the node says that it has the leader key, and its PostgreSQL takes writes."""
    return _get(f"http://{node.address}:8008/primary") is not None and node.is_writable()


def await_healthy(nodes: Sequence[Node], seconds: float) -> Node:
    """Wait until the cluster is healthy, and return the leader."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_healthy(nodes) and (leader := find_leader(nodes)):
            return leader
        time.sleep(PAUSE)
    raise NotHealthy(f"The cluster is not healthy after {seconds:.0f} s: {fetch_members(nodes)}")


def switch_over(leader: Node) -> None:
    """Ask Patroni for another leader; return when it has made one or failed."""
    _post(leader, "switchover", {"leader": leader.name})


def reinitialize(node: Node) -> None:
    """Let the node copy the leader anew, as `patronictl reinit` does."""
    _post(node, "reinitialize", {"force": True})


def _get(url: str) -> Any:
    """The JSON document of a 200, otherwise None."""
    try:
        with _OPENER.open(url, timeout=TIMEOUT) as response:
            return json.loads(response.read())
    except (OSError, ValueError):
        return None


def _post(node: Node, action: str, body: dict[str, Any]) -> None:
    variables = environment(HA, node.name)
    credentials = f"{variables['PATRONI_RESTAPI_USERNAME']}:{variables['PATRONI_RESTAPI_PASSWORD']}"
    headers = {
        "Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(f"http://{node.address}:8008/{action}", json.dumps(body).encode(), headers)
    with _OPENER.open(request, timeout=SWITCHOVER_TIMEOUT):
        pass
