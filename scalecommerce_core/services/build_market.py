"""Builds all services of a market from the adapters of its ports and its rules."""

import time
from collections.abc import Callable
from datetime import timedelta

from attrs import field, frozen

from scalecommerce_core.domain.session import Lifetimes
from scalecommerce_core.ports import (
    NO_MEASUREMENTS,
    Clock,
    EmailSender,
    Ids,
    LoginLimiter,
    Measurements,
    OneTimePasswords,
    Passwords,
    PaymentGateway,
    QuoteSigner,
    Randomness,
    RateLimiter,
    SecretCipher,
    SecurityLog,
    Store,
    Tokens,
    WebhookSender,
)
from scalecommerce_core.queries import Queries
from scalecommerce_core.services.account_administration import AccountAdministration
from scalecommerce_core.services.account_limits import TokenLimits
from scalecommerce_core.services.accounts import Accounts, SignUpLimits
from scalecommerce_core.services.api_keys import ApiKeys
from scalecommerce_core.services.archiving import Archiving
from scalecommerce_core.services.audit_log import RETENTION as AUDIT_RETENTION
from scalecommerce_core.services.audit_log import AuditLog
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.email_verification import EmailVerification
from scalecommerce_core.services.emails import EmailRules, Emails
from scalecommerce_core.services.experiments import Experiments
from scalecommerce_core.services.intake_throttle import IntakeThrottle
from scalecommerce_core.services.login_throttle import LoginLimits
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import INTAKE_DECISIONS, Ordering, OrderRules
from scalecommerce_core.services.outbox_relay import RETENTION as EVENT_RETENTION
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.password_reset import PasswordReset
from scalecommerce_core.services.payments import PaymentRules, Payments
from scalecommerce_core.services.personal_data import PersonalData
from scalecommerce_core.services.pricing import Pricing, PricingRules
from scalecommerce_core.services.promotions import Promotions
from scalecommerce_core.services.reencryption import Reencryption
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.repricing.common import RETENTION as DECISION_RETENTION
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.services.second_factor_check import SecondFactorCheck
from scalecommerce_core.services.second_factors import SecondFactors
from scalecommerce_core.services.sessions import Sessions
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.services.verified_accounts import VerifiedAccounts
from scalecommerce_core.services.webhooks import WebhookRules, Webhooks


def _at_once(call: Callable[[], None]) -> None:
    call()


@frozen(kw_only=True)
class MarketPorts:
    """An adapter of each port that services use. Without a `quote_signer`, prices are not quoted."""

    store: Store
    clock: Clock
    queries: Queries
    ids: Ids
    randomness: Randomness
    passwords: Passwords = field(repr=False)
    one_time_passwords: OneTimePasswords = field(repr=False)
    tokens: Tokens
    cipher: SecretCipher
    login_limiter: LoginLimiter
    rate_limiter: RateLimiter
    security_log: SecurityLog
    email_sender: EmailSender
    webhook_sender: WebhookSender
    gateway: PaymentGateway
    quote_signer: QuoteSigner | None = None
    measurements: Measurements = NO_MEASUREMENTS
    pause: Callable[[float], None] = time.sleep
    """Waits for some seconds."""
    in_background: Callable[[Callable[[], None]], object] = _at_once
    """Calls a function, which handles its errors itself, without waiting for it; by default, the caller waits."""


@frozen(kw_only=True)
class MarketRules:
    """The rules of all services; the servers set them from settings."""

    currency: str = "USD"
    issuer: str = "scalecommerce"
    """The name of the shop in authenticator apps."""
    lifetimes: Lifetimes = field(factory=Lifetimes)
    login_limits: LoginLimits = field(factory=LoginLimits)
    sign_up_limits: SignUpLimits = field(factory=SignUpLimits)
    token_limits: TokenLimits = field(factory=TokenLimits)
    require_verified_email: bool = False
    require_staff_second_factor: bool = False
    api_key_rotation_grace: timedelta = timedelta(days=1)
    emails: EmailRules = field(factory=EmailRules)
    orders: OrderRules = field(factory=OrderRules)
    payments: PaymentRules = field(factory=PaymentRules)
    pricing: PricingRules = field(factory=PricingRules)
    webhooks: WebhookRules = field(factory=WebhookRules)
    session_retention: timedelta = timedelta(days=30)
    event_retention: timedelta = EVENT_RETENTION
    decision_retention: timedelta = DECISION_RETENTION
    audit_retention: timedelta = AUDIT_RETENTION
    orders_hot_time: timedelta | None = None
    """How long settled orders stay in the hot tables; None: for ever.

    Raise `ValueError` unless it is longer than the periods for which orders count in limits, which read hot orders
    only: `OrderQuotas.buyer_limit_window` and `PricePromise.lasts`.
    """

    def __attrs_post_init__(self) -> None:
        counted = max(self.orders.quotas.buyer_limit_window, self.orders.price_promise.lasts)
        if self.orders_hot_time is not None and self.orders_hot_time <= counted:
            raise ValueError(
                f"orders_hot_time must be longer than {counted}, the longer of OrderQuotas.buyer_limit_window and"
                " PricePromise.lasts, as limits count hot orders only"
            )


