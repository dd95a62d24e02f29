"""The output and the exit codes of `stock verify` and `reprice`."""

import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import evolve

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import PageRequest, Queries, StockDiscrepancy
from scalecommerce_core.services.catalog import WithdrawProduct
from scalecommerce_core.services.pricing import CreatePolicy, EditPolicy
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import MemoryStore
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, line, usd
from tests.unit.support.tampering import Instead
from tests.unit.support.user_policies import proposing, temporarily_registered

CALM = {"least_views": 0}


@pytest.fixture
def shop(runtime: MemoryRuntime) -> ProductId:
    """A product whose stock will not last for the days that its policy requires."""
    actions = MarketActions(runtime.market)
    seller = actions.person("seller")
    product_id = actions.list(seller, stock=20, name="Tea", cost=usd("9.00"))
    document = {"name": "Learn", "parameters": {"caution": 0, "vary": False}, "guardrails": CALM}
    unwrap_single(runtime.market.pricing.create([CreatePolicy(seller.id, document)]))
    runtime.clock.advance(days=28)
    actions.buy(actions.person("buyer"), line(product_id, 12))
    return product_id


@pytest.mark.usefixtures("shop")
def test_correct_stock_prints_the_ledger(cli: Cli) -> None:
    ended = cli("stock", "verify")
    assert ended.code == 0
    assert "Clean: on hand equals the ledger" in ended.out
    document = json.loads(cli("stock", "verify", "--json").out)
    assert document["clean"] is True
    assert {total["kind"]: total["units"] for total in document["movements"]} == {"opening": 20, "sale": -12}


def test_stock_differences_are_a_table_and_exit_1(cli: Cli, runtime: MemoryRuntime) -> None:
    found = [StockDiscrepancy(ProductId(7), "on_hand", 5_000, 4_998)]
    queries = Instead(runtime.market.queries, stock_discrepancies=lambda _limit: found)
    runtime.market = evolve(runtime.market, queries=cast(Queries, queries))
    ended = cli("stock", "verify")
    assert ended.code == 1
    assert "1 figures differ" in ended.out
    assert re.search(r"│ +7 │ on_hand +│ +5,000 │ +4,998 │ +\+2 │ stock differs from the sum of its ledger", ended.out)
    document = cli("stock", "verify", "--json")
    assert document.code == 1
    assert json.loads(document.out)["discrepancies"] == [
        {"product_id": 7, "figure": "on_hand", "stored": 5_000, "expected": 4_998, "order_id": None}
    ]


def unpromised(runtime: MemoryRuntime, product: ProductId) -> None:
    """Falsify the stock: a reservation too many, and two units on hand that the ledger does not contain."""
    with runtime.market.store.begin() as tx:
        stock = tx.stock.lock([product])[product]
        stock.reserved, stock.on_hand = 3, stock.on_hand + 2
        tx.stock.save([stock])


def test_a_repair_asks_for_confirmation(
    cli: Cli, runtime: MemoryRuntime, shop: ProductId, somebody: Callable[[], None]
) -> None:
    unpromised(runtime, shop)
    for arguments in (["--repair"], ["--repair", "--json"]):
        refused = cli("stock", "verify", *arguments)
        assert refused.code == 2
        assert "pass --yes" in refused.err
    somebody()
    declined = cli("stock", "verify", "--repair", stdin="n\n")
    assert declined.code == 1
    assert "Repair the stock of 1 products?" in declined.err
    assert "reserved units differ" in declined.out
    assert len(runtime.market.queries.stock_discrepancies()) == 2
    agreed = cli("stock", "verify", "--repair", stdin="y\n")
    assert agreed.code == 0
    assert "1 products repaired." in agreed.out
    assert "correction" in agreed.out
    assert "Clean" in agreed.out


