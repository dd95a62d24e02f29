"""Schemathesis against a real deployment: `python -m tests.fuzz.campaign`, or `make fuzz`.

It reads the served OpenAPI document, sends what it allows and what it forbids to every operation, follows the links
from one operation to the next, and compares each answer with the document.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
from attrs import frozen

from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from tests.integration.deployment import PASSWORD, Deployment, log_in
from tests.integration.engine_process import run
from tests.integration.real_market import real_market

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
UNGUESSABLE: Final = 10**12
"""The first id of the products that all orders use. Generated requests do not contain such large ids, so none edits or
withdraws these products."""


@frozen
class Target:
    """A deployment with products, and the log-in of a member of staff who sells and buys."""

    url: str
    email: str
    token: str
    products: list[int]
    other_account: int
    """Id of the account that requests of staff concern."""


@frozen
class Result:
    """The results of Schemathesis; `text` is its output."""

    cases: int
    failures: list[dict[str, Any]]
    errors: list[Any]
    finished: bool
    text: str

    @property
    def is_clean(self) -> bool:
        return self.finished and not self.failures and not self.errors


def prepare(deployment: Deployment) -> Target:
    database_url = deployment.database_url
    staff = deployment.person("staff", first_name="Fay", last_name="Zhang")
    email = str(staff.get("/users/api/v1/me/").json()["email"])
    appointed = run(
        *("createsuperuser", "--email", email, "--promote", "--password-stdin"),
        cwd=ROOT,
        stdin=f"{PASSWORD}\n",
        **deployment.settings,
    )
    assert appointed.returncode == 0, appointed.stderr
    log_in(staff, email)
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        before = connection.execute("SELECT last_value, is_called FROM product_ids").fetchone() or (1, False)
        _renumber(connection, UNGUESSABLE, is_called=False)
        products = [_listed(staff, f"Tea pot {number}") for number in range(3)]
        _renumber(connection, *before)
    _reprice(database_url, staff, products)
    other = int(deployment.person("other").get("/users/api/v1/me/").json()["id"])
    return Target(deployment.url, email, staff.headers["Authorization"].removeprefix("Bearer "), products, other)


def _reprice(database_url: str, staff: httpx2.Client, products: list[int]) -> None:
    """Make a shadow run, which changes no price, so that requests for runs have one."""
    wanted = {"name": "Only looks", "assigned_only": True, "is_shadow": True}
    policy = staff.post("/pricing/api/v1/policies/", json=wanted).raise_for_status().json()["id"]
    for product in products:
        staff.patch(f"/pricing/api/v1/products/{product}/", json={"policy": policy}).raise_for_status()
    with real_market(database_url) as market:
        market.repricing.run(policy)


def _renumber(connection: psycopg.Connection, number: int, is_called: bool) -> None:
    connection.execute("SELECT setval('product_ids', %s, %s)", [number, is_called])


def _listed(seller: httpx2.Client, name: str) -> int:
    body = {"name": name, "category_id": 5, "price": "9.00", "stock": 2**31 - 1}
    return int(seller.post("/products/api/v1/", json=body).raise_for_status().json()["id"])


def attack(target: Target, directory: Path, *options: str, patience: float) -> Result:
    """Run Schemathesis with all of its checks; `options` limit its time and the number of examples."""
    report = directory / "report.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", HERE / "schemathesis.toml",
            "run", f"{target.url}/openapi.json",
            "--checks", "all", "--continue-on-failure", "--request-timeout", "30",
            "--report", "json", "--report-json-path", report, *options,
        ],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FUZZ_PRODUCTS": ",".join(map(str, target.products)),
            "FUZZ_URL": target.url,
            "FUZZ_TOKEN": target.token,
            "FUZZ_ACCOUNT": str(target.other_account),
            "FUZZ_EMAIL": target.email,
            "FUZZ_PASSWORD": PASSWORD,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience,
        check=False,
    )  # fmt: skip
    if not report.exists():
        return Result(0, [], [], finished=False, text=done.stdout)
    found = json.loads(report.read_text())
    text = re.sub(re.escape(target.token), "[token]", done.stdout)
    return Result(found["test_cases"]["generated"], found["failures"], found["errors"], found["complete"], text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=240, help="how long it may take (default 240)")
    parser.add_argument("--cases", type=int, default=5_000, help="how many cases it must have tried (default 5000)")
    parser.add_argument("--examples", type=int, default=100, help="at most so many per operation and phase")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scalecommerce-fuzz-") as name:
        directory = Path(name)
        with EmbeddedPostgres(directory) as postgres, EmbeddedRedis(directory) as redis:
            upgrade(postgres.url)
            with Deployment(directory / "deployment", postgres.url, redis.url, LOGIN_ATTEMPTS="100000") as deployment:
                target = prepare(deployment)
                limits = ("--max-time", str(chosen.seconds), "--max-examples", str(chosen.examples))
                result = attack(target, directory, *limits, patience=chosen.seconds + 120)
    sys.stdout.write(result.text)
    if result.cases < chosen.cases:
        sys.stdout.write(f"Only {result.cases} cases were tried: {chosen.cases} are wanted, give it more --seconds.\n")
        return 1
    return 0 if result.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
