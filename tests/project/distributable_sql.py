"""Finds SQL that prevents an installation from being one of several in a database, or a schema of a Citus cluster."""

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from adapters.db.schema import metadata

_FLAGS: Final = re.IGNORECASE | re.DOTALL
_TABLES: Final = "|".join(sorted(metadata.tables))
# A table with a schema where SQL expects a table; elsewhere, `log.products` may be a column of this name.
_IN_SCHEMA: Final = (
    r"(?<!DISTINCT )\b(?:FROM|JOIN|INTO|UPDATE|TABLE|ON|REFERENCES|ONLY|EXISTS|USING)\s+"
    rf'(?:[a-z_]\w*|"[^"]+")\s*\.\s*"?(?:{_TABLES})\b'
)
_REFUSED: Final = {
    r"\bREFERENCING\s+(?:OLD|NEW)\s+TABLE\b": (
        "a trigger with a transition table, which neither Citus nor logical replication executes: use FOR EACH ROW"
    ),
    r"\bsearch_path\b": "a search path: names without a schema are those of the installation",
    rf"\bpublic\s*\.|'public'|{_IN_SCHEMA}": (
        "the name of a schema: names without a schema are those of the installation"
    ),
    r"\bpg_(?:try_)?advisory\w*": "an advisory lock: its key must be one of adapters/db/core/advisory_locks.py",
    r"\bpg_notify\b|\b(?:UN)?LISTEN\s+\w|\bNOTIFY\s+\w": "NOTIFY or LISTEN: use the change log",
    r"\bCREATE\s+EXTENSION\b": (
        "an extension, which all installations share: add it to EXTENSIONS of adapters/db/migrate.py"
    ),
}
_CONFLICT: Final = re.compile(r"\bON\s+CONFLICT\b.*?(?=\bRETURNING\b|;|$)", _FLAGS)
_NOT_IMMUTABLE: Final = re.compile(
    r"\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|gen_random_uuid|nextval"
    r"|current_setting|date_trunc|date_part|extract|age|to_char|to_date|to_timestamp|txid_current|pg_current_\w+)\s*\("
    r"|\b(?:CURRENT|LOCAL)_?(?:TIMESTAMP|DATE|TIME)\b|\bAT\s+TIME\s+ZONE\b|[-+]\s*(?:CAST\s*\()?\s*interval\b"
    r"|interval\s*'[^']*'\s*[-+]|::\s*interval\b",
    _FLAGS,
)
_FUNCTION: Final = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s+(\w+)\s*\((.*?)(?=\bCREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\b|\Z)", _FLAGS
)
# `FROM name`, but not a call such as `FROM unnest(…)`, nor `IS DISTINCT FROM name`.
_READS: Final = re.compile(r"(?<!DISTINCT )\b(?:FROM|JOIN)\s+(?:ONLY\s+)?[a-z_]\w*\b(?!\s*[(.])", _FLAGS)
_DEFINITION: Final = re.compile(
    r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\b[^;]*|\b(?:CHECK|EXCLUDE)\s*[^;]*|\bGENERATED\s+ALWAYS\s+AS\s*\([^;]*", _FLAGS
)


def undistributable(sql: str, reading_functions: Collection[str] = ()) -> list[str]:
    """The reasons why the SQL of a migration is refused; `reading_functions` are those of earlier migrations."""
    text = _without_comments(sql)
    reasons = [reason for pattern, reason in _REFUSED.items() if re.search(pattern, text, _FLAGS)]
    reasons += stable_conflict_clauses(text)
    for name in sorted({*reading_functions, *functions_that_read(text)}):
        if any(re.search(rf"\b{name}\s*\(", part, re.IGNORECASE) for part in _DEFINITION.findall(text)):
            reasons.append(f"{name} reads a table: it must be in no index, constraint or generated column")
    return reasons


def stable_conflict_clauses(sql: str) -> list[str]:
    """The reasons why clauses ON CONFLICT are refused."""
    return [
        f"ON CONFLICT with {' '.join(found[0].split())}, which is not IMMUTABLE: Citus refuses it; compare the"
        " difference of two columns, or give a value"
        for clause in _CONFLICT.findall(_without_comments(sql))
        if (found := _NOT_IMMUTABLE.search(clause))
    ]


def functions_that_read(sql: str) -> set[str]:
    """The names of functions that the SQL creates and whose bodies read tables."""
    return {name for name, body in _FUNCTION.findall(_without_comments(sql)) if _READS.search(_end_of_body(body))}


def _end_of_body(text: str) -> str:
    """The text up to the end of the function."""
    if found := re.search(r"(\$\w*\$).*?\1", text, _FLAGS):
        return text[: found.end()]
    if found := re.search(r"\bBEGIN\s+ATOMIC\b.*?\bEND\s*;", text, _FLAGS):
        return text[: found.end()]
    return text.partition(";")[0]


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL)


def sql_of(module: Path) -> list[str]:
    """The texts of a module, without docstrings and downgrades; `?` stands for the expressions of an f-string.

    A downgrade restores what earlier releases had.
    """
    tree = ast.parse(module.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    return [text for identity, text in _texts(tree) if identity not in docstrings]


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.AnnAssign(target=ast.Name(id="DOWNGRADE")) | ast.FunctionDef(name="downgrade"):
            return
        case ast.Constant(value=str(text)):
            yield id(node), text
        case ast.JoinedStr(values=values):
            yield id(node), "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in values)
            for part in values:
                if isinstance(part, ast.FormattedValue):
                    yield from _texts(part.value)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _texts(child)
