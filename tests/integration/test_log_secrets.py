"""Everything fails in turn, in every process: no output shows a secret, and the log is one JSON object per line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from adapters.embedded.redis import EmbeddedRedis
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually, run

ROLE = "leaky"
DATABASE_PASSWORD = 'd4t4base/p@ss+w%rd "quoted" for tests'
PASSWORD = "an account's pass phrase, nobody else's"
SECRETS = {
    "JWT_SECRET": "signs-tokens-and-cursors-of-this-test-only",
    "JWT_PREVIOUS_SECRETS": "signed-tokens-before-the-rotation-of-keys,signed-tokens-even-before-that-rotation",
}
SIGN_UP, TOKEN = "/users/api/v1/sign-up/", "/users/api/v1/token/"


@pytest.fixture
def leaky(
    empty_database: str, administrator: psycopg.Connection, administrator_url: Callable[[str], str]
) -> Iterator[str]:
    """The URL of an empty database that belongs to a user with a password of special characters."""
    url = make_url(empty_database).set(username=ROLE, password=DATABASE_PASSWORD)
    role = sql.Identifier(ROLE)
    administrator.execute(
        sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(role, sql.Literal(DATABASE_PASSWORD))
    )
    yield url.render_as_string(hide_password=False)
    administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [ROLE])
    name = sql.Identifier(str(url.database))
    owner = sql.SQL("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {}")
    assert administrator.execute(owner.format(sql.Literal(url.database))).fetchone() != (ROLE,)
    with psycopg.connect(administrator_url(empty_database).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    administrator.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(name))
    administrator.execute(sql.SQL("DROP ROLE {}").format(role))


class Outputs:
    """The outputs of the processes, and the secrets that they must not contain."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = [*secrets, PASSWORD, DATABASE_PASSWORD, *",".join(SECRETS.values()).split(","), "$argon2"]
        self.texts: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        self.texts[name] = text

    def shown(self) -> list[str]:
        """The secrets that outputs contain, plain or encoded."""
        return [
            f"{name}: {secret}"
            for name, text in self.texts.items()
            for secret in self.secrets
            for spelling in {
                secret,
                json.dumps(secret)[1:-1],
                repr(secret)[1:-1],
                make_url("x://").set(password=secret),
            }
            if str(spelling) in text
        ]

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.texts[name].splitlines()]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


SAM = {"email": "sam@example.com", "password": PASSWORD, "first_name": "Sam"}
KARA = {"email": "kara@example.com", "password": PASSWORD, "first_name": "Kara"}


class Site:
    """A deployment, and methods that make its parts fail."""

    def __init__(self, directory: Path, url: str, redis: EmbeddedRedis, administrator_url: str) -> None:
        self.outputs = Outputs(str(make_url(redis.url).password))
        self._directory = directory
        self._url = url
        self._redis = redis
        self._administrator_url = administrator_url
        self._site = Deployment(
            directory,
            url,
            redis.url,
            LOG_LEVEL="DEBUG",
            JWT_SECRET=SECRETS["JWT_SECRET"],
            JWT_PREVIOUS_SECRETS=SECRETS["JWT_PREVIOUS_SECRETS"],
        )

    def starts_before_the_migration(self) -> None:
        for name in ("serve", "worker", "beat"):
            self._site.start(name)
        self._site.find()
        self._client = self._site.visitor()
        assert self._client.post(SIGN_UP, json=KARA).json()["code"] == "schema_mismatch"
        self._says("worker", "the worker waits")
        given = {"DATABASE_URL": self._url, "LOG_LEVEL": "DEBUG", **SECRETS}
        done = run("migrate", cwd=self._directory, **given)
        assert done.returncode == 0
        self.outputs.add("migrate", done.stdout + done.stderr)
        self._says("worker", r"ready\.")

    def fails_unexpectedly(self) -> None:
        """Make a use case, the decision on an order, and a task fail with errors of the driver whose texts contain the
        row."""
        self._execute("ALTER TABLE accounts ADD CONSTRAINT no_kara CHECK (first_name <> 'Kara')")
        assert self._client.post(SIGN_UP, json=KARA).status_code == 500
        self._execute("ALTER TABLE orders ADD CONSTRAINT none_decided CHECK (status = 'CREATED')")
        self._execute("ALTER TABLE events ADD CONSTRAINT none_numbered CHECK (seq < 0)")
        assert self._client.post(SIGN_UP, json=SAM).status_code == 201
        pair = self._client.post(TOKEN, json=SAM).json()
        self.outputs.secrets += [pair["access"], pair["refresh"]]
        self._client.headers["Authorization"] = f"Bearer {pair['access']}"
        hook = {"url": "https://example.com/", "topics": ["order.placed"]}
        self.outputs.secrets.append(self._client.post("/webhooks/api/v1/", json=hook).json()["secret"])
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 2}
        made = self._client.post("/products/api/v1/", json=product).json()["id"]
        order = {"order_item": [{"product": made, "quantity": 1}]}
        assert self._site.person("buyer").post("/orders/api/v1/", json=order).status_code == 202
        self._says("worker", "could not be decided")
        self._says("worker", "ended with an unexpected error")

    def loses_the_database(self) -> None:
        self._execute(f"ALTER ROLE {ROLE} PASSWORD 'another'")
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")  # noqa: S608 - a constant
        assert self._client.post(TOKEN, json=SAM).status_code == 503
        eventually(lambda: "refuses the user name" in self._client.get("/readyz").text, "a word about the password")
        self._says("worker", "background work is delayed: The database refuses")

    def loses_redis(self) -> None:
        self._redis.stop()
        self._client.post(TOKEN, json=SAM)
        self._says("worker", "Cannot connect to redis")
        self._says("beat", "the beat cannot send messages")

    def ends(self) -> None:
        self._site.end()
        for name in self._site.commands:
            self.outputs.add(name, (self._directory / f"{name}.log").read_text())

    def _says(self, name: str, pattern: str) -> None:
        self._site.commands[name].says(pattern)

    def _execute(self, statement: str) -> None:
        execute(self._administrator_url, statement)


