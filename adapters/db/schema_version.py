"""Comparison of a database's schema revision with that of this release.

Revisions are read from the files of the migrations, without importing Alembic, so that servers start faster.

After a migration that only adds (tables, columns with a default, indexes), code of earlier releases still works; it
runs beside the new code during an upgrade. Any other migration names in `compatible_since` the first revision whose
code can use the tables after it. The last such name is stored in the database, as the comment of Alembic's table: code
that does not know the revision of the database reads there whether it can use the tables.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, text

from scalecommerce_core.domain.errors import SchemaMismatch

VERSIONS: Final = Path(__file__).with_name("migrations") / "versions"
_REVISION: Final = re.compile(r'^(down_revision|revision|compatible_since)\b[^=\n]*= (?:"(\w+)"|None)$', re.MULTILINE)
_HAS_TABLE: Final = text("SELECT CAST(to_regclass('alembic_version') AS text)")
_CURRENT: Final = text("SELECT version_num FROM alembic_version")
_COMMENT: Final = text("SELECT obj_description(CAST('alembic_version' AS regclass), 'pg_class')")
_COMPATIBLE_SINCE: Final = "compatible since revision "


@frozen
class Revisions:
    """The schema revisions of this release; `head` is the newest.

    `compatible_since` is, for each revision, the first one whose code can use its tables.
    """

    known: frozenset[str]
    head: str
    compatible_since: Mapping[str, str]


@cache
def release_revisions() -> Revisions:
    """The revisions in `VERSIONS`, read once for each process."""
    found: list[dict[str, str]] = [
        dict(_REVISION.findall(file.read_text(encoding="utf-8"))) for file in VERSIONS.glob("[0-9]*.py")
    ]
    by_parent = {each["down_revision"]: each for each in found}
    compatible: dict[str, str] = {}
    revision = since = ""
    while revision in by_parent:
        migration: dict[str, str] = by_parent[revision]
        revision = migration["revision"]
        since = migration.get("compatible_since", since or revision)
        compatible[revision] = since
    if len(compatible) != len(found):
        raise ValueError("The migrations do not form one chain.")
    return Revisions(frozenset(compatible), revision, compatible)


def read_revision(connection: Connection) -> str | None:
    """The revision of the database; None if it has no tables yet."""
    if connection.scalar(_HAS_TABLE) is None:
        return None
    revision = connection.scalar(_CURRENT)
    return None if revision is None else str(revision)


def compatibility_comment(revision: str) -> str:
    """The comment of Alembic's table at a revision of this release."""
    return _COMPATIBLE_SINCE + release_revisions().compatible_since[revision]


def read_mismatch(connection: Connection) -> SchemaMismatch | None:
    """The error for a database, whose message says what to do; None if this release can use its tables."""
    revision = read_revision(connection)
    mismatch = _find_mismatch(revision)
    if mismatch is None or revision is None or revision in release_revisions().known:
        return mismatch
    comment = str(connection.scalar(_COMMENT) or "")
    return None if comment.removeprefix(_COMPATIBLE_SINCE) in release_revisions().known else mismatch


def _find_mismatch(revision: str | None) -> SchemaMismatch | None:
    """The error for the revision alone; None if it is that of this release."""
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
