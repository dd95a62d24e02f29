import json

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.feed_cursor import encode_feed_cursor
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions


@pytest.fixture
def seller(runtime: MemoryRuntime) -> Account:
    return MarketActions(runtime.market).person("seller")


def record_events(runtime: MemoryRuntime, seller: Account, count: int) -> None:
    for _ in range(count):
        MarketActions(runtime.market).list(seller)
    runtime.market.relay.assign_sequence()


def numbers(lines: str) -> list[int]:
    return [json.loads(line)["seq"] for line in lines.splitlines()]


def test_an_empty_feed_prints_nothing(cli: Cli) -> None:
    ended = cli("events", "tail")
    assert (ended.code, ended.out) == (0, "")


def test_an_invalid_event_number_is_wrong_usage(cli: Cli) -> None:
    for number in ("-1", str(2**63)):
        refused = cli("events", "tail", f"--after={number}")
        assert (refused.code, refused.out) == (1, "")
        assert f"after: '{number}' is not a whole number from 0 to {2**63 - 1}" in refused.err
    refused = cli("events", "tail", "--after", "yesterday")
    assert refused.code == 1
    assert "after: This is no cursor of the event feed" in refused.err
    ahead = cli("events", "tail", "--after", str(2**63 - 1), "--json")
    assert (ahead.code, ahead.out) == (1, "")
    assert json.loads(ahead.err) == {
        "error": "after: The feed has 0 events so far: give a number from 0 to 0.",
        "code": 1,
    }


def test_the_newest_events_are_shown(cli: Cli, runtime: MemoryRuntime, seller: Account) -> None:
    record_events(runtime, seller, 50)
    lines = cli("events", "tail").out.splitlines()
    assert len(lines) == 20
    told = f'{{"product": 50, "seller": {seller.id}}}'
    assert lines[-1] == f"        50  2026-01-01 00:00:00Z  product.listed      {told}"


def test_all_events_after_a_number_are_shown(cli: Cli, runtime: MemoryRuntime, seller: Account) -> None:
    record_events(runtime, seller, 1_200)
    record_events(runtime, seller, 3)
    ended = cli("events", "tail", "--after", "7", "--json")
    assert numbers(ended.out) == list(range(8, 1_204))
    assert cli("events", "tail", "--after", encode_feed_cursor(7), "--json").out == ended.out
    assert json.loads(ended.out.splitlines()[0]) == {
        "seq": 8,
        "topic": "product.listed",
        "at": "2026-01-01T00:00:00Z",
        "data": {"product": 8, "seller": seller.id},
    }


def test_deleted_events_are_skipped(cli: Cli, runtime: MemoryRuntime, seller: Account) -> None:
    record_events(runtime, seller, 5)
    runtime.clock.advance(days=40)
    runtime.market.relay.purge()
    record_events(runtime, seller, 2)
    assert numbers(cli("events", "tail", "--json").out) == [6, 7]
    ended = cli("events", "tail", "--after", "2")
    assert ended.code == 1
    assert f"cursor={encode_feed_cursor(5)}" in ended.err


def test_a_feed_is_followed_until_ctrl_c(
    cli: Cli, runtime: MemoryRuntime, seller: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_events(runtime, seller, 1)
    pauses = iter([2, 1, 0])

    def pause(_seconds: float) -> None:
        if not (count := next(pauses)):
            raise KeyboardInterrupt
        record_events(runtime, seller, count)

    monkeypatch.setattr("adapters.cli.events.time.sleep", pause)
    ended = cli("events", "tail", "--follow", "--json")
    assert ended.code == 130
    assert numbers(ended.out) == [1, 2, 3, 4]
    assert "--after 4" in ended.err
