"""Pricing policies, runs and decisions."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.accounts import accounts
from adapters.db.schema.catalog import categories, products
from adapters.db.schema.metadata import Moment, metadata, one_of
from scalecommerce_core.domain.text import NAME_LENGTH
from scalecommerce_core.pricing.experiments.experiment import ExperimentKind
from scalecommerce_core.pricing.runs import RangeStatus, RunStatus, Trigger

policy_ids: Final = Sequence("policy_ids", metadata=metadata)
run_ids: Final = Sequence("run_ids", metadata=metadata)
experiment_ids: Final = Sequence("experiment_ids", metadata=metadata)


pricing_policies: Final = Table(
    "pricing_policies",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("category_id", Integer, ForeignKey(categories.c.id)),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    # The complete policy as in `PricingPolicy.document`, including the columns above.
    Column("document", JSONB, nullable=False),
    Column("edited_by", BigInteger),
)

# The epochs of a policy, in a table of their own so that runs and edits by the seller do not update the same row.
pricing_schedules: Final = Table(
    "pricing_schedules",
    metadata,
    Column("policy_id", BigInteger, ForeignKey(pricing_policies.c.id), primary_key=True, autoincrement=False),
    Column("ends_at", Moment, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("pooled_in", Integer, nullable=False),
)

pricing_assignments: Final = Table(
    "pricing_assignments",
    metadata,
    Column("product_id", BigInteger, ForeignKey(products.c.id), primary_key=True, autoincrement=False),
    Column("policy_id", BigInteger, ForeignKey(pricing_policies.c.id), index=True),
    Column("is_excluded", Boolean, nullable=False, server_default=text("false")),
)

# All pricing is stopped while there is a row.
pricing_stops: Final = Table(
    "pricing_stops",
    metadata,
    Column("name", Text, primary_key=True),
)

# The policy state of some thousand products, stored by column: see `pricing.policy_state`.
pricing_memory: Final = Table(
    "pricing_memory",
    metadata,
    Column("policy_id", BigInteger, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("policy_id", "block"),
)

pricing_category_parameters: Final = Table(
    "pricing_category_parameters",
    metadata,
    Column("policy_id", BigInteger, nullable=False),
    Column("category_id", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Double, nullable=False),
    PrimaryKeyConstraint("policy_id", "category_id", "name"),
)

pricing_runs: Final = Table(
    "pricing_runs",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("policy_id", BigInteger, nullable=False),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("policy_version", Integer, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("products", BigInteger, nullable=False),
    Column("is_shadow", Boolean, nullable=False),
    Column("learns", Boolean, nullable=False),
    Column("within", Integer),
    Column("is_whole", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("finished_at", Moment),
    Column("decided", BigInteger, nullable=False),
    Column("moves", BigInteger, nullable=False),
    Column("large", BigInteger, nullable=False),
    Column("total_move", Double, nullable=False),
    Column("unpriced", BigInteger, nullable=False, server_default=text("0")),
    Column("written", BigInteger, nullable=False),
    Column("undone", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    # Earlier runs with the same result and without effect, which this run replaced.
    Column("repetitions", BigInteger, nullable=False, server_default=text("0")),
    Column("repeated_since", Moment),
    Column("is_replaced", Boolean, nullable=False, server_default=text("false")),
    Column("capped_move", Double, nullable=False, server_default=text("0")),
    # How the circuit breaker reduced the changes.
    Column("move_factor", Double, nullable=False, server_default=text("1")),
    Column("caps_moves", Boolean, nullable=False, server_default=text("false")),
    # The approval of a run by a second person: numbers of accounts without foreign keys, as in the decisions.
    Column("edited_by", BigInteger),
    Column("approval_until", Moment),
    Column("reviewed_by", BigInteger),
    Column("reviewed_at", Moment),
    Column("ends_as", Text, nullable=False, server_default=text("'DONE'")),
    one_of("status", RunStatus),
    one_of("trigger", Trigger),
    Index("pricing_runs_policy_id_id_idx", "policy_id", "id"),
    Index("pricing_runs_replaced_idx", "id", postgresql_where=text("is_replaced")),
)
# A policy has at most one run that decides or writes.
Index(
    "pricing_runs_at_work_idx",
    pricing_runs.c.policy_id,
    unique=True,
    postgresql_where=text("status IN ('DECIDING', 'AWAITING_APPROVAL', 'WRITING')"),
)
Index(
    "pricing_runs_unfinished_idx",
    pricing_runs.c.id,
    postgresql_where=text("status IN ('DECIDING', 'AWAITING_APPROVAL', 'WRITING', 'ROLLING_BACK')"),
)

pricing_ranges: Final = Table(
    "pricing_ranges",
    metadata,
    Column("run_id", BigInteger, ForeignKey(pricing_runs.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("products", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("decided", BigInteger, nullable=False),
    Column("moves", BigInteger, nullable=False),
    Column("large", BigInteger, nullable=False),
    Column("total_move", Double, nullable=False),
    Column("unpriced", BigInteger, nullable=False, server_default=text("0")),
    Column("decided_at", Moment),
    Column("written_at", Moment),
    Column("written", Integer, nullable=False),
    Column("undone", Integer, nullable=False),
    # The shared part of the inputs of its decisions: see `pricing.replay`.
    Column("head", JSONB),
    # The policy state and category parameters to store once the range is written.
    Column("memory", LargeBinary),
    Column("groups", JSONB),
    Column("capped_move", Double, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("run_id", "number"),
    one_of("status", RangeStatus),
    postgresql_with={"fillfactor": "50"},
)

# The log of decisions: one row for each product and run, written in bulk and therefore without foreign keys.
# `outcome`: 0 unless 1 (superseded: the price had changed meanwhile) or 2 (rolled back).
pricing_decisions: Final = Table(
    "pricing_decisions",
    metadata,
    Column("run_id", BigInteger, nullable=False),
    Column("product_id", BigInteger, nullable=False),
    Column("old_price", BigInteger, nullable=False),
    Column("new_price", BigInteger, nullable=False),
    Column("wanted", Double, nullable=False),
    Column("motive", Integer, nullable=False),
    Column("guardrails", Integer, nullable=False),
    Column("priced_at", Moment, nullable=False),
    Column("inputs", LargeBinary, nullable=False),
    Column("outcome", SmallInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("run_id", "product_id"),
)

# Experiments outlive their policies, so `policy_id` is no foreign key. `result` is `ExperimentResult.document`.
pricing_experiments: Final = Table(
    "pricing_experiments",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("policy_id", BigInteger, nullable=False),
    Column("seller_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("policy_version", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("epoch_seconds", Double, nullable=False),
    Column("fee", Double, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("share", Double, nullable=False),
    Column("weeks", Integer, nullable=False),
    Column("period_epochs", Integer, nullable=False),
    Column("burn_in_epochs", Integer, nullable=False),
    Column("ended_at", Moment),
    Column("note", Text, nullable=False),
    Column("measured_at", Moment),
    Column("result", JSONB),
    one_of("kind", ExperimentKind),
    Index("pricing_experiments_policy_id_id_idx", "policy_id", "id"),
)
# A policy has at most one experiment that is not ended.
Index(
    "pricing_experiments_open_idx",
    pricing_experiments.c.policy_id,
    unique=True,
    postgresql_where=text("ended_at IS NULL"),
)
# Experiments to be measured: those that are not ended, and those that were not measured since their end.
Index(
    "pricing_experiments_to_measure_idx",
    pricing_experiments.c.id,
    postgresql_where=text("ended_at IS NULL OR measured_at IS NULL"),
)

# The arms of products, written in bulk and therefore without foreign keys. Rows never change.
pricing_experiment_products: Final = Table(
    "pricing_experiment_products",
    metadata,
    Column("experiment_id", BigInteger, nullable=False),
    Column("product_id", BigInteger, nullable=False),
    Column("is_held_out", Boolean, nullable=False),
    PrimaryKeyConstraint("experiment_id", "product_id"),
)
