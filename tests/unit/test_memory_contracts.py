"""The contract suites on the in-memory adapters."""

import pytest

from scalecommerce_core.ports import PaymentGateway, Store
from scalecommerce_core.queries import Queries
from scalecommerce_core.testing import MemoryGateway, MemoryQueries, MemoryStore
from scalecommerce_core.testing.contracts import PaymentGatewayContract, QueriesContract, StoreContract


@pytest.fixture
def store() -> Store:
    return MemoryStore()


class TestMemoryStore(StoreContract):
    pass


class TestMemoryQueries(QueriesContract):
    @pytest.fixture
    def queries(self, store: MemoryStore) -> Queries:
        return MemoryQueries(store)


class TestMemoryGateway(PaymentGatewayContract):
    @pytest.fixture
    def gateway(self) -> PaymentGateway:
        return MemoryGateway()
