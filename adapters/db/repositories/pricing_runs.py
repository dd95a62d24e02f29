"""Runs of pricing policies: facts, policy state, decisions and price changes, read and written in bulk."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, LargeBinary, Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.core.binary_copy import POSTGRES_EPOCH, binary_arrays_statement, decode_int64_array, encode_copy_rows
from adapters.db.core.bulk_statements import Insert, Update, id_array
from adapters.db.core.currencies import minor_per_unit
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import (
    Moment,
    pricing_category_parameters,
    pricing_memory,
    pricing_ranges,
    pricing_runs,
    run_ids,
)
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.ports import Duplicate, ProductAspect
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.breaker import MoveLimit, Moves
from scalecommerce_core.pricing.facts import (
    FACTS,
    MOST_EARLIER,
    MOST_TOTAL,
    NEUTRAL_FACTS,
    Facts,
    PriceIntervals,
    microseconds,
)
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.observation import CategoryParameters, RangeResult
from scalecommerce_core.pricing.policy_scope import PolicyScope
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.promotion_windows import PromotionWindows
from scalecommerce_core.pricing.runs import Range, RangeStatus, Run, RunStatus, Tally, Trigger

# --- facts of products

_IN_SCOPE: Final = """
    FROM products LEFT JOIN pricing_assignments assignment ON assignment.product_id = products.id {more}
    WHERE products.seller_id = %(seller)s AND products.is_active AND NOT coalesce(assignment.is_excluded, false)
      AND CASE WHEN assignment.policy_id IS NOT NULL THEN assignment.policy_id = %(policy)s
               WHEN %(assigned_only)s THEN false
               WHEN %(category)s::integer IS NULL THEN products.category_id <> ALL (%(others)s::integer[])
               ELSE products.category_id = %(category)s END
      AND (%(within)s::integer IS NULL OR products.category_id = %(within)s)
      AND products.id BETWEEN %(first)s AND %(last)s
    ORDER BY products.id
"""
# The id range is repeated for each table, so that the planner merges ordered scans instead of looping over products.
_JOIN_COUNTERS: Final = """
    LEFT JOIN stock ON stock.product_id = products.id AND stock.product_id BETWEEN %(first)s AND %(last)s
    LEFT JOIN product_views ON product_views.product_id = products.id
        AND product_views.product_id BETWEEN %(first)s AND %(last)s
    LEFT JOIN product_sales ON product_sales.product_id = products.id
        AND product_sales.product_id BETWEEN %(first)s AND %(last)s
    LEFT JOIN product_stockouts ON product_stockouts.product_id = products.id
        AND product_stockouts.product_id BETWEEN %(first)s AND %(last)s
    LEFT JOIN price_sales price ON price.product_id = products.id AND price.valid_from = priced_at
        AND price.product_id BETWEEN %(first)s AND %(last)s
"""
# Imported and seeded sales count if the product also has imported or seeded views.
_SOLD: Final = "coalesce({of}.{name} - CASE WHEN past_views > 0 THEN 0 ELSE {of}.past_{name} END, 0)"
# Most products have no imported sales, and each operation on numbers of any size takes its time.
# `least` ignores NULL, so products without sales get their 0 inside of it.
_NET: Final = f"""
    least({MOST_TOTAL}, coalesce(CASE
        WHEN past_views > 0 OR product_sales.past_orders = 0 THEN product_sales.{{sold}} - product_sales.{{returned}}
        ELSE product_sales.{{sold}} - product_sales.{{returned}}
            - product_sales.past_{{sold}} + product_sales.past_{{returned}} END, 0))::bigint
