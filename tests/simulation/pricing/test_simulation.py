"""Small markets; the published sizes are measured by `scalecommerce simulate`."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.pricing import anomalies, sales_noise
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.competitor import Competitor
from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.learning import ControlledVariance, ElasticityLearning, Inventory
from scalecommerce_core.pricing.linear_demand import LinearDemand
from scalecommerce_core.pricing.price_grid import PriceGrid
from scalecommerce_core.pricing.price_list_inventory import PriceListInventory
from scalecommerce_core.pricing.substitutes import Substitutes
from scalecommerce_core.simulation.buy_box_market import BuyBoxMarket
from scalecommerce_core.simulation.forged_signals import (
    ATTACKS,
    NO_ATTACK,
    ForgedMarket,
)
from scalecommerce_core.simulation.ledger import whole
from scalecommerce_core.simulation.limited_stock import LimitedStock
from scalecommerce_core.simulation.linear_market import LinearMarket
from scalecommerce_core.simulation.market import OPENS, SimulatedMarket
from scalecommerce_core.simulation.marketplace import DEMANDS, HIGHEST, LOWEST, Marketplace
from scalecommerce_core.simulation.price_list_stock import LISTED, SHARES, PriceListStock
from scalecommerce_core.simulation.references import LearnThenEarn, LeastSquares, TsFixed, TsUpdate
from scalecommerce_core.simulation.runner import Shop, run
from scalecommerce_core.simulation.scenario import Size, StrategyResult, half_width
from scalecommerce_core.simulation.scenarios import SCENARIOS
from scalecommerce_core.simulation.substitutes_market import SubstitutesMarket
from scalecommerce_core.simulation.zip_recruiter import PRICES, ZipRecruiter

MARKETS: list[Callable[[], SimulatedMarket]] = [
    lambda: ZipRecruiter(seed=1, worlds=20, visitors=1_000),
    lambda: LinearMarket(seed=1, worlds=20, epochs=50),
    lambda: LimitedStock(seed=1, products=30),
    *(
        partial(Marketplace, demand=demand, drifting=rough, moody=rough, seed=1, products=40, epochs=9)
        for demand in DEMANDS
        for rough in (False, True)
    ),
]


@pytest.mark.parametrize("made", MARKETS)
def test_a_market_depends_on_its_seed_and_no_strategy_exceeds_the_optimum(made: Callable[[], SimulatedMarket]) -> None:
    first, again = run(ElasticityLearning(), made()), run(ElasticityLearning(), made())
    assert first.earned.tolist() == again.earned.tolist()
    assert first.best.tolist() == run(None, made()).best.tolist()
    assert (first.earned <= first.best * (1 + 1e-9)).all() or isinstance(made(), LimitedStock)
    assert 0 < first.share() <= 100


def charge(shop: Shop, relative: float) -> None:
    """Set all prices by hand, relative to the start price, within the limits of the sellers."""
    ledger = shop.ledger
    limits = ledger.facts()
    wished = whole(relative * ledger.start_price)
    ledger.set_prices(
        np.arange(len(ledger)), np.clip(wished, limits["min_price"], limits["max_price"]), OPENS + 1, is_manual=True
    )


@pytest.mark.parametrize("demand", DEMANDS)
@pytest.mark.parametrize("drifting", [False, True])
def test_the_best_prices_of_a_marketplace_maximize_profit(demand: str, drifting: bool) -> None:
    """Compared with a search over all prices that sellers allow."""
    for share in np.linspace(LOWEST, HIGHEST, 61).tolist():
        shop = Shop(Marketplace(demand=demand, drifting=drifting, seed=2, products=200))
        charge(shop, share)
        sold = shop.sell()
        assert (sold.earned <= sold.best * (1 + 1e-6) + 1e-6).all()


def test_the_ledger_of_a_marketplace_equals_its_sales() -> None:
    shop = Shop(Marketplace(demand="semi-log", drifting=False, seed=3, products=2_000))
    charge(shop, 1.2)
    shop.sell()
    facts = shop.ledger.facts()
    assert (facts["priced_at"] == OPENS + 1).all()
    # A price rise of 20 % at an elasticity of -2.4 leaves 62 % of the conversion rate of 2.5 %.
    assert 0.012 < facts["units"].sum() / facts["views"].sum() < 0.022
    assert facts["net_amount"].tolist() == (facts["net_units"] * facts["price"]).tolist()


def test_a_limited_stock_is_sold_once() -> None:
    shop = Shop(LimitedStock(seed=4, products=100))
    stock = shop.ledger.stock.sum()
    charge(shop, 0.6)
    for _ in range(shop.market.epochs):
        shop.sell()
    assert shop.ledger.net_units.sum() + shop.ledger.stock.sum() == stock
    assert (shop.ledger.stock >= 0).all()
    gone = shop.ledger.stock == 0
    assert gone.any()
    assert (shop.ledger.out_of_stock[gone] > 0).all()


# --- who wins, by margins that chance does not bridge at these sizes


def test_elasticity_learning_exceeds_hill_climb_and_both_exceed_fixed_prices() -> None:
    def share(policy: Any) -> float:
        return run(policy, Marketplace(demand="log-linear", drifting=True, seed=5, products=500)).share(26)

    static, climb, learning = share(None), share(HillClimb()), share(ElasticityLearning())
    assert static + 1 < climb < learning - 1


def test_elasticity_learning_needs_the_drift_of_its_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without drift, the variance of the belief only decreases, and the estimate follows a drifting demand less
    well. Whatever the first value of the drift is, it is estimated."""

    def share(policy: Any) -> float:
        return run(policy, Marketplace(demand="semi-log", drifting=True, seed=6, products=500, epochs=156)).share(104)

    estimated = share(ElasticityLearning(level=0.0))
    assert share(ElasticityLearning()) > estimated - 1.5
    monkeypatch.setattr(sales_noise, "WALKS", (0.0, 1e-9))
    assert share(ElasticityLearning(level=0.0, slope=0.0)) < estimated - 2


