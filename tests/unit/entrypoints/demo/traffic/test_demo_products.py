"""The demo's demand is what it says of itself."""

import pytest

from entrypoints.demo.traffic.demo_products import WARES, Demand, Ware


@pytest.mark.parametrize("ware", WARES, ids=lambda ware: ware.key)
def test_the_best_price_earns_most(ware: Ware) -> None:
    profits = {price: ware.demand.profit(price) for price in range(ware.demand.cost, 4 * ware.demand.best_price)}
    assert max(profits, key=lambda price: profits[price]) == ware.demand.best_price


@pytest.mark.parametrize("ware", WARES, ids=lambda ware: ware.key)
def test_dearer_means_fewer_buyers(ware: Ware) -> None:
    chances = [ware.demand.probability(price) for price in range(1, 100_00, 50)]
    assert all(0 < chance <= 1 for chance in chances)
    assert chances == sorted(chances, reverse=True)
    assert ware.demand.probability(ware.demand.best_price) == ware.demand.buyers


def test_nobody_is_more_than_certain_to_buy() -> None:
    assert Demand(cost=100, spread=10, buyers=0.5).probability(1) == 1.0


def test_they_are_mispriced_as_they_say() -> None:
    dear, cheap, right = WARES
    assert dear.start > 1.5 * dear.demand.best_price
    assert cheap.start < 0.7 * cheap.demand.best_price
    assert right.start == right.demand.best_price


def test_each_has_a_stock_number_of_its_own() -> None:
    assert len({ware.sku for ware in WARES}) == len(WARES)
    assert all(ware.sku.startswith("DEMO-") for ware in WARES)
