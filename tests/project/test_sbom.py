"""`make sbom` lists every package of a deployment with its version and hashes."""

import json
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_bill_of_materials_lists_the_packages_of_the_lock() -> None:
    subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, check=True, capture_output=True)
    document = json.loads((ROOT / "build" / "sbom.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {component["name"]: component for component in document["components"]}
    locked = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    for name in ("argon2-cffi", "celery", "granian", "psycopg-binary", "pyjwt", "sqlalchemy", "starlette"):
        assert listed[name]["version"] == locked[name]["version"]
        assert listed[name]["purl"] == f"pkg:pypi/{name}@{locked[name]['version']}"
    assert "pytest" not in listed
