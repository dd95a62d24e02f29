"""Stock and its ledger of movements."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, text

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key_column
from adapters.db.core.bulk_statements import Insert, Update, equals_any, id_array
from adapters.db.core.driver_statements import DriverStatement
from adapters.db.core.session import SqlSession
from adapters.db.repositories.outbox import append_events
from adapters.db.schema import products, stock, stock_movements
from scalecommerce_core.domain.events import StockRanOut, StockReturned
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import ProductAspect

_INSERT: Final = Insert(stock, "product_id", "on_hand", "reserved")
_INSERT_MOVEMENTS: Final = Insert(stock_movements, "product_id", "quantity", "kind", "occurred_at", "order_id")
_UPDATE: Final = Update(stock, ["product_id"], "on_hand", "reserved")
_SELECTED: Final = (
    select(stock.c.product_id, stock.c.on_hand, stock.c.reserved)
    .where(equals_any(stock.c.product_id))
    .order_by(stock.c.product_id)
)
_LOCK: Final = DriverStatement.compile(_SELECTED.with_for_update(key_share=True))
_TRY_LOCK: Final = DriverStatement.compile(_SELECTED.with_for_update(key_share=True, skip_locked=True))

_LOCK_REPAIR: Final = select(func.pg_advisory_xact_lock(lock_key_column(AdvisoryLock.STOCK_REPAIR)))
# Products may have millions of movements.
_UNHURRIED: Final = text("SET LOCAL statement_timeout = 0")
# One statement, so that stock and ledger are read in one snapshot.
_SURPLUS: Final = text(
    """
    WITH moved AS (
        SELECT product_id, sum(units) AS units FROM (
            SELECT product_id, quantity AS units FROM stock_movements
            UNION ALL SELECT product_id, units FROM archived_stock
        ) AS summed
        WHERE product_id = ANY (CAST(:ids AS bigint[]))
        GROUP BY product_id
    )
    SELECT product_id, stock.on_hand - coalesce(moved.units, 0)
    FROM stock LEFT JOIN moved USING (product_id)
    WHERE product_id = ANY (CAST(:ids AS bigint[]))
    """
)
_PROMISED: Final = text(
    """
    SELECT product_id, sum(quantity)
    FROM unnest(CAST(:ids AS bigint[])) AS given(product_id)
    JOIN order_lines USING (product_id) JOIN orders ON orders.id = order_lines.order_id
    WHERE orders.status = 'PENDING'
    GROUP BY product_id
    """
)
_SELLERS: Final = select(products.c.id, products.c.seller_id).where(equals_any(products.c.id))


class PostgresStockRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql
        self._loaded: dict[ProductId, tuple[int, int]] = {}

    def add(self, new: Collection[Stock], at: datetime | None = None) -> None:
        self._sql.insert(_INSERT, [(s.product_id, s.on_hand, s.reserved) for s in new])
        pending = self._sql.pending_changes
        pending.products.update(s.product_id for s in new)
        if any(s.available for s in new if s.product_id not in pending.created_products):
            pending.add_aspect_of_any(ProductAspect.RESTOCKED)
        self._append_movements(new)
        self._append_availability_events([(s.product_id, True) for s in new if s.available == 0], at)

    def lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        return self._lock(_LOCK, ids)

    def try_lock(self, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        return self._lock(_TRY_LOCK, ids)

    def _lock(self, statement: DriverStatement, ids: Collection[ProductId]) -> Mapping[ProductId, Stock]:
        found = {}
        for product_id, on_hand, reserved in self._sql.fetch_fast(statement, {"ids": id_array(ids)}):
            found[product_id] = Stock(product_id, on_hand, reserved)
            self._loaded[product_id] = on_hand, reserved
        return found

    def save(self, changed: Collection[Stock], at: datetime | None = None) -> None:
        # Use cases save all rows that they locked; unchanged rows are not written.
        moved = [s for s in changed if self._loaded.get(s.product_id) != (s.on_hand, s.reserved)]
        self._sql.update(_UPDATE, [(s.product_id, s.on_hand, s.reserved) for s in moved])
        # Readers see available units, which the sale of a reserved unit does not change.
        for s in moved:
            if (was_available := self._was_available(s)) != s.available:
                self._sql.pending_changes.products.add(s.product_id)
                self._record_aspects(was_available, s.available)
        if at is not None:
            turned = [(s.product_id, s.available == 0) for s in moved if self._was_out(s) != (s.available == 0)]
            self._append_availability_events(turned, at)
        self._loaded.update((s.product_id, (s.on_hand, s.reserved)) for s in moved)
        self._append_movements(changed)

    def _record_aspects(self, was_available: int | None, is_available: int) -> None:
        # Categories and sellers are unknown here, and reading them would slow down every order that sells out.
        if not was_available and is_available:
            self._sql.pending_changes.add_aspect_of_any(ProductAspect.RESTOCKED)
        if was_available != 0 and not is_available:
            self._sql.pending_changes.add_aspect_of_any(ProductAspect.SOLD_OUT)

    def ledger_differences(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        self._sql.fetch_all(_LOCK_REPAIR)
        self._sql.execute(_UNHURRIED)
        return {ProductId(id_): int(units) for id_, units in self._sql.fetch_all(_SURPLUS, {"ids": id_array(ids)})}

    def reserved_by_orders(self, ids: Collection[ProductId]) -> Mapping[ProductId, int]:
        return {ProductId(id_): int(units) for id_, units in self._sql.fetch_all(_PROMISED, {"ids": id_array(ids)})}

    def _append_movements(self, written: Collection[Stock]) -> None:
        rows = [(m.product_id, m.quantity, m.kind, m.at, m.order_id) for s in written for m in s.movements]
        self._sql.insert(_INSERT_MOVEMENTS, rows)

    def _was_out(self, stock: Stock) -> bool:
        return self._was_available(stock) == 0

    def _was_available(self, stock: Stock) -> int | None:
        on_hand, reserved = self._loaded.get(stock.product_id, (None, None))
        return None if on_hand is None or reserved is None else on_hand - reserved

    def _append_availability_events(self, turned: Sequence[tuple[ProductId, bool]], at: datetime | None) -> None:
        """Append events for products that ran out or returned; `turned` holds ids, and True if they ran out."""
        if turned and at is not None:
            sellers = dict(self._sql.fetch_all(_SELLERS, {"ids": id_array(id_ for id_, _ in turned)}))
            kinds = {True: StockRanOut, False: StockReturned}
            append_events(
                self._sql,
                [kinds[out](at=at, product_id=id_, seller_id=sellers[id_]) for id_, out in turned],
            )
