"""`import` and `export` over files."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.cli import online_retail
from adapters.cli.importing import ON_INTERRUPT
from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.services.product_files.importing import ProductImport
from scalecommerce_core.services.results import unwrap_single
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, line

SELLER = "seller@example.com"
CSV = "sku,name,category,price,stock\nA,Tea pot,toys,19.90,3\nB,[red]Cup[/],toys,4.50,7\n"
SAMPLE = Path(online_retail.__file__).with_name("sample.csv")


@pytest.fixture
def runtime() -> MemoryRuntime:
    runtime = MemoryRuntime()
    MarketActions(runtime.market).person("seller")
    return runtime


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "products.csv"
    path.write_text(CSV)
    return path


def test_products_are_imported_and_exported(cli: Cli, file: Path, tmp_path: Path) -> None:
    ended = cli("import", "products", str(file), "--seller", SELLER.upper())
    assert ended.code == 0
    assert ended.out == "Lines read: 2. Products new: 2, edited: 0, unchanged: 0. Lines with errors: 0.\n"
    rows = list(csv.DictReader(cli("export", "products").out.splitlines()))
    assert [(row["sku"], row["name"], row["price"], row["stock"]) for row in rows] == [
        ("A", "Tea pot", "19.90", "3"),
        ("B", "[red]Cup[/]", "4.50", "7"),
    ]
    copy = tmp_path / "copy.csv"
    assert cli("export", "products", "--output", str(copy)).err == f"2 products written to {copy}.\n"
    again = cli("import", "products", str(copy), "--seller", SELLER, "--json")
    assert json.loads(again.out)["unchanged"] == 2


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''@x", "＝1+1", "＠x"])
def test_exported_formulas_are_quoted_and_imported_unchanged(cli: Cli, tmp_path: Path, name: str) -> None:
    listed, exported = tmp_path / "listed.csv", tmp_path / "exported.csv"
    listed.write_text(f"sku,name,category,price\n-A,'{name},toys,1.00\n")
    assert cli("import", "products", str(listed), "--seller", SELLER).code == 0
    cli("export", "products", "--output", str(exported))
    (row,) = csv.DictReader(exported.read_text().splitlines())
    assert (row["sku"], row["name"]) == ("'-A", f"'{name}")
    assert json.loads(cli("import", "products", str(exported), "--seller", SELLER, "--json").out)["unchanged"] == 1
    assert json.loads(cli("export", "products", "--format", "jsonl").out)["name"] == name


def test_a_dry_run_writes_nothing(cli: Cli, file: Path) -> None:
    ended = cli("import", "products", str(file), "--seller", SELLER, "--dry-run")
    assert "Products would be new: 2, edited: 0, unchanged: 0." in ended.out
    assert cli("export", "products", "--format", "jsonl").out == ""


def test_lines_with_errors_are_listed(cli: Cli, file: Path) -> None:
    file.write_text(CSV + "C,No price,toys,,1\n" + "[bold],Odd,nowhere,1.00,1\n")
    ended = cli("import", "products", str(file), "--seller", SELLER)
    assert ended.code == 1
    assert "A new product needs price." in ended.out
    assert "[bold]" in ended.out
    assert "Products new: 2, edited: 0, unchanged: 0. Lines with errors: 2." in ended.out


def test_wrong_files_and_sellers_are_reported(cli: Cli, file: Path, tmp_path: Path) -> None:
    gone = cli("import", "products", str(tmp_path / "gone.csv"), "--seller", SELLER)
    assert (gone.code, gone.err) == (1, f"{tmp_path / 'gone.csv'}: No such file or directory.\n")
    nobody = cli("import", "products", str(file), "--seller", "nobody@example.com")
    assert (nobody.code, nobody.err) == (1, "There is no account nobody@example.com.\n")
    file.write_text("name,price\n")
    headless = cli("import", "products", str(file), "--seller", SELLER)
    assert headless.code == 1
    assert headless.err.startswith(f"{file}: The first line names the columns")


def test_a_truncated_file_is_reported_with_the_imported_lines(cli: Cli, tmp_path: Path) -> None:
    rows = "".join(f"N{number},{number * 7919},toys,1.00\n" for number in range(3000))
    whole = gzip.compress(f"sku,name,category,price\n{rows}".encode())
    path = tmp_path / "products.csv.gz"
    path.write_bytes(whole[:-2000])
    ended = cli("import", "products", str(path), "--seller", SELLER)
    assert ended.code == 1
    assert f"{path} is damaged or cut short after line " in ended.err
    assert "The rest of the file was not read. Rows written before are kept." in ended.out
    again = cli("import", "products", str(path), "--seller", SELLER, "--json")
    report = json.loads(again.out)
    assert (again.code, report["complete"], report["created"]) == (1, False, 0)
    assert report["unchanged"] == report["lines"] == len(cli("export", "products").out.splitlines()) - 1 > 0
    assert "damaged" in json.loads(again.err)["error"]
    path.write_bytes(whole[:14])
    nothing = cli("import", "products", str(path), "--seller", SELLER)
    assert (nothing.code, nothing.out) == (1, "")
    assert "damaged or cut short" in nothing.err


def test_an_interrupted_import_reports_what_stays(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("sku,name,category,price\n" + "".join(f"N{number},Cup,toys,1.00\n" for number in range(700)))
    batches: list[Sequence[Any]] = []

    def interrupted(work: ProductImport, batch: Sequence[Any], header: Sequence[str]) -> None:
        if batches:
            raise KeyboardInterrupt
        batches.append(batch)
        take(work, batch, header)

    take = ProductImport._import_batch
    monkeypatch.setattr(ProductImport, "_import_batch", interrupted)
    ended = cli("import", "products", str(file), "--seller", SELLER)
    assert ended.code == 130
    assert ended.err == f"Interrupted. {ON_INTERRUPT}\n"
    assert "Lines read: 500. Products new: 500, edited: 0, unchanged: 0." in ended.out


def test_a_file_that_cannot_be_written_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / "file" / "orders.csv"
    ended = cli("export", "orders", "--output", str(file))
    assert (ended.code, ended.err) == (1, f"{file}: Not a directory.\n")


def test_the_online_retail_sample_is_imported_and_its_orders_exported(cli: Cli, runtime: MemoryRuntime) -> None:
    ended = cli("import", "online-retail", str(SAMPLE), "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["reconciles"]) == (0, True)
    assert runtime.market.queries.stock_discrepancies() == []
    orders = [json.loads(line) for line in cli("export", "orders", "--format", "jsonl").out.splitlines()]
    assert len(orders) == report["orders"]
    lines = list(csv.DictReader(cli("export", "orders").out.splitlines()))
    assert len(lines) == sum(len(order["lines"]) for order in orders)
    assert "Reconciles" in cli("import", "online-retail", str(SAMPLE)).out


def test_another_csv_file_is_refused_as_online_retail(cli: Cli, file: Path) -> None:
    ended = cli("import", "online-retail", str(file))
    assert (ended.code, ended.out) == (1, "")
    assert "is not an Online Retail file" in ended.err


def test_an_interrupted_replay_reports_what_stays(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adapters.cli.online_retail.replay.import_online_retail", interrupted)
    ended = cli("import", "online-retail", str(SAMPLE))
    assert (ended.code, ended.err) == (130, f"Interrupted. {ON_INTERRUPT}\n")


def test_exported_orders_are_evaluated_by_what_was_sold(cli: Cli, runtime: MemoryRuntime, tmp_path: Path) -> None:
    actions = MarketActions(runtime.market)
    seller, buyer = actions.person("tea-seller"), actions.person("buyer")
    product_id = actions.list(seller, stock=100)

    def reserve(quantity: int) -> OrderId:
        runtime.clock.advance(days=1)
        return actions.reserve(buyer, line(product_id, quantity)).id

    actions.pay(reserve(3), buyer)
    refunded = reserve(2)
    actions.refund(actions.pay(refunded, buyer), seller.id, RefundLine(product_id, 2))
    runtime.clock.advance(days=1)
    actions.buy(seller, line(product_id, 7))
    rejected, cancelled, unpaid = reserve(100_000), reserve(5), reserve(1)
    unwrap_single(runtime.market.ordering.cancel([CancelOrder(cancelled, buyer.id)]))

    file = tmp_path / "orders.csv"
    assert cli("export", "orders", "--output", str(file)).code == 0
    lines = {int(row["order"]): row for row in csv.DictReader(file.read_text().splitlines())}
    assert [lines[each]["status"] for each in (refunded, rejected, cancelled, unpaid)] == [
        "REFUNDED", "REJECTED", "CANCELLED", "PENDING",
    ]  # fmt: skip
    assert [int(row["units"]) for row in lines.values()] == [3, 2, 0, 0, 0, 0]
    report = json.loads(cli("pricing", "evaluate", str(file), "--period", "created_at", "--json").out)
    assert (report["rows"], report["rows_left_out"]) == (2, 4)
    orders = [json.loads(line) for line in cli("export", "orders", "--format", "jsonl").out.splitlines()]
    assert [line["units"] for order in orders for line in order["lines"]] == [3, 2, 0, 0, 0, 0]
