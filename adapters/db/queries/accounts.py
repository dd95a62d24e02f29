"""Account queries."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Text, bindparam, exists, func, select

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page
from adapters.db.repositories.audit import AUDIT_RECORD, audit_record_of
from adapters.db.schema import accounts, audit_log, second_factors
from adapters.db.schema.accounts import SEARCHED
from scalecommerce_core.domain.account import is_deleted_email, public_name
from scalecommerce_core.domain.audit import TargetKind
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import (
    ACTIVE_ACCOUNTS,
    AccountDetails,
    AccountFilter,
    AccountView,
    Page,
    PageRequest,
)
from scalecommerce_core.queries.accounts import MAX_ACTIONS

_VIEW: Final = select(
    accounts.c.id,
    accounts.c.first_name,
    accounts.c.last_name,
    accounts.c.email,
    accounts.c.bio,
    accounts.c.display_name,
)
# Signs that LIKE would interpret are escaped.
_FOUND: Final = SEARCHED.like(
    func.concat(
        "%",
        func.regexp_replace(func.folded(bindparam("search", type_=Text)), r"([\\%_])", r"\\\1", "g"),
        "%",
    )
)
_BY_ID: Final = Keyset((accounts.c.id,))
_ACCOUNT: Final = _VIEW.where(equals_any(accounts.c.id))
_DETAILS: Final = _ACCOUNT.add_columns(
    accounts.c.is_staff,
    accounts.c.is_active,
    accounts.c.created_at,
    accounts.c.password_hash.is_not(None),
    accounts.c.email_verified_at,
    exists().where(second_factors.c.account_id == accounts.c.id, second_factors.c.confirmed_at.is_not(None)),
)
_ACTIONS: Final = (
    AUDIT_RECORD.where(
        audit_log.c.target_kind == TargetKind.ACCOUNT.value, audit_log.c.target_id == bindparam("id", type_=Text)
    )
    .order_by(audit_log.c.occurred_at.desc(), audit_log.c.id.desc())
    .limit(MAX_ACTIONS)
)


class AccountQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def accounts(self, page: PageRequest, criteria: AccountFilter = ACTIVE_ACCOUNTS) -> Page[AccountView]:
        given = {"is_active": criteria.is_active, "is_staff": criteria.is_staff, "email": criteria.email}
        conditions = {name: value for name, value in given.items() if value is not None}
        matching = _VIEW.where(*(accounts.c[name] == bindparam(name) for name in conditions))
        if criteria.search is not None:
            matching = matching.where(_FOUND)
            conditions["search"] = criteria.search.strip()
        # The best plan depends on how many accounts a fragment matches: a rare one is looked up in the index, a common
        # one soon fills a page in the order of ids.
        fetched = self._executor.fetch(
            _BY_ID.page_statement(matching, page),
            {**_BY_ID.page_params(page), **conditions},
            plan_each_time=criteria.search is not None,
        )
        return build_page(fetched, page, _view, lambda row: (row[0],))

    def account(self, account_id: AccountId) -> AccountView | None:
        found = self._executor.fetch(_ACCOUNT, {"ids": id_array([account_id])})
        return _view(found[0]) if found else None

    def account_details(self, account_id: AccountId) -> AccountDetails | None:
        found = self._executor.fetch(_DETAILS, {"ids": id_array([account_id])})
        if not found:
            return None
        *row, is_staff, is_active, created_at, has_password, email_verified_at, has_second_factor = found[0]
        view = _view(row)
        actions = [audit_record_of(row).entry for row in self._executor.fetch(_ACTIONS, {"id": str(account_id)})]
        return AccountDetails(
            view,
            is_staff,
            is_active,
            created_at,
            actions,
            is_deleted=not is_active and not has_password and is_deleted_email(account_id, view.email),
            email_verified_at=email_verified_at,
            has_second_factor=has_second_factor,
        )


def _view(row: Sequence[Any]) -> AccountView:
    id_, first_name, last_name, email, bio, display_name = row
    return AccountView(id_, first_name, last_name, email, bio, public_name(id_, display_name, first_name, last_name))
