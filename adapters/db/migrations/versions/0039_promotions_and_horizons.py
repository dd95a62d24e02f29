"""Add promotions, and the time until which the stock of a product must last.

Revision ID: 0039
Revises: 0038
"""

from typing import Final

from alembic import op

revision: Final = "0039"
down_revision: Final = "0038"
branch_labels: Final = None
depends_on: Final = None

STATUSES: Final = "'scheduled', 'running', 'ended', 'cancelled'"
TABLES: Final = f"""
CREATE SEQUENCE promotion_ids;

CREATE TABLE promotions (
    id bigint NOT NULL,
    seller_id bigint NOT NULL,
    name varchar(100) NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    percent smallint,
    category_id integer,
    is_all boolean NOT NULL,
    products integer NOT NULL,
    status text NOT NULL,
    version integer NOT NULL,
    due_at timestamptz,
    CONSTRAINT promotions_pk PRIMARY KEY (id),
    CONSTRAINT promotions_seller_id_fk FOREIGN KEY (seller_id) REFERENCES accounts (id),
    CONSTRAINT promotions_category_id_fk FOREIGN KEY (category_id) REFERENCES categories (id),
    CONSTRAINT promotions_status_known CHECK (status IN ({STATUSES})),
    CONSTRAINT promotions_times_order CHECK (ends_at >= starts_at),
    CONSTRAINT promotions_percent_range CHECK (percent BETWEEN 1 AND 90)
);
CREATE INDEX promotions_seller_id_idx ON promotions (seller_id, id);
CREATE INDEX promotions_due_idx ON promotions (due_at, id) WHERE due_at IS NOT NULL;

CREATE TABLE promoted_products (
    product_id bigint NOT NULL,
    promotion_id bigint NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    status text NOT NULL,
    due_at timestamptz,
    price bigint,
    currency char(3) NOT NULL,
    percent smallint,
    prior_price bigint,
    promoted_price bigint,
    former_price bigint,
    applied_at timestamptz,
    note text,
    CONSTRAINT promoted_products_pk PRIMARY KEY (product_id, promotion_id),
    CONSTRAINT promoted_products_product_id_fk FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT promoted_products_promotion_id_fk FOREIGN KEY (promotion_id) REFERENCES promotions (id),
    CONSTRAINT promoted_products_currency_code CHECK (currency ~ '^[A-Z]{{3}}$'),
    CONSTRAINT promoted_products_status_known CHECK (status IN ({STATUSES})),
    CONSTRAINT promoted_products_note_known
        CHECK (note IN ('not_lower', 'below_min_price', 'currency', 'withdrawn', 'missed')),
    CONSTRAINT promoted_products_price_range CHECK (price BETWEEN 1 AND 9999999999)
);
CREATE INDEX promoted_products_promotion_id_idx ON promoted_products (promotion_id, product_id);
CREATE INDEX promoted_products_due_idx ON promoted_products (due_at, product_id) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX promoted_products_running_idx ON promoted_products (product_id) WHERE status = 'running';
"""
CAUSES: Final = "'listed', 'manual', 'policy', 'import', 'rollback', 'withdrawal'"
# Validated apart: adding a constraint blocks all readers, its validation does not.
CONSTRAINT: Final = """
ALTER TABLE price_history DROP CONSTRAINT price_history_cause_known,
    ADD CONSTRAINT price_history_cause_known CHECK (cause IN ({})) NOT VALID
"""
VALIDATE: Final = "ALTER TABLE price_history VALIDATE CONSTRAINT price_history_cause_known"


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("ALTER TABLE products ADD COLUMN stock_until timestamptz")
    connection.exec_driver_sql(TABLES)
    connection.exec_driver_sql(CONSTRAINT.format(f"{CAUSES}, 'promotion', 'promotion_end'"))
    connection.exec_driver_sql(VALIDATE)


def downgrade() -> None:
    connection = op.get_bind()
    # The former code has no promotions; their prices stay in force and in the history.
    connection.exec_driver_sql(
        "UPDATE price_history SET cause = 'manual' WHERE cause IN ('promotion', 'promotion_end')"
    )
    connection.exec_driver_sql(CONSTRAINT.format(CAUSES))
    connection.exec_driver_sql(VALIDATE)
    connection.exec_driver_sql("DROP TABLE promoted_products, promotions; DROP SEQUENCE promotion_ids")
    connection.exec_driver_sql("ALTER TABLE products DROP COLUMN stock_until")
