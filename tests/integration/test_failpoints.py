"""A real process dies at the fail-point of the setting, and PostgreSQL has exactly what was committed before."""

import subprocess
import sys

import psycopg
import pytest

PROGRAM = """
import os
from entrypoints.settings import load
from entrypoints.wiring import wire
engine = wire(load(), "api")
with engine.market.store.begin() as tx:
    tx.categories.add([("Tea", "tea")])
print("alive", flush=True)
engine.close()
"""


@pytest.mark.parametrize(
    ("failpoints", "ended", "lasts"),
    [
        ("", 0, True),
        ("categories.add:after@1", -9, False),
        ("commit:before@1", -9, False),
        ("commit:after@1", -9, True),
    ],
)
def test_a_process_kills_itself_at_the_fail_point(
    database: str, redis_url: str, failpoints: str, ended: int, lasts: bool
) -> None:
    environment = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "JWT_SECRET": "s" * 32,
        "FAILPOINTS": failpoints,
    }
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert process.returncode == ended, process.stderr
    assert process.stdout == ("alive\n" if ended == 0 else "")
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT count(*) FROM categories WHERE slug = 'tea'").fetchone()
    assert found == (int(lasts),)
