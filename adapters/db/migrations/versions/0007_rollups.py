"""Add rollups for statistics and pricing.

The migration requests a rebuild, with which the first fold counts existing data. Existing views are not counted by
hour.

Revision ID: 0007
Revises: 0006
"""

from typing import Final

from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"
branch_labels: Final = None
depends_on: Final = None

FIGURES: Final = """
    orders BIGINT DEFAULT 0 NOT NULL,
    units BIGINT DEFAULT 0 NOT NULL,
    revenue NUMERIC DEFAULT 0 NOT NULL,
    refunded_units BIGINT DEFAULT 0 NOT NULL,
    refunded_amount NUMERIC DEFAULT 0 NOT NULL,"""
CURRENCY: Final = "currency CHAR(3) NOT NULL CONSTRAINT {}_currency_code CHECK (currency ~ '^[A-Z]{{3}}$'),"

UPGRADE: Final = f"""
ALTER TABLE product_views
    ALTER COLUMN viewed_at DROP NOT NULL,
    ADD COLUMN past_views BIGINT DEFAULT 0 NOT NULL,
    ADD COLUMN shelf SMALLINT DEFAULT 0 NOT NULL,
    ADD CONSTRAINT product_views_past_views_range CHECK (past_views BETWEEN 0 AND views),
    ADD CONSTRAINT product_views_shelf_known CHECK (shelf BETWEEN 0 AND 2);
CREATE TABLE product_sales (
    product_id BIGINT NOT NULL,{FIGURES}
    past_orders BIGINT DEFAULT 0 NOT NULL,
    past_units BIGINT DEFAULT 0 NOT NULL,
    past_revenue NUMERIC DEFAULT 0 NOT NULL,
    past_refunded_units BIGINT DEFAULT 0 NOT NULL,
    past_refunded_amount NUMERIC DEFAULT 0 NOT NULL,
    CONSTRAINT product_sales_pk PRIMARY KEY (product_id)
) WITH (fillfactor = 50);
CREATE TABLE product_ranks (
    product_id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    {CURRENCY.format("product_ranks")}
    revenue NUMERIC NOT NULL,
    CONSTRAINT product_ranks_pk PRIMARY KEY (product_id)
) WITH (fillfactor = 70);
CREATE INDEX product_ranks_top_idx ON product_ranks (seller_id, currency, revenue DESC, product_id);
CREATE TABLE product_outages (
    product_id BIGINT NOT NULL,
    microseconds BIGINT NOT NULL,
    since timestamptz,
    CONSTRAINT product_outages_pk PRIMARY KEY (product_id)
) WITH (fillfactor = 50);
CREATE TABLE product_hours (
    product_id BIGINT NOT NULL,
    hour timestamptz NOT NULL,
    views BIGINT DEFAULT 0 NOT NULL,{FIGURES}
    CONSTRAINT product_hours_pk PRIMARY KEY (product_id, hour)
) WITH (fillfactor = 70);
CREATE TABLE price_sales (
    product_id BIGINT NOT NULL,
    valid_from timestamptz NOT NULL,
    views BIGINT DEFAULT 0 NOT NULL,{FIGURES}
    CONSTRAINT price_sales_pk PRIMARY KEY (product_id, valid_from)
) WITH (fillfactor = 50);
CREATE TABLE seller_shelves (
    seller_id BIGINT NOT NULL,
    products BIGINT NOT NULL,
    active_products BIGINT NOT NULL,
    views BIGINT NOT NULL,
    CONSTRAINT seller_shelves_pk PRIMARY KEY (seller_id)
) WITH (fillfactor = 50);
CREATE TABLE seller_sales (
    seller_id BIGINT NOT NULL,
    {CURRENCY.format("seller_sales")}{FIGURES}
    CONSTRAINT seller_sales_pk PRIMARY KEY (seller_id, currency)
) WITH (fillfactor = 50);
CREATE TABLE seller_hours (
    seller_id BIGINT NOT NULL,
    {CURRENCY.format("seller_hours")}
    hour timestamptz NOT NULL,
    views BIGINT DEFAULT 0 NOT NULL,{FIGURES}
    CONSTRAINT seller_hours_pk PRIMARY KEY (seller_id, currency, hour)
) WITH (fillfactor = 70);
CREATE TABLE statistics_owed (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    product_id BIGINT,
    order_id BIGINT,
    refunds JSONB,
    CONSTRAINT statistics_owed_pk PRIMARY KEY (id),
    CONSTRAINT statistics_owed_one_fact CHECK (product_id IS NULL OR order_id IS NULL),
    CONSTRAINT statistics_owed_refunds_of_order CHECK (refunds IS NULL OR order_id IS NOT NULL)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
INSERT INTO statistics_owed (order_id) SELECT NULL WHERE EXISTS (SELECT FROM products);
"""  # noqa: S608 - no values in it

DOWNGRADE: Final = """
DROP TABLE statistics_owed, seller_hours, seller_sales, seller_shelves, price_sales, product_hours, product_outages,
    product_ranks, product_sales;
DELETE FROM event_consumers WHERE name = 'statistics';
UPDATE product_views SET viewed_at = now() WHERE viewed_at IS NULL;
ALTER TABLE product_views
    ALTER COLUMN viewed_at SET NOT NULL,
    DROP COLUMN past_views,
    DROP COLUMN shelf;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
