"""Random assignment of products and periods to arms."""

import numpy as np
import pytest

from scalecommerce_core.pricing.experiments.assignment import hold_out_products, holds_out_new, own_price_periods


def shop(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    product = np.sort(rng.choice(10**9, size, replace=False))
    return product, rng.integers(0, 7, size), np.floor(np.exp(rng.normal(5, 2, size)) - 20).clip(0)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.25, 0.3, 0.5])
def test_the_share_is_held_out_in_each_stratum_and_at_each_level_of_revenue(share: float) -> None:
    product, stratum, revenue = shop(4_000)
    held = hold_out_products(product, stratum, revenue, share=share, seed=1)
    assert abs(held.sum() - 4_000 * share) <= 1
    for number in range(7):
        assert held[stratum == number].mean() == pytest.approx(share, abs=0.01)
    rich = revenue > np.quantile(revenue, 0.9)
    assert held[rich].mean() == pytest.approx(share, rel=0.25)


def test_equal_seeds_assign_equally_and_others_do_not() -> None:
    product, stratum, revenue = shop(500)
    first = hold_out_products(product, stratum, revenue, share=0.2, seed=1)
    assert (hold_out_products(product, stratum, revenue, share=0.2, seed=1) == first).all()
    assert (hold_out_products(product, stratum, revenue, share=0.2, seed=2) != first).any()


def test_every_product_is_held_out_with_the_same_probability() -> None:
    product, stratum, revenue = shop(23)
    seeds = range(2_000)
    often = np.mean([hold_out_products(product, stratum, revenue, share=0.2, seed=seed) for seed in seeds], axis=0)
    assert often == pytest.approx(np.full(23, 0.2), abs=0.05)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_few_products_can_be_assigned(size: int) -> None:
    product, stratum, revenue = shop(size)
    held = hold_out_products(product, stratum, revenue, share=0.3, seed=1)
    assert held.shape == (size,)


def test_new_products_join_with_the_probability_of_the_share_and_independently_of_others() -> None:
    product = np.arange(10_000)
    held = holds_out_new(product, share=0.2, seed=4)
    assert held.mean() == pytest.approx(0.2, abs=0.02)
    assert (holds_out_new(product[::-7], share=0.2, seed=4) == held[::-7]).all()


def test_each_pair_of_periods_has_one_of_either_kind() -> None:
    orders = [own_price_periods(20, seed=seed).reshape(10, 2) for seed in range(100)]
    assert all((order.sum(axis=1) == 1).all() for order in orders)
    assert np.mean([order[:, 0].mean() for order in orders]) == pytest.approx(0.5, abs=0.05)
    assert len(own_price_periods(7, seed=1)) == 7
