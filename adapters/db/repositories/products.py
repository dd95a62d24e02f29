"""Products with price history and views, and categories."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import bindparam, func, select, text

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key_column
from adapters.db.core.bulk_statements import Insert, Row, Update, equals_any, id_array
from adapters.db.core.driver_statements import DriverStatement
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.price_changes import CHANGE_COLUMNS, price_change
from adapters.db.repositories.outbox import append_events
from adapters.db.repositories.views import add_views
from adapters.db.schema import Moment, accounts, categories, category_ids, price_history, product_ids, products
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import REVERSALS, Offer, PriceChange, PriceWithdrawal, Product
from scalecommerce_core.domain.product_views import DEDUP_RETENTION, NO_VIEWS, ViewCounts
from scalecommerce_core.ports import ProductAspect

# --- categories

_CATEGORY_NUMBERS: Final = next_numbers_statement(category_ids)
_INSERT_CATEGORIES: Final = Insert(categories, "id", "name", "slug")
_EXISTING: Final = select(categories.c.id).where(equals_any(categories.c.id))
CATEGORIES: Final = select(
    categories.c.id, categories.c.name, categories.c.slug, categories.c.min_hold_seconds
).order_by(categories.c.id)
_LOCK_CATEGORIES: Final = select(func.pg_advisory_xact_lock(lock_key_column(AdvisoryLock.CATEGORY_NAMES)))
_RENAME: Final = Update(categories, ["id"], "name")
_SET_MIN_HOLDS: Final = Update(categories, ["id"], "min_hold_seconds")


class PostgresCategoryRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def add(self, names: Collection[tuple[str, str]]) -> Sequence[Category]:
        ids = self._sql.next_numbers(_CATEGORY_NUMBERS, len(names))
        made = [Category(CategoryId(number), name, slug) for number, (name, slug) in zip(ids, names, strict=True)]
        self._sql.insert(_INSERT_CATEGORIES, [(category.id, category.name, category.slug) for category in made])
        self._sql.pending_changes.lists = True
        return made

    def existing(self, ids: Collection[CategoryId]) -> frozenset[CategoryId]:
        return frozenset(id_ for (id_,) in self._sql.fetch_all(_EXISTING, {"ids": id_array(ids)}))

    def all(self) -> Sequence[Category]:
        return [category_of(row) for row in self._sql.fetch_all(CATEGORIES)]

    def lock_all(self) -> Sequence[Category]:
        self._sql.execute(_LOCK_CATEGORIES)
        return self.all()  # A later statement, so that its snapshot includes what was committed during the wait.

    def rename(self, names: Mapping[CategoryId, str]) -> None:
        self._sql.update(_RENAME, sorted(names.items()))
        # Each product of the category shows its name: they may be too many to be listed.
        self._sql.pending_changes.everything = True

    def set_min_holds(self, holds: Mapping[CategoryId, timedelta]) -> None:
        rows = [(id_, round(hold.total_seconds())) for id_, hold in sorted(holds.items())]
        self._sql.update(_SET_MIN_HOLDS, rows)
        self._sql.pending_changes.lists = True


def category_of(row: Sequence[Any]) -> Category:
    id_, name, slug, min_hold_seconds = row
    return Category(CategoryId(id_), name, slug, timedelta(seconds=min_hold_seconds))


# --- products

_DETAILS: Final = (
    "category_id", "name", "brand", "description", "sku", "cost", "min_price", "max_price",
    "max_per_buyer", "stock_until", "competitor_price", "competitor_price_at", "is_active",
    "updated_at", "withdrawn_at", "version",
)  # fmt: skip
_PRICE: Final = ("price", "currency", "priced_at")
_COLUMNS: Final = ("id", "seller_id", "created_at", *_PRICE, *_DETAILS)

_NUMBERS: Final = next_numbers_statement(product_ids)
_INSERT: Final = Insert(products, *_COLUMNS)
_UPDATE: Final = Update(products, ["id"], *_PRICE, *_DETAILS)
_UPDATE_PRICE: Final = Update(products, ["id"], *_PRICE)
_LOCK: Final = (
    select(*(products.c[name] for name in _COLUMNS))
    .where(equals_any(products.c.id))
    .order_by(products.c.id)
    .with_for_update(key_share=True)
)
# The products of a deactivated seller cannot be ordered.
_OFFERS: Final = DriverStatement.compile(
    select(
        products.c.id,
        products.c.seller_id,
        products.c.name,
        products.c.price,
        products.c.currency,
        products.c.is_active & accounts.c.is_active,
    ).where(equals_any(products.c.id), accounts.c.id == products.c.seller_id)
)

_INSERT_HISTORY: Final = Insert(price_history, "product_id", "valid_from", "price", "currency", "cause")
# Prices that a rollback replaced are not honoured for buyers who saw them.
_WITHDRAW_PROMISES: Final = text(
    """
    UPDATE price_history SET is_withdrawn = true
    FROM unnest(CAST(:ids AS bigint[]), CAST(:moments AS timestamptz[])) AS rollback(product_id, at)
    WHERE price_history.product_id = rollback.product_id
      AND price_history.valid_from = (
        SELECT max(before.valid_from) FROM price_history AS before
        WHERE before.product_id = rollback.product_id AND before.valid_from < rollback.at
      )
    """
)
_PRICES_SINCE: Final = (
    select(
        price_history.c.product_id,
        *CHANGE_COLUMNS,
    )
    .where(
        equals_any(price_history.c.product_id),
        text(
            """
            price_history.valid_from >= coalesce(
                (SELECT max(opening.valid_from) FROM price_history AS opening
                 WHERE opening.product_id = price_history.product_id AND opening.valid_from <= :since),
                '-infinity')
            """
        ).bindparams(bindparam("since", type_=Moment)),
    )
    .order_by(price_history.c.product_id, price_history.c.valid_from)
)
_LAST_OTHER_PRICE: Final = text(
    """
    SELECT price, currency FROM price_history WHERE product_id = :product AND price <> :price AND NOT is_withdrawn
    ORDER BY valid_from DESC LIMIT 1
    """
)
_WITHDRAW_PRICE: Final = text(
    """
    UPDATE price_history
    SET is_withdrawn = true, withdrawn_at = :at, withdrawn_by = CAST(:by AS bigint), withdrawal_reason = :reason
    WHERE product_id = :product AND valid_from = :valid_from
    """
).bindparams(bindparam("at", type_=Moment), bindparam("valid_from", type_=Moment))
# Waits for a concurrent transaction that adds the same batch.
_MARK_BATCH: Final = text(
    "INSERT INTO view_batches (id, noted_at) VALUES (:id, :at) ON CONFLICT (id) DO NOTHING"
).bindparams(bindparam("at", type_=Moment))
_PURGE_BATCHES: Final = text(
    """
    DELETE FROM view_batches WHERE id IN (
        SELECT id FROM view_batches WHERE noted_at <= :before FOR UPDATE SKIP LOCKED
    )
    """
).bindparams(bindparam("before", type_=Moment))


_CATEGORY: Final = _DETAILS.index("category_id")
_STATE: Final = itemgetter(*map(_DETAILS.index, ("category_id", "is_active", "withdrawn_at")))
_TEXTS: Final = itemgetter(*map(_DETAILS.index, ("name", "brand", "description")))
# The values of `_PRICE` and `_DETAILS` that belong to each aspect; a price at another time is the same for lists.
_ASPECTS: Final[Mapping[ProductAspect, Callable[[Row, Row], object]]] = {
    ProductAspect.MEMBERSHIP: lambda _price, details: _STATE(details),
    ProductAspect.TEXT: lambda _price, details: _TEXTS(details),
    ProductAspect.PRICE: lambda price, _details: price[:2],
}


class PostgresProductRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql
        # Loaded values, so that `save` writes only changed columns: an UPDATE of the text columns recomputes the search
        # document, and an UPDATE that touches no indexed column stays within the page (HOT).
        self._loaded: dict[ProductId, tuple[Row, Row]] = {}

    def next_ids(self, count: int) -> Sequence[ProductId]:
        return [ProductId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, new: Collection[Product]) -> None:
        rows = [
            (product.id, product.seller_id, product.created_at, *_price(product), *_details(product)) for product in new
        ]
        self._sql.insert(_INSERT, rows)
        self._sql.pending_changes.products.update(product.id for product in new)
        self._sql.pending_changes.created_products.update(product.id for product in new)
        for product in new:
            self._sql.pending_changes.add_aspect(ProductAspect.MEMBERSHIP, [product.category_id], product.seller_id)
        self._append(new)

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Product]:
        found = {}
        for row in self._sql.fetch_all(_LOCK, {"ids": id_array(ids)}):
            product = found[row[0]] = _product(row)
            self._loaded[product.id] = _price(product), _details(product)
        return found

    def save(self, changed: Collection[Product]) -> None:
        edited, repriced = [], []
        for product in changed:
            price, details = _price(product), _details(product)
            if (loaded := self._loaded.get(product.id)) is None or loaded[1] != details:
                edited.append((product.id, *price, *details))
            elif loaded[0] != price:
                repriced.append((product.id, *price))
            self._record_aspects(product, loaded, (price, details))
            self._loaded[product.id] = price, details
        self._sql.update(_UPDATE, edited)
        self._sql.update(_UPDATE_PRICE, repriced)
        self._sql.pending_changes.products.update(row[0] for row in (*edited, *repriced))
        self._append(changed)

    def _record_aspects(self, product: Product, before: tuple[Row, Row] | None, after: tuple[Row, Row]) -> None:
        pending = self._sql.pending_changes
        if before is None:
            for aspect in _ASPECTS:
                pending.add_aspect_of_any(aspect)
        elif before != after:
            categories = [CategoryId(before[1][_CATEGORY]), product.category_id]
            for aspect, values in _ASPECTS.items():
                if values(*before) != values(*after):
                    pending.add_aspect(aspect, categories, product.seller_id)

    def _append(self, written: Collection[Product]) -> None:
        self.append_history([change for product in written for change in product.price_changes])
        append_events(self._sql, (event for product in written for event in product.events))

    def last_other_price(self, product_id: ProductId, price: Money) -> Money | None:
        rows = self._sql.fetch_all(_LAST_OTHER_PRICE, {"product": product_id, "price": price.minor})
        return next((Money(minor, currency) for minor, currency in rows), None)

    def withdraw_prices(self, withdrawals: Mapping[tuple[ProductId, datetime], PriceWithdrawal]) -> None:
        for (product_id, valid_from), withdrawal in withdrawals.items():
            parameters = {"at": withdrawal.at, "by": withdrawal.by, "reason": withdrawal.reason}
            self._sql.execute(_WITHDRAW_PRICE, {"product": product_id, "valid_from": valid_from, **parameters})

    def append_history(self, changes: Collection[PriceChange]) -> None:
        rows = [(c.product_id, c.valid_from, c.price.minor, c.price.currency, c.cause) for c in changes]
        self._sql.insert(_INSERT_HISTORY, rows)
        self._withdraw_promises(change for change in changes if change.cause in REVERSALS)

    def _withdraw_promises(self, reversals: Iterable[PriceChange]) -> None:
        if moments := [(change.product_id, change.valid_from.isoformat()) for change in reversals]:
            ids, times = zip(*moments, strict=True)
            self._sql.execute(_WITHDRAW_PROMISES, {"ids": id_array(ids), "moments": f"{{{','.join(times)}}}"})

    def offers(self, ids: Collection[ProductId]) -> Mapping[ProductId, Offer]:
        rows = self._sql.fetch_fast(_OFFERS, {"ids": id_array(ids)})
        return {
            id_: Offer(id_, seller_id, name, Money(price, currency), is_active)
            for id_, seller_id, name, price, currency, is_active in rows
        }

    def prices_since(self, ids: Collection[ProductId], since: datetime) -> Mapping[ProductId, Sequence[PriceChange]]:
        found: dict[ProductId, list[PriceChange]] = {product_id: [] for product_id in ids}
        rows = self._sql.fetch_all(_PRICES_SINCE, {"ids": id_array(ids), "since": since})
        for product_id, *values in rows:
            found[product_id].append(price_change(product_id, values))
        return found

    def add_views(self, counts: ViewCounts, *, extra_weights: ViewCounts = NO_VIEWS, past: bool = False) -> None:
        if counts:
            add_views(self._sql, counts, extra_weights, past=past)

    def mark_batch_applied(self, batch_id: str, at: datetime) -> bool:
        if self._sql.execute(_MARK_BATCH, {"id": batch_id, "at": at}) == 0:
            return False
        self._sql.execute(_PURGE_BATCHES, {"before": at - DEDUP_RETENTION})
        return True


def _price(product: Product) -> Row:
    return product.price.minor, product.price.currency, product.priced_at


def _details(product: Product) -> Row:
    return (
        product.category_id,
        product.name,
        product.brand,
        product.description,
        product.sku,
        _minor(product.cost),
        _minor(product.min_price),
        _minor(product.max_price),
        product.max_per_buyer,
        product.stock_until,
        _minor(product.competitor_price),
        product.competitor_price_at,
        product.is_active,
        product.updated_at,
        product.withdrawn_at,
        product.version,
    )


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def _product(row: Sequence[Any]) -> Product:
    (
        id_, seller_id, created_at, price, currency, priced_at, category_id, name, brand, description, sku, cost,
        min_price, max_price, max_per_buyer, stock_until, competitor_price, competitor_price_at, is_active,
        updated_at, withdrawn_at, version,
    ) = row  # fmt: skip
    return Product(
        id=ProductId(id_),
        seller_id=AccountId(seller_id),
        category_id=CategoryId(category_id),
        name=name,
        price=Money(price, currency),
        created_at=created_at,
        updated_at=updated_at,
        priced_at=priced_at,
        brand=brand,
        description=description,
        sku=sku,
        cost=None if cost is None else Money(cost, currency),
        min_price=None if min_price is None else Money(min_price, currency),
        max_price=None if max_price is None else Money(max_price, currency),
        max_per_buyer=max_per_buyer,
        stock_until=stock_until,
        competitor_price=None if competitor_price is None else Money(competitor_price, currency),
        competitor_price_at=competitor_price_at,
        is_active=is_active,
        withdrawn_at=withdrawn_at,
        version=version,
    )
