"""The tables, as SQLAlchemy Core knows them; `migrations/` makes them, and a test proves that the two agree.

Whatever the database can refuse, it refuses: an oversell, a line of a product that its seller does not sell, a
reservation without a deadline. Nothing here relies on the domain being right.

Three habits keep the hot paths cheap. What buyers change (stock) and what readers change (views) live in narrow
tables beside the product's wide row. No index holds a column that is rewritten in bulk (price, stock, views), so that
such updates stay heap-only; `fillfactor` leaves them room in the page. Partial indexes are the queues.
"""

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CHAR,
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from scalecommerce_core.domain.account import EMAIL_LENGTH
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE
from scalecommerce_core.domain.order import LINE_ID_SPAN, OrderOrigin, OrderStatus
from scalecommerce_core.domain.payment import AMOUNT_DIGITS, MAX_TEXT, PaymentStatus, RefundStatus
from scalecommerce_core.domain.popularity import LEVELS
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.rollups import FIGURES
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.domain.text import BIO_LENGTH, BRAND_LENGTH, DESCRIPTION_LENGTH, NAME_LENGTH, SKU_LENGTH
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.pricing.runs import RangeStatus, RunStatus, Trigger

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

# Numbers come before their rows: the core asks for ids first. No cache: an order's number says when it arrived.
account_ids: Final = Sequence("account_ids", metadata=metadata)
category_ids: Final = Sequence("category_ids", metadata=metadata, data_type=Integer)
product_ids: Final = Sequence("product_ids", metadata=metadata)
order_ids: Final = Sequence("order_ids", metadata=metadata)
policy_ids: Final = Sequence("policy_ids", metadata=metadata)
run_ids: Final = Sequence("run_ids", metadata=metadata)
endpoint_ids: Final = Sequence("endpoint_ids", metadata=metadata)
delivery_ids: Final = Sequence("delivery_ids", metadata=metadata)

Moment: Final = TIMESTAMP(timezone=True)
Total: Final = Numeric(AMOUNT_DIGITS, 0)
"""Minor units of a whole order: those of one line fit 8 bytes, those of a hundred do not."""