"""
_IDS: Final = binary_arrays_statement(["id"], f"SELECT products.id {_IN_SCOPE.format(more='')}")
_RARE_FACTS: Final = ("stock_until", "competitor", "competitor_at")
"""Facts that few products have."""
_READ_FACTS: Final = tuple(name for name in FACTS if name not in NEUTRAL_FACTS)
# Missing bounds are -1, so that every value has 8 bytes.
_FACTS: Final = binary_arrays_statement(
    (*_READ_FACTS, "with_rare", *_RARE_FACTS),
    f"""
        SELECT products.id, category_id::bigint, products.price, priced_at, created_at,
               coalesce(cost, -1), coalesce(min_price, -1), coalesce(max_price, -1),
               coalesce(on_hand - reserved, 0)::bigint,
               coalesce(product_views.views, 0),
               coalesce(demand_views, 0), {_SOLD.format(of="price", name="orders")},
               {_SOLD.format(of="price", name="units")}, {_SOLD.format(of="price", name="refunded_units")},
               {_NET.format(sold="units", returned="refunded_units")},
               {_NET.format(sold="revenue", returned="refunded_amount")},
               coalesce(microseconds + CASE WHEN since IS NULL THEN 0
                   ELSE greatest(0, (extract(epoch FROM %(now)s::timestamptz - since) * 1000000)::bigint) END, 0),
               {minor_per_unit("products.currency")}, products.id,
               coalesce((extract(epoch FROM stock_until) * 1000000)::bigint, -1), coalesce(competitor_price, -1),
               coalesce((extract(epoch FROM competitor_price_at) * 1000000)::bigint, -1)
        {_IN_SCOPE.format(more=_JOIN_COUNTERS)}
    """,  # noqa: S608 - no values in it
    only=dict.fromkeys(("with_rare", *_RARE_FACTS), "stock_until >= 0 OR competitor >= 0"),
)
_MIN_HOLDS: Final = binary_arrays_statement(
    ["id", "hold"],
    "SELECT id::bigint, min_hold_seconds::bigint * 1000000 FROM categories WHERE min_hold_seconds > 0",
)
# Apart from the facts: promotions are few, and a join would cost as much for each product without one. A promotion
# lasts until its end has restored the former price.
_PROMOTION_WINDOWS: Final = binary_arrays_statement(
    ["product_id", "starts_at", "ends_at"],
    """
        SELECT product_id, starts_at,
               CASE WHEN status = 'running' THEN greatest(ends_at, %(now)s::timestamptz + interval '1 microsecond')
                    ELSE ends_at END
        FROM promoted_products
        WHERE product_id BETWEEN %(first)s AND %(last)s AND status <> 'cancelled' ORDER BY product_id, starts_at
    """,
)
_PRICES: Final = ("product", "valid_from", "price", "is_manual", "is_withdrawn")
_TOTALS: Final = ("views", "orders", "units", "refunded")
_PRICES_IN_WINDOW: Final = """
        SELECT products.id, history.valid_from, history.price,
               (history.cause IN ('manual', 'import', 'rollback', 'withdrawal')
                   AND history.valid_from > created_at)::integer::bigint,
               (history.withdrawn_at IS NOT NULL)::integer::bigint {totals}
        FROM products CROSS JOIN LATERAL (
            (SELECT valid_from, price, cause, withdrawn_at FROM price_history
             WHERE product_id = products.id AND valid_from > %(all_since)s ORDER BY valid_from)
            UNION ALL
            (SELECT valid_from, price, cause, withdrawn_at FROM price_history
             WHERE product_id = products.id AND valid_from <= %(all_since)s ORDER BY valid_from DESC LIMIT %(earlier)s)
        ) history {more}
        WHERE products.id BETWEEN %(first)s AND %(last)s AND priced_at > %(since)s AND priced_at > created_at
        ORDER BY products.id, history.valid_from
