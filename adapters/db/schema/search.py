"""The search vocabulary and the price index."""

from typing import Final

from sqlalchemy import ARRAY, BigInteger, Column, Computed, ForeignKey, Identity, Index, Integer, Table, Text

from adapters.db.schema.catalog import products
from adapters.db.schema.metadata import metadata

# The folded words of names and brands, with the number of active products that contain each. Triggers record changes in
# `vocabulary_changes`.
vocabulary: Final = Table(
    "vocabulary",
    metadata,
    Column("word", Text(collation="C"), primary_key=True),
    Column("products", BigInteger, nullable=False),
    # The word, and the word without each one of its letters.
    Column("variants", ARRAY(Text), Computed("word_variants(word)", persisted=True)),
    postgresql_with={"fillfactor": "50"},
)
Index("vocabulary_variants_idx", vocabulary.c.variants, postgresql_using="gin")
Index("vocabulary_typos_idx", vocabulary.c.word, postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"})

vocabulary_changes: Final = Table(
    "vocabulary_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("word", Text, nullable=False),
    Column("products", BigInteger, nullable=False),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

# Copies of prices for the indexes below: `products` has no index on prices, which are updated in bulk.
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

# Ranges of product ids in which many prices changed at once, to be copied to `product_prices`.
product_prices_pending: Final = Table(
    "product_prices_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)
