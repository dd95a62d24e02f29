"""Replaces secrets in log lines.

The type `Secret` already hides its text. This module covers the texts of libraries' errors, which may quote a URL, the
parameters of a statement or a row.
"""

import json
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SECRETS: Final = (
    "DATABASE_URL",
    "DATABASE_READ_URL",
    "REDIS_URL",
    "JWT_SECRET",
    "JWT_PREVIOUS_SECRETS",
    "ENCRYPTION_SECRET",
    "ENCRYPTION_PREVIOUS_SECRETS",
    "SMTP_URL",
)
"""The variables that contain passwords or keys."""

HIDDEN: Final = "***"
MIN_SECRET_LENGTH: Final = 6
"""Characters. Shorter secrets are not replaced: their text occurs by chance, and logs would become unreadable."""
MAX_SQL_LENGTH: Final = 500
"""Characters of a statement that are shown."""

_USER_INFO: Final = re.compile(r"(?<=://)([^\s/@:'\"]*):([^\s/'\"]*)@")
_PASSWORD_WORD: Final = re.compile(r"(?i)\b(password|passwd|pwd|secret)(\s*[=:]\s*)([^\s,;'\"}&]+)")
_SECRET_PARAMETERS: Final = frozenset({"password", "sslpassword"})


class Redactor:
    """Replaces the given secrets, and the passwords of all URLs, by `HIDDEN`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Add texts: a secret, a URL with a password, or a comma-separated list of secrets."""
        for text in secrets:
            for secret in _secrets_in(text):
                self._known.update(_spellings(secret))
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, line: str) -> str:
        if self._pattern is not None:
            line = self._pattern.sub(HIDDEN, line)
        line = _USER_INFO.sub(rf"\1:{HIDDEN}@", line)
        return _PASSWORD_WORD.sub(rf"\1\2{HIDDEN}", line)


def _secrets_in(text: str) -> Iterator[str]:
    """Yield the passwords of a URL (also those in its query), or else the text itself and its comma-separated parts."""
    if "://" not in text:
        yield from filter(None, {text, *text.split(",")})
        return
    try:
        parts = urlsplit(text)
        found = [parts.password or "", *(value for name, value in parse_qsl(parts.query) if name in _SECRET_PARAMETERS)]
    except ValueError:
        # Not a valid URL: everything before the last @ may be a password.
        found = [text.partition("://")[2].rpartition("@")[0].partition(":")[2]]
    yield from filter(None, found)


def _spellings(secret: str) -> Iterator[str]:
    """Yield the secret as it is written in URLs, in JSON and in Python literals."""
    for text in {secret, unquote(secret), quote(unquote(secret), safe="")}:
        for spelling in {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}:
            if len(spelling) >= MIN_SECRET_LENGTH:
                yield spelling


# --- errors


def error_text(error: BaseException) -> str:
    """Return type and message of an error, without the rows and parameters that messages of databases quote."""
    if is_database_error(error):
        if hasattr(error, "statement"):  # an error of SQLAlchemy, which wraps the driver's
            statement = " ".join((error.statement or "").split())[:MAX_SQL_LENGTH]
            cause = getattr(error, "orig", None)
            text = str(error.args[0]) if cause is None else error_text(cause)
            return f"{text} [SQL: {statement}]"
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        if primary is not None:
            return f"{_type_name(error)}: {primary}{_location(error)}"
    text = str(error)
    return f"{_type_name(error)}: {text}" if text else _type_name(error)


def is_database_error(error: BaseException) -> bool:
    """Compares module names, so that commands without a database need not load its libraries."""
    return any(kind.__module__.partition(".")[0] in {"psycopg", "sqlalchemy"} for kind in type(error).__mro__)


def _location(error: BaseException) -> str:
    diag = cast(Any, error).diag
    places = {"SQLSTATE": diag.sqlstate, "table": diag.table_name, "constraint": diag.constraint_name}
    return f" ({', '.join(f'{name} {place}' for name, place in places.items() if place)})"


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def traceback_text(error: BaseException, seen: frozenset[int] = frozenset()) -> str:
    """Format a traceback as Python does, causes first: files, lines and code, but no values of variables."""
    seen |= {id(error)}
    before = ""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        joint = (
            "The above exception was the direct cause of"
            if error.__cause__
            else "During handling of the above exception occurred"
        )
        before = f"{traceback_text(cause, seen)}\n\n{joint} the following:\n\n"
    frames = "".join(traceback.format_tb(error.__traceback__))
    within = (
        "".join(f"\n\n{traceback_text(each, seen)}" for each in error.exceptions if id(each) not in seen)
        if isinstance(error, BaseExceptionGroup)
        else ""
    )
    return f"{before}Traceback (most recent call last):\n{frames}{error_text(error)}{within}"
