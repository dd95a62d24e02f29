"""The commands that `up` prints can be pasted into a shell."""

import sys
from pathlib import Path

import pytest
from attrs import evolve

from entrypoints.demo.banner import Demo, command, email_line, order_instructions
from entrypoints.processes.data_directory import DEFAULT


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "scalecommerce"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def test_a_program_on_the_path_is_printed_by_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    assert command("pricing", "explain", "7", data=DEFAULT) == "scalecommerce pricing explain 7"


def test_another_program_is_printed_with_its_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.exists()
    monkeypatch.setattr(sys, "argv", [".venv/bin/scalecommerce", "up"])
    assert command("pricing", "runs", data=DEFAULT) == ".venv/bin/scalecommerce pricing runs"


def test_a_directory_other_than_the_default_is_printed(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    assert command("pricing", "runs", data=Path("my data")) == "scalecommerce pricing runs --data 'my data'"


def test_a_program_run_as_a_module_is_printed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/adapters/cli/__main__.py", "up"])
    assert command("pricing", "runs", data=DEFAULT) == "scalecommerce pricing runs"


def test_the_log_with_the_emails_is_named() -> None:
    assert email_line(DEFAULT / "logs" / "worker.log") == "E-mails, with their tokens: .scalecommerce/logs/worker.log"


def test_passwords_that_were_changed_are_not_printed() -> None:
    demo = Demo(
        "buyer@x.example", "seller@x.example", "staff@x.example", "secret", "ey.token", 7, "USD",
        changed=frozenset({"staff@x.example"}),
    )  # fmt: skip
    buyer, seller, staff = order_instructions(demo, "http://localhost").splitlines()[2:5]
    assert [line.split()[-1] for line in (buyer, seller, staff)] == ["secret", "secret", "(changed)"]
    assert "TOKEN=ey.token" in order_instructions(demo, "http://localhost")
    locked = evolve(demo, token="", changed=frozenset({"buyer@x.example"}))
    assert "TOKEN" not in order_instructions(locked, "http://localhost")
