"""`security events`."""

import json

from tests.unit.adapters.cli.conftest import Cli


def test_security_events_are_counted_by_day_and_kind(cli: Cli) -> None:
    assert json.loads(cli("security", "events", "--json").out) == [
        {"day": "2026-03-01", "event": "log_in", "count": 3},
        {"day": "2026-03-01", "event": "log_in_failed", "count": 12},
        {"day": "2026-03-02", "event": "access_refused", "count": 1},
    ]
    assert "2026-03-02" in cli("security", "events", "--days", "1").out
    assert "2026-03-01" not in cli("security", "events", "--days", "1").out


def test_a_number_of_days_beyond_the_retention_is_wrong_usage(cli: Cli) -> None:
    assert cli("security", "events", "--days", "31").code == 2
