"""Tests of runs of pricing policies: ranges, staged decisions, price changes, and lists of them."""

from typing import Final

import pytest
from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.promotion import PromotionStatus
from scalecommerce_core.ports import Duplicate, Store
from scalecommerce_core.pricing.breaker import MoveLimit
from scalecommerce_core.pricing.observation import RangeResult, decide_range
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import policy_scope
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.runs import DecisionOutcome, Range, RangeStatus, Run, RunStatus, Tally, Trigger
from scalecommerce_core.queries import PageRequest, PriceStep, Queries, SalesFigures
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.testing.contracts.promotions import announce
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, usd
from scalecommerce_core.testing.fakes import SettableClock

PRICE: Final = 10_00
NEW_PRICE: Final = 10_40


class SellerWithRuns:
    """A seller with products at `PRICE`, and runs of a policy that move them to `NEW_PRICE`."""

    def __init__(self, store: Store, products: int = 2) -> None:
        self.store = store
        self.stage = Stage(store)
        self.seller: AccountId = self.stage.account()
        self.products: list[ProductId] = [
            self.stage.product(self.seller, price=PRICE, at=NOW - DAY) for _ in range(products)
        ]
        with store.begin() as tx:
            (id_,) = tx.policies.next_ids(1)
            self.policy = PricingPolicy(id_, self.seller, "Climb", NOW, policy="hill_climb")
            tx.policies.add([self.policy])

    def begin(self) -> Run:
        """Add a run with one range for each product."""
        with self.store.begin() as tx:
            (id_,) = tx.runs.next_ids(1)
            run = Run(
                id_,
                self.policy.id,
                self.seller,
                self.policy.version,
                self.policy.document(),
                epoch=0,
                trigger=Trigger.COMMAND,
                started_at=NOW,
                products=len(self.products),
            )
            first = self.products[0]
            ranges = [Range(id_, number, first, product, product, 1) for number, product in enumerate(self.products)]
            tx.runs.add(run, ranges)
        return run

    def stage_range(self, run: Run) -> tuple[Range, RangeResult]:
        """Claim the first open range and stage the decision to move its product's price to `NEW_PRICE`."""
        with self.store.begin() as tx:
            part = tx.runs.claim_range(run.id, RangeStatus.OPEN)
            assert part is not None
            strategy = self.policy.strategy()
            result = decide_range(
                self.policy,
                strategy,
                policy_state=PolicyState.empty(strategy.columns),
                category_parameters={},
                facts=tx.runs.facts(policy_scope(self.policy, [self.policy]), part.first, part.last, NOW),
                past=tx.runs.price_intervals(part.first, part.last, NOW - DAY, counted_after=NOW),
                epoch=0,
                now=int(NOW.timestamp()) * 1_000_000,
            )
            old = result.decisions.old
            result = evolve(result, decisions=evolve(result.decisions, new=old - old + NEW_PRICE))
            part.status, part.decided_at, part.tally = RangeStatus.DECIDED, NOW, Tally.of(result.decisions, self.policy)
            tx.runs.stage_decisions(part, result)
        return part, result

    def apply(self, run: Run, part: Range) -> list[ProductId]:
        with self.store.begin() as tx:
            part.status, part.written_at = RangeStatus.WRITTEN, NOW + SECOND
            return [ProductId(int(id_)) for id_ in tx.runs.apply_prices(run, part, NOW + SECOND)]

    def revert(self, run: Run, part: Range) -> int:
        with self.store.begin() as tx:
            part.status = RangeStatus.UNDONE
            return tx.runs.revert_prices(run, part, NOW + 2 * SECOND)

    def finish(self, run: Run) -> None:
        with self.store.begin() as tx:
            run.sum_ranges(tx.runs.ranges(run.id))
            run.end(RunStatus.DONE, NOW + 3 * SECOND)
            tx.runs.save(run)

    def price(self, product: ProductId) -> int:
        with self.store.begin() as tx:
            return tx.products.offers([product])[product].price.minor


