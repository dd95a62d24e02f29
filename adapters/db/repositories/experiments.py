"""Pricing experiments, the arms of their products, and the sales that they compare."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, Select, bindparam, select, text

from adapters.db.core.binary_copy import POSTGRES_EPOCH, binary_arrays_statement, decode_int64_array
from adapters.db.core.bulk_statements import Insert, Update, equals_any, id_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import Moment, experiment_ids, pricing_experiments
from scalecommerce_core.domain.identifiers import ExperimentId, PolicyId, ProductId
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.experiments.experiment import ExperimentKind, PricingExperiment
from scalecommerce_core.pricing.experiments.measuring import ExperimentProducts, PeriodSales
from scalecommerce_core.pricing.experiments.results import ExperimentResult

_NUMBERS: Final = next_numbers_statement(experiment_ids)
_COLUMNS: Final = (
    "id", "policy_id", "seller_id", "policy_version", "started_at", "epoch_seconds", "fee", "seed", "kind", "share",
    "weeks", "period_epochs", "burn_in_epochs", "ended_at", "note", "measured_at", "result",
)  # fmt: skip
_INSERT: Final = Insert(pricing_experiments, *_COLUMNS)
_UPDATE: Final = Update(pricing_experiments, ["id"], "ended_at", "note", "measured_at", "result")
_c = pricing_experiments.c
EXPERIMENT: Final = select(*(_c[name] for name in _COLUMNS))
_LOCK: Final = EXPERIMENT.where(equals_any(_c.id)).order_by(_c.id).with_for_update(key_share=True)
_OPEN: Final = EXPERIMENT.where(equals_any(_c.policy_id), _c.ended_at.is_(None)).order_by(_c.id)
_LOCK_OPEN: Final = _OPEN.with_for_update(key_share=True)
_TO_MEASURE: Final = text(
    """
    SELECT id FROM pricing_experiments
    WHERE (ended_at IS NULL OR measured_at IS NULL) AND (measured_at IS NULL OR measured_at < :moment)
    ORDER BY id LIMIT :limit
    """
).bindparams(bindparam("moment", type_=Moment), bindparam("limit", type_=BigInteger))
_ADD_PRODUCTS: Final = text(
    """
    INSERT INTO pricing_experiment_products (experiment_id, product_id, is_held_out)
    SELECT :experiment, given.product_id, given.is_held_out <> 0
    FROM unnest(CAST(:ids AS bigint[]), CAST(:held AS bigint[])) AS given(product_id, is_held_out)
    ORDER BY given.product_id ON CONFLICT DO NOTHING
    """
)
_ARMS: Final = binary_arrays_statement(
    ["product", "held"],
    """
        SELECT product_id, is_held_out::integer::bigint FROM pricing_experiment_products
        WHERE experiment_id = %(experiment)s AND product_id BETWEEN %(first)s AND %(last)s ORDER BY product_id
    """,
)
# A currency is the number that its three letters are in base 256.
_FACTS: Final = """
    category_id::bigint,
    (ascii(currency) * 65536 + ascii(substr(currency, 2)) * 256 + ascii(substr(currency, 3)))::bigint,
    coalesce(cost, -1), created_at
