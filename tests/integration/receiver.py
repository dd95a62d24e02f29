"""A receiver of webhooks on this machine with configurable responses."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

from scalecommerce_core.domain.webhook import VERIFICATION

Act = Callable[[BaseHTTPRequestHandler], None]


def answering(status: int, body: bytes = b"", **headers: str) -> Act:
    def act(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return act


@define
class Receiver:
    """Verification messages are answered with their challenge and not recorded, unless `verifies` is false."""

    port: int
    verifies: bool = True
    act: Act = field(factory=lambda: answering(200, b"thanks"))
    received: list[tuple[str, dict[str, str], bytes]] = field(factory=list)


def _challenge(body: bytes) -> bytes:
    """The challenge of a verification message, else nothing."""
    try:
        message = json.loads(body)
        return str(message["data"]["challenge"]).encode() if message["type"] == VERIFICATION else b""
    except (ValueError, LookupError, TypeError):
        return b""


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if receiver.verifies and (challenge := _challenge(body)):
                answering(200, challenge)(self)
                return
            receiver.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            try:
                receiver.act(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """Print nothing: in some tests, clients end the connection during the TLS handshake."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
