"""Bring texts of products, accounts, categories, policies and endpoints to their normal form (`domain.text`).

A text that cannot be changed is kept and logged: a SKU that another product of the seller has, a name that another
category has, a name that would be empty, a text that would become too long. No rows are merged; equal brands become one
brand because products are grouped by the text.

Revision ID: 0014
Revises: 0013
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from alembic import op
from sqlalchemy import Connection

from adapters.db.migrations.ranges import id_ranges
from scalecommerce_core.domain.text import (
    BIO_LENGTH,
    BRAND_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    SKU_LENGTH,
    normal_line,
    normal_text,
)

revision: Final = "0014"
down_revision: Final = "0013"
branch_labels: Final = None
depends_on: Final = None

LOG: Final = logging.getLogger("alembic.runtime.migration")

Normal = Callable[[str], str]
# Column, its normal form, its longest length, and whether it must not be empty.
PRODUCTS: Final = (
    ("name", normal_line, NAME_LENGTH, True),
    ("brand", normal_line, BRAND_LENGTH, False),
    ("description", normal_text, DESCRIPTION_LENGTH, False),
    ("sku", normal_line, SKU_LENGTH, True),
)
ACCOUNTS: Final = (
    ("first_name", normal_line, NAME_LENGTH, False),
    ("last_name", normal_line, NAME_LENGTH, False),
    ("bio", normal_text, BIO_LENGTH, False),
)
CATEGORIES: Final = (("name", normal_line, NAME_LENGTH, True),)
POLICIES: Final = (("name", normal_line, NAME_LENGTH, True),)
ENDPOINTS: Final = (("description", normal_text, 10_000, False),)
Columns = Sequence[tuple[str, Normal, int, bool]]
Changes = dict[int, dict[str, str]]


def upgrade() -> None:
    connection = op.get_bind()
    # Readers are not blocked; writers are, so that no text changes after it was read.
    connection.exec_driver_sql(
        "LOCK TABLE accounts, categories, products, pricing_policies, webhook_endpoints IN SHARE ROW EXCLUSIVE MODE"
    )
    for changes in _changes(connection, "products", PRODUCTS):
        _keep_codes_apart(connection, changes)
        # Equal ETags must not stand for different contents.
        _update(connection, "products", PRODUCTS, changes, "version = version + 1")
    for table, columns in (("accounts", ACCOUNTS), ("webhook_endpoints", ENDPOINTS)):
        for changes in _changes(connection, table, columns):
            _update(connection, table, columns, changes)
    for changes in _changes(connection, "pricing_policies", POLICIES):
        document = "document = jsonb_set(document, '{name}', to_jsonb(coalesce(given.name, old.name)))"
        _update(connection, "pricing_policies", POLICIES, changes, document)
    for changes in _changes(connection, "categories", CATEGORIES):
        _keep_names_apart(connection, changes)
        _update(connection, "categories", CATEGORIES, changes)


def downgrade() -> None:
    """Does nothing: the former texts are not stored."""


def _keep_codes_apart(connection: Connection, changes: Changes) -> None:
    """Keep SKUs unique among the products that a seller has not withdrawn."""
    codes = {id_: forms["sku"] for id_, forms in changes.items() if "sku" in forms}
    if not codes:
        return
    rows = connection.exec_driver_sql(
        "SELECT old.id, old.seller_id, given.sku, other.id"
        " FROM unnest(%s::bigint[], %s::text[]) AS given(id, sku) JOIN products AS old ON old.id = given.id"
        " LEFT JOIN products AS other"
        " ON other.seller_id = old.seller_id AND other.sku = given.sku AND other.withdrawn_at IS NULL"
        " WHERE old.withdrawn_at IS NULL ORDER BY old.id",
        (list(codes), list(codes.values())),
    )
    given: dict[tuple[int, str], int] = {}
    for id_, seller_id, code, holder in rows.all():
        taken_by = given.setdefault((seller_id, code), id_ if holder is None else holder)
        if taken_by != id_:
            LOG.warning("Product %s keeps its sku: in its normal form it is that of product %s.", id_, taken_by)
            del changes[id_]["sku"]


def _keep_names_apart(connection: Connection, changes: Changes) -> None:
    names = {name: id_ for id_, name in connection.exec_driver_sql("SELECT id, name FROM categories").all()}
    for id_, forms in changes.items():
        taken_by = names.setdefault(forms["name"], id_)
        if taken_by != id_:
            LOG.warning("Category %s keeps its name: in its normal form it is that of category %s.", id_, taken_by)
            del forms["name"]


def _update(connection: Connection, table: str, columns: Columns, changes: Changes, *also: str) -> None:
    changed = {id_: forms for id_, forms in changes.items() if forms}
    if not changed:
        return
    names = [name for name, *_ in columns]
    assigned = ", ".join([*(f"{name} = coalesce(given.{name}, old.{name})" for name in names), *also])
    arrays = ", ".join(["%s::bigint[]", *("%s::text[]" for _ in names)])
    values = [[forms.get(name) for forms in changed.values()] for name in names]
    connection.exec_driver_sql(
        f"UPDATE {table} AS old SET {assigned}"  # noqa: S608 - names of our own
        f" FROM unnest({arrays}) AS given(id, {', '.join(names)}) WHERE old.id = given.id",
        (list(changed), *values),
    )


def _changes(connection: Connection, table: str, columns: Columns) -> Iterator[Changes]:
    """Yield for each range of ids the normal forms of texts that differ from them."""
    names = [name for name, *_ in columns]
    # Most texts are ASCII in normal form; PostgreSQL filters them faster than it would send them.
    suspect = " OR ".join(f"{name} ~ '[^ -~]|^ | $|  '" for name in names)
    ids = "id BETWEEN %s AND %s"
    statement = f"SELECT id, {', '.join(names)} FROM {table} WHERE {ids} AND ({suspect})"  # noqa: S608 - names of columns
    for bounds in id_ranges(connection, table, f"texts of {table}"):
        changes: Changes = {}
        for id_, *values in connection.exec_driver_sql(f"{statement} ORDER BY id", bounds).all():
            forms: dict[str, str] = {}
            for (name, normal, length, is_needed), value in zip(columns, values, strict=True):
                if value is None or (form := normal(value)) == value:
                    continue
                if len(form) <= length and (form or not is_needed):
                    forms[name] = form
                else:
                    LOG.warning("Row %s of %s keeps its %s: its normal form is empty or too long.", id_, table, name)
            if forms:
                changes[id_] = forms
        yield changes
