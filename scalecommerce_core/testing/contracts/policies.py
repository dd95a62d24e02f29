"""Tests of pricing policies: schedules, assigned products, facts and policy state."""

from typing import Any

import numpy as np

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.product import PriceCause, PriceWithdrawal
from scalecommerce_core.ports import Store
from scalecommerce_core.ports.statistics import PendingFacts
from scalecommerce_core.pricing.facts import DAY as DAY_MICROSECONDS
from scalecommerce_core.pricing.facts import microseconds
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import policy_scope
from scalecommerce_core.pricing.policy_state import STATE_FACTS, PolicyState
from scalecommerce_core.pricing.runs import Run, RunStatus, Tally, Trigger
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, usd


class PoliciesContract:
    def test_policies_are_stored_with_all_fields_and_edits(self, store: Store) -> None:
        seller = Stage(store).account()
        policy = _policy(store, seller, category_id=CategoryId(2), policy="hill_climb", parameters={"step": 0.1})
        with store.begin() as tx:
            found = tx.policies.lock([policy.id])[policy.id]
            assert found == policy
            found.edit(name="Climb", guardrails={"step": 0.1}, is_active=False)
            tx.policies.save([found])
        with store.begin() as tx:
            assert list(tx.policies.of_sellers([seller])) == [found]
            assert tx.policies.get_many([policy.id]) == {policy.id: found}
            tx.policies.remove([policy.id])
        with store.begin() as tx:
            assert tx.policies.get_many([policy.id]) == {}

    def test_a_policy_is_due_at_once_and_again_when_its_epoch_ends(self, store: Store) -> None:
        policy = _policy(store, Stage(store).account())
        with store.begin() as tx:
            assert list(tx.policies.due(NOW, 10, {"elasticity_learning", "other"}, per_seller=9)) == [policy.id]
            assert list(tx.policies.due(NOW, 10, {"other"}, per_seller=9)) == []
            (schedule,) = tx.policies.lock_schedules([policy.id]).values()
            schedule.advance(policy, NOW)
            schedule.is_done = True
            tx.policies.save_schedules([schedule])
        with store.begin() as tx:
            assert list(tx.policies.due(NOW + 6 * DAY, 10, {"elasticity_learning"}, per_seller=9)) == []
            assert list(tx.policies.due(NOW + 7 * DAY, 10, {"elasticity_learning"}, per_seller=9)) == [policy.id]

    def test_sellers_take_turns_with_due_policies(self, store: Store) -> None:
        stage = Stage(store)
        busy, quiet = stage.account(), stage.account()
        many = [_policy(store, busy, created_at=NOW - n * SECOND) for n in range(4)]
        one = _policy(store, quiet)

        def due(per_seller: int, limit: int = 9) -> list[PolicyId]:
            with store.begin() as tx:
                return list(tx.policies.due(NOW, limit, {"elasticity_learning"}, per_seller=per_seller))

        assert due(9) == [many[3].id, one.id, *(policy.id for policy in (many[2], many[1], many[0]))]
        assert due(9, limit=2) == [many[3].id, one.id]
        assert due(2) == [many[3].id, one.id, many[2].id]
        _add_run(store, many[3])
        assert due(2) == [one.id, many[2].id]
        assert due(1) == [one.id]

    def test_first_runs_wait_for_imported_sales_in_the_statistics(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller)
        new, old = _policy(store, seller), _policy(store, seller, created_at=NOW - 8 * DAY)
        with store.begin() as tx:
            (schedule,) = tx.policies.lock_schedules([old.id]).values()
            schedule.advance(old, NOW - 8 * DAY)
            schedule.is_done = True
            tx.policies.save_schedules([schedule])
            tx.statistics.add_pending_facts(PendingFacts(products=[product]))

        def due() -> set[PolicyId]:
            with store.begin() as tx:
                return set(tx.policies.due(NOW, 9, {"elasticity_learning"}, per_seller=9))

        assert due() == {old.id}
        with store.begin() as tx:
            tx.statistics.take_pending_facts(9)
        assert due() == {new.id, old.id}

    def test_sellers_take_turns_with_unfinished_runs(self, store: Store) -> None:
        stage = Stage(store)
        busy, quiet = stage.account(), stage.account()
        many = [_add_run(store, _policy(store, busy)) for _ in range(3)]
        one = _add_run(store, _policy(store, quiet))
        with store.begin() as tx:
            known = {"elasticity_learning"}
            assert list(tx.runs.unfinished(NOW, 9, known, per_seller=1)) == [many[0].id, one.id]
            assert list(tx.runs.unfinished(NOW, 9, known, per_seller=2)) == [many[0].id, many[1].id, one.id]
            assert list(tx.runs.unfinished(NOW, 2, known, per_seller=9)) == [many[0].id, many[1].id]

    def test_runs_that_await_approval_are_in_progress_until_the_time_for_it_has_ended(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        policy, other = _policy(store, seller, edited_by=seller), _policy(store, seller)
        run_id = _add_run(store, policy).id
        known = {"elasticity_learning"}
        with store.begin() as tx:
            run = tx.runs.lock(run_id)
            assert run is not None
            run.status, run.approval_until = RunStatus.AWAITING_APPROVAL, NOW + DAY
            run.reviewed_by, run.reviewed_at, run.ends_as = seller, NOW, RunStatus.DECLINED
            tx.runs.save(run)
        with store.begin() as tx:
            assert tx.runs.lock_shared(run_id) == run
            assert tx.policies.get_many([policy.id])[policy.id].edited_by == seller
            assert tx.policies.get_many([other.id])[other.id].edited_by is None
            assert tx.runs.active_run(policy.id) == run_id
            assert list(tx.runs.unfinished(NOW, 9, known, per_seller=9)) == []
            assert list(tx.runs.unfinished(NOW + DAY, 9, known, per_seller=9)) == [run_id]
            # It takes none of the seller's turns.
            assert list(tx.policies.due(NOW + DAY, 9, known, per_seller=1)) == [other.id]
            assert tx.runs.purge(NOW + 2 * DAY, 9) == 0

    def test_active_policies_with_an_unknown_strategy_are_found(self, store: Store) -> None:
        seller = Stage(store).account()
        learning, climbing = _policy(store, seller), _policy(store, seller, policy="hill_climb")
        _policy(store, seller, policy="hill_climb", is_active=False)
        with store.begin() as tx:
            assert list(tx.policies.active_with_unknown_strategy({"hill_climb"}, 10)) == [learning]
            assert list(tx.policies.active_with_unknown_strategy({"elasticity_learning"}, 10)) == [climbing]
            assert list(tx.policies.active_with_unknown_strategy(set(), 1)) == [learning]
            assert list(tx.policies.active_with_unknown_strategy({"elasticity_learning", "hill_climb"}, 10)) == []

    def test_deciding_runs_with_an_unknown_strategy_are_not_listed_as_unfinished(self, store: Store) -> None:
        policy = _policy(store, Stage(store).account())
        run = _add_run(store, policy)
        run_id = run.id
        with store.begin() as tx:
            assert list(tx.runs.unfinished(NOW, 10, {"elasticity_learning"}, per_seller=9)) == [run_id]
            assert list(tx.runs.unfinished(NOW, 10, {"hill_climb"}, per_seller=9)) == []
            run.status, run.tally = RunStatus.WRITING, Tally(decided=5, moves=1, unpriced=3)
            tx.runs.save(run)
        with store.begin() as tx:
            assert list(tx.runs.unfinished(NOW, 10, set(), per_seller=9)) == [run_id]
            assert tx.runs.lock(run_id) == run

    def test_each_product_follows_one_policy(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        book, other_book, toy, excluded = (
            stage.product(seller, category_id=CategoryId(category)) for category in (16, 16, 11, 11)
        )
        stage.product(seller, is_active=False)
        stage.product()
        first, everything, books, chosen = (
            _policy(store, seller, **facts)
            for facts in ({}, {}, {"category_id": CategoryId(16)}, {"assigned_only": True})
        )
        with store.begin() as tx:
            tx.policies.assign({other_book: chosen.id})
            tx.policies.exclude({excluded: True})
            of_seller = tx.policies.of_sellers([seller])
            reached = {p.id: tx.runs.product_ids(policy_scope(p, of_seller)).tolist() for p in of_seller}
            assert reached == {first.id: [], everything.id: [toy], books.id: [book], chosen.id: [other_book]}
            tx.policies.assign({other_book: None})
            tx.policies.exclude({excluded: False})
            assert tx.policies.assignments([other_book, excluded]) == {}
            assert tx.runs.product_ids(policy_scope(everything, of_seller)).tolist() == [toy, excluded]

    def test_facts_show_a_product_as_it_stands(self, store: Store) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        product = stage.product(seller, price=9_00, stock=20, at=NOW - 60 * DAY, cost=usd(5_00), min_price=usd(6_00))
        stage.reprice(product, 10_00, NOW - 50 * DAY, PriceCause.MANUAL)
        stage.view({product: 7}, NOW)
        stage.order(buyer, {product: 3}, OrderStatus.PENDING)
        policy = _policy(store, seller)
        with store.begin() as tx:
            seen = tx.runs.facts(policy_scope(policy, [policy]), product, product, NOW)
            past = tx.runs.price_intervals(product, product, NOW - 55 * DAY, counted_after=NOW)
            none = tx.runs.price_intervals(product, product, NOW - DAY, counted_after=NOW)
        assert [int(getattr(seen, name)[0]) for name in ("price", "cost", "min_price", "max_price")] == [
            10_00, 5_00, 6_00, -1,
        ]  # fmt: skip
        assert [int(getattr(seen, name)[0]) for name in ("stock", "views_ever", "views", "units")] == [17, 7, 7, 0]
        assert int(seen.priced_at[0] - seen.created_at[0]) == 10 * DAY_MICROSECONDS
        assert past.price.tolist() == [9_00, 10_00]
        assert past.is_manual.tolist() == [False, True]
        assert past.valid_from.tolist() == [int(seen.created_at[0]), int(seen.priced_at[0])]
        assert past.is_withdrawn.tolist() == [False, False]
        assert len(none.product) == 0

    def test_facts_have_the_price_of_a_competitor_and_its_time(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        policy = _policy(store, seller)
        usual = stage.product(seller)
        rivalled = stage.product(seller, competitor_price=usd(7_50), competitor_price_at=NOW - DAY)
        with store.begin() as tx:
            seen = tx.runs.facts(policy_scope(policy, [policy]), usual, rivalled, NOW)
        assert seen.competitor.tolist() == [-1, 7_50]
        assert seen.competitor_at.tolist() == [-1, microseconds(NOW - DAY)]

    def test_facts_have_the_minimum_hold_of_the_category(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        book, toy = (stage.product(seller, category_id=CategoryId(category)) for category in (16, 11))
        policy = _policy(store, seller)
        with store.begin() as tx:
            tx.categories.set_min_holds({CategoryId(16): 3 * DAY})
            seen = tx.runs.facts(policy_scope(policy, [policy]), book, toy, NOW)
        assert seen.product.tolist() == [book, toy]
        assert seen.min_hold.tolist() == [3 * DAY_MICROSECONDS, 0]

    def test_price_intervals_mark_withdrawn_prices(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller, price=9_00, at=NOW - 60 * DAY)
        stage.reprice(product, 1, NOW - 3 * DAY)
        stage.reprice(product, 9_00, NOW - 2 * DAY, PriceCause.ROLLBACK)
        with store.begin() as tx:
            tx.products.lock([product])
            withdrawal = PriceWithdrawal(NOW - 2 * DAY, seller, "typing error")
            tx.products.withdraw_prices({(product, NOW - 3 * DAY): withdrawal})
            past = tx.runs.price_intervals(product, product, NOW - 55 * DAY, counted_after=NOW)
        assert past.price.tolist() == [9_00, 1, 9_00]
        assert past.is_withdrawn.tolist() == [False, True, False]

    def test_policy_states_and_category_parameters_are_stored(self, store: Store) -> None:
        policy = _policy(store, Stage(store).account())
        facts = [np.arange(3, dtype=np.int64) + n for n in range(len(STATE_FACTS))]
        memory = PolicyState(*facts, state={"a": np.array([0.1, np.nan, -np.inf]), "arms": np.ones((3, 4))})
        with store.begin() as tx:
            tx.runs.save_policy_state(policy.id, 7, memory)
            tx.runs.save_category_parameters(policy.id, {CategoryId(2): {"mean": -2.4}})
            tx.runs.add_category_parameters(policy.id, {CategoryId(2): {"mean": 1.0}, CategoryId(3): {"mean": 0.1}})
        with store.begin() as tx:
            found = tx.runs.policy_state(policy.id, 7)
            assert found is not None
            assert found.to_bytes() == memory.to_bytes()
            assert tx.runs.policy_state(policy.id, 8) is None
            assert list(tx.runs.blocks(policy.id)) == [7]
            assert tx.runs.category_parameters(policy.id) == {2: {"mean": -2.4}, 3: {"mean": 0.1}}
            tx.runs.delete_policy_states([policy.id])
            assert (list(tx.runs.blocks(policy.id)), tx.runs.category_parameters(policy.id)) == ([], {})

    def test_all_pricing_can_be_stopped_and_resumed(self, store: Store) -> None:
        for stopped in (True, True, False):
            with store.begin() as tx:
                tx.policies.stop(stopped)
            with store.begin() as tx:
                assert tx.policies.is_stopped() is stopped


def _policy(store: Store, seller: AccountId, **facts: Any) -> PricingPolicy:
    with store.begin() as tx:
        (id_,) = tx.policies.next_ids(1)
        policy = PricingPolicy(**{"id": id_, "seller_id": seller, "name": "Learn", "created_at": NOW, **facts})
        tx.policies.add([policy])
    return policy


def _add_run(store: Store, policy: PricingPolicy) -> Run:
    with store.begin() as tx:
        (run_id,) = tx.runs.next_ids(1)
        run = Run(
            run_id, policy.id, policy.seller_id, 1, policy.document(), epoch=0, trigger=Trigger.COMMAND,
            started_at=NOW, products=0,
        )  # fmt: skip
        tx.runs.add(run, [])
    return run
