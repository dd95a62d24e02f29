"""Observation: what counts as evidence, and how readings are kept between runs."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId
from scalecommerce_core.pricing.explaining import explain_inputs
from scalecommerce_core.pricing.facts import DAY, FACTS, NEUTRAL_FACTS, Facts, PriceIntervals
from scalecommerce_core.pricing.observation import RangeResult, decide_range, pool_state
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_state import PolicyState
from scalecommerce_core.pricing.promotion_windows import PromotionWindows
from scalecommerce_core.pricing.replay import replay

NOW = 2_000 * DAY
POLICY = PricingPolicy(PolicyId(1), AccountId(1), "Learn", datetime(2026, 1, 1, tzinfo=UTC))
STRATEGY = POLICY.strategy()


def facts(price: int, priced_at: int, **more: int) -> Facts:
    """One product, listed 100 days ago."""
    row = {
        "product": 1, "category": 1, "created_at": NOW - 100 * DAY, "cost": 500, "min_price": -1, "max_price": -1,
        "stock": 50, "views_ever": 900, "views": 900, "orders": 40, "units": 40, "refunded": 0, "net_units": 40,
        "net_amount": 40_000, "out_of_stock": 0, "minor_per_unit": 100, **NEUTRAL_FACTS,
    }  # fmt: skip
    row |= {"price": price, "priced_at": priced_at, **more}
    return Facts(*(np.array([row[name]], dtype=np.int64) for name in FACTS))


def past(*changes: tuple[int, ...]) -> PriceIntervals:
    """Changes by hand as (valid from, price, withdrawn), and optionally views and units."""
    rows = [
        (1, valid_from, price, 1, withdrawn, 0, *(counts[:1] or (0,)), *(counts[1:] or (0,)) * 2, 0)
        for valid_from, price, withdrawn, *counts in changes
    ]
    return PriceIntervals.of_table(np.array(rows, dtype=np.int64))


def decide(facts: Facts, past: PriceIntervals, epoch: int, now: int, state: PolicyState | None = None) -> RangeResult:
    state = state or PolicyState.empty(STRATEGY.columns)
    return decide_range(
        POLICY, STRATEGY, policy_state=state, category_parameters={}, facts=facts, past=past, epoch=epoch, now=now
    )


def test_the_price_before_a_withdrawn_one_counts_in_its_time() -> None:
    began, ended = NOW - 2 * DAY, NOW - DAY
    listed = (NOW - 100 * DAY, 1_000, False)
    for is_withdrawn, lowest in ((True, 1_000), (False, 1)):
        history = past(listed, (began, 1, is_withdrawn), (ended, 1_000, False))
        signals = decide(facts(1_000, ended), history, 1, NOW).signals
        assert (signals.lowest_30d.item(), signals.median_90d.item()) == (lowest, 1_000)


def test_what_was_learned_at_a_withdrawn_price_is_discarded() -> None:
    # The mistaken price is close to the right one, and lasts for two runs, so its sales were observed.
    began, ended = NOW - 15 * DAY, NOW - DAY
    listed = (NOW - 100 * DAY, 1_000, False)
    before = past(listed, (began, 900, False))
    first = decide(facts(900, began), before, 1, NOW - 14 * DAY)
    second = decide(facts(900, began, views=1_900, units=400), before, 2, NOW - 7 * DAY, first.policy_state)
    assert second.signals.units.item() == 360
    after = {
        is_withdrawn: decide(
            facts(1_000, ended, views=2_000, units=410),
            past(listed, (began, 900, is_withdrawn), (ended, 1_000, False)),
            3,
            NOW,
            second.policy_state,
        )
        for is_withdrawn in (True, False)
    }
    new = decide(
        facts(1_000, ended, views=2_000, units=410),
        past(listed, (began, 900, True), (ended, 1_000, False)),
        3,
        NOW,
    )
    for name, values in after[True].state.products.items():
        assert np.array_equal(values, new.state.products[name], equal_nan=True), name
    assert any(
        not np.array_equal(values, new.state.products[name], equal_nan=True)
        for name, values in after[False].state.products.items()
    )


def test_forged_views_are_remembered_between_runs() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    state, views = None, 900
    for week in range(8, 0, -1):
        views += 1_000
        result = decide(
            facts(1_000, began, views=views, units=views // 40), history, 9 - week, NOW - 7 * week * DAY, state
        )
        state = PolicyState.from_bytes(result.policy_state.to_bytes())
        assert result.signals.weight.item() == 1
    forged = decide(facts(1_000, began, views=views + 10_000, units=views // 40 + 25), history, 9, NOW, state)
    assert 800 < forged.signals.views.item() < 1_100
    assert forged.signals.counted_views.item() == 10_000
    assert forged.decisions[0].guardrails == ("anomaly_hold",)


def test_refunds_since_the_last_run_are_a_signal() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    first = decide(facts(1_000, began, units=40, refunded=3), history, 1, NOW - 7 * DAY)
    second = decide(facts(1_000, began, views=950, units=43, refunded=5), history, 2, NOW, first.policy_state)
    assert (second.signals.units.item(), second.signals.refunded.item()) == (1, 2)


def learned(result: RangeResult) -> dict[str, Any]:
    """The state of the only product; unknown values, which are not equal to themselves, are None."""
    columns = {name: values[0].tolist() for name, values in result.state.products.items()}
    return {name: None if np.isnan(value).any() else value for name, value in columns.items()}


def test_sales_in_a_promotion_are_no_evidence() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    first = decide(facts(1_000, began), history, 1, NOW - 14 * DAY)
    begin, end = NOW - 12 * DAY, NOW - 9 * DAY
    flagged = {"promoted_from": begin, "promoted_until": end}
    sold = {"views": 2_900, "units": 400, "orders": 400, "net_units": 400, "net_amount": 400_000}
    second = decide(facts(1_000, began, **sold, **flagged), history, 2, NOW - 7 * DAY, first.policy_state)
    counted = {name: getattr(second.signals, name).item() for name in ("views", "units", "orders", "weight", "days")}
    assert counted == dict.fromkeys(counted, 0.0)
    assert second.signals.late_units.item() == 0
    assert explain_inputs(second.inputs)["demand"].startswith("not used: a promotion ran")
    assert {name: learned(second)[name] for name in "ab"} == {name: learned(first)[name] for name in "ab"}
    # The readings advance: what was sold in the promotion never counts.
    more = {"views": 3_000, "units": 404, "orders": 404, "net_units": 404, "net_amount": 404_000}
    third = decide(facts(1_000, began, **more, **flagged), history, 3, NOW, second.policy_state)
    assert [getattr(third.signals, name).item() for name in ("views", "units", "promoted")] == [100, 4, False]


def test_a_running_promotion_is_a_signal() -> None:
    began = NOW - 100 * DAY
    running = facts(1_000, began, promoted_from=NOW - DAY, promoted_until=NOW + DAY)
    result = decide(running, past((began, 1_000, False)), 1, NOW)
    assert result.signals.promoted.item()
    assert result.decisions[0].guardrails == ("promotion",)


def test_a_price_of_a_promotion_is_no_evidence() -> None:
    began, reduced, ended = NOW - 100 * DAY, NOW - 20 * DAY, NOW - 15 * DAY
    rows = past((began, 1_000, False, 800, 20), (reduced, 700, False, 900, 80), (ended, 1_000, False))
    flagged = evolve(rows, is_promoted=np.array([False, True, False]))
    now = facts(1_000, ended, views=150, units=4, orders=4, net_units=104, net_amount=80_000)
    plain = decide(now, rows, 1, NOW)
    held = decide(now, flagged, 1, NOW)
    without = decide(now, rows.rows(np.array([True, False, True])), 1, NOW)
    assert learned(held)["b"] == pytest.approx(learned(without)["b"], rel=0.05)
    assert learned(plain)["b"] < learned(held)["b"] - 0.01


def test_states_of_earlier_releases_lose_one_epoch_at_most() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    first = decide(facts(1_000, began, refunded=3), history, 1, NOW - 14 * DAY)
    # Their totals were those of the product at all prices, net of refunds.
    names = ("orders", "net_units", "net_amount", "assumed_views", "seller_price")
    kept = {name: values for name, values in first.policy_state.baseline.items() if name not in names}
    former = PolicyState.from_bytes(
        evolve(first.policy_state, views=np.array([9_000]), units=np.array([700]), baseline=kept).to_bytes()
    )
    sold = {"views": 1_000, "units": 44, "orders": 44, "refunded": 3, "net_units": 41, "net_amount": 41_000}
    second = decide(facts(1_000, began, **sold), history, 2, NOW - 7 * DAY, former)
    assert [getattr(second.signals, name).item() for name in ("views", "units", "late_units", "weight")] == [0, 0, 0, 0]
    more = {"views": 1_100, "units": 49, "orders": 48, "refunded": 4, "net_units": 45, "net_amount": 45_000}
    third = decide(facts(1_000, began, **more), history, 3, NOW, second.policy_state)
    assert [getattr(third.signals, name).item() for name in ("views", "orders", "units", "late_units")] == [
        100,
        4,
        4,
        0,
    ]
    # The totals of a price that began after the last run count in full.
    changed = NOW - 14 * DAY + 1
    written = evolve(former, priced_at=np.array([changed]))
    sold = {"views": 90, "units": 5, "orders": 4, "refunded": 1, "net_units": 41, "net_amount": 41_000}
    began_then = past((began, 1_000, False), (changed, 1_050, False))
    renewed = decide(facts(1_050, changed, **sold), began_then, 2, NOW - 7 * DAY, written)
    assert [getattr(renewed.signals, name).item() for name in ("views", "orders", "units", "refunded")] == [90, 4, 4, 1]


def test_time_without_stock_is_no_time_on_sale() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    first = decide(facts(1_000, began), history, 1, NOW - 7 * DAY)
    second = decide(facts(1_000, began, out_of_stock=3 * DAY), history, 2, NOW, first.policy_state)
    assert second.signals.days.item() == 4


def test_the_time_that_the_stock_must_last_counts_down() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    for until, days in ((NOW + 12 * DAY, 12), (NOW - DAY, np.inf), (-1, np.inf)):
        assert decide(facts(1_000, began, stock_until=until), history, 1, NOW).signals.days_left.item() == days


def test_decisions_of_products_do_not_depend_on_others() -> None:
    """The number of ended prices differs between products, and each is learned as if it were alone."""
    began, changed = NOW - 100 * DAY, NOW - 30 * DAY
    one = past((began, 1_000, False, 900, 20), (changed, 1_100, False, 500, 8), (NOW - 20 * DAY, 1_000, False, 90, 2))
    first = facts(1_000, NOW - 20 * DAY, views=90, units=2, orders=2)
    second = facts(1_000, began, product=2, views=500, units=9, orders=5)
    both = Facts(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in FACTS))
    groups = {CategoryId(1): decide(first, one, 1, NOW).category_parameters[CategoryId(1)]}

    def alone(facts: Facts) -> RangeResult:
        return decide_range(
            POLICY, STRATEGY, policy_state=PolicyState.empty(STRATEGY.columns), category_parameters=groups, facts=facts,
            past=one, epoch=1, now=NOW,
        )  # fmt: skip

    together = alone(both)
    for row, each in enumerate((first, second)):
        for name, values in alone(each).state.products.items():
            assert np.array_equal(together.state.products[name][row], values[0], equal_nan=True), name


def test_the_stock_horizon_is_that_of_the_product_then_of_the_policy_and_counts_down() -> None:
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=2_000)

    def days_left(policy: PricingPolicy, until: int, days_later: int = 0) -> float:
        seen = decide_range(
            policy,
            STRATEGY,
            policy_state=PolicyState.empty(STRATEGY.columns),
            category_parameters={},
            facts=facts(1_000, NOW - 100 * DAY, stock_until=until),
            past=past(),
            epoch=1,
            now=NOW + days_later * DAY,
        )
        return float(seen.signals.days_left.item())

    season = evolve(POLICY, stock_days=20.0, stock_until=now + timedelta(days=60))
    assert [days_left(season, NOW + 30 * DAY, day) for day in (0, 10, 29)] == [30, 20, 1]
    assert [days_left(season, NOW + 30 * DAY, day) for day in (30, 59)] == [30, 1], "the date of the policy"
    assert [days_left(season, -1, day) for day in (0, 60, 90)] == [60, 20, 20], (
        "then stock_days, which never counts down"
    )
    assert days_left(POLICY, NOW - 1) == days_left(POLICY, -1) == np.inf


@pytest.mark.parametrize("delay", [0, 1_000_000])
def test_sales_of_a_promotion_are_no_evidence_and_those_before_it_are(delay: int) -> None:
    starts, ends = NOW - 20 * DAY, NOW - 10 * DAY
    times = {"promoted_from": starts, "promoted_until": ends}

    def decided(units_before: int, units_meanwhile: int) -> RangeResult:
        rows = [
            (1, NOW - 100 * DAY, 1_000, 0, 0, 0, 4_000, units_before, units_before, 0),
            (1, starts + delay, 700, 0, 0, 1, 900, units_meanwhile, units_meanwhile, 0),
            (1, ends + delay, 1_000, 0, 0, 0, 500, 12, 12, 0),
        ]
        history = PriceIntervals.of_table(np.array(rows, dtype=np.int64))
        return decide(facts(1_000, ends + delay, views=500, orders=12, units=12, **times), history, 1, NOW)

    result = decided(100, 20)
    assert (result.signals.views.item(), result.signals.promoted.item()) == (500, False)
    assert result.signals.lowest_30d.item() == 1_000, "promotional prices do not limit the prices after them"
    assert learned(result) == learned(decided(100, 300))
    assert learned(result) != learned(decided(50, 20))


@pytest.mark.parametrize(("hours", "is_evidence"), [(0.9, True), (1.1, False), (30, False)])
def test_a_promotion_without_price_of_more_than_an_hour_spoils_an_epoch(hours: float, is_evidence: bool) -> None:
    began, day = NOW - 100 * DAY, NOW - 3 * DAY
    first = decide(facts(1_000, began), past((began, 1_000, False)), 1, NOW - 7 * DAY)
    seen = facts(
        1_000, began, views=1_900, units=80, orders=80, promoted_from=day, promoted_until=day + int(hours * DAY / 24)
    )
    second = decide(seen, past((began, 1_000, False)), 2, NOW, first.policy_state)
    assert second.signals.views.item() == (1_000 if is_evidence else 0)


def test_the_promoted_share_of_each_interval_is_found() -> None:
    rng = np.random.default_rng(3)
    products = np.repeat(np.arange(1, 9), 40)
    windows = PromotionWindows(
        products[products % 4 > 0], *np.sort(rng.integers(0, 10_000, (6, 80)), axis=1).reshape(-1, 2).T.copy()
    )
    valid_from = np.sort(rng.integers(0, 10_000, (8, 40)), axis=1).ravel()
    expected = [
        sum(
            max(min(end, until) - max(begun, start), 0)
            for product, start, until in zip(windows.product, windows.starts_at, windows.ends_at, strict=True)
            if product == mine
        )
        > 0.05 * (end - begun)
        for mine, begun, end in zip(
            products,
            valid_from,
            np.where(np.arange(320) % 40 == 39, valid_from + 1, np.append(valid_from[1:], 0)),
            strict=True,
        )
    ]
    assert windows.promoted(products, valid_from).tolist() == expected
    assert 50 < sum(expected) < 200


def test_windows_of_promotions_flag_the_intervals_that_they_overlap() -> None:
    day = np.arange(40, dtype=np.int64) * DAY
    windows = PromotionWindows(np.array([1, 1, 3]), day[[10, 30, 5]], day[[20, 33, 6]])
    product = np.array([1, 1, 1, 2, 3, 3, 4])
    begins = np.array([0, 10 * DAY + 5_000_000, 20 * DAY + 5_000_000, 0, 5 * DAY, 6 * DAY, 5 * DAY])
    assert windows.promoted(product, begins).tolist() == [False, True, False, False, True, False, False]
    inside = windows.promoted(np.array([1, 1]), day[[0, 31]])
    assert inside.tolist() == [True, True], "a third of the first one; the second, without end, began in a promotion"
    none = PromotionWindows(*np.empty((3, 0), dtype=np.int64))
    assert none.promoted(product, begins).tolist() == [False] * 7
    found = windows.facts(np.array([1, 2, 3]), int(day[25]))
    assert {name: (values // DAY).tolist() for name, values in found.items()} == {
        "promoted_from": [10, -1, 5], "promoted_until": [20, -1, 6], "next_promotion": [30, -1, -1],
    }  # fmt: skip


def test_a_price_of_some_hours_is_no_anomaly() -> None:
    """Few views at night, after a price was set by hand, are neither replaced nor a reason to hold the price."""
    began = NOW - 100 * DAY
    state, views, units = None, 900, 25
    for week in range(8, 0, -1):
        views, units = views + 1_000, units + 25
        sold = {"views": views, "units": units, "orders": units, "net_units": units, "net_amount": units * 1_000}
        history = past((began, 1_000, False))
        state = decide(facts(1_000, began, **sold), history, 9 - week, NOW - 7 * week * DAY, state).policy_state
    changed = NOW - DAY // 8
    ended = past((began, 1_000, False, views + 980, units + 24), (changed, 1_100, False))
    net = {"net_units": units + 24, "net_amount": (units + 24) * 1_000}
    result = decide(facts(1_100, changed, views=1, units=0, orders=0, **net), ended, 9, NOW, state)
    names = ("views", "units", "late_units", "counted_views", "is_held")
    assert [getattr(result.signals, name).item() for name in names] == [1, 0, 0, -1, False]
    assert result.decisions[0].guardrails == ("manual_edit",)


def test_late_sales_at_several_prices_have_the_last_known_price() -> None:
    """Three units of the last price and two refunds of one twice as high have no mean price."""
    began, changed = NOW - 100 * DAY, NOW - 7 * DAY + 1
    first = decide(facts(1_000, began), past((began, 1_000, False)), 1, NOW - 7 * DAY)
    ended = past((began, 1_000, False, 900, 40), (changed, 1_050, False))
    for units, amount, price in ((1, 3_000 - 4_000, 1_000), (3, 3_000, 1_000), (2, 2_400, 1_200), (-2, -1_800, 900)):
        net = {"net_units": 40 + units, "net_amount": 40_000 + amount}
        result = decide(facts(1_050, changed, views=0, units=0, orders=0, **net), ended, 2, NOW, first.policy_state)
        assert (result.signals.late_units.item(), result.signals.late_price.item()) == (units, price)


@pytest.mark.parametrize(("minutes", "learns"), [(1, False), (600, True)])
def test_a_new_product_learns_from_prices_that_lasted(minutes: int, learns: bool) -> None:
    """A product whose price changed every minute would otherwise need an update for each of them."""
    listed, last = (NOW - 100 * DAY, 1_000, False, 900, 40), (NOW - 30 * DAY, 1_000, False)
    slopes = []
    for views in (20, 2_000):
        short = [(NOW - 50 * DAY + n * minutes * DAY // 1_440, 900, False, views, 10) for n in range(30)]
        after = (short[-1][0] + minutes * DAY // 1_440, 1_000, False)
        changes = listed, *short, after, last
        slopes.append(decide(facts(1_000, last[0]), past(*changes), 1, NOW).state.products["b"].item())
    assert (slopes[0] != slopes[1]) is learns


def test_refunded_purchases_teach_nothing_after_a_change_of_the_price() -> None:
    """Purchases at a price that is no longer in force are refunded; those that were not refunded are learned."""
    began, changed = NOW - 100 * DAY, NOW - 7 * DAY + 1

    def learn(*, forged: int, refunded: int) -> list[float]:
        """Level and elasticity after a tenth week with forged purchases, and the week of their refunds."""
        state, sold, views = None, 0, 0
        for week in range(1, 11):
            sold, views = sold + 25 + forged * (week == 10), views + 1_000 + forged * (week == 10)
            counts = {"views": views, "units": sold, "orders": sold, "net_units": sold, "net_amount": sold * 1_000}
            at = NOW - 7 * (11 - week) * DAY
            state = decide(facts(1_000, began, **counts), past((began, 1_000, False)), week, at, state).policy_state
        ended = past((began, 1_000, False, views, sold))
        net = {"net_units": sold + 25 - refunded, "net_amount": (sold - refunded) * 1_000 + 25 * 1_030}
        seen = facts(1_030, changed, views=1_000, units=25, orders=25, **net)
        result = decide(seen, ended, 11, NOW, state)
        assert result.signals.late_units.item() == -refunded
        return [result.state.products[name].item() for name in ("a", "b")]

    honest = learn(forged=0, refunded=0)
    assert learn(forged=225, refunded=225) == pytest.approx(honest, rel=2e-3)
    assert learn(forged=15, refunded=0)[0] > honest[0] + 0.01


def test_a_return_to_a_price_of_the_policy_is_no_price_of_the_seller() -> None:
    """The policy sets 1,300; the seller lowers it for a sale that lasts two runs, and returns to it."""
    changes = [(NOW - 40 * DAY, 1_000, True), (NOW - 20 * DAY, 1_300, False), (NOW - 10 * DAY, 700, True)]

    def after(last: tuple[int, int, bool], days: int, state: PolicyState | None = None) -> RangeResult:
        until = [change for change in changes if change[0] < last[0]] + [last]
        intervals = past(*((valid_from, price, 0) for valid_from, price, _ in until))
        intervals = evolve(intervals, is_manual=np.array([by_hand for _, _, by_hand in until]))
        return decide(facts(last[1], last[0]), intervals, 40 - days, NOW - days * DAY, state)

    first = after(changes[0], 30)
    second = after(changes[1], 15, first.policy_state)
    sale = after(changes[2], 8, second.policy_state)
    assert sale.signals.own_price().tolist() == [700]
    back = after((NOW - 5 * DAY, 1_300, True), 1, sale.policy_state)
    assert back.signals.own_price().tolist() == [1_000]
    other = after((NOW - 5 * DAY, 1_400, True), 1, sale.policy_state)
    assert other.signals.own_price().tolist() == [1_400]


# --- views that follow the price


def shop(price: Any, views: Any, **more: Any) -> Facts:
    """400 products of four categories, priced at `price` a week ago, with `views` since."""
    size = 400
    row = {
        "product": np.arange(1, size + 1), "category": 1 + np.arange(size) % 4, "created_at": NOW - 100 * DAY,
        "priced_at": NOW - 7 * DAY, "cost": 500, "min_price": -1, "max_price": -1, "stock": 50, "views_ever": 900,
        "orders": 5, "units": 5, "refunded": 0, "net_units": 40, "net_amount": 40_000, "out_of_stock": 0,
        "minor_per_unit": 100, **NEUTRAL_FACTS, "price": price, "views": views, **more,
    }  # fmt: skip
    return Facts(*(np.broadcast_to(np.asarray(row[name], dtype=np.int64), size).copy() for name in FACTS))


@pytest.mark.parametrize("name", ["elasticity_learning", "hill_climb", "threshold", "linear_demand"])
def test_every_strategy_gets_views_without_the_effect_of_the_price(name: str) -> None:
    """Views are doubled above the reference price of 1,000, to which half of the prices rise and others fall."""
    policy = evolve(POLICY, policy=name)
    strategy, rng = policy.strategy(), np.random.default_rng(5)
    price = np.where(rng.random(400) < 0.5, 1_030, 970)
    nothing = past((NOW - 100 * DAY, 1_000, False)).rows(slice(0, 0))

    def run(state: PolicyState, parameters: Any, facts: Facts, epoch: int) -> RangeResult:
        return decide_range(
            policy, strategy, policy_state=state, category_parameters=parameters, facts=facts, past=nothing,
            epoch=epoch, now=NOW + (epoch - 1) * 7 * DAY,
        )  # fmt: skip

    views = rng.poisson(100, 400)
    first = run(PolicyState.empty(strategy.columns), {}, shop(1_000, views), 1)
    assert first.signals.view_side_effect.tolist() == [0.0] * 400
    forged = views * np.where(price > 1_000, 2, 1)
    second = run(first.policy_state, first.category_parameters, shop(price, forged, priced_at=NOW), 2)
    assert second.signals.views.tolist() == forged.tolist()
    stored = PolicyState.from_bytes(second.policy_state.to_bytes())
    state, parameters = pool_state(strategy, stored, first.category_parameters)
    assert state.product.tolist() == stored.product.tolist()
    assert parameters.keys() == {1, 2, 3, 4}
    sold = {"orders": 10, "units": 10, "net_units": 45, "net_amount": 45_000}
    third = run(state, parameters, shop(price, 2 * forged, priced_at=NOW, **sold), 3)
    rises = price > 1_000
    assert third.signals.views[rises].mean() / third.signals.views[~rises].mean() == pytest.approx(1.0, abs=0.05)
    assert (third.signals.view_side_effect == third.signals.view_side_effect[0]).all()
    assert third.signals.view_side_effect[0] < -0.4
    explained = explain_inputs(third.inputs)["demand"]
    assert "because views depend on the price" in explained
    # The decisions can be repeated, with the corrected views.
    assert replay(third.inputs).new.tolist() == third.decisions.new.tolist()
    # A second call of `pool` without new views keeps most of the evidence.
    _, later = pool_state(strategy, state, parameters)
    assert later[CategoryId(1)]["following_ff"] == pytest.approx(0.97 * parameters[CategoryId(1)]["following_ff"])
    # A last block of products without views leaves the histories of the others as they are.
    new = evolve(stored, product=stored.product + 10_000, baseline={})
    pooled, same = pool_state(strategy, PolicyState.concatenate([stored, new]), first.category_parameters)
    kept = pooled.for_products(stored.product).baseline["view_mean"]
    assert kept.tolist() == stored.baseline["view_mean"].tolist()
    assert same[CategoryId(1)]["following_ff"] == pytest.approx(parameters[CategoryId(1)]["following_ff"])
    assert np.isnan(pooled.for_products(new.product).baseline["view_mean"]).all()


def run_with_effects(effects: dict[str, float], epoch: int, facts: Facts, before: RangeResult | None) -> RangeResult:
    """Run a weekly epoch after the run `before`, with `effects` as sums `following_*` of all categories."""
    strategy = POLICY.strategy()
    known = {} if before is None else before.category_parameters
    return decide_range(
        POLICY, strategy,
        policy_state=PolicyState.empty(strategy.columns) if before is None else before.policy_state,
        category_parameters={category: {**values, **effects} for category, values in known.items()},
        facts=facts, past=past((NOW - 100 * DAY, 1_000, False)).rows(slice(0, 0)),
        epoch=epoch, now=NOW + (epoch - 1) * 7 * DAY,
    )  # fmt: skip


def test_assumed_views_do_not_depend_on_the_price() -> None:
    price = np.where(np.arange(400) % 2, 1_030, 970)
    begun = {"orders": 20, "units": 20, "views_ever": 0}
    run = partial(run_with_effects, {"following_ff": 50.0, "following_fe": -40.0})

    first = run(1, shop(1_000, 0, net_units=20, net_amount=20_000, **begun), None)
    twice = {name: 2 * value for name, value in begun.items()}
    second = run(2, shop(price, 0, net_units=40, net_amount=40_000, **twice), first)
    assert second.signals.views_assumed.all()
    assert second.signals.view_side_effect[0] < -0.5
    assert len(set(second.signals.views.tolist())) == 1
    assert np.isnan(second.policy_state.baseline["view_mean"]).all()


@pytest.mark.parametrize(
    ("views", "units", "used", "told"),
    [
        (40, 2, 20, "40 views and 2 units sold in 7 days on sale, used as 20 views"),
        # Never fewer than the units sold, so the counted views cannot be derived from the used ones.
        (12, 10, 10, "12 views and 10 units sold in 7 days on sale, used as 10 views"),
        (10, 10, 10, "10 views and 10 units sold in 7 days on sale, a conversion"),
    ],
)
def test_the_counted_views_are_explained_where_views_follow_the_price(
    views: int, units: int, used: float, told: str
) -> None:
    """Views are doubled below the reference price of 1,000."""
    run = partial(run_with_effects, {"following_ff": 1e6, "following_fe": 1e6 * 2.0 * np.log(2.0)})

    first = run(1, shop(1_000, 20), None)
    sold = {"orders": units, "units": units, "net_units": 40 + units, "net_amount": 40_000 + 999 * units}
    second = run(2, shop(999, views, priced_at=NOW, **sold), first)
    assert second.signals.views[0] == pytest.approx(used, rel=1e-3)
    assert second.signals.uncorrected_views[0] == (-1.0 if used == views else views)
    assert explain_inputs(second.inputs)["demand"].startswith(told)
