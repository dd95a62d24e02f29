"""Stock and its ledger of movements."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from adapters.db.schema.catalog import products
from adapters.db.schema.metadata import Moment, metadata, one_of
from adapters.db.schema.orders import orders
from scalecommerce_core.domain.stock import MovementKind

stock: Final = Table(
    "stock",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    # The last safeguard: an oversell fails even if the code is wrong.
    CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="never_oversold"),
    postgresql_with={"fillfactor": "50"},
)

stock_movements: Final = Table(
    "stock_movements",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("product_id", BigInteger, ForeignKey(stock.c.product_id), nullable=False),
    Column("quantity", Integer, CheckConstraint("quantity <> 0", name="quantity_range"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("order_id", BigInteger, ForeignKey(orders.c.id)),
    # The order of the lists of a product; nothing finds a movement by its id alone.
    PrimaryKeyConstraint("product_id", "id"),
    one_of("kind", MovementKind),
    CheckConstraint("(kind IN ('sale', 'return')) = (order_id IS NOT NULL)", name="order_known"),
    CheckConstraint("quantity < 0 OR kind <> 'sale'", name="sale_goes"),
    CheckConstraint("quantity > 0 OR kind NOT IN ('opening', 'return')", name="return_comes"),
    Index("stock_movements_order_id_idx", "order_id", postgresql_where=text("order_id IS NOT NULL")),
)
