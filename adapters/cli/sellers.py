"""Accounts as the command line names them: by address."""

from scalecommerce_core.domain.account import normal_email
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.market import Market


def account_of(market: Market, email: str) -> AccountId:
    """Raise `Invalid` or `NotFound`."""
    address = normal_email(email)
    with market.store.begin() as tx:
        found = tx.accounts.by_email([address]).get(address)
    if found is None:
        raise NotFound("account", address)
    return found.id
