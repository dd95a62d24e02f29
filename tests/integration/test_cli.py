"""The commands on real servers, in processes of their own."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.db.core.connect_errors import CONNECTION_REFUSED, READ_ONLY
from tests.integration.engine_process import PATIENCE, TOGETHER, environment, eventually, run

SECRET = "for tests only, and long enough to be one"
NOBODY = "postgresql://nobody@127.0.0.1:1/x"
FEW = ["--users", "8", "--products", "20", "--orders", "60"]


@pytest.fixture
def shop(database: str, redis_url: str) -> dict[str, str]:
    """The settings of a deployment."""
    return {"DATABASE_URL": database, "REDIS_URL": redis_url, "JWT_SECRET": SECRET}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Any]:
    """Starts a command that runs until it is stopped; its standard error goes to `err.txt`."""
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more: str) -> "subprocess.Popen[str]":
        with (tmp_path / "err.txt").open("w") as err:
            begun.append(
                subprocess.Popen(
                    [*TOGETHER, *arguments],
                    cwd=tmp_path,
                    env=environment(**more),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=err,
                    text=True,
                    start_new_session=True,
                )
            )
        return begun[-1]

    yield start
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_an_empty_database_becomes_a_verified_shop(tmp_path: Path, shop: dict[str, str]) -> None:
    only = {"DATABASE_URL": shop["DATABASE_URL"]}  # these commands need nothing else
    assert run("migrate", cwd=tmp_path, **only).stdout.startswith("The database is up to date (revision ")
    made = json.loads(run("seed", *FEW, "--yes", "--json", cwd=tmp_path, **only).stdout)
    assert (made["users"], made["products"], made["orders"]) == (8, 20, 60)
    assert "Clean" in run("stock", "verify", cwd=tmp_path, **only).stdout
    planned = json.loads(run("reprice", "--dry-run", "--json", cwd=tmp_path, **only).stdout)
    assert sum(document["looked_at"] for document in planned) == 20
    for done, plan in zip(json.loads(run("reprice", "--json", cwd=tmp_path, **only).stdout), planned, strict=True):
        assert (done["status"], done["looked_at"]) == ("DONE", plan["looked_at"])
        assert [move["new"] for move in done["moves"]] == [move["new"] for move in plan["moves"]]
    exported = run("export", "orders", "--format", "jsonl", cwd=tmp_path, **only).stdout.splitlines()
    assert len(exported) == 60
    staff = run(
        "createsuperuser", "--email", "root@example.com", "--password-stdin",
        cwd=tmp_path, stdin="correct horse battery staple\n", **only,
    )  # fmt: skip
    assert (staff.returncode, staff.stderr) == (0, "")


def test_seed_without_confirmation_writes_nothing(tmp_path: Path, database: str) -> None:
    done = run("seed", cwd=tmp_path, DATABASE_URL=database)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["stock", "verify"], ["seed", "--yes"], ["reprice"], ["export", "products"]])
def test_commands_report_a_database_without_tables(tmp_path: Path, postgres_url: str, command: list[str]) -> None:
    done = run(*command, cwd=tmp_path, DATABASE_URL=postgres_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The database has no tables yet: run `scalecommerce migrate`.\n"


def test_a_command_that_writes_to_a_read_only_database_says_what_to_do(tmp_path: Path, database: str) -> None:
    separator = "&" if "?" in database else "?"
    url = f"{database}{separator}options=-c%20default_transaction_read_only%3Don"
    done = run("seed", "--yes", cwd=tmp_path, DATABASE_URL=url)
    assert done.returncode == 3
    assert done.stderr.endswith(f"{READ_ONLY}\n")


def test_an_unreachable_server_is_reported(tmp_path: Path) -> None:
    done = run("stock", "verify", cwd=tmp_path, DATABASE_URL=NOBODY)
    assert (done.returncode, done.stderr) == (3, f"{CONNECTION_REFUSED}\n")


def test_seed_without_a_database_names_the_remedy(tmp_path: Path) -> None:
    done = run("seed", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == (
        f"No engine runs in {tmp_path}/.scalecommerce: start `scalecommerce up` here, or set DATABASE_URL.\n"
    )


@pytest.mark.parametrize("command", ["serve", "worker", "beat"])
def test_settings_are_checked_at_the_start(tmp_path: Path, command: str) -> None:
    done = run(command, cwd=tmp_path, DATABASE_URL=NOBODY, JWT_SECRET="short")
    assert (done.returncode, done.stdout) == (2, "")
    # The output is one line of the JSON log; on a terminal it would be sentences.
    line = json.loads(done.stderr)
    assert (line["level"], line["process"]) == ("critical", command)
    problems = line["event"].splitlines()
    assert [problem.split()[0] for problem in problems] == ["REDIS_URL", "JWT_SECRET:", "`scalecommerce"]


def test_up_checks_the_settings_that_it_does_not_set(tmp_path: Path) -> None:
    done = run("up", "--port", "0", cwd=tmp_path, MARKET_CURRENCY="dollars", INTAKE_QUEUE="0")
    assert done.returncode == 2
    assert [problem.split()[0] for problem in done.stderr.splitlines()[:2]] == ["MARKET_CURRENCY:", "INTAKE_QUEUE:"]
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_completed_batches(tmp_path: Path, begin: Any, shop: dict[str, str]) -> None:
    seeding = begin("seed", "--users", "50", "--products", "2000", "--orders", "300000", "--yes", **shop)
    with psycopg.connect(shop["DATABASE_URL"].replace("+psycopg", ""), autocommit=True) as connection:
        eventually(lambda: connection.execute("SELECT 1 FROM orders LIMIT 1").fetchone(), "the first orders")
    seeding.send_signal(signal.SIGINT)
    assert seeding.wait(PATIENCE) == 130
    said = (tmp_path / "err.txt").read_text()
    assert said.startswith("Interrupted. Completed batches stay and are")
    assert "Traceback" not in said
    assert run("stock", "verify", cwd=tmp_path, DATABASE_URL=shop["DATABASE_URL"]).returncode == 0


def test_a_closed_pipe_is_no_error(tmp_path: Path, shop: dict[str, str]) -> None:
    run("seed", "--users", "20", "--orders", "0", "--products", "2000", "--yes", cwd=tmp_path, **shop)
    command = " ".join([*TOGETHER, "export", "products", "|", "head", "-1"])
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment(**shop), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("sku,name,category")
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["worker"], ["beat"]], ids=lambda command: command[0])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_servers_exit_cleanly_on_a_signal(
    tmp_path: Path, begin: Any, shop: dict[str, str], command: list[str], number: signal.Signals
) -> None:
    words = {"serve": "Started worker-1", "worker": "ready", "beat": "the beat has started to send messages"}
    process = begin(*command, **shop)
    log = tmp_path / "err.txt"
    eventually(lambda: words[command[0]] in log.read_text() or process.poll() is not None, f"{command}: {words}")
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
