"""The command if only the library is installed, and the modules that printing a text imports."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

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


HEAVY: Final = frozenset({
    "alembic", "celery", "faker", "granian", "kombu", "matplotlib", "numpy", "opentelemetry", "psycopg", "redis",
    "sqlalchemy", "starlette", "typed_settings", "adapters.db", "adapters.http", "adapters.tasks", "adapters.web",
    "entrypoints.settings", "entrypoints.wiring", "scalecommerce_core.ports", "scalecommerce_core.queries",
    "scalecommerce_core.services.market",
})  # fmt: skip
"""Modules that together take most of the time to import everything."""
ALL_MODULES: Final = """
import json, sys
from entrypoints import cli
sys.argv[0] = "scalecommerce"
try:
    cli.main()
finally:
    sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--help"], {}, "scalecommerce up --demo"),
        (["--version"], {}, "scalecommerce "),
        (["up", "--help"], {}, "Run the whole engine"),
        (["worker", "--help"], {}, "Run a background worker"),
        ([], {"_SCALECOMMERCE_COMPLETE": "complete_bash", "COMP_WORDS": "scalecommerce w", "COMP_CWORD": "1"}, "webh"),
    ],
)
def test_help_version_and_completion_import_no_heavy_module(
    arguments: list[str], environment: Mapping[str, str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALL_MODULES, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "120", **environment},
    )
    assert said in done.stdout
    imported = set(json.loads(done.stderr))
    assert "typer" in imported
    assert imported & HEAVY == set()


SUPERVISOR: Final = """
import json, sys
import entrypoints.local.up
from entrypoints import settings
settings.load({"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://cache", "JWT_SECRET": "x" * 32})
print(json.dumps(sorted(sys.modules)))
"""


def test_the_process_of_up_imports_neither_services_nor_migrations() -> None:
    done = subprocess.run([sys.executable, "-c", SUPERVISOR], capture_output=True, text=True, check=True)
    imported = set(json.loads(done.stdout))
    heavy = {"alembic", "celery", "numpy", "entrypoints.wiring", "entrypoints.demo.seed", "adapters.db.migrate"}
    assert imported & (heavy | {"scalecommerce_core.ports", "scalecommerce_core.services.market"}) == set()
