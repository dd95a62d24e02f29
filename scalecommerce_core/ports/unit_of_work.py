"""Transactions and the store that begins them."""

from contextlib import AbstractContextManager
from typing import Protocol

from scalecommerce_core.ports.accounts import AccountRepository, SessionRepository
from scalecommerce_core.ports.catalog import CategoryRepository, ProductRepository, StockRepository
from scalecommerce_core.ports.events import EventRepository
from scalecommerce_core.ports.idempotency import IdempotencyRepository
from scalecommerce_core.ports.orders import OrderRepository
from scalecommerce_core.ports.payments import PaymentRepository
from scalecommerce_core.ports.pricing import PolicyRepository, RunRepository
from scalecommerce_core.ports.search import SearchRepository
from scalecommerce_core.ports.statistics import StatisticsRepository
from scalecommerce_core.ports.webhooks import DeliveryRepository, WebhookRepository


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
