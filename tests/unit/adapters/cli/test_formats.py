"""The output of times."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapters.cli.formats import format_time
from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.date_times import rfc3339

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-01-31T12:00:00Z"),
        (NOON.replace(microsecond=250_000), "2026-01-31T12:00:00.250000Z"),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-01-31T12:00:00Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text
    assert json.loads(json_text({"at": [moment]})) == {"at": [text]}
    assert format_time(moment) == "2026-01-31 12:00:00Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        rfc3339(NOON.replace(tzinfo=None))
