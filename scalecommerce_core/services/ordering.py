"""Orders, from intake to refund. Every use case takes a batch and answers each command on its own."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import field, frozen

from scalecommerce_core.domain.errors import (
    ConnectionLost,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    PaymentInProgress,
    PriceMoved,
    TransactionAborted,
    Unavailable,
)
from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, NotMoney, minor_units
from scalecommerce_core.domain.order import (
    MAX_LINES,
    MAX_QUANTITY,
    Order,
    OrderLine,
    OrderOrigin,
    OrderStatus,
    RefundLine,
)
from scalecommerce_core.domain.product import Offer
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import Clock, Duplicate, PendingFacts, PendingOrderFacts, Store, Transaction
from scalecommerce_core.services.idempotency import KEY_LIFETIME, IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.services.retry import retry_on

logger = logging.getLogger(__name__)
IMPORT_BATCH_SIZE = 200
EXPIRY_RETRY_DELAY = timedelta(minutes=5)
"""Time to repair the books of a product, before reservations that they do not cover are looked at again."""


@frozen
class OrderLineRequest:
    """One line of an order request. `price`, if given, is the unit price that the buyer saw and expects to pay: minor
    units of the product's currency, or a decimal string.
    """

    product_id: ProductId
    quantity: int
    price: int | str | None = None

    def price_in(self, currency: str) -> int | None:
        """`price` in minor units; raise `NotMoney` for a text that is not an amount in this currency."""
        return minor_units(self.price, currency) if isinstance(self.price, str) else self.price


@frozen
class PlaceOrder:
    """`id` is made before the first attempt, so that a retry finds the order instead of making a second one."""

    id: CommandId
    owner: AccountId
    lines: Sequence[OrderLineRequest]
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class CancelOrder:
    order_id: OrderId
    buyer: AccountId


@frozen
class RefundOrder:
    """Staff may refund any line, a seller their own."""

    order_id: OrderId
    owner: AccountId
    lines: Sequence[RefundLine]
    restock: bool = True
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class HistoricalLine:
    """`price` in minor units, whatever the product cost otherwise."""

    product_id: ProductId
    seller_id: AccountId
    quantity: int
    price: int


@frozen
class HistoricalRefund:
    at: datetime
    lines: Sequence[RefundLine]


@frozen
class HistoricalOrder:
    """A settled purchase of the past, with the refunds that followed it, oldest first."""

    id: CommandId
    buyer: AccountId
    currency: str
    placed_at: datetime
    lines: Sequence[HistoricalLine]
    refunds: Sequence[HistoricalRefund] = ()


@frozen
class ImportSummary:
    """How many historical orders and lines were new, and how many orders had been recorded before."""

    orders: int
    lines: int
    known: int


@frozen
class DecisionSummary:
    """How many orders background validation has reserved, rejected, and put aside after an error."""

    reserved: int = 0
    rejected: int = 0
    deferred: int = 0

    @property
    def total(self) -> int:
        return self.reserved + self.rejected + self.deferred

    def __add__(self, other: "DecisionSummary") -> "DecisionSummary":
        return DecisionSummary(
            self.reserved + other.reserved, self.rejected + other.rejected, self.deferred + other.deferred
        )


@frozen
class OrderRules:
    """How long a price that changed is still honoured, and how long unpaid stock is held."""

    price_promise: timedelta = timedelta(minutes=10)
    reservation: timedelta = timedelta(minutes=15)


class Ordering:
    def __init__(self, store: Store, clock: Clock, rules: OrderRules = OrderRules()) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    # --- intake

    def place(self, commands: Sequence[PlaceOrder]) -> list[Order | Replayed | MarketError]:
        """Take orders in: they are durable, CREATED, and hold no stock until `decide`.

        `Invalid` names lines as `order_item[0].product`; `PriceMoved` refuses a price that is not promised any more.
        """
        # Nearly always the ids are new, and the store refuses one that is not: only then are they looked up.
        try:
            return self._take_in(commands, lambda _tx: {})
        except (TransactionAborted, ConnectionLost, Duplicate):
            return self._take_in_again(commands)

    @retry_on(TransactionAborted, ConnectionLost, Duplicate)
    def _take_in_again(self, commands: Sequence[PlaceOrder]) -> list[Order | Replayed | MarketError]:
        """After an attempt that may have left its orders, or met those of another one."""
        return self._take_in(commands, lambda tx: tx.orders.by_command([command.id for command in commands]))

    def _take_in(
        self, commands: Sequence[PlaceOrder], placed: Callable[[Transaction], Mapping[CommandId, Order]]
    ) -> list[Order | Replayed | MarketError]:
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._place(tx, fresh, dict(placed(tx)), now))

    def _place(
        self, tx: Transaction, commands: Sequence[PlaceOrder], earlier: dict[CommandId, Order], now: datetime
    ) -> list[Order | MarketError]:
        """`earlier` are orders that attempts at these commands have placed before."""
        offers = tx.products.offers({line.product_id for command in commands for line in command.lines})
        promises = self._promises(tx, commands, offers, now)
        drafts: list[list[OrderLine] | MarketError] = []
        refused: list[CommandId] = []
        for command in commands:
            try:
                drafts.append(_lines(command.lines, offers, promises))
            except MarketError as error:
                drafts.append(error)
                refused.append(command.id)
        if refused:
            # What is refused now may have been taken in by an earlier attempt.
            earlier |= tx.orders.by_command(refused)
        ids = iter(tx.orders.next_ids(sum(isinstance(draft, list) for draft in drafts)))
        outcomes: list[Order | MarketError] = []
        new = []
        for command, draft in zip(commands, drafts, strict=True):
            if command.id in earlier:
                outcomes.append(earlier[command.id])
            elif isinstance(draft, MarketError):
                outcomes.append(draft)
            else:
                order = Order.placed(
                    id=next(ids),
                    command_id=command.id,
                    buyer_id=command.owner,
                    currency=offers[draft[0].product_id].price.currency,
                    lines=draft,
                    now=now,
                )
                outcomes.append(order)
                new.append(order)
                # Its twin in this batch, if it has one, finds it.
                earlier[command.id] = order
        tx.orders.add(new)
        return outcomes

    def _promises(
        self, tx: Transaction, commands: Sequence[PlaceOrder], offers: Mapping[ProductId, Offer], now: datetime
    ) -> Mapping[ProductId, Collection[int]]:
        """Prices besides the current ones that must be honoured, looked up only where a line needs it."""
        doubtful = {
            line.product_id
            for command in commands
            for line in command.lines
            if line.price is not None
            and line.product_id in offers
            and _expected_price(line, offers[line.product_id]) != offers[line.product_id].price.minor
        }
        if not doubtful:
            return {}
        changes = tx.products.prices_since(doubtful, now - self._rules.price_promise)
        return {product_id: {change.price.minor for change in of_product} for product_id, of_product in changes.items()}

    # --- background validation

    @retry_on(TransactionAborted, ConnectionLost)
    def decide(self, limit: int = 500) -> DecisionSummary:
        """Decide up to `limit` CREATED orders, first come first served: reserve all lines of an order, or reject it.

        An order whose decision raises is put aside for a while, and parked after five failures; the others go on.
        """
        return self._decide(limit)

    def _decide(self, limit: int) -> DecisionSummary:
        now = self._clock.now()
        claimed: Sequence[Order] = ()
        try:
            with self._store.begin() as tx:
                claimed = tx.orders.claim_undecided(limit, now)
                if not claimed:
                    return DecisionSummary()
                stock = tx.stock.lock(_products_of(claimed))
                for order in claimed:
                    order.decide(stock, now, now + self._rules.reservation)
                tx.orders.save(claimed)
                taken = _products_of(order for order in claimed if order.status is OrderStatus.PENDING)
                tx.stock.save([stock[product_id] for product_id in taken], now)
        except Unavailable:
            raise
        except Exception:
            # Bad data in one order must not block the others: halve until it stands alone.
            if len(claimed) > 1:
                half = len(claimed) // 2
                return self._decide(half) + self._decide(len(claimed) - half)
            if not claimed:
                raise
            logger.exception("order %s could not be decided", claimed[0].id)
            self._put_aside(claimed[0].id, now)
            return DecisionSummary(deferred=1)
        reserved = sum(order.status is OrderStatus.PENDING for order in claimed)
        return DecisionSummary(reserved=reserved, rejected=len(claimed) - reserved)

    def _put_aside(self, order_id: OrderId, now: datetime) -> None:
        with self._store.begin() as tx:
            for order in tx.orders.lock([order_id]).values():
                order.record_decision_failure(now, now + timedelta(seconds=2**order.decide_attempts))
                tx.orders.save([order])

    # --- life after the verdict

    @retry_on(TransactionAborted, ConnectionLost)
    def cancel(self, commands: Sequence[CancelOrder]) -> list[Order | MarketError]:
        """Give reservations back; cancelling a CANCELLED order again is harmless.

        `PaymentInProgress` while somebody pays: their money may be on its way.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            orders = tx.orders.lock({command.order_id for command in commands})
            being_paid = tx.payments.open_attempts(orders)
            stock = tx.stock.lock(_products_of(orders.values()))
            outcomes: list[Order | MarketError] = []
            for command in commands:
                order = orders.get(command.order_id)
                if order is None or order.buyer_id != command.buyer:
                    outcomes.append(NotFound("order", command.order_id))
                    continue
                if order.id in being_paid:
                    outcomes.append(PaymentInProgress(order.id))
                    continue
                try:
                    order.cancel(stock, now)
                except MarketError as error:
                    outcomes.append(error)
                else:
                    outcomes.append(order)
            tx.orders.save(_distinct(outcomes))
            tx.stock.save(list(stock.values()), now)
            return outcomes

    @retry_on(TransactionAborted, ConnectionLost)
    def expire(self, limit: int = 500) -> int:
        """Give the stock of up to `limit` unpaid reservations back whose time is over; return how many.

        One whose stock cannot be given back keeps it for `EXPIRY_PAUSE` more, and blocks no other.
        """
        return self._expire(limit)

    def _expire(self, limit: int) -> int:
        now = self._clock.now()
        claimed: Sequence[Order] = ()
        try:
            with self._store.begin() as tx:
                claimed = tx.orders.claim_expired(limit, now)
                # Looked at again under the locks: an attempt may have been opened while the orders were being claimed.
                being_paid = tx.payments.open_attempts([order.id for order in claimed])
                orders = [order for order in claimed if order.id not in being_paid]
                if orders:
                    stock = tx.stock.lock(_products_of(orders))
                    for order in orders:
                        order.expire(stock, now)
                    tx.orders.save(orders)
                    tx.stock.save(list(stock.values()), now)
                return len(orders)
        except Unavailable:
            raise
        except Exception:
            # As in `decide`: the oldest come first, so a bad one would be met again and again.
            if len(claimed) > 1:
                half = len(claimed) // 2
                return self._expire(half) + self._expire(len(claimed) - half)
            if not claimed:
                raise
            logger.exception("order %s could not expire", claimed[0].id)
            self._keep_longer(claimed[0].id, now)
            return 0

    def _keep_longer(self, order_id: OrderId, now: datetime) -> None:
        with self._store.begin() as tx:
            for order in tx.orders.lock([order_id]).values():
                order.record_expiry_failure(now, now + EXPIRY_RETRY_DELAY)
                tx.orders.save([order])

    @retry_on(TransactionAborted, ConnectionLost)
    def purge_idempotency_keys(self, limit: int = 500) -> int:
        """Delete up to `limit` idempotency keys whose lifetime is over; return how many."""
        with self._store.begin() as tx:
            return tx.idempotency.purge(self._clock.now() - KEY_LIFETIME, limit)

    @retry_on(TransactionAborted)
    def refund(self, commands: Sequence[RefundOrder]) -> list[Order | Replayed | MarketError]:
        """Give money back for units of PAID orders, with or without restock."""
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._refund(tx, fresh, now))

    def _refund(self, tx: Transaction, commands: Sequence[RefundOrder], now: datetime) -> list[Order | MarketError]:
        orders = tx.orders.lock({command.order_id for command in commands})
        # Orders of the past have none: they were paid elsewhere, and there is nothing to send back from here.
        payments = tx.payments.lock_captured(orders)
        stock = tx.stock.lock(_products_of(orders.values()))
        outcomes: list[Order | MarketError] = []
        for command in commands:
            try:
                order = _refundable(orders.get(command.order_id), command)
                made = order.refund(command.lines, stock, now, restock=command.restock, by=command.owner)
                if order.id in payments:
                    payments[order.id].add_refund(sum(refund.amount for refund in made), now)
            except MarketError as error:
                outcomes.append(error)
            else:
                outcomes.append(order)
        tx.orders.save(_distinct(outcomes))
        tx.payments.save([payment for payment in payments.values() if payment.refunds])
        tx.stock.save(list(stock.values()), now)
        return outcomes

    # --- history

    @retry_on(TransactionAborted, ConnectionLost)
    def import_orders(
        self, history: Sequence[HistoricalOrder], origin: OrderOrigin = OrderOrigin.IMPORT
    ) -> ImportSummary:
        """Replay settled purchases of the past through the same rules, at their own times and prices.

        An order that was recorded before (by command id) is left as it is. Stock must suffice: an order that
        falls short raises `Invalid`, and nothing of the batch is recorded. No events are kept: the past is no news.
        """
        with self._store.bulk() as tx:
            known = tx.orders.by_command([past.id for past in history])
            new = list({past.id: past for past in history if past.id not in known}.values())
            stock = tx.stock.lock({line.product_id for past in new for line in past.lines})
            ids = iter(tx.orders.next_ids(len(new)))
            # In parts, so that a store may write one while the next is made.
            for start in range(0, len(new), IMPORT_BATCH_SIZE):
                orders = [_settled(past, next(ids), stock, origin) for past in new[start : start + IMPORT_BATCH_SIZE]]
                tx.statistics.add_pending_facts(PendingFacts(orders=[PendingOrderFacts.of(order) for order in orders]))
                tx.orders.add(orders)
            tx.stock.save(list(stock.values()))
        return ImportSummary(len(new), sum(len(past.lines) for past in new), len(history) - len(new))


