"""Orders from intake to refund. Every use case takes a batch and returns one result or error per command."""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from scalecommerce_core.domain.audit import Actor, AuditAction, AuditEntry
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    OrderBacklogFull,
    PaymentInProgress,
    PriceMoved,
    TooManyOpenOrders,
    TransactionAborted,
    Unavailable,
)
from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE
from scalecommerce_core.domain.order import (
    MAX_QUANTITY,
    Order,
    OrderLine,
    OrderOrigin,
    OrderStatus,
    RefundLine,
)
from scalecommerce_core.domain.order_quotas import INTAKE_TIME, BuyerHoldings, OrderQuotas
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.domain.product import Offer
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.domain.text import cause_text, normal_reason
from scalecommerce_core.ports import (
    NO_MEASUREMENTS,
    Clock,
    Duplicate,
    Measurements,
    PendingFacts,
    PendingOrderFacts,
    QuoteSigner,
    Store,
    Transaction,
)
from scalecommerce_core.services.idempotency import KEY_LIFETIME, IdempotencyKey, replay_only, run_idempotent
from scalecommerce_core.services.intake_throttle import IntakeThrottle
from scalecommerce_core.services.order_lines import (
    NO_PROMISE,
    OrderLineRequest,
    PriceQuotes,
    PromisedPrices,
    QuotedLines,
    QuotePrices,
    SignedQuote,
    price_lines,
    quoted_units,
    read_promises,
    reduced_lines,
)
from scalecommerce_core.services.results import Replayed, apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on
from scalecommerce_core.services.verified_accounts import ALL_ACCOUNTS, EmailNotVerified, VerifiedAccounts

logger = logging.getLogger(__name__)
IMPORT_BATCH_SIZE = 200
"""Orders of an import that are written together."""
INTAKE_DECISIONS = 500
"""The most orders that a transaction of intake decides: its own, and undecided ones that were placed before."""
EXPIRY_RETRY_DELAY = timedelta(minutes=5)
"""After an error, an expired reservation is kept this long before the next attempt to release its stock."""


@frozen
class PlaceOrder:
    """The caller makes `id` before the first attempt, so that a retry does not place a second order."""

    id: CommandId
    """Never used again after its order was archived (`MarketRules.orders_hot_time`): then it places a second order."""
    owner: AccountId
    lines: Sequence[OrderLineRequest]
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class CancelOrder(StaffCommand):
    """Cancel an order of the buyer; staff cancel the order of anybody, with a `reason` for the audit log.

    `buyer` is the account that acts; 0 is an operator.
    """

    order_id: OrderId
    buyer: AccountId
    reason: str = ""


@frozen
class RefundOrder(StaffCommand):
    """Refund units of an order, and put them back into stock if `restock`.

    Staff may refund any line, a seller the lines of their own products.
    """

    order_id: OrderId
    owner: AccountId
    lines: Sequence[RefundLine]
    restock: bool = True
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class HistoricalLine:
    """A line of a historical order; `price` is the unit price paid, in minor units."""

    product_id: ProductId
    seller_id: AccountId
    quantity: int
    price: int


@frozen
class HistoricalRefund:
    """A refund of a historical order."""

    at: datetime
    lines: Sequence[RefundLine]


@frozen
class HistoricalOrder:
    """A paid order to import, with its refunds, oldest first."""

    id: CommandId
    buyer: AccountId
    currency: str
    placed_at: datetime
    lines: Sequence[HistoricalLine]
    refunds: Sequence[HistoricalRefund] = ()


@frozen
class ImportSummary:
    """How many orders and lines were imported; `known` orders had been imported before."""

    orders: int
    lines: int
    known: int


@frozen
class DecisionSummary:
    """How many orders background validation reserved, rejected, and deferred after an error."""

    reserved: int = 0
    rejected: int = 0
    deferred: int = 0

    @property
    def total(self) -> int:
        """Orders that were claimed."""
        return self.reserved + self.rejected + self.deferred

    def __add__(self, other: "DecisionSummary") -> "DecisionSummary":
        return DecisionSummary(
            self.reserved + other.reserved, self.rejected + other.rejected, self.deferred + other.deferred
        )


