"""The engine on a real database, with test doubles of all other ports."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import evolve

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.payments.sandbox import SandboxGateway
from adapters.system import RandomIds
from scalecommerce_core.ports import CatalogChange, Clock
from scalecommerce_core.services.build_market import MarketPorts, MarketRules, build_market
from scalecommerce_core.services.emails import EmailRules
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import OrderRules
from scalecommerce_core.services.payments import Payments
from scalecommerce_core.services.webhooks import WebhookRules
from scalecommerce_core.testing import (
    CountingIds,
    CountingOneTimePasswords,
    MemoryLoginLimiter,
    MemoryRateLimiter,
    PlainPasswords,
    RecordedSecurityEvents,
    RecordingEmailSender,
    RecordingSender,
    RememberedTokens,
    ReversingCipher,
    SeededRandomness,
    SettableClock,
)


@contextmanager
def real_market(
    url: str,
    clock: Clock | None = None,
    changed: Callable[[CatalogChange], None] = lambda _: None,
    order_rules: OrderRules | None = None,
) -> Iterator[Market]:
    """`changed` is called with each change of the catalog."""
    database, clock = database_engine(url), clock or SettableClock()
    store, queries = PostgresStore(database, changed), PostgresQueries(database)
    ports = MarketPorts(
        store=store,
        clock=clock,
        queries=queries,
        ids=CountingIds(),
        randomness=SeededRandomness(),
        passwords=PlainPasswords(),
        one_time_passwords=CountingOneTimePasswords(),
        tokens=RememberedTokens(),
        cipher=ReversingCipher(),
        login_limiter=MemoryLoginLimiter(),
        rate_limiter=MemoryRateLimiter(),
        security_log=RecordedSecurityEvents(),
        email_sender=RecordingEmailSender(),
        webhook_sender=RecordingSender(),
        gateway=(gateway := SandboxGateway(database)),
    )
    rules = MarketRules(
        emails=EmailRules(enabled=True),
        orders=order_rules or OrderRules(),
        webhooks=WebhookRules(tests_per_account=0, tests_per_host=0, tests_total=0),
    )
    # Several markets may use one database, where the ids of payments must differ.
    payments = Payments(store, clock, ids=RandomIds(), gateway=gateway)
    try:
        yield evolve(build_market(ports, rules), payments=payments)
    finally:
        database.dispose()
