from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import ProductFilter

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_every_reversed_range_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        check_ranges(("a", 2, "b", 1), ("c", NOON, "d", NOON - HOUR), ("e", 1, "f", 2))
    assert caught.value.errors == {"a": ["This is more than b."], "c": ["This is later than d."]}


@pytest.mark.parametrize(("begin", "end"), [(1, 1), (1, 2), (None, 1), (1, None), (None, None), (NOON, NOON)])
def test_open_and_empty_ranges_are_fine(begin: Any, end: Any) -> None:
    check_ranges(("a", begin, "b", end))


def test_times_of_different_zones_are_compared_as_instants() -> None:
    east = NOON.astimezone(timezone(5 * HOUR))
    check_ranges(("a", east, "b", NOON))
    with pytest.raises(Invalid):
        check_ranges(("a", NOON, "b", east - HOUR))


def test_a_filter_of_products_has_no_reversed_range() -> None:
    with pytest.raises(Invalid) as caught:
        ProductFilter(price_min=2, price_max=1, created_after=NOON, created_before=NOON - HOUR)
    assert list(caught.value.errors) == ["price_min", "created_after"]
    assert ProductFilter(price_min=2, price_max=2, created_after=NOON).created_before is None
