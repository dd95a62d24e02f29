"""Estimates of how many products match the forms of a word."""

import pytest

from adapters.db.queries.search.text_statistics import LexemeFrequencies

FREQUENCIES = LexemeFrequencies(1000, {"kettl": 0.2, "lamp": 0.1}, other_frequency=0.01)


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        ([("kettl",)], 0.2),
        ([("kettl",), ("lamp",)], 1 - 0.8 * 0.9),
        ([("kettl", "lamp")], 0.02),
        ([("knive",)], 0.01),
        # Of the forms without statistics, one counts.
        ([("knive",), ("knife",), ("knifes",)], 0.01),
        ([("knive",), ("kettl", "knife"), ("lamp",)], 1 - 0.99 * 0.9),
        ([], 0.0),
    ],
)
def test_the_share_of_products_with_any_of_some_texts(texts: list[tuple[str, ...]], share: float) -> None:
    assert FREQUENCIES.share_of_any(texts) == pytest.approx(share)