"""
_PRICE_WINDOW: Final = binary_arrays_statement(_PRICES, _PRICES_IN_WINDOW.format(totals="", more=""))
# Without a range of ids for the sales: the planner would merge all sales of each product with all of its prices.
_PRICE_INTERVALS: Final = binary_arrays_statement(
    (*_PRICES, *_TOTALS),
    _PRICES_IN_WINDOW.format(
        totals=", coalesce(demand_views, 0), "
        + ", ".join(_SOLD.format(of="sold", name=name) for name in ("orders", "units", "refunded_units")),
        more="""
        LEFT JOIN price_sales sold ON sold.product_id = products.id AND sold.valid_from = history.valid_from
        LEFT JOIN product_views ON product_views.product_id = products.id
            AND product_views.product_id BETWEEN %(first)s AND %(last)s""",
    ),
)

# --- policy state

_BLOCKS: Final = text("SELECT block FROM pricing_memory WHERE policy_id = :policy ORDER BY block")
_POLICY_STATE: Final = "SELECT content FROM pricing_memory WHERE policy_id = %(policy)s AND block = %(block)s"
_SAVE_POLICY_STATE: Final = text(
    """
    INSERT INTO pricing_memory (policy_id, block, content) VALUES (:policy, :block, :content)
    ON CONFLICT (policy_id, block) DO UPDATE SET content = excluded.content
    """
).bindparams(bindparam("content", type_=LargeBinary))
_CATEGORY_PARAMETERS: Final = (
    select(
        pricing_category_parameters.c.category_id,
        pricing_category_parameters.c.name,
        pricing_category_parameters.c.value,
    )
    .where(pricing_category_parameters.c.policy_id == bindparam("policy", type_=BigInteger))
    .order_by(pricing_category_parameters.c.category_id, pricing_category_parameters.c.name)
)
_CATEGORY_PARAMETER_COLUMNS: Final = ("policy_id", "category_id", "name", "value")
_ADD_CATEGORY_PARAMETERS: Final = Insert(pricing_category_parameters, *_CATEGORY_PARAMETER_COLUMNS)
_ADD_CATEGORY_PARAMETERS.statement += " ORDER BY given.category_id, given.name ON CONFLICT DO NOTHING"
_SAVE_CATEGORY_PARAMETERS: Final = Update(pricing_category_parameters, ["policy_id", "category_id", "name"], "value")
_DELETE_POLICY_STATES: Final = tuple(
    text(f"DELETE FROM {table} WHERE policy_id = ANY (CAST(:ids AS bigint[]))")  # noqa: S608 - no values in it
    for table in (pricing_memory.name, pricing_category_parameters.name)
)

# --- runs

_NUMBERS: Final = next_numbers_statement(run_ids)
_TALLY: Final = ("decided", "moves", "large", "total_move", "unpriced", "capped_move")
_ATTRIBUTES: Final = {"learns": "updates_state"}
"""Attributes of `Run` whose columns have another name."""
_RUN: Final = (
    "id", "policy_id", "seller_id", "policy_version", "document", "epoch", "trigger", "started_at", "products",
    "is_shadow", "learns", "within", "is_whole", "status", "finished_at", *_TALLY, "written", "undone", "note",
    "repetitions", "repeated_since", "move_factor", "caps_moves", "edited_by", "approval_until", "reviewed_by",
    "reviewed_at", "ends_as",
)  # fmt: skip
_INSERT_RUN: Final = Insert(pricing_runs, *_RUN)
_UPDATE_RUN: Final = Update(
    pricing_runs, ["id"], "status", "finished_at", *_TALLY, "written", "undone", "note", "repetitions",
    "repeated_since", "move_factor", "caps_moves", "approval_until", "reviewed_by", "reviewed_at", "ends_as",
)  # fmt: skip
RUN: Final = select(*(pricing_runs.c[name] for name in _RUN))
_BY_ID: Final = RUN.where(pricing_runs.c.id == bindparam("id", type_=BigInteger))
_LOCK: Final = _BY_ID.with_for_update(key_share=True)
_LOCK_SHARED: Final = _BY_ID.with_for_update(read=True)
_UNFINISHED: Final = text(
    """
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY seller_id ORDER BY id) AS turn FROM pricing_runs
        WHERE status IN ('DECIDING', 'AWAITING_APPROVAL', 'WRITING', 'ROLLING_BACK')
          AND (status <> 'AWAITING_APPROVAL' OR approval_until <= :now)
          AND (status <> 'DECIDING' OR document ->> 'policy' = ANY (CAST(:known AS text[])))
    ) AS run
    WHERE turn <= :per_seller ORDER BY id LIMIT :limit
    """
).bindparams(bindparam("now", type_=Moment))
_LOCK_LAST: Final = (
    RUN.where(
        pricing_runs.c.id.in_(
            select(pricing_runs.c.id)
            .where(
                pricing_runs.c.policy_id == bindparam("policy", type_=BigInteger),
                pricing_runs.c.is_replaced.is_(False),
            )
            .order_by(pricing_runs.c.id.desc())
            .limit(bindparam("count", type_=BigInteger))
        )
    )
    .order_by(pricing_runs.c.id)
    .with_for_update(key_share=True)
)
_REPLACE: Final = text("UPDATE pricing_runs SET is_replaced = true WHERE id = ANY (CAST(:ids AS bigint[]))")
_ACTIVE_RUN: Final = text(
    """
    SELECT id FROM pricing_runs
    WHERE policy_id = :policy AND status IN ('DECIDING', 'AWAITING_APPROVAL', 'WRITING')
    """
)
_RANGE: Final = (
    "run_id", "number", "block", "first", "last", "products", "status", *_TALLY, "decided_at", "written_at", "written",
    "undone",
)  # fmt: skip
_INSERT_RANGES: Final = Insert(pricing_ranges, *_RANGE)
_UPDATE_RANGE: Final = Update(
    pricing_ranges, ["run_id", "number"], "status", *_TALLY, "decided_at", "written_at", "written", "undone"
)
_RANGES: Final = (
    select(*(pricing_ranges.c[name] for name in _RANGE))
    .where(pricing_ranges.c.run_id == bindparam("run", type_=BigInteger))
    .order_by(pricing_ranges.c.number)
)
_CLAIM: Final = (
    _RANGES.where(pricing_ranges.c.status == bindparam("status", type_=Text)).limit(1).with_for_update(skip_locked=True)
)
# A range writes megabytes of WAL, and its worker would wait twice for the flush. Without the wait, a server crash may
# lose whole transactions of the last half second; their ranges are then processed again. A later transaction that
# depends on a lost one is safe: its own synchronous commit flushes all earlier WAL.
_ASYNCHRONOUS_COMMIT: Final = text("SET LOCAL synchronous_commit = off")
_STAGE_RANGE: Final = text(
    """
    UPDATE pricing_ranges SET head = :head, memory = :memory, groups = :groups
    WHERE run_id = :run_id AND number = :number
    """
).bindparams(bindparam("head", type_=JSONB), bindparam("memory", type_=LargeBinary), bindparam("groups", type_=JSONB))
# Both copy within the server: a state is more than a megabyte.
_SAVE_STAGED_STATE: Final = text(
    """
    INSERT INTO pricing_memory (policy_id, block, content)
    SELECT :policy, block, memory FROM pricing_ranges WHERE run_id = :run AND number = :number
    ON CONFLICT (policy_id, block) DO UPDATE SET content = excluded.content
    """
)
_ADD_STAGED_PARAMETERS: Final = text(
    """
    INSERT INTO pricing_category_parameters (policy_id, category_id, name, value)
    SELECT :policy, CAST(item.category ->> 0 AS integer), given.name, CAST(given.value AS double precision)
    FROM pricing_ranges, jsonb_array_elements(groups) AS item(category),
        jsonb_each_text(item.category -> 1) AS given(name, value)
    WHERE run_id = :run AND number = :number
    ORDER BY 2, 3 ON CONFLICT DO NOTHING
    """
)
_COPY_DECISIONS: Final = (
    "COPY pricing_decisions (run_id, product_id, old_price, new_price, wanted, motive, guardrails, priced_at, inputs)"
    " FROM STDIN (FORMAT binary)"
)
_STAGED_MOVES: Final = binary_arrays_statement(
    ["product", "old", "new", "minor_per_unit"],
    f"""
        SELECT product_id, old_price, new_price, {minor_per_unit("products.currency")}
        FROM pricing_decisions JOIN products ON products.id = product_id
        WHERE run_id = %(run)s AND product_id BETWEEN %(first)s AND %(last)s AND new_price <> old_price
        ORDER BY product_id
    """,  # noqa: S608 - no values in it
)
_LIMIT_MOVES: Final = text(
    f"""
    UPDATE pricing_decisions SET new_price = given.price, guardrails = guardrails | {Guardrail.BREAKER.value}
    FROM unnest(CAST(:ids AS bigint[]), CAST(:prices AS bigint[])) AS given(id, price)
    WHERE run_id = :run AND product_id = given.id AND new_price <> given.price
    """  # noqa: S608 - no values in it
)
_LIMIT_RANGE: Final = text(
    """
    UPDATE pricing_ranges SET head = head || jsonb_build_object('breaker', CAST(:limit AS jsonb))
    WHERE run_id = :run AND number = :number
    """
).bindparams(bindparam("limit", type_=JSONB))
# Locks the rows in id order, then writes prices, price history and events in one statement.
_CHANGE_PRICES: Final = """
    WITH target AS MATERIALIZED (
        SELECT products.id, products.price AS old, {target} AS new
        FROM pricing_decisions decision JOIN products ON products.id = decision.product_id
        WHERE decision.run_id = %(run)s AND decision.product_id BETWEEN %(first)s AND %(last)s
          AND products.id BETWEEN %(first)s AND %(last)s
          AND decision.new_price <> decision.old_price AND decision.outcome = 0
          AND products.price = {expected} AND products.priced_at = {began}
          AND products.priced_at < %(at)s AND products.withdrawn_at IS NULL {more}
        ORDER BY products.id FOR NO KEY UPDATE OF products
    ), moved AS (
        UPDATE products SET price = target.new, priced_at = %(at)s FROM target
        WHERE products.id = target.id AND products.price IS DISTINCT FROM target.new
        RETURNING products.id, seller_id, target.old, products.price, currency
    ), recorded AS (
        INSERT INTO price_history (product_id, valid_from, price, currency, cause)
        SELECT id, %(at)s, price, currency, %(cause)s FROM moved
    ), announced AS (
        INSERT INTO outbox (topic, occurred_at, audience, payload)
        SELECT 'price.changed', %(at)s, ARRAY[seller_id], jsonb_build_object('product_id', id, 'seller_id', seller_id,
               'old', old, 'new', price, 'currency', currency, 'cause', %(cause)s::text)
        FROM moved ORDER BY id
    )
    SELECT array_send(array_agg(id)) FROM moved
