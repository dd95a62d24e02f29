"""Transactions, the order in which they lock rows, and the store that begins them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import Final, Protocol

from scalecommerce_core.ports.accounts import (
    AccountRepository,
    AccountTokenRepository,
    SecondFactorRepository,
    SessionRepository,
)
from scalecommerce_core.ports.api_keys import ApiKeyRepository
from scalecommerce_core.ports.audit import AuditRepository
from scalecommerce_core.ports.catalog import CategoryRepository, ProductRepository, StockRepository
from scalecommerce_core.ports.email import OutgoingEmailRepository
from scalecommerce_core.ports.events import EventRepository
from scalecommerce_core.ports.experiments import ExperimentRepository
from scalecommerce_core.ports.idempotency import IdempotencyRepository
from scalecommerce_core.ports.orders import OrderRepository
from scalecommerce_core.ports.payments import PaymentRepository
from scalecommerce_core.ports.pricing import PolicyRepository, RunRepository
from scalecommerce_core.ports.promotions import PromotionRepository
from scalecommerce_core.ports.search import SearchRepository
from scalecommerce_core.ports.statistics import StatisticsRepository
from scalecommerce_core.ports.webhooks import DeliveryRepository, WebhookRepository


class LockRank(IntEnum):
    """Kinds of rows, in the order in which a transaction locks them.

    Two transactions that lock in one order cannot deadlock. So a transaction must not wait for a lock of a lower rank
    than one that it holds. Within a rank, a repository locks rows in the order of their keys.
    """

    IDEMPOTENCY_KEY = 1
    ACCOUNT = 2
    SESSION = 3
    ORDER = 4
    PAYMENT = 5
    PAYMENT_REFUND = 6
    POLICY = 7
    RUN = 8
    RUN_RANGE = 9
    SCHEDULE = 10
    EXPERIMENT = 11
    ASSIGNMENT = 12
    PROMOTION = 13
    PROMOTED_PRODUCT = 14
    PRODUCT = 15
    POLICY_STATE = 16
    STOCK_REPAIR = 17
    STOCK = 18
    PRICE_INDEX = 19
    EVENT_CONSUMER = 20
    WEBHOOK = 21
    DELIVERY = 22
    VIEW_BATCH = 23
    ROLLUP = 24
    ACCOUNT_TOKEN = 25
    OUTGOING_EMAIL = 26
    SECOND_FACTOR = 27
    API_KEY = 28
    CATEGORY = 29


class Transaction(Protocol):
    """The repositories of one unit of work. `LOCKS` says which of their methods lock rows."""

    @property
    def accounts(self) -> AccountRepository: ...
    @property
    def sessions(self) -> SessionRepository: ...
    @property
    def account_tokens(self) -> AccountTokenRepository: ...
    @property
    def emails(self) -> OutgoingEmailRepository: ...
    @property
    def second_factors(self) -> SecondFactorRepository: ...
    @property
    def api_keys(self) -> ApiKeyRepository: ...
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
    def promotions(self) -> PromotionRepository: ...
    @property
    def experiments(self) -> ExperimentRepository: ...
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
    @property
    def audit(self) -> AuditRepository: ...


class Store(Protocol):
    """Begins transactions."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction: a clean exit commits, an exception rolls back. Aggregates are copies of stored rows.

        Raises `DeadlineExceeded` at the beginning and before the commit, which is then a rollback, if the
        `CommandDeadline` of the context has passed.
        """
        ...

    def bulk(self) -> AbstractContextManager[Transaction]:
        """As `begin`, for imports and seeding: the store may write many rows in a faster way.

        Writes may run while the caller continues, so an error may be raised by a later call or by the exit.
        """
        ...


LOCKS: Final[Mapping[Callable[..., object], LockRank]] = {
    IdempotencyRepository.claim: LockRank.IDEMPOTENCY_KEY,
    AccountRepository.lock: LockRank.ACCOUNT,
    AccountRepository.lock_with_staff: LockRank.ACCOUNT,
    SessionRepository.lock: LockRank.SESSION,
    SessionRepository.revoke_all: LockRank.SESSION,
    SessionRepository.erase_clients: LockRank.SESSION,
    OrderRepository.lock: LockRank.ORDER,
    OrderRepository.claim_undecided: LockRank.ORDER,
    OrderRepository.try_claim_undecided: LockRank.ORDER,
    OrderRepository.claim_expired: LockRank.ORDER,
    OrderRepository.archive: LockRank.ORDER,
    PaymentRepository.lock: LockRank.PAYMENT,
    PaymentRepository.lock_captured: LockRank.PAYMENT,
    PaymentRepository.claim_due: LockRank.PAYMENT,
    PaymentRepository.lock_refunds: LockRank.PAYMENT_REFUND,
    PaymentRepository.claim_refunds: LockRank.PAYMENT_REFUND,
    PolicyRepository.lock: LockRank.POLICY,
    PolicyRepository.lock_schedules: LockRank.SCHEDULE,
    ExperimentRepository.lock: LockRank.EXPERIMENT,
    ExperimentRepository.lock_open: LockRank.EXPERIMENT,
    PolicyRepository.assign: LockRank.ASSIGNMENT,
    PolicyRepository.exclude: LockRank.ASSIGNMENT,
    PolicyRepository.remove: LockRank.POLICY_STATE,
    RunRepository.lock: LockRank.RUN,
    RunRepository.lock_shared: LockRank.RUN,
    RunRepository.lock_last: LockRank.RUN,
    RunRepository.purge: LockRank.RUN,
    RunRepository.claim_range: LockRank.RUN_RANGE,
    PromotionRepository.lock: LockRank.PROMOTION,
    PromotionRepository.claim_due: LockRank.PROMOTION,
    PromotionRepository.lock_products: LockRank.PROMOTED_PRODUCT,
    PromotionRepository.claim_due_products: LockRank.PROMOTED_PRODUCT,
    RunRepository.apply_prices: LockRank.PRODUCT,
    RunRepository.revert_prices: LockRank.PRODUCT,
    RunRepository.save_policy_state: LockRank.POLICY_STATE,
    RunRepository.save_staged_state: LockRank.POLICY_STATE,
    RunRepository.add_category_parameters: LockRank.POLICY_STATE,
    RunRepository.save_category_parameters: LockRank.POLICY_STATE,
    RunRepository.delete_policy_states: LockRank.POLICY_STATE,
    ProductRepository.lock: LockRank.PRODUCT,
    SearchRepository.save_popularity: LockRank.PRODUCT,
    SearchRepository.sync_price_index: LockRank.PRICE_INDEX,
    StockRepository.ledger_differences: LockRank.STOCK_REPAIR,
    StockRepository.lock: LockRank.STOCK,
    StockRepository.try_lock: LockRank.STOCK,
    EventRepository.assign_sequence: LockRank.EVENT_CONSUMER,
    EventRepository.claim: LockRank.EVENT_CONSUMER,
    WebhookRepository.lock: LockRank.WEBHOOK,
    WebhookRepository.lock_after: LockRank.WEBHOOK,
    WebhookRepository.subscribed: LockRank.WEBHOOK,
    DeliveryRepository.lock: LockRank.DELIVERY,
    DeliveryRepository.claim_due: LockRank.DELIVERY,
    ProductRepository.mark_batch_applied: LockRank.VIEW_BATCH,
    ProductRepository.add_views: LockRank.ROLLUP,
    StatisticsRepository.take_pending_facts: LockRank.ROLLUP,
    StatisticsRepository.add: LockRank.ROLLUP,
    StatisticsRepository.recount_products: LockRank.ROLLUP,
    StatisticsRepository.save_stockouts: LockRank.ROLLUP,
    StatisticsRepository.begin_stockouts: LockRank.ROLLUP,
    StatisticsRepository.rebuild: LockRank.ROLLUP,
    AccountTokenRepository.delete_of: LockRank.ACCOUNT_TOKEN,
    OutgoingEmailRepository.claim_due: LockRank.OUTGOING_EMAIL,
    OutgoingEmailRepository.lock: LockRank.OUTGOING_EMAIL,
    ApiKeyRepository.lock_all: LockRank.API_KEY,
    ApiKeyRepository.record_uses: LockRank.API_KEY,
    ApiKeyRepository.delete_all: LockRank.API_KEY,
    SecondFactorRepository.lock: LockRank.SECOND_FACTOR,
    SecondFactorRepository.lock_after: LockRank.SECOND_FACTOR,
    SecondFactorRepository.put: LockRank.SECOND_FACTOR,
    SecondFactorRepository.delete: LockRank.SECOND_FACTOR,
    CategoryRepository.lock_all: LockRank.CATEGORY,
}
"""The methods that lock rows which other transactions may lock too, with the rank of those rows.

`add` and `save` are not among them: the former writes new rows, the latter rows that were locked before. Methods named
`purge` skip locked rows, except that of runs.
"""
