"""Comparison of a database's schema revision with that of this release.

Revisions are read from the files of the migrations, without importing Alembic, so that servers start faster.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, text

from scalecommerce_core.domain.errors import SchemaMismatch

VERSIONS: Final = Path(__file__).with_name("migrations") / "versions"
_REVISION: Final = re.compile(r'^(down_revision|revision)\b[^=\n]*= (?:"(\w+)"|None)$', re.MULTILINE)
_HAS_TABLE: Final = text("SELECT CAST(to_regclass('alembic_version') AS text)")
_CURRENT: Final = text("SELECT version_num FROM alembic_version")


@frozen
class Revisions:
    """The schema revisions of this release; `head` is the newest."""

    known: frozenset[str]
    head: str


@cache
def release_revisions() -> Revisions:
    """The revisions in `VERSIONS`, read once for each process."""
    known, parents = set(), set()
    for file in VERSIONS.glob("[0-9]*.py"):
        found = dict(_REVISION.findall(file.read_text(encoding="utf-8")))
        known.add(found["revision"])
        parents.add(found["down_revision"])
    (head,) = known - parents
    return Revisions(frozenset(known), head)


def read_revision(connection: Connection) -> str | None:
    """The revision of the database; None if it has no tables yet."""
    if connection.scalar(_HAS_TABLE) is None:
        return None
    revision = connection.scalar(_CURRENT)
    return None if revision is None else str(revision)


def find_mismatch(revision: str | None) -> SchemaMismatch | None:
    """The error for a database with this revision, whose message says what to do; None if it is up to date."""
    release = release_revisions()
    if revision == release.head:
        return None
    if revision is None:
        return SchemaMismatch("The database has no tables yet: run `scalecommerce migrate`.")
    if revision in release.known:
        return SchemaMismatch(
            f"The database has the tables of an older release (revision {revision}, this release works with"
            f" {release.head}): run `scalecommerce migrate`."
        )
    return SchemaMismatch(
        f"The database has the tables of a newer release (revision {revision}, this release has revisions up to"
        f" {release.head}): upgrade the code to that release, or restore a backup from before the migration."
    )
