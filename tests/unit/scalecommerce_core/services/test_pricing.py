"""Create, edit and delete pricing policies; assign and exclude products."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound, VersionMismatch
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId, RunId
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.pricing.explaining import explain_inputs
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.replay import input_values
from scalecommerce_core.pricing.runs import Assignment, RunNotReversible, RunStatus
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.pricing import (
    MAX_POLICIES_PER_SELLER,
    AssignProduct,
    CreatePolicy,
    DeletePolicy,
    EditPolicy,
    ExcludeProduct,
    PricingRules,
    SetMinHold,
    TooManyPolicies,
)
from scalecommerce_core.services.repricing import EVERYTHING, PricingStopped, RunInProgress, Selection
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import PASSWORD, Shop, line, usd

RAILS = {"least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
Make = Callable[..., PricingPolicy]


@pytest.fixture
def make(shop: Shop, seller: Account) -> Make:
    def make(owner: Account = seller, **document: Any) -> PricingPolicy:
        return unwrap_single(
            shop.pricing.create([CreatePolicy(owner.id, {"name": "Learn", "guardrails": RAILS} | document)])
        )

    return make


def edit(shop: Shop, policy: PricingPolicy, /, **changes: Any) -> PricingPolicy:
    return unwrap_single(shop.pricing.edit([EditPolicy(policy.id, policy.seller_id, changes)]))


def test_a_bad_policy_is_refused_by_field_and_its_neighbours_are_made(shop: Shop, seller: Account) -> None:
    bad, good, lost, nobody = shop.pricing.create(
        [
            CreatePolicy(seller.id, {"name": "", "parameters": {"caution": -1}, "epoch_seconds": 0.5}),
            CreatePolicy(seller.id, {"name": "Good"}),
            CreatePolicy(seller.id, {"name": "Lost", "category_id": 999}),
            CreatePolicy(shop.person("x").id + 1, {"name": "Nobody's"}),  # type: ignore[arg-type]
        ]
    )
    assert isinstance(bad, Invalid)
    assert set(bad.errors) == {"name", "epoch_seconds", "parameters.caution"}
    assert isinstance(good, PricingPolicy)
    assert isinstance(lost, Invalid)
    assert set(lost.errors) == {"category_id"}
    assert isinstance(nobody, NotFound)
    assert [each.name for each in shop.queries.policies(seller.id, PageRequest()).rows] == ["Good"]


def test_days_may_be_fractions(make: Make) -> None:
    assert make(guardrails={"cooldown_days": 3.5, "least_history_days": 0}).guardrails.cooldown_days == 3.5


def test_the_season_of_a_policy_ends_in_the_future_when_it_is_set(shop: Shop, make: Make) -> None:
    until = shop.clock.now() + timedelta(days=90)
    policy = make(stock_until=until.isoformat())
    assert policy.stock_until == until
    shop.clock.advance(days=91)
    assert edit(shop, policy, name="Summer", stock_until=until.isoformat()).name == "Summer"
    with pytest.raises(Invalid) as caught:
        edit(shop, policy, stock_until=(until + timedelta(hours=1)).isoformat())
    assert list(caught.value.errors) == ["stock_until"]
    assert edit(shop, policy, stock_until=None).stock_until is None


def test_a_seller_has_so_many_policies_at_most(shop: Shop, seller: Account) -> None:
    outcomes = shop.pricing.create(
        [CreatePolicy(seller.id, {"name": f"{n}", "is_active": False}) for n in range(MAX_POLICIES_PER_SELLER + 1)]
    )
    assert isinstance(outcomes[-1], TooManyPolicies)
    assert all(isinstance(outcome, PricingPolicy) for outcome in outcomes[:-1])


def test_an_edit_counts_and_is_its_seller_s(shop: Shop, buyer: Account, make: Make) -> None:
    policy = make()
    renamed = edit(shop, policy, name="Renamed")
    assert (renamed.name, renamed.version) == ("Renamed", 2)
    late, foreign, by_staff = shop.pricing.edit(
        [
            EditPolicy(policy.id, policy.seller_id, {"name": "Late"}, expected_version=1),
            EditPolicy(policy.id, buyer.id, {"name": "Mine"}),
            EditPolicy(policy.id, buyer.id, {"is_shadow": True}, as_staff=True),
        ]
    )
    assert isinstance(late, VersionMismatch)
    assert isinstance(foreign, NotFound)
    assert isinstance(by_staff, PricingPolicy)
    assert (by_staff.name, by_staff.is_shadow) == ("Renamed", True)


def test_a_refused_edit_leaves_nothing_to_its_neighbour(shop: Shop, make: Make) -> None:
    policy = make()
    lost, named = shop.pricing.edit(
        [
            EditPolicy(policy.id, policy.seller_id, {"category_id": 999, "fee": 0.5}),
            EditPolicy(policy.id, policy.seller_id, {"name": "Named"}),
        ]
    )
    assert isinstance(lost, Invalid)
    assert isinstance(named, PricingPolicy)
    kept = shop.queries.policy(policy.id)
    assert kept is not None
    assert (kept.name, kept.category_id, kept.fee, kept.version) == ("Named", None, 0.0, 2)


def test_other_rules_forget_what_was_learned_and_other_numbers_do_not(shop: Shop, seller: Account, make: Make) -> None:
    shop.list(seller, cost=None)
    policy = make()
    shop.market.repricing.run(policy.id)

    def remembers() -> bool:
        with shop.store.begin() as tx:
            return bool(tx.runs.blocks(policy.id))

    edit(shop, policy, parameters={"caution": 0.1})
    assert remembers()
    at_work = shop.market.repricing.begin(policy.id)
    edit(shop, policy, policy="hill_climb", parameters={})
    assert not remembers()
    assert shop.market.repricing.get_run(at_work.id).status is RunStatus.CANCELLED


def test_what_is_deleted_lets_its_products_go(shop: Shop, seller: Account, make: Make) -> None:
    product = shop.list(seller)
    policy = make(assigned_only=True)
    unwrap_single(shop.pricing.assign([AssignProduct(product, seller.id, policy.id)]))
    run = shop.market.repricing.begin(policy.id)
    unwrap_single(shop.pricing.delete([DeletePolicy(policy.id, seller.id)]))
    assert shop.market.repricing.get_run(run.id).status is RunStatus.CANCELLED
    assert unwrap_single(shop.pricing.assign([AssignProduct(product, seller.id, None)])) == Assignment(product)
    (again,) = shop.pricing.delete([DeletePolicy(policy.id, seller.id)])
    assert isinstance(again, NotFound)


def test_products_are_assigned_and_excluded_by_their_seller(
    shop: Shop, seller: Account, buyer: Account, make: Make
) -> None:
    first, second = shop.list(seller), shop.list(seller)
    mine, theirs = make(), make(shop.person("sue"))
    outcomes = shop.pricing.assign(
        [
            AssignProduct(first, seller.id, None),
            AssignProduct(first, seller.id, mine.id),
            AssignProduct(second, seller.id, theirs.id),
            AssignProduct(second, buyer.id, mine.id),
            AssignProduct(ProductId(999), seller.id, mine.id),
            AssignProduct(second, seller.id, PolicyId(999)),
        ]
    )
    assert outcomes[:2] == [Assignment(first, mine.id)] * 2, "of several about one product, the last counts"
    assert [type(outcome) for outcome in outcomes[2:]] == [NotFound, Forbidden, NotFound, NotFound]
    excluded, refused = shop.pricing.exclude([ExcludeProduct(first, seller.id), ExcludeProduct(second, buyer.id)])
    assert excluded == Assignment(first, mine.id, is_excluded=True)
    assert isinstance(refused, Forbidden)
    assert shop.market.repricing.preview(mine.id).looked_at == 1
    assert unwrap_single(shop.pricing.exclude([ExcludeProduct(first, seller.id, excluded=False)])) == Assignment(
        first, mine.id
    )
    assert shop.market.repricing.preview(mine.id).looked_at == 2


def test_deactivated_policies_and_stopped_pricing_end_runs(shop: Shop, seller: Account, make: Make) -> None:
    shop.list(seller)
    policy, other = make(), make(assigned_only=True)
    run = shop.market.repricing.begin(policy.id)
    with pytest.raises(RunInProgress):
        shop.market.repricing.begin(policy.id)
    edit(shop, policy, is_active=False)
    assert shop.market.repricing.finish(run.id).status is RunStatus.CANCELLED
    with pytest.raises(PricingStopped):
        shop.market.repricing.begin(policy.id)
    assert shop.market.repricing.due() == [other.id]
    shop.pricing.stop()
    assert shop.market.repricing.due() == []
    with pytest.raises(PricingStopped):
        shop.market.repricing.begin(other.id)
    shop.pricing.resume()
    shadow = shop.market.repricing.run(edit(shop, policy, is_active=True, is_shadow=True).id)
    with pytest.raises(RunNotReversible):
        shop.market.repricing.begin_rollback(shadow.id)


def test_a_policy_looks_at_products_of_its_category_alone(shop: Shop, seller: Account, make: Make) -> None:
    shop.list(seller)
    elsewhere, here = make(category_id=CategoryId(2)), make()
    assert shop.market.repricing.preview(elsewhere.id).looked_at == 0
    assert shop.market.repricing.preview(here.id).looked_at == 1
    shop.clock.advance(days=timedelta(days=7).days)
    assert shop.market.repricing.due() == [elsewhere.id, here.id]


def test_a_category_that_does_not_exist_is_not_found(shop: Shop, make: Make) -> None:
    nowhere = Selection(CategoryId(999))
    with pytest.raises(NotFound, match="category 999"):
        shop.market.repricing.run(make().id, only=nowhere)
    with pytest.raises(NotFound, match="category 999"):
        shop.market.repricing.preview(make().id, only=nowhere)
    assert shop.queries.runs(None, PageRequest()).rows == ()


# --- what a run sees, and what is told of it


def seen(shop: Shop, policy: PricingPolicy, product: ProductId) -> tuple[dict[str, Any], dict[str, str]]:
    """The signals that the next run stores, and the sentences that describe them."""
    run = shop.market.repricing.run(policy.id)
    (stored,) = shop.queries.product_decisions(product, PageRequest(1)).rows
    assert stored.run_id == run.id
    return input_values(stored.inputs), explain_inputs(stored.inputs)


def test_a_run_sees_what_happened_since_the_last_one_and_tells_it(
    shop: Shop, seller: Account, buyer: Account, make: Make
) -> None:
    product = shop.list(seller, stock=90, cost=usd("6.00"))
    policy = make(
        epoch_seconds=86_400, fee=0.1, stock_days=20, guardrails=RAILS | {"step": 0}, policy="elasticity_learning"
    )
    shop.clock.advance(days=10)
    shop.catalog.record_views(ViewBatch("one", {(product, shop.clock.now()): 40}))
    facts, told = seen(shop, policy, product)
    assert [facts[name] for name in ("views", "days", "fee", "days_left", "epoch_days")] == [40, 10, 1000, 20, 1]
    assert told["price"] == "10.00, in force for 10 days"
    assert told["demand"] == "40 views and 0 units sold in 10 days on sale, a conversion of 0.0%"
    assert told["stock"] == "90 units, intended to last 20 days"
    assert told["cost"] == "6.00 and a fee of 10.0%: a margin of 30.0% of the price"
    assert told["belief"].startswith("a price 1 % higher sells 2.6 % less, plus or minus 0.9 (elasticity -2.61)")
    shop.catalog.record_views(ViewBatch("two", {(product, shop.clock.now()): 6}))
    shop.buy(buyer, line(product, 3))
    shop.market.relay.assign_sequence()
    shop.market.statistics.catch_up()
    shop.clock.advance(days=1)
    facts, told = seen(shop, policy, product)
    assert (facts["views"], facts["units"], facts["days"]) == (6, 3, 1)
    assert told["stock"] == "87 units, enough for 29 days at this rate of sales, intended to last 20 days"
    shop.clock.advance(minutes=1)
    shop.edit(product, price=usd("14.00"))
    shop.clock.advance(days=1)
    facts, told = seen(shop, policy, product)
    assert (facts["price"], facts["reference"], facts["seller_price"]) == (1400, 1000, 1400)
    assert facts["counted_views"] == 0, "views at another price do not count for this one"
    assert told["past prices"] == (
        "10.00 to 14.00 in the last 4.3 days, median 10.00 in the last 12 days;"
        " last set by hand, rollback or withdrawal 1 day earlier"
    )


def test_past_prices_of_a_new_product_cover_its_age_only(shop: Shop, seller: Account, make: Make) -> None:
    product = shop.list(seller)
    policy = make(policy="hill_climb")
    shop.clock.advance(seconds=2)
    _, told = seen(shop, policy, product)
    assert told["past prices"] == "always 10.00 in the last 2 seconds, median 10.00 in the last 2 seconds"


def test_without_cost_views_or_moves_it_says_so(shop: Shop, seller: Account, make: Make) -> None:
    product = shop.list(seller)
    policy = make(policy="hill_climb")
    _, told = seen(shop, policy, product)
    assert told["cost"] == "unknown, so the price stays near the seller's price"
    assert told["demand"] == "no data at this price yet"
    assert "belief" not in told


def test_a_decision_knows_from_when_until_when_its_price_was_in_force(shop: Shop, seller: Account, make: Make) -> None:
    product = shop.list(seller, cost=usd("9.50"))
    policy = make(epoch_seconds=86_400, guardrails=RAILS | {"cooldown_days": 0, "day_range": 0.5, "month_range": 0.5})
    times = []
    for _ in range(3):
        shop.clock.advance(days=10)
        run = shop.market.repricing.run(policy.id)
        assert run.written == 1
        times.append(shop.product(product).priced_at)
    last, second, first = shop.queries.product_decisions(product, PageRequest(3)).rows
    assert [(each.in_force_from, each.in_force_until) for each in (first, second, last)] == [
        (times[0], times[1]), (times[1], times[2]), (times[2], None),
    ]  # fmt: skip
    shop.clock.advance(days=1)
    shop.market.repricing.rollback(last.run_id)
    (taken_back,) = shop.queries.decisions(last.run_id, PageRequest(1)).rows
    assert (taken_back.in_force_from, taken_back.in_force_until) == (times[2], shop.product(product).priced_at)


def test_a_rollback_of_prices_that_have_all_moved_says_so_and_leaves_the_run_done(
    shop: Shop, seller: Account, make: Make
) -> None:
    product = shop.list(seller, cost=usd("9.50"))
    other = shop.list(seller, cost=usd("9.50"))
    policy = make(guardrails=RAILS | {"cooldown_days": 0})
    shop.clock.advance(days=10)
    run = shop.market.repricing.run(policy.id)
    assert run.written == 2
    shop.clock.advance(days=1)
    shop.edit(product, price=usd("7.00"))
    shop.edit(other, price=usd("8.00"))
    shop.clock.advance(days=1)
    for _ in range(2):
        undone = shop.market.repricing.rollback(run.id)
        assert (undone.status, undone.undone) == (RunStatus.DONE, 0)
        assert undone.note == "A rollback restored none of the 2 prices: all of them had changed since and were kept."
    assert [shop.product(each).price for each in (product, other)] == [usd("7.00"), usd("8.00")]


def test_a_rollback_of_prices_of_which_some_have_moved_counts_them(shop: Shop, seller: Account, make: Make) -> None:
    product, other = shop.list(seller, cost=usd("9.50")), shop.list(seller, cost=usd("9.50"))
    policy = make(guardrails=RAILS | {"cooldown_days": 0})
    shop.clock.advance(days=10)
    run = shop.market.repricing.run(policy.id)
    shop.clock.advance(days=1)
    shop.edit(product, price=usd("7.00"))
    shop.clock.advance(days=1)
    undone = shop.market.repricing.rollback(run.id)
    assert (undone.status, undone.undone) == (RunStatus.ROLLED_BACK, 1)
    assert undone.note == "1 of 2 prices were restored; 1 had changed since and was kept."
    assert shop.product(other).price == usd("10.00")


# --- what changes while a run is at work


def decided(shop: Shop, policy: PricingPolicy) -> RunId:
    """A run that has decided all ranges and written none."""
    run = shop.market.repricing.begin(policy.id)
    while shop.market.repricing.get_run(run.id).status is RunStatus.DECIDING:
        shop.market.repricing.step(run.id)
    return run.id


def exclude(shop: Shop, product: ProductId, seller: Account) -> None:
    unwrap_single(shop.pricing.exclude([ExcludeProduct(product, seller.id)]))


def assign_elsewhere(shop: Shop, product: ProductId, seller: Account) -> None:
    other = unwrap_single(shop.pricing.create([CreatePolicy(seller.id, {"name": "Other", "assigned_only": True})]))
    unwrap_single(shop.pricing.assign([AssignProduct(product, seller.id, other.id)]))


@pytest.mark.parametrize(
    ("meanwhile", "price"),
    [
        (lambda _shop, _product, _seller: None, "10.40"),
        (exclude, "10.00"),
        (assign_elsewhere, "10.00"),
        (lambda shop, product, _seller: shop.edit(product, is_active=False), "10.00"),
        (lambda shop, product, _seller: shop.edit(product, max_price=usd("10.10")), "10.00"),
        (lambda shop, product, _seller: shop.edit(product, max_price=usd("10.40")), "10.40"),
        (lambda shop, product, _seller: shop.edit(product, max_price=usd("9.00"), cost=usd("11.00")), "10.40"),
        (lambda shop, product, _seller: shop.edit(product, min_price=usd("11.00")), "10.40"),
    ],
)
def test_what_the_seller_forbids_after_the_look_is_not_written(
    shop: Shop, seller: Account, make: Make, meanwhile: Callable[[Shop, ProductId, Account], None], price: str
) -> None:
    product = shop.list(seller, cost=usd("9.00"))
    shop.clock.advance(days=30)
    run = decided(shop, make(parameters={"caution": 0, "vary": False}))
    meanwhile(shop, product, seller)
    done = shop.market.repricing.finish(run)
    assert shop.queries.products([product])[product].price == usd(price)
    assert done.written == (price == "10.40") == 1 - done.superseded


def test_a_cut_of_the_price_below_a_new_floor_is_not_written(shop: Shop, seller: Account, make: Make) -> None:
    policy = make(parameters={"caution": 0, "vary": False})
    dear, bound = (shop.list(seller, cost=usd("1.00")) for _ in range(2))
    shop.clock.advance(days=30)
    run = decided(shop, policy)
    shop.edit(dear, cost=usd("9.80"))
    shop.edit(bound, min_price=usd("9.70"))
    done = shop.market.repricing.finish(run)
    assert (done.tally.moves, done.tally.total_move < 0, done.written) == (2, True, 0)


def test_what_is_asked_for_is_what_goes_on(shop: Shop, seller: Account, make: Make) -> None:
    shop.list(seller, cost=usd("9.00"))
    policy = make()
    run = shop.market.repricing.begin(policy.id)
    for shadow, only in ((True, EVERYTHING), (False, Selection(limit=1)), (False, Selection(CategoryId(1)))):
        with pytest.raises(RunInProgress):
            shop.market.repricing.run(policy.id, shadow=shadow, only=only)
    assert shop.market.repricing.run(policy.id).id == run.id


def test_a_run_that_is_cancelled_by_an_edit_says_what_it_has_written(shop: Shop, seller: Account, make: Make) -> None:
    shop.list(seller, cost=usd("9.00"))
    policy = make(parameters={"caution": 0, "vary": False})
    shop.clock.advance(days=30)
    run = decided(shop, policy)
    shop.market.repricing.step(run)
    edit(shop, policy, policy="hill_climb", parameters={})
    found = shop.market.repricing.get_run(run)
    assert (found.status, found.tally.decided, found.written) == (RunStatus.CANCELLED, 1, 1)


def test_a_price_may_move_each_epoch_though_it_begins_after_the_look(shop: Shop, seller: Account, make: Make) -> None:
    product = shop.list(seller, cost=usd("9.90"))
    shop.clock.advance(days=30)
    policy = make(parameters={"caution": 0, "vary": False}, guardrails=RAILS | {"month_range": 0.9})
    start, written = shop.clock.now(), []
    for epoch in range(4):
        shop.clock.advance(seconds=(start + epoch * policy.epoch - shop.clock.now()).total_seconds())
        run = decided(shop, policy)
        shop.clock.advance(minutes=5)
        written.append(shop.market.repricing.finish(run).written)
    assert written == [1, 1, 1, 1]
    (stored,) = shop.queries.product_decisions(product, PageRequest(1)).rows
    assert stored.decision.guardrails == ()


def test_a_price_rests_though_its_run_came_late(shop: Shop, seller: Account, make: Make) -> None:
    shop.list(seller, cost=usd("9.00"))
    shop.clock.advance(days=30)
    policy = make(parameters={"caution": 0, "vary": False})
    start = shop.clock.now()
    shop.clock.advance(hours=2)
    assert shop.market.repricing.run(policy.id).written == 1
    shop.clock.advance(seconds=(start + policy.epoch - shop.clock.now()).total_seconds())
    late = shop.market.repricing.run(policy.id)
    (stored,) = shop.queries.decisions(late.id, PageRequest(1)).rows
    assert stored.decision.guardrails == ("cooldown",)


def test_rules_that_nobody_knows_can_be_shown_but_not_followed() -> None:
    facts = {"id": PolicyId(1), "seller_id": AccountId(2), "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    document = {"name": "Mine", "policy": "gone", "parameters": {"depth": 3}, "is_shadow": True}
    with pytest.raises(Invalid):
        PricingPolicy.from_document(document, **facts)  # type: ignore[arg-type]
    policy = PricingPolicy.from_stored(document, **facts)
    assert {name: policy.document()[name] for name in document} == document
    with pytest.raises(Invalid):
        policy.strategy()


def test_a_number_beyond_all_floats_is_refused(shop: Shop, seller: Account) -> None:
    huge = {"name": "Huge", "parameters": {"pace": 10**400}, "guardrails": {"least_views": -(10**400)}}
    refused, made = shop.pricing.create([CreatePolicy(seller.id, huge), CreatePolicy(seller.id, {"name": "Good"})])
    assert isinstance(refused, Invalid)
    assert isinstance(made, PricingPolicy)


# --- limits of an account


def test_an_account_has_a_limited_number_of_active_policies(shop: Shop, seller: Account, make: Make) -> None:
    limit = PricingRules().active_policies
    active = [make(name=f"Policy {n}", assigned_only=True) for n in range(limit)]
    with pytest.raises(TooManyPolicies, match=f"at most {limit} active"):
        make()
    spare = make(is_active=False)
    with pytest.raises(TooManyPolicies):
        edit(shop, spare, is_active=True)
    edit(shop, spare, name="Renamed")
    outcomes = shop.pricing.edit(
        [
            EditPolicy(active[0].id, seller.id, {"is_active": False}),
            EditPolicy(spare.id, seller.id, {"is_active": True}),
            EditPolicy(active[0].id, seller.id, {"is_active": True}),
        ]
    )
    assert [isinstance(each, TooManyPolicies) for each in outcomes] == [False, False, True]
    make(owner=shop.person("other"))


def test_an_epoch_has_a_minimum_except_for_staff(shop: Shop, make: Make) -> None:
    with pytest.raises(Invalid) as refused:
        make(epoch_seconds=59)
    assert refused.value.errors == {"epoch_seconds": ["Must be at least 60 seconds."]}
    policy = make(epoch_seconds=60)
    with pytest.raises(Invalid):
        edit(shop, policy, epoch_seconds=1)
    staff = unwrap_single(shop.accounts.sign_up([SignUp("staff@example.com", PASSWORD, is_staff=True)]))
    assert edit(shop, make(owner=staff, epoch_seconds=1), epoch_seconds=2).epoch == timedelta(seconds=2)


def test_a_policy_with_a_shorter_epoch_from_before_can_still_be_edited(shop: Shop, make: Make) -> None:
    policy = make(epoch_seconds=60)
    with shop.store.begin() as tx:
        found = tx.policies.lock([policy.id])[policy.id]
        found.edit(epoch_seconds=1)
        tx.policies.save([found])
    assert edit(shop, policy, epoch_seconds=1, fee=0.1).fee == 0.1
    with pytest.raises(Invalid):
        edit(shop, policy, epoch_seconds=2)


def test_edits_of_the_epoch_do_not_bring_runs_closer_than_the_minimum(shop: Shop, make: Make) -> None:
    policy = make(epoch_seconds=3_600)
    shop.market.repricing.run(policy.id)
    shop.clock.advance(seconds=61)
    edit(shop, policy, epoch_seconds=62)
    shop.clock.advance(seconds=59)
    assert shop.market.repricing.due() == []
    shop.clock.advance(seconds=1)
    assert shop.market.repricing.due() == [policy.id]


# --- minimum hold


def test_a_price_is_kept_for_the_minimum_hold_of_its_category(shop: Shop, seller: Account, make: Make) -> None:
    categories = {category.id: category for category in shop.queries.categories()}
    first, second = list(categories)[:2]
    held, free = (shop.list(seller, category_id=category, cost=usd("9.00")) for category in (first, second))
    shop.catalog.record_views(ViewBatch("views", {(product, shop.clock.now()): 400 for product in (held, free)}))
    policy = make(guardrails=RAILS | {"cooldown_days": 0}, epoch_seconds=86_400)
    (changed,) = shop.pricing.set_min_holds([SetMinHold(first, 3)])
    assert isinstance(changed, Category)
    assert changed.min_hold == timedelta(days=3)
    shop.clock.advance(minutes=1)
    moved_after: dict[ProductId, int] = {}
    for day in range(6):
        run = shop.market.repricing.run(policy.id)
        for stored in shop.queries.decisions(run.id, PageRequest()).rows:
            if stored.decision.moves:
                moved_after.setdefault(stored.decision.product_id, day)
            elif stored.decision.product_id == held and day < 3:
                assert stored.decision.guardrails == ("min_hold",)
                assert stored.decision.sentence.endswith(
                    "the marketplace keeps each price of this category for a minimum time."
                )
                assert explain_inputs(stored.inputs)["minimum hold"] == "3 days for each price of the category"
        shop.clock.advance(days=1)
    assert moved_after[free] == 0
    assert moved_after[held] == 3


@pytest.mark.parametrize("days", [-1, 366, float("nan"), float("inf")])
def test_a_minimum_hold_has_bounds(shop: Shop, days: float) -> None:
    category = shop.queries.categories()[0].id
    refused, missing = shop.pricing.set_min_holds([SetMinHold(category, days), SetMinHold(CategoryId(10**6), 1)])
    assert isinstance(refused, Invalid)
    assert set(refused.errors) == {"min_hold_days"}
    assert isinstance(missing, NotFound)
