"""The contract suites on the in-memory adapters."""

from datetime import timedelta

import pytest

from scalecommerce_core.domain.product_views import NO_CAPS, ViewCaps
from scalecommerce_core.ports import AccessChange, CatalogChange, PaymentGateway, Store
from scalecommerce_core.queries import Queries
from scalecommerce_core.testing import (
    MemoryGateway,
    MemoryQueries,
    MemoryStore,
    MemoryViewCounter,
    SettableClock,
    SharedViews,
)
from scalecommerce_core.testing.contracts import (
    CatalogChangesContract,
    PaymentGatewayContract,
    QueriesContract,
    StoreContract,
    ViewCounterContract,
)
from scalecommerce_core.testing.contracts.views import Counters


@pytest.fixture
def store() -> Store:
    return MemoryStore()


class TestMemoryStore(StoreContract):
    pass


class TestMemoryQueries(QueriesContract):
    @pytest.fixture
    def queries(self, store: MemoryStore) -> Queries:
        return MemoryQueries(store)


class TestMemoryChanges(CatalogChangesContract):
    @pytest.fixture
    def queries(self, store: MemoryStore) -> Queries:
        return MemoryQueries(store)

    @pytest.fixture
    def reported(self, store: MemoryStore) -> list[CatalogChange]:
        reported: list[CatalogChange] = []
        store.changed = reported.append
        return reported

    @pytest.fixture
    def access_reported(self, store: MemoryStore) -> list[AccessChange]:
        reported: list[AccessChange] = []
        store.access_changed = reported.append
        return reported


class TestMemoryGateway(PaymentGatewayContract):
    @pytest.fixture
    def gateway(self) -> PaymentGateway:
        return MemoryGateway()


class TestMemoryViewCounter(ViewCounterContract):
    @pytest.fixture
    def clock(self) -> SettableClock:
        return SettableClock()

    @pytest.fixture
    def counters(self, clock: SettableClock) -> Counters:
        shared = SharedViews()

        def counter(window: timedelta, caps: ViewCaps = NO_CAPS) -> MemoryViewCounter:
            return MemoryViewCounter(clock, window=window, caps=caps, shared=shared)

        return counter
