"""Sessions whose COMMIT waits for a synchronous standby, for the watchdog of the API."""

from sqlalchemy import Engine, text

from adapters.db.core.errors import translate_errors

_WAITS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = :session AND wait_event = 'SyncRep'"
)


def count_standby_waits(engine: Engine, session: str) -> int:
    """The sessions with this `application_name` that wait for a standby; raise `Unavailable`.

    The connection is new and is closed afterwards.
    """
    try:
        with translate_errors(engine), engine.connect() as connection:
            return int(connection.execute(_WAITS, {"session": session}).scalar_one())
    finally:
        engine.dispose()