def _lines(
    wanted: Sequence[OrderLineRequest],
    offers: Mapping[ProductId, Offer],
    promises: Mapping[ProductId, Collection[int]],
) -> list[OrderLine]:
    """Order lines, one per product; raise `Invalid` naming each bad line, or `PriceMoved`."""
    errors: dict[str, list[str]] = {}
    if not 1 <= len(wanted) <= MAX_LINES:
        raise Invalid.field("order_item", f"An order has 1 to {MAX_LINES} lines, not {len(wanted)}.")
    quantities: dict[ProductId, int] = {}
    prices: dict[ProductId, int] = {}
    moved: PriceMoved | None = None
    currencies = {offers[line.product_id].price.currency for line in wanted if line.product_id in offers}
    if len(currencies) > 1:
        raise Invalid.field("order_item", f"One order has one currency, not {' and '.join(sorted(currencies))}.")
    for index, line in enumerate(wanted):
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
            seen = line.price_in(offer.price.currency)
        except NotMoney as error:
            errors[f"order_item[{index}].price"] = [str(error)]
            continue
        if seen is not None and seen != price:
            if seen not in promises.get(line.product_id, ()):
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


def _expected_price(line: OrderLineRequest, offer: Offer) -> int | None:
    """The price that the buyer saw; None also for an invalid amount, which `_lines` reports."""
    try:
        return line.price_in(offer.price.currency)
    except NotMoney:
        return None