class RunsContract:
    def test_a_policy_has_one_run_in_progress(self, store: Store) -> None:
        pricing = SellerWithRuns(store)
        with store.begin() as tx:
            assert tx.runs.active_run(pricing.policy.id) is None
        run = pricing.begin()
        with pytest.raises(Duplicate, match="policy"):
            pricing.begin()
        with store.begin() as tx:
            assert tx.runs.active_run(pricing.policy.id) == run.id
            assert tx.runs.lock_shared(run.id) == run
        pricing.finish(run)
        with store.begin() as tx:
            assert tx.runs.active_run(pricing.policy.id) is None
            assert tx.runs.lock_shared(run.id) == run

    def test_ranges_are_claimed_in_order_by_their_status(self, store: Store) -> None:
        pricing = SellerWithRuns(store)
        run = pricing.begin()
        with store.begin() as tx:
            assert [part.number for part in tx.runs.ranges(run.id)] == [0, 1]
            assert tx.runs.claim_range(run.id, RangeStatus.DECIDED) is None
            part = tx.runs.claim_range(run.id, RangeStatus.OPEN)
            assert part is not None
            assert part.number == 0
            part.status, part.decided_at, part.tally = RangeStatus.DECIDED, NOW, Tally(decided=1, unpriced=1)
            tx.runs.save_range(part)
        with store.begin() as tx:
            assert tx.runs.claim_range(run.id, RangeStatus.DECIDED) == part
            following = tx.runs.claim_range(run.id, RangeStatus.OPEN)
            assert following is not None
            assert following.number == 1

    def test_staged_state_is_stored(self, store: Store) -> None:
        pricing = SellerWithRuns(store)
        run = pricing.begin()
        part, result = pricing.stage_range(run)
        with store.begin() as tx:
            assert tx.runs.ranges(run.id)[0] == part
            assert tx.runs.policy_state(run.policy_id, part.block) is None
            tx.runs.save_staged_state(run, part)
        with store.begin() as tx:
            state = tx.runs.policy_state(run.policy_id, part.block)
            assert state is not None
            assert state.to_bytes() == result.policy_state.to_bytes()
            assert result.category_parameters
            assert tx.runs.category_parameters(run.policy_id) == result.category_parameters

    def test_staged_parameters_do_not_replace_those_of_known_categories(self, store: Store) -> None:
        pricing = SellerWithRuns(store)
        run = pricing.begin()
        part, result = pricing.stage_range(run)
        known = {category: dict.fromkeys(values, -1.5) for category, values in result.category_parameters.items()}
        with store.begin() as tx:
            tx.runs.save_category_parameters(run.policy_id, known)
            tx.runs.save_staged_state(run, part)
        with store.begin() as tx:
            assert tx.runs.category_parameters(run.policy_id) == known

    def test_staged_prices_are_applied_and_reverted(self, store: Store) -> None:
        pricing = SellerWithRuns(store, products=1)
        (product,) = pricing.products
        run = pricing.begin()
        part, _ = pricing.stage_range(run)
        assert pricing.price(product) == PRICE
        assert pricing.apply(run, part) == [product]
        assert pricing.price(product) == NEW_PRICE
        assert pricing.revert(run, part) == 1
        assert pricing.price(product) == PRICE
        with store.begin() as tx:
            assert (tx.runs.ranges(run.id)[0].written, tx.runs.ranges(run.id)[0].undone) == (1, 1)
            changes = tx.products.prices_since([product], NOW - 2 * DAY)[product]
            assert {change.price for change in changes if not change.is_withdrawn} == {usd(PRICE)}

    def test_a_price_that_was_edited_meanwhile_stays(self, store: Store) -> None:
        pricing = SellerWithRuns(store)
        edited, untouched = pricing.products
        run = pricing.begin()
        first, _ = pricing.stage_range(run)
        second, _ = pricing.stage_range(run)
        pricing.stage.edit(edited, NOW, price=usd(12_00))
        assert pricing.apply(run, first) == []
        assert pricing.apply(run, second) == [untouched]
        pricing.stage.edit(untouched, NOW + 2 * SECOND, price=usd(13_00))
        assert (pricing.revert(run, first), pricing.revert(run, second)) == (0, 0)
        assert (pricing.price(edited), pricing.price(untouched)) == (12_00, 13_00)

    def test_a_price_of_a_promotion_that_began_meanwhile_stays(self, store: Store) -> None:
        pricing = SellerWithRuns(store, products=4)
        promoted, later, cancelled, overdue = pricing.products
        run = pricing.begin()
        parts = [pricing.stage_range(run)[0] for _ in pricing.products]
        announce(store, pricing.seller, promoted, starts_at=NOW)
        announce(store, pricing.seller, later, starts_at=NOW + DAY)
        ended = announce(store, pricing.seller, cancelled, starts_at=NOW, status=PromotionStatus.CANCELLED)
        unrestored = announce(store, pricing.seller, overdue, starts_at=NOW - DAY, ends_at=NOW)
        with store.begin() as tx:
            (item,) = tx.promotions.lock_products(ended.id)
            item.copy_schedule(ended)
            (running,) = tx.promotions.lock_products(unrestored.id)
            running.status = PromotionStatus.RUNNING
            tx.promotions.save_products([item, running])
        assert [pricing.apply(run, part) for part in parts] == [[], [later], [cancelled], []]
        assert [pricing.price(each) for each in pricing.products] == [PRICE, NEW_PRICE, NEW_PRICE, PRICE]

    def test_finished_runs_are_purged_range_by_range(self, store: Store) -> None:
        pricing = SellerWithRuns(store)
        run = pricing.begin()
        pricing.stage_range(run)
        with store.begin() as tx:
            assert tx.runs.purge(NOW + DAY, 10) == 0
        pricing.finish(run)
        with store.begin() as tx:
            assert tx.runs.purge(NOW, 10) == 0
            assert tx.runs.purge(NOW + DAY, 1) == 1
        for _ in range(2):
            with store.begin() as tx:
                tx.runs.purge(NOW + DAY, 10)
        with store.begin() as tx:
            assert tx.runs.lock(run.id) is None
            assert tx.runs.ranges(run.id) == []


