"""The version is the same everywhere, and docs/upgrading.md describes every migration."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from typer.testing import CliRunner

from adapters.cli.app import app
from adapters.db.schema_version import VERSIONS, release_revisions
from entrypoints import asgi, settings
from tests.unit.support.http_in_process import calling

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
UPGRADING = (ROOT / "docs/upgrading.md").read_text()
TABLE = UPGRADING.partition("<!-- migrations -->")[2].partition("<!-- /migrations -->")[0]


def test_command_document_and_package_have_one_version() -> None:
    assert version("scalecommerce") == VERSION
    assert CliRunner().invoke(app, ["--version"]).stdout == f"scalecommerce {VERSION}\n"
    nowhere = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    chosen = settings.load({**nowhere, "JWT_SECRET": "x" * 32, "CACHE_MEGABYTES": "0"})
    with calling(asgi.build(chosen)) as client:
        assert client.get("/openapi.json").json()["info"]["version"] == VERSION


def test_every_migration_since_the_first_release_is_described() -> None:
    described = re.findall(r"^\| (\d{4}) \|", TABLE, re.MULTILINE)
    assert described == sorted(release_revisions().known - {"0001"})
    assert re.search(r"\| 0009 \|.*every policy is switched off", TABLE)


def test_a_migration_that_writes_to_policies_says_so() -> None:
    """A migration that changes policies of sellers must be described in bold."""
    for file in VERSIONS.glob("[0-9]*.py"):
        if re.search(r"UPDATE pricing_policies|INSERT INTO pricing_policies", file.read_text()):
            (row,) = re.findall(rf"^\| {file.name[:4]} \|.*$", TABLE, re.MULTILINE)
            assert "**" in row
