"""A TCP proxy that can stop forwarding without closing connections, as a network that loses all packets does."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url


class BlackHoleProxy:
    """Forwards connections to PostgreSQL. Both sides see open connections, whatever the state is."""

    def __init__(self, database_url: str) -> None:
        parsed = make_url(database_url)
        port = int(str(parsed.query.get("port", parsed.port or 5432)))
        self._address = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        rest = {name: text for name, text in parsed.query.items() if name not in {"host", "port"}}
        changed = parsed.set(
            host="127.0.0.1", port=self._listener.getsockname()[1], query={**rest, "sslmode": "disable"}
        )
        self.url = changed.render_as_string(hide_password=False)
        self._drops_new = threading.Event()
        self._drops_after: bytes | None = None
        self._connections: list[_Connection] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_all(self) -> None:
        """Forward nothing more, on open and on new connections."""
        self._drops_new.set()
        for connection in self._connections:
            connection.is_dropped.set()

    def drop_answers_after(self, sent: bytes) -> None:
        """Forward what contains `sent` to PostgreSQL, and no answers on that connection afterwards."""
        for connection in self._connections:
            connection.drops_after = sent

    def accept_new(self) -> None:
        """Forward new connections again; those that were dropped stay so."""
        self._drops_new.clear()

    def close(self) -> None:
        # Closing alone would not end `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                connection = _Connection(client, self._address)
                if self._drops_new.is_set():
                    connection.is_dropped.set()
                self._connections.append(connection)
                connection.start()


class _Connection:
    def __init__(self, client: socket.socket, address: tuple[str, int]) -> None:
        self._client, self._server = client, socket.create_connection(address)
        self.is_dropped = threading.Event()
        self.drops_answers = threading.Event()
        self.drops_after: bytes | None = None

    def start(self) -> None:
        threading.Thread(target=self._pump, args=(self._client, self._server), daemon=True).start()
        threading.Thread(target=self._pump, args=(self._server, self._client), daemon=True).start()

    def close(self) -> None:
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                is_answer = source is self._server
                if self.is_dropped.is_set() or (is_answer and self.drops_answers.is_set()):
                    continue
                if not is_answer and self.drops_after is not None and self.drops_after in data:
                    self.drops_answers.set()
                target.sendall(data)
            if not self.is_dropped.is_set():
                target.shutdown(socket.SHUT_WR)


@contextmanager
def black_hole_proxy(database_url: str) -> Iterator[BlackHoleProxy]:
    proxy = BlackHoleProxy(database_url)
    try:
        yield proxy
    finally:
        proxy.close()
