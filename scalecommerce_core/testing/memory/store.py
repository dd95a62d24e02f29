"""An in-memory store with transactions: reads and writes copy rows, an error discards the writes.

Transactions are serialized, so there are no deadlocks and lock timeouts. Otherwise the store passes the contract suites
like any other adapter.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, slug_of
from scalecommerce_core.ports import AccessChange, CatalogChange, ChangeListener, Transaction, commit_in_time
from scalecommerce_core.testing.lock_order import check_lock_order
from scalecommerce_core.testing.memory.accounts import (
    MemoryAccounts,
    MemoryAccountTokens,
    MemoryEmails,
    MemorySecondFactors,
    MemorySessions,
)
from scalecommerce_core.testing.memory.api_keys import MemoryApiKeys
from scalecommerce_core.testing.memory.audit import MemoryAuditLog
from scalecommerce_core.testing.memory.catalog import MemoryCategories, MemoryProducts, MemorySearch, MemoryStock
from scalecommerce_core.testing.memory.change_feed import access_change, catalog_change, numbers_events
from scalecommerce_core.testing.memory.events import MemoryEvents
from scalecommerce_core.testing.memory.experiments import MemoryExperiments
from scalecommerce_core.testing.memory.idempotency import MemoryIdempotencyKeys
from scalecommerce_core.testing.memory.orders import MemoryOrders
from scalecommerce_core.testing.memory.payments import MemoryPayments
from scalecommerce_core.testing.memory.pricing import MemoryPolicies, MemoryRuns
from scalecommerce_core.testing.memory.promotions import MemoryPromotions
from scalecommerce_core.testing.memory.statistics import MemoryStatistics
from scalecommerce_core.testing.memory.tables import Tables
from scalecommerce_core.testing.memory.webhooks import MemoryDeliveries, MemoryEndpoints

_DEFAULT_CATEGORIES: Final = [(name, slug_of(name)) for name in DEFAULT_CATEGORIES]


class MemoryStore:
    """`ports.Store` in dictionaries, with the default categories.

    `changed` is called with each committed change of the catalog, `access_changed` with each of access, and
    `events_numbered` after each transaction that gives numbers to events. `is_contended` is asked for each lock that a
    transaction tries to take without waiting: True stands for another transaction that holds the lock.
    """

    def __init__(self) -> None:
        self.changed: Callable[[CatalogChange], None] = lambda _: None
        self.access_changed: Callable[[AccessChange], None] = lambda _: None
        self.events_numbered: Callable[[], None] = lambda: None
        self.is_contended: Callable[[], bool] = lambda: False
        self.commits = 0
        self.tables = Tables()
        self._parts = self.tables.parts()
        self._lock = threading.Lock()
        self._counters: dict[str, Iterator[int]] = {}
        self._owner: int | None = None
        with self.begin() as tx:
            tx.categories.add(_DEFAULT_CATEGORIES)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        if self._owner == threading.get_ident():
            raise RuntimeError("A transaction is open already: use cases do not call each other.")
        with commit_in_time() as begin_commit, self._lock:
            self._owner = threading.get_ident()
            try:
                yield check_lock_order(self._transaction())
                begin_commit()
            except BaseException:
                for part in self._parts:
                    part.rollback()
                raise
            else:
                self.commits += 1
                change, access = catalog_change(self.tables, self.commits), access_change(self.tables)
                has_new_events = numbers_events(self.tables)
                for part in self._parts:
                    part.commit()
            finally:
                self._owner = None
        if access is not None:
            self.access_changed(access)
        if change is not None:
            self.changed(change)
        if has_new_events:
            self.events_numbered()

    bulk = begin

    def _transaction(self) -> "MemoryTransaction":
        return MemoryTransaction(self.tables, self._next, self.is_contended)

    def _next(self, name: str, count: int) -> list[int]:
        # As in a database, a rollback does not return the numbers that the transaction drew.
        counter = self._counters.setdefault(name, itertools.count(1))
        return list(itertools.islice(counter, count))


class MemoryCatalogFeed:
    """`ports.CatalogFeed` of a `MemoryStore`: it reports changes immediately, so each heartbeat is up to date."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._listener: ChangeListener | None = None

    def follow(self, listener: ChangeListener) -> None:
        self._listener = listener

        def report(change: CatalogChange) -> None:
            listener.on_local_change(change)
            listener.on_change(change)

        self._store.changed, self._store.access_changed = report, listener.on_access_change
        self._store.events_numbered = listener.on_events
        listener.on_start(self._store.commits + 1)
        listener.on_heartbeat(time.monotonic())

    def keep_alive(self) -> None:
        if self._listener is not None:
            self._listener.on_heartbeat(time.monotonic())

    def close(self) -> None:
        self._store.changed = lambda _: None
        self._store.access_changed = lambda _: None
        self._store.events_numbered = lambda: None


class MemoryTransaction:
    def __init__(
        self,
        tables: Tables,
        numbers: Callable[[str, int], list[int]],
        is_contended: Callable[[], bool] = lambda: False,
    ) -> None:
        self.accounts = MemoryAccounts(tables, numbers)
        self.sessions = MemorySessions(tables)
        self.account_tokens = MemoryAccountTokens(tables)
        self.emails = MemoryEmails(tables, numbers)
        self.second_factors = MemorySecondFactors(tables)
        self.api_keys = MemoryApiKeys(tables, numbers)
        self.categories = MemoryCategories(tables, numbers)
        self.products = MemoryProducts(tables, numbers)
        self.stock = MemoryStock(tables, is_contended)
        self.orders = MemoryOrders(tables, numbers, is_contended)
        self.payments = MemoryPayments(tables)
        self.policies = MemoryPolicies(tables, numbers)
        self.runs = MemoryRuns(tables, numbers, MemoryStatistics(tables, numbers))
        self.promotions = MemoryPromotions(tables, numbers)
        self.experiments = MemoryExperiments(tables, numbers)
        self.idempotency = MemoryIdempotencyKeys(tables)
        self.events = MemoryEvents(tables)
        self.webhooks = MemoryEndpoints(tables.endpoints, tables.deliveries, tables.accounts, numbers)
        self.deliveries = MemoryDeliveries(
            tables.deliveries, tables.attempts, tables.endpoints, tables.accounts, numbers
        )
        self.statistics = MemoryStatistics(tables, numbers)
        self.search = MemorySearch(tables)
        self.audit = MemoryAuditLog(tables, numbers)
