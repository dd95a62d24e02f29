"""Add the archive of settled orders.

Its tables are empty until `ORDERS_HOT_DAYS` is set.

Revision ID: 0066
Revises: 0065
"""

from typing import Final

from alembic import op

revision: Final = "0066"
down_revision: Final = "0065"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
CREATE TABLE archived_months (
    month DATE NOT NULL,
    currency CHAR(3) NOT NULL CONSTRAINT archived_months_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    orders BIGINT NOT NULL,
    units NUMERIC NOT NULL,
    amount NUMERIC NOT NULL,
    refunded_units NUMERIC NOT NULL,
    refunded_amount NUMERIC NOT NULL,
    checksum NUMERIC NOT NULL,
    CONSTRAINT archived_months_pk PRIMARY KEY (month, currency)
) WITH (fillfactor = 50);

CREATE TABLE archived_order_lines (
    order_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    product_id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    quantity INTEGER NOT NULL,
    price BIGINT NOT NULL,
    refunded INTEGER NOT NULL,
    CONSTRAINT archived_order_lines_pk PRIMARY KEY (order_id, position)
);
CREATE INDEX archived_order_lines_product_id_idx ON archived_order_lines (product_id, order_id);
CREATE INDEX archived_order_lines_sales_idx ON archived_order_lines (seller_id, order_id, position);

CREATE TABLE archived_orders (
    id BIGINT NOT NULL,
    command_id UUID NOT NULL,
    buyer_id BIGINT NOT NULL,
    currency CHAR(3) NOT NULL,
    status TEXT NOT NULL,
    shortfalls JSONB,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz,
    paid_at timestamptz,
    origin TEXT NOT NULL,
    decide_attempts SMALLINT NOT NULL,
    decide_after timestamptz,
    decide_error VARCHAR(255),
    decided_at timestamptz,
    has_expired BOOLEAN NOT NULL,
    is_cancelled_by_staff BOOLEAN NOT NULL,
    checksum BIGINT NOT NULL,
    CONSTRAINT archived_orders_pk PRIMARY KEY (id),
    CONSTRAINT archived_orders_settled CHECK (status IN ('CANCELLED', 'PAID', 'REFUNDED', 'REJECTED'))
);
CREATE INDEX archived_orders_buyer_id_id_idx ON archived_orders (buyer_id, id);
CREATE INDEX archived_orders_command_id_idx ON archived_orders (command_id) WHERE origin <> 'api';
CREATE INDEX archived_orders_created_at_id_idx ON archived_orders (created_at, id);
CREATE INDEX archived_orders_status_id_idx ON archived_orders (status, id) WHERE status <> 'PAID';

CREATE TABLE archived_payment_refunds (
    id UUID NOT NULL,
    payment_id UUID NOT NULL,
    reference VARCHAR(255) NOT NULL,
    amount NUMERIC(21, 0) NOT NULL,
    currency CHAR(3) NOT NULL,
    created_at timestamptz NOT NULL,
    status TEXT NOT NULL,
    try_at timestamptz NOT NULL,
    tries INTEGER NOT NULL,
    done_at timestamptz,
    trouble VARCHAR(255)
);
CREATE INDEX archived_payment_refunds_payment_id_idx ON archived_payment_refunds (payment_id);

CREATE TABLE archived_payments (
    id UUID NOT NULL,
    order_id BIGINT NOT NULL,
    amount NUMERIC(21, 0) NOT NULL,
    currency CHAR(3) NOT NULL,
    method VARCHAR(255) NOT NULL,
    created_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    status TEXT NOT NULL,
    updated_at timestamptz NOT NULL,
    check_at timestamptz,
    checks INTEGER NOT NULL,
    reference VARCHAR(255),
    reason VARCHAR(255),
    refunded NUMERIC(21, 0) NOT NULL,
    trouble VARCHAR(255)
);
CREATE INDEX archived_payments_order_id_idx ON archived_payments (order_id);

CREATE TABLE archived_refunds (
    id BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    quantity INTEGER NOT NULL,
    amount BIGINT NOT NULL,
    restocked BOOLEAN NOT NULL,
    occurred_at timestamptz NOT NULL,
    actor_id BIGINT
);
CREATE INDEX archived_refunds_order_id_idx ON archived_refunds (order_id);

CREATE TABLE archived_stock (
    product_id BIGINT NOT NULL,
    units BIGINT NOT NULL,
    CONSTRAINT archived_stock_pk PRIMARY KEY (product_id)
) WITH (fillfactor = 50);

CREATE TABLE archived_stock_movements (
    id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    quantity INTEGER NOT NULL,
    kind TEXT NOT NULL,
    occurred_at timestamptz NOT NULL,
    order_id BIGINT
);
CREATE INDEX archived_stock_movements_order_id_idx ON archived_stock_movements (order_id);
"""

# Archived orders become hot again.
_COLUMNS: Final = {
    "orders": "id, command_id, buyer_id, currency, status, shortfalls, created_at, updated_at, expires_at, paid_at,"
    " origin, decide_attempts, decide_after, decide_error, decided_at, has_expired, is_cancelled_by_staff",
    "order_lines": "order_id, position, product_id, seller_id, quantity, price, refunded",
    "refunds": "id, order_id, position, quantity, amount, restocked, occurred_at, actor_id",
    "stock_movements": "id, product_id, quantity, kind, occurred_at, order_id",
    "payments": "id, order_id, amount, currency, method, created_at, deadline, status, updated_at, check_at, checks,"
    " reference, reason, refunded, trouble",
    "payment_refunds": "id, payment_id, reference, amount, currency, created_at, status, try_at, tries, done_at,"
    " trouble",
}


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    connection = op.get_bind()
    for table, columns in _COLUMNS.items():
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM archived_{table}"  # noqa: S608 - constants
        )
    connection.exec_driver_sql(
        "DROP TABLE archived_months, archived_stock, archived_stock_movements, archived_payment_refunds,"
        " archived_payments, archived_refunds, archived_order_lines, archived_orders"
    )
