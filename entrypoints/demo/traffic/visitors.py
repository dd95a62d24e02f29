"""Simulated visitors: each views a product and buys it with a probability that depends on the price."""

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
"""How long a buyer waits for the decision on an order (`Prefer: wait`)."""
RETRY_DELAY_SECONDS: Final = 2.0
"""Pause after a failed request, for an engine that is restarting."""


@frozen
class ApiResponse:
    status: int
    body: Any


@define
class VisitCounts:
    """Counts of one visitor."""

    views: int = 0
    orders: int = 0
    paid: int = 0


class ApiUnavailable(Exception):
    """The API does not answer, or with an unexpected status; logged once per outage."""


class BuyerClient:
    """An API client of one buyer, with one connection; not thread-safe."""

    def __init__(self, host: str, port: int, email: str, password: str) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        self._credentials = {"email": email, "password": password}
        self._token = ""

    def view_product(self, product: int, visitor: str) -> Money:
        """Request a product and return its price. `visitor` is the user agent, by which views are counted."""
        answer = self._send("GET", f"/products/api/v1/{product}/", None, {"User-Agent": visitor})
        if answer.status != HTTPStatus.OK:
            raise ApiUnavailable(f"A product was answered with {answer.status}.")
        return Money.of(answer.body["price"], answer.body["currency"])

    def order_and_pay(self, product: int, price: Money) -> bool | None:
        """Order one unit at this price and pay it. Return whether it was paid; None if the order was not accepted."""
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
    """A thread that makes visits until `stop` is set; `rng` and the demand decide about each purchase."""

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
                    logger.warning("the demo's visitors pause: %s", error)
                self._is_api_available = False
                self._stop_event.wait(self._retry_delay)
            else:
                self._is_api_available = True
        self._client.close()

    def visit(self) -> None:
        product, demand = self._rng.choice(self._demands)
        # Each visit has a new user agent, by which the engine distinguishes visitors at one address.
        price = self._client.view_product(product, f"demo-visitor/{self._rng.getrandbits(64):x}")
        self.counts.views += 1
        if self._rng.random() < demand.probability(price.minor):
            bought = self._client.order_and_pay(product, price)
            self.counts.orders += bought is not None
            self.counts.paid += bought is True
