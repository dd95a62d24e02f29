"""The clients: buyers, a seller who raises one price, readers of this price, and clients of `/readyz`.

A buyer repeats each order with its Idempotency-Key until it is acknowledged. Half of the buyers and readers use each
API process, and never change it, whatever it answers, so that the outage of each process is measured.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field, frozen

from bench.failover import Answer, Client
from tests.cluster.engine import Engine

BUYERS_PER_API: Final = 4
ORDER_PAUSE: Final = 0.1
READ_PAUSE: Final = 0.1
PRICE_PAUSE: Final = 0.3
READY_PAUSE: Final = 0.4
CLIENT_TIMEOUT: Final = 15.0
"""Timeout of a request in seconds; longer than `COMMAND_DEADLINE_SECONDS`, so that a client never gives up while the
engine still works on the request."""
GIVE_UP: Final = 180.0
"""Seconds after which a buyer gives up an order, which then counts as never acknowledged."""
SCARCE_EVERY: Final = 5
"""One order of this many is for the product with few units."""
FIRST_PRICE: Final = 1_000


@frozen
class AcknowledgedOrder:
    """`begun`: when the request was sent first, `ended`: when it was acknowledged, in seconds of `time.monotonic`."""

    api: int
    key: str
    product: int
    id: int
    begun: float
    ended: float


@frozen
class PriceChange:
    price: int
    """In cents; each is higher than the one before."""
    ended: float
    status: int


@frozen
class PriceRead:
    begun: float
    price: int


@frozen
class ReadinessAnswer:
    api: int
    ended: float
    is_ready: bool


@define
class ClientLog:
    """What the clients sent and received."""

    orders: list[AcknowledgedOrder] = field(factory=list)
    unacknowledged: list[int] = field(factory=list)
    """The product of each order without an acknowledgement: it may or may not exist."""
    price_changes: list[PriceChange] = field(factory=list)
    reads: list[PriceRead] = field(factory=list)
    readiness: list[ReadinessAnswer] = field(factory=list)
    statuses: Counter[int] = field(factory=Counter)
    """Answers to orders; 0: none."""
    refusals: list[str] = field(factory=list)
    """Answers to orders that no repetition of the request changes."""


class Load:
    def __init__(self, engine: Engine) -> None:
        self.log = ClientLog()
        self._urls = engine.urls
        self._seller = engine.sign_up("seller")
        self._buyer = engine.sign_up("buyer")
        self.sold = engine.list_product(self._seller, "Tea pot", 2**31 - 1)
        self.repriced = engine.list_product(self._seller, "Tea cup", 1)
        self.scarce: dict[int, int] = {}
        """Products with few units, and their opening stock."""
        self._offered = 0
        self._engine = engine
        self._keys = itertools.count()
        self._stop = threading.Event()
        jobs: list[Callable[[], None]] = [self._reprice]
        for api in range(len(self._urls)):
            jobs += [lambda api=api: self._buy(api)] * BUYERS_PER_API  # type: ignore[misc]
            jobs += [lambda api=api: self._read(api), lambda api=api: self._ask_readiness(api)]  # type: ignore[misc]
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]

    def start(self) -> None:
        self.offer_scarce(1)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the load once each order that was sent has been acknowledged or given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def offer_scarce(self, units: int) -> None:
        """List another product with few units, which buyers order from now on."""
        product = self._engine.list_product(self._seller, f"Vase {len(self.scarce) + 1}", units)
        self.scarce[product] = units
        self._offered = product

    def repeat(self, orders: Sequence[AcknowledgedOrder]) -> int:
        """Send acknowledged orders again with their keys; return how many were answered with another order."""
        client = Client(self._urls[0], self._buyer, CLIENT_TIMEOUT)
        answers = [(order, self._send(client, order.key, order.product)) for order in orders]
        client.close()
        return sum(answer.status not in {201, 202} or answer.body["id"] != order.id for order, answer in answers)

    @staticmethod
    def _send(client: Client, key: str, product: int) -> Answer:
        body = {"order_item": [{"product": product, "quantity": 1}]}
        return client.ask("POST", "/orders/api/v1/", body, **{"Idempotency-Key": key})

    def _buy(self, api: int) -> None:
        client = Client(self._urls[api], self._buyer, CLIENT_TIMEOUT)
        while not self._stop.is_set():
            number = next(self._keys)
            key, product = f"order-{number}", self.sold if number % SCARCE_EVERY else self._offered
            begun = time.monotonic()
            while True:
                answer = self._send(client, key, product)
                self.log.statuses[answer.status] += 1
                if answer.status in {201, 202}:
                    self.log.orders.append(AcknowledgedOrder(api, key, product, answer.body["id"], begun, answer.ended))
                    break
                if 400 <= answer.status < 500 and answer.status not in {409, 429}:
                    self.log.refusals.append(f"{answer.status} {answer.body}")
                    break
                if answer.ended - begun > GIVE_UP:
                    self.log.unacknowledged.append(product)
                    break
                time.sleep(ORDER_PAUSE)
            time.sleep(ORDER_PAUSE)
        client.close()

    def _reprice(self) -> None:
        clients = [Client(url, self._seller, CLIENT_TIMEOUT) for url in self._urls]
        path = f"/products/api/v1/{self.repriced}/"
        for price in itertools.count(FIRST_PRICE + 1):
            if self._stop.is_set():
                break
            answer = clients[price % len(clients)].ask("PATCH", path, {"price": f"{price / 100:.2f}"})
            self.log.price_changes.append(PriceChange(price, answer.ended, answer.status))
            time.sleep(PRICE_PAUSE)
        for client in clients:
            client.close()

    def _read(self, api: int) -> None:
        client = Client(self._urls[api], timeout=CLIENT_TIMEOUT)
        while not self._stop.is_set():
            answer = client.ask("GET", f"/products/api/v1/{self.repriced}/")
            if answer.status == 200:
                self.log.reads.append(PriceRead(answer.begun, round(float(answer.body["price"]) * 100)))
            time.sleep(READ_PAUSE)
        client.close()

    def _ask_readiness(self, api: int) -> None:
        client = Client(self._urls[api], timeout=CLIENT_TIMEOUT)
        while not self._stop.is_set():
            answer = client.ask("GET", "/readyz")
            self.log.readiness.append(ReadinessAnswer(api, answer.ended, answer.status == 200))
            time.sleep(READY_PAUSE)
        client.close()
