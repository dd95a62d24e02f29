"""The lines of order requests and their prices: in force, promised after a change, or quoted to the buyer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from scalecommerce_core.domain.errors import Invalid, MarketError, PriceMoved
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import NotMoney, minor_units
from scalecommerce_core.domain.order import MAX_LINES, MAX_QUANTITY, OrderLine
from scalecommerce_core.domain.price_history import PricePromise, promised_prices
from scalecommerce_core.domain.price_quote import PriceQuote
from scalecommerce_core.domain.product import Offer
from scalecommerce_core.ports import QuoteSigner, Transaction


@frozen
class OrderLineRequest:
    """One line of an order request.

    `price`, if given, is the unit price that the buyer saw and expects to pay: minor units of the product's currency,
    or a decimal string. `quote` is the text of a price quote (`Ordering.quote_prices`).
    """

    product_id: ProductId
    quantity: int
    price: int | str | None = None
    quote: str | None = None

    def price_in(self, currency: str) -> int | None:
        """`price` in minor units; raise `NotMoney` for a text that is not an amount in this currency."""
        return minor_units(self.price, currency) if isinstance(self.price, str) else self.price


@frozen
class QuotePrices:
    """Request quotes of the prices in force for the units of these lines; `price` and `quote` of a line are ignored."""

    buyer: AccountId
    lines: Sequence[OrderLineRequest]


@frozen
class SignedQuote:
    """A price quote, and its text for `OrderLineRequest.quote`."""

    quote: PriceQuote
    text: str


@frozen
class QuotedLines:
    """The lines of an order request, with quotes as prices; `quotes` has the valid quotes by the index of the line."""

    lines: Sequence[OrderLineRequest]
    quotes: Mapping[int, PriceQuote]


NO_QUOTES: Final[Mapping[int, PriceQuote]] = {}


@frozen
class PromisedPrices:
    """Prices in minor units that an order may use: without a quote, and with one."""

    shown: Collection[int] = ()
    quoted: Collection[int] = ()


NO_PROMISE: Final = PromisedPrices()


class PriceQuotes:
    """Makes price quotes and reads those of order requests. Without a `signer`, prices are not quoted."""

    def __init__(self, signer: QuoteSigner | None, promise: PricePromise) -> None:
        self._signer = signer
        self._promise = promise

    def make(self, command: QuotePrices, offers: Mapping[ProductId, Offer], now: datetime) -> Sequence[SignedQuote]:
        """Quote the prices in force, for `PricePromise.lasts`; raise `Invalid`, which names lines as
        `order_item[0].product`.
        """
        # Quotes have whole seconds.
        expires_at = now.replace(microsecond=0) + self._promise.lasts
        if self._signer is None or not self._promise.quoted_units:
            raise Invalid.field("order_item", "This marketplace makes no price quotes.")
        if not 1 <= len(command.lines) <= MAX_LINES:
            raise Invalid.field("order_item", f"A request has 1 to {MAX_LINES} lines, not {len(command.lines)}.")
        errors: dict[str, list[str]] = {}
        quotes = []
        for index, line in enumerate(command.lines):
            offer = offers.get(line.product_id)
            if offer is None or not offer.is_active:
                errors[f"order_item[{index}].product"] = [f"Product {line.product_id} is not for sale."]
            elif not 1 <= line.quantity <= self._promise.quoted_units:
                message = f"A price is quoted for 1 to {self._promise.quoted_units} units."
                errors[f"order_item[{index}].quantity"] = [message]
            else:
                price = offer.price
                made = PriceQuote(
                    offer.product_id, command.buyer, price.minor, price.currency, line.quantity, expires_at
                )
                quotes.append(SignedQuote(made, self._signer.sign(made)))
        if errors:
            raise Invalid(errors)
        return quotes

    def read(self, requests: Sequence[OrderLineRequest], buyer: AccountId, now: datetime) -> QuotedLines:
        """The lines with the prices of their quotes; an expired quote is a price that the buyer saw.

        Raise `Invalid` for a quote that was not made for this buyer and product, or for another price.
        """
        if not any(line.quote for line in requests):
            return QuotedLines(requests, NO_QUOTES)
        lines: list[OrderLineRequest] = []
        quotes: dict[int, PriceQuote] = {}
        errors: dict[str, list[str]] = {}
        for index, line in enumerate(requests):
            lines.append(line)
            if line.quote is None:
                continue
            quote = None if self._signer is None else self._signer.verify(line.quote)
            if quote is None or (quote.buyer_id, quote.product_id) != (buyer, line.product_id):
                errors[f"order_item[{index}].quote"] = ["This is no quote for you and this product."]
                continue
            with suppress(NotMoney):  # reported later
                if line.price_in(quote.currency) not in {None, quote.price}:
                    errors[f"order_item[{index}].quote"] = ["The quote is for another price."]
                    continue
            lines[-1] = evolve(line, price=quote.price if line.price is None else line.price)
            if now < quote.expires_at:
                quotes[index] = quote
        if errors:
            raise Invalid(errors)
        return QuotedLines(lines, quotes)


def read_promises(
    tx: Transaction,
    promise: PricePromise,
    requests: Sequence[QuotedLines | MarketError],
    offers: Mapping[ProductId, Offer],
    now: datetime,
) -> Mapping[ProductId, PromisedPrices]:
    """Promised old prices of the products whose current price differs from the price that a buyer saw."""
    changed = {
        line.product_id
        for request in requests
        if not isinstance(request, MarketError)
        for line in request.lines
        if line.price is not None
        and line.product_id in offers
        and _expected_price(line, offers[line.product_id]) != offers[line.product_id].price.minor
    }
    if not changed:
        return {}
    changes = tx.products.prices_since(changed, now - promise.lasts)
    quoted = evolve(promise, least_in_force=timedelta())
    return {
        product_id: PromisedPrices(promised_prices(of_product, now, promise), promised_prices(of_product, now, quoted))
        for product_id, of_product in changes.items()
    }


def price_lines(
    requests: Sequence[OrderLineRequest],
    quoted: Collection[int],
    offers: Mapping[ProductId, Offer],
    promises: Mapping[ProductId, PromisedPrices],
) -> list[OrderLine]:
    """Order lines, one per product; raise `Invalid` naming each bad line, or `PriceMoved`.

    `quoted` are the indexes of the lines with a valid quote.
    """
    errors: dict[str, list[str]] = {}
    if not 1 <= len(requests) <= MAX_LINES:
        raise Invalid.field("order_item", f"An order has 1 to {MAX_LINES} lines, not {len(requests)}.")
    quantities: dict[ProductId, int] = {}
    prices: dict[ProductId, int] = {}
    moved: PriceMoved | None = None
    currencies = {offers[line.product_id].price.currency for line in requests if line.product_id in offers}
    if len(currencies) > 1:
        raise Invalid.field("order_item", f"One order has one currency, not {' and '.join(sorted(currencies))}.")
    for index, line in enumerate(requests):
        offer = offers.get(line.product_id)
        if offer is None or not offer.is_active:
            errors[f"order_item[{index}].product"] = [f"Product {line.product_id} is not for sale."]
            continue
        quantity = quantities.get(line.product_id, 0) + line.quantity
        if line.quantity < 1 or quantity > MAX_QUANTITY:
            errors[f"order_item[{index}].quantity"] = [f"A quantity lies between 1 and {MAX_QUANTITY}."]
            continue
        price = offer.price.minor
        try:
            seen = None if line.price is None else line.price_in(offer.price.currency)
        except NotMoney as error:
            errors[f"order_item[{index}].price"] = [str(error)]
            continue
        if seen is not None and seen != price:
            promise = promises.get(line.product_id, NO_PROMISE)
            if seen not in (promise.quoted if index in quoted else promise.shown):
                moved = moved or PriceMoved(line.product_id, str(offer.price))
            elif seen < price:
                price = seen
        quantities[line.product_id] = quantity
        prices[line.product_id] = min(price, prices.get(line.product_id, price))
    if errors:
        raise Invalid(errors)
    if moved is not None:
        raise moved
    return [
        OrderLine(position, product_id, offers[product_id].seller_id, quantity, prices[product_id])
        for position, (product_id, quantity) in enumerate(quantities.items(), 1)
    ]


def quoted_units(quotes: Mapping[int, PriceQuote], line: OrderLine) -> int:
    """The units of the largest quote of a line's product and price."""
    same = [q.quantity for q in quotes.values() if (q.product_id, q.price) == (line.product_id, line.price)]
    return max(same, default=0)


def reduced_lines(lines: Iterable[OrderLine], offers: Mapping[ProductId, Offer]) -> list[OrderLine]:
    """The lines below the price in force."""
    return [line for line in lines if line.price < offers[line.product_id].price.minor]


def _expected_price(line: OrderLineRequest, offer: Offer) -> int | None:
    """The price that the buyer saw; None also for an invalid amount, which `price_lines` reports."""
    try:
        return line.price_in(offer.price.currency)
    except NotMoney:
        return None
