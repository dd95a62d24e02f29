"""Pricing policies, their schedules, assignments of products, and the switch that stops all pricing."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Select, bindparam, select, text

from adapters.db.core.bulk_statements import Insert, Update, Upsert, equals_any, id_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import Moment, policy_ids, pricing_assignments, pricing_policies, pricing_schedules
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import Assignment, Schedule

_EDITABLE: Final = ("category_id", "name", "is_active", "version", "document", "edited_by")
_COLUMNS: Final = ("id", "seller_id", "created_at", *_EDITABLE)
_NUMBERS: Final = next_numbers_statement(policy_ids)
_INSERT: Final = Insert(pricing_policies, *_COLUMNS)
_UPDATE: Final = Update(pricing_policies, ["id"], *_EDITABLE)
POLICY: Final = select(
    pricing_policies.c.id,
    pricing_policies.c.seller_id,
    pricing_policies.c.created_at,
    pricing_policies.c.version,
    pricing_policies.c.document,
    pricing_policies.c.edited_by,
)
_GET_MANY: Final = POLICY.where(equals_any(pricing_policies.c.id)).order_by(pricing_policies.c.id)
_LOCK: Final = _GET_MANY.with_for_update(key_share=True)
_OF_SELLERS: Final = POLICY.where(equals_any(pricing_policies.c.seller_id)).order_by(pricing_policies.c.id)

_SCHEDULE: Final = ("policy_id", "ends_at", "epoch", "is_done", "pooled_in")
_INSERT_SCHEDULES: Final = Insert(pricing_schedules, *_SCHEDULE)
_UPDATE_SCHEDULES: Final = Update(pricing_schedules, ["policy_id"], *_SCHEDULE[1:])
_LOCK_SCHEDULES: Final = (
    select(*(pricing_schedules.c[name] for name in _SCHEDULE))
    .where(equals_any(pricing_schedules.c.policy_id))
    .order_by(pricing_schedules.c.policy_id)
    .with_for_update(key_share=True)
)
DUE_POLICIES: Final = """
    pricing_policies AS policy JOIN pricing_schedules AS schedule ON schedule.policy_id = policy.id
    JOIN accounts ON accounts.id = policy.seller_id AND accounts.is_active
        AND policy.is_active AND (schedule.ends_at <= {now} OR NOT schedule.is_done)
        AND policy.id NOT IN (
            SELECT policy_id FROM pricing_runs WHERE status IN ('DECIDING', 'AWAITING_APPROVAL', 'WRITING')
        )
        -- The first run (epoch -1) waits until imported and seeded sales are in the statistics.
        AND (schedule.epoch >= 0 OR NOT EXISTS (SELECT FROM statistics_pending))
