"""Hides secrets in what is about to be written to a log.

Secrets are kept in types that hide themselves; this is for what escapes them: the texts of libraries' errors, which may
quote a URL, a statement's parameters or a row.
"""

import json
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

HIDDEN: Final = "***"
MIN_SECRET_LENGTH: Final = 6
"""Characters; hiding a shorter secret wherever its text occurs would make logs unreadable."""
MAX_SQL_LENGTH: Final = 500
"""Characters of a statement."""

_USER_INFO: Final = re.compile(r"(?<=://)([^\s/@:'\"]*):([^\s/'\"]*)@")
_PASSWORD_WORD: Final = re.compile(r"(?i)\b(password|passwd|pwd|secret)(\s*[=:]\s*)([^\s,;'\"}&]+)")
_SECRET_PARAMETERS: Final = frozenset({"password", "sslpassword"})


class Redactor:
    """Replaces the secrets that it knows, and the passwords of all URLs, by `HIDDEN`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Each is a secret, a URL with a password, or several of these with commas between them."""
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
    """A URL's password, also where it is given as a parameter; a text that is no URL, and its parts, are secret."""
    if "://" not in text:
        yield from filter(None, {text, *text.split(",")})
        return
    try:
        parts = urlsplit(text)
        found = [parts.password or "", *(value for name, value in parse_qsl(parts.query) if name in _SECRET_PARAMETERS)]
    except ValueError:
        # Not readable as a URL: whatever stands before the last @ may be a password.
        found = [text.partition("://")[2].rpartition("@")[0].partition(":")[2]]
    yield from filter(None, found)


def _spellings(secret: str) -> Iterator[str]:
    """As the secret is written in URLs, in JSON and in Python."""
    for text in {secret, unquote(secret), quote(unquote(secret), safe="")}:
        for spelling in {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}:
            if len(spelling) >= MIN_SECRET_LENGTH:
                yield spelling


# --- errors


def error_text(error: BaseException) -> str:
    """What an error says, without the rows and parameters that the texts of database errors quote."""
    if is_database_error(error):
        if hasattr(error, "statement"):  # SQLAlchemy's, around the driver's
            statement = " ".join((error.statement or "").split())[:MAX_SQL_LENGTH]
            cause = getattr(error, "orig", None)
            said = str(error.args[0]) if cause is None else error_text(cause)
            return f"{said} [SQL: {statement}]"
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        if primary is not None:
            return f"{_type_name(error)}: {primary}{_location(error)}"
    said = str(error)
    return f"{_type_name(error)}: {said}" if said else _type_name(error)


def is_database_error(error: BaseException) -> bool:
    """Told by names: commands that need no database do not load its libraries for this."""
    return any(kind.__module__.partition(".")[0] in {"psycopg", "sqlalchemy"} for kind in type(error).__mro__)


def _location(error: BaseException) -> str:
    diag = cast(Any, error).diag
    places = {"SQLSTATE": diag.sqlstate, "table": diag.table_name, "constraint": diag.constraint_name}
    return f" ({', '.join(f'{name} {place}' for name, place in places.items() if place)})"


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def traceback_text(error: BaseException, seen: frozenset[int] = frozenset()) -> str:
    """As Python prints it: files, lines and code, never the values of variables; causes first."""
    seen |= {id(error)}
    before = ""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        joint = "The above exception was the direct cause of" if error.__cause__ else "During handling of it came"
        before = f"{traceback_text(cause, seen)}\n\n{joint} the following:\n\n"
    frames = "".join(traceback.format_tb(error.__traceback__))
    within = (
        "".join(f"\n\n{traceback_text(each, seen)}" for each in error.exceptions if id(each) not in seen)
        if isinstance(error, BaseExceptionGroup)
        else ""
    )
    return f"{before}Traceback (most recent call last):\n{frames}{error_text(error)}{within}"
