"""`security events`, `security reencrypt`."""

import json

from attrs import evolve

from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import PASSWORD, MarketActions


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


def test_secrets_that_no_key_decrypts_are_named(cli: Cli, runtime: MemoryRuntime) -> None:
    market = runtime.market
    owners = [MarketActions(market).person(f"owner{number}").id for number in range(22)]
    for owner in owners:
        market.second_factors.begin(owner, PASSWORD)
    assert "All stored secrets are encrypted with the present key." in cli("security", "reencrypt").out
    with market.store.begin() as tx:
        lost = [evolve(each, encrypted_secret="lost:00") for each in tx.second_factors.lock(owners[1:]).values()]
        tx.second_factors.put(lost)
    result = cli("security", "reencrypt")
    assert result.code == 1
    assert f"No key decrypts the second factors of accounts {owners[1]}, {owners[2]}, " in result.out
    assert "…" in result.out
    assert str(owners[21]) not in result.out.split("accounts ")[1]
    first, second = json.loads(cli("security", "reencrypt", "--json").out)
    assert first == {
        "kind": "second factors", "checked": 22, "changed": 0, "unreadable": 21, "owners": owners[1:],
    }  # fmt: skip
    assert (second["kind"], second["unreadable"]) == ("webhook secrets", 0)
