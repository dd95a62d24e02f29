"""The commands that `up` prints can be pasted into a shell."""

import sys
from pathlib import Path

import pytest

from entrypoints.demo.banner import command
from entrypoints.processes.data_directory import DEFAULT


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "scalecommerce"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def test_a_program_on_the_path_has_its_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    assert command("pricing", "explain", "7", data=DEFAULT) == "scalecommerce pricing explain 7"


def test_another_one_is_called_as_it_was(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.exists()
    monkeypatch.setattr(sys, "argv", [".venv/bin/scalecommerce", "up"])
    assert command("pricing", "runs", data=DEFAULT) == ".venv/bin/scalecommerce pricing runs"


def test_another_directory_is_said(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    assert command("pricing", "runs", data=Path("my data")) == "scalecommerce pricing runs --data 'my data'"


def test_a_module_has_the_name_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/adapters/cli/__main__.py", "up"])
    assert command("pricing", "runs", data=DEFAULT) == "scalecommerce pricing runs"
