"""Export of everything that is stored about a person, and deletion of an account."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor, AuditAction, AuditEntry
from scalecommerce_core.domain.errors import Conflict, MarketError, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.domain.text import normal_reason
from scalecommerce_core.ports import (
    Clock,
    Ids,
    RateLimit,
    RateLimiter,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
    Transaction,
)
from scalecommerce_core.ports.orders import UnsettledOrder
from scalecommerce_core.queries import Page, PageRequest, Queries
from scalecommerce_core.services.account_administration import check_removal
from scalecommerce_core.services.account_limits import acquire
from scalecommerce_core.services.accounts import Accounts, check_unchanged
from scalecommerce_core.services.catalog import Catalog, WithdrawProduct
from scalecommerce_core.services.emails import Emails
from scalecommerce_core.services.personal_data_documents import (
    action_document,
    api_key_document,
    endpoint_document,
    experiment_document,
    order_document,
    policy_document,
    product_document,
    profile_document,
    promotion_document,
    sale_document,
    session_document,
    to_json,
)
from scalecommerce_core.services.pricing import DeletePolicy, Pricing
from scalecommerce_core.services.promotions import CancelPromotion, Promotions
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.webhooks import ActOnEndpoint, Webhooks

T = TypeVar("T")

PAGE_SIZE: Final = 100
WITHDRAW_BATCH: Final = 200
SHOWN_ORDERS: Final = 20
"""Open orders that the refusal of a deletion names."""
EXPORTS: Final = RateLimit("exports per account", 5, timedelta(hours=1))


class OrdersOpen(Conflict):
    """The account cannot be deleted while orders are open, or payments and refunds in progress."""

    code = "orders_open"

    def __init__(self, orders: Sequence[UnsettledOrder]) -> None:
        shown = orders[:SHOWN_ORDERS]
        sentences = [
            _sentence(
                [order.id for order in shown if order.is_own and order.is_unpaid],
                "Order {} of this account is not paid: pay or cancel it.",
                "Orders {} of this account are not paid: pay or cancel them.",
            ),
            _sentence(
                [order.id for order in shown if order.is_unpaid and not order.is_own],
                "Order {} with products of this account is not paid: wait until it is paid, cancelled or expired.",
                "Orders {} with products of this account are not paid: wait until they are paid, cancelled or expired.",
            ),
            _sentence(
                [order.id for order in shown if not order.is_unpaid],
                "A payment or refund of order {} is in progress: wait until it ends.",
                "Payments or refunds of orders {} are in progress: wait until they end.",
            ),
            "There are more such orders." if len(orders) > len(shown) else "",
        ]
        super().__init__(" ".join(filter(None, [*sentences, "Then delete the account."])))
        self.order_ids = tuple(order.id for order in orders)


def _sentence(ids: Sequence[OrderId], single: str, several: str) -> str:
    if not ids:
        return ""
    *first, last = map(str, ids)
    return several.format(f"{', '.join(first)} and {last}") if first else single.format(last)


class PersonalData:
    """Use cases of the owner of an account, and of staff and operators on request of the owner."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        queries: Queries,
        *,
        ids: Ids,
        accounts: Accounts,
        catalog: Catalog,
        pricing: Pricing,
        promotions: Promotions,
        webhooks: Webhooks,
        emails: Emails,
        limiter: RateLimiter,
        security_log: SecurityLog,
    ) -> None:
        self._store = store
        self._clock = clock
        self._queries = queries
        self._ids = ids
        self._accounts = accounts
        self._catalog = catalog
        self._pricing = pricing
        self._promotions = promotions
        self._webhooks = webhooks
        self._emails = emails
        self._limiter = limiter
        self._security_log = security_log

    # --- export

    def export(self, account_id: AccountId, by: Actor) -> Iterator[str]:
        """Return one JSON document in parts, which are read page by page in constant memory.

        It holds all data of the account except password, secrets and tokens. `by` is its owner, a member of staff or an
        operator; exports of operators are not limited. Raise `NotFound` or `TooManyAttempts` before the first part.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            account = _existing(tx.accounts.get_many([account_id]).get(account_id), account_id)
            profile = profile_document(tx, account)
            sessions = [session_document(session) for session in tx.sessions.of_account(account_id)]
        details = self._queries.account_details(account_id)
        history = [] if details is None else [action_document(action) for action in details.actions]
        if by.account_id is not None:
            acquire(self._limiter, [(EXPORTS, str(by.account_id))], now, "exports")
        is_own = by.account_id == account_id
        if not is_own:
            with self._store.begin() as tx:
                tx.audit.record([by.entry(AuditAction.ACCOUNT_EXPORTED, account_id, now)])
        actor_id = None if is_own else by.account_id
        self._security_log.record(
            SecurityEvent(SecurityEventKind.DATA_EXPORTED, account_id, by.address, actor_id=actor_id)
        )
        return self._parts(account_id, now, {**profile, "history": history, "sessions": sessions})

    def _parts(self, account_id: AccountId, now: datetime, account: Mapping[str, Any]) -> Iterator[str]:
        queries = self._queries
        yield f'{{"exported_at": {to_json(now)}, "account": {to_json(account)}'
        sections: Mapping[str, Iterable[Mapping[str, Any]]] = {
            "orders": map(order_document, _pages(lambda page: queries.orders_of_buyer(account_id, page))),
            "sales": map(sale_document, _pages(lambda page: queries.sales(account_id, page))),
            "products": map(product_document, queries.iter_products(account_id)),
            "pricing_policies": map(policy_document, _pages(lambda page: queries.policies(account_id, page))),
            "pricing_experiments": map(experiment_document, _pages(lambda page: queries.experiments(account_id, page))),
            "promotions": map(promotion_document, _pages(lambda page: queries.promotions(account_id, page))),
            "api_keys": map(api_key_document, queries.api_keys(account_id)),
            "webhooks": map(endpoint_document, _pages(lambda page: queries.endpoints(account_id, page))),
        }
        for name, rows in sections.items():
            yield f', "{name}": ['
            for number, row in enumerate(rows):
                yield f"{', ' if number else ''}{to_json(row)}"
            yield "]"
        yield "}\n"

    # --- deletion

    def delete(self, account_id: AccountId, password: str, *, code: str = "", address: str = "") -> None:
        """Delete the account of the caller, who gives the password, and a code if there is a second factor.

        The row stays without personal data, because orders refer to it; amounts, payments and stock movements are
        unchanged. Products are withdrawn; promotions, policies, webhooks, API keys, sessions and the second factor end.
        The e-mail address becomes free. Raise `Invalid`, which names `password` or `code`, `OrdersOpen`,
        `LastStaffAccount`, `AccountDeleted`, `NotFound` or `TooManyAttempts`.
        """
        checked = self._accounts.check_owner(account_id, password, code, address=address)
        self._delete(account_id, "Deleted by its owner.", Actor(account_id, address), checked)

    def delete_for(self, account_id: AccountId, reason: str, by: Actor) -> None:
        """Delete an account for its owner; errors as those of `delete`, or `Invalid`, which names `reason`."""
        self._delete(account_id, normal_reason(reason), by)

    def _delete(self, account_id: AccountId, reason: str, by: Actor, checked: Account | None = None) -> None:
        self._refuse(account_id, checked)
        self._end_offers(account_id)
        now = self._clock.now()
        entry = by.entry(AuditAction.ACCOUNT_DELETED, account_id, now, reason=reason)
        self._anonymize(account_id, entry, now, checked)
        # What the account made while its offers ended.
        self._end_offers(account_id)
        self._security_log.record(
            SecurityEvent(SecurityEventKind.ACCOUNT_DELETED, account_id, by.address, actor_id=by.account_id)
        )

    def _refuse(self, account_id: AccountId, checked: Account | None) -> None:
        with self._store.begin() as tx:
            found = tx.accounts.lock_with_staff(account_id)
            account = _existing(found.get(account_id), account_id)
            account.check_not_deleted()
            if checked is not None:
                check_unchanged(account, checked)
            check_removal(account, found.values(), by=None)
            _check_orders(tx, account_id)

    def _end_offers(self, account_id: AccountId) -> None:
        """Withdraw all products, cancel all promotions, and delete all policies and webhooks of the account."""
        products = [product.id for product in self._queries.iter_products(account_id)]
        for start in range(0, len(products), WITHDRAW_BATCH):
            batch = products[start : start + WITHDRAW_BATCH]
            _ignore_missing(
                self._catalog.withdraw_products([WithdrawProduct(id_, account_id, as_staff=True) for id_ in batch])
            )
        promotions = list(_pages(lambda page: self._queries.promotions(account_id, page)))
        _ignore_missing(self._promotions.cancel([CancelPromotion(each.id, account_id) for each in promotions]))
        policies = list(_pages(lambda page: self._queries.policies(account_id, page)))
        _ignore_missing(self._pricing.delete([DeletePolicy(policy.id, account_id) for policy in policies]))
        endpoints = list(_pages(lambda page: self._queries.endpoints(account_id, page)))
        _ignore_missing(self._webhooks.delete([ActOnEndpoint(endpoint.id, account_id) for endpoint in endpoints]))

    @retry_on(TransactionAborted)
    def _anonymize(self, account_id: AccountId, entry: AuditEntry, now: datetime, checked: Account | None) -> None:
        with self._store.begin() as tx:
            found = tx.accounts.lock_with_staff(account_id)
            account = _existing(found.get(account_id), account_id)
            account.check_not_deleted()
            if checked is not None:
                # An owner who resets the password meanwhile keeps the account.
                check_unchanged(account, checked)
            check_removal(account, found.values(), by=None)
            _check_orders(tx, account_id)
            self._emails.queue(tx, EmailKind.ACCOUNT_DELETED, {account.email: account_id}, now)
            account.erase(self._ids.token()[:12].lower())
            tx.accounts.save([account])
            tx.sessions.revoke_all(account_id, now)
            tx.sessions.erase_clients(account_id)
            tx.account_tokens.delete_of(account_id)
            tx.second_factors.delete([account_id])
            tx.api_keys.delete_all(account_id)
            tx.audit.record([entry])


def _existing(account: Account | None, account_id: AccountId) -> Account:
    if account is None:
        raise NotFound("account", account_id)
    return account


def _check_orders(tx: Transaction, account_id: AccountId) -> None:
    if open_orders := tx.orders.unsettled(account_id, SHOWN_ORDERS + 1):
        raise OrdersOpen(open_orders)


def _ignore_missing(outcomes: Sequence[object]) -> None:
    """Raise the first error; something that another request has deleted meanwhile is no error."""
    for outcome in outcomes:
        if isinstance(outcome, MarketError) and not isinstance(outcome, NotFound):
            raise outcome


def _pages(read: Callable[[PageRequest], Page[T]]) -> Iterator[T]:
    page = PageRequest(PAGE_SIZE)
    while True:
        found = read(page)
        yield from found.rows
        if found.next is None:
            return
        page = PageRequest(PAGE_SIZE, after=found.next)
