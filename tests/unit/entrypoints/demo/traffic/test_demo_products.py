"""The simulated demand of the demo equals its description."""

import pytest

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, Demand, DemoProduct


@pytest.mark.parametrize("product", DEMO_PRODUCTS, ids=lambda product: product.key)
def test_the_best_price_has_the_highest_expected_profit(product: DemoProduct) -> None:
    profits = {
        price: product.demand.expected_profit(price)
        for price in range(product.demand.cost, 4 * product.demand.best_price)
    }
    assert max(profits, key=lambda price: profits[price]) == product.demand.best_price


@pytest.mark.parametrize("product", DEMO_PRODUCTS, ids=lambda product: product.key)
def test_the_probability_of_a_sale_decreases_with_the_price(product: DemoProduct) -> None:
    chances = [product.demand.probability(price) for price in range(1, 100_00, 50)]
    assert all(0 < chance <= 1 for chance in chances)
    assert chances == sorted(chances, reverse=True)
    assert product.demand.probability(product.demand.best_price) == product.demand.share_at_best


def test_the_probability_of_a_sale_is_at_most_one() -> None:
    assert Demand(cost=100, spread=10, share_at_best=0.5).probability(1) == 1.0


def test_start_prices_are_too_high_too_low_and_right_as_described() -> None:
    dear, cheap, right = DEMO_PRODUCTS
    assert dear.start_price > 1.5 * dear.demand.best_price
    assert cheap.start_price < 0.7 * cheap.demand.best_price
    assert right.start_price == right.demand.best_price


def test_demo_products_have_distinct_skus() -> None:
    assert len({product.sku for product in DEMO_PRODUCTS}) == len(DEMO_PRODUCTS)
    assert all(product.sku.startswith("DEMO-") for product in DEMO_PRODUCTS)