class RunListsContract:
    def test_replaced_runs_are_left_out_and_purged(self, store: Store, queries: Queries) -> None:
        pricing = SellerWithRuns(store, products=1)
        policy, runs = pricing.policy.id, [pricing.begin()]
        for _ in range(2):
            pricing.finish(runs[-1])
            runs.append(pricing.begin())
        pricing.finish(runs[-1])
        with store.begin() as tx:
            assert list(tx.runs.lock_last(policy, 2)) == runs[1:]
            runs[2].repetitions, runs[2].repeated_since = 1, runs[1].started_at
            tx.runs.save(runs[2])
            tx.runs.replace([runs[1].id])
            tx.runs.replace([])
        with store.begin() as tx:
            assert list(tx.runs.lock_last(policy, 2)) == [runs[0], runs[2]]
        assert [run.id for run in queries.runs(None, PageRequest(), policy_id=policy).rows] == [runs[2].id, runs[0].id]
        with store.begin() as tx:
            assert tx.runs.purge(NOW - DAY, 1) == 1
        with store.begin() as tx:
            assert tx.runs.purge(NOW - DAY, 9) == 1
        with store.begin() as tx:
            assert tx.runs.purge(NOW - DAY, 9) == 0
            assert tx.runs.lock(runs[1].id) is None
            assert tx.runs.lock(runs[2].id) == runs[2]

    def test_policies_are_listed_by_owner(self, store: Store, queries: Queries) -> None:
        pricing, other = SellerWithRuns(store), SellerWithRuns(store)
        assert queries.policy(pricing.policy.id) == pricing.policy
        assert queries.policies(pricing.seller, PageRequest()).rows == (pricing.policy,)
        assert queries.policies(None, PageRequest()).rows == (pricing.policy, other.policy)

    def test_runs_are_listed_newest_first(self, store: Store, queries: Queries) -> None:
        pricing, other = SellerWithRuns(store), SellerWithRuns(store)
        old = pricing.begin()
        pricing.finish(old)
        new, of_other = pricing.begin(), other.begin()
        assert queries.repricing_run(old.id) == old
        assert queries.runs(pricing.seller, PageRequest()).rows == (new, old)
        assert queries.runs(None, PageRequest(), policy_id=other.policy.id).rows == (of_other,)
        assert queries.runs(other.seller, PageRequest(), policy_id=pricing.policy.id).rows == ()

    def test_staged_prices_can_be_limited(self, store: Store, queries: Queries) -> None:
        pricing = SellerWithRuns(store)
        limited, other = pricing.products
        run = pricing.begin()
        part, result = pricing.stage_range(run)
        pricing.stage_range(run)
        limit = MoveLimit(0.25, caps=True, direction=1, turn=0.1, against_turn=1.0, large_turn=1 / 3)
        with store.begin() as tx:
            moves = tx.runs.staged_moves(part)
            assert (moves.product.tolist(), moves.old.tolist(), moves.new.tolist()) == ([limited], [PRICE], [NEW_PRICE])
            assert moves.minor_per_unit.tolist() == [100]
            tx.runs.limit_moves(part, evolve(moves, new=moves.new - 30), limit)
        with store.begin() as tx:
            assert tx.runs.staged_moves(part).new.tolist() == [NEW_PRICE - 30]
        recorded = list(queries.recorded_decisions(run.id))
        assert [inputs.head.get("breaker") for inputs, _ in recorded] == [limit.document(), None]
        assert recorded[0][0].rows == result.inputs.rows
        assert [decisions.new.tolist() for _, decisions in recorded] == [[NEW_PRICE - 30], [NEW_PRICE]]
        assert ["breaker" in decisions[0].guardrails for _, decisions in recorded] == [True, False]
        assert pricing.apply(run, part) == [limited]
        assert (pricing.price(limited), pricing.price(other)) == (NEW_PRICE - 30, PRICE)

    def test_the_path_of_a_price_has_sales_and_decisions(self, store: Store, queries: Queries) -> None:
        pricing = SellerWithRuns(store)
        product, other = pricing.products
        buyer = pricing.stage.account()
        pricing.stage.order(buyer, {product: 2}, OrderStatus.PAID, at=NOW - DAY)
        run = pricing.begin()
        parts = [pricing.stage_range(run)[0] for _ in pricing.products]
        pricing.apply(run, parts[0])
        pricing.stage.order(buyer, {product: 1}, OrderStatus.PAID, at=NOW + 2 * SECOND)
        pricing.stage.view({product: 7}, at=NOW + 2 * SECOND)
        pricing.stage.reprice(product, PRICE, NOW + 3 * SECOND)
        with store.begin() as tx:
            tx.events.assign_sequence(10_000)
        Statistics(store, SettableClock(NOW)).catch_up()
        first, second, third = queries.price_path(product, NOW - 9 * DAY, NOW + DAY)
        (decided,) = queries.product_decisions(product, PageRequest()).rows
        assert first == PriceStep(
            usd(PRICE), NOW - DAY, NOW + SECOND, PriceCause.LISTED, False, SalesFigures(0, 1, 2, 2 * PRICE), None
        )
        assert second == PriceStep(
            usd(NEW_PRICE), NOW + SECOND, NOW + 3 * SECOND, PriceCause.POLICY, False, SalesFigures(7, 1, 1, NEW_PRICE),
            decided,
        )  # fmt: skip
        assert (third.cause, third.valid_to, third.decision) == (PriceCause.MANUAL, None, None)
        assert list(queries.price_path(product, NOW + SECOND, NOW + 2 * SECOND)) == [second]
        assert list(queries.price_path(product, NOW + 3 * SECOND, NOW + 3 * SECOND)) == [third]
        assert list(queries.price_path(product, NOW - 9 * DAY, NOW - DAY)) == [first]
        assert list(queries.price_path(product, NOW - 9 * DAY, NOW - DAY - SECOND)) == []
        assert [step.decision for step in queries.price_path(other, NOW - 9 * DAY, NOW + DAY)] == [None]
        pricing.apply(run, parts[1])
        pricing.revert(run, parts[1])
        listed, tried, restored = queries.price_path(other, NOW - 9 * DAY, NOW + DAY)
        assert [step.cause for step in (listed, tried, restored)] == [
            PriceCause.LISTED,
            PriceCause.POLICY,
            PriceCause.ROLLBACK,
        ]
        assert tried.is_withdrawn
        assert tried.decision is not None
        assert tried.decision.outcome is DecisionOutcome.ROLLED_BACK

    def test_decisions_show_what_became_of_them(self, store: Store, queries: Queries) -> None:
        pricing = SellerWithRuns(store)
        first, second = pricing.products
        run = pricing.begin()
        parts = [pricing.stage_range(run) for _ in pricing.products]
        pricing.apply(run, parts[0][0])
        pricing.apply(run, parts[1][0])
        pricing.revert(run, parts[1][0])
        written, reverted = queries.decisions(run.id, PageRequest()).rows
        assert [each.decision.product_id for each in (written, reverted)] == [first, second]
        assert [each.outcome for each in (written, reverted)] == [
            DecisionOutcome.WRITTEN,
            DecisionOutcome.ROLLED_BACK,
        ]
        assert (written.decision.old, written.decision.new) == (PRICE, NEW_PRICE)
        assert (written.in_force_from, written.in_force_until) == (NOW + SECOND, None)
        assert reverted.in_force_until == NOW + 2 * SECOND
        assert queries.decisions(run.id, PageRequest(), moves_only=True).rows == (written, reverted)
        assert queries.product_decisions(second, PageRequest()).rows == (reverted,)
        recorded = list(queries.recorded_decisions(run.id))
        assert [decisions.product.tolist() for _, decisions in recorded] == [[first], [second]]
        assert [inputs.rows for inputs, _ in recorded] == [result.inputs.rows for _, result in parts]
