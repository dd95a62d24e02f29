"""Pricing queries: policies, runs, and the log of decisions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, Text, bindparam, func, select, text

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.repositories.policies import POLICY, policy_of
from adapters.db.repositories.pricing_runs import RUN, run_of
from adapters.db.schema import (
    Moment,
    price_history,
    pricing_decisions,
    pricing_policies,
    pricing_ranges,
    pricing_runs,
    products,
)
from scalecommerce_core.domain.currencies import MINOR_PER_UNIT
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.rollups import FIGURES
from scalecommerce_core.pricing.decisions import Decisions
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import Inputs
from scalecommerce_core.pricing.runs import DecisionOutcome, Run, RunStatus, StoredDecision
from scalecommerce_core.queries import MAX_STEPS, Page, PageRequest, PriceStep, SalesFigures

SUPERSEDED: Final = 1
"""The value of the column `outcome` of a decision whose price was not written."""
_OWNER: Final = bindparam("owner", type_=BigInteger)
_POLICY_ID: Final = bindparam("policy", type_=BigInteger)
_POLICIES_BY_ID: Final = Keyset((pricing_policies.c.id,))
_POLICIES: Final = {
    owned: page_statements(
        lambda request, owned=owned: _POLICIES_BY_ID.page_statement(  # type: ignore[misc]  # the default binds the loop variable
            POLICY.where(pricing_policies.c.seller_id == _OWNER) if owned else POLICY, request
        )
    )
    for owned in (False, True)
}
_ONE_POLICY: Final = POLICY.where(pricing_policies.c.id == _POLICY_ID)


def _runs(*, owned: bool, of_policy: bool, with_status: bool) -> Any:
    statement = RUN.where(pricing_runs.c.is_replaced.is_(False))
    if owned:
        statement = statement.where(pricing_runs.c.seller_id == _OWNER)
    if of_policy:
        statement = statement.where(pricing_runs.c.policy_id == _POLICY_ID)
    if with_status:
        statement = statement.where(pricing_runs.c.status == bindparam("status", type_=Text))
    return statement


_NEWEST: Final = Keyset((pricing_runs.c.id,), descending=True)
_RUNS: Final = {
    chosen: page_statements(
        lambda request, chosen=chosen: _NEWEST.page_statement(  # type: ignore[misc]  # the default binds the loop variable
            _runs(owned=chosen[0], of_policy=chosen[1], with_status=chosen[2]), request
        )
    )
    for chosen in product((False, True), repeat=3)
}
_RUN_ID: Final = bindparam("run", type_=BigInteger)
_ONE_RUN: Final = RUN.where(pricing_runs.c.id == _RUN_ID)

_d, _r = pricing_decisions.c, pricing_ranges.c
_DECISION: Final = (
    select(
        _d.run_id, _d.product_id, _d.old_price, _d.new_price, _d.wanted, _d.motive, _d.guardrails, _d.inputs,
        _d.outcome, _r.head, _r.decided_at, _r.written_at, products.c.currency,
    )
    .join(pricing_ranges, (_r.run_id == _d.run_id) & _d.product_id.between(_r.first, _r.last))
    .join(products, products.c.id == _d.product_id)
)  # fmt: skip
# When the next price replaced the price that a decision set.
_REPLACED_AT: Final = (
    select(func.min(price_history.c.valid_from))
    .where(
        price_history.c.product_id == _d.product_id,
        price_history.c.valid_from > _r.written_at,
        _d.new_price != _d.old_price,
    )
    .scalar_subquery()
)
_WITH_END: Final = _DECISION.add_columns(_REPLACED_AT)
_BY_PRODUCT: Final = Keyset((_d.product_id,))
_DECISIONS_OF_RUN: Final = {
    moves: page_statements(
        lambda request, moves=moves: _BY_PRODUCT.page_statement(  # type: ignore[misc]  # the default binds the loop variable
            _WITH_END.where(_d.run_id == _RUN_ID, *([_d.new_price != _d.old_price] if moves else [])), request
        )
    )
    for moves in (False, True)
}
_BY_RUN: Final = Keyset((_d.run_id,), descending=True)
# Joined through the seller's runs: the log is keyed by run, and a second index would slow down every run.
_DECISIONS_OF_PRODUCT: Final = page_statements(
    lambda request: _BY_RUN.page_statement(
        _WITH_END.join(pricing_runs, pricing_runs.c.id == _d.run_id).where(
            _d.product_id == bindparam("product", type_=BigInteger), pricing_runs.c.seller_id == products.c.seller_id
        ),
        request,
    )
)
# The end of an interval is the beginning of the next one, so the whole history of the product is read.
_STEPS: Final = text(
    f"""
    SELECT price, currency, valid_from, valid_to, cause, is_withdrawn, coalesce(views, 0),
           {", ".join(f"coalesce({name}, 0)" for name in FIGURES)}
    FROM (
        SELECT *, lead(valid_from) OVER (ORDER BY valid_from) AS valid_to
        FROM price_history WHERE product_id = :product
    ) AS intervals LEFT JOIN price_sales USING (product_id, valid_from)
    WHERE valid_from <= :until AND (valid_to IS NULL OR valid_to > :since)
    ORDER BY valid_from DESC LIMIT {MAX_STEPS}
    """  # noqa: S608 - no values are inserted
).bindparams(bindparam("product", type_=BigInteger), bindparam("since", type_=Moment), bindparam("until", type_=Moment))
_WRITTEN_DECISIONS: Final = (
    _WITH_END.join(pricing_runs, pricing_runs.c.id == _d.run_id)
    .where(
        _d.product_id == bindparam("product", type_=BigInteger),
        pricing_runs.c.seller_id == products.c.seller_id,
        _d.new_price != _d.old_price,
        _d.outcome != SUPERSEDED,
        _r.written_at >= bindparam("since", type_=Moment),
        _r.written_at <= bindparam("until", type_=Moment),
    )
    .order_by(_d.run_id.desc())
    .limit(MAX_STEPS)
)
_RANGES: Final = select(_r.first, _r.last).where(_r.run_id == _RUN_ID, _r.decided_at.is_not(None)).order_by(_r.number)
_RANGE: Final = _DECISION.where(
    _d.run_id == _RUN_ID,
    _d.product_id.between(bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger)),
).order_by(_d.product_id)


class PricingQueries:
    _executor: QueryExecutor

    def policies(self, owner: AccountId | None, page: PageRequest) -> Page[PricingPolicy]:
        given = {} if owner is None else {"owner": owner}
        statement = _POLICIES[owner is not None][page_direction(page)]
        fetched = self._executor.fetch(statement, {**given, **_POLICIES_BY_ID.page_params(page)})
        return build_page(fetched, page, policy_of, lambda row: (row[0],))

    def policy(self, policy_id: PolicyId) -> PricingPolicy | None:
        found = self._executor.fetch(_ONE_POLICY, {"policy": policy_id})
        return policy_of(found[0]) if found else None

    def runs(
        self,
        owner: AccountId | None,
        page: PageRequest,
        *,
        policy_id: PolicyId | None = None,
        status: RunStatus | None = None,
    ) -> Page[Run]:
        choices = {"owner": owner, "policy": policy_id, "status": None if status is None else status.value}
        given = {name: value for name, value in choices.items() if value is not None}
        owned, of_policy, with_status = (value is not None for value in choices.values())
        statement = _RUNS[owned, of_policy, with_status][page_direction(page)]
        fetched = self._executor.fetch(statement, {**given, **_NEWEST.page_params(page)})
        return build_page(fetched, page, run_of, lambda row: (row[0],))

    def repricing_run(self, run_id: RunId) -> Run | None:
        found = self._executor.fetch(_ONE_RUN, {"run": run_id})
        return run_of(found[0]) if found else None

    def decisions(self, run_id: RunId, page: PageRequest, *, moves_only: bool = False) -> Page[StoredDecision]:
        parameters = {"run": run_id, **_BY_PRODUCT.page_params(page)}
        fetched = self._executor.fetch(_DECISIONS_OF_RUN[moves_only][page_direction(page)], parameters)
        return build_page(fetched, page, _stored_decision, lambda row: (row[1],))

    def product_decisions(self, product_id: ProductId, page: PageRequest) -> Page[StoredDecision]:
        parameters = {"product": product_id, **_BY_RUN.page_params(page)}
        fetched = self._executor.fetch(_DECISIONS_OF_PRODUCT[page_direction(page)], parameters)
        return build_page(fetched, page, _stored_decision, lambda row: (row[0],))

    def price_path(self, product_id: ProductId, since: datetime, until: datetime) -> Sequence[PriceStep]:
        given = {"product": product_id, "since": since, "until": until}
        rows = self._executor.fetch(_STEPS, given)[::-1]
        by_policy = [row[2] for row in rows if row[4] == PriceCause.POLICY]
        decisions: dict[datetime, StoredDecision] = {}
        if by_policy:
            fetched = self._executor.fetch(_WRITTEN_DECISIONS, given | {"since": by_policy[0]})
            decisions = {each.in_force_from: each for each in map(_stored_decision, fetched) if each.in_force_from}
        return [
            PriceStep(
                Money(price, currency),
                valid_from,
                valid_to,
                PriceCause(cause),
                is_withdrawn,
                SalesFigures(*map(int, figures)),
                decisions.get(valid_from) if cause == PriceCause.POLICY else None,
            )
            for price, currency, valid_from, valid_to, cause, is_withdrawn, *figures in rows
        ]

    def recorded_decisions(self, run_id: RunId) -> Iterator[tuple[Inputs, Decisions]]:
        for first, last in self._executor.fetch(_RANGES, {"run": run_id}):
            rows = self._executor.fetch(_RANGE, {"run": run_id, "first": first, "last": last})
            if rows:
                yield Inputs(rows[0][9], [bytes(row[7]) for row in rows]), _decisions(rows)


def _decisions(rows: Sequence[Sequence[Any]]) -> Decisions:
    head = rows[0][9]
    columns = [np.array([row[place] for row in rows]) for place in range(1, 7)]
    columns.append(np.array([MINOR_PER_UNIT[row[12]] for row in rows]))
    return Decisions(head["policy_id"], head["version"], head["epoch"], *columns)


def _stored_decision(row: Sequence[Any]) -> StoredDecision:
    run_id, *_, inputs, outcome, head, decided_at, written_at, currency, until = row
    decision = _decisions([row])[0]
    if not decision.moves:
        outcome_now = DecisionOutcome.KEPT
    elif outcome:
        outcome_now = DecisionOutcome.SUPERSEDED if outcome == SUPERSEDED else DecisionOutcome.ROLLED_BACK
    else:
        outcome_now = DecisionOutcome.STAGED if written_at is None else DecisionOutcome.WRITTEN
    was_in_force = outcome_now in {DecisionOutcome.WRITTEN, DecisionOutcome.ROLLED_BACK}
    return StoredDecision(
        RunId(run_id),
        decided_at,
        currency,
        decision,
        outcome_now,
        Inputs(head, [bytes(inputs)]),
        in_force_from=written_at if was_in_force else None,
        in_force_until=until if was_in_force else None,
    )
