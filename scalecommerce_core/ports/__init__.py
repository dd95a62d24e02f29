"""What the services need from outside. Adapters conform by shape; nothing here is to be inherited.

Every repository method is batch-shaped. Anything may raise `Unavailable` (the store does not answer) or its
subclass `TransactionAborted` (deadlock, serialization failure, lock timeout); other errors are named beside the method.
"""

from scalecommerce_core.ports.accounts import AccountRepository, SessionRepository
from scalecommerce_core.ports.catalog import CategoryRepository, ProductRepository, StockRepository
from scalecommerce_core.ports.change_feed import CatalogChange, CatalogFeed, ChangeListener
from scalecommerce_core.ports.errors import Duplicate
from scalecommerce_core.ports.events import EventRepository, NumberedEvent
from scalecommerce_core.ports.idempotency import IdempotencyRepository, StoredOutcome
from scalecommerce_core.ports.orders import OrderRepository
from scalecommerce_core.ports.payments import PaymentGateway, PaymentRepository
from scalecommerce_core.ports.pricing import PolicyRepository, RunRepository
from scalecommerce_core.ports.search import SearchRepository
from scalecommerce_core.ports.security import (
    Claims,
    DecryptionFailed,
    LoginLimiter,
    Passwords,
    SecretCipher,
    TokenKind,
    Tokens,
)
from scalecommerce_core.ports.statistics import (
    STATISTICS_CONSUMER,
    PendingFacts,
    PendingOrderFacts,
    ProductCounters,
    StatisticsRepository,
)
from scalecommerce_core.ports.system import Clock, Ids, Randomness, WorkNotifier
from scalecommerce_core.ports.unit_of_work import LOCKS, LockRank, Store, Transaction
from scalecommerce_core.ports.view_counter import ViewCounter
from scalecommerce_core.ports.webhooks import DeliveryRepository, OutgoingWebhook, WebhookRepository, WebhookSender

__all__ = [
    "LOCKS",
    "STATISTICS_CONSUMER",
    "AccountRepository",
    "CatalogChange",
    "CatalogFeed",
    "CategoryRepository",
    "ChangeListener",
    "Claims",
    "Clock",
    "DecryptionFailed",
    "DeliveryRepository",
    "Duplicate",
    "EventRepository",
    "IdempotencyRepository",
    "Ids",
    "LockRank",
    "LoginLimiter",
    "NumberedEvent",
    "OrderRepository",
    "OutgoingWebhook",
    "Passwords",
    "PaymentGateway",
    "PaymentRepository",
    "PendingFacts",
    "PendingOrderFacts",
    "PolicyRepository",
    "ProductCounters",
    "ProductRepository",
    "Randomness",
    "RunRepository",
    "SearchRepository",
    "SecretCipher",
    "SessionRepository",
    "StatisticsRepository",
    "StockRepository",
    "Store",
    "StoredOutcome",
    "TokenKind",
    "Tokens",
    "Transaction",
    "ViewCounter",
    "WebhookRepository",
    "WebhookSender",
    "WorkNotifier",
]
