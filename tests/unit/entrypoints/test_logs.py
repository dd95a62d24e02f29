"""The log: one line per event of any logger, without secrets and without the values of variables."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from entrypoints import logs, settings
from entrypoints.redaction import Redactor, error_text, traceback_text

PASSWORD = 'p@ss "word"/ü'
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://me:p%40ss%20%22word%22%2F%C3%BC@host/name?application_name=x",
    "REDIS_URL": "redis://host:6379/0?password=redis-hunter",
    "JWT_SECRET": "the first of the secrets that sign tokens",
    "JWT_PREVIOUS_SECRETS": "the second of the secrets that sign,the third of the secrets that sign",
}


@pytest.fixture
def redact() -> Redactor:
    return Redactor(ENVIRONMENT.values())


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        repr(PASSWORD),
        json.dumps({"password is": PASSWORD}),
        json.dumps({"is": PASSWORD}, ensure_ascii=False),
        ENVIRONMENT["DATABASE_URL"],
        "redis-hunter",
        ENVIRONMENT["JWT_SECRET"],
        "the third of the secrets that sign",
        ENVIRONMENT["JWT_PREVIOUS_SECRETS"],
    ],
)
def test_known_secrets_are_hidden_in_every_encoding(redact: Redactor, text: str) -> None:
    line = redact(f"before {text} after")
    for part in (PASSWORD, "word", "hunter", "secrets that sign"):
        assert part not in line.replace("password", "")
    assert line.startswith("before ")
    assert line.endswith(" after")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connect to amqp://user:pw@host:1/x failed", "connect to amqp://user:***@host:1/x failed"),
        ("redis://:pw@host and http://host/a:b@c", "redis://:***@host and http://host/a:b@c"),
        ("host=x password=pw user=y", "host=x password=*** user=y"),
        ("password authentication failed for user", "password authentication failed for user"),
        ("nothing secret here", "nothing secret here"),
    ],
)
def test_passwords_of_any_url_are_hidden(text: str, shown: str) -> None:
    assert Redactor()(text) == shown


def test_the_password_of_a_malformed_url_is_hidden() -> None:
    assert "sixteen[letters" not in Redactor(["postgresql://me:sixteen[letters@host/x"])("it is sixteen[letters")


def test_short_secrets_are_hidden_only_in_urls() -> None:
    redact = Redactor(["redis://:abc@host/0"])
    assert redact("the abc of redis://:abc@host/0") == "the abc of redis://:***@host/0"


def wrapped() -> Exception:
    """An error with a cause, and secrets in variables."""
    secret = "in a variable"  # noqa: F841
    try:
        try:
            raise KeyError("inner")  # noqa: TRY301
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as error:
        return error


def test_tracebacks_contain_lines_and_causes_but_no_variables() -> None:
    text = traceback_text(wrapped())
    assert text.index("KeyError: 'inner'") < text.index("direct cause") < text.index("ValueError: outer")
    assert "test_logs.py" in text
    assert "in a variable" not in text.replace('secret = "in a variable"', "")
    group = ExceptionGroup("several", [ValueError("first"), wrapped()])
    assert all(part in traceback_text(group) for part in ("several", "ValueError: first", "KeyError"))


def test_a_cycle_of_causes_is_written_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert traceback_text(first).count("ValueError") == 2


class Diagnostic:
    sqlstate, table_name, constraint_name = "23514", "accounts", "accounts_check"
    message_primary = "new row violates check constraint"
    message_detail = "Failing row contains (1, me@example.com, $argon2id$hash)."


def test_database_errors_contain_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    error = psycopg.errors.CheckViolation(f"{Diagnostic.message_primary}\nDETAIL: {Diagnostic.message_detail}")
    assert "argon2id" in str(error)
    monkeypatch.setattr(psycopg.Error, "diag", Diagnostic())
    assert error_text(error) == (
        "psycopg.errors.CheckViolation: new row violates check constraint"
        " (SQLSTATE 23514, table accounts, constraint accounts_check)"
    )


# --- the log of this process, for one test at a time


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """A function that returns the lines logged since its last call; the changes of `configure` are undone at the
    end."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    monkeypatch.setattr("threading.excepthook", logging.threading.excepthook)  # type: ignore[attr-defined]
    monkeypatch.setattr(logs, "_redactor", Redactor())

    def lines() -> list[dict[str, Any]]:
        out, err = capsys.readouterr()
        assert out == ""
        return [json.loads(line) for line in err.splitlines()]

    yield lines
    logging.captureWarnings(capture=False)
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)
    structlog.reset_defaults()


def configured(**more: str) -> None:
    logs.configure(settings.load(ENVIRONMENT | more), "api")


