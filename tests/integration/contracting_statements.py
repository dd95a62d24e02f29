"""Finds statements of a migration that break code of the previous release, which still runs beside the new code."""

import re
from collections.abc import Iterable
from typing import Final

_PARTS: Final = {
    r"\bDROP (TABLE|COLUMN|SEQUENCE|FUNCTION|VIEW|MATERIALIZED VIEW|TYPE|DOMAIN)\b": "drops what earlier code may use",
    r"\bRENAME\b": "renames what earlier code may use",
    r"\bSET NOT NULL\b": "requires a value that earlier code may not write",
    r"\bALTER (COLUMN )?\w+ (SET DATA )?TYPE\b": "changes a type, and rewrites the table",
    r"\bCREATE UNIQUE INDEX\b": "refuses rows that earlier code may write",
}
_TABLE: Final = re.compile(r"\b(?:ALTER TABLE|ON|DROP TABLE) (?:IF EXISTS )?(?:ONLY )?(\w+)", re.IGNORECASE)
_CREATED: Final = re.compile(r"\bCREATE (?:TEMPORARY |TEMP |UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)", re.IGNORECASE)
_COLUMN: Final = re.compile(r"\bADD COLUMN (.*?)(?=, *(?:ADD|DROP|ALTER|RENAME)\b|$)", re.IGNORECASE)
_CONSTRAINT: Final = re.compile(r"\b(ADD|DROP) CONSTRAINT (?:IF EXISTS )?(\w+)", re.IGNORECASE)
_INDEX: Final = re.compile(r"\bCREATE (?:UNIQUE )?INDEX (?!IF NOT EXISTS)(?!CONCURRENTLY)\w+ ON (\w+)", re.IGNORECASE)


def contracting(statements: Iterable[str]) -> list[str]:
    """The reasons why earlier code may fail after these statements of one migration, each with its statement.

    Tables that the migration creates itself do not count: earlier code does not know them. A constraint that replaces
    one of its name does not count either: it admits further values.
    """
    return [
        f"{reason}: {part}"
        for part in _parts(statements)
        for reason in [
            *(meaning for pattern, meaning in _PARTS.items() if re.search(pattern, part, re.IGNORECASE)),
            *(["refuses rows that earlier code may write"] if _new_constraints(part) else []),
            *(["adds a column that earlier code does not write"] if _required_columns(part) else []),
        ]
    ]


def blocking(statements: Iterable[str]) -> list[str]:
    """The statements that build an index on a table that exists, which blocks its writers.

    With IF NOT EXISTS an operator can build the index before, with CREATE INDEX CONCURRENTLY.
    """
    return [part for part in _parts(statements) if _INDEX.search(part)]


def _parts(statements: Iterable[str]) -> list[str]:
    """Single statements about tables that existed before, on one line each."""
    whole = [_one_line(statement) for statement in statements]
    created = {name.lower() for statement in whole for name in _CREATED.findall(statement)}
    return [
        part.strip()
        for statement in whole
        for part in statement.split(";")
        if part.strip() and not {name.lower() for name in _TABLE.findall(part)[:1]} & created
    ]


def _one_line(statement: str) -> str:
    without_comments = re.sub(r"--[^\n]*", "", statement)
    # Bodies of functions and texts are no statements of the migration.
    without_bodies = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", without_comments, flags=re.DOTALL)
    return " ".join(re.sub(r"'(?:[^']|'')*'", "''", without_bodies).split())


def _new_constraints(part: str) -> bool:
    named: dict[str, set[str]] = {"add": set(), "drop": set()}
    for action, name in _CONSTRAINT.findall(part):
        named[action.lower()].add(name)
    return bool(named["add"] - named["drop"])


def _required_columns(part: str) -> list[str]:
    return [
        column
        for column in _COLUMN.findall(part)
        if re.search(r"\bNOT NULL\b", column, re.IGNORECASE)
        and not re.search(r"\b(DEFAULT|GENERATED)\b", column, re.IGNORECASE)
    ]
