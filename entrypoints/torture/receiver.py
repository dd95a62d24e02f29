"""A webhook receiver on this machine."""

import json
import threading
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from scalecommerce_core.domain.webhook import VERIFICATION

QUEUE: Final = 128
"""Connections that may wait while the machine is busy."""


class WebhookReceiver:
    """Agrees to receive messages, accepts every one and counts them by `webhook-id`."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self._server = _Server(("127.0.0.1", 0), _handler(self.received, threading.Lock()))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = QUEUE
    daemon_threads = True


def _handler(received: Counter[str], lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = self.rfile.read(length)
            if len(content) < length:
                return  # The sender was killed within the request: it was not received.
            message = json.loads(content)
            is_verification = message["type"] == VERIFICATION
            with lock:
                received[self.headers.get("webhook-id", "")] += not is_verification
            body = message["data"]["challenge"].encode() if is_verification else b""
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Suppresses the access log of the base class."""

    return Handler
