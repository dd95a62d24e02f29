"""Copy order lines and payments to tables whose columns of 8 bytes come first, so that their rows have no padding.

Revision ID: 0074
Revises: 0073
"""

from collections.abc import Mapping, Sequence
from typing import Final

from alembic import op

revision: Final = "0074"
down_revision: Final = "0073"
branch_labels: Final = None
depends_on: Final = None
# Requests of running processes would wait longer than their `lock_timeout`, and fail.
compatible_since: Final = "0074"

_TYPES: Final = {
    "order_lines": {
        "order_id": "BIGINT NOT NULL",
        "position": "INTEGER NOT NULL",
        "product_id": "BIGINT NOT NULL",
        "seller_id": "BIGINT NOT NULL",
        "quantity": "INTEGER NOT NULL",
        "price": "BIGINT NOT NULL",
        "refunded": "INTEGER NOT NULL",
    },
    "payments": {
        "id": "UUID NOT NULL",
        "order_id": "BIGINT NOT NULL",
        "amount": "NUMERIC(21, 0) NOT NULL",
        "currency": "CHAR(3) NOT NULL",
        "method": "VARCHAR(255) NOT NULL",
        "created_at": "timestamptz NOT NULL",
        "deadline": "timestamptz NOT NULL",
        "status": "TEXT NOT NULL",
        "updated_at": "timestamptz NOT NULL",
        "check_at": "timestamptz",
        "checks": "INTEGER NOT NULL",
        "reference": "VARCHAR(255)",
        "reason": "VARCHAR(255)",
        "refunded": "NUMERIC(21, 0) NOT NULL",
        "trouble": "VARCHAR(255)",
    },
}
"""The columns in their former order."""
_NEW_ORDER: Final = {
    "order_lines": ("order_id", "product_id", "seller_id", "price", "position", "quantity", "refunded"),
    "payments": (
        "id", "order_id", "created_at", "deadline", "updated_at", "check_at", "checks", "amount", "currency", "method",
        "status", "reference", "reason", "refunded", "trouble",
    ),
}  # fmt: skip

# PostgreSQL cannot reorder columns, so the rows are copied.
_COPY: Final = """
ALTER TABLE {name} RENAME TO former_{name};
CREATE TABLE {name} ({types});
INSERT INTO {name} ({columns}) SELECT {columns} FROM former_{name} ORDER BY order_id;
DROP TABLE former_{name};
"""
# In the order in which requests lock them. A lock that is taken later could deadlock with a request, after the copy.
_LOCK: Final = """
LOCK TABLE products, orders, order_lines, payments, refunds, payment_refunds, archived_order_lines, archived_payments
    IN ACCESS EXCLUSIVE MODE;
"""
_DROP_FOREIGN_KEYS: Final = """
ALTER TABLE refunds DROP CONSTRAINT refunds_order_id_fk;
ALTER TABLE payment_refunds DROP CONSTRAINT payment_refunds_payment_id_fk;
"""
_CONSTRAINTS: Final = """
ALTER TABLE order_lines
    ADD CONSTRAINT order_lines_pk PRIMARY KEY (order_id, position),
    ADD CONSTRAINT order_lines_product_id_fk FOREIGN KEY (product_id, seller_id) REFERENCES products (id, seller_id),
    ADD CONSTRAINT order_lines_position_range CHECK (position BETWEEN 0 AND 9999),
    ADD CONSTRAINT order_lines_quantity_range CHECK (quantity >= 1),
    ADD CONSTRAINT order_lines_refunded_range CHECK (refunded BETWEEN 0 AND quantity),
    ADD CONSTRAINT order_lines_price_range CHECK (price BETWEEN 1 AND 9999999999),
    ADD CONSTRAINT order_lines_order_id_fk FOREIGN KEY (order_id) REFERENCES orders (id);
CREATE INDEX order_lines_product_id_idx ON order_lines (product_id, order_id);
CREATE INDEX order_lines_sales_idx ON order_lines (seller_id, order_id, position);
ALTER TABLE payments
    ADD CONSTRAINT payments_pk PRIMARY KEY (id),
    ADD CONSTRAINT payments_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    ADD CONSTRAINT payments_status_known
        CHECK (status IN ('OPEN', 'CAPTURED', 'DECLINED', 'ABANDONED', 'TOO_LATE')),
    ADD CONSTRAINT payments_amount_range CHECK (amount >= 1),
    ADD CONSTRAINT payments_refunded_range CHECK (refunded BETWEEN 0 AND amount),
    ADD CONSTRAINT payments_refunded_charged CHECK (refunded = 0 OR status IN ('CAPTURED', 'TOO_LATE')),
    ADD CONSTRAINT payments_too_late_refunded CHECK (status <> 'TOO_LATE' OR refunded = amount),
    ADD CONSTRAINT payments_charge_known
        CHECK ((status IN ('CAPTURED', 'TOO_LATE')) = (reference IS NOT NULL)),
    ADD CONSTRAINT payments_decline_explained CHECK ((status = 'DECLINED') = (reason IS NOT NULL)),
    ADD CONSTRAINT payments_open_watched CHECK (status <> 'OPEN' OR check_at IS NOT NULL),
    ADD CONSTRAINT payments_order_id_fk FOREIGN KEY (order_id) REFERENCES orders (id);
CREATE UNIQUE INDEX payments_captured_key ON payments (order_id) WHERE status = 'CAPTURED';
CREATE INDEX payments_due_idx ON payments (check_at, id) WHERE check_at IS NOT NULL;
CREATE UNIQUE INDEX payments_open_key ON payments (order_id) WHERE status = 'OPEN';
CREATE INDEX payments_order_id_idx ON payments (order_id);
ALTER TABLE refunds ADD CONSTRAINT refunds_order_id_fk
    FOREIGN KEY (order_id, position) REFERENCES order_lines (order_id, position);
ALTER TABLE payment_refunds ADD CONSTRAINT payment_refunds_payment_id_fk
    FOREIGN KEY (payment_id) REFERENCES payments (id);
ALTER TABLE archived_order_lines ADD CONSTRAINT archived_order_lines_pk PRIMARY KEY (order_id, position);
CREATE INDEX archived_order_lines_product_id_idx ON archived_order_lines (product_id, order_id);
CREATE INDEX archived_order_lines_sales_idx ON archived_order_lines (seller_id, order_id, position);
CREATE INDEX archived_payments_order_id_idx ON archived_payments (order_id);
-- Without statistics, the first statements after the migration would have bad plans.
ANALYZE order_lines, payments, archived_order_lines, archived_payments;
"""


def _copy_tables(order: Mapping[str, Sequence[str]]) -> None:
    execute = op.get_bind().exec_driver_sql
    execute(_LOCK)
    execute(_DROP_FOREIGN_KEYS)
    for table, columns in order.items():
        types = ", ".join(f"{column} {_TYPES[table][column]}" for column in columns)
        for name in (table, f"archived_{table}"):
            execute(_COPY.format(name=name, types=types, columns=", ".join(columns)))
    execute(_CONSTRAINTS)


def upgrade() -> None:
    _copy_tables(_NEW_ORDER)


def downgrade() -> None:
    _copy_tables({table: tuple(types) for table, types in _TYPES.items()})
