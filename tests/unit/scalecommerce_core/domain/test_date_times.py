from datetime import UTC, datetime

import pytest

from scalecommerce_core.domain.date_times import parse_date_time


def test_date_time_in_text_needs_a_utc_offset() -> None:
    assert parse_date_time("2026-06-01T12:00:00+02:00") == datetime(2026, 6, 1, 10, tzinfo=UTC)
    for text in ("2026-06-01", "2026-06-01T12:00:00", "June", "", "0001-01-01T00:00:00+12:00"):
        with pytest.raises(ValueError, match="UTC offset"):
            parse_date_time(text)
