"""An in-memory store: copies in, copies out, and a draft that is dropped on error, like a real one.

One transaction runs at a time, so it shows no deadlock and no lock timeout; everything else behaves as the
contract suites demand of every adapter.
"""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

from attrs import define, evolve, field, fields

from scalecommerce_core.domain.account import Account, Session
from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, Category, slug_of
from scalecommerce_core.domain.events import Event, StockRanOut, StockReturned
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
from scalecommerce_core.domain.order import Order, OrderStatus, Refund, is_sale
from scalecommerce_core.domain.payment import Payment, PaymentRefund, PaymentStatus, RefundStatus
from scalecommerce_core.domain.popularity import Popularity, levels
from scalecommerce_core.domain.product import Offer, PriceCause, PriceChange, Product
from scalecommerce_core.domain.product_views import NOTED, ViewCounts
from scalecommerce_core.domain.rollups import Outage
from scalecommerce_core.domain.stock import Stock, StockMovement
from scalecommerce_core.domain.webhook import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from scalecommerce_core.ports import (
    CatalogChange,
    ChangeListener,
    Duplicate,
    NumberedEvent,
    Owed,
    StoredOutcome,
    Transaction,
)
from scalecommerce_core.pricing.observation import Groups
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_state import Memory
from scalecommerce_core.pricing.runs import Assignment, Range, Run, Schedule
from scalecommerce_core.services.idempotency import LIFETIME
from scalecommerce_core.testing.memory.pricing import MemoryPolicies, MemoryRuns, Staged
from scalecommerce_core.testing.memory.statistics import CONSUMER, MemoryStatistics, add_views
from scalecommerce_core.testing.memory.webhooks import MemoryDeliveries, MemoryEndpoints, copied_delivery

NUMBERED: Final = "numbered"
FORGOTTEN: Final = "forgotten"

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """Committed rows, and those that the transaction in flight has written."""

    def __init__(self, copy: Callable[[V], V]) -> None:
        self._copy = copy
        self._rows: dict[K, V] = {}
        self._draft: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        row = self._draft[key] if key in self._draft else self._rows.get(key)
        return None if row is None else self._copy(row)

    def some(self, keys: Iterable[K]) -> dict[K, V]:
        return {key: row for key in keys if (row := self.get(key)) is not None}

    def put(self, key: K, row: V) -> None:
        self._draft[key] = self._copy(row)

    def drop(self, key: K) -> None:
        self._draft[key] = None

    def all(self) -> Iterator[V]:
        """Rows for reading: not copies."""
        return (row for _, row in self.items())

    def items(self) -> list[tuple[K, V]]:
        merged = {**self._rows, **self._draft}
        return [(key, row) for key, row in merged.items() if row is not None]

    def commit(self) -> None:
        for key, row in self._draft.items():
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row
        self._draft.clear()

    def rollback(self) -> None:
        self._draft.clear()

    def drafted(self) -> list[tuple[K, V | None, V | None]]:
        """The keys that the transaction has written, with their rows before and after it."""
        return [(key, self._rows.get(key), row) for key, row in self._draft.items()]

    def committed(self) -> "Table[K, V]":
        """The same rows without any draft."""
        view = Table[K, V](self._copy)
        view._rows = self._rows
        return view


class Log(Generic[V]):
    """An append-only table."""

    def __init__(self) -> None:
        self.rows: list[V] = []
        self._draft: list[V] = []

    def append(self, rows: Iterable[V]) -> None:
        self._draft += rows

    def all(self) -> Iterator[V]:
        return itertools.chain(self.rows, self._draft)

    def commit(self) -> None:
        self.rows += self._draft
        self._draft = []

    def rollback(self) -> None:
        self._draft = []

    def committed(self) -> "Log[V]":
        """The same rows without any draft."""
        view = Log[V]()
        view.rows = self.rows
        return view


@define
class StoredKey:
    fingerprint: bytes
    taken_at: datetime
    body: bytes | None = None


def _same(row: V) -> V:
    return row


def _copies(kind: type[V], *emptied: str) -> Callable[[V], V]:
    """Makes copies as `evolve` does, with the named lists emptied, in a quarter of its time: every load and every
    save is a copy. Rows are valid already, so that nothing has to be checked or converted again.
    """
    kept = [attribute.name for attribute in fields(cast(Any, kind)) if attribute.name not in emptied]
    new, put = kind.__new__, object.__setattr__

    def copy(row: V) -> V:
        twin = new(kind)
        for name in kept:
            put(twin, name, getattr(row, name))
        for name in emptied:
            put(twin, name, [])
        return twin

    return copy


