"""How the commands that run processes read their options."""

from pathlib import Path

import pytest

from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime


def test_up_has_defaults_for_everything(cli: Cli, runtime: MemoryRuntime) -> None:
    assert cli("up").code == 0
    usual = {"host": "127.0.0.1", "port": 8000, "data": Path(".scalecommerce"), "demo": False, "traffic": True}
    assert runtime.ran == [("up", usual)]


def test_up_takes_its_options(cli: Cli, runtime: MemoryRuntime) -> None:
    cli("up", "--host", "0.0.0.0", "--port", "9000", "--data", "/srv/shop", "--demo", "--no-traffic")  # noqa: S104 - parsed only
    chosen = {"host": "0.0.0.0", "port": 9000, "data": Path("/srv/shop"), "demo": True, "traffic": False}  # noqa: S104
    assert runtime.ran == [("up", chosen)]


def test_serve_takes_its_options(cli: Cli, runtime: MemoryRuntime) -> None:
    cli("serve", "--port", "80", "--workers", "4")
    assert runtime.ran == [("serve", {"host": "127.0.0.1", "port": 80, "workers": 4})]


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_worker_and_beat_need_none(cli: Cli, runtime: MemoryRuntime, command: str) -> None:
    assert cli(command).code == 0
    assert runtime.ran == [(command, {})]


@pytest.mark.parametrize("arguments", [["up", "--port", "65536"], ["serve", "--workers", "0"], ["up", "--port", "x"]])
def test_impossible_options_are_wrong_usage(cli: Cli, runtime: MemoryRuntime, arguments: list[str]) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert f"Invalid value for '{arguments[1]}'" in ended.err
    assert runtime.ran == []