def test_a_repair_with_yes_asks_nothing(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    unpromised(runtime, shop)
    ended = cli("stock", "verify", "--repair", "--yes", "--json")
    assert ended.code == 0
    document = json.loads(ended.out)
    assert document["clean"] is True
    assert document["repaired"] == [{"product_id": shop, "correction": 2, "reserved_before": 3, "reserved": 0}]
    again = json.loads(cli("stock", "verify", "--repair", "--yes", "--json").out)
    assert (again["clean"], again["repaired"]) == (True, [])


@pytest.mark.usefixtures("shop")
def test_differences_that_cannot_be_repaired_exit_with_1(cli: Cli, runtime: MemoryRuntime) -> None:
    assert isinstance(runtime.market.store, MemoryStore)
    movements = runtime.market.store.tables.movements.rows
    movements[:] = [row for row in movements if row.kind is not MovementKind.SALE]
    ended = cli("stock", "verify", "--repair", "--yes")
    assert ended.code == 1
    assert "the ledger's sale differs" in ended.out
    unchanged = cli("stock", "verify", "--repair", "--yes")
    assert unchanged.code == 1
    assert "repaired" not in unchanged.out


def price(runtime: MemoryRuntime, product: ProductId) -> Any:
    return str(runtime.market.queries.products([product])[product].price)


def test_a_dry_run_explains_and_changes_nothing(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    ended = cli("reprice", "--dry-run")
    assert ended.code == 0
    assert "DRY RUN, 1 of 1 prices would change, 0 written" in ended.out
    assert price(runtime, shop) == "10.00 USD"
    assert runtime.market.queries.runs(None, PageRequest()).rows == ()


def test_a_run_without_due_products_says_why(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    def output(*arguments: str) -> str:
        return " ".join(cli("reprice", *arguments).out.split())

    none_of_category = "No product is due: none of category 2 follows this policy."
    assert none_of_category in output("--category", "2")
    cli("reprice")
    ends = "2026-02-05 00:00:00Z"
    assert f"No product is due: the current epoch is finished; the next one begins at {ends}." in output()
    preview = output("--dry-run")
    assert re.search("[01] of 1 prices would change", preview)
    assert f"the dry run decides as in the next one, which begins at {ends}." in preview
    assert none_of_category in output("--dry-run", "--category", "2")
    (policy,) = runtime.market.queries.policies(None, PageRequest()).rows
    until = runtime.market.repricing.waits_until(policy.id)
    assert until is not None
    (document,) = json.loads(cli("reprice", "--dry-run", "--json").out)
    assert document["next_epoch_at"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
    runtime.clock.advance(days=8)
    output("--limit", "1")
    assert "No product is due: all selected products were decided in this epoch, or none of them follows" in output(
        "--limit", "1"
    )
    unwrap_single(runtime.market.catalog.withdraw_products([WithdrawProduct(shop, policy.seller_id)]))
    runtime.clock.advance(days=8)
    assert "No product is due: none follows this policy." in output("--dry-run")
    assert "No product is due: none follows this policy." in output()


def test_prices_are_changed_explained_and_rolled_back(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    (document,) = json.loads(cli("reprice", "--json").out)
    (move,) = document["moves"]
    assert (move["product"], move["old"], move["outcome"]) == (shop, "10.00", "written")
    assert price(runtime, shop) == f"{move['new']} USD"
    assert move["sentence"] in " ".join(cli("pricing", "explain", str(shop)).out.split())
    assert "DONE" in cli("pricing", "runs").out
    nothing_due = cli("reprice", "--json")
    assert "No product is due" in cli("reprice").out
    (empty,) = json.loads(nothing_due.out)
    left = cli("reprice", "rollback", str(empty["run"]))
    assert (left.code, "has changed no price" in left.err) == (1, True)
    assert "1 of 1 prices are back in force" in cli("reprice", "rollback", str(document["run"])).out
    assert price(runtime, shop) == "10.00 USD"


def test_explaining_says_when_each_price_was_in_force(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    json.loads(cli("reprice", "--json").out)
    assert "in force since 2026-" in cli("pricing", "explain", str(shop)).out
    runtime.clock.advance(days=20)
    json.loads(cli("reprice", "--json").out)
    shown = cli("pricing", "explain", str(shop)).out
    assert (shown.count("in force since"), shown.count("in force from 2026-")) == (1, 1)
    newest, older = json.loads(cli("pricing", "explain", str(shop), "--json").out)
    assert newest["in_force_until"] is None
    assert older["in_force_until"] == newest["in_force_from"]


def test_explaining_shows_the_prices_their_sales_and_the_learnt_demand(cli: Cli, shop: ProductId) -> None:
    early = cli("pricing", "explain", str(shop), "--figures")
    assert "No pricing policy has decided about this product yet." in early.out
    (document,) = json.loads(cli("reprice", "--json").out)
    (move,) = document["moves"]
    shown = cli("pricing", "explain", str(shop), "--figures").out
    assert "Sales at each price" in shown
    assert "the product was listed at this price" in " ".join(shown.split())
    found = json.loads(cli("pricing", "explain", str(shop), "--figures", "--json").out)
    assert [each["cause"] for each in found["path"]] == ["listed", "policy"]
    assert (found["path"][1]["run"], found["prices"]["price"]) == (document["run"], move["new"])
    assert [each["units"] for each in found["by_price"] if each["price"] == "10.00"] == [12]
    assert len(found["decisions"]) == 1
    assert cli("pricing", "explain", "999", "--figures").code == 1


def test_explaining_a_product_that_does_not_exist_is_a_problem(cli: Cli) -> None:
    for words in ((), ("--json",)):
        ended = cli("pricing", "explain", "999", *words)
        assert ended.code == 1
        assert "There is no product 999." in ended.err


def test_a_rollback_that_restores_nothing_exits_with_1(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    (first,) = json.loads(cli("reprice", "--json").out)
    runtime.clock.advance(days=20)
    cli("reprice")
    ended = cli("reprice", "rollback", str(first["run"]))
    assert ended.code == 1
    assert "no price was restored. All 1 had changed since and were kept." in ended.out
    assert "DONE" in cli("pricing", "runs").out
    assert "ROLLED_BACK" not in cli("pricing", "runs").out
    assert price(runtime, shop) != "10.00 USD"


@pytest.mark.usefixtures("shop")
def test_a_failed_run_exits_with_1(cli: Cli, runtime: MemoryRuntime) -> None:
    (policy,) = runtime.market.queries.policies(None, PageRequest()).rows
    rules = proposing(lambda signals: signals.colour, "odd")
    with temporarily_registered(rules):
        unwrap_single(
            runtime.market.pricing.edit([EditPolicy(policy.id, policy.seller_id, {"policy": "odd", "parameters": {}})])
        )
        ended = cli("reprice")
        dry = cli("reprice", "--dry-run")
    assert (ended.code, dry.code) == (1, 1)
    assert "FAILED" in ended.out
    said = "The pricing strategy 'odd' failed in propose: AttributeError: 'Signals' object has no attribute 'colour'"
    assert said in " ".join(ended.out.split())
    assert said in " ".join(dry.out.split())
    unknown = cli("reprice")
    assert unknown.code == 1
    assert "uses the pricing strategy 'odd', which is not installed" in " ".join(unknown.out.split())


@pytest.mark.usefixtures("shop")
def test_a_terminal_of_80_columns_shows_runs_whole(cli: Cli) -> None:
    (document,) = json.loads(cli("reprice", "--json").out)
    cli("reprice", "rollback", str(document["run"]))
    shown = cli("pricing", "runs", width=80).out
    assert "restored" in shown
    assert "ROLLED_BACK" in shown


@pytest.mark.parametrize(
    "words",
    [
        ("reprice", "--policy", str(2**63)),
        ("reprice", "--seller", "0"),
        ("reprice", "--category", str(2**31)),
        ("reprice", "rollback", str(2**63)),
        ("pricing", "explain", str(2**63)),
    ],
    ids=" ".join,
)
def test_ids_out_of_range_are_wrong_usage(cli: Cli, words: tuple[str, ...]) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert words[-1] in ended.err


def test_an_unknown_category_exits_with_1(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    for words in (("reprice", "--category", "999"), ("reprice", "--dry-run", "--category", "999")):
        ended = cli(*words)
        assert ended.code == 1
        assert "There is no category 999." in ended.err
    assert price(runtime, shop) == "10.00 USD"
    assert runtime.market.queries.runs(None, PageRequest()).rows == ()


def test_a_dry_run_records_nothing(cli: Cli) -> None:
    ended = cli("reprice", "--dry-run", "--shadow")
    assert ended.code == 2
    assert "Use either --dry-run" in ended.err


def test_pricing_stop_stops_all_policies(cli: Cli, runtime: MemoryRuntime, shop: ProductId) -> None:
    cli("pricing", "stop")
    refused = cli("reprice")
    assert refused.code == 1
    assert "All pricing is stopped, until `scalecommerce pricing resume`." in " ".join(refused.out.split())
    assert price(runtime, shop) == "10.00 USD"
    cli("pricing", "resume")
    assert "1 written" in cli("reprice").out
