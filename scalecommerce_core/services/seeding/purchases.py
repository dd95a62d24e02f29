"""Seeded orders: who buys what when, and how it ends. Decided here in arrays, made by the order's own methods."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.order import Order, OrderLine, OrderOrigin, RefundLine
from scalecommerce_core.domain.product import PriceChange
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.services.seeding.randomness import Floats, Integers, StreamName, generator

DAYS: Final = 90
"""Orders are placed over this many days."""
MOST_LINES: Final = 10
OPEN_DAYS: Final = 2
"""Only so recent orders are still unpaid."""
DEADLINE: Final = timedelta(days=7)
"""Unpaid orders expire that long after the base: not under the eyes of who looks at them today."""
DECIDED_AFTER: Final = timedelta(seconds=2)
RESERVATION: Final = timedelta(minutes=15)
OPEN_SHARE: Final = 0.3
"""Of the recent orders."""
RESTOCK_SHARE: Final = 0.7
"""Of the refunds; the others came back broken, or not at all."""
LEAST_DELIVERY: Final = 20
DELIVERY_SHARE: Final = 4
"""A delivery brings at least one part in so many of what a product will sell."""


class Fate(IntEnum):
    PAID = 0
    REFUNDED = 1
    REFUNDED_IN_PART = 2
    CANCELLED = 3
    EXPIRED = 4
    REJECTED = 5
    PENDING = 6


# Those that orders are drawn for; recent ones may be PENDING instead.
_FATES: Final = {
    Fate.PAID: 0.83,
    Fate.REFUNDED: 0.03,
    Fate.REFUNDED_IN_PART: 0.04,
    Fate.CANCELLED: 0.04,
    Fate.EXPIRED: 0.03,
    Fate.REJECTED: 0.03,
}


class Ware(NamedTuple):
    """A product that can be bought."""

    product_id: ProductId
    seller_id: AccountId


@frozen
class Crowd:
    """Who buys: everybody, but nobody from themselves. `outsiders` sell nothing, so they can buy anything."""

    buyers: Sequence[AccountId]
    outsiders: Sequence[AccountId]


class Wanted(NamedTuple):
    """One order's fixed facts."""

    id: OrderId
    command_id: CommandId
    placed_at: datetime


def moments(count: int, rng_seed: int, base: datetime) -> list[datetime]:
    """When the orders are placed, in order: business grows over the days, and has its hours."""
    rng = generator(rng_seed, StreamName.ORDERS, 0)
    days = np.floor(DAYS * rng.random(count) ** 0.85)
    hours = 24 * rng.beta(3.2, 2.0, count)
    # The last hour stays free for what follows an order.
    seconds = np.sort(np.minimum(days * 86_400 + hours * 3_600, DAYS * 86_400 - 3_600))
    start = base - timedelta(days=DAYS)
    return [start + timedelta(seconds=second) for second in np.round(seconds, 6).tolist()]