def _among(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _price(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} BETWEEN {MIN_PRICE} AND {MAX_PRICE}", name=f"{column}_range")


def _currency() -> Column[str]:
    return Column("currency", CHAR(3), CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"), nullable=False)


# --- people

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("email", String(EMAIL_LENGTH), nullable=False, unique=True),
    Column("password_hash", Text),
    Column("first_name", String(NAME_LENGTH), nullable=False),
    Column("last_name", String(NAME_LENGTH), nullable=False),
    Column("bio", String(BIO_LENGTH), nullable=False),
    Column("is_staff", Boolean, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    CheckConstraint("email = lower(email)", name="email_lower"),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("account_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("current", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("previous", String(255)),
    Column("rotated_at", Moment),
)

# --- the catalogue

categories: Final = Table(
    "categories",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    # Case folding can lengthen a name ("ß" becomes "ss"), so this has no limit of its own.
    Column("slug", Text, nullable=False, unique=True),
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
    _currency(),
    Column("cost", BigInteger),
    Column("min_price", BigInteger),
    Column("max_price", BigInteger),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("priced_at", Moment, nullable=False),
    Column("withdrawn_at", Moment),
    Column("version", Integer, nullable=False),
    Column("document", TSVECTOR, Computed("search_document(name, brand, description)", persisted=True)),
    # The task that places products writes it, nobody else; see `domain.prominence`.
    Column("prominence", SmallInteger, nullable=False, server_default=text("0")),
    CheckConstraint(f"prominence BETWEEN 0 AND {LEVELS}", name="prominence_range"),
    _price("price"),
    CheckConstraint("cost >= 0", name="cost_range"),
    CheckConstraint("min_price <= max_price", name="bounds_order"),
    CheckConstraint("withdrawn_at IS NULL OR NOT is_active", name="withdrawn_inactive"),
    # The target of `order_lines`: a line names a product and its seller, and both must fit.
    UniqueConstraint("seller_id", "id"),
    # Prices change often: two fifths of a page stay free for new versions of its rows.
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
# What is not indexed yet is read from end to end by each search, so there is little of it at any time.
Index(
    "products_document_idx",
    products.c.document,
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": 256},
)
# Common words are looked for among the more prominent products alone.
for _level in range(1, LEVELS + 1):
    Index(
        f"products_document_{_level}_idx",
        products.c.document,
        postgresql_using="gin",
        postgresql_where=text(f"is_active AND prominence >= {_level}"),
        postgresql_with={"gin_pending_list_limit": 64},
    )
Index("products_prominent_idx", products.c.prominence, products.c.id, postgresql_where=text("is_active"))

# The words of names and brands, folded, and how many active products have each. Triggers note what comes and goes.
vocabulary: Final = Table(
    "vocabulary",
    metadata,
    Column("word", Text(collation="C"), primary_key=True),
    Column("products", BigInteger, nullable=False),
    # The word, and what is left of it without any one letter.
    Column("variants", ARRAY(Text), Computed("word_variants(word)", persisted=True)),
    postgresql_with={"fillfactor": "50"},
)
Index("vocabulary_variants_idx", vocabulary.c.variants, postgresql_using="gin")
Index("vocabulary_typos_idx", vocabulary.c.word, postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"})

vocabulary_news: Final = Table(
    "vocabulary_news",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("word", Text, nullable=False),
    Column("products", BigInteger, nullable=False),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# Prices as an index needs them: prices of products are rewritten in bulk, and no index over there may hold them.
product_prices: Final = Table(
    "product_prices",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("category_id", Integer, nullable=False),
    Column("price", BigInteger, nullable=False),
    Index("product_prices_price_idx", "price", "product_id"),
    Index("product_prices_category_idx", "category_id", "price", "product_id"),
    postgresql_with={"fillfactor": "80"},
)

# Ids between which many prices have changed at once.
product_prices_owed: Final = Table(
    "product_prices_owed",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# No foreign key: who writes a row holds the product's lock, no product is deleted, and the check takes as long as the
# rest of the row.
price_history: Final = Table(
    "price_history",
    metadata,
    Column("product_id", BigInteger, nullable=False),
    Column("valid_from", Moment, nullable=False),
    Column("price", BigInteger, nullable=False),
    _currency(),
    Column("cause", Text, nullable=False),
    # A price that was rolled back or corrected: history shows it, but buyers who saw it cannot insist on it.
    Column("is_withdrawn", Boolean, nullable=False, server_default=text("false")),
    # An interval ends where the next begins, so overlap cannot be expressed.
    PrimaryKeyConstraint("product_id", "valid_from"),
    _price("price"),
    _among("cause", PriceCause),
)

# `shelf` is how the product is counted for its seller: 0 not (yet, or not any more), 1 off sale, 2 on sale. It stands
# beside the views, so that whoever adds some and whoever moves a product on the shelf take turns at one row.
product_views: Final = Table(
    "product_views",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("views", BigInteger, CheckConstraint("views >= 0", name="views_range"), nullable=False),
    Column("past_views", BigInteger, nullable=False, server_default=text("0")),
    Column("viewed_at", Moment),
    Column("shelf", SmallInteger, nullable=False, server_default=text("0")),
    CheckConstraint("past_views BETWEEN 0 AND views", name="past_views_range"),
    CheckConstraint("shelf BETWEEN 0 AND 2", name="shelf_known"),
    Index("product_views_most_idx", "views", "product_id"),
    postgresql_with={"fillfactor": "50"},
)

# Which batches of views are counted in already.
view_batches: Final = Table(
    "view_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("noted_at", Moment, nullable=False, index=True),
)

# --- stock

stock: Final = Table(
    "stock",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    # The last line of defence: whatever the code does, an oversell is an error.
    CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="never_oversold"),
    postgresql_with={"fillfactor": "50"},
)

# --- orders

orders: Final = Table(
    "orders",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("command_id", Uuid, nullable=False, unique=True),
    Column("buyer_id", BigInteger, ForeignKey(accounts.c.id), nullable=False),
    _currency(),
    Column("status", Text, nullable=False),
    # A list of [product, wanted, available].
    Column("shortfalls", JSONB),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("paid_at", Moment),
    Column("origin", Text, nullable=False),
    Column("decide_attempts", SmallInteger, nullable=False),
    Column("decide_after", Moment),
    _among("status", OrderStatus),
    _among("origin", OrderOrigin),
    CheckConstraint("(status = 'PENDING') = (expires_at IS NOT NULL)", name="reservation_ends"),
    CheckConstraint("(status IN ('PAID', 'REFUNDED')) = (paid_at IS NOT NULL)", name="paid_once"),
    CheckConstraint("(status = 'REJECTED') = (shortfalls IS NOT NULL)", name="rejection_explained"),
    CheckConstraint("decide_attempts >= 0", name="decide_attempts_range"),
    Index("orders_buyer_id_id_idx", "buyer_id", "id"),
    Index("orders_undecided_idx", "id", postgresql_where=text("status = 'CREATED'")),
    Index("orders_expiring_idx", "expires_at", "id", postgresql_where=text("status = 'PENDING'")),
)

order_lines: Final = Table(
    "order_lines",
    metadata,
    Column("order_id", BigInteger, ForeignKey(orders.c.id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("product_id", BigInteger, nullable=False),
    Column("seller_id", BigInteger, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("refunded", Integer, nullable=False),
    PrimaryKeyConstraint("order_id", "position"),
    ForeignKeyConstraint(["product_id", "seller_id"], [products.c.id, products.c.seller_id]),
    CheckConstraint(f"position BETWEEN 0 AND {LINE_ID_SPAN - 1}", name="position_range"),
    CheckConstraint("quantity >= 1", name="quantity_range"),
    CheckConstraint("refunded BETWEEN 0 AND quantity", name="refunded_range"),
    _price("price"),
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
    Column("at", Moment, nullable=False),
    # Null: nobody in particular (imported history).
    Column("by", BigInteger, ForeignKey(accounts.c.id)),
    ForeignKeyConstraint(["order_id", "position"], [order_lines.c.order_id, order_lines.c.position]),
    Index("refunds_order_id_position_idx", "order_id", "position"),
)

stock_movements: Final = Table(
    "stock_movements",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("product_id", BigInteger, ForeignKey(stock.c.product_id), nullable=False),
    Column("quantity", Integer, CheckConstraint("quantity <> 0", name="quantity_range"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("order_id", BigInteger, ForeignKey(orders.c.id)),
    _among("kind", MovementKind),
    CheckConstraint("(kind IN ('sale', 'return')) = (order_id IS NOT NULL)", name="order_known"),
    CheckConstraint("quantity < 0 OR kind <> 'sale'", name="sale_goes"),
    CheckConstraint("quantity > 0 OR kind NOT IN ('opening', 'return')", name="return_comes"),
)

# --- payments

payments: Final = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", BigInteger, ForeignKey(orders.c.id), nullable=False, index=True),
    Column("amount", Total, nullable=False),
    _currency(),
    Column("method", String(MAX_TEXT), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("deadline", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("check_at", Moment),
    Column("checks", Integer, nullable=False),
    Column("reference", String(MAX_TEXT)),
    Column("reason", String(MAX_TEXT)),
    Column("refunded", Total, nullable=False),
    _among("status", PaymentStatus),
    CheckConstraint("amount >= 1", name="amount_range"),
    CheckConstraint("refunded BETWEEN 0 AND amount", name="refunded_range"),
    CheckConstraint("refunded = 0 OR status IN ('CAPTURED', 'TOO_LATE')", name="refunded_charged"),
    CheckConstraint("status <> 'TOO_LATE' OR refunded = amount", name="too_late_refunded"),
    CheckConstraint("(status IN ('CAPTURED', 'TOO_LATE')) = (reference IS NOT NULL)", name="charge_known"),
    CheckConstraint("(status = 'DECLINED') = (reason IS NOT NULL)", name="decline_explained"),
    CheckConstraint("status <> 'OPEN' OR check_at IS NOT NULL", name="open_watched"),
    # An order waits for one attempt, and is paid once.
    Index("payments_open_key", "order_id", unique=True, postgresql_where=text("status = 'OPEN'")),
    Index("payments_captured_key", "order_id", unique=True, postgresql_where=text("status = 'CAPTURED'")),
    Index("payments_due_idx", "check_at", "id", postgresql_where=text("check_at IS NOT NULL")),
)

payment_refunds: Final = Table(
    "payment_refunds",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("payment_id", Uuid, ForeignKey(payments.c.id), nullable=False, index=True),
    Column("reference", String(MAX_TEXT), nullable=False),
    Column("amount", Total, CheckConstraint("amount >= 1", name="amount_range"), nullable=False),
    _currency(),
    Column("created_at", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("try_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("done_at", Moment),
    _among("status", RefundStatus),
    CheckConstraint("(status = 'DONE') = (done_at IS NOT NULL)", name="done_once"),
    Index("payment_refunds_due_idx", "try_at", "id", postgresql_where=text("status = 'OPEN'")),
)

# The sandbox gateway's own: another company's books, as it were. Nothing of ours refers to them.
sandbox_charges: Final = Table(
    "sandbox_charges",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("amount", Total, CheckConstraint("amount >= 1", name="amount_range"), nullable=False),
    _currency(),
    Column("method", Text, nullable=False),
    # Null: the money was taken.
    Column("declined_because", Text),
    Column("at", Moment, server_default=text("now()"), nullable=False),
)

sandbox_refunds: Final = Table(
    "sandbox_refunds",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("charge", Uuid, ForeignKey(sandbox_charges.c.key), nullable=False, index=True),
    Column("amount", Total, CheckConstraint("amount >= 1", name="amount_range"), nullable=False),
    Column("at", Moment, server_default=text("now()"), nullable=False),
)

# --- rollups: what statistics and pricing read instead of orders

# They can be made anew of orders and refunds, so nothing refers to them nor they to anything. Counters only grow, and
# no index holds one; where something is sorted by a figure, that stands in a table of its own.


def _counters(*more: str) -> list[Column[Any]]:
    """Sums of amounts may pass 8 bytes: one line alone may come close to it."""
    return [
        Column(name, Numeric if name.endswith(("revenue", "amount")) else BigInteger, nullable=False,
               server_default=text("0"))
        for name in (*more, *FIGURES)
    ]  # fmt: skip


# In the product's currency. `past_…` is the part that was imported or seeded: no news to pricing.
product_sales: Final = Table(
    "product_sales",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    *_counters(),
    *(Column(f"past_{column.name}", column.type, nullable=False, server_default=text("0")) for column in _counters()),
    postgresql_with={"fillfactor": "50"},
)

# Revenue after refunds: the one figure that products are sorted by.
product_ranks: Final = Table(
    "product_ranks",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seller_id", BigInteger, nullable=False),
    _currency(),
    Column("revenue", Numeric, nullable=False),
    postgresql_with={"fillfactor": "70"},
)
Index(
    "product_ranks_top_idx",
    product_ranks.c.seller_id,
    product_ranks.c.currency,
    product_ranks.c.revenue.desc(),
    product_ranks.c.product_id,
)

product_outages: Final = Table(
    "product_outages",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    Column("microseconds", BigInteger, nullable=False),
    Column("since", Moment),
    postgresql_with={"fillfactor": "50"},
)

product_hours: Final = Table(
    "product_hours",
    metadata,
    Column("product_id", BigInteger, nullable=False),
    Column("hour", Moment, nullable=False),
    *_counters("views"),
    PrimaryKeyConstraint("product_id", "hour"),
    postgresql_with={"fillfactor": "70"},
)

price_sales: Final = Table(
    "price_sales",
    metadata,
    Column("product_id", BigInteger, nullable=False),
    Column("valid_from", Moment, nullable=False),
    *_counters("views"),
    PrimaryKeyConstraint("product_id", "valid_from"),
    postgresql_with={"fillfactor": "50"},
)

seller_shelves: Final = Table(
    "seller_shelves",
    metadata,
    Column("seller_id", BigInteger, primary_key=True, autoincrement=False),
    Column("products", BigInteger, nullable=False),
    Column("active_products", BigInteger, nullable=False),
    Column("views", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "50"},
)

seller_sales: Final = Table(
    "seller_sales",
    metadata,
    Column("seller_id", BigInteger, nullable=False),
    _currency(),
    *_counters(),
    PrimaryKeyConstraint("seller_id", "currency"),
    postgresql_with={"fillfactor": "50"},
)

seller_hours: Final = Table(
    "seller_hours",
    metadata,
    Column("seller_id", BigInteger, nullable=False),
    _currency(),
    Column("hour", Moment, nullable=False),
    *_counters("views"),
    PrimaryKeyConstraint("seller_id", "currency", "hour"),
    postgresql_with={"fillfactor": "70"},
)

# Facts that came without events (imports, seeds) and are to be counted in: a product, an order, or, with neither,
# everything there is.
statistics_owed: Final = Table(
    "statistics_owed",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("product_id", BigInteger),
    Column("order_id", BigInteger),
    # A list of [product, seller, units, amount, at].
    Column("refunds", JSONB),
    CheckConstraint("product_id IS NULL OR order_id IS NULL", name="one_fact"),
    CheckConstraint("refunds IS NULL OR order_id IS NOT NULL", name="refunds_of_order"),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# --- pricing, events, keys

pricing_policies: Final = Table(
    "pricing_policies",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("category_id", Integer, ForeignKey(categories.c.id)),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    # All of it, the columns above included, as `PricingPolicy.document` has it.
    Column("document", JSONB, nullable=False),
)

# Epochs of a policy; beside it, so that a run does not rewrite what its seller edits.
pricing_schedules: Final = Table(
    "pricing_schedules",
    metadata,
    Column("policy_id", BigInteger, ForeignKey(pricing_policies.c.id), primary_key=True, autoincrement=False),
    Column("ends_at", Moment, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("pooled_in", Integer, nullable=False),
)

pricing_assignments: Final = Table(
    "pricing_assignments",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("policy_id", BigInteger, ForeignKey(pricing_policies.c.id), index=True),
    Column("is_excluded", Boolean, nullable=False, server_default=text("false")),
)

# The kill switch for everything: a row says that pricing is stopped.
pricing_stops: Final = Table(
    "pricing_stops",
    metadata,
    Column("name", Text, primary_key=True),
)

# What a policy remembers of some thousand products, column by column: see `pricing.memory`.
pricing_memory: Final = Table(
    "pricing_memory",
    metadata,
    Column("policy_id", BigInteger, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("policy_id", "block"),
)

pricing_groups: Final = Table(
    "pricing_groups",
    metadata,
    Column("policy_id", BigInteger, nullable=False),
    Column("category_id", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Double, nullable=False),
    PrimaryKeyConstraint("policy_id", "category_id", "name"),
)

pricing_runs: Final = Table(
    "pricing_runs",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("policy_id", BigInteger, nullable=False, index=True),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("policy_version", Integer, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("products", BigInteger, nullable=False),
    Column("is_shadow", Boolean, nullable=False),
    Column("learns", Boolean, nullable=False),
    Column("within", Integer),
    Column("is_whole", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("finished_at", Moment),
    Column("decided", BigInteger, nullable=False),
    Column("moves", BigInteger, nullable=False),
    Column("large", BigInteger, nullable=False),
    Column("total_move", Double, nullable=False),
    Column("unpriced", BigInteger, nullable=False, server_default=text("0")),
    Column("written", BigInteger, nullable=False),
    Column("undone", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    _among("status", RunStatus),
    _among("trigger", Trigger),
)
# Never two runs of one policy at a time, whoever starts them.
Index(
    "pricing_runs_at_work_idx",
    pricing_runs.c.policy_id,
    unique=True,
    postgresql_where=text("status IN ('DECIDING', 'WRITING')"),
)
Index(
    "pricing_runs_unfinished_idx",
    pricing_runs.c.id,
    postgresql_where=text("status IN ('DECIDING', 'WRITING', 'ROLLING_BACK')"),
)

pricing_ranges: Final = Table(
    "pricing_ranges",
    metadata,
    Column("run_id", BigInteger, ForeignKey(pricing_runs.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("products", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("decided", BigInteger, nullable=False),
    Column("moves", BigInteger, nullable=False),
    Column("large", BigInteger, nullable=False),
    Column("total_move", Double, nullable=False),
    Column("unpriced", BigInteger, nullable=False, server_default=text("0")),
    Column("decided_at", Moment),
    Column("written_at", Moment),
    Column("written", Integer, nullable=False),
    Column("undone", Integer, nullable=False),
    # Of the inputs of its decisions: see `pricing.replay`.
    Column("head", JSONB),
    # What the policy will remember once the range is written.
    Column("memory", LargeBinary),
    Column("groups", JSONB),
    PrimaryKeyConstraint("run_id", "number"),
    _among("status", RangeStatus),
    postgresql_with={"fillfactor": "50"},
)

# The log of decisions: written once a product and epoch, in bulk, so that nothing refers to it nor it to anything.
# `outcome`: 1 where somebody else had moved the price meanwhile, 2 where it was rolled back.
pricing_decisions: Final = Table(
    "pricing_decisions",
    metadata,
    Column("run_id", BigInteger, nullable=False),
    Column("product_id", BigInteger, nullable=False),
    Column("old_price", BigInteger, nullable=False),
    Column("new_price", BigInteger, nullable=False),
    Column("wanted", Double, nullable=False),
    Column("motive", Integer, nullable=False),
    Column("guardrails", Integer, nullable=False),
    Column("priced_at", Moment, nullable=False),
    Column("inputs", LargeBinary, nullable=False),
    Column("outcome", SmallInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("run_id", "product_id"),
)

# Where events are written, with what they tell about. A relay moves committed ones into `events`, numbered.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("audience", ARRAY(BigInteger), nullable=False),
    Column("payload", JSONB, nullable=False),
    # A queue that is always about to be empty: it is cleaned by what went through it, not by what is in it.
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# The feed: only ever appended to, and cut off at the old end.
events: Final = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("audience", ARRAY(BigInteger), nullable=False),
    Column("payload", JSONB, nullable=False),
)

# The feed of one account is a range of this table's key, however far behind its reader is and however few its events.
# No foreign keys: rows come and go with those of `events`, in the same statements.
event_audience: Final = Table(
    "event_audience",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "seq"),
)

# One row: the last number that was given, and the last that was forgotten.
event_counter: Final = Table(
    "event_counter",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("forgotten BETWEEN 0 AND last", name="forgotten_range"),
)

# Whoever reads all events in order, and how far it is: what it has not read is not forgotten.
event_consumers: Final = Table(
    "event_consumers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, CheckConstraint("seq >= 0", name="seq_range"), nullable=False),
)

# --- webhooks

webhook_endpoints: Final = Table(
    "webhook_endpoints",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("owner_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("url", Text, nullable=False),
    # Lists: of topics, of [sealed secret, end of its validity].
    Column("topics", JSONB, nullable=False),
    Column("secrets", JSONB, nullable=False),
    Column("description", Text, nullable=False),
    Column("all_events", Boolean, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("disabled_because", Text),
    Column("failures", Integer, nullable=False),
    Column("failing_since", Moment),
    Column("paused_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Column("version", Integer, nullable=False),
    CheckConstraint("(failures = 0) = (failing_since IS NULL)", name="failing_since_known"),
    CheckConstraint("deleted_at IS NULL OR NOT is_active", name="deleted_is_inactive"),
    Index("webhook_endpoints_all_events_idx", "id", postgresql_where=text("all_events")),
    postgresql_with={"fillfactor": "50"},
)

webhook_deliveries: Final = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint_id", BigInteger, ForeignKey(webhook_endpoints.c.id), nullable=False),
    # Null: a ping.
    Column("seq", BigInteger),
    Column("message_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("logged", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("try_at", Moment),
    Column("created_at", Moment, nullable=False, index=True),
    _among("status", DeliveryStatus),
    CheckConstraint("(status = 'PENDING') = (try_at IS NOT NULL)", name="pending_is_due"),
    Index("webhook_deliveries_endpoint_id_id_idx", "endpoint_id", "id"),
    # A list of the few that failed must not pass over the many that did not.
    Index("webhook_deliveries_endpoint_id_status_id_idx", "endpoint_id", "status", "id"),
    Index("webhook_deliveries_due_idx", "endpoint_id", "try_at", postgresql_where=text("status = 'PENDING'")),
    # An event goes to an endpoint once, whatever the fan-out does.
    Index("webhook_deliveries_once_idx", "endpoint_id", "seq", unique=True),
)

webhook_attempts: Final = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", BigInteger, ForeignKey(webhook_deliveries.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    # In milliseconds.
    Column("took", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("answer", Text, nullable=False),
    PrimaryKeyConstraint("delivery_id", "number"),
)

# --- keys

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("owner", BigInteger, ForeignKey(accounts.c.id), nullable=False),
    Column("key", String(255), nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    # Null while the request that took the key is in flight.
    Column("body", LargeBinary),
    Column("taken_at", Moment, nullable=False, index=True),
    PrimaryKeyConstraint("owner", "key"),
)
