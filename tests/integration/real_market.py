"""The engine on a real database, with test doubles of all other ports."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.payments.sandbox import SandboxGateway
from adapters.system import RandomIds
from scalecommerce_core.ports import CatalogChange, Clock
from scalecommerce_core.services.account_administration import AccountAdministration
from scalecommerce_core.services.accounts import Accounts
from scalecommerce_core.services.api_keys import ApiKeys
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.email_verification import EmailVerification
from scalecommerce_core.services.emails import EmailRules, Emails
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import Ordering, OrderRules
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.password_reset import PasswordReset
from scalecommerce_core.services.payments import Payments
from scalecommerce_core.services.personal_data import PersonalData
from scalecommerce_core.services.pricing import Pricing
from scalecommerce_core.services.reencryption import Reencryption
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.services.second_factor_check import SecondFactorCheck
from scalecommerce_core.services.second_factors import SecondFactors
from scalecommerce_core.services.sessions import Sessions
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.services.webhooks import WebhookRules, Webhooks
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
    ids, tokens = CountingIds(), RememberedTokens()
    sessions = Sessions(store, clock, queries, ids=ids, tokens=tokens, security_log=RecordedSecurityEvents())
    passwords, limiter, log = PlainPasswords(), MemoryRateLimiter(), RecordedSecurityEvents()
    rules = EmailRules(enabled=True)
    emails = Emails(store, clock, randomness=SeededRandomness(), sender=RecordingEmailSender(), rules=rules)
    login_limiter, cipher, one_time_passwords = MemoryLoginLimiter(), ReversingCipher(), CountingOneTimePasswords()
    check = SecondFactorCheck(
        store,
        clock,
        passwords=one_time_passwords,
        cipher=cipher,
        limiter=login_limiter,
        security_log=log,
        emails=emails,
    )
    accounts = Accounts(
        store,
        clock,
        ids=ids,
        passwords=passwords,
        tokens=tokens,
        limiter=login_limiter,
        rate_limiter=limiter,
        security_log=log,
        sessions=sessions,
        emails=emails,
        second_factor=check,
    )
    try:
        catalog, pricing = Catalog(store, clock), Pricing(store, clock)
        webhooks = Webhooks(
            store,
            clock,
            queries,
            ids=CountingIds(),
            randomness=SeededRandomness(),
            cipher=cipher,
            sender=RecordingSender(),
            rules=WebhookRules(tests_per_account=0, tests_per_host=0, tests_total=0),
        )
        yield Market(
            accounts=accounts,
            api_keys=ApiKeys(
                store, clock, queries, randomness=SeededRandomness(), security_log=RecordedSecurityEvents()
            ),
            account_administration=AccountAdministration(store, clock, RecordedSecurityEvents()),
            catalog=catalog,
            emails=emails,
            email_verification=EmailVerification(
                store, clock, accounts=accounts, emails=emails, limiter=limiter, security_log=log
            ),
            ordering=Ordering(store, clock, order_rules or OrderRules()),
            password_reset=PasswordReset(
                store, clock, passwords=passwords, emails=emails, limiter=limiter, security_log=log
            ),
            payments=Payments(store, clock, ids=RandomIds(), gateway=SandboxGateway(database)),
            personal_data=PersonalData(
                store,
                clock,
                queries,
                ids=ids,
                accounts=accounts,
                catalog=catalog,
                pricing=pricing,
                webhooks=webhooks,
                emails=emails,
                limiter=limiter,
                security_log=log,
            ),
            pricing=pricing,
            reencryption=Reencryption(store, cipher),
            relay=OutboxRelay(store, clock),
            repricing=Repricing(store, clock),
            search_index=SearchIndex(store),
            second_factors=SecondFactors(
                store,
                clock,
                accounts=accounts,
                check=check,
                passwords=one_time_passwords,
                cipher=cipher,
                randomness=SeededRandomness(2),
                emails=emails,
                security_log=log,
            ),
            sessions=sessions,
            statistics=Statistics(store, clock),
            webhooks=webhooks,
            queries=queries,
            store=store,
            clock=clock,
        )
    finally:
        database.dispose()
