"""The catalog: categories, products, their stock and their views."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction, AuditEntry, changed
from scalecommerce_core.domain.category import Category, distinct_slug, name_key, slug_of
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    StockMoved,
    TransactionAborted,
    VersionMismatch,
)
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, Money, price_range_message
from scalecommerce_core.domain.product import PriceCause, PriceWithdrawal, Product
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.domain.stock import MAX_STOCK, Stock
from scalecommerce_core.domain.text import normal_line, normal_reason
from scalecommerce_core.ports import Clock, Duplicate, PendingFacts, Store, Transaction
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed, apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on
from scalecommerce_core.services.verified_accounts import ALL_ACCOUNTS, EmailNotVerified, VerifiedAccounts

PRICE_FIELDS: Final = ("price", "cost", "min_price", "max_price", "competitor_price")
"""Fields of a product that hold amounts."""
WITHDRAWABLE: Final = timedelta(hours=24)
"""A price can be withdrawn this long after it was in force."""
EDITABLE: Final = frozenset(
    {"category_id", "name", "brand", "description", "sku", "max_per_buyer", "stock_until", "is_active",
     "competitor_price_at", *PRICE_FIELDS}
)  # fmt: skip
"""Fields of a product that `EditProduct.changes` may name."""


@frozen
class CreateProduct:
    """Create a product of the seller `owner` with `stock` units on hand."""

    owner: AccountId
    category_id: CategoryId
    name: str
    price: Money
    stock: int = 0
    brand: str = ""
    description: str = ""
    sku: str | None = None
    cost: Money | None = None
    min_price: Money | None = None
    max_price: Money | None = None
    max_per_buyer: int | None = None
    stock_until: datetime | None = None
    competitor_price: Money | None = None
    competitor_price_at: datetime | None = None
    is_active: bool = True
    idempotency: IdempotencyKey | None = field(default=None, eq=False)
    by_operator: bool = False
    """Whether an operator creates the product for the seller, which the audit log records."""


@frozen
class EditProduct(StaffCommand):
    """Set the fields named in `changes` (see `EDITABLE`) and, unless None, the available `stock`.

    With `version`, the edit applies only to that version of the product. `baseline` holds the values that the editor
    had read, by field, including `stock`, because sales and pricing policies may change them before the edit arrives. A
    field equal to its baseline is not changed. A new `stock` is set only if the current one still equals the baseline
    or already equals the new one (so that the edit can be repeated); otherwise the result is `StockMoved`. `editor` is
    None for an operator.
    """

    product_id: ProductId
    editor: AccountId | None
    changes: Mapping[str, Any]
    stock: int | None = None
    version: int | None = None
    baseline: Mapping[str, Any] = field(factory=dict)


@frozen
class WithdrawProduct(StaffCommand):
    """Remove a product from the catalog permanently; with `version`, only that version of it."""

    product_id: ProductId
    editor: AccountId
    version: int | None = None


@frozen
class WithdrawPrice(StaffCommand):
    """Withdraw a mistaken price that is or was in force in the last 24 hours (`WITHDRAWABLE`).

    `editor` is None for an operator. If the price is in force, the product gets `new_price`, or without one its last
    other price.
    """

    product_id: ProductId
    editor: AccountId | None
    price: Money
    reason: str
    new_price: Money | None = None


@frozen
class AdjustStock(StaffCommand):
    """Add `delta` units (negative: take them away), or set the `available` units; give exactly one of the two.

    With `expected`, `available` is set only if the available units are still `expected`.
    """

    product_id: ProductId
    editor: AccountId
    delta: int | None = None
    available: int | None = None
    expected: int | None = None
    idempotency: IdempotencyKey | None = field(default=None, eq=False)

    @property
    def owner(self) -> AccountId:
        """The account that the idempotency key belongs to."""
        return self.editor


@frozen
class AddCategory:
    """Add a category. `owner` must be staff: the caller checks it. `address` is the client's, for the audit log."""

    owner: AccountId
    name: str
    idempotency: IdempotencyKey | None = field(default=None, eq=False)
    address: str = ""


@frozen
class RenameCategory:
    """Rename a category. `by` must be staff or an operator: the caller checks it."""

    category_id: CategoryId
    name: str
    by: Actor = OPERATOR


