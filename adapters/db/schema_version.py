"""Whether a database has the tables that this release works with.

Revisions are read from the migrations' files, without Alembic, which a process that serves need not load.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Engine, text

from adapters.db.errors import translated
from scalecommerce_core.domain.errors import SchemaMismatch

VERSIONS: Final = Path(__file__).with_name("migrations") / "versions"
_REVISION: Final = re.compile(r'^(down_revision|revision)\b[^=\n]*= (?:"(\w+)"|None)$', re.MULTILINE)
_HAS_TABLE: Final = text("SELECT CAST(to_regclass('alembic_version') AS text)")
_CURRENT: Final = text("SELECT version_num FROM alembic_version")


@frozen
class Revisions:
    """Those that this release knows; `head` is the newest."""

    known: frozenset[str]
    head: str


@cache
def revisions() -> Revisions:
    """Read once per process."""
    known, parents = set(), set()
    for file in VERSIONS.glob("[0-9]*.py"):
        found = dict(_REVISION.findall(file.read_text(encoding="utf-8")))
        known.add(found["revision"])
        parents.add(found["down_revision"])
    (head,) = known - parents
    return Revisions(frozenset(known), head)


def current_revision(engine: Engine) -> str | None:
    """The revision of the database; None if it was never migrated. Raise `Unavailable`."""
    with translated(), engine.connect() as connection:
        return revision_on(connection)


def revision_on(connection: Connection) -> str | None:
    """As `current_revision`, in the connection's transaction."""
    if connection.scalar(_HAS_TABLE) is None:
        return None
    revision = connection.scalar(_CURRENT)
    return None if revision is None else str(revision)


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch`, with a sentence that says what to do, or another `Unavailable`."""
    revision, release = current_revision(engine), revisions()
    if revision == release.head:
        return
    check_known(revision)
    if revision is None:
        raise SchemaMismatch("The database has no tables yet: run `scalecommerce migrate`.")
    raise SchemaMismatch(
        f"The database has the tables of an older release (revision {revision}, this release works with"
        f" {release.head}): run `scalecommerce migrate`."
    )


def check_known(revision: str | None) -> None:
    """Raise `SchemaMismatch` if a newer release has migrated the database."""
    if revision is not None and revision not in revisions().known:
        raise SchemaMismatch(
            f"The database has the tables of a newer release (revision {revision}, this release knows up to"
            f" {revisions().head}): upgrade the code to that release, or restore a backup of before the migration."
        )
