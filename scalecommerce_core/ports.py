"""What the services need from outside. Adapters conform by shape; nothing here is to be inherited.

Every repository method is batch-shaped. Anything may raise `Unavailable` (the store does not answer) or its
subclass `TransactionAborted` (deadlock, serialization failure, lock timeout); other errors are named beside the method.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.account import Account, Session
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.errors import Conflict
from scalecommerce_core.domain.identifiers import (
    AccountId,
    CategoryId,
    CommandId,
    DeliveryId,
    EndpointId,
    OrderId,
    PaymentId,
    PolicyId,
    ProductId,
    RefundId,
    RunId,
    SessionId,
)
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, Payment, PaymentRefund, RefundRequest
from scalecommerce_core.domain.product import Offer, PriceChange, Product
from scalecommerce_core.domain.product_views import ViewBatch, ViewCounts
from scalecommerce_core.domain.rollups import Outage, RefundedPart, Rollups, SoldLine
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.domain.webhook import DeliveryStatus, WebhookAnswer, WebhookDelivery, WebhookEndpoint
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.observation import Facts, Groups, Looked, PastPrices
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import Reach
from scalecommerce_core.pricing.policy_state import Memory
from scalecommerce_core.pricing.runs import Assignment, Range, RangeStatus, Run, Schedule


class Duplicate(Conflict):
    """A unique `field` holds this value already; raised by `add` and `save` of a repository."""

    code = "duplicate"

    def __init__(self, field: str) -> None:
        super().__init__(f"This {field} is taken.")
        self.field = field


# --- the store


class AccountRepository(Protocol):
    def next_ids(self, count: int) -> Sequence[AccountId]: ...

    def add(self, accounts: Collection[Account]) -> None:
        """Raise `Duplicate("email")`."""
        ...

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]: ...

    def save(self, accounts: Collection[Account]) -> None: ...

    def by_email(self, emails: Collection[str]) -> Mapping[str, Account]:
        """Read without a lock, by normal (lower-case) address: for log-ins and imports."""
        ...


class SessionRepository(Protocol):
    def add(self, sessions: Collection[Session]) -> None: ...

    def lock(self, ids: Collection[SessionId]) -> Mapping[SessionId, Session]: ...

    def save(self, sessions: Collection[Session]) -> None: ...

    def revoke_all(self, account_id: AccountId, now: datetime, *, but: SessionId | None = None) -> None: ...


class CategoryRepository(Protocol):
    def add(self, names: Collection[tuple[str, str]]) -> Sequence[Category]:
        """Make categories of (name, slug); raise `Duplicate("name")`."""
        ...

    def existing(self, ids: Collection[CategoryId]) -> frozenset[CategoryId]: ...

    def all(self) -> Sequence[Category]: ...


class ProductRepository(Protocol):
    """`add` and `save` also append the price changes and the events that the products carry."""

    def next_ids(self, count: int) -> Sequence[ProductId]: ...

    def add(self, products: Collection[Product]) -> None:
        """Raise `Duplicate("sku")`."""
        ...

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Product]:
        """In id order. Withdrawn ones included."""
        ...

    def save(self, products: Collection[Product]) -> None:
        """Raise `Duplicate("sku")`."""
        ...

    def offers(self, ids: Collection[ProductId]) -> Mapping[ProductId, Offer]:
        """Read without a lock, for intake; withdrawn ones are inactive."""
        ...

    def prices_since(self, ids: Collection[ProductId], since: datetime) -> Mapping[ProductId, Sequence[PriceChange]]:
        """The price changes that were in force at `since` or later and still keep their promise, oldest first.

        A change that was rolled back, or replaced by a rollback, is left out.
        """
        ...

    def append_history(self, changes: Collection[PriceChange]) -> None:
        """Past prices of products that were just added (imports)."""
        ...

    def add_views(self, counts: ViewCounts, *, past: bool = False) -> None:
        """Into the totals, hours and price intervals of products and sellers. Ids that do not exist are skipped.

        `past`: these views are no news to pricing.
        """
        ...

    def note_views(self, batch_id: str, at: datetime) -> bool:
        """Remember for the time `views.NOTED` that this batch is counted in; False: it was. Waits for who is at it."""
        ...


class StockRepository(Protocol):
    """`add` and `save` also append the movements that the stocks carry.

    Given the moment, they also tell (`StockRanOut`, `StockReturned`) whose available units came to an end or came
    back: once per save, by its net effect. A stock that is added empty has run out. The past (imports) is no news.
    """

    def add(self, stocks: Collection[Stock], at: datetime | None = None) -> None: ...

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        """In id order."""
        ...

    def save(self, stocks: Collection[Stock], at: datetime | None = None) -> None: ...

    def surplus(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        """How many units more are on hand than the ledger accounts for (or fewer, negative), of stock that exists.

        Read without locking any stock, however long the ledger is: every sale and every delivery changes both sides
        alike, so the difference stands until somebody corrects it, and one transaction at a time may ask.
        """
        ...

    def promised(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        """Units in the lines of PENDING orders, of stock that this transaction has locked; without those of none."""
        ...


class OrderRepository(Protocol):
    """`add` and `save` also append the refunds and the events that the orders carry."""

    def next_ids(self, count: int) -> Sequence[OrderId]: ...

    def add(self, orders: Collection[Order]) -> None:
        """Raise `Duplicate("command_id")`, at the latest when the transaction ends."""
        ...

    def lock(self, ids: Collection[OrderId]) -> Mapping[OrderId, Order]:
        """In id order."""
        ...

    def save(self, orders: Collection[Order]) -> None: ...

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        """Read without a lock: what earlier attempts of these commands have placed."""
        ...

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock the first CREATED orders, in id order, that are neither parked nor stepped aside until later.

        Empty while another transaction decides: there is one decider at a time.
        """
        ...

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock PENDING orders whose `expires_at` has passed, skipping those that others have locked.

        Orders that are being paid are skipped too, as far as one look can tell: `payments.open_of` under the locks
        has the last word.
        """
        ...


class PaymentRepository(Protocol):
    """`add` and `save` also append the refunds that the payments carry.

    Attempts are opened and settled under their order's lock only.
    """

    def add(self, payments: Collection[Payment]) -> None: ...

    def lock(self, ids: Collection[PaymentId]) -> Mapping[PaymentId, Payment]:
        """In id order."""
        ...

    def save(self, payments: Collection[Payment]) -> None: ...

    def open_of(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        """The attempts that these orders wait for, read without a lock: certain while the orders are locked."""
        ...

    def lock_captured(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        """The charges that these orders were PAID with, locked in id order."""
        ...

    def claim_due(self, limit: int, now: datetime) -> Sequence[Payment]:
        """Lock payments whose `check_at` has come, the longest due first, skipping those that others have locked."""
        ...

    def lock_refunds(self, ids: Collection[RefundId]) -> Mapping[RefundId, PaymentRefund]:
        """In id order."""
        ...

    def save_refunds(self, refunds: Collection[PaymentRefund]) -> None: ...

    def claim_refunds(self, limit: int, now: datetime) -> Sequence[PaymentRefund]:
        """Lock OPEN refunds whose `try_at` has come, the longest due first, skipping those that others have locked."""
        ...


class PolicyRepository(Protocol):
    def next_ids(self, count: int) -> Sequence[PolicyId]: ...

    def add(self, policies: Collection[PricingPolicy]) -> None:
        """With their schedules: the first run is due at once."""
        ...

    def lock(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        """In id order."""
        ...

    def save(self, policies: Collection[PricingPolicy]) -> None: ...

    def remove(self, ids: Collection[PolicyId]) -> None:
        """With schedule, assignments and all that it remembers. Its runs and decisions stay for their time."""
        ...

    def of_sellers(self, sellers: Collection[AccountId]) -> Sequence[PricingPolicy]:
        """Read without a lock, by id, active or not."""
        ...

    def some(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        """Read without a lock."""
        ...

    def lock_schedules(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, Schedule]:
        """Of locked policies."""
        ...

    def save_schedules(self, schedules: Collection[Schedule]) -> None: ...

    def due(self, now: datetime, limit: int, known: Collection[str]) -> Sequence[PolicyId]:
        """Active policies whose next run is due, by id: those that have no run at work and whose rules
        (`PricingPolicy.policy`) are among `known`.
        """
        ...

    def active_with_unknown_rules(self, known: Collection[str], limit: int) -> Sequence[PricingPolicy]:
        """Active policies whose rules are not among `known`, by id, read without a lock."""
        ...

    def assign(self, choices: Mapping[ProductId, PolicyId | None]) -> None:
        """Each product follows that policy; None: that of its category again."""
        ...

    def exclude(self, choices: Mapping[ProductId, bool]) -> None:
        """Whatever they are assigned to: an excluded product's price does not move by itself."""
        ...

    def assignments(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Assignment]:
        """Of those of which something was said."""
        ...

    def is_stopped(self) -> bool:
        """Whether all pricing is."""
        ...

    def stop(self, stopped: bool) -> None: ...