class Prices:
    """The price in force of any ware at any time, out of the price history."""

    def __init__(
        self, wares: Sequence[Ware], history: Mapping[ProductId, Sequence[PriceChange]], base: datetime
    ) -> None:
        self._base = base
        keys: list[int] = []
        prices: list[int] = []
        first: list[int] = []
        for place, ware in enumerate(wares):
            changes = history[ware.product_id]
            first.append(len(keys))
            keys += [place * _SPAN + self._key(change.valid_from) for change in changes]
            prices += [change.price.minor for change in changes]
        self._keys, self._prices, self._first = np.array(keys), np.array(prices), np.array(first)

    def at(self, wares: Integers, seconds: Floats) -> Integers:
        """`seconds` before the base."""
        wanted = wares * _SPAN + (_SPAN // 2 - np.ceil(seconds * 1e6).astype(np.int64))
        # The last change not after that time; a ware without one yet costs what it costs first.
        latest = np.searchsorted(self._keys, wanted, side="right") - 1
        prices: Integers = self._prices[np.maximum(latest, self._first[wares])]
        return prices

    def _key(self, moment: datetime) -> int:
        return max(0, _SPAN // 2 + (moment - self._base) // timedelta(microseconds=1))


_SPAN: Final = 2**50
"""Microseconds between two wares' keys: 35 years."""


@frozen
class Shop:
    """What orders are made of: wares with their prices, and those who buy them."""

    wares: Sequence[Ware]
    prices: Prices
    crowd: Crowd
    currency: str
    base: datetime


def purchases(
    wanted: Sequence[Wanted], shop: Shop, stock: Mapping[ProductId, Stock], rng: np.random.Generator
) -> list[Order]:
    """The orders, in the order of their times; deliveries come in before a product would run out."""
    count, wares, crowd = len(wanted), shop.wares, shop.crowd
    ages = np.array([(shop.base - order.placed_at).total_seconds() for order in wanted])
    sizes = rng.integers(1, MOST_LINES + 1, count)
    popularity = 1 / (rng.permutation(len(wares)) + 10.0) ** 0.8
    chosen = rng.choice(len(wares), int(sizes.sum()), p=popularity / popularity.sum())
    quantities = np.minimum(rng.geometric(0.62, len(chosen)), 12)
    fates = rng.choice(list(_FATES), count, p=list(_FATES.values()))
    fates[(ages < OPEN_DAYS * 86_400) & (rng.random(count) < OPEN_SHARE)] = Fate.PENDING
    buyers = rng.integers(0, len(crowd.buyers), count).tolist()
    outsiders = rng.integers(0, len(crowd.outsiders), count).tolist()
    waits = np.minimum(rng.exponential(240, count) + 20, 800).tolist()
    # A refund comes up to three weeks later, but before the base.
    until_refund = (rng.random(count) * np.minimum(21 * 86_400, ages - 1_000)).tolist()
    restocks = (rng.random(count) < RESTOCK_SHARE).tolist()
    sold = np.bincount(chosen, weights=quantities, minlength=len(wares)).astype(int).tolist()
    line_prices = shop.prices.at(chosen, np.repeat(ages, sizes))

    drawn = zip(chosen.tolist(), quantities.tolist(), line_prices.tolist(), strict=True)
    orders = []
    for place, (facts, size, fate) in enumerate(zip(wanted, sizes.tolist(), map(Fate, fates.tolist()), strict=True)):
        lines: dict[int, OrderLine] = {}
        for ware, quantity, price in itertools.islice(drawn, size):
            # A product that was drawn twice is one line.
            if ware not in lines:
                product_id, seller_id = wares[ware]
                lines[ware] = OrderLine(len(lines) + 1, product_id, seller_id, quantity, price)
        buyer = crowd.buyers[buyers[place]]
        if any(line.seller_id == buyer for line in lines.values()):
            buyer = crowd.outsiders[outsiders[place]]
        if fate is Fate.REJECTED:
            _want_too_much(lines, stock)
        else:
            _deliver(lines, stock, sold, facts.placed_at)
        order = Order.placed(
            id=facts.id,
            command_id=facts.command_id,
            buyer_id=buyer,
            currency=shop.currency,
            lines=list(lines.values()),
            now=facts.placed_at,
            origin=OrderOrigin.SEED,
        )
        paid_at = _settle(order, fate, stock, shop.base, timedelta(seconds=waits[place]))
        if paid_at is not None and (units := _returned(order, fate)):
            at = paid_at + timedelta(seconds=until_refund[place])
            order.refund(units, stock, at, restock=restocks[place])
        order.events.clear()  # the past is no news
        orders.append(order)
    return orders


def _want_too_much(lines: dict[int, OrderLine], stock: Mapping[ProductId, Stock]) -> None:
    """Make the scarcest line want a little more than there is."""
    scarcest = min(lines, key=lambda ware: stock[lines[ware].product_id].available)
    line = lines[scarcest]
    available = stock[line.product_id].available
    lines[scarcest] = OrderLine(
        line.position, line.product_id, line.seller_id, available + line.quantity, line.price
    )  # fmt: skip


def _deliver(
    lines: Mapping[int, OrderLine], stock: Mapping[ProductId, Stock], sold: Sequence[int], at: datetime
) -> None:
    for ware, line in lines.items():
        shelf = stock[line.product_id]
        if shelf.available < line.quantity:
            shelf.adjust(line.quantity + max(LEAST_DELIVERY, sold[ware] // DELIVERY_SHARE), at)


def _settle(
    order: Order, fate: Fate, stock: Mapping[ProductId, Stock], base: datetime, wait: timedelta
) -> datetime | None:
    """Bring a placed order to its verdict and past it; return when it was paid, if it was."""
    decided_at = order.created_at + DECIDED_AFTER
    order.decide(stock, decided_at, base + DEADLINE if fate is Fate.PENDING else decided_at + RESERVATION)
    match fate:
        case Fate.PENDING | Fate.REJECTED:
            return None
        case Fate.CANCELLED:
            order.cancel(stock, decided_at + wait)
            return None
        case Fate.EXPIRED:
            order.expire(stock, decided_at + RESERVATION)
            return None
        case _:
            order.pay(stock, decided_at + wait)
            return order.paid_at


def _returned(order: Order, fate: Fate) -> list[RefundLine]:
    """All lines, or the first half of them, or half of the units of the only one."""
    if fate is Fate.REFUNDED:
        return [RefundLine(line.product_id, line.quantity) for line in order.lines]
    if fate is Fate.REFUNDED_IN_PART:
        if len(order.lines) > 1:
            return [RefundLine(line.product_id, line.quantity) for line in order.lines[: len(order.lines) // 2]]
        if order.lines[0].quantity > 1:
            return [RefundLine(order.lines[0].product_id, order.lines[0].quantity // 2)]
    return []
