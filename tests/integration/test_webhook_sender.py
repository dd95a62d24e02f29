"""The webhook sender over real sockets and TLS, with receivers on this machine."""

import asyncio
import logging
import ssl
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.webhooks.network import Resolve
from adapters.webhooks.sender import NOT_CONNECTED, NOT_CONNECTED_HERE, HttpWebhookSender
from scalecommerce_core.domain.web_address import Address
from scalecommerce_core.domain.webhook import ANSWER_LENGTH, WebhookAnswer
from scalecommerce_core.ports import OutgoingWebhook
from tests.integration.receiver import Receiver, answering, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def message(url: str, body: bytes = b"{}", **headers: str) -> OutgoingWebhook:
    return OutgoingWebhook(url, {"content-type": "application/json", **headers}, body)


PUBLIC = "93.184.216.34"


def send(url: str, **options: Any) -> WebhookAnswer:
    (answer,) = HttpWebhookSender(allow_loopback=True, **options).send([message(url)])
    return answer


def test_a_message_arrives_unchanged(receiver: Receiver) -> None:
    sender = HttpWebhookSender(allow_loopback=True)
    body = '{"name": "Чай"}'.encode()
    url = f"http://localhost:{receiver.port}/hooks?shop=1"
    (answer,) = sender.send([message(url, body, **{"webhook-id": "msg_1"})])
    assert (answer.status, answer.body, answer.error, answer.is_success) == (200, b"thanks", None, True)
    ((path, headers, received),) = receiver.received
    assert (path, received) == ("/hooks?shop=1", body)
    assert headers["host"] == f"localhost:{receiver.port}"
    assert headers["webhook-id"] == "msg_1"
    assert headers["content-length"] == str(len(body))


def test_results_are_in_the_order_of_the_messages(receiver: Receiver) -> None:
    receiver.act = lambda request: answering(200, request.path.encode())(request)
    urls = [f"http://127.0.0.1:{receiver.port}/{n}" for n in range(30)]
    answers = HttpWebhookSender(allow_loopback=True).send([message(url) for url in urls])
    assert {answer.error for answer in answers} == {None}
    assert [answer.body for answer in answers] == [f"/{n}".encode() for n in range(30)]
    assert HttpWebhookSender().send([]) == []


