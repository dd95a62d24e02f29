"""Sellers and frictions of simulated marketplaces do what their descriptions say."""

from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.guardrails import apply_guardrails
from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.replay import replay
from scalecommerce_core.simulation.frictions import (
    WEEK,
    Bots,
    BulkOrders,
    Friction,
    Promotions,
    ReturnsAndDelays,
    Shocks,
    StockOuts,
    Week,
    all_frictions,
)
from scalecommerce_core.simulation.logit_market import LogitMarket
from scalecommerce_core.simulation.market import NO_LIMITS, OPENS
from scalecommerce_core.simulation.marketplace import COMPETENT, THIN_MARGINS, Marketplace, Seller
from scalecommerce_core.simulation.runner import Shop, run
from tests.unit.support.pricing_signals import chaos

PRODUCTS = 400


def shop(*frictions: Friction, **more: Any) -> Shop:
    options: dict[str, Any] = {"demand": "semi-log", "drifting": False, "seed": 1, "products": PRODUCTS, **more}
    return Shop(Marketplace(frictions=frictions, **options))


def sold(*frictions: Friction, weeks: int = 12, **more: Any) -> Shop:
    made = shop(*frictions, **more)
    for _ in range(weeks):
        made.sell()
    return made


# --- sellers


def test_competent_sellers_start_near_the_best_price() -> None:
    market = Marketplace(demand="logit", drifting=True, seed=2, products=PRODUCTS, epochs=1, seller=COMPETENT)
    assert 99 < run(None, market).share() < 100


def test_costs_of_thin_margins_are_near_the_price() -> None:
    facts = shop(seller=THIN_MARGINS).ledger.facts()
    share = facts["cost"] / facts["price"]
    assert 0.69 < share.min() < 0.72
    assert 0.88 < share.max() < 0.91


def test_unknown_costs_are_not_in_the_facts() -> None:
    told, untold = shop().ledger.facts(), shop(seller=Seller(tells_cost=False)).ledger.facts()
    assert (told["cost"] > 0).all()
    assert (untold["cost"] == -1).all()
    assert told["price"].tolist() == untold["price"].tolist()


def test_a_few_products_have_most_of_the_views_by_zipfs_law() -> None:
    usual, zipf = (np.sort(sold(seller=seller).ledger.views_ever) for seller in (Seller(), Seller(zipf=1.1)))
    assert usual[-20:].sum() < 0.4 * usual.sum()
    assert zipf[-20:].sum() > 0.5 * zipf.sum()
    assert zipf.sum() == pytest.approx(usual.sum(), rel=0.3)


# --- frictions


def test_products_are_out_of_stock_in_a_quarter_of_the_time_while_views_continue() -> None:
    made, stock = shop(StockOuts()), []
    for _ in range(24):
        made.sell()
        stock.append(made.ledger.stock.copy())
    facts = made.ledger.facts()
    assert facts["out_of_stock"].mean() == pytest.approx(0.25 * 24 * WEEK, rel=0.05)
    assert (np.array(stock) == 0).mean() == pytest.approx(1.75 / 6, abs=0.06)
    assert facts["views"].sum() == pytest.approx(0.75 * facts["views_ever"].sum(), rel=0.05)
    undisturbed = sold(weeks=24).ledger
    assert facts["views_ever"].tolist() == undisturbed.views_ever.tolist()


