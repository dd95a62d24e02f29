"""Orders, their lines and refunds."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.accounts import accounts
from adapters.db.schema.catalog import products
from adapters.db.schema.metadata import Moment, currency_column, metadata, one_of, price_range
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, LINE_ID_SPAN, OrderOrigin, OrderStatus
from scalecommerce_core.domain.text import CAUSE_LENGTH

order_ids: Final = Sequence("order_ids", metadata=metadata)


orders: Final = Table(
    "orders",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("command_id", Uuid, nullable=False, unique=True),
    Column("buyer_id", BigInteger, ForeignKey(accounts.c.id), nullable=False),
    currency_column(),
    Column("status", Text, nullable=False),
    # A list of [product, wanted, available, reason]; before revision 0026 without the reason, which was the stock.
    Column("shortfalls", JSONB),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("paid_at", Moment),
    Column("origin", Text, nullable=False),
    Column("decide_attempts", SmallInteger, nullable=False),
    Column("decide_after", Moment),
    Column("decide_error", String(CAUSE_LENGTH)),
    # Null also for decisions before revision 0044.
    Column("decided_at", Moment),
    # The order is cancelled because it was not paid in time; false also for those before revision 0044.
    Column("has_expired", Boolean, nullable=False, server_default=text("false")),
    Column("is_cancelled_by_staff", Boolean, nullable=False, server_default=text("false")),
    one_of("status", OrderStatus),
    one_of("origin", OrderOrigin),
    CheckConstraint("(status = 'PENDING') = (expires_at IS NOT NULL)", name="reservation_ends"),
    CheckConstraint("(status IN ('PAID', 'REFUNDED')) = (paid_at IS NOT NULL)", name="paid_once"),
    CheckConstraint("(status = 'REJECTED') = (shortfalls IS NOT NULL)", name="rejection_explained"),
    CheckConstraint("decide_attempts >= 0", name="decide_attempts_range"),
    Index("orders_buyer_id_id_idx", "buyer_id", "id"),
    Index("orders_undecided_idx", "id", postgresql_where=text("status = 'CREATED'")),
    Index("orders_open_idx", "buyer_id", postgresql_where=text("status IN ('CREATED', 'PENDING')")),
    Index("orders_expires_at_idx", "expires_at", postgresql_where=text("status = 'PENDING'")),
    # For staff. Intake, the decision and payments write neither of the first two.
    Index(
        "orders_parked_idx", "id", postgresql_where=text(f"status = 'CREATED' AND decide_attempts >= {DECIDE_ATTEMPTS}")
    ),
    Index("orders_final_idx", "status", "id", postgresql_where=text("status IN ('CANCELLED', 'REFUNDED', 'REJECTED')")),
    Index("orders_created_at_id_idx", "created_at", "id"),
)

# Columns of 8 bytes come first, so that rows have no padding.
order_lines: Final = Table(
    "order_lines",
    metadata,
    Column("order_id", BigInteger, ForeignKey(orders.c.id), nullable=False),
    Column("product_id", BigInteger, nullable=False),
    Column("seller_id", BigInteger, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("refunded", Integer, nullable=False),
    PrimaryKeyConstraint("order_id", "position"),
    ForeignKeyConstraint(["product_id", "seller_id"], [products.c.id, products.c.seller_id]),
    CheckConstraint(f"position BETWEEN 0 AND {LINE_ID_SPAN - 1}", name="position_range"),
    CheckConstraint("quantity >= 1", name="quantity_range"),
    CheckConstraint("refunded BETWEEN 0 AND quantity", name="refunded_range"),
    price_range("price"),
    Index("order_lines_sales_idx", "seller_id", "order_id", "position"),
    Index("order_lines_product_id_idx", "product_id", "order_id"),
)

refunds: Final = Table(
    "refunds",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("order_id", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("quantity", Integer, CheckConstraint("quantity >= 1", name="quantity_range"), nullable=False),
    Column("amount", BigInteger, CheckConstraint("amount >= 1", name="amount_range"), nullable=False),
    Column("restocked", Boolean, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    # Null in imported history.
    Column("actor_id", BigInteger, ForeignKey(accounts.c.id)),
    ForeignKeyConstraint(["order_id", "position"], [order_lines.c.order_id, order_lines.c.position]),
    Index("refunds_order_id_position_idx", "order_id", "position"),
)