def test_greedy_least_squares_stops_learning_and_sampling_does_not() -> None:
    def share(policy: Any) -> float:
        return run(policy, LinearMarket(seed=7, worlds=200, epochs=600)).share(300)

    assert share(LeastSquares()) + 1.5 < share(LinearDemand())


def test_a_price_grid_exceeds_learn_then_earn() -> None:
    def share(policy: Any) -> float:
        return run(policy, ZipRecruiter(seed=8, worlds=40, visitors=7_870)).share()

    grid, learn = share(PriceGrid(prices=PRICES)), share(LearnThenEarn())
    assert learn == pytest.approx(63.8, abs=0.5)
    assert grid > 90


@pytest.mark.parametrize(
    "policy", [ElasticityLearning(), ControlledVariance(), Inventory()], ids=lambda each: each.name
)
def test_learning_strategies_earn_more_than_fixed_prices_with_seasonal_stock(policy: Any) -> None:
    def share(strategy: Any) -> float:
        return run(strategy, LimitedStock(seed=9, products=300, shortest=16)).share()

    assert share(policy) > share(None) + 5.0
    assert share(policy) >= 94.0


@pytest.mark.parametrize("stock", SHARES)
def test_a_price_list_with_stock_exceeds_the_published_algorithms(stock: float) -> None:
    def share(policy: Any) -> float:
        return run(policy, PriceListStock(seed=10, share=stock, worlds=300, epochs=300)).share()

    fixed, updated, ours = share(TsFixed()), share(TsUpdate()), share(PriceListInventory(prices=LISTED))
    # Ferreira, Simchi-Levi and Wang (2018): the linear program with the remaining stock exceeds that of the start.
    assert fixed + 2 < updated < ours - 0.3
    assert ours > 98


def test_a_market_with_a_price_list_never_sells_more_than_its_stock() -> None:
    shop = Shop(PriceListStock(seed=11, share=0.25, worlds=50, epochs=40))
    shop.ledger.set_prices(np.arange(50), np.full(50, LISTED[0]), OPENS + 1, is_manual=True)
    sold = [shop.sell().earned / LISTED[0] for _ in range(40)]
    assert np.sum(sold, axis=0).tolist() == [10.0] * 50
    assert shop.ledger.stock.tolist() == [0] * 50


def test_the_best_prices_of_substitutes_maximize_their_joint_profit() -> None:
    """Other prices of one product, or of all, earn less in total."""
    market = SubstitutesMarket(cross=0.4, demand="semi-log", drifting=False, seed=2, products=60, categories=6)
    best = market._best_prices(np.ones(60))
    world = market._world

    def earned(prices: Floats) -> float:
        return float((world.views * market._conversion(prices / world.scale) * (prices - world.cost)).sum())

    highest = earned(best)
    for share in (0.95, 1.05):
        inside = np.clip(share * best, LOWEST * world.start, HIGHEST * world.start)
        assert earned(inside) <= highest
        for row in range(60):
            one = best.copy()
            one[row] = inside[row]
            assert earned(one) <= highest * (1 + 1e-9)


def test_substitutes_priced_together_exceed_products_priced_alone() -> None:
    def share(policy: Any) -> float:
        market = SubstitutesMarket(cross=0.6, demand="semi-log", drifting=False, seed=3, products=400, epochs=80)
        return run(policy, market).share()

    assert share(ElasticityLearning()) + 2 < share(Substitutes())


