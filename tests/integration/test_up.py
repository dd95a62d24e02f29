"""`scalecommerce up`: the whole engine by one command."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from adapters.db.core.connect_errors import CONNECTION_REFUSED
from adapters.embedded.redis import EmbeddedRedis
from entrypoints.processes import child_process
from entrypoints.processes.child_process import ChildProcess
from entrypoints.processes.data_directory import DataDirectory
from entrypoints.processes.errors import CannotRun
from entrypoints.processes.fork_client import ForkServerClient
from tests.integration.engine_process import PATIENCE, EngineProcess, eventually, run

ORDERS = "/orders/api/v1/"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One engine with the demo market for all tests that do not change its processes."""
    engine = EngineProcess(tmp_path_factory.mktemp("demo"), "--demo", "--no-traffic")
    try:
        assert engine.url
        yield engine
    finally:
        engine.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Start engines in directories of this test; they are stopped at its end."""
    started: list[EngineProcess] = []

    def begin(name: str, *options: str, **more: str) -> EngineProcess:
        started.append(EngineProcess(tmp_path / name, *options, **more))
        return started[-1]

    yield begin
    for engine in started:
        engine.end()


def paste(engine: EngineProcess) -> dict[str, Any]:
    """Execute the printed lines in a shell."""
    eventually(lambda: "quantity" in engine.out, "the demo's lines")
    commands = engine.out[engine.out.index("TOKEN=") :]
    done = subprocess.run(["bash", "-euc", commands], capture_output=True, text=True, check=True)
    order: dict[str, Any] = json.loads(done.stdout)
    return order


def test_a_ready_engine_prints_one_line(demo: EngineProcess) -> None:
    lines = [line for line in demo.out.splitlines() if demo.url in line and "Ready" in line]
    assert len(lines) == 1
    assert f"{demo.url}/docs" in lines[0]
    assert demo.data.name in lines[0]
    assert demo.err == ""


def test_the_printed_pages_exist(demo: EngineProcess) -> None:
    status, ready = demo.request("/readyz")
    assert (status, ready["status"]) == (200, "ok")


def test_the_printed_curl_places_an_order(demo: EngineProcess) -> None:
    order = paste(demo)
    assert order["status"] == "PENDING"
    assert order["order_items"][0]["quantity"] == 1


def test_the_printed_accounts_have_their_rights(demo: EngineProcess) -> None:
    emails = demo.log_ins()
    assert set(emails) == {"buyer", "seller", "staff"}
    token = demo.token(emails["seller"])
    # The worker adds the seeded orders to the statistics.
    eventually(lambda: demo.request("/products/api/v1/seller-stats/", token=token)[1]["total_products"], "statistics")
    assert demo.request("/users/api/v1/", token=demo.token(emails["staff"]))[0] == 200
    assert demo.request("/users/api/v1/", token=demo.token(emails["buyer"]))[0] == 403


def test_an_accepted_order_is_decided(demo: EngineProcess) -> None:
    token = demo.token(demo.log_ins()["buyer"])
    _, page = demo.request("/products/api/v1/?in_stock=true")
    product = page["results"][0]["id"]
    status, order = demo.request(ORDERS, token=token, body={"order_item": [{"product": product, "quantity": 1}]})
    assert status == 202
    assert order["status"] in {"CREATED", "PENDING"}

    def decided() -> bool:
        return bool(demo.request(f"{ORDERS}{order['id']}/", token=token)[1]["status"] == "PENDING")

    eventually(decided, "the verdict")


def test_files_with_secrets_are_private(demo: EngineProcess) -> None:
    for name in ("jwt-secret", "engine.json"):
        assert stat.S_IMODE((demo.data / name).stat().st_mode) == 0o600
    secret = (demo.data / "jwt-secret").read_bytes()
    for pid in demo.processes():
        for place in ("cmdline", "environ"):
            assert secret not in Path(f"/proc/{pid}/{place}").read_bytes()


def test_commands_in_the_same_directory_use_its_engine(demo: EngineProcess) -> None:
    assert json.loads(run("stock", "verify", "--json", cwd=demo.directory).stdout)["clean"] is True
    assert "revision" in run("migrate", cwd=demo.directory).stdout
    elsewhere = run("stock", "verify", "--json", "--data", str(demo.data), cwd=Path("/"))
    assert elsewhere.returncode == 0


def test_a_directory_has_one_engine(demo: EngineProcess) -> None:
    second = run("up", "--port", "0", cwd=demo.directory)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"Another engine (process {demo.process.pid}) runs in {demo.data} and answers at {demo.url}."
        " Stop that one first, or choose another directory with --data.\n"
    )


def test_a_taken_port_is_reported_before_data_are_created(demo: EngineProcess, tmp_path: Path) -> None:
    port = demo.url.rpartition(":")[2]
    second = run("up", "--port", port, "--data", "new", cwd=tmp_path)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith(f"Port {port} of 127.0.0.1 is taken by another program.")
    assert not (tmp_path / "new" / "postgresql").exists()


def test_a_port_of_another_listener_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = str(other.getsockname()[1])
        done = run("up", "--port", port, cwd=tmp_path)
        alone = run(
            "serve", "--port", port, cwd=tmp_path,
            DATABASE_URL="postgresql://nobody@127.0.0.1:1/x", REDIS_URL="redis://127.0.0.1:1", JWT_SECRET="s" * 40,
        )  # fmt: skip
    assert (done.returncode, alone.returncode) == (1, 1)
    assert "is taken by another program" in done.stderr
    assert "is taken by another program" in alone.stderr


@pytest.mark.parametrize(("path", "reason"), [("file", "File exists"), ("file/below", "Not a directory")])
def test_an_unusable_directory_is_reported_at_once(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    done = run("up", "--port", "0", "--data", path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{tmp_path / path} cannot be used as a data directory: {reason}. Choose another one with --data.\n"
    )


def test_a_killed_engine_leaves_no_process_and_recovers(start: Any) -> None:
    engine = start("shop", "--demo", "--no-traffic")
    before = paste(engine)
    token = re.search(r"^TOKEN=(\S+)$", engine.out, re.MULTILINE)
    assert token is not None
    assert engine.processes()
    engine.process.kill()
    engine.process.wait()
    eventually(lambda: not engine.processes(), "the end of what the killed engine had started")

    again = start("shop", "--demo", "--no-traffic")
    status, found = again.request(f"{ORDERS}{before['id']}/", token=token[1])  # a token from before the kill
    assert (status, found["total_amount"]) == (200, before["total_amount"])
    assert paste(again)["status"] == "PENDING"

    assert again.stop(signal.SIGTERM) == 0
    assert again.processes() == {}
    assert not (again.data / "engine.json").exists()
    assert again.err == (
        "Stopping after the requests and tasks in progress; Ctrl-C again stops at once …\n"
        "Stopped. The data stays in .scalecommerce.\n"
    )


def test_an_engine_started_after_a_kill_stops_leftover_processes(start: Any) -> None:
    engine = start("shop")
    assert engine.url
    left = engine.processes()
    engine.process.kill()
    engine.process.wait()
    again = start("shop")
    assert again.url
    assert not set(left) & set(again.processes())


def test_a_child_that_ends_is_restarted(demo: EngineProcess) -> None:
    url = demo.url
    for name in ("api", "worker"):
        os.kill(demo.child(name), signal.SIGKILL)

    def back() -> bool:
        return is_ready(demo) and demo.child("worker") in demo.processes()

    eventually(lambda: "The api has ended with signal SIGKILL" in demo.err, "what it says about the API")
    eventually(lambda: "The worker has ended with signal SIGKILL" in demo.err, "what it says about the worker")
    eventually(back, "the API and the worker")
    assert demo.url == url
    eventually(lambda: paste(demo)["status"] == "PENDING", "a decision by the new worker")
    demo._err.write_text("")


def test_two_engines_run_side_by_side(start: Any, demo: EngineProcess) -> None:
    other = start("other")
    assert other.url != demo.url
    assert other.request("/products/api/v1/")[1]["results"] == []
    assert other.stop(signal.SIGINT) == 0
    assert demo.request("/readyz")[0] == 200


def test_a_request_in_flight_is_answered_before_the_end(start: Any) -> None:
    engine = start("busy", "--demo", "--no-traffic", DECIDE_AT_INTAKE="false")
    token = engine.token(engine.log_ins()["buyer"])
    product = engine.request("/products/api/v1/?in_stock=true")[1]["results"][0]
    os.killpg(engine.child("worker"), signal.SIGSTOP)
    body = {"order_item": [{"product": product["id"], "quantity": 1}]}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(engine.request, ORDERS, token=token, body=body, Prefer="wait=20")
        listed = partial(engine.request, ORDERS, token=token)
        eventually(lambda: any(o["status"] == "CREATED" for o in listed()[1]["results"]), "the order")
        engine.process.terminate()
        eventually(lambda: "Shutting down" in (engine.data / "logs" / "api.log").read_text(), "the end of the API")
        os.killpg(engine.child("worker"), signal.SIGCONT)
        status, order = answer.result()
    assert (status, order["status"]) == (201, "PENDING")
    assert engine.process.wait(PATIENCE) == 0


def test_a_request_in_flight_is_answered_after_the_end_of_the_fork_server(start: Any) -> None:
    engine = start("forks")
    address = urlsplit(engine.url)
    api = engine.child("api")
    fork_server = int(Path(f"/proc/{api}/stat").read_text().rpartition(")")[2].split()[1])
    with socket.create_connection((str(address.hostname), address.port or 0), PATIENCE) as client:
        client.sendall(b"POST /users/api/v1/token/ HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n")
        client.sendall(b"Expect: 100-continue\r\nContent-Length: 52\r\n\r\n")
        # The application reads the body.
        assert client.recv(65_536).startswith(b"HTTP/1.1 100")
        client.sendall(b'{"email": "nobody@example')
        os.kill(fork_server, signal.SIGKILL)
        eventually(lambda: "Shutting down" in (engine.data / "logs" / "api.log").read_text(), "the end of the API")
        client.sendall(b'.com", "password": "wrong"}')
        assert client.recv(65_536).startswith(b"HTTP/1.1 401")
    eventually(lambda: "The api is being restarted, because its fork server has ended" in engine.err, "the message")
    eventually(lambda: engine.child("api") != api and is_ready(engine), "the new API")
    engine._err.write_text("")


def is_ready(engine: EngineProcess) -> bool:
    try:
        return engine.request("/readyz")[0] == 200
    except OSError:
        return False


def test_a_second_signal_ends_the_engine_at_once(start: Any) -> None:
    engine = start("stuck")
    assert engine.url
    os.killpg(engine.child("worker"), signal.SIGSTOP)
    engine.process.send_signal(signal.SIGINT)
    eventually(lambda: "shutdown completed" in (engine.data / "logs" / "api.log").read_text(), "the end of the API")
    engine.process.send_signal(signal.SIGINT)
    assert engine.process.wait(15) == 0  # a drain would take longer
    assert engine.processes() == {}


def test_servers_of_the_environment_are_used_and_not_stopped(
    start: Any, database: str, redis_server: EmbeddedRedis, redis_url: str
) -> None:
    engine = start("outside", "--demo", "--no-traffic", DATABASE_URL=database, REDIS_URL=redis_url)
    assert paste(engine)["status"] == "PENDING"
    assert not (engine.data / "postgresql").exists()
    assert not (engine.data / "redis").exists()
    assert engine.stop() == 0
    assert redis_server.running
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() != (0,)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, CONNECTION_REFUSED),
        (
            {"REDIS_URL": "redis://127.0.0.1:1/0"},
            "Redis cannot be reached: nothing accepts connections at the address in REDIS_URL.",
        ),
    ],
)
def test_an_unreachable_server_of_the_environment_is_reported(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    done = run("up", "--port", "0", cwd=tmp_path, **variables)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(said)


def test_a_child_in_a_crash_loop_stops_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "MAX_RESTART_DELAY", 0.01)
    fork_server = ForkServerClient(DataDirectory(tmp_path))
    child = ChildProcess(fork_server, "beat", [], tmp_path / "beat.log")
    child.send_settings({"JWT_SECRET": "short"})
    child.start()

    def restart_repeatedly() -> bool:
        child.restart_if_dead()
        return False

    with pytest.raises(CannotRun, match=r"The beat has ended 5 times within 60 s \(last with status 1\)"):
        eventually(restart_repeatedly, "the crash-loop limit")
    assert "it must have at least 32 bytes" in child.tail_log()
    fork_server.close()
