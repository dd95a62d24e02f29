"""Orders and their refunds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import CommandId, OrderId
from scalecommerce_core.domain.order import Order


class OrderRepository(Protocol):
    """`add` and `save` also append the refunds and the events that the orders carry."""

    def next_ids(self, count: int) -> Sequence[OrderId]: ...

    def add(self, orders: Collection[Order]) -> None:
        """Raise `Duplicate("command_id")`, at the latest when the transaction ends."""
        ...

    def lock(self, ids: Collection[OrderId]) -> Mapping[OrderId, Order]:
        """In id order."""
        ...

    def save(self, orders: Collection[Order]) -> None: ...

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        """Read without a lock: what earlier attempts of these commands have placed."""
        ...

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock the first CREATED orders, in id order, that are neither parked nor stepped aside until later.

        Empty while another transaction decides: there is one decider at a time.
        """
        ...

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock PENDING orders whose `expires_at` has passed, skipping those that others have locked.

        Orders with an open payment attempt are skipped too. An attempt may be opened before the locks are granted: the
        caller checks `payments.open_attempts` again under the locks.
        """
        ...
