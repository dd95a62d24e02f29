"""Seeded orders: buyers, lines, times and final statuses, drawn in arrays and applied by the methods of `Order`."""

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
from scalecommerce_core.services.seeding.randomness import Floats, Integers, Stream, generator

DAYS: Final = 90
"""Orders are placed over this many days."""
MAX_LINES_SEEDED: Final = 10
"""Most lines of a seeded order."""
OPEN_DAYS: Final = 2
"""Orders of the last days, some of which are still unpaid."""
DEADLINE: Final = timedelta(days=7)
"""Unpaid orders expire this long after the base, so that they are still open on the day of seeding."""
DECIDED_AFTER: Final = timedelta(seconds=2)
"""Time from an order to its decision."""
RESERVATION: Final = timedelta(minutes=15)
"""Time from the decision to the expiry of expired orders."""
OPEN_SHARE: Final = 0.3
"""Share of the recent orders that are unpaid."""
RESTOCK_SHARE: Final = 0.7
"""Share of the refunds whose units go back into stock."""
MIN_DELIVERY: Final = 20
"""Least units of a delivery."""
DELIVERY_SHARE: Final = 4
"""A delivery brings at least one part in this many of the product's total sales."""


class Fate(IntEnum):
    """What happens to an order after it was placed."""

    PAID = 0
    REFUNDED = 1
    REFUNDED_IN_PART = 2
    CANCELLED = 3
    EXPIRED = 4
    REJECTED = 5
    PENDING = 6


# Probabilities of fates; recent orders may be PENDING instead.
_FATES: Final = {
    Fate.PAID: 0.83,
    Fate.REFUNDED: 0.03,
    Fate.REFUNDED_IN_PART: 0.04,
    Fate.CANCELLED: 0.04,
    Fate.EXPIRED: 0.03,
    Fate.REJECTED: 0.03,
}


class SeededProduct(NamedTuple):
    """A product that can be ordered, and its seller."""

    product_id: ProductId
    seller_id: AccountId


@frozen
class Buyers:
    """The accounts that place orders. `outsiders` sell nothing, so that they can buy every product."""

    everybody: Sequence[AccountId]
    outsiders: Sequence[AccountId]


class OrderHead(NamedTuple):
    """Id, command id and time of an order."""

    id: OrderId
    command_id: CommandId
    placed_at: datetime


def order_times(count: int, rng_seed: int, base: datetime) -> list[datetime]:
    """The times of `count` orders, in order: more in later days, most in the afternoon."""
    rng = generator(rng_seed, Stream.ORDERS, 0)
    days = np.floor(DAYS * rng.random(count) ** 0.85)
    hours = 24 * rng.beta(3.2, 2.0, count)
    # The last hour is left free for the decision, payment and refund of the last orders.
    seconds = np.sort(np.minimum(days * 86_400 + hours * 3_600, DAYS * 86_400 - 3_600))
    start = base - timedelta(days=DAYS)
    return [start + timedelta(seconds=second) for second in np.round(seconds, 6).tolist()]


