"""New migrations, and the statements of the database adapter, contain nothing that Citus refuses.

ADR 74 has the reasons.
"""

from pathlib import Path

import pytest

from adapters.db.schema_version import VERSIONS
from tests.project.distributable_sql import functions_that_read, sql_of, stable_conflict_clauses, undistributable

FIRST = "0054"
"""The first migration that is checked: earlier ones are part of releases."""
ADAPTERS = Path(__file__).parents[2] / "adapters"
MIGRATIONS = sorted(VERSIONS.glob("[0-9]*.py"))


def reading_functions() -> set[str]:
    return {name for file in MIGRATIONS for text in sql_of(file) for name in functions_that_read(text)}


def test_new_migrations_are_distributable() -> None:
    reading = reading_functions()
    assert "is_sold_as" in reading, "a function of revision 0013 that reads products"
    refused = {
        file.name: reasons
        for file in MIGRATIONS
        if file.name[:4] >= FIRST
        for text in sql_of(file)
        if (reasons := undistributable(text, reading))
    }
    assert refused == {}


def test_the_statements_of_the_adapter_resolve_conflicts_by_immutable_expressions() -> None:
    texts = {file: sql_of(file) for file in ADAPTERS.rglob("*.py")}
    with_clause = [text for each in texts.values() for text in each if "ON CONFLICT" in text]
    assert len(with_clause) > 15
    refused = {
        str(file.relative_to(ADAPTERS)): reasons
        for file, each in texts.items()
        for text in each
        if (reasons := stable_conflict_clauses(text))
    }
    assert refused == {}


def test_earlier_migrations_contain_what_is_refused_now() -> None:
    reasons = {
        file.name[:4]: [reason for text in sql_of(file) for reason in undistributable(text)] for file in MIGRATIONS
    }
    assert any("transition table" in reason for reason in reasons["0011"])
    assert any("CREATE EXTENSION" in text for file in MIGRATIONS[:1] for text in sql_of(file))
    assert any("extension" in reason for reason in reasons["0001"])


READER = """
CREATE FUNCTION is_known(word text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN EXISTS (SELECT FROM vocabulary WHERE vocabulary.word = is_known.word);
"""


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            "CREATE TRIGGER sold AFTER INSERT ON products REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
            "a trigger with a transition table",
        ),
        ("CREATE TRIGGER a AFTER UPDATE ON orders referencing\n  old table AS before", "a trigger with a transition"),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET at = now()", "ON CONFLICT with now("),
        ("INSERT INTO a SELECT 1 ON CONFLICT (id) DO UPDATE SET at = CURRENT_TIMESTAMP", "with CURRENT_TIMESTAMP"),
        (
            "INSERT INTO a SELECT 1 ON CONFLICT (id) DO UPDATE SET b = 1\nWHERE a.at <= excluded.at - interval '1 day'",
            "ON CONFLICT with - interval",
        ),
        ("INSERT INTO a SELECT 1 ON CONFLICT (id) DO UPDATE SET d = date_trunc('day', excluded.at)", "date_trunc("),
        (READER + "CREATE INDEX a_idx ON a (is_known(name))", "is_known reads a table"),
        (READER + "ALTER TABLE a ADD CONSTRAINT a_known CHECK (is_known(name))", "is_known reads a table"),
        (READER + "ALTER TABLE a ADD b boolean GENERATED ALWAYS AS (is_known(name)) STORED", "is_known reads"),
        ("CREATE INDEX a_idx ON a (is_sold_as(name))", "is_sold_as reads a table"),
        ("CREATE TABLE public.a (id bigint)", "the name of a schema"),
        ("SELECT id FROM eu.orders", "the name of a schema"),
        ('CREATE INDEX a_idx ON "shop-app"."orders" (id)', "the name of a schema"),
        ("ALTER TABLE IF EXISTS eu . stock ADD a int", "the name of a schema"),
        ("CREATE TABLE a (b bigint REFERENCES eu.orders)", "the name of a schema"),
        ("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace", "the name of a schema"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a RETURN 1", "a search path"),
        ("SELECT pg_advisory_xact_lock(7)", "an advisory lock"),
        ("SELECT pg_try_advisory_lock(1, 2)", "an advisory lock"),
        ("NOTIFY changes", "NOTIFY or LISTEN"),
        ("SELECT pg_notify('changes', '')", "NOTIFY or LISTEN"),
        ("CREATE EXTENSION IF NOT EXISTS hstore", "an extension"),
    ],
)
def test_each_construct_is_refused(sql: str, reason: str) -> None:
    found = undistributable(sql, reading_functions())
    assert len(found) == 1
    assert reason in found[0]
    assert undistributable(f"-- {' '.join(sql.split())}") == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER a AFTER INSERT ON products FOR EACH ROW EXECUTE FUNCTION f()",
        "INSERT INTO a SELECT now() - interval '1 day' ON CONFLICT (id) DO NOTHING RETURNING now()",
        (
            "INSERT INTO a SELECT 1 ON CONFLICT (id) DO UPDATE SET n = a.n + excluded.n,"
            " at = greatest(a.at, excluded.at) WHERE excluded.at - a.at >= interval '1 day'; UPDATE a SET at = now()"
        ),
        (
            "CREATE FUNCTION letters(t text) RETURNS text[] LANGUAGE sql IMMUTABLE"
            " RETURN (SELECT array_agg(c) FROM regexp_split_to_table(t, '') AS c);"
            " CREATE INDEX a_idx ON a USING gin (letters(name))"
        ),
        READER + "CREATE INDEX a_idx ON a (name)",
        "SELECT log.products FROM change_log AS log WHERE log.products IS DISTINCT FROM log.events",
        "SELECT oid FROM pg_catalog.pg_class",
    ],
)
def test_what_citus_distributes_is_allowed(sql: str) -> None:
    assert undistributable(sql) == []