def test_no_process_shows_a_secret_whatever_fails(
    tmp_path: Path, leaky: str, empty_database: str, administrator_url: Callable[[str], str]
) -> None:
    with EmbeddedRedis(tmp_path / "redis") as redis:
        site = Site(tmp_path / "site", leaky, redis, administrator_url(empty_database))
        try:
            site.starts_before_the_migration()
            site.fails_unexpectedly()
            site.loses_the_database()
            site.loses_redis()
        finally:
            site.ends()
    assert site.outputs.shown() == []
    exceptions = []
    for name, process in (("serve", "api"), ("worker", "worker"), ("beat", "beat")):
        lines = site.outputs.lines(name)
        assert {line["process"] for line in lines} == {process}
        assert all(line.keys() >= {"timestamp", "level", "event", "logger"} for line in lines)
        exceptions += [line["exception"] for line in lines if "exception" in line]
    assert any("CheckViolation" in text for text in exceptions)
    assert any(line["event"].startswith("worker: Warm shutdown") for line in site.outputs.lines("worker"))


def test_no_command_shows_a_secret_whatever_fails(
    tmp_path: Path, leaky: str, empty_database: str, administrator_url: Callable[[str], str]
) -> None:
    superuser = administrator_url(empty_database)
    outputs = Outputs("r3dis-password")
    given = {"DATABASE_URL": leaky, "REDIS_URL": "redis://:r3dis-password@127.0.0.1:1/0", **SECRETS}

    def command(*words: str, code: int, **more: str) -> str:
        done = run(*words, cwd=tmp_path, stdin=f"{PASSWORD}\n", **{**given, **more})
        assert done.returncode == code, done.stderr
        outputs.add(" ".join(words) + str(len(outputs.texts)), done.stdout + done.stderr)
        return done.stderr

    assert "run `scalecommerce migrate`" in command("stock", "verify", code=1)
    command("settings", code=0)
    command("migrate", code=0, LOG_LEVEL="DEBUG")
    # Invalid settings of a process whose standard error is not a terminal
    (line,) = command("worker", code=2, JWT_SECRET=PASSWORD[:20], DATABASE_POOL_SIZE="none").splitlines()
    assert json.loads(line)["level"] == "critical"
    assert "JWT_SECRET: " in json.loads(line)["event"]
    outputs.secrets.append(PASSWORD[:20])
    assert "cannot be reached" in command("up", "--port", "0", code=3)
    # An unexpected error: a variable contains the password, the text of the driver's error its hash
    execute(superuser, "ALTER TABLE accounts ADD CONSTRAINT no_staff CHECK (NOT is_staff)")
    staff = ("createsuperuser", "--email", "staff@example.com", "--password-stdin")
    lines = [json.loads(line) for line in command(*staff, code=1).splitlines()]
    assert "CheckViolation" in lines[-1]["exception"], lines
    assert lines[-1]["level"] == "critical"
    execute(superuser, f"ALTER ROLE {ROLE} PASSWORD 'another'")
    assert "refuses the user name or the password" in command(*staff, code=3)
    assert outputs.shown() == []