class PriceLookup:
    """The price of a product in force at a time, from the price histories."""

    def __init__(
        self, products: Sequence[SeededProduct], history: Mapping[ProductId, Sequence[PriceChange]], base: datetime
    ) -> None:
        self._base = base
        keys: list[int] = []
        prices: list[int] = []
        first: list[int] = []
        for place, product in enumerate(products):
            changes = history[product.product_id]
            first.append(len(keys))
            keys += [place * _SPAN + self._key(change.valid_from) for change in changes]
            prices += [change.price.minor for change in changes]
        self._keys, self._prices, self._first = np.array(keys), np.array(prices), np.array(first)

    def at(self, products: Integers, seconds: Floats) -> Integers:
        """The prices of products (by position) `seconds` before the base, in minor units."""
        keys = products * _SPAN + (_SPAN // 2 - np.ceil(seconds * 1e6).astype(np.int64))
        # The last change not after that time; before the first change, the first price applies.
        latest = np.searchsorted(self._keys, keys, side="right") - 1
        prices: Integers = self._prices[np.maximum(latest, self._first[products])]
        return prices

    def _key(self, moment: datetime) -> int:
        return max(0, _SPAN // 2 + (moment - self._base) // timedelta(microseconds=1))


_SPAN: Final = 2**50
"""Distance of two products' keys: microseconds of 35 years."""


@frozen
class Offering:
    """The products with their prices, and the buyers, of a group of orders."""

    products: Sequence[SeededProduct]
    prices: PriceLookup
    buyers: Buyers
    currency: str
    base: datetime


def make_orders(
    heads: Sequence[OrderHead], offering: Offering, stock: Mapping[ProductId, Stock], rng: np.random.Generator
) -> list[Order]:
    """Make orders, in the order of their times; stock is replenished before a product would run out."""
    count, products, buyers = len(heads), offering.products, offering.buyers
    ages = np.array([(offering.base - order.placed_at).total_seconds() for order in heads])
    sizes = rng.integers(1, MAX_LINES_SEEDED + 1, count)
    popularity = 1 / (rng.permutation(len(products)) + 10.0) ** 0.8
    chosen = rng.choice(len(products), int(sizes.sum()), p=popularity / popularity.sum())
    quantities = np.minimum(rng.geometric(0.62, len(chosen)), 12)
    fates = rng.choice(list(_FATES), count, p=list(_FATES.values()))
    fates[(ages < OPEN_DAYS * 86_400) & (rng.random(count) < OPEN_SHARE)] = Fate.PENDING
    drawn_buyers = rng.integers(0, len(buyers.everybody), count).tolist()
    drawn_outsiders = rng.integers(0, len(buyers.outsiders), count).tolist()
    waits = np.minimum(rng.exponential(240, count) + 20, 800).tolist()
    # A refund is made up to three weeks after the payment, but before the base.
    until_refund = (rng.random(count) * np.minimum(21 * 86_400, ages - 1_000)).tolist()
    restocks = (rng.random(count) < RESTOCK_SHARE).tolist()
    sold = np.bincount(chosen, weights=quantities, minlength=len(products)).astype(int).tolist()
    line_prices = offering.prices.at(chosen, np.repeat(ages, sizes))

    drawn = zip(chosen.tolist(), quantities.tolist(), line_prices.tolist(), strict=True)
    orders = []
    for place, (facts, size, fate) in enumerate(zip(heads, sizes.tolist(), map(Fate, fates.tolist()), strict=True)):
        lines: dict[int, OrderLine] = {}
        for product, quantity, price in itertools.islice(drawn, size):
            # A product that was drawn twice becomes one line.
            if product not in lines:
                product_id, seller_id = products[product]
                lines[product] = OrderLine(len(lines) + 1, product_id, seller_id, quantity, price)
        buyer = buyers.everybody[drawn_buyers[place]]
        if any(line.seller_id == buyer for line in lines.values()):
            buyer = buyers.outsiders[drawn_outsiders[place]]
        if fate is Fate.REJECTED:
            _exceed_stock(lines, stock)
        else:
            _deliver(lines, stock, sold, facts.placed_at)
        order = Order.placed(
            id=facts.id,
            command_id=facts.command_id,
            buyer_id=buyer,
            currency=offering.currency,
            lines=list(lines.values()),
            now=facts.placed_at,
            origin=OrderOrigin.SEED,
        )
        paid_at = _settle(order, fate, stock, offering.base, timedelta(seconds=waits[place]))
        if paid_at is not None and (units := _refund_lines(order, fate)):
            at = paid_at + timedelta(seconds=until_refund[place])
            order.refund(units, stock, at, restock=restocks[place])
        order.events.clear()  # seeded orders publish no events
        orders.append(order)
    return orders


def _exceed_stock(lines: dict[int, OrderLine], stock: Mapping[ProductId, Stock]) -> None:
    """Raise the quantity of the scarcest line above the available units, so that the order is rejected."""
    scarcest = min(lines, key=lambda product: stock[lines[product].product_id].available)
    line = lines[scarcest]
    available = stock[line.product_id].available
    lines[scarcest] = OrderLine(
        line.position, line.product_id, line.seller_id, available + line.quantity, line.price
    )  # fmt: skip


def _deliver(
    lines: Mapping[int, OrderLine], stock: Mapping[ProductId, Stock], sold: Sequence[int], at: datetime
) -> None:
    """Replenish the stock of products whose lines exceed it."""
    for product, line in lines.items():
        product_stock = stock[line.product_id]
        if product_stock.available < line.quantity:
            product_stock.adjust(line.quantity + max(MIN_DELIVERY, sold[product] // DELIVERY_SHARE), at)


def _settle(
    order: Order, fate: Fate, stock: Mapping[ProductId, Stock], base: datetime, wait: timedelta
) -> datetime | None:
    """Decide a placed order and bring it to its final status; return the time of its payment, or None."""
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


def _refund_lines(order: Order, fate: Fate) -> list[RefundLine]:
    """Units to refund: all lines; the first half of the lines; or half of the units of a single line."""
    if fate is Fate.REFUNDED:
        return [RefundLine(line.product_id, line.quantity) for line in order.lines]
    if fate is Fate.REFUNDED_IN_PART:
        if len(order.lines) > 1:
            return [RefundLine(line.product_id, line.quantity) for line in order.lines[: len(order.lines) // 2]]
        if order.lines[0].quantity > 1:
            return [RefundLine(order.lines[0].product_id, order.lines[0].quantity // 2)]
    return []
