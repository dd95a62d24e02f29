"""Add payments, their refunds, and the state of the sandbox gateway.

Revision ID: 0003
Revises: 0002
"""

from typing import Final

from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = """
CREATE TABLE payments (
    id UUID NOT NULL,
    order_id BIGINT NOT NULL,
    amount NUMERIC(21, 0) NOT NULL,
    currency CHAR(3) NOT NULL CONSTRAINT payments_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
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
    CONSTRAINT payments_pk PRIMARY KEY (id),
    CONSTRAINT payments_status_known CHECK (status IN ('OPEN', 'CAPTURED', 'DECLINED', 'ABANDONED', 'TOO_LATE')),
    CONSTRAINT payments_amount_range CHECK (amount >= 1),
    CONSTRAINT payments_refunded_range CHECK (refunded BETWEEN 0 AND amount),
    CONSTRAINT payments_refunded_charged CHECK (refunded = 0 OR status IN ('CAPTURED', 'TOO_LATE')),
    CONSTRAINT payments_too_late_refunded CHECK (status <> 'TOO_LATE' OR refunded = amount),
    CONSTRAINT payments_charge_known CHECK ((status IN ('CAPTURED', 'TOO_LATE')) = (reference IS NOT NULL)),
    CONSTRAINT payments_decline_explained CHECK ((status = 'DECLINED') = (reason IS NOT NULL)),
    CONSTRAINT payments_open_watched CHECK (status <> 'OPEN' OR check_at IS NOT NULL),
    CONSTRAINT payments_order_id_fk FOREIGN KEY(order_id) REFERENCES orders (id)
);
CREATE UNIQUE INDEX payments_captured_key ON payments (order_id) WHERE status = 'CAPTURED';
CREATE INDEX payments_due_idx ON payments (check_at, id) WHERE check_at IS NOT NULL;
CREATE UNIQUE INDEX payments_open_key ON payments (order_id) WHERE status = 'OPEN';
CREATE INDEX payments_order_id_idx ON payments (order_id);

CREATE TABLE payment_refunds (
    id UUID NOT NULL,
    payment_id UUID NOT NULL,
    reference VARCHAR(255) NOT NULL,
    amount NUMERIC(21, 0) NOT NULL CONSTRAINT payment_refunds_amount_range CHECK (amount >= 1),
    currency CHAR(3) NOT NULL CONSTRAINT payment_refunds_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL,
    status TEXT NOT NULL,
    try_at timestamptz NOT NULL,
    tries INTEGER NOT NULL,
    done_at timestamptz,
    CONSTRAINT payment_refunds_pk PRIMARY KEY (id),
    CONSTRAINT payment_refunds_status_known CHECK (status IN ('OPEN', 'DONE')),
    CONSTRAINT payment_refunds_done_once CHECK ((status = 'DONE') = (done_at IS NOT NULL)),
    CONSTRAINT payment_refunds_payment_id_fk FOREIGN KEY(payment_id) REFERENCES payments (id)
);
CREATE INDEX payment_refunds_due_idx ON payment_refunds (try_at, id) WHERE status = 'OPEN';
CREATE INDEX payment_refunds_payment_id_idx ON payment_refunds (payment_id);

CREATE TABLE sandbox_charges (
    key UUID NOT NULL,
    amount NUMERIC(21, 0) NOT NULL CONSTRAINT sandbox_charges_amount_range CHECK (amount >= 1),
    currency CHAR(3) NOT NULL CONSTRAINT sandbox_charges_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    method TEXT NOT NULL,
    declined_because TEXT,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT sandbox_charges_pk PRIMARY KEY (key)
);

CREATE TABLE sandbox_refunds (
    key UUID NOT NULL,
    charge UUID NOT NULL,
    amount NUMERIC(21, 0) NOT NULL CONSTRAINT sandbox_refunds_amount_range CHECK (amount >= 1),
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT sandbox_refunds_pk PRIMARY KEY (key),
    CONSTRAINT sandbox_refunds_charge_fk FOREIGN KEY(charge) REFERENCES sandbox_charges (key)
);
CREATE INDEX sandbox_refunds_charge_idx ON sandbox_refunds (charge);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE sandbox_refunds, sandbox_charges, payment_refunds, payments")
