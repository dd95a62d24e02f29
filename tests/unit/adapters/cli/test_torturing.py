"""The options of `torture`, and its output of the report."""

import json

import pytest

from adapters.cli.torture_report import Checked, TortureOptions
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime


def asked(runtime: MemoryRuntime) -> TortureOptions:
    ((name, options),) = runtime.ran
    assert name == "torture"
    found: TortureOptions = options["options"]
    return found


def test_the_long_test_is_the_default(cli: Cli, runtime: MemoryRuntime) -> None:
    assert cli("torture", "--seed", "7").code == 0
    assert asked(runtime) == TortureOptions(seed=7, kills=240, seconds=3600.0, buyers=20, products=40)


def test_options_override_the_short_test(cli: Cli, runtime: MemoryRuntime) -> None:
    cli("torture", "--quick", "--seed", "7", "--buyers", "3")
    assert asked(runtime) == TortureOptions(seed=7, kills=14, seconds=12.0, buyers=3, products=12, webhooks=False)


def test_a_missing_seed_is_chosen_and_reported(cli: Cli, runtime: MemoryRuntime) -> None:
    ended = cli("torture")
    assert f"Seed {asked(runtime).seed}, " in ended.out


def test_unbroken_invariants_are_a_table_and_exit_0(cli: Cli) -> None:
    ended = cli("torture")
    assert ended.code == 0
    assert "2 kills" in ended.out
    assert "nothing is lost" in ended.out
    assert "Recovered 1 times: median 1.5 s, longest 2.0 s (after: beat); at the end 0.1 s." in ended.out
    assert "Processes died at 1 different fail-points; no process reached policies.add:before." in ended.out


def test_a_broken_invariant_is_reported_with_its_seed_and_exit_1(cli: Cli, runtime: MemoryRuntime) -> None:
    runtime.tortured_to = [Checked("nothing is lost", 10, 2, ["order 5 is lost", "order 6 is lost"])]
    ended = cli("torture", "--seed", "7", "--kills", "20")
    assert ended.code == 1
    assert "2 broken" in ended.out
    assert "order 6 is lost" in ended.out
    assert "torture --seed 7 --kills 20" in ended.out
    assert "Data and logs: /tmp/kept" in ended.out


def test_torture_json_has_the_whole_report(cli: Cli, runtime: MemoryRuntime) -> None:
    runtime.tortured_to = [Checked("nothing is lost", 10, 2, ["order 5 is lost"])]
    ended = cli("torture", "--json")
    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["holds"] is False
    assert found["kills"] == {"beat": 2}
    assert found["invariants"][0]["examples"] == ["order 5 is lost"]


def test_an_interrupted_torture_exits_with_130(cli: Cli, runtime: MemoryRuntime) -> None:
    runtime.interrupted = True
    assert cli("torture").code == 130


@pytest.mark.parametrize("option", [["--products", "2"], ["--buyers", "0"], ["--seconds", "0"], ["--kills", "-1"]])
def test_impossible_options_are_wrong_usage(cli: Cli, runtime: MemoryRuntime, option: list[str]) -> None:
    assert cli("torture", *option).code == 2
    assert runtime.ran == []
