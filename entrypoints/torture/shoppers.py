"""Buyers and sellers: what each does next comes from a random generator of their own, so a seed repeats it."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from attrs import define, field, frozen

from entrypoints.processes.port_reservation import Address
from entrypoints.torture.client import PASSWORD, Client, Tried, at_once
from entrypoints.torture.client_log import CURRENCY, Acknowledged, Feed, Heard, RefundAsked, basket
from scalecommerce_core.domain.money import decimal_text, minor_units

ORDERS: Final = "/orders/api/v1/"
PRODUCTS: Final = "/products/api/v1/"
EVENTS: Final = "/events/api/v1/"
WEBHOOKS: Final = "/webhooks/api/v1/"
USERS: Final = "/users/api/v1/"
FINISHING_SECONDS: Final = 60.0
"""How long a shopper insists on an answer after the load has ended."""
SCARCE_EVERY: Final = 4
REMEMBERED: Final = 30
METHODS: Final = {"sandbox-ok": 14, "sandbox-slow": 2, "sandbox-declined": 2, "sandbox-lost-reply": 2}
"""Ways to pay, as the sandbox gateway knows them, and how often each is chosen."""


@define
class Shelf:
    """The products on sale, and the price that each was last seen at; written by sellers, read by all."""

    products: list[int] = field(factory=list)
    scarce: list[int] = field(factory=list)
    plenty: list[int] = field(factory=list)
    seen_prices: dict[int, str] = field(factory=dict)


@frozen
class Shop:
    """What all shoppers share."""

    addresses: Sequence[Address]
    shelf: Shelf
    heard: Heard
    stop: threading.Event
    seed: int


class Shopper(threading.Thread, ABC):
    """One person; an error of the test itself is kept in `failure`."""

    def __init__(self, shop: Shop, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.shop = shop
        self.heard = shop.heard
        self.rng = random.Random(f"{shop.seed} {name}")  # noqa: S311 - a plan that can be repeated
        self.client = Client(shop.addresses, f"{name}@torture.example", self.rng, self.heard.internal_error)
        self.failure: Exception | None = None
        self.account = 0
        self._number = 0
        self._deadline: float | None = None

    def run(self) -> None:
        try:
            while not self.shop.stop.is_set():
                self.act()
                self.shop.stop.wait(self.rng.uniform(0.0, 0.25))
        except Exception as error:  # noqa: BLE001 - whoever joins this thread raises it
            self.failure = error
        finally:
            self.client.close()

    @abstractmethod
    def act(self) -> None:
        """One thing that this person does."""

    def key(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def gives_up(self) -> bool:
        """Once the load has ended, and patience after it."""
        if not self.shop.stop.is_set():
            return False
        if self._deadline is None:
            self._deadline = time.monotonic() + FINISHING_SECONDS
        return time.monotonic() > self._deadline

    def choose(self, actions: Mapping[Callable[[], None], int]) -> Callable[[], None]:
        return self.rng.choices(list(actions), list(actions.values()))[0]


class Buyer(Shopper):
    def __init__(self, shop: Shop, number: int) -> None:
        super().__init__(shop, f"buyer-{number}")
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
                self.look: 7,
                self.read_feed: 8,
                self.keep_account: 3,
            }
        )()

    def place(self) -> None:
        lines = self._lines()
        key = self.key() if self.rng.random() < 0.9 else None
        body = {"order_item": lines}
        prefer = f"wait={self.rng.randint(1, 3)}" if self.rng.random() < 0.2 else None
        walks_away_after = self.rng.randint(1, 2) if self.rng.random() < 0.15 else None
        self.heard.count("orders sent")
        if key is None:
            # Without a key nobody may ask twice.
            self._note(self.client.insist("POST", ORDERS, body, prefer=prefer, attempts=1), key, body)
        elif self.rng.random() < 0.12:
            self.heard.count("requests sent twice at once")
            twin = self.client.twin()
            self._note_both(
                key,
                body,
                at_once(
                    lambda: self.client.insist("POST", ORDERS, body, key=key, give_up=self.gives_up),
                    lambda: twin.insist("POST", ORDERS, body, key=key, give_up=self.gives_up),
                ),
            )
            twin.close()
        else:
            tried = self.client.insist(
                "POST", ORDERS, body, key=key, prefer=prefer, attempts=walks_away_after, give_up=self.gives_up
            )
            self._note(tried, key, body)

    def pay(self) -> None:
        method = self.rng.choices(list(METHODS), list(METHODS.values()))[0]
        self._settle("pay", "PAID", self.heard.paid, {"payment_method": method})

    def cancel(self) -> None:
        self._settle("cancel", "CANCELLED", self.heard.cancelled)

    def repeat(self) -> None:
        """Send a request again that was answered: the same order must come back."""
        if not self._sent:
            return
        key, body = self.rng.choice(self._sent)
        self.heard.count("answered requests repeated")
        tried = self.client.insist("POST", ORDERS, body, key=key, give_up=self.gives_up)
        if tried.answer is None:
            return
        if tried.answer.status not in {HTTPStatus.ACCEPTED, HTTPStatus.CREATED}:
            self.heard.contradiction(f"key {key} was acknowledged, and later refused: {tried.answer}")
        else:
            self.heard.order(Acknowledged.of(tried.answer.body, key))

    def reuse(self) -> None:
        """Send another body with a key that was answered: it must be refused."""
        if not self._sent:
            return
        key, body = self.rng.choice(self._sent)
        other = {"order_item": [*body["order_item"], {"product": self.shop.shelf.products[0], "quantity": 7}]}
        self.heard.count("keys reused for another request")
        answer = self.client.insist("POST", ORDERS, other, key=key, give_up=self.gives_up).answer
        if answer is not None and answer.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            self.heard.contradiction(f"key {key} was taken for two different requests: {answer}")

    def look(self) -> None:
        product = self.rng.choice(self.shop.shelf.products)
        answer = self.client.insist("GET", f"{PRODUCTS}{product}/", give_up=self.gives_up).answer
        if answer is not None and answer.status == HTTPStatus.OK:
            self.shop.shelf.seen_prices[product] = answer.body["price"]

    def read_feed(self) -> None:
        feed = self.heard.feeds.setdefault(self.account, Feed())
        answer = self.client.insist("GET", f"{EVENTS}?after={feed.place}&limit=50", give_up=self.gives_up).answer
        if answer is not None and answer.status == HTTPStatus.OK:
            feed.shown += [event["seq"] for event in answer.body["results"]]
            feed.place = answer.body["next_after"]
            self.heard.count("pages of the feed read")

    def keep_account(self) -> None:
        """What people do with accounts; only once, since they would rather look than repeat it."""
        password = {"old_password": PASSWORD, "new_password": PASSWORD}
        path, body = self.rng.choice(
            [
                (f"{USERS}token/refresh/", {"refresh": self.client.refresh_token}),
                (f"{USERS}logout/", {"refresh": self.client.refresh_token}),
                (f"{USERS}password/", password),
                (f"{USERS}sign-up/", {"email": f"{self.key()}@torture.example", "password": PASSWORD}),
            ]
        )
        self.client.insist("POST", path, body, attempts=1)
        if self.rng.random() < 0.5:
            self.client.insist("PATCH", f"{USERS}me/", {"bio": self.key()}, attempts=1)
        else:
            self.client.log_in(self.gives_up)
        self.heard.count("accounts looked after")

    def _lines(self) -> list[dict[str, Any]]:
        shelf = self.shop.shelf
        # Not sorted: the engine must lock in one order whatever baskets look like.
        chosen = self.rng.sample(shelf.plenty, self.rng.randint(1, min(5, len(shelf.plenty))))
        if self.rng.random() < 0.35:
            chosen.insert(0, self.rng.choice(shelf.scarce))
            del chosen[self.rng.randint(1, len(chosen)) :]
        lines: list[dict[str, Any]] = []
        for product in chosen:
            line: dict[str, Any] = {"product": product, "quantity": self.rng.randint(1, 3)}
            if self.rng.random() < 0.4:
                line["price"] = shelf.seen_prices[product]
            lines.append(line)
        return lines

    def _note(self, tried: Tried, key: str | None, body: dict[str, Any]) -> None:
        answer = tried.answer
        if answer is not None and answer.status in {HTTPStatus.ACCEPTED, HTTPStatus.CREATED}:
            told = Acknowledged.of(answer.body, key)
            self.heard.order(told)
            self.heard.count("orders acknowledged")
            self._check_promises(told, body)
            self._remember(told.id, key, body)
            return
        if answer is not None:
            self.heard.count(f"orders refused ({answer.code or answer.status})")
        else:
            self.heard.count("orders whose fate the buyer did not learn")
        if tried.may_have_happened:
            self._doubt(body)

    def _note_both(self, key: str, body: dict[str, Any], both: Sequence[Tried]) -> None:
        for tried in both:
            self._note(tried, key, body)

    def _doubt(self, body: dict[str, Any]) -> None:
        lines = basket([(line["product"], line["quantity"]) for line in body["order_item"]])
        self.heard.doubtful_orders.append((self.account, lines))

    def _remember(self, order: int, key: str | None, body: dict[str, Any]) -> None:
        self._open.append(order)
        del self._open[:-REMEMBERED]
        if key is not None:
            self._sent.append((key, body))
            del self._sent[:-REMEMBERED]

    def _check_promises(self, told: Acknowledged, body: dict[str, Any]) -> None:
        promised = {
            line["product"]: minor_units(line["price"], CURRENCY) for line in body["order_item"] if "price" in line
        }
        for product, _, price in told.lines:
            if price > promised.get(product, price):
                self.heard.contradiction(f"order {told.id}: product {product} was promised cheaper than {price}")

    def _settle(self, action: str, status: str, confirmed: set[int], body: object = None) -> None:
        if not self._open:
            return
        order = self._open.pop(self.rng.randrange(len(self._open)))
        tried = self.client.insist("POST", f"{ORDERS}{order}/{action}/", body, give_up=self.gives_up)
        if tried.answer is not None and tried.answer.status == HTTPStatus.OK:
            if tried.answer.body["status"] == status:
                confirmed.add(order)
            self.heard.count(f"{action}: {tried.answer.body['status']}")
        elif tried.answer is not None:
            self.heard.count(f"{action} refused ({tried.answer.code})")
            if tried.answer.status == HTTPStatus.NOT_FOUND:
                self.heard.contradiction(f"order {order} was acknowledged, and cannot be found")


class Seller(Shopper):
    def __init__(self, shop: Shop, number: int) -> None:
        super().__init__(shop, f"seller-{number}")
        self._products: list[int] = []

    def subscribe(self, url: str) -> None:
        """Have all events sent to that address."""
        body = {"url": url, "topics": []}
        answer = self.client.insist("POST", WEBHOOKS, body, key=self.key()).answer
        if answer is None or answer.status != HTTPStatus.CREATED:
            raise RuntimeError(f"{self.name} could not subscribe: {answer}")
        self.heard.endpoints[self.account] = answer.body["id"]

    def create_products(self, count: int) -> None:
        for _ in range(count):
            if not self._list():
                raise RuntimeError(f"{self.name} could not list a product")

    def act(self) -> None:
        self.choose({self.reprice: 30, self.restock: 25, self.correct: 15, self.refund: 30, self.extend: 3})()
        self.shop.stop.wait(self.rng.uniform(0.1, 0.5))

    def reprice(self) -> None:
        product = self.rng.choice(self._products)
        price = decimal_text(self.rng.randint(100, 9_999), CURRENCY)
        self.client.insist("PATCH", f"{PRODUCTS}{product}/", {"price": price}, give_up=self.gives_up)
        self.heard.count("prices changed")

    def restock(self) -> None:
        """By a delta."""
        product = self.rng.choice(self._products)
        self._adjust(product, self.rng.choice([-3, -1, 1, 2, 5, 9]))

    def correct(self) -> None:
        """By compare-and-set on what was just read."""
        product = self.rng.choice(self._products)
        seen = self.client.insist("GET", f"{PRODUCTS}{product}/", give_up=self.gives_up).answer
        if seen is not None and seen.status == HTTPStatus.OK:
            wanted = max(0, seen.body["stock"] + self.rng.randint(-4, 6))
            self._adjust(product, wanted - seen.body["stock"], {"set": wanted, "expected": seen.body["stock"]})

    def refund(self) -> None:
        page = self.client.insist("GET", f"{ORDERS}sales/?page_size=50", give_up=self.gives_up).answer
        if page is None or page.status != HTTPStatus.OK:
            return
        left = [
            sale for sale in page.body["results"] if sale["status"] == "PAID" and sale["refunded"] < sale["quantity"]
        ]
        if not left:
            return
        sale = self.rng.choice(left)
        quantity = self.rng.randint(1, sale["quantity"] - sale["refunded"])
        asked = RefundAsked(sale["order"], sale["product"], quantity, restock=self.rng.random() < 0.6)
        body = {"lines": [{"product": asked.product, "quantity": quantity}], "restock": asked.restock}
        path = f"{ORDERS}{asked.order}/refunds/"
        tried = self.client.insist("POST", path, body, key=self.key(), give_up=self.gives_up)
        if tried.answer is not None and tried.answer.status == HTTPStatus.CREATED:
            self.heard.count("refunds with restock" if asked.restock else "refunds without restock")
            self.heard.refund([asked], known=True)
        elif tried.may_have_happened:
            self.heard.refund([asked], known=False)

    def extend(self) -> None:
        """Put one more product on sale."""
        self._list()

    def _list(self) -> bool:
        scarce = len(self._products) % SCARCE_EVERY == 0
        stock = self.rng.randint(2, 12) if scarce else self.rng.randint(100, 900)
        price = decimal_text(self.rng.randint(100, 9_999), CURRENCY)
        body = {"name": f"{self.name} {len(self._products)}", "category_id": 1, "price": price, "stock": stock}
        tried = self.client.insist("POST", PRODUCTS, body, key=self.key(), give_up=self.gives_up)
        if tried.answer is None or tried.answer.status != HTTPStatus.CREATED:
            self.heard.doubtful_openings[stock] += 1
            return False
        product = tried.answer.body["id"]
        self._products.append(product)
        self.heard.openings[product] = stock
        self.shop.shelf.seen_prices[product] = price
        (self.shop.shelf.scarce if scarce else self.shop.shelf.plenty).append(product)
        self.shop.shelf.products.append(product)
        self.heard.count("products put on sale")
        return True

    def _adjust(self, product: int, delta: int, body: dict[str, int] | None = None) -> None:
        if delta == 0:
            return
        # Without a key nobody may ask twice.
        key = self.key() if self.rng.random() < 0.8 else None
        tried = self.client.insist(
            "POST",
            f"{PRODUCTS}{product}/stock/",
            body or {"delta": delta},
            key=key,
            attempts=1 if key is None else None,
            give_up=self.gives_up,
        )
        if tried.answer is not None and tried.answer.status == HTTPStatus.OK:
            self.heard.count("stock adjusted")
            self.heard.adjustment(product, delta, known=True)
        elif tried.may_have_happened:
            self.heard.count("stock adjustments whose fate the seller did not learn")
            self.heard.adjustment(product, delta, known=False)