_copied_product = _copies(Product, "price_changes", "events")
_copied_stock = _copies(Stock, "movements")
_copied_order = _copies(Order, "refunds", "events")
_copied_payment = _copies(Payment, "refunds")


@define
class Tables:
    """Everything the market remembers."""

    accounts: Table[AccountId, Account] = field(factory=lambda: Table(evolve))
    sessions: Table[SessionId, Session] = field(factory=lambda: Table(evolve))
    categories: Table[CategoryId, Category] = field(factory=lambda: Table(_same))
    products: Table[ProductId, Product] = field(factory=lambda: Table(_copied_product))
    views: Table[ProductId, int] = field(factory=lambda: Table(_same))
    viewed: Table[tuple[Any, ...], int] = field(factory=lambda: Table(_same))
    noted_views: Table[str, datetime] = field(factory=lambda: Table(_same))
    """By rollup and key."""
    prominence: Table[ProductId, int] = field(factory=lambda: Table(_same))
    shelves: Table[ProductId, int] = field(factory=lambda: Table(_same))
    rollups: Table[tuple[Any, ...], tuple[int, ...]] = field(factory=lambda: Table(_same))
    outages: Table[ProductId, Outage] = field(factory=lambda: Table(_same))
    owed: Table[int, Owed] = field(factory=lambda: Table(_same))
    stock: Table[ProductId, Stock] = field(factory=lambda: Table(_copied_stock))
    orders: Table[OrderId, Order] = field(factory=lambda: Table(_copied_order))
    payments: Table[PaymentId, Payment] = field(factory=lambda: Table(_copied_payment))
    payment_refunds: Table[RefundId, PaymentRefund] = field(factory=lambda: Table(evolve))
    policies: Table[PolicyId, PricingPolicy] = field(factory=lambda: Table(evolve))
    schedules: Table[PolicyId, Schedule] = field(factory=lambda: Table(evolve))
    assignments: Table[ProductId, Assignment] = field(factory=lambda: Table(_same))
    switches: Table[str, bool] = field(factory=lambda: Table(_same))
    blocks: Table[tuple[PolicyId, int], Memory] = field(factory=lambda: Table(_same))
    groups: Table[PolicyId, Groups] = field(factory=lambda: Table(_same))
    runs: Table[RunId, Run] = field(factory=lambda: Table(evolve))
    ranges: Table[tuple[RunId, int], Range] = field(factory=lambda: Table(evolve))
    staged: Table[tuple[RunId, int], Staged] = field(factory=lambda: Table(_same))
    keys: Table[tuple[AccountId, str], StoredKey] = field(factory=lambda: Table(evolve))
    endpoints: Table[EndpointId, WebhookEndpoint] = field(factory=lambda: Table(evolve))
    deliveries: Table[DeliveryId, WebhookDelivery] = field(factory=lambda: Table(copied_delivery))
    attempts: Log[WebhookAttempt] = field(factory=Log)
    price_changes: Log[PriceChange] = field(factory=Log)
    movements: Log[StockMovement] = field(factory=Log)
    refunds: Log[Refund] = field(factory=Log)
    events: Log[Event] = field(factory=Log)
    """All that were ever recorded: one transaction runs at a time, so that an event's number is its place here."""
    event_marks: Table[str, int] = field(factory=lambda: Table(_same))
    """How many events are numbered, how many are forgotten, and how far each consumer is."""

    def parts(self) -> list["Table[Any, Any] | Log[Any]"]:
        return [getattr(self, attribute.name) for attribute in fields(Tables)]

    def committed(self) -> "Tables":
        """What readers see who take no part in the transaction in flight."""
        committed: dict[str, Any] = {each.name: getattr(self, each.name).committed() for each in fields(Tables)}
        return Tables(**committed)


