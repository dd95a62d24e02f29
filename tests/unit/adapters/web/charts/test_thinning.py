"""Thinning keeps the extremes."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.web.charts.thinning import pick, thin

series = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(series, st.integers(5, 120))
def test_few_values_keep_ends_and_extremes(values: list[float | None], most: int) -> None:
    kept = thin(values, most)
    assert len(kept) <= max(most, 5)
    assert kept == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    present = [value for value in values if value is not None]
    left = [value for index in kept if (value := values[index]) is not None]
    if present:
        assert (min(left), max(left)) == (min(present), max(present))
    assert any(values[index] is None for index in kept) == (None in values)


@given(series)
def test_short_series_stay_as_they_are(values: list[float | None]) -> None:
    assert pick(values, values, len(values)) == values


def test_a_single_peak_in_a_long_series_stays() -> None:
    values = [0.0] * 2000
    values[1234] = 9
    assert 1234 in thin(values, 100)
