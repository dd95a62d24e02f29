"""`make audit` compares every package of a deployment with known vulnerabilities, and fails if there is one."""

import json
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class Advisories(ThreadingHTTPServer):
    """Stands in for osv.dev: knows one vulnerability of the package `affected`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.affected = ""
        self.asked: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    server: Advisories

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.server.asked |= {each["package"]["name"]: each["version"] for each in queries}
        found = {"vulns": [{"id": "TEST-1", "modified": "2026-01-01T00:00:00Z"}]}
        self._answer({"results": [found if q["package"]["name"] == self.server.affected else {} for q in queries]})

    def do_GET(self) -> None:
        package = {"name": self.server.affected, "ecosystem": "PyPI"}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
        affected = [{"package": package, "ranges": ranges}]
        self._answer({"id": "TEST-1", "summary": "A test", "modified": "2026-01-01T00:00:00Z", "affected": affected})

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def advisories() -> Iterator[Advisories]:
    with Advisories() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(advisories: Advisories) -> subprocess.CompletedProcess[str]:
    at = f"--service-url http://127.0.0.1:{advisories.server_port}"
    return subprocess.run(
        ["make", "--silent", "audit", f"ARGS={at}"], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_all_packages_of_a_deployment_are_compared(advisories: Advisories) -> None:
    done = audit(advisories)
    assert done.returncode == 0, done.stderr
    locked = {each["name"]: each.get("version") for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert advisories.asked.items() <= locked.items()
    assert {"argon2-cffi", "celery", "cryptography", "granian", "psycopg-binary", "redis"} <= advisories.asked.keys()
    assert "pytest" not in advisories.asked


def test_a_known_vulnerability_fails(advisories: Advisories) -> None:
    advisories.affected = "redis"
    done = audit(advisories)
    assert done.returncode != 0
    assert "TEST-1" in done.stdout


def test_a_workflow_runs_it_every_week() -> None:
    # YAML reads the key `on` as true.
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text())
    assert "schedule" in workflow[True]
    assert any(step.get("run", "").endswith(" audit") for step in workflow["jobs"]["audit"]["steps"])
