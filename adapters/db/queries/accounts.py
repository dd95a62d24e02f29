"""Lists of people."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.queries.executor import Reader
from adapters.db.queries.keyset import Keyset, page_of, three, which
from adapters.db.schema import accounts
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import AccountView, Page, PageRequest

_SELECTED: Final = select(accounts.c.id, accounts.c.first_name, accounts.c.last_name, accounts.c.email, accounts.c.bio)
_BY_ID: Final = Keyset((accounts.c.id,))
_ACTIVE: Final = three(lambda request: _BY_ID.page(_SELECTED.where(accounts.c.is_active), request))
_ONE: Final = _SELECTED.where(equals_any(accounts.c.id))


class AccountQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def accounts(self, page: PageRequest) -> Page[AccountView]:
        fetched = self._reader.rows(_ACTIVE[which(page)], _BY_ID.parameters(page))
        return page_of(fetched, page, _view, lambda row: (row[0],))

    def account(self, account_id: AccountId) -> AccountView | None:
        found = self._reader.rows(_ONE, {"ids": id_array([account_id])})
        return _view(found[0]) if found else None


def _view(row: Sequence[Any]) -> AccountView:
    return AccountView(*row)
