"""`seed`: its steps, questions and output."""

import json
from collections.abc import Callable

import pytest

from adapters.cli.seeding import ON_INTERRUPT
from scalecommerce_core.services.seeding import Seeding
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime

FEW = ["--users", "6", "--products", "8", "--orders", "20"]


def test_seed_runs_all_steps(cli: Cli, runtime: MemoryRuntime) -> None:
    ended = cli("seed", *FEW, "--json")
    made = json.loads(ended.out)
    assert (made["users"], made["products"], made["orders"]) == (6, 8, 20)
    assert made["rows"] > 34
    assert sum(made["orders_by_status"].values()) == 20
    assert runtime.market.queries.stock_discrepancies() == []


def test_seed_prints_a_table(cli: Cli) -> None:
    ended = cli("seed", *FEW)
    assert ended.code == 0
    assert "rows/s" in ended.out
    assert "The password of all created users is admin." in ended.out
    assert ended.err == ""


def test_each_seed_step_runs_separately(cli: Cli) -> None:
    assert json.loads(cli("seed", "users", "--users", "6", "--json").out)["users"] == 6
    assert json.loads(cli("seed", "categories", "--json").out)["categories"] == 0  # categories exist from the start
    assert json.loads(cli("seed", "products", "--products", "8", "--json").out)["products"] == 8
    assert json.loads(cli("seed", "orders", "--orders", "5", "--json").out)["orders"] == 5


def test_a_seed_step_requires_the_steps_before_it(cli: Cli) -> None:
    ended = cli("seed", "orders")
    assert ended.code == 1
    assert "seed users and products first" in ended.err


def test_the_same_seed_is_refused_again(cli: Cli) -> None:
    assert cli("seed", *FEW).code == 0
    again = cli("seed", *FEW)
    assert again.code == 1
    assert again.err.startswith("Seed 42 was already used for users")
    assert "--rng-seed 43" in again.err
    assert cli("seed", *FEW, "--rng-seed", "43").code == 0


def test_seeding_another_database_needs_a_confirmation(
    cli: Cli, runtime: MemoryRuntime, somebody: Callable[[], None]
) -> None:
    runtime.embedded = False
    script = cli("seed", *FEW)
    assert script.code == 2
    assert "the database shop on db.example" in script.err
    assert "--yes" in script.err
    somebody()
    assert cli("seed", *FEW, stdin="n\n").code == 1
    assert cli("seed", "users", stdin="y\n").code == 0
    assert cli("seed", "products", "--yes").code == 0


def test_ctrl_c_during_seeding_reports_what_stays(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Seeding, "users", interrupted)
    ended = cli("seed")
    assert (ended.code, ended.out, ended.err) == (130, "", f"Interrupted. {ON_INTERRUPT}\n")


@pytest.mark.parametrize("arguments", [["everything"], ["--users", "-1"], ["--rng-seed", "x"]])
def test_seed_refuses_wrong_options(cli: Cli, arguments: list[str]) -> None:
    assert cli("seed", *arguments).code == 2
