"""Options that take an account."""

import pytest

from adapters.cli.sellers import find_account
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import in_memory_market


def test_an_account_is_found_by_address_and_by_number() -> None:
    market = in_memory_market()
    account = unwrap_single(market.accounts.sign_up([SignUp("seller@example.com", None)]))
    assert find_account(market, "Seller@example.com") == find_account(market, str(account.id)) == account.id


@pytest.mark.parametrize("told", ["0", "9223372036854775807", "9223372036854775808", "9" * 5_000])
def test_an_unknown_account_number_is_reported(told: str) -> None:
    with pytest.raises(NotFound):
        find_account(in_memory_market(), told)
