"""Over TLS, no client of Redis sends its password to a server whose certificate or host name is not right."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import define, field
from redis import Redis, RedisError

from adapters.redis.reachability import check_redis
from adapters.redis.servers import RedisServers
from adapters.redis.shared_cache import RedisSharedCache
from adapters.tasks.application import create_celery_app
from adapters.tasks.bounded_beat import BoundedBeat
from adapters.tasks.broker import create_publisher, is_worker_alive
from tests.integration.mail_server import make_certificate


@define
class TlsProxy:
    """Passes decrypted connections on to Redis, and keeps what clients sent."""

    port: int
    redis_url: str
    certificate: Path
    received: bytearray = field(factory=bytearray)

    def url(self, host: str, **parameters: str) -> str:
        password = urlsplit(self.redis_url).password
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"rediss://:{password}@{host}:{self.port}/0?{query}".removesuffix("?")


@pytest.fixture
def proxy(tmp_path: Path, redis_url: str) -> Iterator[TlsProxy]:
    context, _ = make_certificate(tmp_path)
    address = (urlsplit(redis_url).hostname, urlsplit(redis_url).port)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        proxy = TlsProxy(listener.getsockname()[1], redis_url, tmp_path / "certificate.pem")

        def accept() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(raw,), daemon=True).start()

        def serve(raw: socket.socket) -> None:
            with (
                raw,
                contextlib.suppress(OSError),
                context.wrap_socket(raw, server_side=True) as client,
                socket.create_connection(address) as redis,
            ):
                threading.Thread(target=pump, args=(redis, client), daemon=True).start()
                while sent := client.recv(65_536):
                    proxy.received += sent
                    redis.sendall(sent)

        def pump(redis: socket.socket, client: ssl.SSLSocket) -> None:
            with contextlib.suppress(OSError):
                while answer := redis.recv(65_536):
                    client.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield proxy
        # Closing alone would not end `accept`.
        listener.shutdown(socket.SHUT_RDWR)


def publish(url: str) -> bool:
    with create_publisher(url) as app, app.connection_for_write() as connection:
        return bool(connection.default_channel.client.ping())


def run_worker_application(url: str) -> bool:
    with create_celery_app(url, lambda: pytest.fail("no task runs")) as app, app.connection_for_read() as connection:
        return bool(connection.default_channel.client.ping())


def count_messages(url: str) -> bool:
    with create_publisher(url) as app:
        return bool(BoundedBeat(app, lazy=True)._count_messages() >= 0)


def check_worker(url: str) -> bool:
    # There is no worker: an answer of the broker is all that is needed.
    return not is_worker_alive(url, "scalecommerce@nowhere", 0.1)


def read_shared_cache(url: str) -> bool:
    return RedisSharedCache.at(RedisServers.parse(url), "1", 1)._redis.ping()


def ping(url: str) -> bool:
    with Redis.from_url(url) as redis:
        return bool(redis.ping())


CLIENTS = [publish, run_worker_application, count_messages, check_worker, read_shared_cache, ping]


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_verify_certificate_and_host_name(client: Callable[[str], bool], proxy: TlsProxy) -> None:
    unknown, other_host = proxy.url("127.0.0.1"), proxy.url("localhost", ssl_ca_certs=str(proxy.certificate))
    for url in (unknown, other_host):
        with pytest.raises(Exception, match="certificate verify failed"):
            client(url)
    assert proxy.received == b""
    assert client(proxy.url("127.0.0.1", ssl_ca_certs=str(proxy.certificate)))
    assert proxy.received


@pytest.mark.parametrize("client", CLIENTS)
def test_parameters_of_the_url_have_precedence(client: Callable[[str], bool], proxy: TlsProxy) -> None:
    assert client(proxy.url("localhost", ssl_cert_reqs="none", ssl_check_hostname="false"))
    assert client(proxy.url("localhost", ssl_ca_certs=str(proxy.certificate), ssl_check_hostname="false"))


def test_a_wrong_certificate_is_named_without_the_address(proxy: TlsProxy) -> None:
    with Redis.from_url(proxy.url("127.0.0.1")) as redis:
        with pytest.raises(RedisError):
            redis.ping()
        state, message = check_redis(redis)
    assert state == "away"
    assert "certificate" in message
    assert str(proxy.port) not in message