"""
# Skips products that, after the decision, were deactivated, excluded, assigned to another policy or given other bounds,
# or whose promotion has begun. Promotions are few: NOT IN reads them once for a range, into a hash table.
_STILL_APPLICABLE: Final = """
          AND products.is_active AND NOT EXISTS (
              SELECT FROM pricing_assignments assignment
              WHERE assignment.product_id = products.id AND assignment.product_id BETWEEN %(first)s AND %(last)s
                AND (assignment.is_excluded OR assignment.policy_id <> %(policy)s)
          ) AND products.id NOT IN (
              SELECT promoted.product_id FROM promoted_products promoted
              WHERE promoted.product_id BETWEEN %(first)s AND %(last)s
                AND promoted.status <> 'cancelled' AND promoted.starts_at <= %(at)s
                AND (%(at)s < promoted.ends_at OR promoted.status = 'running')
          )
          AND (decision.new_price < decision.old_price OR decision.new_price
               <= greatest(coalesce(products.max_price, decision.new_price), ceil(products.cost * %(per_cost)s) + 1))
          AND (decision.new_price > decision.old_price OR decision.new_price
               >= greatest(products.min_price, floor(products.cost * %(per_cost)s) - 1, 0))
"""
_APPLY_PRICES: Final = _CHANGE_PRICES.format(
    target="decision.new_price", expected="decision.old_price", began="decision.priced_at", more=_STILL_APPLICABLE
)
_REVERT_PRICES: Final = _CHANGE_PRICES.format(
    target="decision.old_price", expected="decision.new_price", began="%(began)s", more=""
)
_SET_OUTCOME: Final = text(
    """
    UPDATE pricing_decisions SET outcome = :outcome
    WHERE run_id = :run AND product_id BETWEEN :first AND :last AND new_price <> old_price AND outcome = 0
      AND (product_id = ANY (CAST(:ids AS bigint[]))) = :among
    """
)
_WITHDRAW_PROMISES: Final = text(
    """
    UPDATE price_history SET is_withdrawn = true
    WHERE product_id = ANY (CAST(:ids AS bigint[])) AND valid_from = :began
    """
).bindparams(bindparam("began", type_=Moment))
_PURGEABLE: Final = text(
    """
    SELECT run.id, part.number, part.first, part.last
    FROM pricing_runs run LEFT JOIN pricing_ranges part ON part.run_id = run.id
    -- A UNION, so that each part uses its index.
    WHERE run.id = ANY (ARRAY(
        (SELECT id FROM pricing_runs WHERE is_replaced ORDER BY id LIMIT :limit)
        UNION
        (SELECT id FROM pricing_runs
         WHERE finished_at < :before AND status NOT IN ('DECIDING', 'AWAITING_APPROVAL', 'WRITING', 'ROLLING_BACK')
         ORDER BY id LIMIT :limit)
    ))
    ORDER BY run.id, part.number LIMIT :limit
    FOR NO KEY UPDATE OF run
    """
).bindparams(bindparam("before", type_=Moment))
_DELETE_DECISIONS: Final = text(
    "DELETE FROM pricing_decisions WHERE run_id = :run AND product_id BETWEEN :first AND :last"
)
_DELETE_RANGE: Final = text("DELETE FROM pricing_ranges WHERE run_id = :run AND number = :number")
_DELETE_RUN: Final = text("DELETE FROM pricing_runs WHERE id = :run")


class PostgresRunRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql
        # A range of products about whose promotions both the facts and the price intervals ask. Most have none.
        self._without_promotions = (1, 0)

    def product_ids(self, scope: PolicyScope) -> Whole:
        (ids,) = self._columns(_IDS, _scope_parameters(scope, 0, 2**63 - 1))
        return ids

    def facts(self, scope: PolicyScope, first: ProductId, last: ProductId, now: datetime) -> Facts:
        read = self._columns(_FACTS, {**_scope_parameters(scope, first, last), "now": now})
        columns = dict(zip((*_READ_FACTS, "with_rare", *_RARE_FACTS), read, strict=True))
        row = np.searchsorted(columns["product"], columns.pop("with_rare"))
        for name in _RARE_FACTS:
            rare, columns[name] = columns[name], np.full(len(columns["product"]), NEUTRAL_FACTS[name], dtype=np.int64)
            columns[name][row] = rare
        for moment in ("priced_at", "created_at"):
            columns[moment] += POSTGRES_EPOCH
        columns |= self._promotion_windows(first, last, now).facts(columns["product"], microseconds(now))
        columns["min_hold"] = self._min_holds(columns["category"])
        size = len(columns["product"])
        neutral = {name: value for name, value in NEUTRAL_FACTS.items() if name not in columns}
        return Facts(**columns, **{name: np.full(size, value, dtype=np.int64) for name, value in neutral.items()})

    def _promotion_windows(self, first: ProductId, last: ProductId, now: datetime) -> PromotionWindows:
        least, most = self._without_promotions
        if least <= first and last <= most:
            return PromotionWindows(*(np.empty(0, dtype=np.int64) for _ in range(3)))
        product, starts_at, ends_at = self._columns(_PROMOTION_WINDOWS, {"first": first, "last": last, "now": now})
        if not len(product):
            self._without_promotions = (first, last)
        return PromotionWindows(product, starts_at + POSTGRES_EPOCH, ends_at + POSTGRES_EPOCH)

    def _min_holds(self, category: Whole) -> Whole:
        """The minimum hold of each product's category. Read apart, so that the facts need no further join."""
        found = np.zeros(len(category), dtype=np.int64)
        for id_, hold in zip(*self._columns(_MIN_HOLDS, {}), strict=True):
            found[category == id_] = hold
        return found

    def price_intervals(
        self,
        first: ProductId,
        last: ProductId,
        since: datetime,
        *,
        counted_after: datetime,
        all_since: datetime | None = None,
    ) -> PriceIntervals:
        given: dict[str, Any] = {"first": first, "last": last, "since": since}
        given |= {"all_since": all_since or since, "earlier": 1 if all_since is None else MOST_EARLIER}
        if counted_after > since:
            found = self._intervals(_PRICES, _PRICE_WINDOW, given)
            if not found.have_ended_after(microseconds(counted_after)).any():
                return found
        return self._intervals((*_PRICES, *_TOTALS), _PRICE_INTERVALS, given)

    def _intervals(self, names: Sequence[str], statement: str, given: dict[str, Any]) -> PriceIntervals:
        columns = dict(zip(names, self._columns(statement, given), strict=True))
        product, valid_from = columns["product"], columns["valid_from"] + POSTGRES_EPOCH
        nothing = np.zeros(len(product), dtype=np.int64)
        views, orders, units, refunded = (columns.get(name, nothing) for name in _TOTALS)
        found = PriceIntervals(
            product=product,
            valid_from=valid_from,
            price=columns["price"],
            is_manual=columns["is_manual"] > 0,
            is_withdrawn=columns["is_withdrawn"] > 0,
            is_promoted=self._promotion_windows(given["first"], given["last"], given["since"]).promoted(
                product, valid_from
            ),
            views=views,
            orders=orders,
            units=units,
            refunded=refunded,
        )
        return found if given["earlier"] == 1 else found.rows(found.in_force_after(microseconds(given["since"])))

    def _columns(self, statement: str, parameters: dict[str, object]) -> list[Whole]:
        return [decode_int64_array(column) for column in self._sql.fetch_binary(statement, parameters) or ()]

    # --- policy state

    def blocks(self, policy_id: PolicyId) -> Sequence[int]:
        return [block for (block,) in self._sql.fetch_all(_BLOCKS, {"policy": policy_id})]

    def policy_state(self, policy_id: PolicyId, block: int) -> PolicyState | None:
        found = self._sql.fetch_binary(_POLICY_STATE, {"policy": policy_id, "block": block})
        return None if found is None else PolicyState.from_bytes(found[0])

    def save_policy_state(self, policy_id: PolicyId, block: int, state: PolicyState) -> None:
        self._sql.execute(_SAVE_POLICY_STATE, {"policy": policy_id, "block": block, "content": state.to_bytes()})

    def category_parameters(self, policy_id: PolicyId) -> CategoryParameters:
        found: dict[CategoryId, dict[str, float]] = {}
        for category, name, value in self._sql.fetch_all(_CATEGORY_PARAMETERS, {"policy": policy_id}):
            found.setdefault(CategoryId(category), {})[name] = value
        return found

    def add_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        self._sql.insert(_ADD_CATEGORY_PARAMETERS, _category_parameter_rows(policy_id, groups))

    def save_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        self.add_category_parameters(policy_id, groups)
        self._sql.update(_SAVE_CATEGORY_PARAMETERS, _category_parameter_rows(policy_id, groups))

    def delete_policy_states(self, policy_ids: Collection[PolicyId]) -> None:
        for statement in _DELETE_POLICY_STATES if policy_ids else ():
            self._sql.execute(statement, {"ids": id_array(policy_ids)})

    # --- runs

    def next_ids(self, count: int) -> Sequence[RunId]:
        return [RunId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, run: Run, ranges: Collection[Range]) -> None:
        # The caller has locked the policy. The unique index is the second safeguard.
        if self.active_run(run.policy_id) is not None:
            raise Duplicate("policy")
        self._sql.insert(_INSERT_RUN, [_run_row(run, _RUN)])
        self._sql.insert(_INSERT_RANGES, [_range_row(part, _RANGE) for part in ranges])

    def lock(self, run_id: RunId) -> Run | None:
        return self._run(_LOCK, run_id)

    def lock_shared(self, run_id: RunId) -> Run | None:
        return self._run(_LOCK_SHARED, run_id)

    def _run(self, statement: Any, run_id: RunId) -> Run | None:
        rows = self._sql.fetch_all(statement, {"id": run_id})
        return run_of(rows[0]) if rows else None

    def save(self, run: Run) -> None:
        self._sql.update(_UPDATE_RUN, [_run_row(run, _UPDATE_RUN.columns)])

    def lock_last(self, policy_id: PolicyId, count: int) -> Sequence[Run]:
        return [run_of(row) for row in self._sql.fetch_all(_LOCK_LAST, {"policy": policy_id, "count": count})]

    def replace(self, run_ids: Collection[RunId]) -> None:
        if run_ids:
            self._sql.execute(_REPLACE, {"ids": id_array(run_ids)})

    def unfinished(self, now: datetime, limit: int, known: Collection[str], *, per_seller: int) -> Sequence[RunId]:
        given = {"now": now, "limit": limit, "known": sorted(known), "per_seller": per_seller}
        return [RunId(id_) for (id_,) in self._sql.fetch_all(_UNFINISHED, given)]

    def active_run(self, policy_id: PolicyId) -> RunId | None:
        rows = self._sql.fetch_all(_ACTIVE_RUN, {"policy": policy_id})
        return RunId(rows[0][0]) if rows else None

    def claim_range(self, run_id: RunId, status: RangeStatus) -> Range | None:
        rows = self._sql.fetch_all(_CLAIM, {"run": run_id, "status": status.value})
        if not rows:
            return None
        self._sql.execute(_ASYNCHRONOUS_COMMIT)
        return range_of(rows[0])

    def ranges(self, run_id: RunId) -> Sequence[Range]:
        return [range_of(row) for row in self._sql.fetch_all(_RANGES, {"run": run_id})]

    def save_range(self, part: Range) -> None:
        self._sql.update(_UPDATE_RANGE, [_range_row(part, _UPDATE_RANGE.columns)])

    def stage_decisions(self, part: Range, result: RangeResult) -> None:
        decisions = result.decisions
        if len(decisions):
            inputs = np.frombuffer(b"".join(result.inputs.rows), dtype=f"V{len(result.inputs.rows[0])}")
            columns: list[NDArray[Any]] = [
                np.full(len(decisions), part.run_id, dtype=np.int64), decisions.product, decisions.old, decisions.new,
                decisions.wanted, decisions.motive.astype(np.int32), decisions.guardrails.astype(np.int32),
                result.priced_at - POSTGRES_EPOCH, inputs,
            ]  # fmt: skip
            self._sql.copy_from(_COPY_DECISIONS, encode_copy_rows(columns))
        groups = [[category, dict(values)] for category, values in result.category_parameters.items()]
        staged = {"head": dict(result.inputs.head), "memory": result.policy_state.to_bytes(), "groups": groups}
        self._sql.execute(_STAGE_RANGE, {"run_id": part.run_id, "number": part.number, **staged})
        self.save_range(part)

    def save_staged_state(self, run: Run, part: Range) -> None:
        given = {"policy": run.policy_id, "run": part.run_id, "number": part.number}
        self._sql.execute(_SAVE_STAGED_STATE, given)
        self._sql.execute(_ADD_STAGED_PARAMETERS, given)

    def staged_moves(self, part: Range) -> Moves:
        return Moves(*self._columns(_STAGED_MOVES, {"run": part.run_id, "first": part.first, "last": part.last}))

    def limit_moves(self, part: Range, moves: Moves, limit: MoveLimit) -> None:
        given = {"ids": id_array(moves.product.tolist()), "prices": id_array(moves.new.tolist())}
        self._sql.execute(_LIMIT_MOVES, {"run": part.run_id, **given})
        self._sql.execute(_LIMIT_RANGE, {"run": part.run_id, "number": part.number, "limit": limit.document()})

    def apply_prices(self, run: Run, part: Range, at: datetime) -> Whole:
        given = {"policy": run.policy_id, "per_cost": run.min_price_per_cost}
        moved = self._change_prices(_APPLY_PRICES, part, {"at": at, "cause": "policy", **given})
        if len(moved) < part.tally.moves:
            self._set_outcome(part, 1, moved, among_them=False)
        part.written = len(moved)
        self.save_range(part)
        return moved

    def revert_prices(self, run: Run, part: Range, at: datetime) -> int:
        del run
        moved = np.empty(0, dtype=np.int64)
        if part.written_at is not None:
            moved = self._change_prices(_REVERT_PRICES, part, {"at": at, "cause": "rollback", "began": part.written_at})
            self._set_outcome(part, 2, moved, among_them=True)
            self._sql.execute(_WITHDRAW_PROMISES, {"ids": id_array(moved.tolist()), "began": part.written_at})
        part.undone = len(moved)
        self.save_range(part)
        return len(moved)

    def _change_prices(self, statement: str, part: Range, parameters: dict[str, object]) -> Whole:
        within = {"run": part.run_id, "first": part.first, "last": part.last}
        (moved,) = self._columns(statement, {**within, **parameters})
        self._sql.pending_changes.products.update(moved.tolist())
        if len(moved):
            self._sql.pending_changes.add_aspect_of_any(ProductAspect.PRICE)
        return np.sort(moved)

    def _set_outcome(self, part: Range, outcome: int, ids: Whole, *, among_them: bool) -> None:
        within = {"run": part.run_id, "first": part.first, "last": part.last}
        self._sql.execute(
            _SET_OUTCOME, {**within, "outcome": outcome, "ids": id_array(ids.tolist()), "among": among_them}
        )

    def purge(self, before: datetime, limit: int) -> int:
        rows = self._sql.fetch_all(_PURGEABLE, {"before": before, "limit": limit})
        for run_id, number, first, last in rows:
            if number is None:
                self._sql.execute(_DELETE_RUN, {"run": run_id})
            else:
                self._sql.execute(_DELETE_DECISIONS, {"run": run_id, "first": first, "last": last})
                self._sql.execute(_DELETE_RANGE, {"run": run_id, "number": number})
        return len(rows)


