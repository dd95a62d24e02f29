"""An engine to attack: `scalecommerce up --demo` of this checkout or another one."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from attrs import evolve, frozen

from bench.orders_load.checkout import THIS, Checkout
from tests.attacks.target import Account, Target
from tests.integration.engine_process import EngineProcess

PASSWORD = "admin"
DEMO_PRODUCTS = ("Copper kettle", "Reading lamp", "Garden chair")
"""Products of the demo with a million units each."""


@frozen
class AttackedEngine:
    """`api` is the process id of the parent of the API's processes."""

    target: Target
    api: int
    process: EngineProcess | None = None


@contextmanager
def attacked_engine(
    directory: Path, checkout: Checkout = THIS, settings: Mapping[str, str] | None = None
) -> Iterator[AttackedEngine]:
    """Run an engine with a demo market, without simulated visitors, until the end of the block."""
    engine = EngineProcess(
        directory, "--demo", "--no-traffic", program=checkout.command(), PYTHONPATH="", **(settings or {})
    )
    try:
        where = urlsplit(engine.url)
        target = Target(str(where.hostname), int(where.port or 80), buyers=_buyers(engine))
        page = target.request("GET", "/products/api/v1/?page_size=100").body
        plentiful = [
            row["id"]
            for name in DEMO_PRODUCTS
            for row in target.request("GET", f"/products/api/v1/?search={name.replace(' ', '+')}").body["results"]
            if row["name"] == name
        ]
        products = [row["id"] for row in page["results"]]
        yield AttackedEngine(
            evolve(
                target,
                products=products,
                plentiful=plentiful,
                command=[checkout.python, "-P", "-m", "entrypoints.cli"],
                data=str(engine.data),
            ),
            engine.child("api"),
            engine,
        )
    finally:
        engine.end()


def _buyers(engine: EngineProcess) -> list[Account]:
    """The accounts of the demo that neither sell the plentiful products nor are staff."""
    settings = json.loads((engine.data / "engine.json").read_text())["settings"]
    with psycopg.connect(settings["DATABASE_URL"].replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT email FROM accounts WHERE NOT is_staff ORDER BY id").fetchall()
    return [Account(str(email), PASSWORD) for (email,) in rows[1:]]
