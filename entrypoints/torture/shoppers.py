"""Buyers and sellers as threads. Each has a seeded random generator, so that a seed repeats their actions."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from attrs import define, field, frozen

from entrypoints.processes.port_reservation import Address
from entrypoints.torture.client import PASSWORD, Client, RequestResult, run_concurrently
from entrypoints.torture.client_log import CURRENCY, AcknowledgedOrder, ClientLog, FeedReader, RequestedRefund, basket
from scalecommerce_core.domain.feed_cursor import decode_feed_cursor, encode_feed_cursor
from scalecommerce_core.domain.money import decimal_text, minor_units

ORDERS: Final = "/orders/api/v1/"
PRODUCTS: Final = "/products/api/v1/"
EVENTS: Final = "/events/api/v1/"
WEBHOOKS: Final = "/webhooks/api/v1/"
VERIFICATION_SECONDS: Final = 60
USERS: Final = "/users/api/v1/"
ANSWER_DEADLINE_SECONDS: Final = 60.0
"""How long a shopper repeats a request after the load has ended."""
SCARCE_EVERY: Final = 4
REMEMBERED: Final = 30
METHODS: Final = {"sandbox-ok": 14, "sandbox-slow": 2, "sandbox-declined": 2, "sandbox-lost-reply": 2}
"""Payment methods of the sandbox gateway with their weights."""


@define
class ProductsOnSale:
    """The products on sale and the last price that was read of each; written by sellers, read by all."""

    products: list[int] = field(factory=list)
    scarce: list[int] = field(factory=list)
    plenty: list[int] = field(factory=list)
    seen_prices: dict[int, str] = field(factory=dict)


@frozen
class LoadContext:
    """The objects that all shoppers share."""

    addresses: Sequence[Address]
    on_sale: ProductsOnSale
    log: ClientLog
    stop: threading.Event
    seed: int


class Shopper(threading.Thread, ABC):
    """One shopper; `failure` is an error of the test itself."""

    def __init__(self, context: LoadContext, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.context = context
        self.log = context.log
        self.rng = random.Random(f"{context.seed} {name}")  # noqa: S311 - a plan that can be repeated
        self.client = Client(context.addresses, f"{name}@torture.example", self.rng, self.log.record_internal_error)
        self.failure: Exception | None = None
        self.account = 0
        self._number = 0
        self._deadline: float | None = None

    def run(self) -> None:
        try:
            while not self.context.stop.is_set():
                self.act()
                self.context.stop.wait(self.rng.uniform(0.0, 0.25))
        except Exception as error:  # noqa: BLE001 - raised by the thread that joins this one
            self.failure = error
        finally:
            self.client.close()

    @abstractmethod
    def act(self) -> None:
        """Do one random action."""

    def key(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def is_past_deadline(self) -> bool:
        """Return whether the deadline after the end of the load has passed."""
        if not self.context.stop.is_set():
            return False
        if self._deadline is None:
            self._deadline = time.monotonic() + ANSWER_DEADLINE_SECONDS
        return time.monotonic() > self._deadline

    def choose(self, actions: Mapping[Callable[[], None], int]) -> Callable[[], None]:
        return self.rng.choices(list(actions), list(actions.values()))[0]


class Buyer(Shopper):
    def __init__(self, context: LoadContext, number: int) -> None:
        super().__init__(context, f"buyer-{number}")
        self._open: list[int] = []
        self._sent: list[tuple[str, dict[str, Any]]] = []

    def act(self) -> None:
        self.choose(
            {
                self.place: 55,
                self.pay: 22,
                self.cancel: 8,
                self.repeat: 6,
                self.reuse: 2,
                self.view_product: 7,
                self.read_feed: 8,
                self.change_account: 3,
            }
        )()

    def place(self) -> None:
        lines = self._lines()
        key = self.key() if self.rng.random() < 0.9 else None
        body = {"order_item": lines}
        prefer = f"wait={self.rng.randint(1, 3)}" if self.rng.random() < 0.2 else None
        walks_away_after = self.rng.randint(1, 2) if self.rng.random() < 0.15 else None
        self.log.count("orders sent")
        if key is None:
            # Without a key the request must not be repeated.
            self._record(self.client.send_until_final("POST", ORDERS, body, prefer=prefer, attempts=1), key, body)
        elif self.rng.random() < 0.12:
            self.log.count("requests sent twice at once")
            clone = self.client.clone()
            self._record_both(
                key,
                body,
                run_concurrently(
                    lambda: self.client.send_until_final("POST", ORDERS, body, key=key, give_up=self.is_past_deadline),
                    lambda: clone.send_until_final("POST", ORDERS, body, key=key, give_up=self.is_past_deadline),
                ),
            )
            clone.close()
        else:
            result = self.client.send_until_final(
                "POST", ORDERS, body, key=key, prefer=prefer, attempts=walks_away_after, give_up=self.is_past_deadline
            )
            self._record(result, key, body)

    def pay(self) -> None:
        method = self.rng.choices(list(METHODS), list(METHODS.values()))[0]
        self._finish_order("pay", "PAID", self.log.paid, {"payment_method": method})

    def cancel(self) -> None:
        self._finish_order("cancel", "CANCELLED", self.log.cancelled)

    def repeat(self) -> None:
        """Repeat an answered request: the same order must be returned."""
        if not self._sent:
            return
        key, body = self.rng.choice(self._sent)
        self.log.count("answered requests repeated")
        result = self.client.send_until_final("POST", ORDERS, body, key=key, give_up=self.is_past_deadline)
        if result.answer is None:
            return
        if result.answer.status not in {HTTPStatus.ACCEPTED, HTTPStatus.CREATED}:
            self.log.record_contradiction(f"key {key} was acknowledged, and later refused: {result.answer}")
        else:
            self.log.record_order(AcknowledgedOrder.of(result.answer.body, key))

    def reuse(self) -> None:
        """Send another body with a used key: it must be refused."""
        if not self._sent:
            return
        key, body = self.rng.choice(self._sent)
        other = {"order_item": [*body["order_item"], {"product": self.context.on_sale.products[0], "quantity": 7}]}
        self.log.count("keys reused for another request")
        answer = self.client.send_until_final("POST", ORDERS, other, key=key, give_up=self.is_past_deadline).answer
        if answer is not None and answer.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            self.log.record_contradiction(f"key {key} was taken for two different requests: {answer}")

    def view_product(self) -> None:
        product = self.rng.choice(self.context.on_sale.products)
        answer = self.client.send_until_final("GET", f"{PRODUCTS}{product}/", give_up=self.is_past_deadline).answer
        if answer is not None and answer.status == HTTPStatus.OK:
            self.context.on_sale.seen_prices[product] = answer.body["price"]

    def read_feed(self) -> None:
        feed = self.log.feeds.setdefault(self.account, FeedReader())
        answer = self.client.send_until_final(
            "GET", f"{EVENTS}?cursor={encode_feed_cursor(feed.position)}&limit=50", give_up=self.is_past_deadline
        ).answer
        if answer is not None and answer.status == HTTPStatus.OK:
            feed.received += [event["seq"] for event in answer.body["results"]]
            # The invariants compare the number with those of the events.
            feed.position = decode_feed_cursor(answer.body["next_cursor"])
            self.log.count("pages of the feed read")

    def change_account(self) -> None:
        """Send one request about the account, without repetition."""
        password = {"old_password": PASSWORD, "new_password": PASSWORD}
        path, body = self.rng.choice(
            [
                (f"{USERS}token/refresh/", {"refresh": self.client.refresh_token}),
                (f"{USERS}logout/", {"refresh": self.client.refresh_token}),
                (f"{USERS}password/", password),
                (f"{USERS}sign-up/", {"email": f"{self.key()}@torture.example", "password": PASSWORD}),
            ]
        )
        self.client.send_until_final("POST", path, body, attempts=1)
        if self.rng.random() < 0.5:
            self.client.send_until_final("PATCH", f"{USERS}me/", {"bio": self.key()}, attempts=1)
        else:
            self.client.log_in(self.is_past_deadline)
        self.log.count("account requests")

    def _lines(self) -> list[dict[str, Any]]:
        on_sale = self.context.on_sale
        # Not sorted: the engine must lock rows in a fixed order for every basket.
        chosen = self.rng.sample(on_sale.plenty, self.rng.randint(1, min(5, len(on_sale.plenty))))
        if self.rng.random() < 0.35:
            chosen.insert(0, self.rng.choice(on_sale.scarce))
            del chosen[self.rng.randint(1, len(chosen)) :]
        lines: list[dict[str, Any]] = []
        for product in chosen:
            line: dict[str, Any] = {"product": product, "quantity": self.rng.randint(1, 3)}
            if self.rng.random() < 0.4:
                line["price"] = on_sale.seen_prices[product]
            lines.append(line)
        return lines

    def _record(self, result: RequestResult, key: str | None, body: dict[str, Any]) -> None:
        answer = result.answer
        if answer is not None and answer.status in {HTTPStatus.ACCEPTED, HTTPStatus.CREATED}:
            order = AcknowledgedOrder.of(answer.body, key)
            self.log.record_order(order)
            self.log.count("orders acknowledged")
            self._check_promises(order, body)
            self._remember(order.id, key, body)
            return
        if answer is not None:
            self.log.count(f"orders refused ({answer.code or answer.status})")
        else:
            self.log.count("orders without a final answer")
        if result.may_have_happened:
            self._record_unconfirmed(body)

    def _record_both(self, key: str, body: dict[str, Any], both: Sequence[RequestResult]) -> None:
        for result in both:
            self._record(result, key, body)

    def _record_unconfirmed(self, body: dict[str, Any]) -> None:
        lines = basket([(line["product"], line["quantity"]) for line in body["order_item"]])
        self.log.unconfirmed_orders.append((self.account, lines))

    def _remember(self, order: int, key: str | None, body: dict[str, Any]) -> None:
        self._open.append(order)
        del self._open[:-REMEMBERED]
        if key is not None:
            self._sent.append((key, body))
            del self._sent[:-REMEMBERED]

    def _check_promises(self, order: AcknowledgedOrder, body: dict[str, Any]) -> None:
        promised = {
            line["product"]: minor_units(line["price"], CURRENCY) for line in body["order_item"] if "price" in line
        }
        for product, _, price in order.lines:
            if price > promised.get(product, price):
                self.log.record_contradiction(f"order {order.id}: product {product} was promised for less than {price}")

    def _finish_order(self, action: str, status: str, confirmed: set[int], body: object = None) -> None:
        if not self._open:
            return
        order = self._open.pop(self.rng.randrange(len(self._open)))
        result = self.client.send_until_final("POST", f"{ORDERS}{order}/{action}/", body, give_up=self.is_past_deadline)
        if result.answer is not None and result.answer.status == HTTPStatus.OK:
            if result.answer.body["status"] == status:
                confirmed.add(order)
            self.log.count(f"{action}: {result.answer.body['status']}")
        elif result.answer is not None:
            self.log.count(f"{action} refused ({result.answer.code})")
            if result.answer.status == HTTPStatus.NOT_FOUND:
                self.log.record_contradiction(f"order {order} was acknowledged, and cannot be found")


class Seller(Shopper):
    def __init__(self, context: LoadContext, number: int) -> None:
        super().__init__(context, f"seller-{number}")
        self._products: list[int] = []

    def subscribe(self, url: str) -> None:
        """Create a webhook endpoint for all events, and wait until it is verified."""
        body = {"url": url, "topics": []}
        answer = self.client.send_until_final("POST", WEBHOOKS, body, key=self.key()).answer
        if answer is None or answer.status != HTTPStatus.CREATED:
            raise RuntimeError(f"{self.name} could not subscribe: {answer}")
        endpoint = answer.body["id"]
        ends = time.monotonic() + VERIFICATION_SECONDS
        while not self._is_verified(endpoint):
            if time.monotonic() > ends:
                raise RuntimeError(f"the webhook endpoint of {self.name} was not verified")
            time.sleep(0.2)
        self.log.endpoints[self.account] = endpoint

    def _is_verified(self, endpoint: int) -> bool:
        answer = self.client.send_until_final("GET", f"{WEBHOOKS}{endpoint}/").answer
        return answer is not None and answer.status == HTTPStatus.OK and bool(answer.body["is_verified"])

    def create_products(self, count: int) -> None:
        for _ in range(count):
            if not self._list():
                raise RuntimeError(f"{self.name} could not list a product")

    def act(self) -> None:
        self.choose({self.reprice: 30, self.restock: 25, self.correct: 15, self.refund: 30, self.list_another: 3})()
        self.context.stop.wait(self.rng.uniform(0.1, 0.5))

    def reprice(self) -> None:
        product = self.rng.choice(self._products)
        price = decimal_text(self.rng.randint(100, 9_999), CURRENCY)
        self.client.send_until_final("PATCH", f"{PRODUCTS}{product}/", {"price": price}, give_up=self.is_past_deadline)
        self.log.count("prices changed")

    def restock(self) -> None:
        """Adjust the stock by a delta."""
        product = self.rng.choice(self._products)
        self._adjust(product, self.rng.choice([-3, -1, 1, 2, 5, 9]))

    def correct(self) -> None:
        """Set the stock by compare-and-set on the figure that was just read."""
        product = self.rng.choice(self._products)
        seen = self.client.send_until_final("GET", f"{PRODUCTS}{product}/", give_up=self.is_past_deadline).answer
        if seen is not None and seen.status == HTTPStatus.OK:
            stock = max(0, seen.body["stock"] + self.rng.randint(-4, 6))
            self._adjust(product, stock - seen.body["stock"], {"set": stock, "expected": seen.body["stock"]})

    def refund(self) -> None:
        page = self.client.send_until_final("GET", f"{ORDERS}sales/?page_size=50", give_up=self.is_past_deadline).answer
        if page is None or page.status != HTTPStatus.OK:
            return
        left = [
            sale for sale in page.body["results"] if sale["status"] == "PAID" and sale["refunded"] < sale["quantity"]
        ]
        if not left:
            return
        sale = self.rng.choice(left)
        quantity = self.rng.randint(1, sale["quantity"] - sale["refunded"])
        refund = RequestedRefund(sale["order"], sale["product"], quantity, restock=self.rng.random() < 0.6)
        body = {"lines": [{"product": refund.product, "quantity": quantity}], "restock": refund.restock}
        path = f"{ORDERS}{refund.order}/refunds/"
        result = self.client.send_until_final("POST", path, body, key=self.key(), give_up=self.is_past_deadline)
        if result.answer is not None and result.answer.status == HTTPStatus.CREATED:
            self.log.count("refunds with restock" if refund.restock else "refunds without restock")
            self.log.record_refund([refund], known=True)
        elif result.may_have_happened:
            self.log.record_refund([refund], known=False)

    def list_another(self) -> None:
        """List one more product."""
        self._list()

    def _list(self) -> bool:
        scarce = len(self._products) % SCARCE_EVERY == 0
        stock = self.rng.randint(2, 12) if scarce else self.rng.randint(100, 900)
        price = decimal_text(self.rng.randint(100, 9_999), CURRENCY)
        body = {"name": f"{self.name} {len(self._products)}", "category_id": 1, "price": price, "stock": stock}
        result = self.client.send_until_final("POST", PRODUCTS, body, key=self.key(), give_up=self.is_past_deadline)
        if result.answer is None or result.answer.status != HTTPStatus.CREATED:
            self.log.unconfirmed_opening_stock[stock] += 1
            return False
        product = result.answer.body["id"]
        self._products.append(product)
        self.log.opening_stock[product] = stock
        self.context.on_sale.seen_prices[product] = price
        (self.context.on_sale.scarce if scarce else self.context.on_sale.plenty).append(product)
        self.context.on_sale.products.append(product)
        self.log.count("products put on sale")
        return True

    def _adjust(self, product: int, delta: int, body: dict[str, int] | None = None) -> None:
        if delta == 0:
            return
        # Without a key the request must not be repeated.
        key = self.key() if self.rng.random() < 0.8 else None
        result = self.client.send_until_final(
            "POST",
            f"{PRODUCTS}{product}/stock/",
            body or {"delta": delta},
            key=key,
            attempts=1 if key is None else None,
            give_up=self.is_past_deadline,
        )
        if result.answer is not None and result.answer.status == HTTPStatus.OK:
            self.log.count("stock adjusted")
            self.log.record_adjustment(product, delta, known=True)
        elif result.may_have_happened:
            self.log.count("stock adjustments without a final answer")
            self.log.record_adjustment(product, delta, known=False)
