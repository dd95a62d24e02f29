"""Categories, products and price history."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from adapters.db.schema.accounts import accounts
from adapters.db.schema.metadata import Moment, currency_column, metadata, one_of, price_range
from scalecommerce_core.domain.popularity import TOP_TIER
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.text import BRAND_LENGTH, DESCRIPTION_LENGTH, NAME_LENGTH, REASON_LENGTH, SKU_LENGTH

category_ids: Final = Sequence("category_ids", metadata=metadata, data_type=Integer)
product_ids: Final = Sequence("product_ids", metadata=metadata)


categories: Final = Table(
    "categories",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    # Without a length limit: case folding can lengthen a name ("ß" becomes "ss").
    Column("slug", Text, nullable=False, unique=True),
    # Least time for which pricing policies keep a price.
    Column("min_hold_seconds", Integer, nullable=False, server_default=text("0")),
)

products: Final = Table(
    "products",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False),
    Column("category_id", Integer, ForeignKey(categories.c.id), nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("brand", String(BRAND_LENGTH), nullable=False),
    Column("description", String(DESCRIPTION_LENGTH), nullable=False),
    Column("sku", String(SKU_LENGTH)),
    Column("price", BigInteger, nullable=False),
    currency_column(),
    Column("cost", BigInteger),
    Column("min_price", BigInteger),
    Column("max_price", BigInteger),
    Column("max_per_buyer", Integer),
    Column("stock_until", Moment),
    Column("competitor_price", BigInteger),
    Column("competitor_price_at", Moment),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("priced_at", Moment, nullable=False),
    Column("withdrawn_at", Moment),
    Column("version", Integer, nullable=False),
    Column("document", TSVECTOR, Computed("search_document(name, brand, description)", persisted=True)),
    # The popularity tier, written only by the popularity task; see `domain.popularity`.
    Column("prominence", SmallInteger, nullable=False, server_default=text("0")),
    CheckConstraint(f"prominence BETWEEN 0 AND {TOP_TIER}", name="prominence_range"),
    price_range("price"),
    CheckConstraint("cost >= 0", name="cost_range"),
    CheckConstraint("min_price <= max_price", name="bounds_order"),
    CheckConstraint("max_per_buyer >= 1", name="max_per_buyer_range"),
    CheckConstraint("withdrawn_at IS NULL OR NOT is_active", name="withdrawn_inactive"),
    # Referenced by `order_lines`, so that the seller of a line is the seller of its product.
    UniqueConstraint("seller_id", "id"),
    # Prices change often: 40 % of a page is reserved for new versions of its rows.
    postgresql_with={"fillfactor": "60"},
)
Index(
    "products_seller_id_sku_key",
    products.c.seller_id,
    products.c.sku,
    unique=True,
    postgresql_where=text("withdrawn_at IS NULL"),
)
Index("products_newest_idx", products.c.created_at, products.c.id, postgresql_where=text("is_active"))
Index(
    "products_category_newest_idx",
    products.c.category_id,
    products.c.created_at,
    products.c.id,
    postgresql_where=text("is_active"),
)
Index(
    "products_brand_newest_idx",
    products.c.brand,
    products.c.created_at,
    products.c.id,
    postgresql_where=text("is_active"),
)
Index("products_seller_newest_idx", products.c.seller_id, products.c.created_at, products.c.id)
# For staff: products that are paused or withdrawn, which are few.
Index("products_off_sale_idx", products.c.created_at, products.c.id, postgresql_where=text("NOT is_active"))
Index(
    "products_seller_off_sale_idx",
    products.c.seller_id,
    products.c.created_at,
    products.c.id,
    postgresql_where=text("NOT is_active"),
)
# Each search scans the list of pending index entries, so the list is kept short (kB).
Index(
    "products_document_idx",
    products.c.document,
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": 256},
)
# Searches for common words are limited to the more popular products.
for _level in range(1, TOP_TIER + 1):
    Index(
        f"products_document_{_level}_idx",
        products.c.document,
        postgresql_using="gin",
        postgresql_where=text(f"is_active AND prominence >= {_level}"),
        postgresql_with={"gin_pending_list_limit": 64},
    )
# Read by each decision; sellers limit few products.
Index(
    "products_limited_idx", products.c.max_per_buyer, products.c.id, postgresql_where=text("max_per_buyer IS NOT NULL")
)
Index("products_prominent_idx", products.c.prominence, products.c.id, postgresql_where=text("is_active"))

# No foreign key to products: writers hold the product's lock, products are never deleted, and the check would double
# the time of an insert.
price_history: Final = Table(
    "price_history",
    metadata,
    Column("product_id", BigInteger, nullable=False),
    Column("valid_from", Moment, nullable=False),
    Column("price", BigInteger, nullable=False),
    currency_column(),
    Column("cause", Text, nullable=False),
    # True for a price that was withdrawn or rolled back: the history shows it, but the price promise does not cover it.
    Column("is_withdrawn", Boolean, nullable=False, server_default=text("false")),
    # Of a price that the seller withdrew; `withdrawn_by` is null if an operator did.
    Column("withdrawn_at", Moment),
    Column("withdrawn_by", BigInteger),
    Column("withdrawal_reason", String(REASON_LENGTH)),
    # An interval ends where the next begins, so intervals cannot overlap.
    PrimaryKeyConstraint("product_id", "valid_from"),
    price_range("price"),
    one_of("cause", PriceCause),
    # Read by each decision: almost always empty.
    Index(
        "price_history_withdrawn_idx", "withdrawn_at", "product_id", postgresql_where=text("withdrawn_at IS NOT NULL")
    ),
)
