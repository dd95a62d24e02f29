"""In-memory adapters and test doubles, to test code on the core without servers.

`in_memory_market()` returns the engine with all its use cases; `scalecommerce_core.testing.contracts` holds the suites
that every adapter must pass.
"""

from datetime import timedelta

from scalecommerce_core.ports import (
    NO_MEASUREMENTS,
    Clock,
    EmailSender,
    Ids,
    Measurements,
    PaymentGateway,
    QuoteSigner,
    RateLimiter,
    SecurityLog,
    Store,
    WebhookSender,
)
from scalecommerce_core.services.build_market import MarketPorts, MarketRules, build_market
from scalecommerce_core.services.emails import EmailRules
from scalecommerce_core.services.login_limiter import MemoryLoginLimiter
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import OrderRules
from scalecommerce_core.services.rate_limiter import MemoryRateLimiter
from scalecommerce_core.testing.fakes import (
    CountingIds,
    CountingOneTimePasswords,
    CountingWorkNotifier,
    PlainPasswords,
    RecordedMeasurements,
    RecordedSecurityEvents,
    RecordingEmailSender,
    RecordingSender,
    RememberedQuotes,
    RememberedTokens,
    ReversingCipher,
    SeededRandomness,
    SettableClock,
    return_challenge,
)
from scalecommerce_core.testing.lock_order import LockOrderStore, LockOrderViolated
from scalecommerce_core.testing.memory.payment_gateway import MemoryGateway
from scalecommerce_core.testing.memory.queries import MemoryQueries
from scalecommerce_core.testing.memory.store import MemoryCatalogFeed, MemoryStore
from scalecommerce_core.testing.memory.view_counter import MemoryViewCounter, SharedViews

__all__ = [
    "CountingIds",
    "CountingOneTimePasswords",
    "CountingWorkNotifier",
    "LockOrderStore",
    "LockOrderViolated",
    "MemoryCatalogFeed",
    "MemoryGateway",
    "MemoryLoginLimiter",
    "MemoryQueries",
    "MemoryRateLimiter",
    "MemoryStore",
    "MemoryViewCounter",
    "PlainPasswords",
    "RecordedMeasurements",
    "RecordedSecurityEvents",
    "RecordingEmailSender",
    "RecordingSender",
    "RememberedQuotes",
    "RememberedTokens",
    "ReversingCipher",
    "SeededRandomness",
    "SettableClock",
    "SharedViews",
    "in_memory_market",
    "return_challenge",
]


EMAILS_ON = EmailRules(enabled=True)


def in_memory_market(
    clock: Clock | None = None,
    *,
    currency: str = "USD",
    memory: MemoryStore | None = None,
    store: Store | None = None,
    ids: Ids | None = None,
    gateway: PaymentGateway | None = None,
    sender: WebhookSender | None = None,
    rate_limiter: RateLimiter | None = None,
    email_sender: EmailSender | None = None,
    email_rules: EmailRules = EMAILS_ON,
    security_log: SecurityLog | None = None,
    order_rules: OrderRules | None = None,
    orders_hot_time: timedelta | None = None,
    quote_signer: QuoteSigner | None = None,
    require_verified_email: bool = False,
    require_staff_second_factor: bool = False,
    measurements: Measurements = NO_MEASUREMENTS,
) -> Market:
    """The whole engine with in-memory adapters; without a `clock`, the time stands still at 2026-01-01.

    Several engines, as the processes of a server, may share a `memory`. `store`, by default the memory itself, may be a
    wrapper that injects faults (see `simulation`). Webhooks go to `sender`, e-mails to `email_sender`; without these
    they are recorded and not sent.
    """
    memory = memory or MemoryStore()
    store = store or memory
    clock = clock or SettableClock()
    ids = ids or CountingIds()
    queries = MemoryQueries(memory, currency)
    ports = MarketPorts(
        store=store,
        clock=clock,
        queries=queries,
        ids=ids,
        randomness=SeededRandomness(),
        passwords=PlainPasswords(),
        one_time_passwords=CountingOneTimePasswords(),
        tokens=RememberedTokens(),
        cipher=ReversingCipher(),
        login_limiter=MemoryLoginLimiter(),
        rate_limiter=rate_limiter or MemoryRateLimiter(),
        security_log=security_log or RecordedSecurityEvents(),
        email_sender=email_sender or RecordingEmailSender(),
        webhook_sender=sender or RecordingSender(),
        gateway=gateway or MemoryGateway(),
        quote_signer=quote_signer or RememberedQuotes(),
        measurements=measurements,
        pause=lambda _: None,
    )
    rules = MarketRules(
        currency=currency,
        require_verified_email=require_verified_email,
        require_staff_second_factor=require_staff_second_factor,
        emails=email_rules,
        orders=order_rules or OrderRules(),
        orders_hot_time=orders_hot_time,
    )
    return build_market(ports, rules)
