"""In-memory adapters and test doubles, to test code on the core without servers.

`in_memory_market()` returns the engine with all its use cases; `scalecommerce_core.testing.contracts` holds the suites
that every adapter must pass.
"""

from scalecommerce_core.ports import (
    Clock,
    EmailSender,
    Ids,
    PaymentGateway,
    QuoteSigner,
    RateLimiter,
    SecurityLog,
    Store,
    WebhookSender,
)
from scalecommerce_core.services.account_administration import AccountAdministration
from scalecommerce_core.services.accounts import Accounts
from scalecommerce_core.services.api_keys import ApiKeys
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.email_verification import EmailVerification
from scalecommerce_core.services.emails import EmailRules, Emails
from scalecommerce_core.services.login_limiter import MemoryLoginLimiter
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import Ordering, OrderRules
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.password_reset import PasswordReset
from scalecommerce_core.services.payments import Payments
from scalecommerce_core.services.personal_data import PersonalData
from scalecommerce_core.services.pricing import Pricing
from scalecommerce_core.services.rate_limiter import MemoryRateLimiter
from scalecommerce_core.services.reencryption import Reencryption
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.services.second_factor_check import SecondFactorCheck
from scalecommerce_core.services.second_factors import SecondFactors
from scalecommerce_core.services.sessions import Sessions
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.services.verified_accounts import VerifiedAccounts
from scalecommerce_core.services.webhooks import Webhooks
from scalecommerce_core.testing.fakes import (
    CountingIds,
    CountingOneTimePasswords,
    CountingWorkNotifier,
    PlainPasswords,
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
    quote_signer: QuoteSigner | None = None,
    require_verified_email: bool = False,
    require_staff_second_factor: bool = False,
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
    tokens = RememberedTokens()
    security_log = security_log or RecordedSecurityEvents()
    sessions = Sessions(
        store,
        clock,
        queries,
        ids=ids,
        tokens=tokens,
        security_log=security_log,
        staff_need_second_factor=require_staff_second_factor,
    )
    passwords, rate_limiter = PlainPasswords(), rate_limiter or MemoryRateLimiter()
    verified = VerifiedAccounts(required=require_verified_email)
    emails = Emails(
        store,
        clock,
        randomness=SeededRandomness(),
        sender=email_sender or RecordingEmailSender(),
        limiter=rate_limiter,
        rules=email_rules,
    )
    login_limiter, cipher, one_time_passwords = MemoryLoginLimiter(), ReversingCipher(), CountingOneTimePasswords()
    check = SecondFactorCheck(
        store,
        clock,
        passwords=one_time_passwords,
        cipher=cipher,
        limiter=login_limiter,
        security_log=security_log,
        emails=emails,
    )
    accounts = Accounts(
        store,
        clock,
        ids=ids,
        passwords=passwords,
        tokens=tokens,
        limiter=login_limiter,
        rate_limiter=rate_limiter,
        security_log=security_log,
        sessions=sessions,
        emails=emails,
        second_factor=check,
    )
    catalog, pricing = Catalog(store, clock, verified=verified), Pricing(store, clock)
    webhooks = Webhooks(
        store,
        clock,
        queries,
        ids=ids,
        randomness=SeededRandomness(),
        cipher=cipher,
        sender=sender or RecordingSender(),
        verified=verified,
    )
    return Market(
        accounts=accounts,
        catalog=catalog,
        emails=emails,
        email_verification=EmailVerification(
            store, clock, accounts=accounts, emails=emails, limiter=rate_limiter, security_log=security_log
        ),
        ordering=Ordering(
            store,
            clock,
            order_rules or OrderRules(),
            verified=verified,
            quote_signer=quote_signer or RememberedQuotes(),
        ),
        password_reset=PasswordReset(
            store, clock, passwords=passwords, emails=emails, limiter=rate_limiter, security_log=security_log
        ),
        api_keys=ApiKeys(
            store,
            clock,
            queries,
            randomness=SeededRandomness(),
            security_log=security_log,
            staff_need_second_factor=require_staff_second_factor,
        ),
        account_administration=AccountAdministration(store, clock, security_log),
        payments=Payments(store, clock, ids=ids, gateway=gateway or MemoryGateway()),
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
            limiter=rate_limiter,
            security_log=security_log,
        ),
        pricing=pricing,
        reencryption=Reencryption(store, cipher),
        relay=OutboxRelay(store, clock),
        repricing=Repricing(store, clock, pause=lambda _: None),
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
            security_log=security_log,
            required_for_staff=require_staff_second_factor,
        ),
        sessions=sessions,
        statistics=Statistics(store, clock),
        webhooks=webhooks,
        queries=queries,
        store=store,
        clock=clock,
        currency=currency,
    )