def build_market(ports: MarketPorts, rules: MarketRules) -> Market:
    """Build the services; raise `NotCurrency` as `Market` does."""
    store, clock, queries = ports.store, ports.clock, ports.queries
    rate_limiter, security_log = ports.rate_limiter, ports.security_log
    emails = Emails(
        store,
        clock,
        randomness=ports.randomness,
        sender=ports.email_sender,
        limiter=rate_limiter,
        rules=rules.emails,
    )
    sessions = Sessions(
        store,
        clock,
        queries,
        ids=ports.ids,
        tokens=ports.tokens,
        security_log=security_log,
        lifetimes=rules.lifetimes,
        retention=rules.session_retention,
        staff_need_second_factor=rules.require_staff_second_factor,
    )
    check = SecondFactorCheck(
        store,
        clock,
        passwords=ports.one_time_passwords,
        cipher=ports.cipher,
        limiter=ports.login_limiter,
        security_log=security_log,
        emails=emails,
    )
    accounts = Accounts(
        store,
        clock,
        ids=ports.ids,
        passwords=ports.passwords,
        tokens=ports.tokens,
        limiter=ports.login_limiter,
        rate_limiter=rate_limiter,
        security_log=security_log,
        sessions=sessions,
        login_limits=rules.login_limits,
        sign_up_limits=rules.sign_up_limits,
        emails=emails,
        second_factor=check,
    )
    verified = VerifiedAccounts(required=rules.require_verified_email)
    catalog = Catalog(store, clock, verified=verified)
    pricing = Pricing(store, clock, rules.pricing, security_log=security_log)
    promotions = Promotions(store, clock)
    webhooks = Webhooks(
        store,
        clock,
        queries,
        ids=ports.ids,
        randomness=ports.randomness,
        cipher=ports.cipher,
        sender=ports.webhook_sender,
        limiter=rate_limiter,
        rules=rules.webhooks,
        verified=verified,
    )
    return Market(
        account_administration=AccountAdministration(store, clock, security_log),
        accounts=accounts,
        api_keys=ApiKeys(
            store,
            clock,
            queries,
            randomness=ports.randomness,
            security_log=security_log,
            rotation_grace=rules.api_key_rotation_grace,
            staff_need_second_factor=rules.require_staff_second_factor,
        ),
        archiving=Archiving(store, clock, rules.orders_hot_time),
        audit_log=AuditLog(store, clock, rules.audit_retention),
        catalog=catalog,
        emails=emails,
        email_verification=EmailVerification(
            store,
            clock,
            accounts=accounts,
            emails=emails,
            limiter=rate_limiter,
            security_log=security_log,
            limits=rules.token_limits,
        ),
        ordering=Ordering(
            store,
            clock,
            rules.orders,
            verified=verified,
            quote_signer=ports.quote_signer,
            measurements=ports.measurements,
            throttle=None
            if rules.orders.max_decision_wait is None
            else IntakeThrottle(
                queries,
                clock,
                rules.orders.max_decision_wait,
                ports.in_background,
                decided_by_intake=INTAKE_DECISIONS if rules.orders.decide_at_intake else 0,
            ),
        ),
        password_reset=PasswordReset(
            store,
            clock,
            passwords=ports.passwords,
            emails=emails,
            limiter=rate_limiter,
            security_log=security_log,
            limits=rules.token_limits,
        ),
        payments=Payments(store, clock, ids=ports.ids, gateway=ports.gateway, rules=rules.payments),
        personal_data=PersonalData(
            store,
            clock,
            queries,
            ids=ports.ids,
            accounts=accounts,
            catalog=catalog,
            pricing=pricing,
            promotions=promotions,
            webhooks=webhooks,
            emails=emails,
            limiter=rate_limiter,
            security_log=security_log,
        ),
        pricing=pricing,
        promotions=promotions,
        experiments=Experiments(store, clock),
        reencryption=Reencryption(store, ports.cipher),
        relay=OutboxRelay(store, clock, rules.event_retention),
        repricing=Repricing(
            store,
            clock,
            retention=rules.decision_retention,
            min_epoch=rules.pricing.min_epoch,
            approval=rules.pricing.approval,
            security_log=security_log,
            pause=ports.pause,
            measurements=ports.measurements,
        ),
        search_index=SearchIndex(store),
        second_factors=SecondFactors(
            store,
            clock,
            accounts=accounts,
            check=check,
            passwords=ports.one_time_passwords,
            cipher=ports.cipher,
            randomness=ports.randomness,
            emails=emails,
            security_log=security_log,
            issuer=rules.issuer,
            required_for_staff=rules.require_staff_second_factor,
        ),
        sessions=sessions,
        statistics=Statistics(store, clock),
        webhooks=webhooks,
        queries=queries,
        store=store,
        clock=clock,
        currency=rules.currency,
    )
