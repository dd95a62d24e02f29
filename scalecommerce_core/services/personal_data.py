"""Export of everything that is stored about a person, and deletion of an account."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from attrs import asdict

from scalecommerce_core.domain.account import Account, AccountAction, AccountActionKind, Session, normal_reason
from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.errors import Conflict, MarketError, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.outgoing_email import EmailKind
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
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.queries import EndpointView, OrderView, Page, PageRequest, ProductView, Queries, SaleView
from scalecommerce_core.services.account_administration import Actor, check_removal
from scalecommerce_core.services.account_limits import acquire
from scalecommerce_core.services.accounts import Accounts
from scalecommerce_core.services.catalog import Catalog, WithdrawProduct
from scalecommerce_core.services.emails import Emails
from scalecommerce_core.services.pricing import DeletePolicy, Pricing
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

    def __init__(self, order_ids: Sequence[OrderId]) -> None:
        named = ", ".join(map(str, order_ids[:SHOWN_ORDERS]))
        more = ", …" if len(order_ids) > SHOWN_ORDERS else ""
        super().__init__(
            f"Orders {named}{more} of this account, or with its products, are open, or their payments or refunds are in"
            " progress: pay or cancel your own, wait for the others, then delete the account."
        )
        self.order_ids = tuple(order_ids)


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
        self._webhooks = webhooks
        self._emails = emails
        self._limiter = limiter
        self._security_log = security_log

    # --- export

    def export(
        self, account_id: AccountId, *, actor_id: AccountId | None = None, address: str = "", limited: bool = True
    ) -> Iterator[str]:
        """Return one JSON document in parts, which are read page by page in constant memory.

        It holds all data of the account except password, secrets and tokens. `actor_id` is the member of staff who asks
        for the data of another account; operators are not `limited`. Raise `NotFound` or `TooManyAttempts` before the
        first part.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            account = _existing(tx.accounts.get_many([account_id]).get(account_id), account_id)
            profile = _profile(tx, account)
            sessions = [_session(session) for session in tx.sessions.of_account(account_id)]
        details = self._queries.account_details(account_id)
        history = [] if details is None else [_action(action) for action in details.actions]
        if limited:
            acquire(self._limiter, [(EXPORTS, str(actor_id or account_id))], now, "exports")
        self._security_log.record(
            SecurityEvent(SecurityEventKind.DATA_EXPORTED, account_id, address, actor_id=actor_id)
        )
        return self._parts(account_id, now, {**profile, "history": history, "sessions": sessions})

    def _parts(self, account_id: AccountId, now: datetime, account: Mapping[str, Any]) -> Iterator[str]:
        queries = self._queries
        yield f'{{"exported_at": {_json(now)}, "account": {_json(account)}'
        sections: Mapping[str, Iterable[Mapping[str, Any]]] = {
            "orders": map(_order, _pages(lambda page: queries.orders_of_buyer(account_id, page))),
            "sales": map(_sale, _pages(lambda page: queries.sales(account_id, page))),
            "products": map(_product, queries.iter_products(account_id)),
            "pricing_policies": map(_policy, _pages(lambda page: queries.policies(account_id, page))),
            "api_keys": map(_api_key, queries.api_keys(account_id)),
            "webhooks": map(_endpoint, _pages(lambda page: queries.endpoints(account_id, page))),
        }
        for name, rows in sections.items():
            yield f', "{name}": ['
            for number, row in enumerate(rows):
                yield f"{', ' if number else ''}{_json(row)}"
            yield "]"
        yield "}\n"

    # --- deletion

    def delete(self, account_id: AccountId, password: str, *, code: str = "", address: str = "") -> None:
        """Delete the account of the caller, who gives the password, and a code if there is a second factor.

        The row stays without personal data, because orders refer to it; amounts, payments and stock movements are
        unchanged. Products are withdrawn; policies, webhooks, API keys, sessions and the second factor end. The e-mail
        address becomes free. Raise `Invalid`, which names `password` or `code`, `OrdersOpen`, `LastStaffAccount`,
        `NotFound` or `TooManyAttempts`.
        """
        self._accounts.check_owner(account_id, password, code, address=address)
        self._delete(account_id, "Deleted by its owner.", Actor(account_id, address))

    def delete_for(self, account_id: AccountId, reason: str, by: Actor) -> None:
        """Delete an account for its owner; raise `OrdersOpen`, `LastStaffAccount`, `NotFound` or `Invalid`."""
        self._delete(account_id, normal_reason(reason), by)

    def _delete(self, account_id: AccountId, reason: str, by: Actor) -> None:
        self._refuse(account_id)
        self._end_offers(account_id)
        now = self._clock.now()
        self._anonymize(AccountAction(account_id, AccountActionKind.DELETED, reason, now, by.account_id), now)
        # What the account made while its offers ended.
        self._end_offers(account_id)
        self._security_log.record(
            SecurityEvent(SecurityEventKind.ACCOUNT_DELETED, account_id, by.address, actor_id=by.account_id)
        )

    def _refuse(self, account_id: AccountId) -> None:
        with self._store.begin() as tx:
            found = tx.accounts.lock_with_staff(account_id)
            check_removal(_existing(found.get(account_id), account_id), found.values(), by=None)
            _check_orders(tx, account_id)

    def _end_offers(self, account_id: AccountId) -> None:
        """Withdraw all products and delete all policies and webhooks of the account."""
        products = [product.id for product in self._queries.iter_products(account_id)]
        for start in range(0, len(products), WITHDRAW_BATCH):
            batch = products[start : start + WITHDRAW_BATCH]
            _ignore_missing(
                self._catalog.withdraw_products([WithdrawProduct(id_, account_id, as_staff=True) for id_ in batch])
            )
        policies = list(_pages(lambda page: self._queries.policies(account_id, page)))
        _ignore_missing(self._pricing.delete([DeletePolicy(policy.id, account_id) for policy in policies]))
        endpoints = list(_pages(lambda page: self._queries.endpoints(account_id, page)))
        _ignore_missing(self._webhooks.delete([ActOnEndpoint(endpoint.id, account_id) for endpoint in endpoints]))

    @retry_on(TransactionAborted)
    def _anonymize(self, entry: AccountAction, now: datetime) -> None:
        account_id = entry.account_id
        with self._store.begin() as tx:
            found = tx.accounts.lock_with_staff(account_id)
            account = _existing(found.get(account_id), account_id)
            check_removal(account, found.values(), by=None)
            _check_orders(tx, account_id)
            self._emails.queue(tx, EmailKind.ACCOUNT_DELETED, {account.email: account_id}, now)
            # The random part keeps strangers from taking the address first.
            account.email = f"deleted-{account_id}-{self._ids.token()[:12].lower()}@deleted.invalid"
            account.password_hash = None
            account.first_name = account.last_name = account.bio = account.display_name = ""
            account.is_staff = account.is_active = False
            account.email_verified_at = None
            tx.accounts.save([account])
            tx.sessions.revoke_all(account_id, now)
            tx.sessions.erase_clients(account_id)
            tx.account_tokens.delete_of(account_id)
            tx.second_factors.delete([account_id])
            tx.api_keys.delete_all(account_id)
            tx.accounts.add_action(entry)


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


