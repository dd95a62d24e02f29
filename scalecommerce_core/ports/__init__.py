"""Ports: Protocols that the services call and adapters implement. Adapters match by shape and inherit nothing.

Repository methods take and return batches. Every method may raise `Unavailable` (the store does not answer) or its
subclass `TransactionAborted` (deadlock, serialization failure, lock timeout); a docstring names the other errors of its
method. Mappings that repositories return leave out ids that do not exist. `lock` reads rows and locks them until the
transaction ends, in the order of their keys; `LOCKS` gives the order between kinds of rows.
"""

from scalecommerce_core.ports.accounts import (
    AccountRepository,
    AccountTokenRepository,
    SecondFactorRepository,
    SessionRepository,
)
from scalecommerce_core.ports.api_keys import ApiKeyRepository
from scalecommerce_core.ports.audit import AuditRepository
from scalecommerce_core.ports.catalog import CategoryRepository, ProductRepository, StockRepository
from scalecommerce_core.ports.change_feed import (
    AccessChange,
    CatalogChange,
    CatalogFeed,
    ChangeListener,
    ProductAspect,
    ProductScope,
)
from scalecommerce_core.ports.command_deadline import CommandDeadline, commit_in_time, use_deadline
from scalecommerce_core.ports.email import Email, EmailFailure, EmailSender, OutgoingEmailRepository
from scalecommerce_core.ports.errors import Duplicate
from scalecommerce_core.ports.events import EventRange, EventRepository, NumberedEvent
from scalecommerce_core.ports.experiments import ExperimentRepository
from scalecommerce_core.ports.idempotency import IdempotencyRepository, StoredOutcome
from scalecommerce_core.ports.measurement import NO_MEASUREMENTS, Measurements, NoMeasurements
from scalecommerce_core.ports.orders import OrderRepository
from scalecommerce_core.ports.payments import PaymentGateway, PaymentRepository
from scalecommerce_core.ports.pricing import PolicyRepository, RunRepository
from scalecommerce_core.ports.promotions import PromotionRepository
from scalecommerce_core.ports.search import SearchRepository
from scalecommerce_core.ports.security import (
    Claims,
    DecryptionFailed,
    LoginLimiter,
    OneTimePasswords,
    Passwords,
    QuoteSigner,
    RateLimit,
    RateLimiter,
    SecretCipher,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
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
from scalecommerce_core.ports.tracing import OutgoingCall, TracedRequest, Tracing
from scalecommerce_core.ports.unit_of_work import LOCKS, LockRank, Store, Transaction
from scalecommerce_core.ports.view_counter import ViewCounter
from scalecommerce_core.ports.webhooks import (
    DeliveryRepository,
    DeliverySlots,
    OutgoingWebhook,
    WebhookRepository,
    WebhookSender,
)

__all__ = [
    "LOCKS",
    "NO_MEASUREMENTS",
    "STATISTICS_CONSUMER",
    "AccessChange",
    "AccountRepository",
    "AccountTokenRepository",
    "ApiKeyRepository",
    "AuditRepository",
    "CatalogChange",
    "CatalogFeed",
    "CategoryRepository",
    "ChangeListener",
    "Claims",
    "Clock",
    "CommandDeadline",
    "DecryptionFailed",
    "DeliveryRepository",
    "DeliverySlots",
    "Duplicate",
    "Email",
    "EmailFailure",
    "EmailSender",
    "EventRange",
    "EventRepository",
    "ExperimentRepository",
    "IdempotencyRepository",
    "Ids",
    "LockRank",
    "LoginLimiter",
    "Measurements",
    "NoMeasurements",
    "NumberedEvent",
    "OneTimePasswords",
    "OrderRepository",
    "OutgoingCall",
    "OutgoingEmailRepository",
    "OutgoingWebhook",
    "Passwords",
    "PaymentGateway",
    "PaymentRepository",
    "PendingFacts",
    "PendingOrderFacts",
    "PolicyRepository",
    "ProductAspect",
    "ProductCounters",
    "ProductRepository",
    "ProductScope",
    "PromotionRepository",
    "QuoteSigner",
    "Randomness",
    "RateLimit",
    "RateLimiter",
    "RunRepository",
    "SearchRepository",
    "SecondFactorRepository",
    "SecretCipher",
    "SecurityEvent",
    "SecurityEventKind",
    "SecurityLog",
    "SessionRepository",
    "StatisticsRepository",
    "StockRepository",
    "Store",
    "StoredOutcome",
    "TokenKind",
    "Tokens",
    "TracedRequest",
    "Tracing",
    "Transaction",
    "ViewCounter",
    "WebhookRepository",
    "WebhookSender",
    "WorkNotifier",
    "commit_in_time",
    "use_deadline",
]