def _settled(past: HistoricalOrder, order_id: OrderId, stock: Mapping[ProductId, Stock], origin: OrderOrigin) -> Order:
    if not past.lines or not all(
        1 <= line.quantity <= MAX_QUANTITY and MIN_PRICE <= line.price <= MAX_PRICE for line in past.lines
    ):
        raise Invalid.field(
            "history", f"Order {past.id} needs lines of 1 to {MAX_QUANTITY} units at a price of 0.01 or more."
        )
    order = Order.placed(
        id=order_id,
        command_id=past.id,
        buyer_id=past.buyer,
        currency=past.currency,
        lines=[
            OrderLine(position, line.product_id, line.seller_id, line.quantity, line.price)
            for position, line in enumerate(past.lines, 1)
        ],
        now=past.placed_at,
        origin=origin,
    )
    order.decide(stock, past.placed_at, past.placed_at)
    if order.status is not OrderStatus.PENDING:
        short = ", ".join(f"product {s.product_id}: {s.wanted} of {s.available}" for s in order.shortfalls)
        raise Invalid.field("history", f"Order {past.id} falls short of stock ({short}): open it with more.")
    order.pay(stock, past.placed_at)
    for refund in past.refunds:
        order.refund(refund.lines, stock, refund.at, restock=True)
    order.events.clear()
    return order


def _refundable(order: Order | None, command: RefundOrder) -> Order:
    if order is None:
        raise NotFound("order", command.order_id)
    if not command.as_staff:
        own = {line.product_id for line in order.lines if line.seller_id == command.owner}
        if not own and order.buyer_id != command.owner:
            raise NotFound("order", command.order_id)
        if any(line.product_id not in own for line in command.lines):
            raise Forbidden("Only staff, or the seller of these products, may refund them.")
    if not command.lines:
        raise Invalid.field("lines", "At least one line is wanted.")
    return order


def _products_of(orders: Iterable[Order]) -> set[ProductId]:
    return {line.product_id for order in orders for line in order.lines}


def _distinct(outcomes: Iterable[Order | MarketError]) -> list[Order]:
    return list({outcome.id: outcome for outcome in outcomes if isinstance(outcome, Order)}.values())
