"""The command if only the library is installed."""

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from entrypoints import cli


def test_the_command_without_the_server_extra_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name in {"typer", "redis"} else found(name, *rest)

    monkeypatch.setattr(cli, "find_spec", without)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "The command line requires the server extra: pip install 'scalecommerce[server]' (missing: redis, typer).\n"
    )


def test_the_command_starts_with_the_standard_library_alone() -> None:
    # With -S, Python does not find installed packages.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "entrypoints.cli", "up"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The command line requires the server extra")
    assert done.stderr.count("\n") == 1
