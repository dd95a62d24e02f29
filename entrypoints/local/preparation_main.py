"""The program that `up` runs to migrate the database and to create the demo market.

`python -P -m entrypoints.local.preparation_main OWNER`
"""

import logging
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final

from adapters.embedded.launch import die_with_parent
from entrypoints.local.preparation import Done, Failed, Migrated, Status
from scalecommerce_core.domain.errors import MarketError, SchemaMismatch, Unavailable

if TYPE_CHECKING:
    from adapters.db.migrate import Migration

logger = logging.getLogger(__name__)

_CHANNEL: Final = 0
"""Standard input, a socket."""


def main(owner: int) -> None:
    from entrypoints import logs

    logs.configure_early("up")
    die_with_parent(owner, signal.SIGKILL)
    # The imports take longest, and the servers may still be starting, so the task is awaited afterwards.
    from adapters.db.migrate import upgrade
    from entrypoints import settings
    from entrypoints.demo.seed import prepare_demo

    connection = Connection(os.dup(_CHANNEL))
    try:
        given, wants_demo = connection.recv()
    except EOFError:  # the owner needs no preparation any more
        return
    os.environ.update(given)
    try:
        chosen = settings.load()
        logs.add_secrets(chosen.secret_texts())
        upgrade(chosen.database_url.reveal(), lambda migration: connection.send(_describe(migration)))
        connection.send(Migrated(settings.to_environment(chosen)))
        demo = None
        if wants_demo:

            def progress(step: str, done: int, total: int | None) -> None:
                what = f"{step} {done:,}{f' of {total:,}' if total else ''}"
                connection.send(Status(f"Creating a demo market: {what} …"))

            demo = prepare_demo(chosen, progress)
    except (MarketError, settings.SettingsError) as error:
        is_away = isinstance(error, Unavailable) and not isinstance(error, SchemaMismatch)
        connection.send(Failed(str(error), is_reachable=not is_away))
    except Exception:
        logger.exception("the database could not be prepared")
        connection.send(Failed("The database could not be prepared; the error is logged above.", is_reachable=True))
    else:
        connection.send(Done(demo))


def _describe(migration: "Migration") -> Status:
    from adapters.db.schema_version import release_revisions

    what = f"{migration.number} of {migration.total}: {migration.revision} {migration.name}"
    status = f"Bringing the database up to date: migration {what} …"
    # An upgrade of a database with data may take minutes.
    if migration.total == len(release_revisions().known):
        return Status(status)
    return Status(status, f"Migration {what} {'…' if migration.seconds is None else f'({migration.seconds:.1f} s)'}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