@pytest.mark.parametrize("announced", [True, False])
def test_promotions_lower_a_price_for_a_week(announced: bool) -> None:
    made = sold(Promotions(announced=announced), weeks=30)
    ledger = made.ledger
    past = ledger.intervals(1, PRODUCTS, OPENS - 1)
    assert ledger.price.tolist() == ledger.start_price.tolist()
    lowered = past["price"] < ledger.start_price[past["product"] - 1]
    assert lowered.sum() == pytest.approx(0.08 * 29 * PRODUCTS, rel=0.1)
    assert past["price"][lowered] / ledger.start_price[past["product"] - 1][lowered] == pytest.approx(0.8, abs=0.01)
    assert past["is_promoted"].tolist() == (lowered & announced).tolist()
    changed = past["valid_from"] > OPENS
    assert past["is_manual"].tolist() == (changed & (not announced)).tolist()
    # At an elasticity of about -2.4, a price 20 % lower sells 62 % more; half as many buyers come in addition.
    conversion = [past["units"][part].sum() / past["views"][part].sum() for part in (lowered, ~lowered)]
    assert 2.0 < conversion[0] / conversion[1] < 3.2
    on_sale = (ledger.facts(OPENS + 20 * WEEK + WEEK // 2)["promoted_until"] > OPENS + 20 * WEEK + WEEK // 2).mean()
    assert on_sale == pytest.approx(0.08, abs=0.05) if announced else on_sale == 0.0


def test_the_profit_of_a_promoted_week_does_not_count() -> None:
    made = shop(Promotions(announced=True, share=1.0))
    assert made.sell().earned.sum() > 0
    promoted = made.sell()
    assert (promoted.earned.sum(), promoted.best.sum()) == (0.0, 0.0)


def test_returned_units_are_refunded_at_the_price_of_their_order() -> None:
    made = sold(ReturnsAndDelays(), weeks=6)
    ledger = made.ledger
    ledger.set_prices(np.arange(PRODUCTS), ledger.price * 2, OPENS + 6 * WEEK + 1, is_manual=True)
    ledger.settle(OPENS + 20 * WEEK)
    past = ledger.intervals(1, PRODUCTS, OPENS - 1)
    first, second = past["valid_from"] == OPENS, past["valid_from"] > OPENS
    assert past["refunded"][first].sum() / past["units"][first].sum() == pytest.approx(0.12, abs=0.02)
    assert past["refunded"][second].sum() == past["units"][second].sum() == 0
    kept = past["units"][first] - past["refunded"][first]
    assert ledger.net_units.tolist() == kept.tolist()
    assert ledger.net_amount.tolist() == (kept * ledger.start_price).tolist()


def test_late_payments_count_when_they_are_made() -> None:
    made = sold(ReturnsAndDelays(returned=0.0), weeks=1)
    prompt = made.ledger.net_units.sum()
    made.ledger.settle(OPENS + 3 * WEEK)
    assert prompt / made.ledger.net_units.sum() == pytest.approx(0.7, abs=0.05)


def test_bots_view_and_do_not_buy() -> None:
    with_bots, without = sold(Bots()).ledger, sold().ledger
    assert with_bots.net_units.tolist() == without.net_units.tolist()
    assert with_bots.views_ever.sum() / without.views_ever.sum() == pytest.approx(1.3, abs=0.05)


def test_the_units_of_bulk_orders_vary_four_times_as_much() -> None:
    week = Week(number=0, seed=1, category=np.zeros(20_000, dtype=np.int64), visits=np.ones(20_000))
    BulkOrders().begin(week, shop().ledger)
    orders = np.random.default_rng(2).poisson(20.0 / week.mean_quantity, 20_000)
    units = week.draw_units(orders)
    assert units.mean() == pytest.approx(20.0, rel=0.02)
    assert units.var() / units.mean() == pytest.approx(4.1, rel=0.05)
    assert (units >= orders).all()


def test_a_shock_changes_the_demand_of_a_whole_category() -> None:
    shocks, levels = Shocks(), []
    for number in range(60):
        week = Week(number=number, seed=1, category=np.arange(12) % 3, visits=np.ones(12))
        shocks.begin(week, shop().ledger)
        assert week.conversion_factor[:3].tolist() * 4 == week.conversion_factor.tolist()
        levels.append(week.conversion_factor[0])
    assert 1 < len(set(levels)) < 10


def test_decisions_of_simulated_runs_replay_bit_for_bit() -> None:
    market = Marketplace(
        demand="logit", drifting=True, seed=6, products=60, epochs=20, seller=THIN_MARGINS, frictions=all_frictions()
    )
    made, replayed = Shop(market, ElasticityLearning()), 0
    for _ in range(market.epochs):
        ended = made.reprice()
        assert ended is not None
        for (run_id, _), staged in made.store.tables.staged.items():
            if run_id == ended.id:
                again, decisions = replay(staged.result.inputs), staged.result.decisions
                assert (again.new.tolist(), again.motive.tolist()) == (
                    decisions.new.tolist(), decisions.motive.tolist(),
                )  # fmt: skip
                replayed += int(decisions.moves.sum())
        made.sell()
    assert replayed > 100


# --- markets without guardrails


def test_free_guardrails_never_act() -> None:
    seen = chaos(5_000, seed=3)
    # Limits of the seller, costs, stock, promotions and holds concern all policies.
    seen = seen.with_columns(
        min_price=np.full(len(seen), -1), max_price=np.full(len(seen), -1), cost=np.zeros(len(seen), dtype=np.int64),
        stock=np.ones(len(seen)), since_edit=np.full(len(seen), np.inf), promoted=np.zeros(len(seen), dtype=np.bool_),
        held_out_price=np.zeros(len(seen), dtype=np.int64), min_hold_days=np.zeros(len(seen)),
        until_promotion=np.full(len(seen), np.inf),
    )  # fmt: skip
    wanted = seen.price * np.random.default_rng(4).uniform(0.1, 10.0, len(seen))
    new, acted = apply_guardrails(wanted, seen, NO_LIMITS, epoch_days=7.0)
    assert not acted.any()
    assert new.tolist() == np.clip(np.rint(wanted), 1, 9_999_999_999).tolist()


def test_a_history_of_prices_precedes_the_first_run() -> None:
    ledger = Shop(LogitMarket(seed=5, worlds=30, with_history=True)).ledger
    past = ledger.intervals(1, 30, OPENS - 40 * WEEK)
    assert len(past["product"]) == 31 * 30
    assert (past["valid_from"] < OPENS).all()
    assert ledger.price.tolist() == ledger.start_price.tolist()
    assert past["units"].sum() == ledger.net_units.sum() > 0
    new = Shop(LogitMarket(seed=5, worlds=30)).ledger
    assert (new.net_units.sum(), new.facts()["created_at"].tolist()) == (0, [OPENS] * 30)


def test_hill_climb_moves_prices_of_products_with_a_finite_stock() -> None:
    market = Marketplace(demand="semi-log", drifting=False, seed=1, products=60, epochs=30)
    track = run(HillClimb(), market)
    assert (track.prices[-1] != track.start_prices).all()
