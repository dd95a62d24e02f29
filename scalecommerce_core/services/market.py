"""The whole engine as one value."""

from attrs import field, frozen

from scalecommerce_core.domain.currencies import check_market_currency
from scalecommerce_core.ports import Clock, Store
from scalecommerce_core.queries import Queries
from scalecommerce_core.services.account_administration import AccountAdministration
from scalecommerce_core.services.accounts import Accounts
from scalecommerce_core.services.api_keys import ApiKeys
from scalecommerce_core.services.archiving import Archiving
from scalecommerce_core.services.audit_log import AuditLog
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.email_verification import EmailVerification
from scalecommerce_core.services.emails import Emails
from scalecommerce_core.services.experiments import Experiments
from scalecommerce_core.services.ordering import Ordering
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.password_reset import PasswordReset
from scalecommerce_core.services.payments import Payments
from scalecommerce_core.services.personal_data import PersonalData
from scalecommerce_core.services.pricing import Pricing
from scalecommerce_core.services.promotions import Promotions
from scalecommerce_core.services.reencryption import Reencryption
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.services.second_factors import SecondFactors
from scalecommerce_core.services.sessions import Sessions
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.services.webhooks import Webhooks


@frozen
class Market:
    """All use cases (`accounts` … `webhooks`), the read side (`queries`), the store and the clock.

    `currency` prices the products whose seller names none; `store` is for bulk loads. Raise `NotCurrency` for a code
    that is not in ISO 4217 or was withdrawn.
    """

    account_administration: AccountAdministration
    accounts: Accounts
    api_keys: ApiKeys
    archiving: Archiving
    audit_log: AuditLog
    catalog: Catalog
    emails: Emails
    email_verification: EmailVerification
    experiments: Experiments
    ordering: Ordering
    password_reset: PasswordReset
    payments: Payments
    personal_data: PersonalData
    pricing: Pricing
    promotions: Promotions
    reencryption: Reencryption
    relay: OutboxRelay
    repricing: Repricing
    search_index: SearchIndex
    second_factors: SecondFactors
    sessions: Sessions
    statistics: Statistics
    webhooks: Webhooks
    queries: Queries
    store: Store
    clock: Clock
    currency: str = field(default="USD")

    @currency.validator
    def _in_force(self, _attribute: object, value: str) -> None:
        check_market_currency(value)