def test_loggers_of_the_library_and_of_structlog_write_the_same_lines(log: Any) -> None:
    configured()
    logging.getLogger("ours").warning("it says %s", PASSWORD, extra={"url": ENVIRONMENT["DATABASE_URL"]})
    structlog.get_logger("theirs").warning("it says", url=ENVIRONMENT["DATABASE_URL"])
    ours, theirs = log()
    for line in (ours, theirs):
        assert (line["level"], line["process"]) == ("warning", "api")
        assert line["url"] == "postgresql://me:***@host/name?application_name=x"
    assert (ours["event"], ours["logger"], theirs["event"], theirs["logger"]) == (
        "it says ***",
        "ours",
        "it says",
        "theirs",
    )


@pytest.mark.parametrize("how", ["library", "structlog"])
def test_an_error_is_one_line_without_variables(log: Any, how: str) -> None:
    configured()
    secret = "the value of a variable"  # noqa: F841
    try:
        raise ValueError(ENVIRONMENT["REDIS_URL"])  # noqa: TRY301
    except ValueError:
        (logging.getLogger("x") if how == "library" else structlog.get_logger("x")).exception("it broke")
    (line,) = log()
    assert (line["event"], line["level"]) == ("it broke", "error")
    assert line["exception"].endswith("ValueError: redis://host:6379/0?password=***")
    assert "the value of a variable" not in json.dumps(line).replace('secret = \\"the value of a variable\\"', "")


@pytest.mark.usefixtures("log")
def test_console_logs_escape_control_characters_of_untrusted_text(capsys: pytest.CaptureFixture[str]) -> None:
    configured(LOG_FORMAT="console")
    logging.getLogger("x").warning(
        "renamed to %s", "[red]\x1b[31m\nforged line\u202e", extra={"name_": "\x1b]0;title\x07"}
    )
    shown = capsys.readouterr().err
    assert r"[red]\x1b[31m\nforged line\u202e" in shown
    assert r"\x1b]0;title\x07" in shown
    assert "\x1b" not in shown
    assert shown.count("\n") == 1


def test_console_logs_contain_no_variables(log: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured(LOG_FORMAT="console")
    secret = "the value of a variable"  # noqa: F841
    try:
        raise ValueError("sorry")  # noqa: TRY301
    except ValueError:
        logging.getLogger("x").exception("it broke")
    err = capsys.readouterr().err
    assert "it broke" in err
    assert "ValueError: sorry" in err
    assert "locals" not in err
    assert err.count("the value of a variable") <= 1  # the traceback shows the line of code with this text
    assert log() == []


def test_a_failed_celery_task_is_logged_once(log: Any) -> None:
    configured()
    try:
        raise ValueError("in a task")  # noqa: TRY301
    except ValueError as error:
        context = {"name": "scalecommerce.decide_orders", "id": "1", "exc": repr(error), "traceback": "Traceback …"}
        logging.getLogger("celery.app.trace").error(  # noqa: G201 - as Celery does
            "Task %(name)s[%(id)s] raised: %(exc)s", context, exc_info=True, extra={"data": context}
        )
    (line,) = log()
    assert line["event"] == "task scalecommerce.decide_orders ended with an unexpected error"
    assert "data" not in line
    assert "ValueError: in a task" in line["exception"]


def test_errors_of_unawaited_asyncio_tasks_are_logged(log: Any) -> None:
    configured()

    async def fail() -> None:
        raise ValueError(PASSWORD)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.log_loop_error)
        task = loop.create_task(fail())
        await asyncio.wait([task])
        loop.call_exception_handler({"message": "Task exception was never retrieved", "exception": task.exception()})

    asyncio.run(main())
    (line,) = log()
    assert line["event"] == "Task exception was never retrieved"
    assert line["exception"].endswith("ValueError: ***")


CRASHES = """
import os, sys, threading, warnings
from entrypoints import logs

logs.configure_early("command")
password = "the value of a variable"
warnings.warn("a warning with " + os.environ["JWT_SECRET"])

def fail():
    raise ValueError(os.environ["DATABASE_URL"])

thread = threading.Thread(target=fail, name="first")
thread.start()
thread.join()

class Dying:
    def __del__(self):
        fail()

dying = Dying()
del dying
fail()
"""


def test_uncaught_errors_are_logged_as_one_line_each() -> None:
    environment = {**ENVIRONMENT, "PATH": "", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", CRASHES], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    warned, thread, unraisable, crash = map(json.loads, done.stderr.splitlines())
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")
    assert (thread["event"], thread["in_thread"]) == ("unexpected error", "first")
    assert unraisable["event"] == "an error in Dying.__del__ could not be raised"
    assert (crash["event"], crash["level"]) == ("unexpected error", "critical")
    for line in (thread, unraisable, crash):
        assert line["exception"].endswith("ValueError: postgresql://me:***@host/name?application_name=x")
    assert ENVIRONMENT["JWT_SECRET"] not in done.stderr
    assert "the value of a variable" not in done.stderr