@frozen
class OrderRules:
    """Limits of orders; the servers set them from their settings."""

    price_promise: PricePromise = field(factory=PricePromise)
    """Which former prices an order may still use after a price change, and for how many units."""
    reservation: timedelta = timedelta(minutes=15)
    """How long stock is reserved for an unpaid order; afterwards the order expires."""
    quotas: OrderQuotas = field(factory=OrderQuotas)
    """What one account may hold without paying, and the period of sellers' limits per buyer."""
    max_decision_wait: timedelta | None = None
    """How long orders may wait for their decision before intake refuses new ones; None: it refuses none."""
    decide_at_intake: bool = False
    """Whether `Ordering.place` decides orders if it gets all locks without waiting, instead of leaving them to
    `Ordering.decide`. The API processes do so by default."""


class Ordering:
    """Use cases of orders: intake, background validation, cancellation, expiry, refund, import."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rules: OrderRules = OrderRules(),
        *,
        verified: VerifiedAccounts = ALL_ACCOUNTS,
        quote_signer: QuoteSigner | None = None,
        measurements: Measurements = NO_MEASUREMENTS,
        throttle: IntakeThrottle | None = None,
    ) -> None:
        """Without a `quote_signer`, prices are not quoted. Without a `throttle`, any number of orders may wait."""
        self._throttle = throttle
        self._measurements = measurements
        self._store = store
        self._clock = clock
        self._rules = rules
        self._verified = verified
        self._quotes = PriceQuotes(quote_signer, rules.price_promise)

    @retry_on(TransactionAborted, ConnectionLost)
    def quote_prices(self, commands: Sequence[QuotePrices]) -> list[Sequence[SignedQuote] | MarketError]:
        """Quote the prices in force to one buyer for `OrderRules.price_promise.lasts`; nothing is stored.

        Errors: `Invalid`, which names lines as `order_item[0].product`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            offers = tx.products.offers({line.product_id for command in commands for line in command.lines})
        return apply_each(commands, lambda command: self._quotes.make(command, offers, now))

    # --- intake

    def place(self, commands: Sequence[PlaceOrder]) -> list[Order | Replayed | MarketError]:
        """Intake: store orders as CREATED, which `decide` decides later.

        With `OrderRules.decide_at_intake`, the same transaction decides them, and those that were placed before, unless
        it would have to wait for a lock. Orders that it does not decide stay CREATED.

        A line costs the lower of the current price and the price that the buyer saw (`OrderLineRequest.price`), if that
        one is still promised (`OrderRules.price_promise`). Errors: `Invalid`, which names lines as
        `order_item[0].product`; `PriceMoved` for a price that is no longer promised, or not for so many units;
        `TooManyOpenOrders`; `EmailNotVerified`; `IdempotencyKeyReused`; `IdempotencyKeyInFlight`; `OrderBacklogFull`
        while too many orders are undecided, but not for orders that were accepted before.
        """
        begun = self._clock.now()
        answers: Counter[str] = Counter()
        try:
            refusal = self.refusal()
            results = self._place_or_retry(commands) if refusal is None else self._refuse(commands, refusal)
            answers.update(map(_answer, results))
        except MarketError as error:
            answers[_code(error)] = len(commands)
            raise
        finally:
            self._measurements.orders_received(answers, self._clock.now() - begun)
        return results

    def refusal(self) -> OrderBacklogFull | None:
        """Why new orders are refused now; None if they are accepted."""
        return None if self._throttle is None else self._throttle.refusal()

    @retry_on(TransactionAborted, ConnectionLost)
    def _refuse(
        self, commands: Sequence[PlaceOrder], refusal: OrderBacklogFull
    ) -> list[Order | Replayed | MarketError]:
        """Answer the commands whose orders were placed before; refuse the others."""
        with self._store.begin() as tx:
            placed = tx.orders.by_command([command.id for command in commands])
            return replay_only(tx, commands, self._clock.now(), lambda command: placed.get(command.id, refusal))

    def _place_or_retry(self, commands: Sequence[PlaceOrder]) -> list[Order | Replayed | MarketError]:
        # Command ids are nearly always new, and the store rejects an id that is not: look ids up only after a failure.
        try:
            return self._place_batch(commands, lambda _tx: {}, decide=self._rules.decide_at_intake)
        except (TransactionAborted, ConnectionLost, Duplicate):
            return self._place_again(commands)
        except Unavailable:
            raise
        except Exception:
            if not self._rules.decide_at_intake:
                raise
            # An order that cannot be decided must not prevent the intake of the others, or its own.
            logger.warning("%d orders are taken in without a decision after an error", len(commands), exc_info=True)
            return self._place_again(commands)

    @retry_on(TransactionAborted, ConnectionLost, Duplicate)
    def _place_again(self, commands: Sequence[PlaceOrder]) -> list[Order | Replayed | MarketError]:
        """Place the orders that earlier or concurrent attempts at these commands have not placed."""
        return self._place_batch(
            commands, lambda tx: tx.orders.by_command([command.id for command in commands]), decide=False
        )

    def _place_batch(
        self,
        commands: Sequence[PlaceOrder],
        placed: Callable[[Transaction], Mapping[CommandId, Order]],
        *,
        decide: bool,
    ) -> list[Order | Replayed | MarketError]:
        now = self._clock.now()
        decided: list[Order] = []
        with self._store.begin() as tx:
            results = run_idempotent(
                tx,
                commands,
                now,
                lambda fresh: self._place(tx, fresh, dict(placed(tx)), now, decided if decide else None),
            )
        if decided:
            self._measure_decisions(decided)
        return results

    def _place(
        self,
        tx: Transaction,
        commands: Sequence[PlaceOrder],
        earlier: dict[CommandId, Order],
        now: datetime,
        decided: list[Order] | None,
    ) -> list[Order | MarketError]:
        """`earlier` holds the orders that other attempts at these commands have placed. Add the orders that are decided
        to `decided`, unless it is None: then none are.
        """
        offers = tx.products.offers({line.product_id for command in commands for line in command.lines})
        requests = apply_each(commands, lambda command: self._quotes.read(command.lines, command.owner, now))
        promises = read_promises(tx, self._rules.price_promise, requests, offers, now)
        unverified = self._verified.unverified(tx, [command.owner for command in commands])

        def draft_of(command: PlaceOrder, request: QuotedLines | MarketError) -> list[OrderLine]:
            if command.owner in unverified:
                raise EmailNotVerified
            if isinstance(request, MarketError):
                raise request
            return price_lines(request.lines, request.quotes, offers, promises)

        drafts = apply_each(zip(commands, requests, strict=True), lambda both: draft_of(*both))
        if promises:
            drafts = self._limit_promised_units(
                tx, commands, requests, drafts, offers=offers, promises=promises, now=now
            )
        undecided = None
        if decided is not None and any(isinstance(draft, list) for draft in drafts):
            # Before open orders are counted: no other transaction decides from now on, so the counts stay right.
            undecided = tx.orders.try_claim_undecided(INTAKE_DECISIONS - len(drafts), self._clock.now())
        ids, drafts = self._limit_open_orders(tx, commands, drafts, earlier)
        refused = [c.id for c, draft in zip(commands, drafts, strict=True) if isinstance(draft, MarketError)]
        if refused:
            # A command that fails now may have succeeded in an earlier attempt.
            earlier |= tx.orders.by_command(refused)
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
                # A second command with the same id in this batch returns the same order.
                earlier[command.id] = order
        if new and decided is not None and undecided is not None:
            self._place_decided(tx, undecided, new, decided)
        else:
            tx.orders.add(new)
        return outcomes

    def _place_decided(
        self, tx: Transaction, undecided: Sequence[Order], new: Sequence[Order], decided: list[Order]
    ) -> None:
        """Decide orders that were placed before, and then the new ones; if stock is locked, leave all to `decide`."""
        wanted = _products_of((*undecided, *new))
        stock = tx.stock.try_lock(wanted)
        if len(stock) < len(wanted):
            tx.orders.add(new)
            return
        now = self._clock.now()
        orders = (*undecided, *new)
        self._decide_claimed(tx, orders, stock, now, recounted=undecided)
        tx.orders.save(undecided)
        tx.orders.add(new)
        self._save_reserved(tx, orders, stock, now)
        decided += orders

    def _limit_promised_units(
        self,
        tx: Transaction,
        commands: Sequence[PlaceOrder],
        requests: Sequence[QuotedLines | MarketError],
        drafts: Sequence[list[OrderLine] | MarketError],
        *,
        offers: Mapping[ProductId, Offer],
        promises: Mapping[ProductId, PromisedPrices],
        now: datetime,
    ) -> list[list[OrderLine] | MarketError]:
        """Refuse orders with more units at a former, lower price than one buyer may order at it (`PricePromise.units`,
        or the units of the buyer's quote of this price if they are more).

        Orders that another process takes in at the same time do not count yet, so the units of a buyer may exceed the
        limit by one batch per process.
        """
        reduced = {
            command.owner
            for command, draft in zip(commands, drafts, strict=True)
            if isinstance(draft, list) and reduced_lines(draft, offers)
        }
        if not reduced:
            return list(drafts)
        promise = self._rules.price_promise
        recent = tx.orders.recent_units(reduced, now - promise.lasts)
        units = dict(recent.units)

        def limit(
            command: PlaceOrder,
            request: QuotedLines | MarketError,
            draft: list[OrderLine] | MarketError,
        ) -> list[OrderLine] | MarketError:
            if isinstance(draft, MarketError) or isinstance(request, MarketError):
                return draft
            lines = reduced_lines(draft, offers)
            for line in lines:
                ordered = units.get((command.owner, line.product_id, line.price), 0)
                # A price that only a quote promises is promised for no further units.
                is_shown = line.price in promises.get(line.product_id, NO_PROMISE).shown
                allowed = max(promise.units if is_shown else 0, quoted_units(request.quotes, line))
                if command.owner in recent.busy or ordered + line.quantity > allowed:
                    return PriceMoved(line.product_id, str(offers[line.product_id].price))
            for line in lines:
                key = command.owner, line.product_id, line.price
                units[key] = units.get(key, 0) + line.quantity
            return draft

        return [limit(*each) for each in zip(commands, requests, drafts, strict=True)]

    def _limit_open_orders(
        self,
        tx: Transaction,
        commands: Sequence[PlaceOrder],
        drafts: Sequence[list[OrderLine] | MarketError],
        earlier: Mapping[CommandId, Order],
    ) -> tuple[Iterator[OrderId], list[list[OrderLine] | MarketError]]:
        """New ids, and the drafts without those that exceed the open orders that an account may have."""
        limit = self._rules.quotas.open_orders
        wanted = sum(isinstance(draft, list) for draft in drafts)
        if not limit or not wanted:
            return iter(tx.orders.next_ids(wanted)), list(drafts)
        buyers = {c.owner for c, draft in zip(commands, drafts, strict=True) if isinstance(draft, list)}
        ids, open_orders = tx.orders.begin_intake(wanted, buyers)
        allowed: list[list[OrderLine] | MarketError] = []
        counted = set(earlier)
        for command, draft in zip(commands, drafts, strict=True):
            if isinstance(draft, list) and command.id not in counted:
                if open_orders[command.owner] >= limit:
                    allowed.append(TooManyOpenOrders(limit))
                    continue
                open_orders[command.owner] += 1
                counted.add(command.id)
            allowed.append(draft)
        return iter(ids), allowed

    # --- background validation

    @retry_on(TransactionAborted, ConnectionLost)
    def decide(self, limit: int = 500) -> DecisionSummary:
        """Background validation: reserve all lines of each CREATED order, or reject it, for up to `limit` orders.

        An order is rejected if the stock does not suffice, if it exceeds a quota of its buyer (`OrderQuotas`) or the
        seller's limit per buyer, or if the seller withdrew a price of it; `Order.shortfalls` has the reasons.

        Orders are decided in the order of arrival, so one process decides at a time; the others return at once. An
        order whose decision raises an exception is deferred for 1, 2, 4, … seconds and parked after
        `domain.order.DECIDE_ATTEMPTS` failures; the other orders are decided.
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
                self._decide_claimed(tx, claimed, stock, now, recounted=claimed)
                tx.orders.save(claimed)
                self._save_reserved(tx, claimed, stock, now)
        except Unavailable:
            raise
        except Exception as error:
            # Bad data of one order must not block the others: halve the batch until the order stands alone.
            if len(claimed) > 1:
                half = len(claimed) // 2
                return self._decide(half) + self._decide(len(claimed) - half)
            if not claimed:
                raise
            logger.exception("order %s could not be decided", claimed[0].id)
            self._defer(claimed[0].id, now, cause_text(error))
            self._measurements.order_deferred()
            return DecisionSummary(deferred=1)
        self._measure_decisions(claimed)
        reserved = sum(order.status is OrderStatus.PENDING for order in claimed)
        return DecisionSummary(reserved=reserved, rejected=len(claimed) - reserved)

    def _decide_claimed(
        self,
        tx: Transaction,
        orders: Sequence[Order],
        stock: Mapping[ProductId, Stock],
        now: datetime,
        *,
        recounted: Collection[Order],
    ) -> None:
        """Decide orders in the given order. No other transaction may decide meanwhile.

        The open orders of the buyers of `recounted` are counted again: intake has counted them while other transactions
        may have decided.
        """
        holdings = self._holdings(tx, orders, stock, now, recounted)
        for order in orders:
            order.decide(stock, now, now + self._rules.reservation, holdings.objections)
            if order.status is OrderStatus.PENDING:
                holdings.add(order)

    def _save_reserved(
        self, tx: Transaction, decided: Iterable[Order], stock: Mapping[ProductId, Stock], now: datetime
    ) -> None:
        """Save the stock; call this after the orders are written, so that the event of a product that ran out follows
        those of its orders.
        """
        taken = _products_of(order for order in decided if order.status is OrderStatus.PENDING)
        tx.stock.save([stock[product_id] for product_id in taken], now)

    def _measure_decisions(self, decided: Sequence[Order]) -> None:
        def times(status: OrderStatus) -> list[timedelta]:
            return [
                order.decided_at - order.created_at
                for order in decided
                if order.status is status and order.decided_at is not None
            ]

        self._measurements.orders_decided(times(OrderStatus.PENDING), times(OrderStatus.REJECTED))
        rejected = [order for order in decided if order.status is OrderStatus.REJECTED]
        if rejected:
            self._measurements.orders_rejected(
                Counter(reason for order in rejected for reason in {each.reason for each in order.shortfalls})
            )

    def _holdings(
        self,
        tx: Transaction,
        claimed: Sequence[Order],
        stock: Mapping[ProductId, Stock],
        now: datetime,
        recounted: Collection[Order],
    ) -> BuyerHoldings:
        """What the buyers of these orders hold. Only the decider reserves, so nothing grows meanwhile."""
        quotas = self._rules.quotas
        since = min(order.created_at for order in claimed) - INTAKE_TIME
        # Intake that holds the lock of decisions has counted the open orders of each buyer, except those of its own
        # batch. Other orders were not counted against those that were taken in at the same time.
        orders_of = Counter(order.buyer_id for order in claimed)
        again = {order.buyer_id for order in recounted}
        to_count = [buyer for buyer, count in orders_of.items() if count > 1 or buyer in again]
        facts = tx.orders.quota_facts(to_count if quotas.open_orders else [], stock.keys(), since)
        holdings = BuyerHoldings(
            quotas,
            limits=facts.limits,
            pending=dict(facts.pending),
            contested=quotas.contested(claimed, stock),
            withdrawn=facts.withdrawn,
        )
        if holdings.contested:
            holdings.unpaid.update(tx.orders.unpaid_units(orders_of.keys(), holdings.contested))
        if holdings.limits:
            since = now - quotas.buyer_limit_window
            holdings.bought.update(tx.orders.bought_units(orders_of.keys(), holdings.limits.keys(), since))
        return holdings

    def _defer(self, order_id: OrderId, now: datetime, cause: str) -> None:
        with self._store.begin() as tx:
            for order in tx.orders.lock([order_id]).values():
                order.record_decision_failure(now, now + timedelta(seconds=2**order.decide_attempts), cause)
                tx.orders.save([order])

    @retry_on(TransactionAborted, ConnectionLost)
    def requeue(self, order_id: OrderId, by: Actor) -> Order:
        """For staff: let background validation decide a parked order again, with `DECIDE_ATTEMPTS` new attempts.

        Errors: `NotFound`, `NothingToRetry` for an order that is not parked.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            order = tx.orders.lock([order_id], restores=_never).get(order_id)
            if order is None:
                raise NotFound("order", order_id)
            before = {"decide_attempts": order.decide_attempts, "decide_error": order.decide_error}
            order.requeue(now)
            tx.orders.save([order])
            after = {"decide_attempts": order.decide_attempts}
            tx.audit.record([by.entry(AuditAction.ORDER_REQUEUED, order_id, now, before=before, after=after)])
            return order

    # --- after the decision

    @retry_on(TransactionAborted, ConnectionLost)
    def cancel(self, commands: Sequence[CancelOrder]) -> list[Order | MarketError]:
        """Cancel orders and release their stock; cancelling a CANCELLED order again changes nothing.

        Errors: `NotFound`; `TransitionNotAllowed`; `PaymentInProgress` while a payment attempt of the order is open,
        because its charge may succeed; `Invalid` for the reason of staff.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            # Archived orders are settled, so none is cancelled.
            orders = tx.orders.lock({command.order_id for command in commands}, restores=_never)
            being_paid = tx.payments.open_attempts(orders)
            stock = tx.stock.lock(_products_of(orders.values()))
            entries: list[AuditEntry] = []
            changed: list[Order] = []

            def cancel(command: CancelOrder) -> Order:
                order = orders.get(command.order_id)
                if order is None or (order.buyer_id != command.buyer and not command.as_staff):
                    raise NotFound("order", command.order_id)
                actor = actor_on(order.buyer_id, command.buyer, command.address)
                reason = "" if actor is None else normal_reason(command.reason)
                if order.id in being_paid:
                    raise PaymentInProgress(order.id)
                before = {"status": order.status}
                order.cancel(stock, now, by_staff=actor is not None)
                if before["status"] is order.status:
                    return order
                changed.append(order)
                if actor is not None:
                    after = {"status": order.status}
                    entries.append(
                        actor.entry(
                            AuditAction.ORDER_CANCELLED, order.id, now, before=before, after=after, reason=reason
                        )
                    )
                return order

            outcomes = apply_each(commands, cancel)
            tx.orders.save(changed)
            tx.stock.save(list(stock.values()), now)
            tx.audit.record(entries)
            return outcomes

    @retry_on(TransactionAborted, ConnectionLost)
    def expire(self, limit: int = 500) -> int:
        """Expire up to `limit` unpaid orders whose reservation has ended, and release their stock; return how many.

        An order whose expiry raises an exception keeps its stock for `EXPIRY_RETRY_DELAY`; the others expire.
        """
        return self._expire(limit)

    def _expire(self, limit: int) -> int:
        now = self._clock.now()
        claimed: Sequence[Order] = ()
        try:
            with self._store.begin() as tx:
                claimed = tx.orders.claim_expired(limit, now)
                # Check again under the locks: a payment attempt may have been opened while the orders were claimed.
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
            # As in `decide`: the oldest orders come first, so a bad one would fail every batch.
            if len(claimed) > 1:
                half = len(claimed) // 2
                return self._expire(half) + self._expire(len(claimed) - half)
            if not claimed:
                raise
            logger.exception("order %s could not expire", claimed[0].id)
            self._extend_reservation(claimed[0].id, now)
            return 0

    def _extend_reservation(self, order_id: OrderId, now: datetime) -> None:
        with self._store.begin() as tx:
            for order in tx.orders.lock([order_id]).values():
                order.record_expiry_failure(now, now + EXPIRY_RETRY_DELAY)
                tx.orders.save([order])

    @retry_on(TransactionAborted, ConnectionLost)
    def purge_idempotency_keys(self, limit: int = 500) -> int:
        """Delete up to `limit` idempotency keys that are older than `KEY_LIFETIME`; return how many."""
        with self._store.begin() as tx:
            return tx.idempotency.purge(self._clock.now() - KEY_LIFETIME, limit)

    @retry_on(TransactionAborted)
    def refund(self, commands: Sequence[RefundOrder]) -> list[Order | Replayed | MarketError]:
        """Refund units of PAID orders at their lines' prices.

        The money goes back through the gateway later (`Payments.send_refunds`). Errors: `NotFound`, `Forbidden`,
        `Invalid`, `TransitionNotAllowed`, `IdempotencyKeyReused`, `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._refund(tx, fresh, now))

    def _refund(self, tx: Transaction, commands: Sequence[RefundOrder], now: datetime) -> list[Order | MarketError]:
        orders = tx.orders.lock(
            {command.order_id for command in commands}, restores=lambda order: _can_refund(order, commands, now)
        )
        # Imported orders have no payment: they were paid elsewhere, so no money is sent back from here.
        payments = tx.payments.lock_captured(orders)
        stock = tx.stock.lock(_products_of(orders.values()))
        entries: list[AuditEntry] = []

        def refund(command: RefundOrder) -> Order:
            order = _refundable(orders.get(command.order_id), command)
            refunds = order.refund(command.lines, stock, now, restock=command.restock, by=command.owner)
            if order.id in payments:
                payments[order.id].add_refund(sum(each.amount for each in refunds), now)
            if not _refunded_products(command) <= _own_products(order, command.owner):
                actor = Actor(command.owner or None, command.address)
                entries.append(actor.entry(AuditAction.ORDER_REFUNDED, order.id, now, after=_audited(command)))
            return order

        outcomes = apply_each(commands, refund)
        tx.orders.save(succeeded(outcomes))
        tx.payments.save([payment for payment in payments.values() if payment.refunds])
        tx.stock.save(list(stock.values()), now)
        tx.audit.record(entries)
        return outcomes

    # --- history

    @retry_on(TransactionAborted, ConnectionLost)
    def import_orders(
        self, history: Sequence[HistoricalOrder], origin: OrderOrigin = OrderOrigin.IMPORT
    ) -> ImportSummary:
        """Import paid orders of the past with their own times and prices; they publish no events.

        An order that was imported before (same command id) is skipped. Raise `Invalid`, and import nothing of the
        batch, if stock does not suffice for an order.
        """
        with self._store.bulk() as tx:
            known = tx.orders.by_command([past.id for past in history])
            new = list({past.id: past for past in history if past.id not in known}.values())
            stock = tx.stock.lock({line.product_id for past in new for line in past.lines})
            ids = iter(tx.orders.next_ids(len(new)))
            # In parts, so that the store can write one part while the next is built.
            for start in range(0, len(new), IMPORT_BATCH_SIZE):
                batch = new[start : start + IMPORT_BATCH_SIZE]
                orders = [_historical_order(past, next(ids), stock, origin) for past in batch]
                tx.statistics.add_pending_facts(PendingFacts(orders=[PendingOrderFacts.of(order) for order in orders]))
                tx.orders.add(orders)
            tx.stock.save(list(stock.values()))
        return ImportSummary(len(new), sum(len(past.lines) for past in new), len(history) - len(new))


def _answer(result: Order | Replayed | MarketError) -> str:
    """The answer to an order, as `Measurements` names it."""
    if isinstance(result, Order):
        return "accepted"
    return _code(result) if isinstance(result, MarketError) else "replayed"


def _code(error: MarketError) -> str:
    is_outage = isinstance(error, Unavailable) and not isinstance(error, OrderBacklogFull)
    return Unavailable.code if is_outage else error.code


def _historical_order(
    past: HistoricalOrder, order_id: OrderId, stock: Mapping[ProductId, Stock], origin: OrderOrigin
) -> Order:
    """Build the order, paid and refunded as it was; raise `Invalid` if stock does not suffice."""
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
        own = _own_products(order, command.owner)
        if not own and order.buyer_id != command.owner:
            raise NotFound("order", command.order_id)
        if not _refunded_products(command) <= own:
            raise Forbidden("Only staff, or the seller of these products, may refund them.")
    if not command.lines:
        raise Invalid.field("lines", "At least one line is required.")
    return order


def _can_refund(order: Order, commands: Sequence[RefundOrder], now: datetime) -> bool:
    """Whether one of the commands can succeed, as far as that depends on the order: then it is worth being restored."""

    def attempt(command: RefundOrder) -> Order:
        trial = evolve(_refundable(order, command), refunds=[], events=[])
        trial.refund(command.lines, {}, now, restock=False)
        return trial

    return bool(succeeded(apply_each([each for each in commands if each.order_id == order.id], attempt)))


def _never(_order: Order) -> bool:
    """For commands that cannot succeed on a settled order: it stays archived."""
    return False


def _own_products(order: Order, seller_id: AccountId) -> set[ProductId]:
    return {line.product_id for line in order.lines if line.seller_id == seller_id}


def _refunded_products(command: RefundOrder) -> set[ProductId]:
    return {line.product_id for line in command.lines}


def _audited(command: RefundOrder) -> Mapping[str, object]:
    """What the audit log shows of a refund."""
    lines = [{"product_id": line.product_id, "quantity": line.quantity} for line in command.lines]
    return {"lines": lines, "restock": command.restock}


def _products_of(orders: Iterable[Order]) -> set[ProductId]:
    return {line.product_id for order in orders for line in order.lines}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Deprecated name of `OrderLineRequest`; it will be removed in the next release."""
        if name == "WantedLine":
            warnings.warn("WantedLine was renamed to OrderLineRequest", DeprecationWarning, stacklevel=2)
            return OrderLineRequest
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
