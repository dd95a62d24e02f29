"""Refuses a Redis database that serves another installation.

An API process is then not ready, and a worker does not start, so that no process uses the keys and queues of the other
installation for its own accounts, products and orders.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)

RENEWAL_SECONDS: Final = 10.0
"""Interval at which each process renews the lease."""
_REFUSAL: Final = (
    "Redis at REDIS_URL serves another installation ({holder}): give each installation a Redis database of its own, as"
    " in redis://host:6379/1. If the other installation has ended, its lease ends within {seconds} seconds."
)


class Lease(Protocol):
    """The right of one installation to use a Redis database, for `seconds` after each renewal."""

    @property
    def seconds(self) -> int: ...

    def renew(self) -> str:
        """Take or renew it; return the name of another installation that holds it, or an empty string.

        Raise `Unavailable` if Redis does not answer.
        """
        ...


class InstallationCheck:
    """Renews the lease of this installation in Redis."""

    def __init__(self, read_installation: Callable[[], UUID], make_lease: Callable[[UUID], Lease]) -> None:
        """`read_installation` reads the id from the database, and raises `Unavailable`."""
        self._read_installation = read_installation
        self._make_lease = make_lease
        self._lease: Lease | None = None
        self._stopped = threading.Event()
        self._problem = ""

    def check(self) -> None:
        """Raise `Unavailable` if Redis serves another installation.

        If Redis or the database does not answer, nothing is refused: other checks report it, and this one is
        repeated.
        """
        try:
            if self._lease is None:
                self._lease = self._make_lease(self._read_installation())
            holder = self._lease.renew()
        except Unavailable:
            return
        if holder:
            raise Unavailable(_REFUSAL.format(holder=holder, seconds=self._lease.seconds))

    def start(self) -> None:
        """Renew the lease in a thread, and log when another installation holds it."""
        threading.Thread(target=self._run, name="installation lease", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.check()
            except Unavailable as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    logger.error("%s", error)  # noqa: TRY400 - the message is complete
            except Exception:
                # The thread must survive every error.
                logger.exception("the lease of this installation was not renewed")
            else:
                self._problem = ""
            self._stopped.wait(RENEWAL_SECONDS)
