"""The first tables, full-text search in two languages, and the default categories.

Revision ID: 0001
Revises:
"""

from typing import Final

from alembic import op

from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, slug_of

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

EXTENSIONS: Final = """
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
"""

# Case rules that do not depend on the locale of the database: with locale "C", lower() converts ASCII only. PostgreSQL
# 17 has built-in Unicode rules; earlier versions have ICU in all usual builds.
FOLDING: Final = """
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 170000 THEN
        CREATE COLLATION folding (provider = builtin, locale = 'C.UTF-8');
    ELSIF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
        CREATE COLLATION folding (provider = icu, locale = 'und');
    ELSE
        CREATE COLLATION folding (provider = libc, locale = 'C.UTF-8');
    END IF;
END
$$;

-- unaccent() is only STABLE, because its rules are a file that can be edited. An index needs an IMMUTABLE function, so
-- the rules must not be edited without a reindex.
CREATE FUNCTION folded(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(unaccent('unaccent', value) COLLATE folding);
"""

# The Russian configuration stems ASCII words in English and other words in Russian, so one index serves both languages.
SEARCH: Final = """
CREATE TEXT SEARCH CONFIGURATION market (COPY = russian);

-- The text that misspelt words are compared with.
CREATE FUNCTION spelling(name text, brand text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN folded(name || ' ' || brand);

CREATE FUNCTION search_document(name text, brand text, description text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN setweight(to_tsvector('market', folded(name)), 'A')
        || setweight(to_tsvector('market', folded(brand)), 'B')
        || setweight(to_tsvector('market', folded(description)), 'C');
"""

SEQUENCES: Final = """
CREATE SEQUENCE account_ids;
CREATE SEQUENCE category_ids AS INTEGER;
CREATE SEQUENCE product_ids;
CREATE SEQUENCE order_ids;
CREATE SEQUENCE policy_ids;
"""