class MemoryStore:
    """`ports.Store` over plain dictionaries, with the default categories installed.

    `changed` is told of each change of the catalogue once it is committed.
    """

    def __init__(self) -> None:
        self.changed: Callable[[CatalogChange], None] = lambda _: None
        self.commits = 0
        self.tables = Tables()
        self._parts = self.tables.parts()
        self._turn = threading.Lock()
        self._counters: dict[str, Iterator[int]] = {}
        self._owner: int | None = None
        with self.begin() as tx:
            tx.categories.add([(name, slug_of(name)) for name in DEFAULT_CATEGORIES])

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        if self._owner == threading.get_ident():
            raise RuntimeError("A transaction is open already: use cases do not call each other.")
        with self._turn:
            self._owner = threading.get_ident()
            try:
                yield MemoryTransaction(self.tables, self._next)
            except BaseException:
                for part in self._parts:
                    part.rollback()
                raise
            else:
                self.commits += 1
                change = catalog_change(self.tables, self.commits)
                for part in self._parts:
                    part.commit()
            finally:
                self._owner = None
        if change is not None:
            self.changed(change)

    bulk = begin

    def _next(self, name: str, count: int) -> list[int]:
        # As in a database, numbers that a rolled back transaction took are gone.
        counter = self._counters.setdefault(name, itertools.count(1))
        return list(itertools.islice(counter, count))


class MemoryCatalogFeed:
    """`ports.CatalogFeed` of a `MemoryStore` in this process: it tells at once, and is complete at any time."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._listener: ChangeListener | None = None

    def follow(self, listener: ChangeListener) -> None:
        self._listener = listener
        self._store.changed = listener.changed_here
        listener.begun(self._store.commits + 1)
        listener.complete(time.monotonic())

    def wanted(self) -> None:
        if self._listener is not None:
            self._listener.complete(time.monotonic())

    def close(self) -> None:
        self._store.changed = lambda _: None


def catalog_change(tables: Tables, number: int) -> CatalogChange | None:
    """What readers of the catalogue see otherwise once the transaction in flight is committed."""
    products = {key for key, before, after in tables.products.drafted() if before != after}
    for key, was, stock in tables.stock.drafted():
        if (was and was.available) != (stock and stock.available):
            products.add(key)
    people = tables.accounts.drafted()
    sellers = {key for key, was, is_ in people if was and is_ and _shown(was) != _shown(is_)}
    if not products and not sellers and not tables.categories.drafted():
        return None
    return CatalogChange(number, frozenset(products), frozenset(sellers))


def _shown(account: Account) -> tuple[str, ...]:
    return account.first_name, account.last_name, account.email


class MemoryTransaction:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self.accounts = _Accounts(tables, numbers)
        self.sessions = _Sessions(tables)
        self.categories = _Categories(tables, numbers)
        self.products = _Products(tables, numbers)
        self.stock = _Stocks(tables)
        self.orders = _Orders(tables, numbers)
        self.payments = _Payments(tables)
        self.policies = MemoryPolicies(tables, numbers)
        self.runs = MemoryRuns(tables, numbers, MemoryStatistics(tables, numbers))
        self.idempotency = _Keys(tables)
        self.events = _Events(tables)
        self.webhooks = MemoryEndpoints(tables.endpoints, tables.deliveries, tables.accounts, numbers)
        self.deliveries = MemoryDeliveries(
            tables.deliveries, tables.attempts, tables.endpoints, tables.accounts, numbers
        )
        self.statistics = MemoryStatistics(tables, numbers)
        self.search = _Search(tables)


class _Search:
    """There is nothing to keep up but prominence: words and prices are read where they stand."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def learn_words(self, limit: int) -> int:  # noqa: ARG002 - the port's
        return 0

    def move_prices(self, limit: int) -> int:  # noqa: ARG002 - the port's
        return 0

    def misplaced(self, limit: int) -> Mapping[ProductId, int]:
        orders = Counter(
            line.product_id
            for order in self._tables.orders.all()
            if order.status in {OrderStatus.PAID, OrderStatus.REFUNDED}
            for line in order.lines
            if is_sale(order.buyer_id, line.seller_id)
        )
        wanted = levels(
            Popularity(product.id, self._tables.views.get(product.id) or 0, orders[product.id])
            for product in self._tables.products.all()
            if product.is_active
        )
        moved = {id_: level for id_, level in wanted.items() if level != (self._tables.prominence.get(id_) or 0)}
        return dict(itertools.islice(moved.items(), limit))

    def place(self, levels: Mapping[ProductId, int]) -> None:
        for product_id, level in levels.items():
            self._tables.prominence.put(product_id, level)


