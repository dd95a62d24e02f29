"""Refuses a Redis database that serves another installation.

An API process is then not ready, and a worker does not start, so that no process uses the keys and queues of the other
installation for its own accounts, products and orders. A worker that runs takes no views from Redis
unless it is sure of the lease.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.sharedctypes import RawValue
from typing import Final, Protocol

from scalecommerce_core.domain.errors import SchemaMismatch, Unavailable

logger = logging.getLogger(__name__)

RENEWAL_SECONDS: Final = 10.0
"""Interval at which each process renews the lease."""
_REFUSAL: Final = (
    "Redis at REDIS_URL serves another installation ({holder}): give each installation a Redis database of its own, as"
    " in redis://host:6379/1. If the other installation has ended, this one begins within {seconds:.0f} seconds."
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

    def __init__(
        self,
        read_installation: Callable[[], str],
        make_lease: Callable[[str], Lease],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read_installation` reads the identity from the database, and raises `Unavailable`. `clock` is in seconds,
        and the same in all processes.
        """
        self._read_installation = read_installation
        self._make_lease = make_lease
        self._clock = clock
        self._installation = ""
        self._lease: Lease | None = None
        # Shared with processes that are forked later. One aligned double: reading and writing need no lock.
        self._leased_until = RawValue("d", -math.inf)
        self._stopped = threading.Event()
        self._problem = ""

    def check(self) -> None:
        """Raise `Unavailable` if Redis serves another installation, or if the database has no id.

        If Redis or the database does not answer, nothing is refused: other checks report it, and this one is
        repeated.
        """
        begun = self._clock()
        try:
            lease = self._lease or self._create_lease()
            holder = lease.renew()
        except SchemaMismatch:
            raise
        except Unavailable:
            return
        if holder:
            self._leased_until.value = -math.inf
            # The former lease ends, and then nobody may have it for as long; each end is noticed at a renewal.
            seconds = 2 * (lease.seconds + RENEWAL_SECONDS)
            raise Unavailable(_REFUSAL.format(holder=holder, seconds=seconds))
        self._leased_until.value = begun + lease.seconds

    def is_leased(self) -> bool:
        """Whether this installation has the lease, as far as renewals show, also in a process that was forked."""
        return self._clock() < float(self._leased_until.value)

    def _create_lease(self) -> Lease:
        self._installation = self._read_installation()
        self._lease = self._make_lease(self._installation)
        return self._lease

    def _read_again(self) -> None:
        """Use another lease if the database was replaced by a copy, as by the restore of a backup."""
        # Later is early enough if the database does not answer.
        with suppress(Unavailable):
            if self._lease is not None and self._read_installation() != self._installation:
                self._create_lease()

    def start(self) -> None:
        """Renew the lease in a thread, and log when another installation holds it."""
        threading.Thread(target=self._run, name="installation lease", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.check()
                self._read_again()
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
