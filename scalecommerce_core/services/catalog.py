"""The catalogue: categories, products, their stock and their views."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

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
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, Money, price_range
from scalecommerce_core.domain.product import PriceCause, Product
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.domain.stock import MAX_STOCK, Stock
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.ports import Clock, Duplicate, PendingFacts, Store, Transaction
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.services.retry import retry_on

PRICE_FIELDS: Final = ("price", "cost", "min_price", "max_price")
EDITABLE: Final = frozenset(
    {"category_id", "name", "brand", "description", "sku", "is_active", *PRICE_FIELDS}
)  # fmt: skip


@frozen
class CreateProduct:
    """Offer a product; `stock` units are on hand at the start."""

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
    is_active: bool = True
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EditProduct:
    """Set the fields named in `changes` (see `EDITABLE`) and, unless None, the units that can be promised.

    With `version`, only if nobody edited the product since. `baseline` holds the values that the editor had read, by
    field, including `stock`, because sales and pricing policies may change them before the edit arrives. A field equal
    to its baseline is not changed. A new `stock` is set only if the current one still equals the baseline or already
    equals the new one (so that the edit can be repeated); otherwise the result is `StockMoved`.
    """

    product_id: ProductId
    editor: AccountId
    changes: Mapping[str, Any]
    stock: int | None = None
    version: int | None = None
    as_staff: bool = False
    baseline: Mapping[str, Any] = field(factory=dict)


@frozen
class WithdrawProduct:
    product_id: ProductId
    editor: AccountId
    version: int | None = None
    as_staff: bool = False


@frozen
class AdjustStock:
    """Either `delta` units come or go, or `available` becomes the figure that can be promised (if it is `expected`)."""

    product_id: ProductId
    editor: AccountId
    delta: int | None = None
    available: int | None = None
    expected: int | None = None
    as_staff: bool = False
    idempotency: IdempotencyKey | None = field(default=None, eq=False)

    @property
    def owner(self) -> AccountId:
        """Of the idempotency key."""
        return self.editor


@frozen
class AddCategory:
    """`owner` is who adds it: staff, which the caller has checked."""

    owner: AccountId
    name: str
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class ProductWithStock:
    """A product and its stock after a write."""

    product: Product
    stock: Stock


@frozen
class StockRepair:
    """`correction` units were booked in the ledger; `reserved_before` became `reserved`."""

    product_id: ProductId
    correction: int
    reserved_before: int
    reserved: int


@frozen
class HistoricalProduct:
    """A product with a past: `prices` are (valid from, price), oldest first, the last one in force."""

    owner: AccountId
    category_id: CategoryId
    name: str
    sku: str
    prices: Sequence[tuple[datetime, Money]]
    opening_stock: int
    opened_at: datetime


class Catalog:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @retry_on(TransactionAborted)
    def create_products(self, commands: Sequence[CreateProduct]) -> list[ProductWithStock | Replayed | MarketError]:
        """New products with their opening stock and first price in the history."""
        now = self._clock.now()
        try:
            with self._store.begin() as tx:
                return run_idempotent(tx, commands, now, lambda fresh: self._list(tx, fresh, now))
        except Duplicate as duplicate:
            if len(commands) == 1:
                return [_taken(duplicate)]
            return [outcome for command in commands for outcome in self.create_products([command])]

    def _list(
        self, tx: Transaction, commands: Sequence[CreateProduct], now: datetime
    ) -> list[ProductWithStock | MarketError]:
        known = tx.categories.existing({command.category_id for command in commands})
        ids = iter(tx.products.next_ids(len(commands)))
        outcomes: list[ProductWithStock | MarketError] = []
        for command in commands:
            product_id = next(ids)
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
                    is_active=command.is_active,
                )
            except Invalid as invalid:
                errors |= invalid.errors
                outcomes.append(Invalid(errors))
                continue
            if errors:
                outcomes.append(Invalid(errors))
            else:
                outcomes.append(ProductWithStock(product, Stock.opened(product_id, command.stock, now)))
        made = [outcome for outcome in outcomes if isinstance(outcome, ProductWithStock)]
        tx.products.add([shelved.product for shelved in made])
        tx.stock.add([shelved.stock for shelved in made], now)
        return outcomes

    @retry_on(TransactionAborted, ConnectionLost)
    def edit_products(self, commands: Sequence[EditProduct]) -> list[ProductWithStock | MarketError]:
        """Change what a seller may change; a changed price goes into the history. Owner and staff only."""
        now = self._clock.now()
        for command in commands:
            if unknown := command.changes.keys() - EDITABLE:
                raise TypeError(f"A product has no editable {', '.join(sorted(unknown))}.")
        try:
            with self._store.begin() as tx:
                products = tx.products.lock({command.product_id for command in commands})
                stocks = tx.stock.lock(products.keys())
                wanted = {c.changes["category_id"] for c in commands if "category_id" in c.changes}
                known = tx.categories.existing(wanted) if wanted else frozenset()
                outcomes: list[ProductWithStock | MarketError] = []
                for command in commands:
                    try:
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
                        if changes:
                            product.edit(now, **changes)
                        if available is not None:
                            stock.set_available(available, now)
                    except MarketError as error:
                        outcomes.append(error)
                    else:
                        outcomes.append(ProductWithStock(product, stock))
                done = [outcome for outcome in outcomes if isinstance(outcome, ProductWithStock)]
                tx.products.save(list({s.product.id: s.product for s in done}.values()))
                tx.stock.save(list({s.product.id: s.stock for s in done}.values()), now)
                return outcomes
        except Duplicate as duplicate:
            if len(commands) == 1:
                return [_taken(duplicate)]
            return [outcome for command in commands for outcome in self.edit_products([command])]

    @retry_on(TransactionAborted, ConnectionLost)
    def withdraw_products(self, commands: Sequence[WithdrawProduct]) -> list[Product | MarketError]:
        """Take products out of the catalogue for good; orders keep their lines."""
        now = self._clock.now()
        with self._store.begin() as tx:
            products = tx.products.lock({command.product_id for command in commands})
            outcomes: list[Product | MarketError] = []
            for command in commands:
                try:
                    product = _editable(products, command.product_id, command.editor, as_staff=command.as_staff)
                    _check_version(product, command.version)
                    product.withdraw(now)
                except MarketError as error:
                    outcomes.append(error)
                else:
                    outcomes.append(product)
            tx.products.save(list({p.id: p for p in outcomes if isinstance(p, Product)}.values()))
            return outcomes

    @retry_on(TransactionAborted)
    def adjust_stock(self, commands: Sequence[AdjustStock]) -> list[Stock | Replayed | MarketError]:
        """Restock by a delta or set the figure that can be promised, with compare-and-set. Owner and staff only."""
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._adjust(tx, fresh, now))

    def _adjust(self, tx: Transaction, commands: Sequence[AdjustStock], now: datetime) -> list[Stock | MarketError]:
        products = tx.products.lock({command.product_id for command in commands})
        stocks = tx.stock.lock(products.keys())
        outcomes: list[Stock | MarketError] = []
        for command in commands:
            try:
                product = _editable(products, command.product_id, command.editor, as_staff=command.as_staff)
                stock = stocks[product.id]
                if (command.delta is None) == (command.available is None):
                    raise Invalid.field("delta", "Give either delta or set.")
                if command.delta is not None:
                    stock.adjust(command.delta, now)
                elif command.available is not None:
                    stock.set_available(command.available, now, expected=command.expected)
            except MarketError as error:
                outcomes.append(error)
            else:
                outcomes.append(stock)
        tx.stock.save(list({s.product_id: s for s in outcomes if isinstance(s, Stock)}.values()), now)
        return outcomes

    @retry_on(TransactionAborted)
    def repair_stock(self, product_ids: Sequence[ProductId]) -> list[StockRepair | None]:
        """Make stock agree with its ledger and the open orders (see `Stock.reconcile`); None: it does, or is not there.

        Orders in flight do no harm, and repairing twice neither. The ledger is read before anything is locked.
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
        return [repaired.get(product_id) for product_id in product_ids]

    def add_categories(self, commands: Sequence[AddCategory]) -> list[Category | Replayed | MarketError]:
        """New categories; `Invalid` when the name is taken, whatever its case (`domain.category.name_key`)."""
        return [self._add_category(command) for command in commands]

    @retry_on(TransactionAborted)
    def _add_category(self, command: AddCategory) -> Category | Replayed | MarketError:
        # A transaction of its own: the only way to be refused is to collide, and the others should stand then.
        # Two attempts: another category may take the slug between the read and the write of the first.
        for _ in range(2):
            try:
                with self._store.begin() as tx:
                    (outcome,) = run_idempotent(
                        tx, [command], self._clock.now(), lambda fresh: _add_categories(tx, [c.name for c in fresh])
                    )
            except Duplicate:
                continue
            except Invalid as error:
                return error
            return outcome
        return Invalid.field("name", "A category with this name exists already.")

    @retry_on(TransactionAborted, ConnectionLost)
    def record_views(self, batch: ViewBatch) -> bool:
        """Count gathered views in, each for its own moment. False: this batch had been counted in already."""
        with self._store.begin() as tx:
            if not tx.products.mark_batch_applied(batch.id, self._clock.now()):
                return False
            tx.products.add_views(batch.counts)
        return True

    @retry_on(TransactionAborted)
    def import_products(self, products: Sequence[HistoricalProduct]) -> list[ProductWithStock]:
        """Products with a past, for imports: their prices as they were, their opening stock as the first movement."""
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
                product.events.clear()  # the past is no news
                past += product.price_changes
                product.price_changes.clear()
                made.append(
                    ProductWithStock(product, Stock.opened(product_id, recorded.opening_stock, recorded.opened_at)),
                )
            tx.products.add([shelved.product for shelved in made])
            tx.products.append_history(past)
            tx.stock.add([shelved.stock for shelved in made])
            tx.statistics.add_pending_facts(PendingFacts(products=[shelved.product.id for shelved in made]))
        return made


