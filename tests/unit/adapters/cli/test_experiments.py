"""`pricing experiment`: start, show, list and end experiments."""

import json

import pytest

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.results import unwrap_single
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, line, usd


@pytest.fixture
def shop(runtime: MemoryRuntime) -> MarketActions:
    """A shop with four weeks of sales of 25 products, which one policy covers."""
    actions = MarketActions(runtime.market)
    seller, buyer = actions.person("seller"), actions.person("buyer")
    products = [actions.list(seller, stock=500, cost=usd("6.00")) for _ in range(25)]
    unwrap_single(runtime.market.pricing.create([CreatePolicy(seller.id, {"name": "Learn"})]))
    for week in range(4):
        for number, product in enumerate(products):
            actions.buy(buyer, line(product, 2 + (week + number) % 3))
        runtime.clock.advance(days=7)
    return actions


def test_an_experiment_is_started_shown_listed_and_ended(cli: Cli, runtime: MemoryRuntime, shop: MarketActions) -> None:
    started = cli("pricing", "experiment", "start", "1", "--share", "0.4", "--weeks", "8", "--burn-in-epochs", "0")
    assert started.code == 0
    assert "Experiment 1 has started." in started.out
    assert "1, hold-out of 40%, about policy 1" in started.out
    buyer = shop.person("another")
    for week in range(3):
        for product in range(1, 26):
            shop.buy(buyer, line(ProductId(product), 2 + (week + product) % 4))
        runtime.clock.advance(days=7)
    while runtime.market.relay.assign_sequence():
        pass
    runtime.market.statistics.catch_up()
    shown = cli("pricing", "experiment", "show", "1")
    assert shown.code == 0
    assert "Not proven yet: the policy earns between" in shown.out
    assert "25 products, 10 of them at your own prices" in shown.out
    assert "however often you look" in shown.out
    document = json.loads(cli("pricing", "experiment", "show", "1", "--json").out)
    assert (document["status"], document["kind"], document["result"]["measure"]) == ("running", "hold_out", "profit")
    assert document["result"]["low"] < 0 < document["result"]["high"]
    listed = cli("pricing", "experiment", "list")
    assert "hold_out" in listed.out
    assert document["sentence"] in json.loads(cli("pricing", "experiment", "list", "--json").out)[0]["sentence"]
    assert f"Policy 1, experiment 1: {document['sentence']}" in cli("pricing", "policies", width=400).out
    assert f"Experiment 1: {document['sentence']}" in cli("reprice", "--dry-run", width=400).out
    (priced,) = json.loads(cli("reprice", "--json").out)
    assert priced["experiment"] == {"id": 1, "sentence": document["sentence"]}
    ended = cli("pricing", "experiment", "end", "1")
    assert ended.code == 0
    assert "ended: It was ended by hand." in ended.out
    assert json.loads(cli("pricing", "experiment", "list", "--json").out)[0]["status"] == "ended"


@pytest.mark.usefixtures("shop")
def test_a_switchback_tells_its_periods(cli: Cli) -> None:
    arguments = ("pricing", "experiment", "start", "1", "--kind", "switchback", "--weeks", "52", "--seed", "3")
    started = cli(*arguments)
    assert "switchback, about policy 1" in started.out
    assert "12 of 4 epochs" in started.out
    refused = cli(*arguments)
    assert refused.code == 1
    assert "Experiment 1 of policy 1 is in progress: end it first." in refused.err


def test_what_does_not_exist_is_named(cli: Cli) -> None:
    assert "There are no experiments." in cli("pricing", "experiment", "list").out
    missing = cli("pricing", "experiment", "show", "9")
    assert (missing.code, "There is no experiment 9." in missing.err) == (1, True)
    without = cli("pricing", "experiment", "start", "9")
    assert without.code != 0
    assert "There is no policy 9, or" in without.err
