"""The audit log. It refers to no other table: its entries outlive the things that they are about."""

from typing import Final

from sqlalchemy import BigInteger, Column, Identity, Index, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.metadata import Moment, metadata
from scalecommerce_core.domain.audit import MAX_TARGET_ID
from scalecommerce_core.domain.text import REASON_LENGTH

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("occurred_at", Moment, nullable=False),
    # Null: an operator on the command line.
    Column("actor_id", BigInteger),
    Column("network", String(50), nullable=False),
    Column("action", Text, nullable=False),
    # The part of the action before the dot.
    Column("target_kind", Text, nullable=False),
    Column("target_id", String(MAX_TARGET_ID), nullable=False),
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Column("reason", String(REASON_LENGTH), nullable=False),
    # `domain.audit.reason_words` of the reason.
    Column("words", JSONB, nullable=False),
)
_c = audit_log.c
# Each list is newest first; the conditions of a search are a prefix of one of these, or a filter on it.
Index("audit_log_occurred_at_idx", _c.occurred_at, _c.id)
Index("audit_log_actor_idx", _c.actor_id, _c.occurred_at, _c.id)
Index("audit_log_action_idx", _c.action, _c.occurred_at, _c.id)
Index("audit_log_target_idx", _c.target_kind, _c.target_id, _c.occurred_at, _c.id)
Index("audit_log_words_idx", _c.words, postgresql_using="gin", postgresql_ops={"words": "jsonb_path_ops"})