def _add_categories(tx: Transaction, names: Sequence[str]) -> Sequence[Category]:
    """Raise `Duplicate` if a name is taken, and `Invalid` for a name without a slug."""
    there = tx.categories.all()
    keys, slugs = {name_key(category.name) for category in there}, {category.slug for category in there}
    new = []
    for name in names:
        slug = slug_of(name)
        if name_key(name) in keys:
            raise Duplicate("name")
        new.append((normal_line(name), distinct_slug(name) if slug in slugs else slug))
    return tx.categories.add(new)


def _editable(
    products: Mapping[ProductId, Product], product_id: ProductId, editor: AccountId, *, as_staff: bool
) -> Product:
    product = products.get(product_id)
    if product is None or product.withdrawn_at is not None:
        raise NotFound("product", product_id)
    if product.seller_id != editor and not as_staff:
        if not product.is_active:
            raise NotFound("product", product_id)
        raise Forbidden("Only its seller may change this product.")
    return product


def _check_version(product: Product, version: int | None) -> None:
    if version is not None and version != product.version:
        raise VersionMismatch("The product was edited since you read it: read it again.")


def _changed_since(changes: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that differ from their baseline."""
    return {name: value for name, value in changes.items() if name not in baseline or baseline[name] != value}


def _new_stock(stock: Stock, command: EditProduct) -> int | None:
    """The stock to set, checked; None: unchanged. Raise `Invalid` or `StockMoved`."""
    wanted, read = command.stock, command.baseline.get("stock")
    if wanted is None or wanted in {read, stock.available}:
        return None
    stock.check_available(wanted)
    if read is not None and read != stock.available:
        raise StockMoved(stock.product_id, read, stock.available)
    return wanted


def _price_errors(prices: Mapping[str, Money | None]) -> dict[str, list[str]]:
    return {
        name: [f"A price must be between {price_range(price.currency)}."]
        for name, price in prices.items()
        if price is not None and not MIN_PRICE <= price.minor <= MAX_PRICE
    }


def _taken(duplicate: Duplicate) -> Invalid:
    return Invalid.field(duplicate.field, f"You have another product with this {duplicate.field}.")
