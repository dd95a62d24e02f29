"""What an attack knows of the engine: its address, some accounts and products. Everything else it learns over HTTP."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import field, frozen

ATTACKER: Final = "127.0.0.66"
"""Source address of an attack from one address; the clients of `honest.py` have others."""
TIMEOUT: Final = 30.0


@frozen
class Account:
    email: str
    password: str = field(repr=False)


@frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    """By lowercase name."""
    text: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text else None


@frozen
class Target:
    """A running engine. `buyers` are ordinary accounts that honest clients use too.

    `products` can be read; `plentiful` ones have more stock than any attack orders. An attack lasts for `seconds`.
    `command` is `scalecommerce` of the engine, for what an operator does; `data` is the directory for its `--data`.
    """

    host: str
    port: int
    buyers: Sequence[Account] = ()
    products: Sequence[int] = ()
    plentiful: Sequence[int] = ()
    seconds: float = 10.0
    command: Sequence[str] = ()
    data: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def time_left(self) -> Iterator[float]:
        """Yield the remaining seconds until the attack has lasted for `seconds`."""
        end = time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0:
            yield left

    def connect(self, address: str = ATTACKER, timeout: float = TIMEOUT) -> socket.socket:
        """Open a TCP connection from the source address `address`."""
        return socket.create_connection((self.host, self.port), timeout, source_address=(address, 0))

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = "",
        address: str = ATTACKER,
        **headers: str,
    ) -> Reply:
        """Send one request on a connection of its own; underscores in names of headers become hyphens."""
        with self.session(address) as session:
            return session.request(method, path, body, token=token, **headers)

    @contextmanager
    def session(self, address: str = ATTACKER, timeout: float = TIMEOUT) -> Iterator["HttpSession"]:
        """A persistent HTTP/1.1 connection from the source address `address`."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout, source_address=(address, 0))
        try:
            yield HttpSession(connection)
        finally:
            connection.close()

    def log_in(self, account: Account, address: str = ATTACKER) -> str:
        """Return an access token."""
        reply = self.request(
            "POST", "/users/api/v1/token/", {"email": account.email, "password": account.password}, address=address
        )
        assert reply.status == 200, reply
        return str(reply.body["access"])


class HttpSession:
    """Requests on one connection, which is opened again when the engine has closed it."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def request(self, method: str, path: str, body: object = None, *, token: str = "", **headers: str) -> Reply:
        """Send a request; `body` is encoded as JSON unless it is bytes. Raise OSError or HTTPException without an
        answer.
        """
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self._connection.request(method, path, content, sent)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
