"""Account queries."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.schema import accounts
from scalecommerce_core.domain.account import public_name
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import AccountView, Page, PageRequest

_VIEW: Final = select(
    accounts.c.id,
    accounts.c.first_name,
    accounts.c.last_name,
    accounts.c.email,
    accounts.c.bio,
    accounts.c.display_name,
)
_BY_ID: Final = Keyset((accounts.c.id,))
_ACTIVE: Final = page_statements(lambda request: _BY_ID.page_statement(_VIEW.where(accounts.c.is_active), request))
_ACCOUNT: Final = _VIEW.where(equals_any(accounts.c.id))


class AccountQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def accounts(self, page: PageRequest) -> Page[AccountView]:
        fetched = self._executor.fetch(_ACTIVE[page_direction(page)], _BY_ID.page_params(page))
        return build_page(fetched, page, _view, lambda row: (row[0],))

    def account(self, account_id: AccountId) -> AccountView | None:
        found = self._executor.fetch(_ACCOUNT, {"ids": id_array([account_id])})
        return _view(found[0]) if found else None


def _view(row: Sequence[Any]) -> AccountView:
    id_, first_name, last_name, email, bio, display_name = row
    return AccountView(id_, first_name, last_name, email, bio, public_name(id_, display_name, first_name, last_name))