class _Accounts:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[AccountId]:
        return [AccountId(number) for number in self._numbers("accounts", count)]

    def add(self, accounts: Collection[Account]) -> None:
        taken = {account.email for account in self._tables.accounts.all()}
        for account in accounts:
            if account.email in taken:
                raise Duplicate("email")
            taken.add(account.email)
            self._tables.accounts.put(account.id, account)

    def lock(self, ids: Collection[AccountId]) -> Mapping[AccountId, Account]:
        return self._tables.accounts.some(sorted(ids))

    def save(self, accounts: Collection[Account]) -> None:
        for account in accounts:
            self._tables.accounts.put(account.id, account)

    def by_email(self, emails: Collection[str]) -> Mapping[str, Account]:
        wanted = set(emails)
        return {account.email: evolve(account) for account in self._tables.accounts.all() if account.email in wanted}


class _Sessions:
    def __init__(self, tables: Tables) -> None:
        self._sessions = tables.sessions

    def add(self, sessions: Collection[Session]) -> None:
        for session in sessions:
            self._sessions.put(session.id, session)

    save = add

    def lock(self, ids: Collection[SessionId]) -> Mapping[SessionId, Session]:
        return self._sessions.some(sorted(ids))

    def revoke_all(self, account_id: AccountId, now: datetime, *, but: SessionId | None = None) -> None:
        for session in [evolve(session) for session in self._sessions.all()]:
            if session.account_id == account_id and session.id != but:
                session.revoke(now)
                self._sessions.put(session.id, session)


class _Categories:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._categories = tables.categories
        self._numbers = numbers

    def add(self, names: Collection[tuple[str, str]]) -> Sequence[Category]:
        taken = {category.slug for category in self._categories.all()}
        added = []
        for (name, slug), number in zip(names, self._numbers("categories", len(names)), strict=True):
            if slug in taken:
                raise Duplicate("name")
            taken.add(slug)
            added.append(Category(CategoryId(number), name, slug))
            self._categories.put(added[-1].id, added[-1])
        return added

    def existing(self, ids: Collection[CategoryId]) -> frozenset[CategoryId]:
        return frozenset(self._categories.some(ids))

    def all(self) -> Sequence[Category]:
        return sorted(self._categories.all(), key=lambda category: category.id)


class _Products:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[ProductId]:
        return [ProductId(number) for number in self._numbers("products", count)]

    def add(self, products: Collection[Product]) -> None:
        self.save(products)

    def save(self, products: Collection[Product]) -> None:
        kept = (p for p in self._tables.products.all() if p.sku is not None and p.withdrawn_at is None)
        skus = {(p.seller_id, p.sku): p.id for p in kept}
        for product in products:
            in_catalogue = product.sku is not None and product.withdrawn_at is None
            if in_catalogue and skus.setdefault((product.seller_id, product.sku), product.id) != product.id:
                raise Duplicate("sku")
            self._tables.price_changes.append(product.price_changes)
            self._tables.events.append(product.events)
            self._tables.products.put(product.id, product)

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Product]:
        return self._tables.products.some(sorted(ids))

    def offers(self, ids: Collection[ProductId]) -> Mapping[ProductId, Offer]:
        return {
            product.id: Offer(product.id, product.seller_id, product.name, product.price, product.is_active)
            for product in self._tables.products.some(ids).values()
        }

    def prices_since(self, ids: Collection[ProductId], since: datetime) -> Mapping[ProductId, Sequence[PriceChange]]:
        return {product_id: _in_force_since(self._history(product_id), since) for product_id in ids}

    def _history(self, product_id: ProductId) -> list[PriceChange]:
        changes = [change for change in self._tables.price_changes.all() if change.product_id == product_id]
        return sorted(changes, key=lambda change: change.valid_from)

    def append_history(self, changes: Collection[PriceChange]) -> None:
        self._tables.price_changes.append(changes)

    def add_views(self, counts: ViewCounts, *, past: bool = False) -> None:
        add_views(self._tables, counts, past=past)

    def note_views(self, batch_id: str, at: datetime) -> bool:
        noted = self._tables.noted_views
        if noted.get(batch_id) is not None:
            return False
        noted.put(batch_id, at)
        for old in [each for each, since in noted.items() if since <= at - NOTED]:
            noted.drop(old)
        return True


