"""Test suites for adapters of the ports. Subclass a suite in the tests of an adapter and define its fixtures:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self) -> Store:
            return LockOrderStore(MyStore(...))  # empty except for the default categories

    class TestMyQueries(QueriesContract):  # `store`, and `queries` that read what it wrote

They need pytest, and use an adapter only through its ports.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "accounts", "api_keys", "archive", "audit", "catalog", "changes", "events", "experiments", "figures",
            "gateways", "idempotency", "lists", "login_limiters", "operations", "orders", "payments", "policies",
            "promotions", "quote_signers", "rate_limiters", "runs", "search", "secret_ciphers", "signals", "stage",
            "statistics", "stock", "tokens", "transactions", "views", "webhooks",
        )
    )
)  # fmt: skip

from scalecommerce_core.testing.contracts.accounts import AccountsContract  # noqa: E402 - after the line above
from scalecommerce_core.testing.contracts.api_keys import ApiKeysContract  # noqa: E402
from scalecommerce_core.testing.contracts.archive import ArchiveContract  # noqa: E402
from scalecommerce_core.testing.contracts.audit import AuditContract  # noqa: E402
from scalecommerce_core.testing.contracts.catalog import CatalogContract  # noqa: E402
from scalecommerce_core.testing.contracts.changes import CatalogChangesContract  # noqa: E402
from scalecommerce_core.testing.contracts.events import EventsContract, FeedContract  # noqa: E402
from scalecommerce_core.testing.contracts.experiments import (  # noqa: E402
    ExperimentListsContract,
    ExperimentsContract,
)
from scalecommerce_core.testing.contracts.figures import FiguresContract  # noqa: E402
from scalecommerce_core.testing.contracts.gateways import PaymentGatewayContract  # noqa: E402
from scalecommerce_core.testing.contracts.idempotency import IdempotencyContract  # noqa: E402
from scalecommerce_core.testing.contracts.lists import ListsContract  # noqa: E402
from scalecommerce_core.testing.contracts.login_limiters import LoginLimiterContract  # noqa: E402
from scalecommerce_core.testing.contracts.operations import OperationsContract  # noqa: E402
from scalecommerce_core.testing.contracts.orders import OrdersContract  # noqa: E402
from scalecommerce_core.testing.contracts.payments import PaymentsContract  # noqa: E402
from scalecommerce_core.testing.contracts.policies import PoliciesContract  # noqa: E402
from scalecommerce_core.testing.contracts.promotions import (  # noqa: E402
    PromotionListsContract,
    PromotionsContract,
)
from scalecommerce_core.testing.contracts.quote_signers import QuoteSignerContract  # noqa: E402
from scalecommerce_core.testing.contracts.rate_limiters import RateLimiterContract  # noqa: E402
from scalecommerce_core.testing.contracts.runs import RunListsContract, RunsContract  # noqa: E402
from scalecommerce_core.testing.contracts.search import SearchContract  # noqa: E402
from scalecommerce_core.testing.contracts.secret_ciphers import SecretCipherContract  # noqa: E402
from scalecommerce_core.testing.contracts.signals import SignalsContract  # noqa: E402
from scalecommerce_core.testing.contracts.statistics import RollupsContract, SalesContract  # noqa: E402
from scalecommerce_core.testing.contracts.stock import StockContract  # noqa: E402
from scalecommerce_core.testing.contracts.tokens import TokensContract  # noqa: E402
from scalecommerce_core.testing.contracts.transactions import TransactionsContract  # noqa: E402
from scalecommerce_core.testing.contracts.views import ViewCounterContract  # noqa: E402
from scalecommerce_core.testing.contracts.webhooks import WebhookListsContract, WebhooksContract  # noqa: E402

__all__ = [
    "CatalogChangesContract",
    "LoginLimiterContract",
    "PaymentGatewayContract",
    "QueriesContract",
    "QuoteSignerContract",
    "RateLimiterContract",
    "SecretCipherContract",
    "StoreContract",
    "TokensContract",
    "ViewCounterContract",
]


class StoreContract(
    TransactionsContract,
    AccountsContract,
    CatalogContract,
    StockContract,
    OrdersContract,
    PaymentsContract,
    PoliciesContract,
    RunsContract,
    SignalsContract,
    PromotionsContract,
    ExperimentsContract,
    IdempotencyContract,
    EventsContract,
    RollupsContract,
    WebhooksContract,
):
    """Tests of `ports.Store`. Subclasses define the fixture `store`."""


class QueriesContract(
    ListsContract,
    ApiKeysContract,
    SearchContract,
    FiguresContract,
    SalesContract,
    FeedContract,
    WebhookListsContract,
    RunListsContract,
    PromotionListsContract,
    ExperimentListsContract,
    AuditContract,
    OperationsContract,
    ArchiveContract,
):
    """Tests of `queries.Queries`. Subclasses define the fixtures `store` and `queries`."""
