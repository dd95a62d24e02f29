"""Pricing policies and their runs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Final

import numpy as np
from attrs import evolve

from scalecommerce_core.domain.currencies import MINOR_PER_UNIT
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId, RunId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import REVERSALS, TICK, PriceCause, Product
from scalecommerce_core.domain.promotion import PromotedProduct, PromotionStatus
from scalecommerce_core.domain.rollups import FIGURES
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.breaker import MoveLimit, Moves
from scalecommerce_core.pricing.decisions import Decisions
from scalecommerce_core.pricing.facts import (
    FACTS,
    INTERVAL_COLUMNS,
    MOST_EARLIER,
    MOST_TOTAL,
    NEUTRAL_FACTS,
    Facts,
    PriceIntervals,
)
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.observation import CategoryParameters, RangeResult
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import PolicyScope
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.promotion_windows import PromotionWindows
from scalecommerce_core.pricing.replay import Inputs, with_limit
from scalecommerce_core.pricing.runs import (
    IN_PROGRESS,
    UNFINISHED,
    Assignment,
    DecisionOutcome,
    Range,
    RangeStatus,
    Run,
    RunStatus,
    Schedule,
    StoredDecision,
)
from scalecommerce_core.queries import MAX_STEPS, Page, PageRequest, PriceStep
from scalecommerce_core.testing.memory.pagination import paged
from scalecommerce_core.testing.memory.statistics import MemoryStatistics, sales_at
from scalecommerce_core.testing.memory.tables import StagedRange, Tables

_EARLY: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BY_HAND: Final = frozenset({PriceCause.MANUAL, PriceCause.IMPORT, *REVERSALS})


class MemoryPolicies:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._tables = tables
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[PolicyId]:
        return [PolicyId(number) for number in self._numbers("policies", count)]

    def add(self, policies: Collection[PricingPolicy]) -> None:
        self.save(policies)
        self.save_schedules([Schedule(policy.id, policy.created_at) for policy in policies])

    def lock(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingPolicy]:
        return self._tables.policies.get_many(sorted(ids))

    get_many = lock

    def save(self, policies: Collection[PricingPolicy]) -> None:
        for policy in policies:
            self._tables.policies.put(policy.id, policy)

    def remove(self, ids: Collection[PolicyId]) -> None:
        for assignment in list(self._tables.assignments.all()):
            if assignment.policy_id in ids:
                self._put(evolve(assignment, policy_id=None))
        for key in [key for key, _ in self._tables.blocks.items() if key[0] in ids]:
            self._tables.blocks.delete(key)
        for policy_id in ids:
            self._tables.groups.delete(policy_id)
            self._tables.schedules.delete(policy_id)
            self._tables.policies.delete(policy_id)

    def of_sellers(self, sellers: Collection[AccountId]) -> Sequence[PricingPolicy]:
        mine = [evolve(policy) for policy in self._tables.policies.all() if policy.seller_id in sellers]
        return sorted(mine, key=lambda policy: policy.id)

    def lock_schedules(self, ids: Collection[PolicyId]) -> Mapping[PolicyId, Schedule]:
        return self._tables.schedules.get_many(sorted(ids))

    def save_schedules(self, schedules: Collection[Schedule]) -> None:
        for schedule in schedules:
            self._tables.schedules.put(schedule.policy_id, schedule)

    def due(self, now: datetime, limit: int, known: Collection[str], *, per_seller: int) -> Sequence[PolicyId]:
        running = {run.policy_id: run.seller_id for run in self._tables.runs.all() if run.status in IN_PROGRESS}
        turns = Counter(
            run.seller_id
            for run in self._tables.runs.all()
            if run.status in IN_PROGRESS and run.status is not RunStatus.AWAITING_APPROVAL
        )
        due = []
        for schedule in sorted(self._tables.schedules.all(), key=lambda each: (each.ends_at, each.policy_id)):
            policy = self._tables.policies.get(schedule.policy_id)
            if policy is None or not policy.is_active or policy.policy not in known or policy.id in running:
                continue
            if schedule.epoch < 0 and any(self._tables.pending_facts.items()):
                continue
            seller = self._tables.accounts.get(policy.seller_id)
            if seller is not None and not seller.is_active:
                continue
            if (schedule.ends_at <= now or not schedule.is_done) and turns[policy.seller_id] < per_seller:
                turns[policy.seller_id] += 1
                due.append((turns[policy.seller_id], schedule.ends_at, policy.id))
        return [policy_id for _, _, policy_id in sorted(due)[:limit]]

    def active_with_unknown_strategy(self, known: Collection[str], limit: int) -> Sequence[PricingPolicy]:
        found = [evolve(each) for each in self._tables.policies.all() if each.is_active and each.policy not in known]
        return sorted(found, key=lambda policy: policy.id)[:limit]

    def assign(self, choices: Mapping[ProductId, PolicyId | None]) -> None:
        for product_id, policy_id in choices.items():
            self._put(evolve(self._assignment(product_id), policy_id=policy_id))

    def exclude(self, choices: Mapping[ProductId, bool]) -> None:
        for product_id, excluded in choices.items():
            self._put(evolve(self._assignment(product_id), is_excluded=excluded))

    def _assignment(self, product_id: ProductId) -> Assignment:
        return self._tables.assignments.get(product_id) or Assignment(product_id)

    def _put(self, assignment: Assignment) -> None:
        if assignment == Assignment(assignment.product_id):
            self._tables.assignments.delete(assignment.product_id)
        else:
            self._tables.assignments.put(assignment.product_id, assignment)

    def assignments(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Assignment]:
        return self._tables.assignments.get_many(product_ids)

    def is_stopped(self) -> bool:
        return bool(self._tables.switches.get("stopped"))

    def stop(self, stopped: bool) -> None:
        self._tables.switches.put("stopped", stopped)


class MemoryRuns:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]], statistics: MemoryStatistics) -> None:
        self._tables = tables
        self._numbers = numbers
        self._statistics = statistics

    # --- facts of products

    def product_ids(self, scope: PolicyScope) -> Whole:
        ids = [
            product.id
            for product in self._tables.products.all()
            if product.seller_id == scope.seller_id
            and product.is_active
            and not (assignment := self._tables.assignments.get(product.id) or Assignment(product.id)).is_excluded
            and scope.covers(product.category_id, assignment.policy_id)
        ]
        return np.array(sorted(ids), dtype=np.int64)

    def facts(self, scope: PolicyScope, first: ProductId, last: ProductId, now: datetime) -> Facts:
        ids = [ProductId(int(each)) for each in self.product_ids(scope) if first <= each <= last]
        counters = {each.product_id: each for each in self._statistics.counters(first, last, now)}
        rows = []
        for product_id, product in self._tables.products.get_many(ids).items():
            counted, stock = counters[product_id], self._tables.stock.get(product_id)
            category = self._tables.categories.get(product.category_id)
            amounts = {"cost": product.cost, "min_price": product.min_price, "max_price": product.max_price}
            net = self._counted("product_sales", "product_past", product_id)
            row = NEUTRAL_FACTS | {
                "product": product_id,
                "category": product.category_id,
                "price": product.price.minor,
                "priced_at": _micros(product.priced_at),
                "created_at": _micros(product.created_at),
                **{name: -1 if amount is None else amount.minor for name, amount in amounts.items()},
                "stock_until": -1 if product.stock_until is None else _micros(product.stock_until),
                "competitor": -1 if product.competitor_price is None else product.competitor_price.minor,
                "competitor_at": -1 if product.competitor_price_at is None else _micros(product.competitor_price_at),
                "stock": 0 if stock is None else stock.available,
                "views_ever": self._tables.views.get(product_id) or 0,
                **self._interval(product_id, product.priced_at),
                "net_units": net["units"] - net["refunded_units"],
                "net_amount": min(net["revenue"] - net["refunded_amount"], MOST_TOTAL),
                "out_of_stock": round(counted.out_of_stock.total_seconds() * 1e6),
                "minor_per_unit": MINOR_PER_UNIT[product.price.currency],
                "min_hold": 0 if category is None else category.min_hold // timedelta(microseconds=1),
            }
            rows.append([row[name] for name in FACTS])
        table = np.array(rows, dtype=np.int64).reshape(len(rows), len(FACTS))
        columns = dict(zip(FACTS, table.T.copy(), strict=True))
        return Facts(**columns | self._promotion_windows(first, last, now).facts(columns["product"], _micros(now)))

    def _promotion_windows(self, first: ProductId, last: ProductId, now: datetime) -> PromotionWindows:
        """A promotion lasts until its end has restored the former price."""

        def ends_at(item: PromotedProduct) -> datetime:
            return max(item.ends_at, now + TICK) if item.status is PromotionStatus.RUNNING else item.ends_at

        rows = sorted(
            (item.product_id, _micros(item.starts_at), _micros(ends_at(item)))
            for item in self._tables.promoted.all()
            if first <= item.product_id <= last and item.status is not PromotionStatus.CANCELLED
        )
        return PromotionWindows(*np.array(rows, dtype=np.int64).reshape(len(rows), 3).T.copy())

    def price_intervals(
        self,
        first: ProductId,
        last: ProductId,
        since: datetime,
        *,
        counted_after: datetime,
        all_since: datetime | None = None,
    ) -> PriceIntervals:
        del counted_after
        rows = []
        for product in self._tables.products.all():
            if first <= product.id <= last and product.priced_at > max(since, product.created_at):
                changes = self._tables.price_history(product.id)
                opening = [change for change in changes if change.valid_from <= since][-1:]
                opening += [change for change in changes if since < change.valid_from <= (all_since or since)]
                later = [change for change in changes if change.valid_from > (all_since or since)]
                for change in (*opening[-MOST_EARLIER:], *later):
                    row = {
                        "product": product.id,
                        "valid_from": _micros(change.valid_from),
                        "price": change.price.minor,
                        "is_manual": change.cause in _BY_HAND and change.valid_from > product.created_at,
                        "is_withdrawn": change.withdrawal is not None,
                        "is_promoted": False,
                        **self._interval(product.id, change.valid_from),
                    }
                    rows.append([row[name] for name in INTERVAL_COLUMNS])
        past = PriceIntervals.of_table(np.array(rows, dtype=np.int64))
        promoted = self._promotion_windows(first, last, since).promoted(past.product, past.valid_from)
        return evolve(past, is_promoted=promoted)

    def _interval(self, product_id: ProductId, valid_from: datetime) -> dict[str, int]:
        """The totals of a price interval."""
        sold = self._counted("price_sales", "price_past", product_id, valid_from)
        return {
            "views": self._tables.viewed.get(("demand", product_id, valid_from)) or 0,
            "orders": sold["orders"],
            "units": sold["units"],
            "refunded": sold["refunded_units"],
        }

    def _counted(self, whole: str, past: str, *key: object) -> dict[str, int]:
        """Figures of sales; imported and seeded ones count if the product has imported or seeded views."""
        nothing = (0,) * len(FIGURES)
        figures = self._tables.rollups.get((whole, *key)) or nothing
        if not self._tables.viewed.get(("past", key[0])):
            left_out = self._tables.rollups.get((past, *key)) or nothing
            figures = tuple(a - b for a, b in zip(figures, left_out, strict=True))
        return dict(zip(FIGURES, figures, strict=True))

    # --- policy state

    def blocks(self, policy_id: PolicyId) -> Sequence[int]:
        return sorted(block for (owner, block), _ in self._tables.blocks.items() if owner == policy_id)

    def policy_state(self, policy_id: PolicyId, block: int) -> PolicyState | None:
        return self._tables.blocks.get((policy_id, block))

    def save_policy_state(self, policy_id: PolicyId, block: int, state: PolicyState) -> None:
        self._tables.blocks.put((policy_id, block), PolicyState.from_bytes(state.to_bytes()))

    def category_parameters(self, policy_id: PolicyId) -> CategoryParameters:
        return self._tables.groups.get(policy_id) or {}

    def add_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        known = self.category_parameters(policy_id)
        added = {category: {**values, **known.get(category, {})} for category, values in groups.items()}
        self._tables.groups.put(policy_id, {**known, **added})

    def save_category_parameters(self, policy_id: PolicyId, groups: CategoryParameters) -> None:
        self._tables.groups.put(policy_id, {**self.category_parameters(policy_id), **groups})

    def delete_policy_states(self, policy_ids: Collection[PolicyId]) -> None:
        for key in [key for key, _ in self._tables.blocks.items() if key[0] in policy_ids]:
            self._tables.blocks.delete(key)
        for policy_id in policy_ids:
            self._tables.groups.delete(policy_id)

    # --- runs

    def next_ids(self, count: int) -> Sequence[RunId]:
        return [RunId(number) for number in self._numbers("runs", count)]

    def add(self, run: Run, ranges: Collection[Range]) -> None:
        if self.active_run(run.policy_id) is not None:
            raise Duplicate("policy")
        self._tables.runs.put(run.id, run)
        for part in ranges:
            self.save_range(part)

    def lock(self, run_id: RunId) -> Run | None:
        return self._tables.runs.get(run_id)

    lock_shared = lock

    def save(self, run: Run) -> None:
        self._tables.runs.put(run.id, run)

    def lock_last(self, policy_id: PolicyId, count: int) -> Sequence[Run]:
        found = [
            evolve(run)
            for run in self._tables.runs.all()
            if run.policy_id == policy_id and not self._tables.replaced_runs.get(run.id)
        ]
        return sorted(found, key=lambda run: run.id)[-count:]

    def replace(self, run_ids: Collection[RunId]) -> None:
        for run_id in run_ids:
            self._tables.replaced_runs.put(run_id, True)

    def unfinished(self, now: datetime, limit: int, known: Collection[str], *, per_seller: int) -> Sequence[RunId]:
        runs = sorted(
            (run.id, run.seller_id)
            for run in self._tables.runs.all()
            if run.status in UNFINISHED
            and (run.status is not RunStatus.DECIDING or run.document["policy"] in known)
            and not run.awaits_approval(now)
        )
        turns: Counter[AccountId] = Counter()
        found = []
        for run_id, seller_id in runs:
            turns[seller_id] += 1
            if turns[seller_id] <= per_seller:
                found.append(run_id)
        return found[:limit]

    def active_run(self, policy_id: PolicyId) -> RunId | None:
        found = (run.id for run in self._tables.runs.all() if run.policy_id == policy_id and run.status in IN_PROGRESS)
        return next(found, None)

    def claim_range(self, run_id: RunId, status: RangeStatus) -> Range | None:
        return next((part for part in self.ranges(run_id) if part.status is status), None)

    def ranges(self, run_id: RunId) -> Sequence[Range]:
        mine = [evolve(part) for part in self._tables.ranges.all() if part.run_id == run_id]
        return sorted(mine, key=lambda part: part.number)

    def stage_decisions(self, part: Range, result: RangeResult) -> None:
        products = self._tables.products.get_many(ProductId(int(each)) for each in result.decisions.product)
        currency = {int(product.id): product.price.currency for product in products.values()}
        self._tables.staged.put((part.run_id, part.number), StagedRange(result, currency))
        self.save_range(part)

    def save_staged_state(self, run: Run, part: Range) -> None:
        result = self._staged(part).result
        self.save_policy_state(run.policy_id, part.block, result.policy_state)
        self.add_category_parameters(run.policy_id, result.category_parameters)

    def _staged(self, part: Range) -> StagedRange:
        staged = self._tables.staged.get((part.run_id, part.number))
        assert staged is not None
        return staged

    def staged_moves(self, part: Range) -> Moves:
        return Moves.of(self._staged(part).result.decisions)

    def limit_moves(self, part: Range, moves: Moves, limit: MoveLimit) -> None:
        staged = self._staged(part)
        decisions, inputs = staged.result.decisions, staged.result.inputs
        new, acted = decisions.new.copy(), decisions.guardrails.copy()
        new[np.searchsorted(decisions.product, moves.product)] = moves.new
        acted[new != decisions.new] |= Guardrail.BREAKER.value
        result = evolve(
            staged.result,
            decisions=evolve(decisions, new=new, guardrails=acted),
            inputs=evolve(inputs, head=with_limit(inputs.head, limit)),
        )
        self._tables.staged.put((part.run_id, part.number), evolve(staged, result=result))

    def apply_prices(self, run: Run, part: Range, at: datetime) -> Whole:
        staged = self._staged(part)
        decisions, written = staged.result.decisions, []
        promoted = {
            item.product_id
            for item in self._tables.promoted.all()
            if item.status is not PromotionStatus.CANCELLED
            and item.starts_at <= at
            and (at < item.ends_at or item.status is PromotionStatus.RUNNING)
        }
        for row in np.flatnonzero(decisions.moves):
            product = self._tables.products.get(ProductId(int(decisions.product[row])))
            seen = (int(decisions.old[row]), int(staged.result.priced_at[row]))
            if (
                product is not None
                and (product.price.minor, _micros(product.priced_at)) == seen
                and product.withdrawn_at is None
                and product.priced_at < at
                and product.id not in promoted
                and self._is_applicable(run, product, int(decisions.new[row]))
            ):
                self._reprice(product.id, int(decisions.new[row]), at, PriceCause.POLICY)
                written.append(int(product.id))
        self._tables.staged.put((part.run_id, part.number), evolve(staged, written=frozenset(written)))
        part.written = len(written)
        self.save_range(part)
        return np.array(written, dtype=np.int64)

    def _is_applicable(self, run: Run, product: Product, new: int) -> bool:
        assignment = self._tables.assignments.get(product.id) or Assignment(product.id)
        if not product.is_active or assignment.is_excluded or assignment.policy_id not in {None, run.policy_id}:
            return False
        by_cost = None if product.cost is None else product.cost.minor * run.min_price_per_cost
        if new > product.price.minor:
            highest = new if product.max_price is None else product.max_price.minor
            return new <= max(highest, 0 if by_cost is None else ceil(by_cost) + 1)
        lowest = 0 if product.min_price is None else product.min_price.minor
        return new >= max(lowest, 0 if by_cost is None else floor(by_cost) - 1)

    def revert_prices(self, run: Run, part: Range, at: datetime) -> int:
        del run
        staged, undone = self._staged(part), set()
        for decision in (staged.result.decisions[int(row)] for row in np.flatnonzero(staged.result.decisions.moves)):
            product = self._tables.products.get(decision.product_id)
            if (
                decision.product_id in staged.written
                and product is not None
                and (product.price.minor, product.priced_at) == (decision.new, part.written_at)
                and product.withdrawn_at is None
            ):
                self._reprice(product.id, decision.old, at, PriceCause.ROLLBACK)
                undone.add(int(product.id))
        self._tables.staged.put((part.run_id, part.number), evolve(staged, undone=frozenset(undone)))
        part.undone = len(undone)
        self.save_range(part)
        return len(undone)

    def _reprice(self, product_id: ProductId, price: int, at: datetime, cause: PriceCause) -> None:
        product = self._tables.products.get(product_id)
        assert product is not None
        product.reprice(Money(price, product.price.currency), at, cause)
        self._tables.price_changes.append(product.price_changes)
        self._tables.events.append(product.events)
        self._tables.products.put(product_id, product)

    def save_range(self, part: Range) -> None:
        self._tables.ranges.put((part.run_id, part.number), part)

    def purge(self, before: datetime, limit: int) -> int:
        old = sorted(
            run.id
            for run in self._tables.runs.all()
            if run.status not in UNFINISHED
            and run.finished_at is not None
            and (run.finished_at < before or self._tables.replaced_runs.get(run.id))
        )
        purged = 0
        for run_id in old:
            for part in self.ranges(run_id)[: limit - purged]:
                self._tables.ranges.delete((run_id, part.number))
                self._tables.staged.delete((run_id, part.number))
                purged += 1
            if not self.ranges(run_id) and purged < limit:
                self._tables.runs.delete(run_id)
                self._tables.replaced_runs.delete(run_id)
                purged += 1
        return purged


class MemoryPricingQueries:
    _tables: Tables

    def policies(self, owner: AccountId | None, page: PageRequest) -> Page[PricingPolicy]:
        shown = [evolve(each) for each in self._tables.policies.all() if owner in {None, each.seller_id}]
        return paged(shown, lambda policy: (policy.id,), page)

    def policy(self, policy_id: PolicyId) -> PricingPolicy | None:
        return self._tables.policies.get(policy_id)

    def runs(
        self,
        owner: AccountId | None,
        page: PageRequest,
        *,
        policy_id: PolicyId | None = None,
        status: RunStatus | None = None,
    ) -> Page[Run]:
        shown = [
            evolve(run)
            for run in self._tables.runs.all()
            if owner in {None, run.seller_id}
            and policy_id in {None, run.policy_id}
            and status in {None, run.status}
            and not self._tables.replaced_runs.get(run.id)
        ]
        return paged(shown, lambda run: (-run.id,), page)

    def repricing_run(self, run_id: RunId) -> Run | None:
        return self._tables.runs.get(run_id)

    def decisions(self, run_id: RunId, page: PageRequest, *, moves_only: bool = False) -> Page[StoredDecision]:
        shown = [each for each in self._stored() if each.run_id == run_id and (each.decision.moves or not moves_only)]
        return paged(shown, lambda each: (each.decision.product_id,), page)

    def product_decisions(self, product_id: ProductId, page: PageRequest) -> Page[StoredDecision]:
        shown = [each for each in self._stored() if each.decision.product_id == product_id]
        return paged(shown, lambda each: (-each.run_id,), page)

    def recorded_decisions(self, run_id: RunId) -> Iterator[tuple[Inputs, Decisions]]:
        for (run, _), staged in sorted(self._tables.staged.items(), key=lambda item: item[0]):
            if run == run_id:
                yield staged.result.inputs, staged.result.decisions

    def price_path(self, product_id: ProductId, since: datetime, until: datetime) -> Sequence[PriceStep]:
        written = {
            each.in_force_from: each
            for each in self._stored()
            if each.decision.product_id == product_id and each.in_force_from is not None
        }
        changes = self._tables.price_history(product_id)
        ends = [*(change.valid_from for change in changes[1:]), None]
        steps = [
            PriceStep(
                change.price,
                change.valid_from,
                end,
                change.cause,
                change.is_withdrawn,
                sales_at(self._tables, product_id, change.valid_from),
                written.get(change.valid_from) if change.cause is PriceCause.POLICY else None,
            )
            for change, end in zip(changes, ends, strict=True)
            if change.valid_from <= until and (end is None or end > since)
        ]
        return steps[-MAX_STEPS:]

    def _stored(self) -> Iterator[StoredDecision]:
        for (run_id, number), staged in self._tables.staged.items():
            part = self._tables.ranges.get((run_id, number))
            assert part is not None
            assert part.decided_at is not None
            result = staged.result
            for row in range(len(result.decisions)):
                decision = result.decisions[row]
                outcome = _outcome(decision.product_id, staged, part, moves=decision.moves)
                began = part.written_at if outcome in {DecisionOutcome.WRITTEN, DecisionOutcome.ROLLED_BACK} else None
                yield StoredDecision(
                    run_id,
                    part.decided_at,
                    staged.currency[int(decision.product_id)],
                    decision,
                    outcome,
                    Inputs(result.inputs.head, [result.inputs.rows[row]]),
                    in_force_from=began,
                    in_force_until=None if began is None else self._next_price(decision.product_id, began),
                )

    def _next_price(self, product_id: ProductId, after: datetime) -> datetime | None:
        changes = self._tables.price_changes.all()
        later = [each.valid_from for each in changes if each.product_id == product_id and each.valid_from > after]
        return min(later, default=None)


def _outcome(product_id: int, staged: StagedRange, part: Range, *, moves: bool) -> DecisionOutcome:
    if not moves:
        return DecisionOutcome.KEPT
    if product_id in staged.undone:
        return DecisionOutcome.ROLLED_BACK
    if product_id in staged.written:
        return DecisionOutcome.WRITTEN
    return DecisionOutcome.STAGED if part.written_at is None else DecisionOutcome.SUPERSEDED


def _micros(moment: datetime) -> int:
    since = moment - _EARLY
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
