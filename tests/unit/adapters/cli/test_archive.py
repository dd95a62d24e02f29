"""`orders archive`, `orders verify` and `export orders --archived`."""

import csv
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from scalecommerce_core.queries import ArchiveDiscrepancy
from scalecommerce_core.testing import in_memory_market
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, line


@pytest.fixture
def shop(runtime: MemoryRuntime) -> MemoryRuntime:
    """Three paid orders, one a month; two of them can be archived."""
    runtime.market = in_memory_market(runtime.clock, orders_hot_time=timedelta(days=32))
    actions = MarketActions(runtime.market)
    buyer, product = actions.person("buyer"), actions.list(actions.person("seller"))
    for quantity in (2, 1, 3):
        actions.buy(buyer, line(product, quantity))
        runtime.clock.advance(days=31)
    return runtime


def months(cli: Cli) -> list[tuple[str, int, int]]:
    document = json.loads(cli("orders", "verify", "--json").out)
    assert document["clean"]
    return [(each["month"], each["units"], each["amount"]) for each in document["months"]]


@pytest.mark.usefixtures("shop")
def test_settled_orders_are_archived_and_verified(cli: Cli) -> None:
    assert "The archive is empty." in cli("orders", "verify").out
    assert cli("orders", "archive").out == "2 orders archived.\n"
    assert json.loads(cli("orders", "archive", "--json").out) == {"archived": 0}
    assert months(cli) == [("2026-01-01", 2, 20_00), ("2026-02-01", 1, 10_00)]
    assert "Clean: the rows of the archive" in cli("orders", "verify").out


def test_without_the_setting_the_command_names_it(cli: Cli) -> None:
    for option in ((), ("--json",)):
        ended = cli("orders", "archive", *option)
        assert (ended.code, ended.out, "ORDERS_HOT_DAYS" in ended.err) == (1, "", True)


def test_differences_are_listed(cli: Cli, shop: MemoryRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [ArchiveDiscrepancy("amount", "2026-01 USD", 2000, 1999)]
    monkeypatch.setattr(type(shop.market.queries), "archive_discrepancies", lambda _self, limit: found[:limit])
    ended = cli("orders", "verify")
    assert ended.code == 1
    assert "2026-01 USD" in ended.out
    assert "Clean" not in ended.out
    assert "more" not in ended.out
    document = json.loads(cli("orders", "verify", "--json").out)
    assert (document["clean"], document["has_more"]) == (False, False)
    found *= 101
    assert "first 100 discrepancies; there are more" in cli("orders", "verify").out
    document = json.loads(cli("orders", "verify", "--json").out)
    assert (len(document["discrepancies"]), document["has_more"]) == (100, True)


@pytest.mark.usefixtures("shop")
def test_archived_orders_are_exported_by_time(cli: Cli) -> None:
    cli("orders", "archive")

    def exported(*arguments: str) -> list[str]:
        return [row["units"] for row in csv.DictReader(io.StringIO(cli("export", "orders", *arguments).out))]

    assert exported() == ["2", "1", "3"]
    assert exported("--archived") == ["2", "1"]
    assert exported("--archived", "--since", "2026-01-15") == ["1"]
    assert exported("--archived", "--until", "2026-01-15") == ["2"]
    lines = cli("export", "orders", "--archived", "--format", "jsonl").out.splitlines()
    assert [json.loads(each)["total"] for each in lines] == ["20.00", "10.00"]


@pytest.mark.usefixtures("shop")
def test_archived_orders_are_exported_as_parquet(cli: Cli, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    cli("orders", "archive")
    file = tmp_path / "archive.parquet"
    ended = cli("export", "orders", "--archived", "--format", "parquet", "--output", str(file))
    assert ended.code == 0
    rows = parquet.read_table(file).to_pylist()
    assert [(row["order"], row["quantity"], row["amount"]) for row in rows] == [
        (1, 2, Decimal("20.0000")),
        (2, 1, Decimal("10.0000")),
    ]
    assert rows[0]["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    cli("export", "orders", "--archived", "--until", "2020-01-01", "--format", "parquet", "--output", str(file))
    assert parquet.read_table(file).num_rows == 0
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.usefixtures("shop")
def test_wrong_combinations_of_options_are_refused(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--archived" in cli("export", "orders", "--since", "2026-01-01").err
    wrong = cli("export", "orders", "--archived", "--since", "2026-02-01", "--until", "2026-01-01")
    assert (wrong.code, "--until" in wrong.err) == (2, True)
    assert "--output" in cli("export", "orders", "--format", "parquet").err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file = tmp_path / "archive.parquet"
    ended = cli("export", "orders", "--format", "parquet", "--output", str(file))
    assert (ended.code, "scalecommerce[parquet]" in ended.err, file.exists()) == (2, True, False)