@frozen
class ProductWithStock:
    """A product and its stock after a write."""

    product: Product
    stock: Stock


@frozen
class StockRepair:
    """`correction` units were added to the ledger; the reserved units changed from `reserved_before` to `reserved`."""

    product_id: ProductId
    correction: int
    reserved_before: int
    reserved: int


@frozen
class HistoricalProduct:
    """A product to import with its price history.

    `prices` are pairs of (valid from, price), oldest first; the last one is in force.
    """

    owner: AccountId
    category_id: CategoryId
    name: str
    sku: str
    prices: Sequence[tuple[datetime, Money]]
    opening_stock: int
    opened_at: datetime


class Catalog:
    """Use cases of categories, products and stock. Each takes a batch and returns one result or error per command."""

    def __init__(self, store: Store, clock: Clock, *, verified: VerifiedAccounts = ALL_ACCOUNTS) -> None:
        self._store = store
        self._clock = clock
        self._verified = verified

    @retry_on(TransactionAborted)
    def create_products(
        self, commands: Sequence[CreateProduct], *, dry_run: bool = False
    ) -> list[ProductWithStock | Replayed | MarketError]:
        """Create products with their opening stock and the first entry of their price history.

        A dry run returns the same results and errors, and writes nothing; the ids of its products stay unused.

        Errors: `Invalid`, also for a SKU that the seller already uses; `EmailNotVerified`;
        `IdempotencyKeyReused`; `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        try:
            with self._begin(dry_run=dry_run) as tx:
                return run_idempotent(tx, commands, now, lambda fresh: self._create(tx, fresh, now))
        except Duplicate as duplicate:
            if len(commands) == 1:
                return [_duplicate_error(duplicate)]
            return [outcome for command in commands for outcome in self.create_products([command], dry_run=dry_run)]

    def list_products(self, commands: Sequence[CreateProduct]) -> list[ProductWithStock | Replayed | MarketError]:
        """Deprecated name of `create_products`; it will be removed in the next release."""
        warnings.warn("list_products was renamed to create_products", DeprecationWarning, stacklevel=2)
        return self.create_products(commands)

    def _create(
        self, tx: Transaction, commands: Sequence[CreateProduct], now: datetime
    ) -> list[ProductWithStock | MarketError]:
        known = tx.categories.existing({command.category_id for command in commands})
        unverified = self._verified.unverified(tx, [command.owner for command in commands])
        ids = iter(tx.products.next_ids(len(commands)))

        def create(command: CreateProduct) -> ProductWithStock:
            product_id = next(ids)
            if command.owner in unverified:
                raise EmailNotVerified
            errors = _price_errors({name: getattr(command, name) for name in PRICE_FIELDS})
            if command.category_id not in known:
                errors["category_id"] = [f"There is no category {command.category_id}."]
            if not 0 <= command.stock <= MAX_STOCK:
                errors["stock"] = [f"Stock lies between 0 and {MAX_STOCK}."]
            try:
                product = Product.listed(
                    id=product_id,
                    seller_id=command.owner,
                    category_id=command.category_id,
                    name=command.name,
                    price=command.price,
                    now=now,
                    brand=command.brand,
                    description=command.description,
                    sku=command.sku,
                    cost=command.cost,
                    min_price=command.min_price,
                    max_price=command.max_price,
                    max_per_buyer=command.max_per_buyer,
                    stock_until=command.stock_until,
                    competitor_price=command.competitor_price,
                    competitor_price_at=command.competitor_price_at,
                    is_active=command.is_active,
                )
            except Invalid as invalid:
                raise Invalid(errors | invalid.errors) from None
            if errors:
                raise Invalid(errors)
            return ProductWithStock(product, Stock.opened(product_id, command.stock, now))

        outcomes = apply_each(commands, create)
        created = succeeded(outcomes)
        tx.products.add([each.product for each in created])
        tx.stock.add([each.stock for each in created], now)
        tx.audit.record(
            [
                OPERATOR.entry(AuditAction.PRODUCT_CREATED, made.product.id, now, after=_audited(made))
                for command, made in zip(commands, outcomes, strict=True)
                if command.by_operator and isinstance(made, ProductWithStock)
            ]
        )
        return outcomes

    @retry_on(TransactionAborted, ConnectionLost)
    def edit_products(
        self, commands: Sequence[EditProduct], *, dry_run: bool = False
    ) -> list[ProductWithStock | MarketError]:
        """Edit products; a changed price is added to the price history.

        A dry run returns the same results and errors, and writes nothing.

        Errors: `NotFound`, `Forbidden` (neither the seller nor staff), `VersionMismatch`, `Invalid`, `StockMoved`.
        Raise `TypeError` for a field that is not in `EDITABLE`.
        """
        now = self._clock.now()
        for command in commands:
            if unknown := command.changes.keys() - EDITABLE:
                raise TypeError(f"A product has no editable {', '.join(sorted(unknown))}.")
        try:
            with self._begin(dry_run=dry_run) as tx:
                products = tx.products.lock({command.product_id for command in commands})
                stocks = tx.stock.lock(products.keys())
                named = {c.changes["category_id"] for c in commands if "category_id" in c.changes}
                known = tx.categories.existing(named) if named else frozenset()
                entries: list[AuditEntry] = []

                def edit(command: EditProduct) -> ProductWithStock:
                    product = _editable(products, command.product_id, command.editor, as_staff=command.as_staff)
                    stock = stocks[product.id]
                    _check_version(product, command.version)
                    errors = _price_errors({n: command.changes.get(n) for n in PRICE_FIELDS})
                    category = command.changes.get("category_id", product.category_id)
                    if "category_id" in command.changes and category not in known:
                        errors["category_id"] = [f"There is no category {category}."]
                    if errors:
                        raise Invalid(errors)
                    changes = _changed_since(command.changes, command.baseline)
                    available = _new_stock(stock, command)
                    edited = ProductWithStock(product, stock)
                    actor = actor_on(product.seller_id, command.editor, command.address)
                    before = None if actor is None else _audited(edited)
                    if changes:
                        product.edit(now, **changes)
                    if available is not None:
                        stock.set_available(available, now)
                    if actor is not None:
                        action, after = AuditAction.PRODUCT_EDITED, _audited(edited)
                        entries.append(actor.entry(action, product.id, now, before=before, after=after))
                    return edited

                outcomes = apply_each(commands, edit)
                edited = {each.product.id: each for each in succeeded(outcomes)}.values()
                tx.products.save([each.product for each in edited])
                tx.stock.save([each.stock for each in edited], now)
                tx.audit.record(changed(entries))
                return outcomes
        except Duplicate as duplicate:
            if len(commands) == 1:
                return [_duplicate_error(duplicate)]
            return [outcome for command in commands for outcome in self.edit_products([command], dry_run=dry_run)]

    @contextmanager
    def _begin(self, *, dry_run: bool) -> Iterator[Transaction]:
        """A transaction, which a dry run rolls back at its end."""
        try:
            with self._store.begin() as tx:
                yield tx
                if dry_run:
                    raise _DryRunEnds  # noqa: TRY301 - the store rolls back if its block raises
        except _DryRunEnds:
            pass

    @retry_on(TransactionAborted, ConnectionLost)
    def withdraw_products(self, commands: Sequence[WithdrawProduct]) -> list[Product | MarketError]:
        """Remove products from the catalog permanently; orders keep their lines.

        Errors: `NotFound`, `Forbidden`, `VersionMismatch`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            products = tx.products.lock({command.product_id for command in commands})
            entries: list[AuditEntry] = []

            def withdraw(command: WithdrawProduct) -> Product:
                product = _editable(products, command.product_id, command.editor, as_staff=command.as_staff)
                _check_version(product, command.version)
                product.withdraw(now)
                if (actor := actor_on(product.seller_id, command.editor, command.address)) is not None:
                    action, was = AuditAction.PRODUCT_WITHDRAWN, {"name": product.name, "withdrawn_at": None}
                    entries.append(actor.entry(action, product.id, now, before=was, after={"withdrawn_at": now}))
                return product

            outcomes = apply_each(commands, withdraw)
            tx.products.save(succeeded(outcomes))
            tx.audit.record(entries)
            return outcomes

    @retry_on(TransactionAborted, ConnectionLost)
    def withdraw_prices(self, commands: Sequence[WithdrawPrice]) -> list[Product | MarketError]:
        """Withdraw mistaken prices: orders cannot use them any more, and the price history says when, who and why.

        Orders at the price that are undecided will be rejected. Orders that were reserved or paid keep it: the contract
        is made. Withdrawing a price again changes nothing. The product is repriced as by a rollback, so pricing
        policies keep the new price for an epoch and learn nothing from the withdrawn one. Errors: `NotFound`,
        `Forbidden`, `Invalid`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            products = tx.products.lock({command.product_id for command in commands})
            history = tx.products.prices_since(products.keys(), now - WITHDRAWABLE)
            withdrawals: dict[tuple[ProductId, datetime], PriceWithdrawal] = {}
            entries: list[AuditEntry] = []

            def withdraw(command: WithdrawPrice) -> Product:
                product = _editable(
                    products, command.product_id, command.editor, as_staff=command.as_staff or command.editor is None
                )
                reason = normal_reason(command.reason)
                changes = [change for change in history[product.id] if change.price == command.price]
                if not changes:
                    raise Invalid.field("price", "The product did not have this price in the last 24 hours.")
                replacement = _replacement(tx, product, command)
                for change in changes:
                    if change.withdrawal is None:
                        key = product.id, change.valid_from
                        withdrawals.setdefault(key, PriceWithdrawal(now, command.editor, reason))
                before = {"price": product.price}
                product.reprice(replacement, now, PriceCause.WITHDRAWAL)
                actor = actor_on(product.seller_id, command.editor, command.address)
                if actor is not None and any(change.withdrawal is None for change in changes):
                    action, after = AuditAction.PRODUCT_PRICE_WITHDRAWN, {"price": product.price}
                    withdrawn = {**after, "withdrawn_price": command.price}
                    entries.append(actor.entry(action, product.id, now, before=before, after=withdrawn, reason=reason))
                return product

            outcomes = apply_each(commands, withdraw)
            tx.products.save(succeeded(outcomes))
            tx.products.withdraw_prices(withdrawals)
            tx.audit.record(entries)
            return outcomes

    @retry_on(TransactionAborted)
    def adjust_stock(self, commands: Sequence[AdjustStock]) -> list[Stock | Replayed | MarketError]:
        """Change stock by a delta, or set the available units with compare-and-set.

        Errors: `NotFound`, `Forbidden` (neither the seller nor staff), `Invalid`, `StockMoved`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._adjust(tx, fresh, now))

    def _adjust(self, tx: Transaction, commands: Sequence[AdjustStock], now: datetime) -> list[Stock | MarketError]:
        products = tx.products.lock({command.product_id for command in commands})
        stocks = tx.stock.lock(products.keys())
        entries: list[AuditEntry] = []

        def adjust(command: AdjustStock) -> Stock:
            product = _editable(products, command.product_id, command.editor, as_staff=command.as_staff)
            stock = stocks[product.id]
            before = {"available": stock.available}
            if (command.delta is None) == (command.available is None):
                raise Invalid.field("delta", "Give either delta or set.")
            if command.delta is not None:
                stock.adjust(command.delta, now)
            elif command.available is not None:
                stock.set_available(command.available, now, expected=command.expected)
            if (actor := actor_on(product.seller_id, command.editor, command.address)) is not None:
                action, after = AuditAction.PRODUCT_STOCK_ADJUSTED, {"available": stock.available}
                entries.append(actor.entry(action, product.id, now, before=before, after=after))
            return stock

        outcomes = apply_each(commands, adjust)
        tx.stock.save(succeeded(outcomes), now)
        tx.audit.record(changed(entries))
        return outcomes

    @retry_on(TransactionAborted)
    def repair_stock(self, product_ids: Sequence[ProductId]) -> list[StockRepair | None]:
        """For operators: make stock agree with its ledger and the PENDING orders (see `Stock.reconcile`).

        Return a repair per product; None if nothing was repaired or there is no such product. Safe while orders are
        placed and paid, and safe to repeat. The ledger is read before stock is locked.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            surplus = tx.stock.ledger_differences(set(product_ids))
            stocks = tx.stock.lock(surplus.keys())
            promised = tx.stock.reserved_by_orders(stocks.keys())
            repaired: dict[ProductId, StockRepair] = {}
            for product_id, stock in stocks.items():
                reserved = stock.reserved
                stock.reconcile(stock.on_hand - surplus[product_id], promised.get(product_id, 0), now)
                correction = sum(movement.quantity for movement in stock.movements)
                if correction or stock.reserved != reserved:
                    repaired[product_id] = StockRepair(product_id, correction, reserved, stock.reserved)
            tx.stock.save([stocks[product_id] for product_id in repaired], now)
            tx.audit.record(
                [
                    OPERATOR.entry(
                        AuditAction.PRODUCT_STOCK_REPAIRED,
                        repair.product_id,
                        now,
                        before={"reserved": repair.reserved_before},
                        after={"reserved": repair.reserved, "correction": repair.correction},
                    )
                    for repair in repaired.values()
                ]
            )
        return [repaired.get(product_id) for product_id in product_ids]

    def add_categories(self, commands: Sequence[AddCategory]) -> list[Category | Replayed | MarketError]:
        """Add categories; `Invalid` for a name that exists, compared without case (`domain.category.name_key`)."""
        return [self._add_category(command) for command in commands]

    def rename_categories(self, commands: Sequence[RenameCategory]) -> list[Category | MarketError]:
        """Rename categories. Their slugs stay, so that links to them stay valid.

        Errors: `NotFound`; `Invalid` for a name that another category has, compared without case.
        """
        return [self._rename_category(command) for command in commands]

    @retry_on(TransactionAborted)
    def _rename_category(self, command: RenameCategory) -> Category | MarketError:
        # One transaction per category, as in `_add_category`.
        try:
            with self._store.begin() as tx:
                return _rename_category(tx, command, self._clock.now())
        except Duplicate:
            return _name_exists()
        except (Invalid, NotFound) as error:
            return error

    @retry_on(TransactionAborted)
    def _add_category(self, command: AddCategory) -> Category | Replayed | MarketError:
        # One transaction per category: a duplicate aborts its transaction, and must not undo the other categories.
        # Two attempts: a process of an earlier release, which does not wait for `lock_all`, may take the slug between
        # the read and the write of the first.
        for _ in range(2):
            try:
                with self._store.begin() as tx:
                    now = self._clock.now()
                    (outcome,) = run_idempotent(tx, [command], now, partial(_add_categories, tx, now))
            except Duplicate:
                continue
            except Invalid as error:
                return error
            return outcome
        return _name_exists()

    @retry_on(TransactionAborted, ConnectionLost)
    def record_views(self, batch: ViewBatch) -> bool:
        """Add a batch of views to the counters; return False if this batch was added before."""
        with self._store.begin() as tx:
            if not tx.products.mark_batch_applied(batch.id, self._clock.now()):
                return False
            tx.products.add_views(batch.counts, extra_weights=batch.extra_weights)
        return True

    @retry_on(TransactionAborted)
    def import_products(self, products: Sequence[HistoricalProduct]) -> list[ProductWithStock]:
        """Import products with their price history; the opening stock is the first stock movement. No events."""
        with self._store.bulk() as tx:
            made, past = [], []
            for recorded, product_id in zip(products, tx.products.next_ids(len(products)), strict=True):
                (first, price), *later = recorded.prices
                product = Product.listed(
                    id=product_id,
                    seller_id=recorded.owner,
                    category_id=recorded.category_id,
                    name=recorded.name,
                    price=price,
                    now=first,
                    sku=recorded.sku,
                    cause=PriceCause.IMPORT,
                )
                for at, changed in later:
                    product.reprice(changed, at, PriceCause.IMPORT)
                product.events.clear()  # imports publish no events
                past += product.price_changes
                product.price_changes.clear()
                made.append(
                    ProductWithStock(product, Stock.opened(product_id, recorded.opening_stock, recorded.opened_at)),
                )
            tx.products.add([each.product for each in made])
            tx.products.append_history(past)
            tx.stock.add([each.stock for each in made])
            tx.statistics.add_pending_facts(PendingFacts(products=[each.product.id for each in made]))
        return made


class _DryRunEnds(Exception):
    """Makes the store roll back."""


def _name_exists() -> Invalid:
    return Invalid.field("name", "A category with this name exists already.")


def _rename_category(tx: Transaction, command: RenameCategory, now: datetime) -> Category:
    slug_of(command.name)  # Raises `Invalid` for a name that is too long or has no letter.
    existing = {category.id: category for category in tx.categories.lock_all()}
    category = existing.get(command.category_id)
    if category is None:
        raise NotFound("category", command.category_id)
    renamed = evolve(category, name=normal_line(command.name))
    if name_key(renamed.name) in {name_key(each.name) for each in existing.values() if each.id != category.id}:
        raise Duplicate("name")
    if renamed.name != category.name:
        tx.categories.rename({category.id: renamed.name})
        before, after = {"name": category.name}, {"name": renamed.name}
        tx.audit.record([command.by.entry(AuditAction.CATEGORY_RENAMED, category.id, now, before=before, after=after)])
    return renamed


def _add_categories(tx: Transaction, now: datetime, commands: Sequence[AddCategory]) -> Sequence[Category]:
    """Raise `Duplicate` for a name that exists, and `Invalid` for a name from which no slug can be made."""
    existing = tx.categories.lock_all()
    keys, slugs = {name_key(category.name) for category in existing}, {category.slug for category in existing}
    new = []
    for command in commands:
        slug = slug_of(command.name)
        if name_key(command.name) in keys:
            raise Duplicate("name")
        new.append((normal_line(command.name), distinct_slug(command.name) if slug in slugs else slug))
    added = tx.categories.add(new)
    tx.audit.record(
        [
            Actor(command.owner, command.address).entry(
                AuditAction.CATEGORY_CREATED, category.id, now, after={"name": category.name, "slug": category.slug}
            )
            for command, category in zip(commands, added, strict=True)
        ]
    )
    return added


def _audited(made: ProductWithStock) -> dict[str, object]:
    """The fields of a product in the audit log."""
    return {**{name: getattr(made.product, name) for name in sorted(EDITABLE)}, "stock": made.stock.available}


def _editable(
    products: Mapping[ProductId, Product], product_id: ProductId, editor: AccountId | None, *, as_staff: bool
) -> Product:
    product = products.get(product_id)
    if product is None or product.withdrawn_at is not None:
        raise NotFound("product", product_id)
    if product.seller_id != editor and not as_staff:
        if not product.is_active:
            raise NotFound("product", product_id)
        raise Forbidden("Only its seller may change this product.")
    return product


def _replacement(tx: Transaction, product: Product, command: WithdrawPrice) -> Money:
    """The price in force after the withdrawal; raise `Invalid`."""
    new = command.new_price
    if product.price != command.price:
        if new is not None and new != product.price:
            raise Invalid.field("new_price", f"The price is {product.price} now: edit the product to change it.")
        return product.price
    if new is None:
        new = tx.products.last_other_price(product.id, product.price)
        if new is None:
            raise Invalid.field("new_price", "The product had no other price: state the new one.")
    if new.currency != product.price.currency:
        raise Invalid.field("new_price", f"This product is priced in {product.price.currency}.")
    if errors := _price_errors({"new_price": new}):
        raise Invalid(errors)
    if new == command.price:
        raise Invalid.field("new_price", "This is the price to withdraw.")
    return new


def _check_version(product: Product, version: int | None) -> None:
    if version is not None and version != product.version:
        raise VersionMismatch("The product was edited since you read it: read it again.")


def _changed_since(changes: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that differ from their baseline."""
    return {name: value for name, value in changes.items() if name not in baseline or baseline[name] != value}


def _new_stock(stock: Stock, command: EditProduct) -> int | None:
    """The available units to set; None if they stay unchanged. Raise `Invalid` or `StockMoved`."""
    new, read = command.stock, command.baseline.get("stock")
    if new is None or new in {read, stock.available}:
        return None
    stock.check_available(new)
    if read is not None and read != stock.available:
        raise StockMoved(stock.product_id, read, stock.available)
    return new


def _price_errors(prices: Mapping[str, Money | None]) -> dict[str, list[str]]:
    return {
        name: [price_range_message(price.currency)]
        for name, price in prices.items()
        if price is not None and not MIN_PRICE <= price.minor <= MAX_PRICE
    }


def _duplicate_error(duplicate: Duplicate) -> Invalid:
    return Invalid.field(duplicate.field, f"You have another product with this {duplicate.field}.")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Deprecated name of `CreateProduct`; it will be removed in the next release."""
        if name == "ListProduct":
            warnings.warn("ListProduct was renamed to CreateProduct", DeprecationWarning, stacklevel=2)
            return CreateProduct
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
