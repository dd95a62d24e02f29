"""What staff and operators do with the accounts of others: deactivate, reactivate, dismiss, end sessions."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.account import Account, AccountAction, AccountActionKind
from scalecommerce_core.domain.errors import LastStaffAccount, NotFound, OwnAccount, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.text import normal_reason
from scalecommerce_core.ports import Clock, SecurityEvent, SecurityEventKind, SecurityLog, Store, Transaction
from scalecommerce_core.services.retry import retry_on

_REMOVALS: Final = frozenset({AccountActionKind.DEACTIVATED, AccountActionKind.STAFF_DISMISSED})
_EVENTS: Final = {
    AccountActionKind.DEACTIVATED: SecurityEventKind.ACCOUNT_DEACTIVATED,
    AccountActionKind.REACTIVATED: SecurityEventKind.ACCOUNT_REACTIVATED,
    AccountActionKind.STAFF_DISMISSED: SecurityEventKind.STAFF_DISMISSED,
    AccountActionKind.SESSIONS_REVOKED: SecurityEventKind.SESSION_REVOKED,
}


@frozen
class Actor:
    """Who acts on an account: a member of staff, or an operator on the command line (None)."""

    account_id: AccountId | None = None
    address: str = ""
    """The network address of the client, for the security log."""


OPERATOR: Final = Actor()
_Act = Callable[[Transaction, Account, datetime], bool]
"""Change a locked account; return whether there was something to change."""


class AccountAdministration:
    """Use cases of staff and operators on an account.

    Each takes a reason, which is kept in the account's history. An action that changes nothing leaves no entry. All
    raise `NotFound`, `AccountDeleted`, and `Invalid` for the reason.
    """

    def __init__(self, store: Store, clock: Clock, security_log: SecurityLog) -> None:
        self._store = store
        self._clock = clock
        self._security_log = security_log

    def deactivate(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """End all access of an account. Its products are neither shown to buyers nor offered, its webhooks and pricing
        policies pause; its orders and sales continue. Raise `OwnAccount` or `LastStaffAccount`.
        """

        def act(tx: Transaction, account: Account, now: datetime) -> bool:
            if not account.is_active:
                return False
            account.is_active = False
            tx.accounts.save([account])
            tx.sessions.revoke_all(account_id, now)
            return True

        return self._act(self._entry(AccountActionKind.DEACTIVATED, account_id, reason, by), by, act)

    def reactivate(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """Undo `deactivate`: the account may log in, and its products, webhooks and policies continue."""

        def act(tx: Transaction, account: Account, _now: datetime) -> bool:
            if account.is_active:
                return False
            account.is_active = True
            tx.accounts.save([account])
            return True

        return self._act(self._entry(AccountActionKind.REACTIVATED, account_id, reason, by), by, act)

    def dismiss_staff(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """Withdraw the staff rights of an account and revoke its sessions. Raise `OwnAccount` or `LastStaffAccount`."""

        def act(tx: Transaction, account: Account, now: datetime) -> bool:
            if not account.is_staff:
                return False
            account.is_staff = False
            tx.accounts.save([account])
            tx.sessions.revoke_all(account_id, now)
            return True

        return self._act(self._entry(AccountActionKind.STAFF_DISMISSED, account_id, reason, by), by, act)

    def revoke_sessions(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """Revoke all sessions of an account, which may log in again."""

        def act(tx: Transaction, _account: Account, now: datetime) -> bool:
            tx.sessions.revoke_all(account_id, now)
            return True

        return self._act(self._entry(AccountActionKind.SESSIONS_REVOKED, account_id, reason, by), by, act)

    def _entry(self, kind: AccountActionKind, account_id: AccountId, reason: str, by: Actor) -> AccountAction:
        return AccountAction(account_id, kind, normal_reason(reason), self._clock.now(), by.account_id)

    def _act(self, entry: AccountAction, by: Actor, act: _Act) -> Account:
        account, changed = self._change(entry, act)
        if changed:
            self._security_log.record(
                SecurityEvent(_EVENTS[entry.kind], account.id, by.address, actor_id=by.account_id)
            )
        return account

    @retry_on(TransactionAborted)
    def _change(self, entry: AccountAction, act: _Act) -> tuple[Account, bool]:
        removes_access = entry.kind in _REMOVALS
        account_id = entry.account_id
        with self._store.begin() as tx:
            found = tx.accounts.lock_with_staff(account_id) if removes_access else tx.accounts.lock([account_id])
            if (account := found.get(account_id)) is None:
                raise NotFound("account", account_id)
            account.check_not_deleted()
            if removes_access:
                check_removal(account, found.values(), entry.actor_id)
            changed = act(tx, account, entry.occurred_at)
            if changed:
                tx.accounts.add_action(entry)
        return account, changed


def check_removal(account: Account, locked: Collection[Account], by: AccountId | None) -> None:
    """Raise an error if the account is the actor's own, or the only active one of staff; `locked` has all of these."""
    if account.id == by:
        raise OwnAccount("You cannot do this to your own account: ask another member of staff.")
    is_staff = account.is_staff and account.is_active
    if is_staff and not any(each.is_staff and each.is_active for each in locked if each.id != account.id):
        raise LastStaffAccount("This is the only active staff account: appoint another one first.")
