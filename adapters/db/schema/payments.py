"""Payments, and the accounts of the sandbox gateway."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, Uuid, text

from adapters.db.schema.metadata import Moment, Total, currency_column, metadata, one_of
from adapters.db.schema.orders import orders
from scalecommerce_core.domain.payment import MAX_TEXT, PaymentStatus, RefundStatus
from scalecommerce_core.domain.text import CAUSE_LENGTH

# Columns of fixed sizes come first, so that rows have no padding.
payments: Final = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", BigInteger, ForeignKey(orders.c.id), nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("deadline", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("check_at", Moment),
    Column("checks", Integer, nullable=False),
    Column("amount", Total, nullable=False),
    currency_column(),
    Column("method", String(MAX_TEXT), nullable=False),
    Column("status", Text, nullable=False),
    Column("reference", String(MAX_TEXT)),
    Column("reason", String(MAX_TEXT)),
    Column("refunded", Total, nullable=False),
    Column("trouble", String(CAUSE_LENGTH)),
    one_of("status", PaymentStatus),
    CheckConstraint("amount >= 1", name="amount_range"),
    CheckConstraint("refunded BETWEEN 0 AND amount", name="refunded_range"),
    CheckConstraint("refunded = 0 OR status IN ('CAPTURED', 'TOO_LATE')", name="refunded_charged"),
    CheckConstraint("status <> 'TOO_LATE' OR refunded = amount", name="too_late_refunded"),
    CheckConstraint("(status IN ('CAPTURED', 'TOO_LATE')) = (reference IS NOT NULL)", name="charge_known"),
    CheckConstraint("(status = 'DECLINED') = (reason IS NOT NULL)", name="decline_explained"),
    CheckConstraint("status <> 'OPEN' OR check_at IS NOT NULL", name="open_watched"),
    # An order has at most one open attempt and at most one captured payment.
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
    currency_column(),
    Column("created_at", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("try_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("done_at", Moment),
    Column("trouble", String(CAUSE_LENGTH)),
    one_of("status", RefundStatus),
    CheckConstraint("(status = 'DONE') = (done_at IS NOT NULL)", name="done_once"),
    Index("payment_refunds_due_idx", "try_at", "id", postgresql_where=text("status = 'OPEN'")),
)

# State of the sandbox gateway, which stands for another company: no other table refers to it.
sandbox_charges: Final = Table(
    "sandbox_charges",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("amount", Total, CheckConstraint("amount >= 1", name="amount_range"), nullable=False),
    currency_column(),
    # Null: the charge succeeded.
    Column("declined_because", Text),
)

sandbox_refunds: Final = Table(
    "sandbox_refunds",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("charge", Uuid, ForeignKey(sandbox_charges.c.key), nullable=False, index=True),
    Column("amount", Total, CheckConstraint("amount >= 1", name="amount_range"), nullable=False),
    Column("occurred_at", Moment, server_default=text("now()"), nullable=False),
)
