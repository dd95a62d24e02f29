"""The messages of processes and commands when a server is away, refuses them, or has the tables of another release."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import make_url

from adapters.db import migrate
from adapters.db.core import connect_errors
from adapters.redis.reachability import WRONG_PASSWORD
from adapters.security.tokens import JwtTokens, secret_key
from adapters.system import SystemClock
from entrypoints import asgi, settings
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.ports import Claims, TokenKind
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually, run
from tests.unit.support.http_in_process import calling

SECRET = "a secret of this test, of 32 bytes and more"
MIGRATE = "The database has no tables yet: run `scalecommerce migrate`."


def variants(url: str) -> dict[str, tuple[str, str]]:
    """Faulty variants of a working URL, with the expected message of each."""
    parsed = make_url(url)
    # Connect by TCP, because a socket has no host and port.
    query = {name: text for name, text in parsed.query.items() if name not in {"host", "port"}}
    port = int(str(parsed.query.get("port", parsed.port)))
    over_tcp = parsed.set(host="127.0.0.1", port=port, query=query)
    changed = {
        "wrong password": (over_tcp.set(password="s3cret-but-wrong"), connect_errors.WRONG_PASSWORD),
        "no password": (over_tcp.set(password=""), connect_errors.WRONG_PASSWORD),
        "wrong user": (over_tcp.set(username="nobody-here"), connect_errors.WRONG_PASSWORD),
        "closed port": (over_tcp.set(port=1), connect_errors.CONNECTION_REFUSED),
        "no socket": (parsed.set(host=None, query={"host": "/nowhere"}), connect_errors.CONNECTION_REFUSED),
        "unknown host": (over_tcp.set(host="no-such-host.invalid"), connect_errors.UNKNOWN_HOST),
        "no such database": (over_tcp.set(database="no-such-database"), connect_errors.NO_DATABASE),
        "unknown parameter": (over_tcp.set(query={"fantasy": "1"}), connect_errors.WRONG_PARAMETER),
        "wrong parameter": (over_tcp.set(query={"target_session_attrs": "none"}), connect_errors.WRONG_PARAMETER),
        "encryption": (over_tcp.set(query={"sslmode": "require"}), connect_errors.ENCRYPTION),
    }
    return {name: (each.render_as_string(hide_password=False), said) for name, (each, said) in changed.items()}


def test_each_cause_of_a_failed_connection_has_its_message(empty_database: str) -> None:
    expected = {name: said for name, (_, said) in variants(empty_database).items()}
    told = {}
    for name, (url, _) in variants(empty_database).items():
        with pytest.raises(Unavailable) as raised:
            migrate.upgrade(url)
        told[name] = str(raised.value)
    assert told == expected


def test_migrate_reports_a_wrong_password(tmp_path: Path, empty_database: str) -> None:
    url, said = variants(empty_database)["wrong password"]
    done = run("migrate", cwd=tmp_path, DATABASE_URL=url)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"{said}\n")


@contextmanager
def serving(database_url: str, redis_url: str) -> Iterator[httpx2.Client]:
    """A client of the application that an API process serves."""
    chosen = settings.load({"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": SECRET})
    with calling(asgi.build(chosen)) as client:
        yield client


def readyz(client: httpx2.Client) -> tuple[int, dict[str, object]]:
    answer = client.get("/readyz")
    return answer.status_code, answer.json()


def test_an_api_started_before_the_migration_becomes_ready_after_it(
    empty_database: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "entrypoints.asgi")
    with serving(empty_database, redis_url) as client:
        eventually(lambda: f"not ready: {MIGRATE}" in caplog.messages, "a word about the first look")
        assert client.get("/healthz").status_code == 200
        status, problem = readyz(client)
        assert (status, problem["code"], problem["detail"]) == (503, "schema_mismatch", MIGRATE)
        migrate.upgrade(empty_database)
        status, ready = readyz(client)
        assert (status, ready["status"]) == (200, "ok")
        said = [record.message for record in caplog.records if record.name == "entrypoints.asgi"]
        assert said == [f"not ready: {MIGRATE}", "ready"]
        with psycopg.connect(empty_database.replace("+psycopg", "")) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        # A newer release that has only added to the tables: this process runs beside it until it is replaced.
        assert readyz(client)[0] == 200
        with psycopg.connect(empty_database.replace("+psycopg", "")) as connection:
            connection.execute("COMMENT ON TABLE alembic_version IS 'compatible since revision 9999'")
        status, problem = readyz(client)
        assert (status, problem["code"]) == (503, "schema_mismatch")
        assert "upgrade the code" in str(problem["detail"])


def test_no_endpoint_answers_500_without_tables(
    empty_database: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers: dict[str, int] = {}
    with serving(empty_database, redis_url) as client:
        document = client.get("/openapi.json").json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                given = body.get("example") or next(iter(body.get("examples", {"": {}}).values())).get("value")
                headers = {"Authorization": f"Bearer {token()}"}
                answer = client.request(method, path.replace("{id}", "1"), json=given, headers=headers)
                answers[f"{method} {path}"] = answer.status_code
                if answer.status_code == 503:
                    assert (answer.json()["code"], answer.json()["detail"]) == ("schema_mismatch", MIGRATE)
    assert {name: status for name, status in answers.items() if status == 500} == {}
    assert sum(status == 503 for status in answers.values()) > 20, answers
    assert [record for record in caplog.records if record.exc_info] == []


def token() -> str:
    """A signed access token of an account that does not exist."""
    now = SystemClock().now()
    tokens = JwtTokens(secret_key(SECRET), [], issuer="scalecommerce", audience="scalecommerce")
    claims = Claims(
        TokenKind.ACCESS, "id", AccountId(1), SessionId("session"), is_staff=True, expires_at=now + timedelta(hours=1)
    )
    return tokens.issue(claims, now)


def test_readyz_reports_why_the_database_is_unavailable(empty_database: str, redis_url: str) -> None:
    for name in ("wrong password", "closed port", "unknown host", "no such database"):
        url, said = variants(empty_database)[name]
        with serving(url, redis_url) as client:
            status, problem = readyz(client)
            assert (status, problem["code"], problem["detail"]) == (503, "unavailable", said)


def test_readyz_distinguishes_a_wrong_redis_password_from_a_closed_port(database: str, redis_url: str) -> None:
    where = redis_url.rpartition("@")[2]
    states = {}
    for name, url in {
        "right": redis_url,
        "wrong": f"redis://:wrong@{where}",
        "none": f"redis://{where}",
        "closed": "redis://:any@127.0.0.1:1/0",
    }.items():
        with serving(database, url) as client:
            status, ready = readyz(client)
            states[name] = (status, ready["status"], ready["redis"])
    assert states == {
        "right": (200, "ok", "ok"),
        "wrong": (200, "degraded", "wrong_password"),
        "none": (200, "degraded", "wrong_password"),
        "closed": (200, "degraded", "away"),
    }


def test_a_worker_waits_for_the_migration_and_logs_it(tmp_path: Path, empty_database: str, redis_url: str) -> None:
    deployment = Deployment(tmp_path, empty_database, redis_url)
    try:
        worker = deployment.start("worker")
        worker.says(f"the worker waits for the database schema: {MIGRATE}")
        migrate.upgrade(empty_database)
        worker.says(r"ready\.")
        assert "Traceback" not in (tmp_path / "worker.log").read_text()
    finally:
        deployment.end()


def test_up_reports_a_wrong_redis_password(tmp_path: Path, empty_database: str, redis_url: str) -> None:
    wrong = redis_url.replace("://:", "://:wrong", 1)
    done = run("up", "--port", "0", cwd=tmp_path, DATABASE_URL=empty_database, REDIS_URL=wrong)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"{WRONG_PASSWORD}\n"