class RunRepository(Protocol):
    """Runs, what they read, and what they write, in arrays by product id."""

    # --- what a policy's products show

    def product_ids(self, reach: Reach) -> Whole:
        """Of the products that the policy is for, in order."""
        ...

    def facts(self, reach: Reach, first: ProductId, last: ProductId, now: datetime) -> Facts:
        """Of those of them with ids from `first` to `last`, without a lock."""
        ...

    def past_prices(self, first: ProductId, last: ProductId, since: datetime) -> PastPrices:
        """Of products with ids from `first` to `last` whose price changed after `since`."""
        ...

    # --- what a policy remembers

    def blocks(self, policy_id: PolicyId) -> Sequence[int]:
        """The first ids of the blocks of its memory, in order."""
        ...

    def memory(self, policy_id: PolicyId, block: int) -> Memory | None: ...

    def save_memory(self, policy_id: PolicyId, block: int, memory: Memory) -> None: ...

    def groups(self, policy_id: PolicyId) -> Groups: ...

    def add_groups(self, policy_id: PolicyId, groups: Groups) -> None:
        """Those categories that nothing is known of."""
        ...

    def save_groups(self, policy_id: PolicyId, groups: Groups) -> None: ...

    def forget_memory(self, policy_ids: Collection[PolicyId]) -> None:
        """Blocks and groups."""
        ...

    # --- runs

    def next_ids(self, count: int) -> Sequence[RunId]: ...

    def add(self, run: Run, ranges: Collection[Range]) -> None:
        """Raise `Duplicate("policy")` while another run of the policy decides or writes."""
        ...

    def lock(self, run_id: RunId) -> Run | None: ...

    def share(self, run_id: RunId) -> Run | None:
        """Locked against changes, together with others who share it."""
        ...

    def save(self, run: Run) -> None: ...

    def unfinished(self, limit: int, known: Collection[str]) -> Sequence[RunId]:
        """Runs at work, the oldest first, read without a lock; deciding ones only if their rules are among `known`."""
        ...

    def at_work(self, policy_id: PolicyId) -> RunId | None:
        """The run of the policy that decides or writes, read without a lock."""
        ...

    def claim_range(self, run_id: RunId, status: RangeStatus) -> Range | None:
        """Lock the first range with that status, skipping those that others have locked."""
        ...

    def ranges(self, run_id: RunId) -> Sequence[Range]:
        """In order, without a lock."""
        ...

    def stage(self, part: Range, looked: Looked) -> None:
        """Keep the decisions of a claimed range, with what is to be remembered, and save the range."""
        ...

    def staged_memory(self, part: Range) -> tuple[Memory, Groups]:
        """What was staged with it."""
        ...

    def write(self, run: Run, part: Range, at: datetime) -> Whole:
        """Put the range's moves in force at `at`, into the history and the feed, and save the range; return the ids.

        A price that is not the one which was seen, or began later, stays; so does that of a product which was
        withdrawn, switched off, excluded, or assigned to another policy meanwhile, and a price that would move out of
        the bounds that its product has by now. Rows are locked in id order.
        """
        ...

    def undo(self, run: Run, part: Range, at: datetime) -> int:
        """Put old prices back in force where the range's new ones still are, and save the range; return how many.

        Nobody may insist on the prices that were taken back.
        """
        ...

    def save_range(self, part: Range) -> None: ...

    def forget(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` ranges, with their decisions, of runs that ended before, and runs without ranges.

        Return how many ranges and runs.
        """
        ...


@frozen
class StoredOutcome:
    """What a key was used for, and the answer; `body` is None if whoever took the key stored none."""

    fingerprint: bytes
    body: bytes | None


class IdempotencyRepository(Protocol):
    def claim(
        self, keys: Mapping[tuple[AccountId, str], bytes], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome | None]:
        """Take the keys (with their fingerprints) that are free, and return what is stored under the others.

        None stands for a key that another transaction in flight holds: nobody waits for it, because the other
        commands of the batch have nothing to do with it. A key that has expired is free.
        """
        ...

    def store(self, bodies: Mapping[tuple[AccountId, str], bytes]) -> None:
        """Keep the outcomes of claimed keys."""
        ...

    def release(self, keys: Collection[tuple[AccountId, str]]) -> None:
        """Give claimed keys back: refusals are not stored."""
        ...

    def forget(self, before: datetime, limit: int) -> int:
        """Delete keys that were taken before; return how many."""
        ...


@frozen
class NumberedEvent:
    """`audience` holds the accounts whose feed shows it, `payload` everything that was recorded, as JSON types.

    They need not see all of it: what each may is for `queries` to say.
    """

    seq: int
    topic: str
    at: datetime
    audience: tuple[AccountId, ...]
    payload: Mapping[str, Any]


class EventRepository(Protocol):
    """Events come in unnumbered, with the aggregates that record them. Numbers are 1, 2, 3, … without a gap.

    Nothing ever appears behind a number that has been read: what commits later gets a higher one.
    """

    def number(self, limit: int) -> int:
        """Number up to `limit` committed events, in the order in which they were recorded; return how many.

        None while another transaction numbers: there is one at a time.
        """
        ...

    def last_number(self) -> int:
        """0 before the first."""
        ...

    def numbered_after(self, seq: int, limit: int) -> Sequence[NumberedEvent]:
        """In order, for those who read every event once: see `claim`."""
        ...

    def claim(self, consumer: str, *, begin: int | None = None, wait: bool = False) -> int | None:
        """Lock the place of a consumer that reads all events in order: the number of the last one it is done with.

        None while another transaction holds it, unless this is to `wait`. A new consumer begins behind `begin`, or
        with the events that come after its first claim. What a consumer is not done with is not forgotten, so one that
        is given up must be taken out.
        """
        ...

    def advance(self, consumer: str, seq: int) -> None:
        """The claimed consumer is done with all up to `seq`."""
        ...

    def forget(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` of the oldest numbered events that happened before; return how many.

        Only from the old end, and never one that a consumer is not done with.
        """
        ...


class WebhookRepository(Protocol):
    def next_ids(self, count: int) -> Sequence[EndpointId]: ...

    def add(self, endpoints: Collection[WebhookEndpoint]) -> None: ...

    def lock(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        """In id order. Deleted ones included."""
        ...

    def save(self, endpoints: Collection[WebhookEndpoint]) -> None: ...

    def some(self, ids: Collection[EndpointId]) -> Mapping[EndpointId, WebhookEndpoint]:
        """Read without a lock, for sending."""
        ...

    def counts(self, owners: Collection[AccountId]) -> Mapping[AccountId, int]:
        """How many endpoints each owner has; those without one are left out."""
        ...

    def any_active(self) -> bool: ...

    def subscribed(self, owners: Collection[AccountId]) -> Sequence[WebhookEndpoint]:
        """Active endpoints, by id, of these owners, and those of staff that hear of all events.

        Only while their owners may: of active accounts, all events only while the account is staff's. They cannot be
        deleted before the transaction ends.
        """
        ...

    def forget_deleted(self, limit: int) -> int:
        """Delete endpoints that their owners deleted, and that have no deliveries any more; return how many."""
        ...


class DeliveryRepository(Protocol):
    """`save` also appends the log lines that the deliveries carry."""

    def next_ids(self, count: int) -> Sequence[DeliveryId]: ...

    def add(self, deliveries: Collection[WebhookDelivery]) -> None: ...

    def lock(self, ids: Collection[DeliveryId]) -> Mapping[DeliveryId, WebhookDelivery]:
        """In id order."""
        ...

    def save(self, deliveries: Collection[WebhookDelivery]) -> None: ...

    def endpoints_of(self, ids: Collection[DeliveryId]) -> set[EndpointId]:
        """Read without a lock: endpoints are locked before their deliveries."""
        ...

    def claim_due(self, limit: int, now: datetime, *, per_endpoint: int) -> Sequence[WebhookDelivery]:
        """Lock PENDING deliveries whose `try_at` has come, the longest due first, skipping those that others hold.

        At most `per_endpoint` for each active endpoint, one for an endpoint that fails, none while it is paused or
        while its owner may not hear (`subscribed`). If that is too many, the first of each endpoint goes before the
        second of any.
        """
        ...

    def settled(
        self,
        endpoint_id: EndpointId,
        since: datetime,
        until: datetime,
        statuses: Collection[DeliveryStatus],
        *,
        after: DeliveryId | None,
        limit: int,
    ) -> Sequence[DeliveryId]:
        """Those with one of `statuses` that were made from `since` up to, not including, `until`, by id.

        Raises `Invalid` when `until` is before `since`.
        """
        ...

    def forget(self, before: datetime, limit: int) -> int:
        """Delete deliveries that were made before, and those of deleted endpoints, with their logs; return how many."""
        ...


STATISTICS: Final = "statistics"
"""The consumer of the event log that adds rollups up."""


@frozen
class OwedOrder:
    """A PAID order without events, with the refunds that were recorded with it."""

    order_id: OrderId
    refunds: tuple[RefundedPart, ...] = ()

    @classmethod
    def of(cls, order: Order) -> "OwedOrder":
        """`order.refunds` are those that are saved with it."""
        sellers = {line.product_id: line.seller_id for line in order.lines}
        return cls(
            order.id,
            tuple(
                RefundedPart(made.product_id, sellers[made.product_id], made.quantity, made.amount, made.at)
                for made in order.refunds
            ),
        )


@frozen
class Owed:
    """Facts that came in without events and that no rollup shows yet."""

    products: Sequence[ProductId] = ()
    orders: Sequence[OwedOrder] = ()


@frozen
class ProductCounters:
    """Since the engine knows the product; they only ever grow, so whoever keeps the last ones has what came since.

    Without what was imported or seeded. `revenue` and `refunded_amount` in minor units of the product's currency;
    `out_of_stock` is the time for which nothing could be sold.
    """

    product_id: ProductId
    views: int
    orders: int
    units: int
    revenue: int
    refunded_units: int
    refunded_amount: int
    out_of_stock: timedelta


class StatisticsRepository(Protocol):
    """Rollups, written by whoever has claimed `STATISTICS`; `owe` and `counters` are for everybody."""

    def owe(self, facts: Owed) -> None:
        """Note facts that come without events, in the transaction that makes them."""
        ...

    def take_owed(self, limit: int) -> Owed:
        """Up to `limit` of the oldest notes; they are gone with the commit."""
        ...

    def owes_everything(self) -> bool:
        """Whether there are facts from before there were rollups."""
        ...

    def sold(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Sequence[SoldLine]]:
        """The lines of orders that were paid, sellers' own purchases included: `Rollups` leaves them out."""
        ...

    def add(self, rollups: Rollups) -> None: ...

    def shelve(self, product_ids: Collection[ProductId]) -> None:
        """Count products, with their views, for their seller as they stand on the shelf now."""
        ...

    def outages(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Outage]: ...

    def save_outages(self, outages: Mapping[ProductId, Outage]) -> None: ...

    def begin_outages(self, product_ids: Collection[ProductId], at: datetime) -> None:
        """Of those products that have nothing available and no outage yet."""
        ...

    def rebuild(self, seller_id: AccountId | None, now: datetime) -> None:
        """Make all sales and shelves anew, leaving out what is not folded yet; of one seller, if given."""
        ...

    def counters(self, first: ProductId, last: ProductId, now: datetime) -> Sequence[ProductCounters]:
        """Of all products with ids from `first` to `last`, by id, in one statement."""
        ...


class SearchRepository(Protocol):
    """What searching needs beside the products themselves; kept up by a task, one at a time."""

    def learn_words(self, limit: int) -> int:
        """Bring up to `limit` news of words into the vocabulary; return how many there were."""
        ...

    def move_prices(self, limit: int) -> int:
        """Bring the prices of up to `limit` products into the order by price; return how many were looked at."""
        ...

    def misplaced(self, limit: int) -> Mapping[ProductId, int]:
        """Up to `limit` active products whose prominence should be another, and which (`domain.prominence`).

        This reads whole tables.
        """
        ...

    def place(self, levels: Mapping[ProductId, int]) -> None: ...


class Transaction(Protocol):
    """Lock in this order only: idempotency keys, accounts, sessions, orders, payments, policies, runs and their
    ranges, products, stock, events, webhooks, deliveries, rollups.
    """

    @property
    def accounts(self) -> AccountRepository: ...
    @property
    def sessions(self) -> SessionRepository: ...
    @property
    def categories(self) -> CategoryRepository: ...
    @property
    def products(self) -> ProductRepository: ...
    @property
    def stock(self) -> StockRepository: ...
    @property
    def orders(self) -> OrderRepository: ...
    @property
    def payments(self) -> PaymentRepository: ...
    @property
    def policies(self) -> PolicyRepository: ...
    @property
    def runs(self) -> RunRepository: ...
    @property
    def idempotency(self) -> IdempotencyRepository: ...
    @property
    def events(self) -> EventRepository: ...
    @property
    def webhooks(self) -> WebhookRepository: ...
    @property
    def deliveries(self) -> DeliveryRepository: ...
    @property
    def statistics(self) -> StatisticsRepository: ...
    @property
    def search(self) -> SearchRepository: ...


class Store(Protocol):
    def begin(self) -> AbstractContextManager[Transaction]:
        """A clean exit commits, an exception rolls back. Aggregates are copies: a rollback leaves no trace."""
        ...

    def bulk(self) -> AbstractContextManager[Transaction]:
        """As `begin`, for imports and seeding: writes may take a faster way in for many rows.

        They may be done while the caller goes on, so their errors may come late: out of a later call or of the exit.
        """
        ...


@frozen
class CatalogChange:
    """What readers of the catalogue see otherwise from one commit on; `number` is the store's name for the commit.

    Prices, texts and what can be promised of `products`, new and withdrawn ones among them; the name of `sellers` on
    all that they offer; or `everything`. None of these: only lists differ, such as that of the categories.
    """

    number: int
    products: frozenset[ProductId] = frozenset()
    sellers: frozenset[AccountId] = frozenset()
    everything: bool = False


class ChangeListener(Protocol):
    """Whoever keeps copies of the catalogue. Called from any thread, one call at a time and in order for each feed."""

    def begun(self, number: int) -> None:
        """The feed begins, anew perhaps: changes with numbers below this may have happened unheard."""
        ...

    def changed(self, change: CatalogChange) -> None:
        """It was committed, by whichever process: reads that begin now see it."""
        ...

    def changed_here(self, change: CatalogChange) -> None:
        """It was committed by our own process, which has told nobody yet. The feed tells it again."""
        ...

    def complete(self, moment: float) -> None:
        """Every change that was committed before this moment of `time.monotonic` has been told."""
        ...


class CatalogFeed(Protocol):
    """Tells one process of all changes of the catalogue, as they are committed."""

    def follow(self, listener: ChangeListener) -> None:
        """From now on, until `close`; over interruptions of the store, which end in another `begun`."""
        ...

    def wanted(self) -> None:
        """Somebody reads copies: go on saying how `complete` the feed is. Quick, and callable from any thread."""
        ...

    def close(self) -> None: ...


# --- around the store


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
        ...


class Ids(Protocol):
    """Randomness for identifiers, as a port so that a simulation can replay it."""

    def command(self) -> CommandId: ...

    def token(self) -> str:
        """At least 128 random bits, URL-safe."""
        ...


class Randomness(Protocol):
    """As a port, so that a simulation can replay it."""

    def fraction(self) -> float:
        """From 0 up to, not including, 1."""
        ...

    def secret(self, count: int) -> bytes:
        """So many bytes that nobody can guess."""
        ...


class Unsealable(Exception):
    """It was sealed with a key that is not known any more."""


class Vault(Protocol):
    """Keeps what has to be stored, and used again, from whoever reads the database."""

    def seal(self, content: bytes) -> str: ...

    def open(self, sealed: str) -> bytes:
        """Raise `Unsealable`."""
        ...


@frozen
class OutgoingWebhook:
    """A signed message: POST `body` with `headers` to `url`."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class WebhookSender(Protocol):
    """Sends messages to where strangers want them."""

    def send(self, messages: Sequence[OutgoingWebhook]) -> Sequence[WebhookAnswer]:
        """All at once, each within seconds; one answer per message, in order. Never raises for a message.

        To public addresses only, and to the very ones that were checked; redirects are not followed.
        """
        ...


class Passwords(Protocol):
    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """The same work for a missing hash, so that timing does not tell which accounts exist."""
        ...

    def complaints(self, password: str, *, about: Iterable[str]) -> list[str]:
        """What is wrong with a new password (too short, common, only digits, close to a word of `about`)."""
        ...


class TokenKind(StrEnum):
    ACCESS = "access"
    REFRESH = "refresh"


@frozen
class Claims:
    """What a signed token says. `id` is its jti."""

    kind: TokenKind
    id: str
    account_id: AccountId
    session_id: SessionId
    is_staff: bool
    expires_at: datetime


class Tokens(Protocol):
    def issue(self, claims: Claims, now: datetime) -> str: ...

    def read(self, token: str, now: datetime) -> Claims:
        """Raise `TokenNotValid`."""
        ...


class LoginLimiter(Protocol):
    """Counts failed log-ins per key (an account's address, a client's address) in a sliding window."""

    def wait(self, keys: Collection[str], now: datetime) -> timedelta | None:
        """How long until another attempt is allowed; None: now."""
        ...

    def failed(self, keys: Collection[str], now: datetime) -> None: ...

    def forget(self, keys: Collection[str]) -> None: ...


class PaymentGateway(Protocol):
    """Takes money and sends it back, at most once per key, however often and from wherever it is asked.

    Raise `GatewayUnavailable` when the outcome is not known: no answer in time, a broken connection, a server error.
    It is never called inside a transaction, and from many threads at once. Its own timeouts must be well below the
    deadline of an attempt (`PaymentRules`).
    """

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        """The same key gets the same answer, also while the first request with it is at work."""
        ...

    def find(self, key: PaymentId) -> Charged | Declined | None:
        """What became of a charge; None: it is not known (yet)."""
        ...

    def refund(self, request: RefundRequest) -> None:
        """Return when the gateway has confirmed it."""
        ...


class Wakeups(Protocol):
    """Tells background workers that there is work; never raises, never blocks. A sweep finds what a lost call left."""

    def orders_placed(self) -> None: ...


class ViewCounter(Protocol):
    """Gathers product views off the hot path; losing some at a crash is accepted, counting any twice is not."""

    def viewed(self, product_id: ProductId, client: str = "") -> None:
        """Somebody looked at a product just now. Never raises, never blocks.

        `client` is whatever tells one client from another; it is not stored. A client's further looks at a product
        within the counter's window are none. Without it, every look counts.
        """
        ...

    def batch(self) -> ViewBatch | None:
        """What is to be written next, the same until it is forgotten; None: nothing. Raise `Unavailable`."""
        ...

    def forget(self, batch_id: str) -> None:
        """A batch that was written; one that is known no more is ignored. Raise `Unavailable`."""
        ...
