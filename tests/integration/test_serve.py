"""`serve` as a process that is killed or gets many signals."""

import os
import signal
import socket
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


@pytest.fixture
def proxied(tmp_path: Path, redis_url: str, database: str) -> Iterator[Deployment]:
    """An API that trusts proxies on this machine, and answers for one domain."""
    api = Deployment(
        tmp_path,
        database,
        redis_url,
        TRUSTED_PROXIES="127.0.0.1",
        ALLOWED_HOSTS="shop.example",
        LOGIN_ATTEMPTS_PER_ADDRESS="10",
    )
    api.start("serve")
    try:
        api.find()
        yield api
    finally:
        api.end()


def status_line(url: str, request: bytes) -> str:
    """The first line of the response to a raw request, which may lack headers that every client sends."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline().decode().strip()


def test_the_headers_of_a_trusted_proxy_tell_address_and_host(proxied: Deployment) -> None:
    def forwarded(address: str, host: str = "shop.example") -> dict[str, str]:
        return {"X-Forwarded-For": address, "X-Forwarded-Proto": "https", "X-Forwarded-Host": host}

    assert httpx2.get(f"{proxied.url}/products/api/v1/", headers=forwarded("203.0.113.1")).status_code == 200
    strange = httpx2.get(f"{proxied.url}/products/api/v1/", headers=forwarded("203.0.113.1", "evil.example"))
    assert strange.status_code == 421

    def log_in(address: str, number: int) -> int:
        body = {"email": f"nobody-{number}@strangers.example", "password": "a wrong guess"}
        # The first address is the client's own text, which must not count.
        headers = forwarded(f"198.51.100.{number}, {address}")
        return httpx2.post(f"{proxied.url}/users/api/v1/token/", json=body, headers=headers).status_code

    answers = [log_in("203.0.113.1", number) for number in range(1, 13)]
    assert answers[0] == 401
    assert answers[-1] == 429, "one address is limited"
    assert log_in("203.0.113.2", 13) == 401, "others behind the same proxy are not"


def test_a_request_without_a_valid_host_is_refused(proxied: Deployment) -> None:
    url = proxied.url
    assert "400" in status_line(url, b"GET /products/api/v1/ HTTP/1.1\r\n\r\n")
    assert "400" in status_line(url, b"GET / HTTP/1.1\r\nHost: shop.example\r\nHost: evil.example\r\n\r\n")
    assert "200" in status_line(url, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert "200" in status_line(url, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert "404" in status_line(url, b"GET /products%2Fapi/v1/ HTTP/1.1\r\nHost: shop.example\r\n\r\n")
