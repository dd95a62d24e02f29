"""Visitors: each looks at a product, and at times buys what it saw, at the price it saw, like any client of the API."""

import http.client
import json
import logging
import random
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from attrs import define, frozen

from entrypoints.demo.traffic.demo_products import Demand
from entrypoints.demo.traffic.pacing import Pacer
from scalecommerce_core.domain.money import Money

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 15.0
VERDICT_SECONDS: Final = 10
"""How long a buyer waits for the verdict on their order."""
RETRY_DELAY_SECONDS: Final = 2.0
"""After a request that failed, so that an engine that is starting again is left to it."""


@frozen
class ApiResponse:
    status: int
    body: Any


@define
class VisitCounts:
    """What came of the visits so far; each of a visitor's own."""

    views: int = 0
    orders: int = 0
    paid: int = 0


class ApiUnavailable(Exception):
    """The engine does not answer, or not as it should; said to the log, once per outage."""


class BuyerClient:
    """A buyer's account at one connection; used by one thread."""

    def __init__(self, host: str, port: int, email: str, password: str) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        self._credentials = {"email": email, "password": password}
        self._token = ""

    def view_product(self, product: int, visitor: str) -> Money:
        """At a product: its price. Looks of one visitor within half a minute are one view."""
        answer = self._send("GET", f"/products/api/v1/{product}/", None, {"User-Agent": visitor})
        if answer.status != HTTPStatus.OK:
            raise ApiUnavailable(f"A product could not be seen: {answer.status}.")
        return Money.of(answer.body["price"], answer.body["currency"])

    def order_and_pay(self, product: int, price: Money) -> bool | None:
        """One unit at the price that was seen. None: there is no order; False: it was not paid."""
        body = {"order_item": [{"product": product, "quantity": 1, "price": price.text}]}
        order = self._send_authenticated("/orders/api/v1/", body, {"Prefer": f"wait={VERDICT_SECONDS}"})
        if order.status != HTTPStatus.CREATED or order.body["status"] != "PENDING":
            return None
        paid = self._send_authenticated(f"/orders/api/v1/{order.body['id']}/pay/", {}, {})
        return paid.status == HTTPStatus.OK

    def close(self) -> None:
        self._connection.close()

    def _send_authenticated(self, path: str, body: object, headers: Mapping[str, str]) -> ApiResponse:
        if not self._token:
            self._log_in()
        answer = self._send("POST", path, body, {"Authorization": f"Bearer {self._token}", **headers})
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._log_in()
            answer = self._send("POST", path, body, {"Authorization": f"Bearer {self._token}", **headers})
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ApiUnavailable(f"An order was answered with {answer.status}.")
        return answer

    def _log_in(self) -> None:
        answer = self._send("POST", "/users/api/v1/token/", self._credentials, {})
        if answer.status != HTTPStatus.OK:
            raise ApiUnavailable(f"{self._credentials['email']} cannot log in: {answer.status}.")
        self._token = answer.body["access"]

    def _send(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> ApiResponse:
        sent = {"Content-Type": "application/json", **headers} if body is not None else dict(headers)
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = self._connection.getresponse()
            return ApiResponse(response.status, json.loads(response.read() or b"null"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise ApiUnavailable(f"The API does not answer: {error!r}.") from error


class Visitor(threading.Thread):
    """Visits until `stop` is set; whoever they are, they have one mind per visit: `rng` and the demand decide."""

    def __init__(
        self,
        client: BuyerClient,
        demands: Sequence[tuple[int, Demand]],
        pacer: Pacer,
        stop: threading.Event,
        rng: random.Random,
        *,
        retry_delay: float = RETRY_DELAY_SECONDS,
    ) -> None:
        super().__init__(daemon=True)
        self.counts = VisitCounts()
        self._client = client
        self._demands = demands
        self._pacer = pacer
        self._stop_event = stop
        self._rng = rng
        self._retry_delay = retry_delay
        self._is_api_available = True

    def run(self) -> None:
        while not self._stop_event.wait(self._pacer.next_delay()):
            try:
                self.visit()
            except ApiUnavailable as error:
                if self._is_api_available:
                    logger.warning("visitors of the demo wait: %s", error)
                self._is_api_available = False
                self._stop_event.wait(self._retry_delay)
            else:
                self._is_api_available = True
        self._client.close()

    def visit(self) -> None:
        product, demand = self._rng.choice(self._demands)
        # Nobody has come before: strangers at one address are told apart by their user agents.
        price = self._client.view_product(product, f"demo-visitor/{self._rng.getrandbits(64):x}")
        self.counts.views += 1
        if self._rng.random() < demand.probability(price.minor):
            bought = self._client.order_and_pay(product, price)
            self.counts.orders += bought is not None
            self.counts.paid += bought is True