@pytest.mark.parametrize("follows", [False, True])
def test_knowing_the_price_of_a_competitor_earns_more(follows: bool) -> None:
    def earned(policy: Any) -> float:
        market = BuyBoxMarket(follows=follows, demand="semi-log", drifting=False, seed=4, products=200, epochs=80)
        return float(run(policy, market).earned.sum())

    assert earned(Competitor()) > 1.01 * earned(ElasticityLearning())


@pytest.mark.parametrize("policy", [ElasticityLearning(), HillClimb()])
def test_a_learning_catalog_rarely_trips_the_breaker(policy: Any) -> None:
    track = run(policy, Marketplace(demand="semi-log", drifting=True, seed=5, products=1_000, epochs=40))
    assert track.limited <= 2


# --- forged signals


@cache
def earned(policy: Any, seed: int, attack: str) -> float:
    market = Marketplace(demand="semi-log", drifting=False, seed=seed, products=250)
    return float(run(policy, ForgedMarket(market, seed=seed, **ATTACKS.get(attack, {}))).earned.sum())


def kept(policy: Any, attack: str) -> Floats:
    """Percentages of the profit that a strategy keeps under an attack, by seed."""
    return np.array([100.0 * earned(policy, seed, attack) / earned(policy, seed, NO_ATTACK) for seed in range(21, 27)])


@pytest.mark.parametrize("policy", [ElasticityLearning(), ControlledVariance(), HillClimb()])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_with_forged_signals_costs_at_most_three_percent(policy: Any, attack: str) -> None:
    shares = kept(policy, attack)
    # 2.571 is the quantile of the t distribution for a 95 % interval of six seeds.
    half_interval = 2.571 * shares.std(ddof=1) / np.sqrt(len(shares))
    assert shares.mean() + half_interval >= 97
    # This attack costs about 4 %, which these few seeds cannot distinguish from 3 %.
    slightly_more = (policy.name, attack) == ("controlled_variance", "slowly growing views")
    assert shares.mean() >= (95 if slightly_more else 96)


def test_without_the_filter_forged_views_cost_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "DEVIATIONS", np.inf)
    earned.cache_clear()
    assert kept(ElasticityLearning(), "views below the start price").mean() < 95
    earned.cache_clear()


# --- programs

WITHOUT_TARGETS = {"linear", "price-list-stock", "logit"}
"""At these sizes."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_experiment_has_targets_only_at_its_published_size(name: str) -> None:
    program, size = evolve(SCENARIOS[name], seeds=1), Size(seed=1, worlds=10, epochs=12)
    told: list[tuple[str, int, int]] = []
    outcomes = [
        each for each in program.run(size, None, lambda *step: told.append(step)) if isinstance(each, StrategyResult)
    ]
    assert len(outcomes) == len(program.variants(size)) * len(program.strategies)
    assert told[-1][1] == told[-1][2] == 12
    assert all(figure.passed is None for figure in program.figures(outcomes, size))
    judged = program.figures(outcomes, Size())
    assert any(figure.bar is not None for figure in judged) == (name not in WITHOUT_TARGETS)


def test_figures_of_several_seeds_are_means_with_intervals() -> None:
    program, size = SCENARIOS["base"], Size(seed=4, worlds=20, epochs=3, seeds=3)
    told: list[tuple[str, int, int]] = []
    outcomes = [
        each for each in program.run(size, [None], lambda *step: told.append(step)) if isinstance(each, StrategyResult)
    ]
    assert told == [("base: static", done, 9) for done in range(1, 10)]
    (figure,) = program.figures(outcomes, size)
    shares = [outcome.track.share() for outcome in outcomes]
    assert [outcome.seed for outcome in outcomes] == [4, 5, 6]
    assert figure.ours == pytest.approx(np.mean(shares))
    assert figure.seeds == 3
    # 4.303 is the quantile of the t distribution with two degrees of freedom.
    assert figure.half_width == pytest.approx(4.303 * np.std(shares, ddof=1) / np.sqrt(3), rel=1e-3)


@pytest.mark.parametrize(("values", "quantile"), [(2, 12.706), (3, 4.303), (4, 3.182), (8, 2.365), (31, 2.042)])
def test_intervals_use_the_t_distribution(values: int, quantile: float) -> None:
    numbers = np.arange(values, dtype=np.float64).tolist()
    spread = np.std(numbers, ddof=1) / np.sqrt(values)
    assert half_width(numbers) == pytest.approx(quantile * spread, rel=3e-3)
    assert half_width(numbers[:1]) is None


def test_an_interrupted_simulation_keeps_its_results() -> None:
    def stop(epoch: int) -> None:
        if epoch == 5:
            raise KeyboardInterrupt

    track = run(None, LinearMarket(seed=1, worlds=3, epochs=50), progress=stop)
    assert track.epochs == 5
    assert track.interrupted
    assert not run(None, LinearMarket(seed=1, worlds=3, epochs=5)).interrupted
