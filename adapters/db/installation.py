"""The identity of the installation that a database, or one schema of it, belongs to."""

from typing import Final

from sqlalchemy import Engine, text

from adapters.db.core.advisory_locks import KEY_SPACE
from adapters.db.core.errors import translate_errors
from scalecommerce_core.domain.errors import SchemaMismatch

# A copy of a database has the same id, but other OIDs, or the same OIDs on a server with another identifier.
_READ: Final = f"""
    SELECT CAST(id AS text), CAST((SELECT oid FROM pg_database WHERE datname = current_database()) AS text),
           CAST({KEY_SPACE} AS text), has_function_privilege('pg_control_system()', 'EXECUTE')
    FROM installation
"""  # noqa: S608 - a constant
_READ_SYSTEM: Final = "SELECT CAST(system_identifier AS text) FROM pg_control_system()"
_EMPTY: Final = (
    "The table `installation` of the database has no row, as after an incomplete restore: run `INSERT INTO installation"
    " (singleton, id) VALUES (true, gen_random_uuid())` in the schema of this installation."
)


def read_installation(engine: Engine) -> str:
    """The id, which is made with the tables, and the numbers that differ in a copy made by `pg_dump`.

    These are the OIDs of the database and of a table, and the identifier of the server if the role may read it. A
    standby that becomes the primary keeps all of them. Raise `SchemaMismatch` if the database has no id, and
    `Unavailable`.
    """
    with translate_errors(engine), engine.connect() as connection:
        row = connection.execute(text(_READ)).one_or_none()
        if row is None:
            raise SchemaMismatch(_EMPTY)
        *parts, is_system_readable = row
        if is_system_readable:
            parts.append(connection.execute(text(_READ_SYSTEM)).scalar_one())
    return " ".join(parts)