"""
_FACT_COLUMNS: Final = ("product", "held", "category", "currency", "cost", "created_at")
_PRODUCTS: Final = binary_arrays_statement(
    _FACT_COLUMNS,
    f"""
        SELECT products.id, member.is_held_out::integer::bigint, {_FACTS}
        FROM (
            SELECT product_id, is_held_out FROM pricing_experiment_products
            WHERE experiment_id = %(experiment)s AND product_id > %(after)s ORDER BY product_id LIMIT %(limit)s
        ) AS member JOIN products ON products.id = member.product_id
        ORDER BY products.id
    """,  # noqa: S608 - no values in it
)
_DESCRIBED: Final = binary_arrays_statement(
    _FACT_COLUMNS,
    f"SELECT id, 0::bigint, {_FACTS} FROM products WHERE id = ANY (%(ids)s::bigint[]) ORDER BY id",  # noqa: S608 - no values in it
)
_SALES: Final = binary_arrays_statement(
    ["product", "period", "units", "revenue"],
    """
        SELECT product_id, width_bucket(hour, %(edges)s::timestamptz[])::bigint - 1,
               sum(units - refunded_units)::bigint, sum(revenue - refunded_amount)::bigint
        FROM product_hours
        WHERE product_id = ANY (%(ids)s::bigint[]) AND hour >= %(since)s AND hour < %(until)s
        GROUP BY 1, 2 ORDER BY 1, 2
    """,
)

_OWN_PRICES: Final = binary_arrays_statement(
    ["product", "price"],
    """
        SELECT id, coalesce((
            SELECT history.price FROM price_history history
            WHERE history.product_id = products.id AND cause IN ('listed', 'manual', 'import', 'withdrawal')
              AND withdrawn_at IS NULL
            ORDER BY valid_from DESC LIMIT 1
        ), price)
        FROM products WHERE id = ANY (%(ids)s::bigint[]) ORDER BY id
    """,
)


class PostgresExperimentRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[ExperimentId]:
        return [ExperimentId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, experiments: Collection[PricingExperiment]) -> None:
        # The caller has locked the policy. The unique index is the second safeguard.
        if self._read(_OPEN, {experiment.policy_id for experiment in experiments}):
            raise Duplicate("policy")
        self._sql.insert(_INSERT, [_row(experiment, _COLUMNS) for experiment in experiments])

    def lock(self, ids: Collection[ExperimentId]) -> Mapping[ExperimentId, PricingExperiment]:
        return {each.id: each for each in self._read(_LOCK, ids)}

    def lock_open(self, policy_ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingExperiment]:
        return {each.policy_id: each for each in self._read(_LOCK_OPEN, policy_ids)}

    def save(self, experiments: Collection[PricingExperiment]) -> None:
        self._sql.update(_UPDATE, [_row(experiment, _UPDATE.columns) for experiment in experiments])

    def unended(self, policy_id: PolicyId) -> PricingExperiment | None:
        return next(iter(self._read(_OPEN, [policy_id])), None)

    def _read(self, statement: Select[Any], ids: Collection[int]) -> list[PricingExperiment]:
        rows = self._sql.fetch_all(statement, {"ids": id_array(ids)}) if ids else []
        return [experiment_of(row) for row in rows]

    def measured_before(self, moment: datetime, limit: int) -> Sequence[ExperimentId]:
        return [ExperimentId(id_) for (id_,) in self._sql.fetch_all(_TO_MEASURE, {"moment": moment, "limit": limit})]

    def add_products(self, experiment_id: ExperimentId, products: Whole, is_held_out: Flags) -> None:
        if len(products):
            given = {"ids": id_array(products.tolist()), "held": id_array(is_held_out.astype(np.int64).tolist())}
            self._sql.execute(_ADD_PRODUCTS, {"experiment": experiment_id, **given})

    def arms(self, experiment_id: ExperimentId, first: ProductId, last: ProductId) -> tuple[Whole, Flags]:
        products, held = self._columns(_ARMS, {"experiment": experiment_id, "first": first, "last": last})
        return products, held > 0

    def products(self, experiment_id: ExperimentId, after: ProductId, limit: int) -> ExperimentProducts:
        return self._products(_PRODUCTS, {"experiment": experiment_id, "after": after, "limit": limit})

    def described(self, products: Whole) -> ExperimentProducts:
        return self._products(_DESCRIBED, {"ids": id_array(products.tolist())})

    def _products(self, statement: str, parameters: dict[str, object]) -> ExperimentProducts:
        product, held, category, currency, cost, created_at = self._columns(statement, parameters)
        return ExperimentProducts(product, held > 0, category, currency, cost, created_at + POSTGRES_EPOCH)

    def sales(self, products: Whole, edges: Sequence[datetime]) -> PeriodSales:
        given = {"ids": id_array(products.tolist()), "edges": list(edges), "since": edges[0], "until": edges[-1]}
        return PeriodSales(*self._columns(_SALES, given))

    def own_prices(self, products: Whole) -> Whole:
        _, price = self._columns(_OWN_PRICES, {"ids": id_array(products.tolist())})
        return price

    def _columns(self, statement: str, parameters: dict[str, object]) -> list[Whole]:
        return [decode_int64_array(column) for column in self._sql.fetch_binary(statement, parameters) or ()]


def _row(experiment: PricingExperiment, columns: Sequence[str]) -> tuple[Any, ...]:
    changed: dict[str, Any] = {
        "epoch_seconds": experiment.epoch.total_seconds(),
        "kind": experiment.kind.value,
        "result": None if experiment.result is None else experiment.result.document(),
    }
    return tuple(changed[name] if name in changed else getattr(experiment, name) for name in columns)


def experiment_of(row: Sequence[Any]) -> PricingExperiment:
    facts = dict(zip(_COLUMNS, row, strict=True))
    result = facts["result"]
    return PricingExperiment.from_stored(
        **facts
        | {
            "kind": ExperimentKind(facts["kind"]),
            "result": None if result is None else ExperimentResult.from_document(result),
        }
    )