def _scope_parameters(scope: PolicyScope, first: int, last: int) -> dict[str, object]:
    return {
        "seller": scope.seller_id,
        "policy": scope.policy_id,
        "assigned_only": scope.assigned_only,
        "category": scope.category_id,
        "others": sorted(scope.other_categories),
        "within": scope.within,
        "first": first,
        "last": last,
    }


def _category_parameter_rows(policy_id: PolicyId, groups: CategoryParameters) -> list[tuple[Any, ...]]:
    return [(policy_id, category, name, value) for category, values in groups.items() for name, value in values.items()]


def _run_row(run: Run, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(run.tally if name in _TALLY else run, _ATTRIBUTES.get(name, name)) for name in columns)


def _range_row(part: Range, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(part.tally if name in _TALLY else part, name) for name in columns)


def run_of(row: Sequence[Any]) -> Run:
    facts = {_ATTRIBUTES.get(name, name): value for name, value in zip(_RUN, row, strict=True)}
    tally = Tally(*(facts.pop(name) for name in _TALLY))
    return Run(
        **{
            **facts,
            "id": RunId(facts["id"]),
            "seller_id": AccountId(facts["seller_id"]),
            "trigger": Trigger(facts["trigger"]),
            "status": RunStatus(facts["status"]),
            "ends_as": RunStatus(facts["ends_as"]),
        },
        tally=tally,
    )


def range_of(row: Sequence[Any]) -> Range:
    facts = dict(zip(_RANGE, row, strict=True))
    tally = Tally(*(facts.pop(name) for name in _TALLY))
    return Range(**{**facts, "status": RangeStatus(facts["status"])}, tally=tally)
