"""Views and queries of accounts."""

from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class AccountView:
    id: AccountId
    first_name: str
    last_name: str
    email: str
    bio: str
    public_name: str
    """The name under which products show the account."""


class AccountQueries(Protocol):
    def accounts(self, page: PageRequest) -> Page[AccountView]:
        """Return active accounts in the order of their ids."""
        ...

    def account(self, account_id: AccountId) -> AccountView | None:
        """Return an account, active or not; None if there is none."""
        ...