"""
"""The policies that can begin a run: an item of a FROM clause with the aliases `policy` and `schedule`; `{now}` is the
SQL of the time. Callers must also check that pricing is not stopped and that the strategy is registered."""
_DUE: Final = text(
    f"""
    WITH busy AS MATERIALIZED (
        SELECT seller_id, count(*) AS runs FROM pricing_runs WHERE status IN ('DECIDING', 'WRITING') GROUP BY seller_id
    ), due AS (
        SELECT policy.id, schedule.ends_at, coalesce(busy.runs, 0) + row_number() OVER (
            PARTITION BY policy.seller_id ORDER BY schedule.ends_at, policy.id
        ) AS turn
        FROM {DUE_POLICIES.format(now=":now")}
        LEFT JOIN busy ON busy.seller_id = policy.seller_id
        WHERE policy.document ->> 'policy' = ANY (CAST(:known AS text[]))
    )
    SELECT id FROM due WHERE turn <= :per_seller ORDER BY turn, ends_at, id LIMIT :limit
    """  # noqa: S608 - constants
).bindparams(
    bindparam("now", type_=Moment), bindparam("limit", type_=BigInteger), bindparam("per_seller", type_=BigInteger)
)
_UNKNOWN_STRATEGY: Final = (
    POLICY.where(
        pricing_policies.c.is_active,
        text("document ->> 'policy' <> ALL (CAST(:known AS text[]))"),
    )
    .order_by(pricing_policies.c.id)
    .limit(bindparam("limit", type_=BigInteger))
)
_REMOVE: Final = tuple(
    text(statement)
    for statement in (
        "UPDATE pricing_assignments SET policy_id = NULL WHERE policy_id = ANY (CAST(:ids AS bigint[]))",
        "DELETE FROM pricing_memory WHERE policy_id = ANY (CAST(:ids AS bigint[]))",
        "DELETE FROM pricing_category_parameters WHERE policy_id = ANY (CAST(:ids AS bigint[]))",
        "DELETE FROM pricing_schedules WHERE policy_id = ANY (CAST(:ids AS bigint[]))",
        "DELETE FROM pricing_policies WHERE id = ANY (CAST(:ids AS bigint[]))",
    )
)
_ASSIGN: Final = Upsert(pricing_assignments, ["product_id"], "policy_id")
_EXCLUDE: Final = Upsert(pricing_assignments, ["product_id"], "is_excluded")
_ASSIGNMENTS: Final = select(
    pricing_assignments.c.product_id, pricing_assignments.c.policy_id, pricing_assignments.c.is_excluded
).where(
    equals_any(pricing_assignments.c.product_id),
    pricing_assignments.c.policy_id.is_not(None) | pricing_assignments.c.is_excluded,
)
_STOP_ROWS: Final = text("SELECT name FROM pricing_stops")
_STOP: Final = text("INSERT INTO pricing_stops (name) VALUES ('everything') ON CONFLICT DO NOTHING")
_RESUME: Final = text("DELETE FROM pricing_stops")


class PostgresPolicyRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[PolicyId]:
        return [PolicyId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, policies: Collection[PricingPolicy]) -> None:
        self._sql.insert(_INSERT, [(p.id, p.seller_id, p.created_at, *_editable_columns(p)) for p in policies])
        self._sql.insert(_INSERT_SCHEDULES, [_schedule_row(Schedule(p.id, p.created_at)) for p in policies])

    def save(self, policies: Collection[PricingPolicy]) -> None:
        self._sql.update(_UPDATE, [(policy.id, *_editable_columns(policy)) for policy in policies])

    def lock(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        return self._read(_LOCK, ids)

    def get_many(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        return self._read(_GET_MANY, ids)

    def _read(self, statement: Select[Any], ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        rows = self._sql.fetch_all(statement, {"ids": id_array(ids)}) if ids else []
        return {policy.id: policy for policy in map(policy_of, rows)}

    def remove(self, ids: Collection[PolicyId]) -> None:
        for statement in _REMOVE if ids else ():
            self._sql.execute(statement, {"ids": id_array(ids)})

    def of_sellers(self, sellers: Collection[AccountId]) -> Sequence[PricingPolicy]:
        return [policy_of(row) for row in self._sql.fetch_all(_OF_SELLERS, {"ids": id_array(sellers)})]

    def lock_schedules(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, Schedule]:
        rows = self._sql.fetch_all(_LOCK_SCHEDULES, {"ids": id_array(ids)}) if ids else []
        return {row[0]: Schedule(*row) for row in rows}

    def save_schedules(self, schedules: Collection[Schedule]) -> None:
        self._sql.update(_UPDATE_SCHEDULES, [_schedule_row(schedule) for schedule in schedules])

    def due(self, now: datetime, limit: int, known: Collection[str], *, per_seller: int) -> Sequence[PolicyId]:
        given = {"now": now, "limit": limit, "known": sorted(known), "per_seller": per_seller}
        return [PolicyId(id_) for (id_,) in self._sql.fetch_all(_DUE, given)]

    def active_with_unknown_strategy(self, known: Collection[str], limit: int) -> Sequence[PricingPolicy]:
        return [
            policy_of(row) for row in self._sql.fetch_all(_UNKNOWN_STRATEGY, {"known": sorted(known), "limit": limit})
        ]

    def assign(self, choices: Mapping[ProductId, PolicyId | None]) -> None:
        self._sql.upsert(_ASSIGN, list(choices.items()))

    def exclude(self, choices: Mapping[ProductId, bool]) -> None:
        self._sql.upsert(_EXCLUDE, list(choices.items()))

    def assignments(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Assignment]:
        rows = self._sql.fetch_all(_ASSIGNMENTS, {"ids": id_array(product_ids)})
        return {row[0]: Assignment(*row) for row in rows}

    def is_stopped(self) -> bool:
        return bool(self._sql.fetch_all(_STOP_ROWS))

    def stop(self, stopped: bool) -> None:
        self._sql.execute(_STOP if stopped else _RESUME)


def _editable_columns(policy: PricingPolicy) -> tuple[Any, ...]:
    return policy.category_id, policy.name, policy.is_active, policy.version, policy.document(), policy.edited_by


def _schedule_row(schedule: Schedule) -> tuple[Any, ...]:
    return tuple(getattr(schedule, name) for name in _SCHEDULE)


def policy_of(row: Sequence[Any]) -> PricingPolicy:
    id_, seller_id, created_at, version, document, edited_by = row
    policy = PricingPolicy.from_stored(
        document, id=PolicyId(id_), seller_id=AccountId(seller_id), created_at=created_at, version=version
    )
    policy.edited_by = None if edited_by is None else AccountId(edited_by)
    return policy
