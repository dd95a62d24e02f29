"""The HTTP client of the shoppers: a request ends with a final answer, or with an unknown outcome."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, frozen

from entrypoints.processes.port_reservation import Address

TIMEOUT: Final = 12.0
"""Longer than the engine's timeouts for locks and connections."""
PASSWORD: Final = "nine small teapots"  # noqa: S105 - for accounts of the test
IN_FLIGHT: Final = "idempotency_key_in_flight"


@frozen
class Answer:
    status: int
    body: Any

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def is_final(self) -> bool:
        """Whether the outcome of the request is known. Not after a 503: the transaction may be committed."""
        return self.status < 500 and self.status != 429 and self.code != IN_FLIGHT


@define
class RequestResult:
    """A request after all attempts: the final answer, if any, and the number of attempts without a final answer."""

    answer: Answer | None = None
    unanswered_attempts: int = 0

    @property
    def may_have_happened(self) -> bool:
        """Whether an attempt without a final answer may have taken effect."""
        return self.unanswered_attempts > 0


class Client:
    """The client of one shopper, with one connection per API process; not thread-safe."""

    def __init__(
        self, addresses: Sequence[Address], email: str, rng: random.Random, on_500: Callable[[str], None]
    ) -> None:
        self.email = email
        self._addresses = addresses
        self._rng = rng
        self._on_500 = on_500
        self._connections: dict[Address, http.client.HTTPConnection] = {}
        self._token = ""
        self.refresh_token = ""

    def send(
        self, method: str, path: str, body: object = None, *, key: str | None = None, prefer: str | None = None
    ) -> Answer | None:
        """Send the request once to a random API process; return None without an answer."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if key is not None:
            headers["Idempotency-Key"] = key
        if prefer is not None:
            headers["Prefer"] = prefer
        address = self._rng.choice(self._addresses)
        connection = self._connections.get(address)
        if connection is None:
            connection = http.client.HTTPConnection(address.reachable, address.port, timeout=TIMEOUT)
            self._connections[address] = connection
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        if response.status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            self._on_500(f"{method} {path}: {text.decode(errors='replace')[:300]}")
        return Answer(response.status, json.loads(text) if text else None)

    def send_until_final(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        prefer: str | None = None,
        attempts: int | None = None,
        give_up: Callable[[], bool] = lambda: False,
    ) -> RequestResult:
        """Repeat an idempotent request until a final answer, the last of `attempts`, or until `give_up()` is true."""
        result = RequestResult()
        while True:
            answer = self.send(method, path, body, key=key, prefer=prefer)
            if answer is not None and answer.status == http.HTTPStatus.UNAUTHORIZED:
                self.log_in(give_up)
                if give_up():
                    return result
                continue
            if answer is not None and answer.is_final:
                result.answer = answer
                return result
            result.unanswered_attempts += 1
            if give_up() or (attempts is not None and result.unanswered_attempts >= attempts):
                return result
            time.sleep(self._rng.uniform(0.05, 0.4))

    def sign_up(self) -> int:
        """Sign up and return the id of the account, which an unanswered attempt may have created already."""
        body = {"email": self.email, "password": PASSWORD}
        made = self.send_until_final("POST", "/users/api/v1/sign-up/", body).answer
        if made is None or made.status not in {201, 400}:
            raise RuntimeError(f"{self.email} could not sign up: {made}")
        self.log_in()
        me = self.send_until_final("GET", "/users/api/v1/me/").answer
        if me is None or me.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{self.email} cannot read the profile: {me}")
        return int(me.body["id"])

    def log_in(self, give_up: Callable[[], bool] = lambda: False) -> None:
        self._token = ""
        credentials = {"email": self.email, "password": PASSWORD}
        while not give_up():
            answer = self.send("POST", "/users/api/v1/token/", credentials)
            if answer is not None and answer.status == http.HTTPStatus.OK:
                self._token, self.refresh_token = answer.body["access"], answer.body["refresh"]
                return
            time.sleep(0.2)

    def clone(self) -> "Client":
        """Return a client of the same shopper with other connections, for concurrent duplicates of a request."""
        clone = Client(self._addresses, self.email, random.Random(self._rng.random()), self._on_500)  # noqa: S311
        clone._token = self._token
        return clone

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def run_concurrently(*calls: Callable[[], RequestResult]) -> list[RequestResult]:
    """Run the calls in threads at the same time and return their results."""
    results: list[RequestResult | None] = [None] * len(calls)

    def run(position: int) -> None:
        results[position] = calls[position]()

    threads = [threading.Thread(target=run, args=[position], daemon=True) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [result for result in results if result is not None]