def test_loopback_receivers_need_permission(receiver: Receiver) -> None:
    (answer,) = HttpWebhookSender().send([message(f"http://localhost:{receiver.port}/")])
    assert answer.error == NOT_CONNECTED
    assert receiver.received == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.act = answering(status, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")
    answer = send(f"http://127.0.0.1:{receiver.port}/here")
    assert (answer.status, answer.is_success) == (status, False)
    assert [path for path, _, _ in receiver.received] == ["/here"]


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(f"http://127.0.0.1:{receiver.port}/").status == 200


def test_only_the_beginning_of_a_response_is_read(receiver: Receiver) -> None:
    def act(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:  # until the client closes the connection
            request.wfile.write(b"a" * 65_536)

    receiver.act = act
    answer = send(f"http://127.0.0.1:{receiver.port}/")
    assert (answer.status, answer.body) == (200, b"a" * ANSWER_LENGTH)


@pytest.mark.parametrize("drip", [b"", b"a"], ids=["silent", "dripping"])
def test_a_slow_receiver_times_out_and_does_not_delay_others(receiver: Receiver, drip: bytes) -> None:
    ended = threading.Event()

    def act(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/slow":
            if drip:
                request.send_response(200)
                request.end_headers()
            while not ended.wait(0.05):
                request.wfile.write(drip)
        else:
            answering(200)(request)

    receiver.act = act
    sender = HttpWebhookSender(allow_loopback=True, timeout=timedelta(seconds=1))
    slow, quick = sender.send([message(f"http://127.0.0.1:{receiver.port}/{name}") for name in ("slow", "quick")])
    ended.set()
    assert (slow.status, slow.error) == (None, "no answer within 1 s")
    assert quick.status == 200


def test_refused_connections_and_responses_that_are_not_http_are_errors(receiver: Receiver) -> None:
    def act(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    receiver.act = act
    answer = send(f"http://127.0.0.1:{receiver.port}/")
    assert (answer.error or "").startswith("the answer is not HTTP")
    assert send("http://127.0.0.1:1/").error == NOT_CONNECTED_HERE["http"]


def test_the_owner_cannot_tell_why_there_was_no_connection(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A closed or filtered port, an unknown name and a private address look alike. On this machine, which only
    developers allow, a closed port and one that is not https have a text that names the scheme.
    """
    caplog.set_level(logging.INFO, "adapters.webhooks.sender")

    async def unknown(_host: str, _port: int) -> Sequence[Address]:
        raise OSError("no such name")

    class Filtered(httpcore2.AsyncMockBackend):
        async def connect_tcp(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

    class Closed(httpcore2.AsyncMockBackend):
        async def connect_tcp(self, *_: Any, **__: Any) -> Any:
            raise httpcore2.ConnectError("refused")

    here = [send("http://127.0.0.1:1/"), send(f"https://localhost:{receiver.port}/")]
    assert [(answer.status, answer.error, answer.took) for answer in here] == [
        (None, NOT_CONNECTED_HERE[scheme], timedelta(0)) for scheme in ("http", "https")
    ]
    answers = [
        send("https://example.com/", resolve=Names([PUBLIC]), network=Closed([])),
        send("https://example.com/", resolve=Names([PUBLIC]), network=Filtered([]), timeout=timedelta(seconds=0.2)),
        send("https://example.com/", resolve=unknown),
        send("https://example.com/", resolve=Names(["10.0.0.1"])),
        send("https://example.com/", resolve=Names([])),
    ]
    assert {(answer.status, answer.error, answer.took) for answer in answers} == {(None, NOT_CONNECTED, timedelta(0))}
    assert [record.getMessage().split(": ", 2)[1] for record in caplog.records] == [
        *("no connection", "no connection", "no connection"),
        *("no answer within 0.2 s", "no connection", "refused", "no connection"),
    ]  # fmt: skip


def test_a_message_has_a_timeout_of_its_own(receiver: Receiver) -> None:
    ended = threading.Event()

    def act(_request: BaseHTTPRequestHandler) -> None:
        ended.wait(30)

    receiver.act = act
    short = OutgoingWebhook(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", timedelta(seconds=0.2))
    (answer,) = HttpWebhookSender(allow_loopback=True).send([short])
    ended.set()
    assert answer.error == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("given", "wait"),
    [
        ("120", timedelta(seconds=120)),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, timedelta(seconds=10**8)),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
        ("Mon, 01 Jan 2024 " + "9" * 23 + ":00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds(receiver: Receiver, given: str, wait: timedelta | None) -> None:
    receiver.act = answering(503, Retry_After=given)
    assert send(f"http://127.0.0.1:{receiver.port}/").retry_after == wait


def test_retry_after_is_read_as_a_date(receiver: Receiver) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    receiver.act = answering(429, Retry_After=at.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    wait = send(f"http://127.0.0.1:{receiver.port}/").retry_after
    assert wait is not None
    assert timedelta(hours=1) < wait <= timedelta(hours=2)


# --- addresses


class Names:
    """A resolver that returns the next of its prepared results on each call."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        assert port
        self.asked.append(host)
        return [ip_address(each) for each in self._answers.pop(0)]


class Wire(httpcore2.AsyncMockBackend):
    """Logs the addresses of its connections and responds with 200."""

    def __init__(self, *, silent: Sequence[str] = ()) -> None:
        super().__init__([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
        self.connected: list[tuple[str, int]] = []
        self._silent = silent

    async def connect_tcp(self, host: str, port: int, *more: Any, **named: Any) -> Any:
        self.connected.append((host, port))
        if host in self._silent:
            raise httpcore2.ConnectError("refused")
        return await super().connect_tcp(host, port, *more, **named)


def sent_by_name(names: Resolve, wire: Wire, *urls: str) -> list[WebhookAnswer]:
    sender = HttpWebhookSender(resolve=names, network=wire)
    return [sender.send([message(url)])[0] for url in urls]


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    names, wire = Names(["93.184.216.34"]), Wire()
    (answer,) = sent_by_name(names, wire, "https://receiver.example.com:8443/")
    assert answer.status == 200
    assert names.asked == ["receiver.example.com"]
    assert wire.connected == [("93.184.216.34", 8443)]


def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    names, wire = Names(["93.184.216.34"], ["127.0.0.1"], ["169.254.169.254"], ["::ffff:10.0.0.1"]), Wire()
    first, *others = sent_by_name(names, wire, *["https://receiver.example.com/"] * 4)
    assert first.status == 200
    assert [answer.error for answer in others] == [NOT_CONNECTED] * 3
    assert wire.connected == [("93.184.216.34", 443)]


def test_every_address_of_a_name_must_be_public() -> None:
    wire = Wire()
    (answer,) = sent_by_name(Names(["93.184.216.34", "10.0.0.1"]), wire, "https://receiver.example.com/")
    assert answer.error == NOT_CONNECTED
    assert wire.connected == []


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    wire = Wire(silent=["93.184.216.34"])
    (answer,) = sent_by_name(Names(["93.184.216.34", "1.1.1.1"]), wire, "https://receiver.example.com/")
    assert answer.status == 200
    assert wire.connected == [("93.184.216.34", 443), ("1.1.1.1", 443)]


def test_localhost_with_a_public_address_is_refused() -> None:
    wire = Wire()
    sender = HttpWebhookSender(allow_loopback=True, resolve=Names(["93.184.216.34"]), network=wire)
    (answer,) = sender.send([message("http://localhost:8080/")])
    assert answer.error == NOT_CONNECTED_HERE["http"]
    assert wire.connected == []


def test_a_name_without_an_address_is_an_error() -> None:
    wire = Wire()
    (answer,) = sent_by_name(Names([]), wire, "https://receiver.example.com/")
    assert answer.error == NOT_CONNECTED


# --- TLS


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server with a certificate for `name`, and a context that trusts its authority."""
    now = datetime.now(UTC)

    def made(subject: str, key: Any, issuer: str, signer: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(signer, hashes.SHA256())

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = made(
        "authority", authority_key, "authority", authority_key, x509.BasicConstraints(ca=True, path_length=None)
    )
    leaf = made(name, key, "authority", authority_key, x509.SubjectAlternativeName([x509.DNSName(name)]))
    chain, private = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, private)
    trusting = ssl.create_default_context(cadata=authority.public_bytes(serialization.Encoding.PEM).decode())
    return server, trusting


def test_a_certificate_for_the_name_is_accepted(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "localhost")
    with receiving(server) as receiver:
        url = f"https://localhost:{receiver.port}/"
        assert send(url, ssl_context=trusting).status == 200
        stranger = send(url)
        by_address = send(f"https://127.0.0.1:{receiver.port}/", ssl_context=trusting)
    for refused in (stranger, by_address):
        assert refused.status is None
        assert refused.error == NOT_CONNECTED_HERE["https"]
    assert len(receiver.received) == 1


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "other.example.com")
    with receiving(server) as receiver:
        answer = send(f"https://localhost:{receiver.port}/", ssl_context=trusting)
    assert answer.error == NOT_CONNECTED_HERE["https"]
    assert receiver.received == []
