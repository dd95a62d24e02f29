import json
from typing import cast

import pytest

from scalecommerce_core.testing import MemoryStore
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, line


@pytest.fixture
def sold(runtime: MemoryRuntime) -> None:
    """Two tea pots that were sold and are counted in the statistics."""
    actions = MarketActions(runtime.market)
    product_id = actions.list(actions.person("sam"), stock=5)
    actions.buy(actions.person("bea"), line(product_id, 2))
    runtime.market.relay.assign_sequence()
    runtime.market.statistics.catch_up()


@pytest.fixture
def forgotten(runtime: MemoryRuntime, sold: None) -> None:  # noqa: ARG001 - before
    with runtime.market.store.begin() as tx:
        rollups = cast(MemoryStore, runtime.market.store).tables.rollups
        rollups.delete(next(key for key, _ in rollups.items() if key[0] == "seller_sales"))
        assert tx.events.last_seq()


@pytest.mark.usefixtures("sold")
def test_correct_statistics_are_reported_as_clean(cli: Cli) -> None:
    ended = cli("statistics", "verify")
    assert (ended.code, ended.out.startswith("Clean:")) == (0, True)
    assert json.loads(cli("statistics", "verify", "--json").out) == {"clean": True, "discrepancies": []}


@pytest.mark.usefixtures("forgotten")
def test_statistics_differences_are_shown_until_a_rebuild(cli: Cli) -> None:
    ended = cli("statistics", "verify")
    assert ended.code == 1
    assert "3 figures differ from their source" in ended.out
    assert "seller_sales" in ended.out
    shown = json.loads(cli("statistics", "verify", "--json").out)
    assert {each["figure"]: each["expected"] for each in shown["discrepancies"]} == {
        "orders": 1,
        "units": 2,
        "revenue": 2000,
    }
    assert cli("statistics", "rebuild").code == 0
    assert cli("statistics", "verify").code == 0


@pytest.mark.usefixtures("forgotten")
def test_statistics_of_one_seller_can_be_rebuilt(cli: Cli) -> None:
    assert cli("statistics", "rebuild", "--seller", "bea@example.com").code == 0
    assert cli("statistics", "verify").code == 1
    ended = cli("statistics", "rebuild", "--seller", "sam@example.com")
    assert (ended.code, ended.out) == (0, "The statistics of seller sam@example.com are rebuilt.\n")
    assert cli("statistics", "verify").code == 0
    assert cli("statistics", "rebuild", "--seller", "nobody@example.com").code == 1


@pytest.mark.usefixtures("sold")
def test_sales_of_a_seller_are_compared_with_the_time_before(cli: Cli) -> None:
    shown = json.loads(cli("statistics", "sales", "--seller", "sam@example.com", "--json").out)
    assert (shown["total"]["units"], shown["total"]["revenue"], shown["previous"]["orders"]) == (2, "20.00", 0)
    assert [top["units"] for top in shown["top_products"]] == [2]
    printed = cli("statistics", "sales", "--seller", "sam@example.com").out
    assert "Sales in USD" in printed
    assert "range before" in printed
    unsold = cli("statistics", "sales", "--seller", "bea@example.com", "--interval", "hour").out
    assert "No product was sold in this range." in unsold
    reversed_range = ["--from", "2026-01-02", "--to", "2026-01-01"]
    assert cli("statistics", "sales", "--seller", "sam@example.com", *reversed_range).code == 1


@pytest.mark.usefixtures("sold")
def test_the_outlook_shows_when_stock_runs_out(cli: Cli, runtime: MemoryRuntime) -> None:
    runtime.clock.advance(days=4)
    (only,) = json.loads(cli("stock", "outlook", "--seller", "sam@example.com", "--json").out)
    assert (only["available"], only["units_a_day"], only["days_left"]) == (3, 0.5, 6.0)
    assert "Tea pot" in cli("stock", "outlook", "--seller", "sam@example.com").out
    assert cli("stock", "outlook", "--seller", "sam@example.com", "--within", "5").out == "No stock runs out.\n"