TABLES: Final = """
CREATE TABLE accounts (
    id BIGINT NOT NULL,
    email VARCHAR(254) NOT NULL,
    password_hash TEXT,
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    bio VARCHAR(1000) NOT NULL,
    is_staff BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT accounts_pk PRIMARY KEY (id),
    CONSTRAINT accounts_email_lower CHECK (email = lower(email)),
    CONSTRAINT accounts_email_key UNIQUE (email)
);

CREATE TABLE sessions (
    id VARCHAR(255) NOT NULL,
    account_id BIGINT NOT NULL,
    current VARCHAR(255) NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT sessions_pk PRIMARY KEY (id),
    CONSTRAINT sessions_account_id_fk FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX sessions_account_id_idx ON sessions (account_id);

CREATE TABLE categories (
    id INTEGER NOT NULL,
    name VARCHAR(100) NOT NULL,
    slug TEXT NOT NULL,
    CONSTRAINT categories_pk PRIMARY KEY (id),
    CONSTRAINT categories_name_key UNIQUE (name),
    CONSTRAINT categories_slug_key UNIQUE (slug)
);

CREATE TABLE products (
    id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    category_id INTEGER NOT NULL,
    name VARCHAR(100) NOT NULL,
    brand VARCHAR(100) NOT NULL,
    description VARCHAR(10000) NOT NULL,
    sku VARCHAR(64),
    price BIGINT NOT NULL,
    currency CHAR(3) NOT NULL CONSTRAINT products_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    cost BIGINT,
    min_price BIGINT,
    max_price BIGINT,
    is_active BOOLEAN NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    priced_at timestamptz NOT NULL,
    withdrawn_at timestamptz,
    version INTEGER NOT NULL,
    document TSVECTOR GENERATED ALWAYS AS (search_document(name, brand, description)) STORED,
    CONSTRAINT products_pk PRIMARY KEY (id),
    CONSTRAINT products_price_range CHECK (price BETWEEN 1 AND 9999999999),
    CONSTRAINT products_cost_range CHECK (cost >= 0),
    CONSTRAINT products_bounds_order CHECK (min_price <= max_price),
    CONSTRAINT products_withdrawn_inactive CHECK (withdrawn_at IS NULL OR NOT is_active),
    CONSTRAINT products_seller_id_id_key UNIQUE (seller_id, id),
    CONSTRAINT products_seller_id_fk FOREIGN KEY(seller_id) REFERENCES accounts (id),
    CONSTRAINT products_category_id_fk FOREIGN KEY(category_id) REFERENCES categories (id)
) WITH (fillfactor = 60);
CREATE INDEX products_brand_newest_idx ON products (brand, created_at, id) WHERE is_active;
CREATE INDEX products_category_newest_idx ON products (category_id, created_at, id) WHERE is_active;
CREATE INDEX products_document_idx ON products USING gin (document);
CREATE INDEX products_newest_idx ON products (created_at, id) WHERE is_active;
CREATE UNIQUE INDEX products_seller_id_sku_key ON products (seller_id, sku) WHERE withdrawn_at IS NULL;
CREATE INDEX products_seller_newest_idx ON products (seller_id, created_at, id);
CREATE INDEX products_typos_idx ON products USING gin (spelling(name, brand) gin_trgm_ops);

CREATE TABLE price_history (
    product_id BIGINT NOT NULL,
    valid_from timestamptz NOT NULL,
    price BIGINT NOT NULL,
    currency CHAR(3) NOT NULL CONSTRAINT price_history_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    cause TEXT NOT NULL,
    is_withdrawn BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT price_history_pk PRIMARY KEY (product_id, valid_from),
    CONSTRAINT price_history_price_range CHECK (price BETWEEN 1 AND 9999999999),
    CONSTRAINT price_history_cause_known CHECK (cause IN ('listed', 'manual', 'policy', 'import', 'rollback')),
    CONSTRAINT price_history_product_id_fk FOREIGN KEY(product_id) REFERENCES products (id)
);

CREATE TABLE product_views (
    product_id BIGINT NOT NULL,
    views BIGINT NOT NULL CONSTRAINT product_views_views_range CHECK (views >= 0),
    viewed_at timestamptz NOT NULL,
    CONSTRAINT product_views_pk PRIMARY KEY (product_id),
    CONSTRAINT product_views_product_id_fk FOREIGN KEY(product_id) REFERENCES products (id)
) WITH (fillfactor = 50);

CREATE TABLE stock (
    product_id BIGINT NOT NULL,
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    CONSTRAINT stock_pk PRIMARY KEY (product_id),
    CONSTRAINT stock_never_oversold CHECK (reserved >= 0 AND reserved <= on_hand),
    CONSTRAINT stock_product_id_fk FOREIGN KEY(product_id) REFERENCES products (id)
) WITH (fillfactor = 50);

CREATE TABLE orders (
    id BIGINT NOT NULL,
    command_id UUID NOT NULL,
    buyer_id BIGINT NOT NULL,
    currency CHAR(3) NOT NULL CONSTRAINT orders_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    status TEXT NOT NULL,
    shortfalls JSONB,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz,
    paid_at timestamptz,
    origin TEXT NOT NULL,
    decide_attempts SMALLINT NOT NULL,
    decide_after timestamptz,
    CONSTRAINT orders_pk PRIMARY KEY (id),
    CONSTRAINT orders_status_known
        CHECK (status IN ('CREATED', 'PENDING', 'REJECTED', 'PAID', 'CANCELLED', 'REFUNDED')),
    CONSTRAINT orders_origin_known CHECK (origin IN ('api', 'import', 'seed')),
    CONSTRAINT orders_reservation_ends CHECK ((status = 'PENDING') = (expires_at IS NOT NULL)),
    CONSTRAINT orders_paid_once CHECK ((status IN ('PAID', 'REFUNDED')) = (paid_at IS NOT NULL)),
    CONSTRAINT orders_rejection_explained CHECK ((status = 'REJECTED') = (shortfalls IS NOT NULL)),
    CONSTRAINT orders_decide_attempts_range CHECK (decide_attempts >= 0),
    CONSTRAINT orders_command_id_key UNIQUE (command_id),
    CONSTRAINT orders_buyer_id_fk FOREIGN KEY(buyer_id) REFERENCES accounts (id)
);
CREATE INDEX orders_buyer_id_id_idx ON orders (buyer_id, id);
CREATE INDEX orders_expiring_idx ON orders (expires_at, id) WHERE status = 'PENDING';
CREATE INDEX orders_undecided_idx ON orders (id) WHERE status = 'CREATED';

CREATE TABLE order_lines (
    order_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    product_id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    quantity INTEGER NOT NULL,
    price BIGINT NOT NULL,
    refunded INTEGER NOT NULL,
    CONSTRAINT order_lines_pk PRIMARY KEY (order_id, position),
    CONSTRAINT order_lines_product_id_fk FOREIGN KEY(product_id, seller_id) REFERENCES products (id, seller_id),
    CONSTRAINT order_lines_position_range CHECK (position BETWEEN 0 AND 9999),
    CONSTRAINT order_lines_quantity_range CHECK (quantity >= 1),
    CONSTRAINT order_lines_refunded_range CHECK (refunded BETWEEN 0 AND quantity),
    CONSTRAINT order_lines_price_range CHECK (price BETWEEN 1 AND 9999999999),
    CONSTRAINT order_lines_order_id_fk FOREIGN KEY(order_id) REFERENCES orders (id)
);
CREATE INDEX order_lines_product_id_idx ON order_lines (product_id, order_id);
CREATE INDEX order_lines_sales_idx ON order_lines (seller_id, order_id, position);

CREATE TABLE refunds (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    order_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    quantity INTEGER NOT NULL CONSTRAINT refunds_quantity_range CHECK (quantity >= 1),
    amount BIGINT NOT NULL CONSTRAINT refunds_amount_range CHECK (amount >= 1),
    restocked BOOLEAN NOT NULL,
    at timestamptz NOT NULL,
    by BIGINT,
    CONSTRAINT refunds_pk PRIMARY KEY (id),
    CONSTRAINT refunds_order_id_fk FOREIGN KEY(order_id, position) REFERENCES order_lines (order_id, position),
    CONSTRAINT refunds_by_fk FOREIGN KEY(by) REFERENCES accounts (id)
);
CREATE INDEX refunds_order_id_position_idx ON refunds (order_id, position);

CREATE TABLE stock_movements (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    product_id BIGINT NOT NULL,
    quantity INTEGER NOT NULL CONSTRAINT stock_movements_quantity_range CHECK (quantity <> 0),
    kind TEXT NOT NULL,
    at timestamptz NOT NULL,
    order_id BIGINT,
    CONSTRAINT stock_movements_pk PRIMARY KEY (id),
    CONSTRAINT stock_movements_kind_known CHECK (kind IN ('opening', 'adjustment', 'sale', 'return')),
    CONSTRAINT stock_movements_order_known CHECK ((kind IN ('sale', 'return')) = (order_id IS NOT NULL)),
    CONSTRAINT stock_movements_sale_goes CHECK (quantity < 0 OR kind <> 'sale'),
    CONSTRAINT stock_movements_return_comes CHECK (quantity > 0 OR kind NOT IN ('opening', 'return')),
    CONSTRAINT stock_movements_product_id_fk FOREIGN KEY(product_id) REFERENCES stock (product_id),
    CONSTRAINT stock_movements_order_id_fk FOREIGN KEY(order_id) REFERENCES orders (id)
);

CREATE TABLE pricing_policies (
    id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    category_id INTEGER,
    name VARCHAR(100) NOT NULL,
    created_at timestamptz NOT NULL,
    is_active BOOLEAN NOT NULL,
    target_cover_days INTEGER NOT NULL,
    window_days INTEGER NOT NULL,
    max_step DOUBLE PRECISION NOT NULL,
    least_units INTEGER NOT NULL,
    CONSTRAINT pricing_policies_pk PRIMARY KEY (id),
    CONSTRAINT pricing_policies_days_range CHECK (target_cover_days >= 1 AND window_days >= 1 AND least_units >= 1),
    CONSTRAINT pricing_policies_max_step_range CHECK (max_step BETWEEN 0 AND 0.5),
    CONSTRAINT pricing_policies_seller_id_fk FOREIGN KEY(seller_id) REFERENCES accounts (id),
    CONSTRAINT pricing_policies_category_id_fk FOREIGN KEY(category_id) REFERENCES categories (id)
);
CREATE INDEX pricing_policies_seller_id_idx ON pricing_policies (seller_id);

CREATE TABLE events (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    seq BIGINT,
    topic TEXT NOT NULL,
    at timestamptz NOT NULL,
    audience BIGINT[] NOT NULL,
    payload JSONB NOT NULL,
    CONSTRAINT events_pk PRIMARY KEY (id),
    CONSTRAINT events_seq_key UNIQUE (seq)
);
CREATE INDEX events_unnumbered_idx ON events (id) WHERE seq IS NULL;

CREATE TABLE idempotency_keys (
    owner BIGINT NOT NULL,
    key VARCHAR(255) NOT NULL,
    fingerprint BYTEA NOT NULL,
    body BYTEA,
    taken_at timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pk PRIMARY KEY (owner, key),
    CONSTRAINT idempotency_keys_owner_fk FOREIGN KEY(owner) REFERENCES accounts (id)
);
CREATE INDEX idempotency_keys_taken_at_idx ON idempotency_keys (taken_at);
"""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for script in (EXTENSIONS, FOLDING, SEARCH, SEQUENCES, TABLES):
        run(script)
    for name in DEFAULT_CATEGORIES:
        run(
            "INSERT INTO categories (id, name, slug) VALUES (nextval('category_ids'), %s, %s)",
            (name, slug_of(name)),
        )


def downgrade() -> None:
    """Drop everything but the extensions, which other schemas may use."""
    op.get_bind().exec_driver_sql(
        """
        DROP TABLE idempotency_keys, events, pricing_policies, stock_movements, refunds, order_lines, orders, stock,
            product_views, price_history, products, categories, sessions, accounts;
        DROP SEQUENCE account_ids, category_ids, product_ids, order_ids, policy_ids;
        DROP FUNCTION search_document, spelling, folded;
        DROP TEXT SEARCH CONFIGURATION market;
        DROP COLLATION folding;
        """
    )
