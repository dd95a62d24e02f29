"""Moves orders that have been settled for long to the archive, so that the hot tables hold recent orders only."""

from datetime import timedelta

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.ports import Clock, Store
from scalecommerce_core.services.retry import retry_on


class Archiving:
    """Use cases of the archive. Any number of processes may archive at once; a refund of an archived order restores it
    (`OrderRepository.lock`), and refused commands leave it archived.
    """

    def __init__(self, store: Store, clock: Clock, hot_time: timedelta | None = None) -> None:
        """Orders stay hot for `hot_time` after their last change; None: for ever.

        `MarketRules.orders_hot_time` has the rule for its length.
        """
        self._store = store
        self._clock = clock
        self._hot_time = hot_time

    @property
    def is_on(self) -> bool:
        return self._hot_time is not None

    @retry_on(TransactionAborted, ConnectionLost)
    def archive(self, limit: int = 500) -> int:
        """Archive up to `limit` orders in one transaction; return how many. Without a hot time, none is archived."""
        if self._hot_time is None:
            return 0
        with self._store.begin() as tx:
            return tx.orders.archive(limit, self._clock.now() - self._hot_time)
