"""`audit list`."""

import json
from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.audit import OPERATOR, Actor
from scalecommerce_core.services.catalog import EditProduct
from scalecommerce_core.services.results import unwrap_single
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, usd


@pytest.fixture
def cli_with_entries(cli: Cli, runtime: MemoryRuntime) -> Cli:
    """Staff cut the price of product 1 and deactivated its seller a day later; then an operator reactivated it."""
    actions, market = MarketActions(runtime.market), runtime.market
    omar, kara = actions.person("omar", is_staff=True), actions.person("kara")
    product = actions.list(kara, price="10.00", stock=5)
    by = Actor(omar.id, "192.0.2.77")
    unwrap_single(
        market.catalog.edit_products(
            [EditProduct(product, omar.id, {"price": usd("8.00")}, stock=3, as_staff=True, address=by.address)]
        )
    )
    runtime.clock.advance(days=1)
    market.account_administration.deactivate(kara.id, "Sells counterfeits.", by)
    market.account_administration.reactivate(kara.id, "It was a mistake.", OPERATOR)
    return cli


def entries(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli("audit", "list", "--json", *arguments).out)
    return found


def test_entries_are_listed_newest_first(cli_with_entries: Cli) -> None:
    lines = cli_with_entries("audit", "list").out
    assert lines.index("account.reactivated") < lines.index("account.deactivated") < lines.index("product.edited")
    unfolded = " ".join(lines.split())
    assert "operator" in unfolded
    assert "It was a mistake." in unfolded


def test_json_has_all_fields(cli_with_entries: Cli) -> None:
    (edited,) = entries(cli_with_entries, "--action", "product.edited")
    assert edited["before"] == {"price": "10.00 USD", "stock": 5}
    assert edited["after"] == {"price": "8.00 USD", "stock": 3}
    assert (edited["network"], edited["kind"], edited["target"]) == ("192.0.2.0/24", "product", "1")


@pytest.mark.parametrize(
    ("arguments", "actions"),
    [
        (["--actor", "omar@example.com"], ["account.deactivated", "product.edited"]),
        (["--actor", "1", "--limit", "1"], ["account.deactivated"]),
        (["--operator", "--kind", "account", "--target", "2"], ["account.reactivated"]),
        (["--reason", "Mistake"], ["account.reactivated"]),
        (["--kind", "product"], ["product.edited"]),
        (["--kind", "order"], []),
    ],
)
def test_entries_are_filtered(cli_with_entries: Cli, arguments: list[str], actions: list[str]) -> None:
    assert [each["action"] for each in entries(cli_with_entries, *arguments)] == actions


def test_entries_are_filtered_by_time(cli_with_entries: Cli, runtime: MemoryRuntime) -> None:
    edge = (runtime.clock.now() - timedelta(hours=1)).isoformat()
    assert {each["kind"] for each in entries(cli_with_entries, "--since", edge)} == {"account"}
    assert {each["action"] for each in entries(cli_with_entries, "--until", edge)} == {
        "account.staff_appointed",
        "product.edited",
    }


def test_more_entries_than_a_page_are_listed(cli: Cli, runtime: MemoryRuntime) -> None:
    kara = MarketActions(runtime.market).person("kara")
    for number in range(120):
        runtime.market.account_administration.revoke_sessions(kara.id, f"Reason {number}.", OPERATOR)
    assert [each["reason"] for each in entries(cli, "--limit", "110")] == [f"Reason {n}." for n in range(119, 9, -1)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "1"], "--target requires --kind"),
        (["--operator", "--actor", "1"], "either --actor or --operator"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "--since"),
        (["--action", "product.eaten"], "product.eaten"),
    ],
)
def test_wrong_filters_are_refused(cli: Cli, arguments: list[str], sentence: str) -> None:
    ended = cli("audit", "list", *arguments)
    assert ended.code == 2
    assert sentence in " ".join(ended.err.split())


def test_an_empty_list_says_so(cli: Cli) -> None:
    assert cli("audit", "list").out == "There are no such entries.\n"
