"""Promotions and their products."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from adapters.db.schema.accounts import accounts
from adapters.db.schema.catalog import categories, products
from adapters.db.schema.metadata import Moment, currency_column, metadata, one_of, price_range
from scalecommerce_core.domain.promotion import MAX_PERCENT, MIN_PERCENT, PromotionNote, PromotionStatus
from scalecommerce_core.domain.text import NAME_LENGTH

promotion_ids: Final = Sequence("promotion_ids", metadata=metadata)

promotions: Final = Table(
    "promotions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("percent", SmallInteger),
    Column("category_id", Integer, ForeignKey(categories.c.id)),
    Column("is_all", Boolean, nullable=False),
    Column("products", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # When the promotion starts or ends next; null if it is over.
    Column("due_at", Moment),
    one_of("status", PromotionStatus),
    CheckConstraint("ends_at >= starts_at", name="times_order"),
    CheckConstraint(f"percent BETWEEN {MIN_PERCENT} AND {MAX_PERCENT}", name="percent_range"),
    Index("promotions_seller_id_idx", "seller_id", "id"),
    Index("promotions_due_idx", "due_at", "id", postgresql_where=text("due_at IS NOT NULL")),
)

# The times are copies of the promotion's, so that runs and sweeps read one table in the order of products.
promoted_products: Final = Table(
    "promoted_products",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), nullable=False),
    Column("promotion_id", BigInteger, ForeignKey(promotions.c.id), nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("due_at", Moment),
    Column("price", BigInteger),
    currency_column(),
    Column("percent", SmallInteger),
    Column("prior_price", BigInteger),
    Column("promoted_price", BigInteger),
    Column("former_price", BigInteger),
    Column("applied_at", Moment),
    Column("note", Text),
    PrimaryKeyConstraint("product_id", "promotion_id"),
    one_of("status", PromotionStatus),
    one_of("note", PromotionNote),
    price_range("price"),
    Index("promoted_products_promotion_id_idx", "promotion_id", "product_id"),
    Index("promoted_products_due_idx", "due_at", "product_id", postgresql_where=text("due_at IS NOT NULL")),
    # Read with each product; a product is in at most one promotion at a time.
    Index("promoted_products_running_idx", "product_id", unique=True, postgresql_where=text("status = 'running'")),
)