def _in_force_since(changes: Sequence[PriceChange], since: datetime) -> list[PriceChange]:
    """Those in force at `since` or later; a rollback takes itself and the price it replaced out."""
    kept: list[PriceChange] = []
    for index, change in enumerate(changes):
        ended = changes[index + 1].valid_from if index + 1 < len(changes) else None
        replaced_by_rollback = index + 1 < len(changes) and changes[index + 1].cause is PriceCause.ROLLBACK
        if (ended is None or ended > since) and not replaced_by_rollback:
            kept.append(change)
    return kept


class _Stocks:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, stocks: Collection[Stock], at: datetime | None = None) -> None:
        for stock in stocks:
            before = self._tables.stock.get(stock.product_id)
            self._tables.movements.append(stock.movements)
            self._tables.stock.put(stock.product_id, stock)
            was_out, is_out = before is not None and before.available == 0, stock.available == 0
            if at is not None and was_out != is_out:
                product = self._tables.products.get(stock.product_id)
                kind = StockRanOut if is_out else StockReturned
                if product is not None:
                    told = kind(at=at, product_id=product.id, seller_id=product.seller_id)
                    self._tables.events.append([told])

    save = add

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        return self._tables.stock.some(sorted(ids))

    def surplus(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        surplus = {stock.product_id: stock.on_hand for stock in self._tables.stock.some(sorted(ids)).values()}
        for movement in self._tables.movements.all():
            if movement.product_id in surplus:
                surplus[movement.product_id] -= movement.quantity
        return surplus

    def promised(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        promised: dict[ProductId, int] = {}
        for order in self._tables.orders.all():
            for line in order.lines if order.status is OrderStatus.PENDING else ():
                if line.product_id in ids:
                    promised[line.product_id] = promised.get(line.product_id, 0) + line.quantity
        return promised


class _Orders:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[OrderId]:
        return [OrderId(number) for number in self._numbers("orders", count)]

    def add(self, orders: Collection[Order]) -> None:
        taken = {order.command_id for order in self._tables.orders.all()}
        if len(taken.union(order.command_id for order in orders)) < len(taken) + len(orders):
            raise Duplicate("command_id")
        self.save(orders)

    def save(self, orders: Collection[Order]) -> None:
        for order in orders:
            self._tables.refunds.append(order.refunds)
            self._tables.events.append(order.events)
            self._tables.orders.put(order.id, order)

    def lock(self, ids: Collection[OrderId]) -> Mapping[OrderId, Order]:
        return self._tables.orders.some(sorted(ids))

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        wanted = set(ids)
        return {o.command_id: _copied_order(o) for o in self._tables.orders.all() if o.command_id in wanted}

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        return self._first(
            limit,
            lambda order: (
                order.status is OrderStatus.CREATED
                and not order.is_parked
                and (order.decide_after is None or order.decide_after <= now)
            ),
        )

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        being_paid = {p.order_id for p in self._tables.payments.all() if p.status is PaymentStatus.OPEN}
        return self._first(
            limit,
            lambda order: (
                order.status is OrderStatus.PENDING
                and order.expires_at is not None
                and order.expires_at <= now
                and order.id not in being_paid
            ),
        )

    def _first(self, limit: int, wanted: Callable[[Order], bool]) -> list[Order]:
        found = sorted(filter(wanted, self._tables.orders.all()), key=lambda order: order.id)
        return [_copied_order(order) for order in found[:limit]]


class _Payments:
    def __init__(self, tables: Tables) -> None:
        self._payments = tables.payments
        self._refunds = tables.payment_refunds

    def add(self, payments: Collection[Payment]) -> None:
        for payment in payments:
            self._payments.put(payment.id, payment)
            self.save_refunds(payment.refunds)
        once = [(p.order_id, p.status) for p in self._payments.all() if p.status in _ONCE_PER_ORDER]
        if len(set(once)) < len(once):
            raise Duplicate("order_id")

    save = add

    def lock(self, ids: Collection[PaymentId]) -> Mapping[PaymentId, Payment]:
        return self._payments.some(sorted(ids))

    def open_of(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        return self._of(order_ids, PaymentStatus.OPEN)

    def lock_captured(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        return self._of(order_ids, PaymentStatus.CAPTURED)

    def _of(self, order_ids: Collection[OrderId], status: PaymentStatus) -> dict[OrderId, Payment]:
        found = [p for p in self._payments.all() if p.status is status and p.order_id in order_ids]
        return {p.order_id: _copied_payment(p) for p in sorted(found, key=lambda p: p.id)}

    def claim_due(self, limit: int, now: datetime) -> Sequence[Payment]:
        due = [(p.check_at, p.id) for p in self._payments.all() if p.check_at is not None and p.check_at <= now]
        return list(self._payments.some(id_ for _, id_ in sorted(due)[:limit]).values())

    def lock_refunds(self, ids: Collection[RefundId]) -> Mapping[RefundId, PaymentRefund]:
        return self._refunds.some(sorted(ids))

    def save_refunds(self, refunds: Collection[PaymentRefund]) -> None:
        for refund in refunds:
            self._refunds.put(refund.id, refund)

    def claim_refunds(self, limit: int, now: datetime) -> Sequence[PaymentRefund]:
        due = [(r.try_at, r.id) for r in self._refunds.all() if r.status is RefundStatus.OPEN and r.try_at <= now]
        return list(self._refunds.some(id_ for _, id_ in sorted(due)[:limit]).values())


_ONCE_PER_ORDER: Final = {PaymentStatus.OPEN, PaymentStatus.CAPTURED}


class _Keys:
    def __init__(self, tables: Tables) -> None:
        self._keys = tables.keys

    def claim(
        self, keys: Mapping[tuple[AccountId, str], bytes], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome | None]:
        known: dict[tuple[AccountId, str], StoredOutcome | None] = {}
        for key, fingerprint in sorted(keys.items()):
            stored = self._keys.get(key)
            if stored is not None and stored.taken_at > now - LIFETIME:
                known[key] = StoredOutcome(stored.fingerprint, stored.body)
            else:
                self._keys.put(key, StoredKey(fingerprint, now))
        return known

    def store(self, bodies: Mapping[tuple[AccountId, str], bytes]) -> None:
        for key, body in bodies.items():
            stored = self._keys.get(key)
            if stored is not None:
                self._keys.put(key, evolve(stored, body=body))

    def release(self, keys: Collection[tuple[AccountId, str]]) -> None:
        for key in keys:
            self._keys.drop(key)

    def forget(self, before: datetime, limit: int) -> int:
        old = [key for key, stored in self._keys.items() if stored.taken_at < before][:limit]
        for key in old:
            self._keys.drop(key)
        return len(old)


class _Events:
    def __init__(self, tables: Tables) -> None:
        self._events = tables.events
        self._marks = tables.event_marks

    def number(self, limit: int) -> int:
        waiting = sum(1 for _ in self._events.all()) - self.last_number()
        numbered = min(limit, waiting)
        self._marks.put(NUMBERED, self.last_number() + numbered)
        return numbered

    def last_number(self) -> int:
        return self._marks.get(NUMBERED) or 0

    def numbered_after(self, seq: int, limit: int) -> Sequence[NumberedEvent]:
        return list(itertools.islice(numbered(self._events.all(), self._marks, seq), limit))

    def claim(self, consumer: str, *, begin: int | None = None, wait: bool = False) -> int | None:  # noqa: ARG002 - one at a time
        place = self._marks.get(CONSUMER + consumer)
        if place is None:
            place = self.last_number() if begin is None else begin
            self._marks.put(CONSUMER + consumer, place)
        return place

    def advance(self, consumer: str, seq: int) -> None:
        self._marks.put(CONSUMER + consumer, seq)

    def forget(self, before: datetime, limit: int) -> int:
        done = min((seq for name, seq in self._marks.items() if name.startswith(CONSUMER)), default=self.last_number())
        forgotten = 0
        for event in itertools.islice(numbered(self._events.all(), self._marks), limit):
            if event.at >= before or event.seq > done:
                break
            self._marks.put(FORGOTTEN, event.seq)
            forgotten += 1
        return forgotten


def numbered(recorded: Iterable[Event], marks: Table[str, int], after: int = 0) -> Iterator[NumberedEvent]:
    """The events that have a number behind `after` and are not forgotten."""
    first, last = max(after, marks.get(FORGOTTEN) or 0) + 1, marks.get(NUMBERED) or 0
    for seq, event in enumerate(itertools.islice(recorded, first - 1, max(first - 1, last)), first):
        payload = json.loads(json.dumps(event.payload()))
        yield NumberedEvent(seq, event.topic, event.at, event.audience, payload)