# --- documents


def _json(value: object) -> str:
    return json.dumps(value, default=_encode, ensure_ascii=False)


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def _profile(tx: Transaction, account: Account) -> Mapping[str, Any]:
    factor = tx.second_factors.get_many([account.id]).get(account.id)
    return {
        **asdict(account, filter=lambda attribute, _: attribute.name != "password_hash"),
        "second_factor": None
        if factor is None
        else {"confirmed_at": factor.confirmed_at, "recovery_codes_left": len(factor.recovery_codes)},
        "api_keys": [
            asdict(
                key,
                filter=lambda attribute, _: attribute.name in {"name", "prefix", "created_at", "expires_at", "used_at"},
            )
            for key in tx.api_keys.lock_all(account.id)
        ],
        "outgoing_emails": [
            {"kind": email.kind, "recipient": email.recipient, "created_at": email.created_at}
            for email in tx.emails.of_account(account.id)
        ],
    }


def _action(action: AccountAction) -> Mapping[str, Any]:
    return {"kind": action.kind, "reason": action.reason, "occurred_at": action.occurred_at}


def _session(session: Session) -> Mapping[str, Any]:
    """A session without the identifiers of its tokens."""
    hidden = {"id", "account_id", "current", "previous"}
    return asdict(session, filter=lambda attribute, _: attribute.name not in hidden)


def _order(order: OrderView) -> Mapping[str, Any]:
    lines = [
        {
            "product": line.product,
            "name": line.name,
            "quantity": line.quantity,
            "price": decimal_text(line.price, order.currency),
            "refunded": line.refunded,
        }
        for line in order.lines
    ]
    return {
        "id": order.id,
        "status": order.status,
        "total": decimal_text(order.total, order.currency),
        "currency": order.currency,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
        "lines": lines,
    }


def _sale(sale: SaleView) -> Mapping[str, Any]:
    return {**asdict(sale), "price": decimal_text(sale.price, sale.currency)}


def _product(product: ProductView) -> Mapping[str, Any]:
    amounts = {name: getattr(product, name) for name in ("price", "cost", "min_price", "max_price")}
    return {
        **asdict(product, filter=lambda attribute, _: attribute.name not in {"seller", "version", *amounts}),
        **{name: None if money is None else str(money) for name, money in amounts.items()},
    }


def _policy(policy: PricingPolicy) -> Mapping[str, Any]:
    return asdict(policy, filter=lambda attribute, _: attribute.name not in {"seller_id", "version"})


def _api_key(key: ApiKey) -> Mapping[str, Any]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


def _endpoint(endpoint: EndpointView) -> Mapping[str, Any]:
    return asdict(endpoint, filter=lambda attribute, _: attribute.name not in {"owner", "version"})
