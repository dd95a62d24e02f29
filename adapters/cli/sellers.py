"""Look-up of accounts by the e-mail address or id in a command-line option."""

from adapters.cli.options import MAX_BIGINT
from scalecommerce_core.domain.account import normal_email
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.market import Market


def find_account(market: Market, text: str) -> AccountId:
    """Find the account with this e-mail address or id; raise `Invalid` or `NotFound`."""
    if text.isascii() and text.isdigit():
        # Python refuses to convert thousands of digits, and PostgreSQL takes no number above MAX_BIGINT.
        number = AccountId(int(text[: len(str(MAX_BIGINT)) + 1]))
        if number > MAX_BIGINT or market.queries.account(number) is None:
            raise NotFound("account", number)
        return number
    address = normal_email(text)
    with market.store.begin() as tx:
        found = tx.accounts.by_email([address]).get(address)
    if found is None:
        raise NotFound("account", address)
    return found.id
