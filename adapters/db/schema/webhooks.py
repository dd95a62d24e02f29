"""Webhook endpoints and deliveries."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.accounts import accounts
from adapters.db.schema.metadata import Moment, metadata, one_of
from scalecommerce_core.domain.webhook import DeliveryStatus

endpoint_ids: Final = Sequence("endpoint_ids", metadata=metadata)
delivery_ids: Final = Sequence("delivery_ids", metadata=metadata)


webhook_endpoints: Final = Table(
    "webhook_endpoints",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("owner_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("url", Text, nullable=False),
    # Lists: topics; [encrypted secret, end of its validity].
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
    # Null: the receiver has never returned a challenge.
    Column("verified_at", Moment),
    # The verification message that the receiver must answer before events are sent; null: it has.
    Column("verification_id", BigInteger),
    # Mean duration of successful attempts in milliseconds; null: unknown.
    Column("response_time", Integer),
    CheckConstraint("(failures = 0) = (failing_since IS NULL)", name="failing_since_known"),
    CheckConstraint("deleted_at IS NULL OR NOT is_active", name="deleted_is_inactive"),
    Index("webhook_endpoints_all_events_idx", "id", postgresql_where=text("all_events")),
    Index("webhook_endpoints_inactive_idx", "id", postgresql_where=text("NOT is_active AND deleted_at IS NULL")),
    Index(
        "webhook_endpoints_disabled_idx",
        "id",
        postgresql_where=text("disabled_because IS NOT NULL AND deleted_at IS NULL"),
    ),
    postgresql_with={"fillfactor": "50"},
)

webhook_deliveries: Final = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint_id", BigInteger, ForeignKey(webhook_endpoints.c.id), nullable=False),
    # Null for a ping.
    Column("seq", BigInteger),
    Column("message_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("logged", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("try_at", Moment),
    # End of the lease of the process that sends it now.
    Column("leased_until", Moment),
    Column("created_at", Moment, nullable=False, index=True),
    one_of("status", DeliveryStatus),
    CheckConstraint("(status = 'PENDING') = (try_at IS NOT NULL)", name="pending_is_due"),
    Index("webhook_deliveries_endpoint_id_id_idx", "endpoint_id", "id"),
    # For lists by status: without it, a list of few failed deliveries would scan all others.
    Index("webhook_deliveries_endpoint_id_status_id_idx", "endpoint_id", "status", "id"),
    # For lists of all accounts by status.
    Index("webhook_deliveries_failed_idx", "id", postgresql_where=text("status = 'FAILED'")),
    Index("webhook_deliveries_pending_idx", "id", postgresql_where=text("status = 'PENDING'")),
    Index("webhook_deliveries_due_idx", "endpoint_id", "try_at", postgresql_where=text("status = 'PENDING'")),
    # An endpoint has at most one delivery of an event.
    Index("webhook_deliveries_once_idx", "endpoint_id", "seq", unique=True),
)

webhook_attempts: Final = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", BigInteger, ForeignKey(webhook_deliveries.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    # Milliseconds.
    Column("took", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("answer", Text, nullable=False),
    PrimaryKeyConstraint("delivery_id", "number"),
)
