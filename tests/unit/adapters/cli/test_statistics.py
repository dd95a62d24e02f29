import json
from typing import cast

import pytest

from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import CreateProduct
from scalecommerce_core.services.ordering import OrderLineRequest, PlaceOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import CountingIds, MemoryStore
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime


@pytest.fixture
def sold(runtime: MemoryRuntime) -> None:
    """A sold tea pot whose sale is removed from the rollups."""
    market = runtime.market
    sam, bea = (
        unwrap_single(market.accounts.sign_up([SignUp(f"{name}@example.com", "a long password")])).id
        for name in ("sam", "bea")
    )
    command = CreateProduct(sam, CategoryId(1), "Tea pot", Money(1000, "USD"), 5)
    product = unwrap_single(market.catalog.create_products([command])).product.id
    order = unwrap_single(
        market.ordering.place([PlaceOrder(CountingIds().command(), bea, [OrderLineRequest(product, 2)])])
    )
    market.ordering.decide()
    unwrap_single(market.payments.pay([PayOrder(order.id, bea)]))
    market.relay.assign_sequence()
    market.statistics.catch_up()


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
