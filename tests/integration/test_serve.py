"""`serve` as a process that is killed or gets many signals."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.deployment import Deployment
from tests.integration.engine_process import PATIENCE, eventually


@pytest.fixture
def api(tmp_path: Path, redis_url: str, database: str) -> Iterator[Deployment]:
    api = Deployment(tmp_path, database, redis_url, workers=2)
    api.start("serve")
    try:
        api.find()
        yield api
    finally:
        api.end()


def children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_server_leaves_no_process_on_its_port(api: Deployment) -> None:
    command = api.commands["serve"]
    workers = children(command.process.pid)
    assert len(workers) == 2
    command.process.kill()
    command.process.wait()
    eventually(lambda: not any(map(is_alive, workers)), "the end of the server's workers")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{api.url}/healthz")


def test_many_signals_end_the_server_like_one(api: Deployment) -> None:
    process = api.commands["serve"].process
    for _ in range(500):
        os.kill(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_a_signal_right_after_the_start_ends_the_server(tmp_path: Path, redis_url: str, database: str) -> None:
    """At that time, the workers still import their modules."""
    api = Deployment(tmp_path, database, redis_url)
    command = api.start("serve")
    eventually(lambda: children(command.process.pid), "a worker")
    command.stop()
    command.ended()
    assert "Killing worker" not in (tmp_path / "serve.log").read_text()
