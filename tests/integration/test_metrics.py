"""`/metrics` of a deployment: several API processes, a worker and beat."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually, run
from tests.integration.ports import free_port
from tests.integration.test_serve import children

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(port: int) -> Samples:
    response = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"scalecommerce_{name}", frozenset(labels.items())))


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str, database: str, port: int) -> Iterator[Deployment]:
    found = Deployment(tmp_path, database, redis_url, workers=2, METRICS_PORT=str(port))
    try:
        yield found
    finally:
        found.end()


def test_the_api_adds_up_its_processes_and_survives_the_death_of_one(deployment: Deployment, port: int) -> None:
    command = deployment.start("serve")
    deployment.find()
    before = value(scrape(port), "http_requests_total", route="/healthz", method="GET", status="2xx") or 0
    for _ in range(20):
        # A new connection each time, so that both processes get requests.
        assert httpx2.get(f"{deployment.url}/healthz").status_code == 200
    assert httpx2.get(f"{deployment.url}/nowhere/at/all").status_code == 404
    counted = value(scrape(port), "http_requests_total", route="/healthz", method="GET", status="2xx")
    assert counted == before + 20
    os.kill(children(command.process.pid)[0], signal.SIGKILL)
    command.says("Respawning worker")
    eventually(lambda: len(children(command.process.pid)) == 2 and _has_gauges(port, 2), "the second process")
    samples = scrape(port)
    assert (value(samples, "http_requests_total", route="/healthz", method="GET", status="2xx") or 0) >= counted
    assert value(samples, "http_requests_total", route="other", method="GET", status="4xx") == 1
    assert value(samples, "database_figures_read") == 1
    assert value(samples, "undecided_orders") == 0
    assert value(samples, "process_resident_memory_bytes", process="main") is not None
    assert value(samples, "process_resident_memory_bytes", process="2") is None
    assert httpx2.get(f"{deployment.url}/metrics").status_code == 404


def _has_gauges(port: int, processes: int) -> bool:
    """Whether so many processes have pools of twenty connections."""
    return value(scrape(port), "database_pool_limit") == 20 * processes


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_worker_and_beat_export_what_they_do(deployment: Deployment, port: int, program: str) -> None:
    deployment.start(program)
    other = "beat" if program == "worker" else "worker"
    deployment.start(other, METRICS_PORT="0")
    task = "scalecommerce.decide_orders"
    if program == "worker":
        name, count = "task_seconds_count", 2.0
    else:
        name, count = "beat_messages_total", 2.0

    def is_counted() -> bool:
        try:
            found = value(scrape(port), name, task=task)
        except httpx2.ConnectError:
            return False
        return found is not None and found >= count

    eventually(is_counted, f"{name} of {program}")
    samples = scrape(port)
    assert (value(samples, "database_figures_read") == 1) == (program == "worker")
    assert not any(name.startswith("scalecommerce_http_") for name, _ in samples)


def test_serve_refuses_the_port_of_the_api_for_metrics(tmp_path: Path, redis_url: str, database: str) -> None:
    taken = str(free_port())
    result = run(
        "serve", "--port", taken, cwd=tmp_path,
        DATABASE_URL=database, REDIS_URL=redis_url, JWT_SECRET="x" * 40, METRICS_PORT=taken,
    )  # fmt: skip
    assert result.returncode == 1
    assert f"METRICS_PORT {taken} is the port of the API" in result.stderr
