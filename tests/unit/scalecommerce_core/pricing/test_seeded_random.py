import numpy as np

from scalecommerce_core.pricing import seeded_random

PRODUCTS = np.arange(200_000)


def test_random_numbers_depend_only_on_product_epoch_seed_and_use() -> None:
    again = [seeded_random.normal(PRODUCTS[::-1], 5, seed=1)[::-1], seeded_random.normal(PRODUCTS[100:101], 5, seed=1)]
    drawn = seeded_random.normal(PRODUCTS, 5, seed=1)
    assert np.array_equal(drawn, again[0])
    assert drawn[100] == again[1][0]
    others = [
        seeded_random.normal(PRODUCTS, 6, seed=1), seeded_random.normal(PRODUCTS, 5, seed=2),
        seeded_random.normal(PRODUCTS, 1, seed=5), seeded_random.normal(PRODUCTS, 5, seed=1, use=1),
        seeded_random.normal(PRODUCTS + 1, 5, seed=1),
    ]  # fmt: skip
    for other in others:
        assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.01


def test_random_bits_never_change_between_releases() -> None:
    """Stored decisions must stay repeatable."""
    assert seeded_random.bits(np.array([0, 1, 2**40]), 3, seed=9).tolist() == [
        12500903044532837710, 2365351649404816727, 6402906646453614150,
    ]  # fmt: skip
    assert seeded_random.normal(np.array([1, 77]), 3, seed=9).tolist() == [0.16036746664330528, 0.8376108933916571]


def test_normal_draws_are_approximately_standard_normal() -> None:
    drawn = seeded_random.normal(PRODUCTS, 0, seed=0)
    for percent, quantile in ((2.275, -2), (15.87, -1), (50, 0), (84.13, 1), (97.725, 2)):
        assert abs(np.percentile(drawn, percent) - quantile) < 0.05
    assert abs(drawn.std() - 1) < 0.01
    assert 3.4 < np.abs(drawn).max() < 3.9


def test_random_signs_are_fair() -> None:
    signs = seeded_random.sign(PRODUCTS, 0, seed=0)
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.01
