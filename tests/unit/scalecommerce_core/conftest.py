import pytest

from scalecommerce_core.domain.account import Account
from tests.unit.support.shop import Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def seller(shop: Shop) -> Account:
    return shop.person("sam")


@pytest.fixture
def buyer(shop: Shop) -> Account:
    return shop.person("bea")
