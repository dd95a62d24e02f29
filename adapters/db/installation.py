"""The id of the installation that a database, or one schema of it, belongs to."""

from typing import cast
from uuid import UUID

from sqlalchemy import Engine, select

from adapters.db.core.errors import translate_errors
from adapters.db.schema import installation


def read_installation(engine: Engine) -> UUID:
    """The id, which is made with the tables and never changes; raise `Unavailable`."""
    with translate_errors(engine), engine.connect() as connection:
        return cast(UUID, connection.execute(select(installation.c.id)).scalar_one())
