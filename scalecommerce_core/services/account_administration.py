"""What staff and operators do with the accounts of others: deactivate, reactivate, dismiss, end sessions."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.errors import LastStaffAccount, NotFound, OwnAccount, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.session import session_number
from scalecommerce_core.domain.text import normal_reason
from scalecommerce_core.ports import Clock, SecurityEvent, SecurityEventKind, SecurityLog, Store, Transaction
from scalecommerce_core.services.retry import retry_on

_REMOVALS: Final = frozenset({AuditAction.ACCOUNT_DEACTIVATED, AuditAction.ACCOUNT_STAFF_DISMISSED})
_EVENTS: Final = {
    AuditAction.ACCOUNT_DEACTIVATED: SecurityEventKind.ACCOUNT_DEACTIVATED,
    AuditAction.ACCOUNT_REACTIVATED: SecurityEventKind.ACCOUNT_REACTIVATED,
    AuditAction.ACCOUNT_STAFF_DISMISSED: SecurityEventKind.STAFF_DISMISSED,
    AuditAction.ACCOUNT_SESSION_REVOKED: SecurityEventKind.SESSION_REVOKED,
    AuditAction.ACCOUNT_SESSIONS_REVOKED: SecurityEventKind.SESSION_REVOKED,
}
_Act = Callable[[Transaction, Account, datetime], bool]
"""Change a locked account; return whether there was something to change."""


class AccountAdministration:
    """Use cases of staff and operators on an account.

    Each takes a reason, which is kept in the audit log. An action that changes nothing leaves no entry. All raise
    `NotFound`, `AccountDeleted`, and `Invalid` for the reason.
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

        return self._act(AuditAction.ACCOUNT_DEACTIVATED, account_id, reason, by, act)

    def reactivate(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """Undo `deactivate`: the account may log in, and its products, webhooks and policies continue."""

        def act(tx: Transaction, account: Account, _now: datetime) -> bool:
            if account.is_active:
                return False
            account.is_active = True
            tx.accounts.save([account])
            return True

        return self._act(AuditAction.ACCOUNT_REACTIVATED, account_id, reason, by, act)

    def dismiss_staff(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """Withdraw the staff rights of an account and revoke its sessions. Raise `OwnAccount` or `LastStaffAccount`."""

        def act(tx: Transaction, account: Account, now: datetime) -> bool:
            if not account.is_staff:
                return False
            account.is_staff = False
            tx.accounts.save([account])
            tx.sessions.revoke_all(account_id, now)
            return True

        return self._act(AuditAction.ACCOUNT_STAFF_DISMISSED, account_id, reason, by, act)

    def revoke_sessions(self, account_id: AccountId, reason: str, by: Actor) -> Account:
        """Revoke all sessions of an account, which may log in again."""

        def act(tx: Transaction, _account: Account, now: datetime) -> bool:
            tx.sessions.revoke_all(account_id, now)
            return True

        return self._act(AuditAction.ACCOUNT_SESSIONS_REVOKED, account_id, reason, by, act)

    def revoke_session(self, account_id: AccountId, number: int, reason: str, by: Actor) -> Account:
        """Revoke one open session of an account by its number (`domain.session.session_number`); raise `NotFound`."""

        def act(tx: Transaction, _account: Account, now: datetime) -> bool:
            wanted = [each.id for each in tx.sessions.of_account(account_id) if session_number(each.id) == number]
            found = [
                session
                for session in tx.sessions.lock(wanted).values()
                if session.revoked_at is None and now < session.expires_at
            ]
            if not found:
                raise NotFound("session", number)
            for session in found:
                session.revoke(now)
            tx.sessions.save(found)
            return True

        return self._act(AuditAction.ACCOUNT_SESSION_REVOKED, account_id, reason, by, act, facts={"session_id": number})

    def _act(
        self,
        action: AuditAction,
        account_id: AccountId,
        reason: str,
        by: Actor,
        act: _Act,
        *,
        facts: Mapping[str, object] = MappingProxyType({}),
    ) -> Account:
        """Change an account. The audit entry has its rights before and after; `facts` are further values after it."""
        account, changed = self._change(action, account_id, normal_reason(reason), by, act, facts=facts)
        if changed:
            self._security_log.record(SecurityEvent(_EVENTS[action], account.id, by.address, actor_id=by.account_id))
        return account

    @retry_on(TransactionAborted)
    def _change(
        self,
        action: AuditAction,
        account_id: AccountId,
        reason: str,
        by: Actor,
        act: _Act,
        *,
        facts: Mapping[str, object],
    ) -> tuple[Account, bool]:
        removes_access = action in _REMOVALS
        now = self._clock.now()
        with self._store.begin() as tx:
            found = tx.accounts.lock_with_staff(account_id) if removes_access else tx.accounts.lock([account_id])
            if (account := found.get(account_id)) is None:
                raise NotFound("account", account_id)
            account.check_not_deleted()
            if removes_access:
                check_removal(account, found.values(), by.account_id)
            before = _rights(account)
            changed = act(tx, account, now)
            if changed:
                after = {**_rights(account), **facts}
                tx.audit.record([by.entry(action, account_id, now, before=before, after=after, reason=reason)])
        return account, changed


def _rights(account: Account) -> Mapping[str, bool]:
    return {"is_active": account.is_active, "is_staff": account.is_staff}


def check_removal(account: Account, locked: Collection[Account], by: AccountId | None) -> None:
    """Raise an error if the account is the actor's own, or the only active one of staff; `locked` has all of these."""
    if account.id == by:
        raise OwnAccount("You cannot do this to your own account: ask another member of staff.")
    is_staff = account.is_staff and account.is_active
    if is_staff and not any(each.is_staff and each.is_active for each in locked if each.id != account.id):
        raise LastStaffAccount("This is the only active staff account: appoint another one first.")
