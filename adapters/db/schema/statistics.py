"""Views and rollups."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.catalog import products
from adapters.db.schema.metadata import Moment, currency_column, metadata
from scalecommerce_core.domain.rollups import FIGURES

# `listing_state` says how the product counts in `seller_product_counts`: 0 not (new or withdrawn), 1 not active,
# 2 active. It is stored with the views because both changes to a seller's counts must lock the same row.
product_views: Final = Table(
    "product_views",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("views", BigInteger, CheckConstraint("views >= 0", name="views_range"), nullable=False),
    Column("past_views", BigInteger, nullable=False, server_default=text("0")),
    Column("viewed_at", Moment),
    # Sum of the weights of the views beyond 1 each: `domain.product_views.ViewerTrust`.
    Column("extra_weight", BigInteger, nullable=False, server_default=text("0")),
    Column("listing_state", SmallInteger, nullable=False, server_default=text("0")),
    CheckConstraint("past_views BETWEEN 0 AND views", name="past_views_range"),
    CheckConstraint("listing_state BETWEEN 0 AND 2", name="listing_state_known"),
    # The order of `-count_viewed` lists.
    Index("product_views_most_idx", "views", "product_id"),
    postgresql_with={"fillfactor": "50"},
)

# Ids of the view batches that are already added.
view_batches: Final = Table(
    "view_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("noted_at", Moment, nullable=False, index=True),
)


# Rollups can be rebuilt from orders and refunds, so they have no foreign keys. Counters only grow and are in no index
# but that of the hours with sales; figures to sort by have tables of their own.


def _counters(*more: str) -> list[Column[Any]]:
    """Counter columns. Amounts are numeric, because sums can exceed 8 bytes."""
    return [
        Column(name, Numeric if name.endswith(("revenue", "amount")) else BigInteger, nullable=False,
               server_default=text("0"))
        for name in (*more, *FIGURES)
    ]  # fmt: skip


def _past_counters() -> list[Column[Any]]:
    return [
        Column(f"past_{column.name}", column.type, nullable=False, server_default=text("0")) for column in _counters()
    ]


# In the product's currency. `past_…` counts imported or seeded sales; pricing uses them only together with imported or
# seeded views.
product_sales: Final = Table(
    "product_sales",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    *_counters(),
    *_past_counters(),
    postgresql_with={"fillfactor": "50"},
)

# Revenue less refunds, by which the products of a seller are sorted.
product_ranks: Final = Table(
    "product_ranks",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seller_id", BigInteger, nullable=False),
    currency_column(),
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

product_stockouts: Final = Table(
    "product_stockouts",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    Column("microseconds", BigInteger, nullable=False),
    Column("since", Moment),
    # The ended times without units of the last weeks: a list of [beginning, end] in microseconds since 1970.
    Column("recent", JSONB),
    postgresql_with={"fillfactor": "50"},
)

product_hours: Final = Table(
    "product_hours",
    metadata,
    Column("product_id", BigInteger, nullable=False),
    Column("hour", Moment, nullable=False),
    *_counters("views"),
    PrimaryKeyConstraint("product_id", "hour"),
    # The units that sold, without the hours that have only views; counting a view does not change it.
    Index(
        "product_hours_sold_idx",
        "product_id",
        "hour",
        postgresql_include=["units"],
        postgresql_where=text("units > 0"),
    ),
    postgresql_with={"fillfactor": "70"},
)

price_sales: Final = Table(
    "price_sales",
    metadata,
    Column("product_id", BigInteger, nullable=False),
    Column("valid_from", Moment, nullable=False),
    *_counters("views"),
    # Views with the weights of their viewers, without those while the product had no available units.
    Column("demand_views", BigInteger, nullable=False, server_default=text("0")),
    *_past_counters(),
    PrimaryKeyConstraint("product_id", "valid_from"),
    postgresql_with={"fillfactor": "50"},
)

seller_product_counts: Final = Table(
    "seller_product_counts",
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
    currency_column(),
    *_counters(),
    PrimaryKeyConstraint("seller_id", "currency"),
    postgresql_with={"fillfactor": "50"},
)

seller_hours: Final = Table(
    "seller_hours",
    metadata,
    Column("seller_id", BigInteger, nullable=False),
    currency_column(),
    Column("hour", Moment, nullable=False),
    *_counters("views"),
    PrimaryKeyConstraint("seller_id", "currency", "hour"),
    postgresql_with={"fillfactor": "70"},
)

# Facts without events (imports, seeds) that the fold must add: a product, an order, or, if both are null, a complete
# rebuild.
statistics_pending: Final = Table(
    "statistics_pending",
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
