"""Views and queries of accounts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.audit import AuditEntry
from scalecommerce_core.domain.errors import Invalid
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


MIN_FRAGMENT: Final = 3
"""Fewest characters of a search: shorter ones would match too many accounts, and no index finds them."""


@frozen
class AccountFilter:
    """Conditions on a list of accounts; None: any. `email` is the whole address in lower case.

    `search` is a part of an e-mail address, first, last or display name, or of two of them in this order, without case
    and accents. Raise `Invalid`, which names `search`, for one of fewer than `MIN_FRAGMENT` characters.
    """

    is_active: bool | None = True
    is_staff: bool | None = None
    email: str | None = None
    search: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.search is not None and len(self.search.strip()) < MIN_FRAGMENT:
            raise Invalid.field("search", f"Enter at least {MIN_FRAGMENT} characters.")


ACTIVE_ACCOUNTS: Final = AccountFilter()


@frozen
class AccountDetails:
    """An account as staff see it. `actions` are the entries of the audit log about it, newest first, at most
    `MAX_ACTIONS`.

    `email_verified_at` is None for an address that is not verified. `has_second_factor`: log-ins need a code.
    """

    account: AccountView
    is_staff: bool
    is_active: bool
    created_at: datetime
    actions: Sequence[AuditEntry]
    is_deleted: bool = False
    email_verified_at: datetime | None = None
    has_second_factor: bool = False


MAX_ACTIONS: Final = 50


class AccountQueries(Protocol):
    def accounts(self, page: PageRequest, criteria: AccountFilter = ACTIVE_ACCOUNTS) -> Page[AccountView]:
        """Return accounts in the order of their ids."""
        ...

    def account_details(self, account_id: AccountId) -> AccountDetails | None:
        """Return what staff may know of an account; None if there is none."""
        ...

    def account(self, account_id: AccountId) -> AccountView | None:
        """Return an account, active or not; None if there is none."""
        ...
