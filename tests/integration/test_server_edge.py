"""What strangers can do to the HTTP server: attacks of `tests/attacks` in a short form, and each limit by itself."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from adapters.embedded.redis import EmbeddedRedis
from tests.attacks import http2
from tests.attacks.attack import Attack, unanswered
from tests.attacks.engine import AttackedEngine
from tests.attacks.runner import SHORT, run_attack
from tests.attacks.scripts.connections import SmallHalfBodies
from tests.attacks.scripts.headers import RepeatedAccept
from tests.attacks.scripts.memory import LargeHalfBodies
from tests.attacks.target import ATTACKER, Target
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually

LIMIT = 20
"""Connections per address, instead of 100."""
HONEST = "127.0.0.7"
HEAD = b"POST /users/api/v1/token/ HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis, make_database: Callable[[], str]
) -> Iterator[Deployment]:
    """An API with short deadlines, without worker."""
    api = Deployment(
        tmp_path_factory.mktemp("edge"),
        make_database(),
        redis_server.url,
        HEADER_SECONDS="2",
        BODY_SECONDS="2",
        RESPONSE_SECONDS="2",
        MAX_CONNECTIONS_PER_ADDRESS=str(LIMIT),
        HTTP2="true",
    )
    api.start("serve")
    try:
        api.find()
        yield api
    finally:
        api.end()


@pytest.fixture(scope="module")
def target(api: Deployment) -> Target:
    where = urlsplit(api.url)
    return Target(str(where.hostname), int(where.port or 80))


@pytest.fixture(scope="module")
def product(api: Deployment) -> int:
    made = api.person("lister").post(
        "/products/api/v1/", json={"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
    )
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


def read_to_end(connection: socket.socket) -> bytes:
    """What arrives until the server closes the connection."""
    connection.settimeout(20)
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    except TimeoutError:
        return b"not closed: " + received
    return received


# --- attacks


@pytest.mark.parametrize("attack", [RepeatedAccept(), LargeHalfBodies(), SmallHalfBodies()], ids=lambda each: each.name)
def test_honest_clients_are_answered_during_an_attack(
    api: Deployment, target: Target, product: int, attack: Attack
) -> None:
    attacked = AttackedEngine(Target(target.host, target.port, products=[product]), api.commands["serve"].process.pid)
    report = run_attack(attack, attacked, SHORT)
    assert report.figures.requests > 0
    assert report.during.honest["read"].count > 0
    assert unanswered(report) == []
    assert attack.check(report) == []


# --- deadlines


def test_connections_that_do_not_progress_are_closed(target: Target) -> None:
    """All at once, since each waits for its deadline."""
    expected = {
        b"": b"",
        b"GET / HTTP/1.1\r\nHost: shop\r\nX-Half: ": b"",
        b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n": b"HTTP/1.1 200 OK",
        HEAD + b"Content-Length: 100\r\n\r\n": b"HTTP/1.1 408 Request Timeout",
        HEAD + b'Content-Length: 100\r\n\r\n{"email": "half': b"HTTP/1.1 408 Request Timeout",
    }
    with ExitStack() as stack:
        connections = {sent: stack.enter_context(target.connect(HONEST)) for sent in expected}
        for sent, connection in connections.items():
            connection.sendall(sent)
        answers = {sent: read_to_end(connection).partition(b"\r\n")[0] for sent, connection in connections.items()}
    assert answers == expected


def test_a_client_that_does_not_read_its_responses_is_closed(target: Target) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.bind((HONEST, 0))
        connection.connect((target.host, target.port))
        connection.setblocking(False)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n"

        def is_closed() -> bool:
            try:
                connection.send(request)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        eventually(is_closed, "the end of the connection")


# --- sizes


def test_headers_over_the_limit_are_a_431(target: Target) -> None:
    with target.session(HONEST) as session:
        assert session.request("GET", "/products/api/v1/", X_Long="a" * 40_000).status == 431
        assert session.request("GET", "/products/api/v1/", Accept="a," * 5_000).status == 431
        assert session.request("GET", "/products/api/v1/" + "a" * 5_000).status == 414
        assert session.request("GET", "/products/api/v1/").status == 200


def test_http2_with_few_headers_is_answered_and_with_many_refused(target: Target, product: int) -> None:
    def exchange(*more: bytes) -> bytes:
        """The first byte of the response's header block, which is :status; empty if the request was refused."""
        authority = f"{target.host}:{target.port}".encode()
        block = http2.request_block(b"GET", f"/products/api/v1/{product}/".encode(), authority, more)
        received = bytearray()
        with target.connect(HONEST) as connection:
            connection.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            connection.sendall(http2.headers(1, block, end_stream=True))
            while data := connection.recv(65536):
                received += data
                for kind, _, _, payload in http2.read_frames(received):
                    if kind == http2.HEADERS:
                        return payload[:1]
                    if kind in {http2.RST_STREAM, http2.GOAWAY}:
                        return b""
        return b""

    status_200, status_431 = b"\x88", b"\x48"
    assert exchange() == status_200
    bomb = http2.header(b"accept", b"a," * 2_000, indexed=True) + http2.FIRST_DYNAMIC * 3_900
    assert exchange(bomb) in {b"", status_431}


# --- numbers


def test_connections_over_the_limit_of_an_address_are_closed_and_logged(api: Deployment, target: Target) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connect(ATTACKER)) for _ in range(3 * LIMIT)]
        # Their requests are answered, although the connections of the attacker are open.
        for number in range(1, 6):
            assert target.request("GET", "/healthz", address=f"127.0.3.{number}").status == 200
        eventually(lambda: sum(map(is_open, connections)) <= LIMIT, "the closing of connections")

    def logged() -> list[str]:
        lines = [json.loads(line) for line in api.commands["serve"].text().splitlines() if line.startswith("{")]
        return [line["detail"] for line in lines if line.get("address") == ATTACKER]

    assert "connections per address" in logged()


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
